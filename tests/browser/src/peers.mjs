// The peers that the Rust side started, and ways of waiting. Nothing here decides how often something
// is tried: what takes longer than PATIENCE fails.

import { strict as assert } from 'node:assert';
import { createConnection, createServer } from 'node:net';

/** How long anything may take that should take moments. */
export const PATIENCE_MS = 30_000;

export function set(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: \`cargo xtask test -- --test it browser\` runs these cases`);
  return value;
}

const DATABASE = `/v1/database/${set('TOMBOLO_DATABASE')}`;

/** One peer, over HTTP, as its owner. */
class Peer {
  constructor(name, url, token) {
    Object.assign(this, { name, url, token });
  }

  async request(method, path, body) {
    const headers = { Authorization: `Bearer ${this.token}` };
    if (body?.startsWith('[')) headers['Content-Type'] = 'application/json';
    const answer = await fetch(`${this.url}${path}`, { method, headers, body });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text;
  }

  async call(reducer, ...args) {
    await this.request('POST', `${DATABASE}/call/${reducer}`, JSON.stringify(args));
  }

  async sql(query) {
    return JSON.parse(await this.request('POST', `${DATABASE}/sql`, query))[0].rows;
  }

  /** Runs a verb of the command line against this peer, and gives what it printed. */
  cli(...args) {
    return control('cli', this.name, ...args);
  }
}

/** In the order in which they were started. */
export const peers = JSON.parse(set('TOMBOLO_PEERS')).map(known => new Peer(...known));

/** Asks the process that started the peers to do something to them: one line there, one back. */
async function control(...words) {
  const socket = createConnection({ host: '127.0.0.1', port: Number(set('TOMBOLO_CONTROL')) });
  socket.end(`${JSON.stringify(words)}\n`);
  const parts = [];
  for await (const part of socket) parts.push(part);
  const [ok, text] = JSON.parse(Buffer.concat(parts).toString());
  assert.ok(ok, `${words.join(' ')}: ${text}`);
  return text;
}

/** Waits until `value` gives what is expected; fails with the difference. */
export async function becomes(value, expected) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const now = await value();
    try {
      return assert.deepEqual(now, expected);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** A wire to a peer that can be cut and mended. */
export class Wire {
  #sockets = new Set();

  static async to(peer) {
    const wire = new Wire();
    wire.target = new URL(peer.url);
    await wire.mend();
    return wire;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  async mend() {
    this.server = createServer(near => {
      const far = createConnection({ host: this.target.hostname, port: Number(this.target.port) });
      for (const [socket, other] of [[near, far], [far, near]]) {
        this.#sockets.add(socket);
        socket.pipe(other);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.port ?? 0, '127.0.0.1', resolve);
    });
    this.port = this.server.address().port;
  }

  async cut() {
    const closed = new Promise(resolve => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
