// What the cases ask of a library, whichever it is.

import { afterEach } from 'node:test';
import { format } from 'node:util';
import { strict as assert } from 'node:assert';
import { within, type Peer } from '../../node/src/peers';
import type { ModuleSpec } from './specs';

export type Row = Record<string, any>;

/** A table of a library's cache. */
export interface Table {
  iter(): Iterable<Row>;
  count(): number | bigint;
  onInsert(callback: (ctx: any, row: Row) => void): void;
  onDelete(callback: (ctx: any, row: Row) => void): void;
  onUpdate(callback: (ctx: any, old: Row, row: Row) => void): void;
}

export interface Options {
  peer?: Peer;
  token?: string;
  compression?: 'none' | 'gzip';
  light?: boolean;
}

/** A connection of a library: what all of them can do. */
export interface Connection {
  identity: string;
  connection: string;
  token: string;
  table(name: string): Table;
  call(reducer: string, args?: Row): void;
  /** Calls of it say nothing from now on when they go well and change nothing that is followed. */
  callQuietly(reducer: string): void;
  onCall(reducer: string, callback: (event: any) => void): void;
  builder(): SubscriptionBuilder;
  disconnect(): void;
}

export interface SubscriptionBuilder {
  onApplied(callback: (ctx: any) => void): SubscriptionBuilder;
  onError(callback: (ctx: any, error?: Error) => void): SubscriptionBuilder;
  subscribe(queries: string | string[]): { unsubscribeThen(then: () => void): void };
  subscribeToAllTables(): void;
}

export interface Library {
  name: string;
  connect(module: ModuleSpec, peer: Peer, database: string, options: Options): Promise<Connection>;
}

const open = new Set<Connection>();

// The libraries write to the console when they are told what they do not expect.
const complaints: string[] = [];
for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
  console[level] = (...words: unknown[]) => {
    const text = format(...words);
    if (/\b(WARN|ERROR|error)\b/i.test(text) && !text.includes('Error connecting')) complaints.push(text);
  };
}

afterEach(() => {
  for (const connection of open) connection.disconnect();
  open.clear();
  assert.deepEqual(complaints.splice(0), [], 'the library complains');
});

/** Connects, and gives the connection when the peer has said hello. */
export async function connect(
  library: Library, module: ModuleSpec, peer: Peer, database: string, options: Options = {},
): Promise<Connection> {
  const connection = await within('a connection', library.connect(module, peer, database, options));
  open.add(connection);
  return connection;
}

/** Subscribes; settled when the rows are there, or when it was refused. */
export function subscribe(connection: Connection, ...queries: string[]): Promise<{ end(): Promise<void> }> {
  return within('a subscription', new Promise((resolve, reject) => {
    const handle = connection.builder()
      .onApplied(() => resolve({
        end: () => within('an end of a subscription', new Promise(done => handle.unsubscribeThen(() => done()))),
      }))
      .onError((ctx, error) => reject(error ?? ctx.event))
      .subscribe(queries);
  }));
}

/** The text of what became of a call: `ok`, or why it failed. */
export function outcome(event: any): string {
  switch (event.status.tag) {
    case 'Committed':
      return 'ok';
    case 'Failed':
      return event.status.value;
    default:
      return event.status.tag;
  }
}

/** Calls a reducer, and gives what became of it. */
export function call(connection: Connection, reducer: string, args: Row = {}): Promise<string> {
  return within(`an answer to ${reducer}`, new Promise(resolve => {
    let isAnswered = false;
    connection.onCall(reducer, event => {
      if (!isAnswered) resolve(outcome(event));
      isAnswered = true;
    });
    connection.call(reducer, args);
  }));
}

/** One thing of each row in the cache, in order. */
export function column(table: Table, of: string | ((row: Row) => any)): any[] {
  const values = [...table.iter()].map(typeof of === 'string' ? row => row[of] : of);
  return values.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Writes down the callbacks of a table from now on: "+ new", "- old", "old > new". */
export function record(table: Table, of: (row: Row) => unknown): string[] {
  const into: string[] = [];
  table.onInsert((_ctx, row) => into.push(`+ ${of(row)}`));
  table.onDelete((_ctx, row) => into.push(`- ${of(row)}`));
  table.onUpdate((_ctx, old, row) => into.push(`${of(old)} > ${of(row)}`));
  return into;
}
