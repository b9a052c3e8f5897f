import { Actor } from './actor';
import { Cell } from './cell';
import { Desk } from './desk';
import { DbConnection } from './module_bindings';
import { hex, OpenNote } from './note';
import { Outbox, Unanswered } from './outbox';
import { forgetSelf, recallIdentity, recallName, recallToken, rememberName, rememberSelf, type Place } from './place';
import { Redial } from './redial';
import { placeKey, type Store } from './store';
import { followSystem, type Sync } from './system';

/** How the page stands with its peer. */
export type Link =
  | { state: 'connecting' | 'online' }
  /** `refused` is a peer that does not take the token that was kept. */
  | { state: 'offline'; reason: string; refused: boolean };

/** How long a peer may take to say hello. */
const HELLO_MS = 10_000;
/** How often others are told where the cursor is. Each time is a call that all peers run and keep. */
const LOOK_MS = 2_000;

/** One place, and the connections to it, one after the other. */
export class Session {
  readonly link = new Cell<Link>({ state: 'connecting' });
  readonly me = new Cell<string | undefined>(undefined);
  readonly name = new Cell<string | undefined>(recallName());
  readonly sync = new Cell<Sync | undefined>(undefined);
  /** What went wrong that nobody waits for. */
  readonly notices = new Cell<readonly string[]>([]);
  readonly desk: Desk;
  readonly outbox: Outbox;

  #closed = false;
  #conn: DbConnection | undefined;
  #actor: Promise<Actor> | undefined;
  #wanted: string | undefined;
  #cursor: number | undefined;
  #looked: string | undefined;
  #looking: ReturnType<typeof setTimeout> | undefined;
  /** What to tell the calls without an answer when the connection ends. */
  readonly #unanswered = new Set<(error: Error) => void>();
  readonly #redial = new Redial(() => this.#connect());
  readonly #leaving = () => {
    this.desk.note.get()?.commit();
    this.store.rescue();
  };
  readonly #notice = (error: Error) => this.#tell(error.message);

  constructor(
    readonly place: Place,
    readonly store: Store,
  ) {
    this.desk = new Desk(placeKey(place), store, this.#notice, () => this.#look());
    this.outbox = new Outbox(store, this.#notice);
    addEventListener('pagehide', this.#leaving);
    void this.#begin();
  }

  /** Makes a note; gives its id. */
  async create(title: string): Promise<string> {
    // Drawn here, so that one can write in it before anybody else has heard of it.
    const id = crypto.getRandomValues(new BigUint64Array(2)).reduce((sum, part) => (sum << 64n) | part, 0n);
    await this.#call(conn => conn.reducers.create({ id, title }));
    return hex(id, 32);
  }

  setName(name: string): void {
    const trimmed = name.trim();
    rememberName(trimmed);
    this.name.set(trimmed);
    this.#look();
  }

  /** Opens a note, or none. */
  open(id: string | undefined): void {
    this.#wanted = id;
    void this.#open();
  }

  /** Tells the others where the cursor is; not each time. */
  cursorAt(at: number): void {
    this.#cursor = at;
    this.#look();
  }

  dismiss(notice: string): void {
    this.notices.set(this.notices.get().filter(other => other !== notice));
  }

  /** Sends again what was refused. */
  tryAgain(note: string): void {
    this.outbox.tryAgain(note);
  }

  /** Goes on without what was refused. */
  giveUp(note: string): void {
    const open = this.desk.note.get();
    if (open?.id === note) open.giveUp();
    else this.outbox.giveUp(note);
  }

  /** Does not wait for the time at which it would try again. */
  tryNow(): void {
    this.#redial.now();
  }

  /** Goes on as somebody new. */
  startAnew(): void {
    forgetSelf(this.place);
    location.reload();
  }

  close(): void {
    this.#closed = true;
    this.#redial.stop();
    this.#leaving();
    removeEventListener('pagehide', this.#leaving);
    this.#abandon();
    void this.#actor?.then(actor => actor.release());
  }

  /** What does not need the peer comes first. */
  async #begin(): Promise<void> {
    try {
      this.outbox.add(await this.store.unsent(placeKey(this.place)));
      await this.desk.recall();
    } catch (error) {
      this.#notice(error as Error);
    }
    const known = recallIdentity(this.place);
    if (known) await this.#be(known);
    if (!this.#closed) this.#connect();
  }

  /** Is somebody: one that the peer knows, or the one of the last time. */
  async #be(identity: string): Promise<void> {
    if (this.me.get() !== identity) {
      this.me.set(identity);
      await this.#actor?.then(actor => actor.release());
      this.#actor = Actor.take(this.store, this.place, identity);
    }
    await this.#open();
  }

  async #open(): Promise<void> {
    const actor = await this.#actor;
    const id = this.#wanted;
    const open = this.desk.note.get();
    if (open?.id === id && (open === undefined || open.actor === actor)) return;
    if (id === undefined || !actor) {
      this.desk.open(undefined);
      return;
    }
    const note = new OpenNote(id, placeKey(this.place), actor, this.outbox, this.store, this.#notice);
    this.desk.open(note);
    this.#cursor = undefined;
    // Who reads a note now is told of at once.
    clearTimeout(this.#looking);
    this.#looking = undefined;
    this.#looked = undefined;
    this.#look();
    await note.begin();
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
        rememberSelf(this.place, token, identity.toHexString());
        this.#follow(conn, identity.toHexString()).catch(lost);
      })
      .onConnectError((_ctx, error) => lost(error))
      .onDisconnect((_ctx, error) => lost(error))
      .build();
    this.#conn = conn;
  }

  async #follow(conn: DbConnection, identity: string): Promise<void> {
    await this.#be(identity);
    if (this.#conn !== conn) return;
    this.desk.begin(
      conn,
      identity,
      () => {
        if (this.#conn !== conn) return;
        this.#redial.reached();
        this.link.set({ state: 'online' });
        this.outbox.begin(identity, (note, changes) => this.#call(({ reducers }) => reducers.write({ note: BigInt(`0x${note}`), changes })));
        this.#looked = undefined;
        this.#look();
      },
      error => this.#conn === conn && this.#lost(error),
    );
    followSystem(conn, sync => this.#conn === conn && this.sync.set(sync));
  }

  #look(): void {
    this.#looking ??= setTimeout(() => {
      this.#looking = undefined;
      const note = this.desk.note.get();
      const name = this.name.get() ?? guestName(this.me.get() ?? '');
      const cursor = this.#cursor ?? 0;
      const look = `${note?.id} ${cursor} ${name}`;
      if (!note?.stand.get().loaded || this.link.get().state !== 'online') return;
      if (look === this.#looked && this.desk.isHere) return;
      this.#looked = look;
      this.#call(({ reducers }) => reducers.look({ note: BigInt(`0x${note.id}`), name, cursor })).catch((error: Error) => {
        if (!(error instanceof Unanswered)) this.#tell(`The others do not see that you are here: ${error.message}`);
      });
    }, this.#looked === undefined ? 0 : LOOK_MS);
  }

  #tell(notice: string): void {
    if (!this.notices.get().includes(notice)) this.notices.set([...this.notices.get(), notice]);
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
    this.desk.end();
    this.outbox.end();
    for (const tell of this.#unanswered) {
      tell(new Unanswered('The connection ended before the answer: look whether it arrived before you try again.'));
    }
    conn?.disconnect();
  }

  #call(what: (conn: DbConnection) => Promise<void>): Promise<void> {
    const conn = this.#conn;
    if (!conn || this.link.get().state !== 'online') return Promise.reject(new Unanswered('Not connected to the peer.'));
    return new Promise((resolve, reject) => {
      this.#unanswered.add(reject);
      what(conn).then(resolve, reject).finally(() => this.#unanswered.delete(reject));
    });
  }
}

/** What one is called without a name. */
export function guestName(identity: string): string {
  return `guest ${identity.slice(-4)}`;
}
