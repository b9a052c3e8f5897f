// What the cases share: the peers that the Rust side started, connections of the library, and ways
// of waiting. Nothing here decides how often something is tried: what takes longer than PATIENCE
// fails.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach } from 'node:test';
import { format } from 'node:util';
import type { DbConnectionBuilder, DbConnectionImpl, Identity, RowTypedQuery } from 'spacetimedb';
import { WebSocket as Socket } from 'undici';

/** How long anything may take that should take moments. */
export const PATIENCE_MS = 30_000;

// Node 20 has no WebSocket of its own; the library takes the global one.
(globalThis as { WebSocket: unknown }).WebSocket = Socket;

function set(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: \`cargo xtask test -- --test it sdk\` runs these cases`);
  return value;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Answer {
  status: number;
  text: string;
}

/** One peer, over HTTP, as its owner. */
export class Peer {
  url: string;
  constructor(readonly name: string, url: string, readonly token: string) {
    this.url = url;
  }

  async request(method: string, path: string, body?: string | Uint8Array<ArrayBuffer>, token = this.token): Promise<Answer> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (typeof body === 'string' && /^[[{]/.test(body)) headers['Content-Type'] = 'application/json';
    const answer = await fetch(`${this.url}${path}`, { method, headers, body });
    return { status: answer.status, text: await answer.text() };
  }

  /** Publishes a module under a name of its own, and gives the database's identity. */
  async publish(module: string, name = `${module}-${process.pid}-${(databases += 1)}`): Promise<string> {
    const wasm = new Uint8Array(readFileSync(join(set('TOMBOLO_MODULES'), `${module}.wasm`)));
    const { status, text } = await this.request('PUT', `/v1/database/${name}`, wasm);
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { Success: { database_identity: string } }).Success.database_identity;
  }

  /** Calls a reducer over HTTP. */
  async call(database: string, reducer: string, ...args: Json[]): Promise<void> {
    const path = `/v1/database/${database}/call/${reducer}`;
    const { status, text } = await this.request('POST', path, JSON.stringify(args));
    assert.equal(status, 200, text);
  }

  /** The rows of a query over HTTP. */
  async sql(database: string, query: string): Promise<Json[][]> {
    const { status, text } = await this.request('POST', `/v1/database/${database}/sql`, query);
    assert.equal(status, 200, text);
    return (JSON.parse(text) as [{ rows: Json[][] }])[0].rows;
  }

  /** Runs a verb of the command line against this peer, and gives what it printed. */
  cli(...args: string[]): Promise<string> {
    return control('cli', this.name, ...args);
  }

  /** Stops the process as Ctrl-C does. */
  async stop(): Promise<void> {
    await control('stop', this.name);
  }

  /** Starts it again on the same data directory. */
  async start(): Promise<void> {
    this.url = await control('start', this.name);
  }
}

let databases = 0;

/** The peers, in the order in which they were started. */
export const peers: Peer[] = (JSON.parse(set('TOMBOLO_PEERS')) as [string, string, string][]).map(
  ([name, url, token]) => new Peer(name, url, token),
);
/** The first of them. */
export const peer = peers[0]!;

/** Asks the process that started the peers to do something to them: one line there, one back. */
export async function control(...words: string[]): Promise<string> {
  const socket = createConnection({ host: '127.0.0.1', port: Number(set('TOMBOLO_CONTROL')) });
  socket.end(`${JSON.stringify(words)}\n`);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  const [ok, text] = JSON.parse(Buffer.concat(parts).toString()) as [boolean, string];
  assert.ok(ok, `${words.join(' ')}: ${text}`);
  return text;
}

// ---- connections

type AnyConnection = DbConnectionImpl<any>;

/** The generated class of a module's connections. */
export interface Module<C extends AnyConnection> {
  builder(): DbConnectionBuilder<C>;
}

export interface Options {
  peer?: Peer;
  token?: string;
  compression?: 'none' | 'gzip';
  confirmed?: boolean;
}

/** A connection of the library, and what it told about itself. */
export interface Connected<C> {
  conn: C;
  identity: Identity;
  token: string;
  /** Settled when the connection has ended. */
  ended: Promise<Error | undefined>;
}

const open = new Set<AnyConnection>();

// The library only writes to the console when it is told of rows that it should not be told of: of
// one gone that was never there, of one changed that it does not have.
const complaints: string[] = [];
for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
  console[level] = (...words: unknown[]) => {
    const text = format(...words);
    if (/\b(WARN|ERROR)\b/.test(text) && !text.includes('Error connecting')) complaints.push(text);
  };
}

/** Ends what a case left open; fails it if the library complained. */
afterEach(async () => {
  await Promise.all([...open].map(disconnect));
  assert.deepEqual(complaints.splice(0), [], 'the library complains');
});

/** Connects, and gives the connection when the peer has said hello. */
export function connect<C extends AnyConnection>(
  module: Module<C>,
  database: string,
  options: Options = {},
): Promise<Connected<C>> {
  return within('a connection', new Promise((resolve, reject) => {
    let end: (error?: Error) => void;
    const ended = new Promise<Error | undefined>(resolve => (end = resolve));
    const builder = module.builder()
      .withUri((options.peer ?? peer).url.replace('http', 'ws'))
      .withDatabaseName(database)
      .withToken(options.token)
      .onConnect((conn, identity, token) => {
        resolve({ conn, identity, token, ended });
      })
      .onConnectError((_ctx, error) => {
        open.delete(conn);
        reject(error);
      })
      .onDisconnect((_ctx, error) => {
        open.delete(conn);
        end(error);
        reject(error ?? new Error('disconnected before it was connected'));
      });
    // The library takes a compressed frame apart beside the next one, and may hand on the next one
    // first: cases that look at the order of things, or let much happen at once, go without.
    builder.withCompression(options.compression ?? 'none');
    if (options.confirmed !== undefined) builder.withConfirmedReads(options.confirmed);
    const conn = builder.build();
    open.add(conn);
  }));
}

/** Ends a connection, and waits until it has ended. */
export async function disconnect(conn: AnyConnection): Promise<void> {
  conn.disconnect();
  await until('the connection to end', () => conn.isSocketClosed);
  open.delete(conn);
}

type Query = string | RowTypedQuery<any, any>;
type Handle = ReturnType<ReturnType<AnyConnection['subscriptionBuilder']>['subscribe']>;

/** Subscribes; settled when the rows are there, or when it was refused. */
export function subscribe(conn: AnyConnection, queries: Query | Query[]): Promise<Handle> {
  return within('a subscription', new Promise((resolve, reject) => {
    const handle = conn.subscriptionBuilder()
      .onApplied(() => resolve(handle))
      .onError(ctx => reject(ctx.event))
      .subscribe([queries].flat());
  }));
}

/** Unsubscribes; settled when the rows are gone. */
export function unsubscribe(handle: { unsubscribeThen(then: () => void): void }): Promise<void> {
  return within('an end of a subscription', new Promise(resolve => handle.unsubscribeThen(() => resolve())));
}

// ---- rows

/** A table of the library's cache, as much of it as the cases use. */
export interface Table<Row> {
  iter(): Iterable<Row>;
  count(): bigint;
  onInsert(callback: (ctx: any, row: Row) => void): void;
  onDelete(callback: (ctx: any, row: Row) => void): void;
  onUpdate?(callback: (ctx: any, old: Row, row: Row) => void): void;
}

/** One thing of each row in the cache, in order. */
export function column<Row, T>(table: Table<Row>, of: (row: Row) => T): T[] {
  const values = [...table.iter()].map(of);
  return values.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Writes down the callbacks of a table from now on: "+ new", "- old", "old > new". */
export function record<Row>(table: Table<Row>, of: (row: Row) => unknown, into: string[] = []): string[] {
  table.onInsert((_ctx, row) => into.push(`+ ${of(row)}`));
  table.onDelete((_ctx, row) => into.push(`- ${of(row)}`));
  table.onUpdate?.((_ctx, old, row) => into.push(`${of(old)} > ${of(row)}`));
  return into;
}

// ---- waiting

/** Waits until `condition` holds. */
export async function until(what: string, condition: () => unknown): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `waited too long for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** Waits until `value` gives what is expected; fails with the difference. */
export async function becomes<T>(value: () => T | Promise<T>, expected: T): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const now = await value();
    try {
      return assert.deepEqual(now, expected);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** A promise that fails when it takes too long. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
