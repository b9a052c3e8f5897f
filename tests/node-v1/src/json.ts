// A client without a library: a socket that speaks `v1.json.spacetimedb`.

import { afterEach } from 'node:test';
import { within, type Peer } from '../../node/src/peers';

/** What is between the braces of a message: its name and its fields. */
export type Said = Record<string, any>;

const open = new Set<JsonClient>();

/** Ends what a case left open. */
afterEach(() => {
  for (const client of open) client.close();
  open.clear();
});

export class JsonClient {
  readonly closed: Promise<{ code: number; reason: string }>;
  #said: Said[] = [];
  #wake: () => void = () => {};

  private constructor(private readonly socket: WebSocket) {
    open.add(this);
    this.closed = new Promise(resolve => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener('message', ({ data }) => {
      if (typeof data !== 'string') throw new Error('a frame that is no text');
      this.#said.push(JSON.parse(data) as Said);
      this.#wake();
    });
  }

  static open(peer: Peer, database: string, options = ''): Promise<JsonClient> {
    const url = `${peer.url.replace('http', 'ws')}/v1/database/${database}/subscribe${options}`;
    const socket = new WebSocket(url, ['v1.json.spacetimedb']);
    const client = new JsonClient(socket);
    return within('a socket', new Promise((resolve, reject) => {
      socket.addEventListener('open', () => resolve(client));
      socket.addEventListener('error', () => reject(new Error('no socket')));
    }));
  }

  send(message: Said | string | Uint8Array<ArrayBuffer>): void {
    const isRaw = typeof message === 'string' || message instanceof Uint8Array;
    this.socket.send(isRaw ? message : JSON.stringify(message));
  }

  close(): void {
    this.socket.close();
  }

  /** The next message, which has to be of this name. */
  async next(name: string): Promise<Said> {
    while (this.#said.length === 0) {
      await within(`a message, ${name}`, new Promise<void>(resolve => (this.#wake = resolve)));
    }
    const said = this.#said.shift()!;
    if (!(name in said)) throw new Error(`expected ${name}, got ${JSON.stringify(said)}`);
    return said[name] as Said;
  }

  /** Sends a message, and gives the next one that comes, which has to be of this name. */
  async ask(message: Said, name: string): Promise<Said> {
    this.send(message);
    return this.next(name);
  }

  /** Calls a reducer, and gives what became of it. */
  async call(reducer: string, args: unknown, request_id = 1, flags = 0): Promise<Said> {
    return this.ask({ CallReducer: { reducer, args: JSON.stringify(args), request_id, flags } }, 'TransactionUpdate');
  }
}

/** Rows of an update that came, or that went, by table. */
export function rows(update: Said, which: 'inserts' | 'deletes' = 'inserts'): Record<string, unknown[]> {
  return Object.fromEntries((update.tables as Said[]).map(table => [
    table.table_name,
    (table.updates as Said[]).flatMap(update => (update[which] as string[]).map(row => JSON.parse(row) as unknown)),
  ]));
}
