import { Cell } from './cell';
import { tables, type DbConnection, type NoteChange, type SubscriptionHandle } from './module_bindings';
import { hex, type OpenNote } from './note';
import type { KeptNote, Store } from './store';

/** Somebody who looks at the note. */
export interface Person {
  id: string;
  name: string;
}

/** What is followed and shown: the notes, the one that is open, who else looks at it. It stays when a connection ends. */
export class Desk {
  /** Nothing before they are read. */
  readonly notes = new Cell<readonly KeptNote[] | undefined>(undefined);
  readonly note = new Cell<OpenNote | undefined>(undefined);
  readonly people = new Cell<readonly Person[]>([]);

  /** Whether the others are told that we look at the note. */
  isHere = false;
  #conn: DbConnection | undefined;
  #followed: { note: string; handle: SubscriptionHandle } | undefined;
  #me: string | undefined;
  /** What came since the last look at the rows. */
  readonly #came: NoteChange[] = [];
  #went = false;
  #due = false;

  constructor(
    readonly place: string,
    readonly store: Store,
    readonly failed: (error: Error) => void,
    /** Is told when the others are not told that we look at the note: another page of ours may have gone, for instance. */
    readonly absent: () => void,
  ) {}

  /** Shows what the browser kept, until the peer answers. */
  async recall(): Promise<void> {
    const kept = await this.store.notes(this.place);
    if (this.notes.get() === undefined && kept.length > 0) this.notes.set(inOrder(kept));
  }

  /** Shows another note, or none. */
  open(note: OpenNote | undefined): void {
    this.note.get()?.commit();
    this.note.set(note);
    this.people.set([]);
    this.#went = false;
    this.#came.length = 0;
    if (this.#conn) this.#follow(this.#conn);
  }

  /** Reads from a new connection from now on, as somebody. */
  begin(conn: DbConnection, me: string, ready: () => void, failed: (error: Error | undefined) => void): void {
    this.end();
    this.#me = me;
    conn.db.note.onInsert(() => this.#changed());
    conn.db.note.onDelete(() => this.#changed());
    conn.db.note.onUpdate(() => this.#changed());
    conn.db.reader.onInsert(() => this.#changed());
    conn.db.reader.onDelete(() => this.#changed());
    conn.db.reader.onUpdate(() => this.#changed());
    conn.db.noteChange.onInsert((_ctx, row) => {
      this.#came.push(row);
      this.#changed();
    });
    conn.db.noteChange.onDelete(() => {
      this.#went = true;
      this.#changed();
    });
    conn.subscriptionBuilder()
      .onApplied(() => {
        this.#conn = conn;
        this.#changed();
        this.#follow(conn);
        ready();
      })
      .onError(ctx => failed(ctx.event))
      .subscribe([tables.note, tables.reader]);
  }

  end(): void {
    this.#conn = undefined;
    this.#followed = undefined;
    this.#came.length = 0;
  }

  /** Once for all rows that change together. */
  #changed(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (this.#conn) this.#look(this.#conn);
    });
  }

  #look(conn: DbConnection): void {
    this.#readNotes(conn);
    const note = this.note.get();
    const rows = this.#came.splice(0);
    if (!note) return;
    this.#readPeople(conn, note);
    // The rows of a note that is left go when it is not followed any more: that says nothing.
    if (this.#followed?.note !== note.id || !this.#followed.handle.isActive()) return;
    if (this.#went) note.settle(rowsOf(conn, note.id));
    else note.came(rows.filter(row => hex(row.note, 32) === note.id));
    this.#went = false;
  }

  #readNotes(conn: DbConnection): void {
    const before = new Map(this.notes.get()?.map(note => [note.id, note]));
    const notes = [...conn.db.note.iter()].map(row => {
      const id = hex(row.id, 32);
      return before.get(id) ?? { place: this.place, id, title: row.title, made: row.made.microsSinceUnixEpoch };
    });
    const fresh = notes.filter(note => !before.has(note.id));
    if (fresh.length === 0 && notes.length === before.size && this.notes.get()) return;
    this.notes.set(inOrder(notes));
    this.store.putNotes(fresh).catch(this.failed);
    const there = new Set(notes.map(note => note.id));
    this.store.dropNotes([...before.values()].filter(note => !there.has(note.id))).catch(this.failed);
  }

  #readPeople(conn: DbConnection, note: OpenNote): void {
    const readers = [...conn.db.reader.iter()].filter(row => hex(row.note, 32) === note.id);
    const people = readers.map(row => ({ id: row.identity.toHexString(), name: row.name, at: row.cursor }));
    this.isHere = people.some(person => person.id === this.#me);
    if (!this.isHere) this.absent();
    people.sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
    if (keyOf(people) === keyOf(this.people.get())) return this.#readCarets(note, people);
    this.people.set(people);
    this.#readCarets(note, people);
  }

  /** A cursor that somebody has told of is there; one that has not been told of anew is where it has moved to. */
  #told = new Map<string, number>();

  #readCarets(note: OpenNote, people: readonly (Person & { at: number })[]): void {
    const others = people.filter(person => person.id !== this.#me);
    const before = new Map(note.carets.get().map(caret => [caret.identity, caret]));
    const carets = others.map(({ id, name, at }) => {
      const known = before.get(id);
      return { identity: id, name, at: known && this.#told.get(id) === at ? known.at : at };
    });
    this.#told = new Map(others.map(({ id, at }) => [id, at]));
    const same = carets.length === before.size && carets.every(({ identity, name, at }) => {
      const known = before.get(identity);
      return known?.at === at && known.name === name;
    });
    if (!same) note.carets.set(carets);
  }

  #follow(conn: DbConnection): void {
    const before = this.#followed;
    const note = this.note.get();
    if (before?.note === note?.id) return;
    // One that was not answered yet ends when it is.
    if (before?.handle.isActive()) before.handle.unsubscribe();
    this.#followed = undefined;
    if (!note) return;
    const id = BigInt(`0x${note.id}`);
    const handle = conn.subscriptionBuilder()
      .onApplied(() => {
        if (this.#followed?.handle !== handle) return handle.unsubscribe();
        this.#went = false;
        note.settle(rowsOf(conn, note.id));
        this.#changed();
      })
      .subscribe([tables.noteChange.where(row => row.note.eq(id))]);
    this.#followed = { note: note.id, handle };
  }
}

function rowsOf(conn: DbConnection, note: string): NoteChange[] {
  return [...conn.db.noteChange.iter()].filter(row => hex(row.note, 32) === note);
}

function inOrder(notes: readonly KeptNote[]): KeptNote[] {
  return [...notes].sort((a, b) => (a.made > b.made ? -1 : a.made < b.made ? 1 : a.id < b.id ? -1 : 1));
}

function keyOf(people: readonly Person[]): string {
  return people.map(({ id, name }) => `${id} ${name}`).join('\n');
}
