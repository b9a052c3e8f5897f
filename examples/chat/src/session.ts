import type { Identity } from 'spacetimedb';
import { Cell } from './cell';
import type { Late } from './late';
import { DbConnection } from './module_bindings';
import { forgetToken, recallToken, rememberToken, type Place } from './place';
import { Redial } from './redial';
import { Shown } from './shown';
import { followSystem, type Sync } from './system';

/** How the page stands with its peer. */
export type Link =
  | { state: 'connecting' | 'online' }
  /** `refused` is a peer that does not take the token that was kept. */
  | { state: 'offline'; reason: string; refused: boolean };

/** How long a peer may take to say hello. */
const HELLO_MS = 10_000;

/** One place, and the connections to it, one after the other. */
export class Session {
  readonly link = new Cell<Link>({ state: 'connecting' });
  readonly me = new Cell<string | undefined>(undefined);
  readonly sync = new Cell<Sync | undefined>(undefined);
  readonly late = new Cell<readonly Late[]>([]);
  readonly shown = new Shown();

  #conn: DbConnection | undefined;
  /** What to tell the calls without an answer when the connection ends. */
  readonly #unanswered = new Set<(error: Error) => void>();
  readonly #redial = new Redial(() => this.#connect());

  constructor(readonly place: Place) {
    this.#connect();
  }

  say(room: string, text: string): Promise<void> {
    return this.#call(conn => conn.reducers.sendMessage({ room, text }));
  }

  addRoom(name: string): Promise<void> {
    return this.#call(conn => conn.reducers.openRoom({ name }));
  }

  setName(name: string): Promise<void> {
    return this.#call(conn => conn.reducers.setName({ name }));
  }

  dismiss(call: Late): void {
    this.late.set(this.late.get().filter(other => other !== call));
  }

  /** Does not wait for the time at which it would try again. */
  tryNow(): void {
    this.#redial.now();
  }

  /** Goes on as somebody new. */
  startAnew(): void {
    forgetToken(this.place);
    this.#redial.now();
  }

  close(): void {
    this.#redial.stop();
    this.#abandon();
  }

  #connect(): void {
    // While it keeps trying, it stays offline: a mark that flickers tells nothing.
    if (this.link.get().state === 'online') this.link.set({ state: 'connecting' });
    const lost = (error?: Error) => {
      clearTimeout(hello);
      if (this.#conn === conn) this.#lost(error);
    };
    const hello = setTimeout(() => lost(new Error('it does not answer')), HELLO_MS);
    const conn: DbConnection = DbConnection.builder()
      .withUri(this.place.peer)
      .withDatabaseName(this.place.database)
      .withToken(recallToken(this.place))
      // The peer is near, and the library may hand on a small frame before a compressed one.
      .withCompression('none')
      .onConnect((_conn, identity, token) => {
        clearTimeout(hello);
        if (this.#conn !== conn) return;
        rememberToken(this.place, token);
        this.#begin(conn, identity);
      })
      .onConnectError((_ctx, error) => lost(error))
      .onDisconnect((_ctx, error) => lost(error))
      .build();
    this.#conn = conn;
  }

  #begin(conn: DbConnection, identity: Identity): void {
    this.me.set(identity.toHexString());
    this.shown.begin(
      conn,
      () => {
        if (this.#conn !== conn) return;
        this.#redial.reached();
        this.link.set({ state: 'online' });
      },
      error => this.#conn === conn && this.#lost(error),
    );
    followSystem(
      conn,
      identity,
      sync => this.#conn === conn && this.sync.set(sync),
      call => this.late.set([...this.late.get(), call]),
    );
  }

  #lost(error: Error | undefined): void {
    this.#abandon();
    const reason = error?.message ?? '';
    const refused = /\b401\b|unauthorized/i.test(reason) && recallToken(this.place) !== undefined;
    this.link.set({ state: 'offline', reason, refused });
    this.#redial.later();
  }

  #abandon(): void {
    const conn = this.#conn;
    this.#conn = undefined;
    this.shown.end();
    for (const tell of this.#unanswered) {
      tell(new Error('The connection ended before the answer: look whether it arrived before you try again.'));
    }
    conn?.disconnect();
  }

  #call(what: (conn: DbConnection) => Promise<void>): Promise<void> {
    const conn = this.#conn;
    if (!conn || this.link.get().state !== 'online') return Promise.reject(new Error('Not connected to the peer.'));
    return new Promise((resolve, reject) => {
      this.#unanswered.add(reject);
      what(conn).then(resolve, reject).finally(() => this.#unanswered.delete(reject));
    });
  }
}
