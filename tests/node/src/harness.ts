// What the cases share beside the peers: connections of the library, and its rows.

import { strict as assert } from 'node:assert';
import { afterEach } from 'node:test';
import { format } from 'node:util';
import type { DbConnectionBuilder, DbConnectionImpl, Identity, RowTypedQuery } from 'spacetimedb';
import { peer, until, within, type Peer } from './peers';

export * from './peers';

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
