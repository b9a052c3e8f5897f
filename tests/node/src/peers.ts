// The peers that the Rust side started, as their owner sees them, and ways of waiting; whatever library
// a case drives. Nothing here decides how often something is tried: what takes longer than PATIENCE
// fails.

import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { WebSocket as Socket } from 'undici';

/** How long anything may take that should take moments. */
export const PATIENCE_MS = 30_000;

// Node 20 has no WebSocket of its own; the libraries take the global one.
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
