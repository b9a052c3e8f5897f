// A client without the library: a socket, and as much of the messages of protocol v2 as the cases
// need. Written after docs/WIRE_FORMAT.md's rules for numbers and lists: little-endian, lengths in 4
// bytes, a tag before each sum.

import { request } from 'node:http';
import { afterEach } from 'node:test';
import { WebSocket as Socket } from 'undici';
import { within, type Peer } from './harness';

/** Puts a message together. */
export class Writer {
  #parts: Buffer[] = [];
  u8(value: number): this {
    this.#parts.push(Buffer.from([value]));
    return this;
  }
  u32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    this.#parts.push(part);
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#parts.push(Buffer.from(value));
    return this.length(value);
  }
  text(value: string): this {
    return this.bytes(Buffer.from(value));
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
  /** Puts the length in front of what was written last. */
  private length(value: Uint8Array): this {
    const last = this.#parts.pop()!;
    this.u32(value.length);
    this.#parts.push(last);
    return this;
  }
}

/** Takes a message apart. */
export class Reader {
  #at = 0;
  constructor(private readonly from: Buffer) {}
  u8(): number {
    return this.from.readUInt8((this.#at += 1) - 1);
  }
  u16(): number {
    return this.from.readUInt16LE((this.#at += 2) - 2);
  }
  u32(): number {
    return this.from.readUInt32LE((this.#at += 4) - 4);
  }
  u64(): bigint {
    return this.from.readBigUInt64LE((this.#at += 8) - 8);
  }
  raw(length: number): Buffer {
    return this.from.subarray(this.#at, (this.#at += length));
  }
  bytes(): Buffer {
    return this.raw(this.u32());
  }
  text(): string {
    return this.bytes().toString();
  }
  list<T>(item: () => T): T[] {
    return Array.from({ length: this.u32() }, item);
  }
  isDone(): boolean {
    return this.#at === this.from.length;
  }
}

/** Messages of a client. */
export const ask = {
  subscribe: (request: number, set: number, ...queries: string[]) => {
    const message = new Writer().u8(0).u32(request).u32(set).u32(queries.length);
    for (const query of queries) message.text(query);
    return message.done();
  },
  unsubscribe: (request: number, set: number, rows: boolean) =>
    new Writer().u8(1).u32(request).u32(set).u8(rows ? 1 : 0).done(),
  query: (request: number, query: string) => new Writer().u8(2).u32(request).text(query).done(),
  call: (request: number, reducer: string, args: Uint8Array) =>
    new Writer().u8(3).u32(request).u8(0).text(reducer).bytes(args).done(),
};

/** What a peer says, as much of it as the cases look at. `rows` are bytes by table. */
export type Said =
  | { tag: 'hello'; token: string }
  | { tag: 'applied'; request: number; set: number; rows: Rows }
  | { tag: 'unsubscribed'; request: number; set: number; rows: Rows | undefined }
  | { tag: 'refused'; request: number | undefined; set: number; why: string }
  | { tag: 'update'; sets: Changes }
  | { tag: 'answer'; request: number; rows?: Rows; why?: string }
  | { tag: 'called'; request: number; outcome: 'ok' | 'failed' | 'broken'; sets?: Changes; why?: string };

export type Rows = Record<string, Buffer[]>;
export type Changes = { set: number; table: string; inserts: Buffer[]; deletes: Buffer[] }[];

function rowList(from: Reader): Buffer[] {
  if (from.u8() === 0) {
    const size = from.u16();
    const data = new Reader(from.bytes());
    const rows: Buffer[] = [];
    while (!data.isDone()) rows.push(data.raw(size));
    return rows;
  }
  const starts = from.list(() => Number(from.u64()));
  const data = from.bytes();
  return starts.map((start, n) => data.subarray(start, starts[n + 1] ?? data.length));
}

function rowsByTable(from: Reader): Rows {
  return Object.fromEntries(from.list(() => [from.text(), rowList(from)]));
}

function changes(from: Reader): Changes {
  const sets = from.list(() => {
    const set = from.u32();
    return from.list(() => {
      const table = from.text();
      return from.list(() => {
        const kept = from.u8() === 0;
        const inserts = rowList(from);
        return { set, table, inserts, deletes: kept ? rowList(from) : [] };
      });
    });
  });
  return sets.flat(2);
}

function said(from: Reader): Said {
  const tag = from.u8();
  switch (tag) {
    case 0:
      from.raw(32 + 16);
      return { tag: 'hello', token: from.text() };
    case 1:
      return { tag: 'applied', request: from.u32(), set: from.u32(), rows: rowsByTable(from) };
    case 2:
      return {
        tag: 'unsubscribed', request: from.u32(), set: from.u32(), rows: from.u8() === 0 ? rowsByTable(from) : undefined,
      };
    case 3:
      return { tag: 'refused', request: from.u8() === 0 ? from.u32() : undefined, set: from.u32(), why: from.text() };
    case 4:
      return { tag: 'update', sets: changes(from) };
    case 5: {
      const request = from.u32();
      return from.u8() === 0 ? { tag: 'answer', request, rows: rowsByTable(from) } : { tag: 'answer', request, why: from.text() };
    }
    case 6: {
      const request = from.u32();
      from.u64();
      switch (from.u8()) {
        case 0:
          from.bytes();
          return { tag: 'called', request, outcome: 'ok', sets: changes(from) };
        case 1:
          return { tag: 'called', request, outcome: 'ok', sets: [] };
        case 2:
          return { tag: 'called', request, outcome: 'failed', why: new Reader(from.bytes()).text() };
        default:
          return { tag: 'called', request, outcome: 'broken', why: from.text() };
      }
    }
    default:
      throw new Error(`an unexpected message ${tag}`);
  }
}

export const V2 = 'v2.bsatn.spacetimedb';
export const V3 = 'v3.bsatn.spacetimedb';

const open = new Set<Raw>();

/** Ends what a case left open. */
afterEach(() => {
  for (const raw of open) raw.close();
  open.clear();
});

/** An open socket that speaks v2 or v3 without compression. */
export class Raw {
  readonly said: Said[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #taken = 0;
  #wake: () => void = () => {};

  private constructor(private readonly socket: Socket) {
    this.closed = new Promise(resolve => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
    });
    open.add(this);
    socket.addEventListener('message', ({ data }: { data: ArrayBuffer }) => {
      const from = new Reader(Buffer.from(data));
      if (from.u8() !== 0) throw new Error('a compressed frame that nobody asked for');
      while (!from.isDone()) this.said.push(said(from));
      this.#wake();
    });
  }

  /** Opens a socket; fails if the peer does not take it. */
  static open(peer: Peer, database: string, protocol = V2, options = ''): Promise<Raw> {
    const url = `${peer.url.replace('http', 'ws')}/v1/database/${database}/subscribe?compression=None${options}`;
    const socket = new Socket(url, [protocol]);
    socket.binaryType = 'arraybuffer';
    const raw = new Raw(socket);
    return within('a socket', new Promise((resolve, reject) => {
      socket.addEventListener('open', () => resolve(raw));
      socket.addEventListener('error', () => reject(new Error('no socket')));
    }));
  }

  send(...messages: (Uint8Array | string)[]): void {
    for (const message of messages) this.socket.send(message);
  }

  close(): void {
    this.socket.close();
  }

  /** The next thing the peer says. */
  async next(): Promise<Said> {
    while (this.#taken >= this.said.length) {
      await within('a message', new Promise<void>(resolve => (this.#wake = resolve)));
    }
    return this.said[(this.#taken += 1) - 1]!;
  }
}

/** Asks for a socket and gives the status and the text with which the peer refuses it. */
export function handshake(url: string, protocols: string | undefined): Promise<{ status: number; text: string }> {
  return within('an answer', new Promise((resolve, reject) => {
    const headers: Record<string, string> = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.alloc(16, 7).toString('base64'),
    };
    if (protocols !== undefined) headers['Sec-WebSocket-Protocol'] = protocols;
    const asked = request(url, { headers });
    asked.on('response', answer => {
      const parts: Buffer[] = [];
      answer.on('data', part => parts.push(part));
      answer.on('end', () => resolve({ status: answer.statusCode!, text: Buffer.concat(parts).toString() }));
    });
    asked.on('upgrade', (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode!, text: '' });
    });
    asked.on('error', reject);
    asked.end();
  }));
}
