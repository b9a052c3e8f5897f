import { Cell } from './cell';
import { tables, type DbConnection, type SubscriptionHandle } from './module_bindings';
import { inOrder, type Said } from './order';

export interface Person {
  id: string;
  name: string;
  here: boolean;
}

export interface Conversation {
  room: string;
  /** Whether the messages have come; before, nobody knows whether there are any. */
  loaded: boolean;
  messages: Said[];
}

/** What the page shows of the tables. It stays when a connection ends, until the next one has read. */
export class Shown {
  /** Nothing before the first rows have come. */
  readonly rooms = new Cell<readonly string[] | undefined>(undefined);
  readonly people = new Cell<ReadonlyMap<string, Person>>(new Map());
  readonly conversation = new Cell<Conversation | undefined>(undefined);

  #conn: DbConnection | undefined;
  #followed: { room: bigint; handle: SubscriptionHandle } | undefined;
  #wanted: string | undefined;
  #due = false;

  /** Shows another room; without a name, the lobby. */
  open(room: string | undefined): void {
    this.#wanted = room;
    this.#changed();
  }

  /** Reads from a new connection from now on. */
  begin(conn: DbConnection, ready: () => void, failed: (error: Error | undefined) => void): void {
    this.end();
    for (const table of [conn.db.user, conn.db.room, conn.db.message]) {
      table.onInsert(() => this.#changed());
      table.onDelete(() => this.#changed());
      table.onUpdate(() => this.#changed());
    }
    conn.subscriptionBuilder()
      .onApplied(() => {
        this.#conn = conn;
        this.#changed();
        ready();
      })
      .onError(ctx => failed(ctx.event))
      .subscribe([tables.user, tables.room]);
  }

  end(): void {
    this.#conn = undefined;
    this.#followed = undefined;
  }

  /** Once for all rows that change together. */
  #changed(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.#conn) this.#read(this.#conn);
    });
  }

  #read(conn: DbConnection): void {
    const people = [...conn.db.user.iter()].map(user => {
      const id = user.identity.toHexString();
      return [id, { id, name: user.name, here: user.connections > 0 }] as const;
    });
    this.people.set(new Map(people));
    const rooms = [...conn.db.room.iter()].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.rooms.set(rooms.map(room => room.name));
    // By name: with sequential ids, a room may get another one until it is final.
    const name = this.#wanted ?? (rooms.find(room => room.name === 'lobby') ?? rooms[0])?.name;
    const room = rooms.find(room => room.name === name);
    if (!room) {
      this.conversation.set(undefined);
      return;
    }
    if (this.#followed?.room !== room.id) this.#follow(conn, room.id);
    const loaded = this.#followed?.handle.isActive() ?? false;
    // A room that is shown already stays as it is until its rows have come again.
    if (!loaded && this.conversation.get()?.room === room.name) return;
    const messages = loaded ? inOrder([...conn.db.message.iter()].filter(row => row.room === room.id)) : [];
    this.conversation.set({ room: room.name, loaded, messages });
  }

  #follow(conn: DbConnection, room: bigint): void {
    const before = this.#followed?.handle;
    // One that was not answered yet ends when it is.
    if (before?.isActive()) before.unsubscribe();
    const handle = conn.subscriptionBuilder()
      .onApplied(() => {
        if (this.#followed?.handle === handle) this.#changed();
        else handle.unsubscribe();
      })
      .subscribe([tables.message.where(row => row.room.eq(room))]);
    this.#followed = { room, handle };
  }
}
