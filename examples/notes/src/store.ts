import type { Place } from './place';

/** A change as the browser keeps it. */
export interface Kept {
  /** Of which database, at which peer. */
  place: string;
  /** Of which note, in hexadecimal form. */
  note: string;
  hash: string;
  actor: string;
  startOp: number;
  bytes: Uint8Array;
  /** Whether it was made in this browser. */
  own: boolean;
  /** Whether the peer has it: 1 if it has. A browser's index takes no booleans. */
  sent: 0 | 1;
}

/** A note in the list, as the browser keeps it. */
export interface KeptNote {
  place: string;
  id: string;
  title: string;
  /** Microseconds since 1970. */
  made: bigint;
}

interface KeptActor {
  place: string;
  identity: string;
  slot: number;
  actor: string;
}

const NAME = 'tombolo-notes';
/** Where changes are put when the page goes away before the database has them. */
const RESCUED = 'tombolo-notes rescued';

/** How a place is called in the keys. */
export function placeKey({ peer, database }: Place): string {
  return `${peer} ${database}`;
}

/**
 * What the browser keeps of notes (IndexedDB), so that one can go on without a peer, also after a reload. A change that was made
 * here is kept before it is sent: else a page that was reloaded could give its number to another one.
 */
export class Store {
  /** Changes that are not surely on disk yet. */
  readonly #unsafe = new Set<Kept>();

  private constructor(readonly db: IDBDatabase | undefined) {}

  /** Where the browser does not allow it, nothing is kept, and `db` is not there. */
  static async open(): Promise<Store> {
    const db = await openDatabase().catch(() => undefined);
    const store = new Store(db);
    // What cannot be brought back stays where it is, for the next time.
    await store.#bringBack().catch(() => {});
    return store;
  }

  /** Resolves when the changes are kept. Fails when the disk is full, for instance. */
  async put(changes: readonly Kept[]): Promise<void> {
    if (!this.db || changes.length === 0) return;
    for (const kept of changes) this.#unsafe.add(kept);
    await this.#write('changes', table => changes.forEach(kept => table.put(kept)));
    for (const kept of changes) this.#unsafe.delete(kept);
  }

  async drop(changes: readonly Kept[]): Promise<void> {
    if (changes.length === 0) return;
    await this.#write('changes', table => changes.forEach(({ place, note, hash }) => table.delete([place, note, hash])));
  }

  changes(place: string, note: string): Promise<Kept[]> {
    return this.#read<Kept>('changes', IDBKeyRange.bound([place, note, ''], [place, note, '\uffff']));
  }

  /** Those of all notes that the peer does not have. */
  unsent(place: string): Promise<Kept[]> {
    return this.#read<Kept>('changes', IDBKeyRange.only([place, 0]), 'sent');
  }

  notes(place: string): Promise<KeptNote[]> {
    return this.#read<KeptNote>('notes', IDBKeyRange.bound([place, ''], [place, '\uffff']));
  }

  async putNotes(notes: readonly KeptNote[]): Promise<void> {
    if (notes.length > 0) await this.#write('notes', table => notes.forEach(note => table.put(note)));
  }

  async dropNotes(notes: readonly KeptNote[]): Promise<void> {
    if (notes.length > 0) await this.#write('notes', table => notes.forEach(({ place, id }) => table.delete([place, id])));
  }

  async actor(place: string, identity: string, slot: number): Promise<string | undefined> {
    const [kept] = await this.#read<KeptActor>('actors', IDBKeyRange.only([place, identity, slot]));
    return kept?.actor;
  }

  async putActor(place: string, identity: string, slot: number, actor: string): Promise<void> {
    await this.#write('actors', table => table.put({ place, identity, slot, actor } satisfies KeptActor));
  }

  #read<T>(name: string, range: IDBKeyRange, index?: string): Promise<T[]> {
    const { db } = this;
    if (!db) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const table = db.transaction(name).objectStore(name);
      const asked = (index === undefined ? table : table.index(index)).getAll(range);
      asked.onsuccess = () => resolve(asked.result as T[]);
      asked.onerror = () => reject(asked.error);
    });
  }

  #write(name: string, work: (table: IDBObjectStore) => void): Promise<void> {
    const { db } = this;
    if (!db) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const transaction = db.transaction(name, 'readwrite');
      work(transaction.objectStore(name));
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('The browser kept nothing.'));
    });
  }

  /** A page that goes away waits for no database, but this it can do at once. */
  rescue(): void {
    if (this.#unsafe.size === 0) return;
    const changes = [...this.#unsafe].map(kept => ({ ...kept, bytes: [...kept.bytes] }));
    try {
      localStorage.setItem(`${RESCUED} ${crypto.getRandomValues(new Uint32Array(2)).join('')}`, JSON.stringify(changes));
    } catch {
      // Full, or forbidden. The database may still have got them.
    }
  }

  async #bringBack(): Promise<void> {
    if (!this.db) return;
    for (const key of Object.keys(localStorage).filter(key => key.startsWith(RESCUED))) {
      const text = localStorage.getItem(key);
      if (text === null) continue;
      const changes = JSON.parse(text) as (Omit<Kept, 'bytes'> & { bytes: number[] })[];
      await this.put(changes.map(kept => ({ ...kept, bytes: Uint8Array.from(kept.bytes) })));
      localStorage.removeItem(key);
    }
  }
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore('changes', { keyPath: ['place', 'note', 'hash'] }).createIndex('sent', ['place', 'sent']);
      asked.result.createObjectStore('notes', { keyPath: ['place', 'id'] });
      asked.result.createObjectStore('actors', { keyPath: ['place', 'identity', 'slot'] });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
