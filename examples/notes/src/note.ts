import type { Actor } from './actor';
import { Cell } from './cell';
import type { NoteChange } from './module_bindings';
import type { Outbox } from './outbox';
import { Paper, type Change } from './paper';
import { difference, moved, type Splice } from './splice';
import type { Kept, Store } from './store';

/** What is typed within this time becomes one change. */
const GATHER_MS = 100;

/** What a page shows a note in. */
export interface Box {
  /** The text has changed, but not by what was typed. `cursor` is where one's own belongs, where that is another place. */
  edited(splices: readonly Splice[], cursor?: number): void;
  /** Whether the text must stay as it is for a moment: a browser puts a character together. */
  isComposing(): boolean;
}

/** Where somebody else's cursor is. */
export interface Caret {
  identity: string;
  name: string;
  at: number;
}

/** What buttons and marks depend on. */
export interface Stand {
  /** Whether there is something to show and write in. */
  loaded: boolean;
  canUndo: boolean;
  canRedo: boolean;
}

/** A note that is open: one's own copy, and the ways between it, the rows, the browser's disk and what is sent. */
export class OpenNote {
  readonly stand = new Cell<Stand>({ loaded: false, canUndo: false, canRedo: false });
  /** Whether something was typed that is in no change yet. */
  readonly typing = new Cell(false);
  readonly carets = new Cell<readonly Caret[]>([]);

  #paper: Paper;
  #box: Box | undefined;
  /** The changes in the copy, by their names. */
  readonly #known = new Map<string, Kept>();
  /** Rows to be merged when that can be done. */
  #rows: NoteChange[] = [];
  #gather: ReturnType<typeof setTimeout> | undefined;
  /** All rows, where the copy has yet to be made to agree with them. */
  #unsettled: readonly NoteChange[] | undefined;
  /** Whether what the browser kept has been read. */
  #read = false;

  constructor(
    readonly id: string,
    readonly place: string,
    readonly actor: Actor,
    readonly outbox: Outbox,
    readonly store: Store,
    readonly failed: (error: Error) => void,
  ) {
    this.#paper = new Paper(actor.name, []);
  }

  /** Reads what the browser has kept of it. */
  async begin(): Promise<void> {
    const kept = await this.store.changes(this.place, this.id).catch((error: Error) => (this.failed(error), []));
    this.#make([...kept, ...this.outbox.of(this.id)]);
    this.#box?.edited([{ at: 0, del: 0, put: this.text }]);
    this.#read = true;
    this.composed();
  }

  get text(): string {
    return this.#paper.text;
  }

  show(box: Box): () => void {
    this.#box = box;
    return () => {
      this.commit();
      this.#box = undefined;
    };
  }

  /** Something was typed. */
  type(splice: Splice): void {
    this.#paper.type(splice, Date.now());
    this.#moveCarets([splice]);
    this.#gather ??= setTimeout(() => this.commit(), GATHER_MS);
    this.typing.set(true);
    this.#tell();
  }

  /** Makes a change of what was typed, and has it sent. */
  commit(): void {
    clearTimeout(this.#gather);
    this.#gather = undefined;
    if (!this.#paper.hasTyped) return;
    this.#made(this.#paper.commit());
    this.typing.set(false);
    this.#tell();
  }

  undo(): void {
    this.commit();
    this.#turned(this.#paper.undo());
  }

  redo(): void {
    this.commit();
    this.#turned(this.#paper.redo());
  }

  /** What is typed next is undone on its own. */
  pause(): void {
    this.commit();
    this.#paper.steps.close();
  }

  /** Rows came. */
  came(rows: readonly NoteChange[]): void {
    this.#rows.push(...rows);
    this.#mergeRows();
  }

  /** What has waited for a character to be put together. */
  composed(): void {
    if (this.#unsettled) this.settle(this.#unsettled);
    this.#mergeRows();
  }

  /** Makes the copy agree with all rows that there are: some have gone, or all have come anew. */
  settle(rows: readonly NoteChange[]): void {
    this.#unsettled = rows;
    if (!this.#read || this.#box?.isComposing()) return;
    this.#unsettled = undefined;
    const there = new Set(rows.map(nameOf));
    const gone = [...this.#known.values()].filter(kept => kept.sent === 1 && !there.has(kept.hash));
    if (gone.length === 0) {
      this.came(rows);
      return;
    }
    this.commit();
    const mine = gone.filter(kept => kept.own);
    for (const kept of mine) kept.sent = 0;
    const others = gone.filter(kept => !kept.own);
    this.store.drop(others).catch(this.failed);
    this.store.put(mine).catch(this.failed);
    this.outbox.add(mine);
    this.#rows = [];
    const kept = rows.map(row => this.#known.get(nameOf(row)) ?? this.#keptOf(row));
    this.outbox.arrived(this.id, there);
    this.store.put(kept.filter(kept => !this.#known.has(kept.hash))).catch(this.failed);
    this.#anew(kept);
  }

  /** Goes on without what was refused. */
  giveUp(): void {
    this.commit();
    const given = new Set(this.outbox.giveUp(this.id).map(kept => kept.hash));
    // The numbers of what is gone are not given again.
    this.actor.change();
    this.#anew([...this.#known.values()].filter(kept => !given.has(kept.hash)));
  }

  /** Makes the copy of other changes, and shows it. */
  #anew(changes: Kept[]): void {
    const before = this.text;
    this.#make([...changes, ...this.outbox.of(this.id)]);
    const splice = difference(before, this.text, this.text.length);
    this.#box?.edited([splice]);
    this.#moveCarets([splice]);
  }

  #make(changes: readonly Kept[]): void {
    const order = [...changes].sort((a, b) => a.startOp - b.startOp);
    this.#known.clear();
    for (const kept of order) this.#known.set(kept.hash, kept);
    const bytes = [...this.#known.values()].map(kept => kept.bytes);
    this.#paper = new Paper(this.actor.name, bytes);
    if (!this.#paper.isWhole) {
      // The next number of this actor may be one of those that wait for what is missing.
      this.actor.change();
      this.#paper = new Paper(this.actor.name, bytes);
    }
    this.#tell();
  }

  #mergeRows(): void {
    if (!this.#read || this.#rows.length === 0 || this.#box?.isComposing()) return;
    const rows = this.#rows;
    this.#rows = [];
    this.outbox.arrived(this.id, new Set(rows.map(nameOf)));
    const fresh = rows.filter(row => !this.#known.has(nameOf(row))).map(row => this.#keptOf(row));
    if (fresh.length === 0) return;
    this.commit();
    for (const kept of fresh) this.#known.set(kept.hash, kept);
    this.store.put(fresh).catch(this.failed);
    try {
      this.#changed(this.#paper.merge(fresh.map(kept => kept.bytes)));
    } catch (error) {
      // One of ours has the number of one of these. The peer refuses ours, and without it they can be merged.
      if (this.outbox.of(this.id).length === 0) this.failed(error as Error);
    }
  }

  #turned({ changes, splices }: { changes: Change[]; splices: Splice[] }): void {
    this.#made(changes);
    const last = splices.at(-1);
    this.#changed(splices, last && last.at + last.put.length);
  }

  #changed(splices: readonly Splice[], cursor?: number): void {
    this.#box?.edited(splices, cursor);
    this.#moveCarets(splices);
    this.#tell();
  }

  #made(changes: readonly Change[]): void {
    const made = changes.map(change => ({ ...change, place: this.place, note: this.id, own: true, sent: 0 }) satisfies Kept);
    for (const kept of made) this.#known.set(kept.hash, kept);
    this.store.put(made).catch(this.failed);
    this.outbox.add(made);
  }

  #keptOf(row: NoteChange): Kept {
    return {
      place: this.place,
      note: this.id,
      hash: nameOf(row),
      actor: hex(row.actor, 32),
      startOp: row.startOp,
      bytes: row.bytes,
      own: false,
      sent: 1,
    };
  }

  #moveCarets(splices: readonly Splice[]): void {
    if (this.carets.get().length === 0) return;
    // Where others write, their cursors go along.
    this.carets.set(this.carets.get().map(caret => ({ ...caret, at: splices.reduce((at, splice) => moved(at, splice, true), caret.at) })));
  }

  #tell(): void {
    const { isThere, hasTyped, steps } = this.#paper;
    const now = { loaded: isThere, canUndo: hasTyped || steps.canUndo, canRedo: !hasTyped && steps.canRedo };
    const before = this.stand.get();
    if (before.loaded !== now.loaded || before.canUndo !== now.canUndo || before.canRedo !== now.canRedo) this.stand.set(now);
  }
}

/** The name of a row's change, as Automerge writes it. */
function nameOf(row: NoteChange): string {
  return hex(row.hash, 64);
}

/** A number as the module and Automerge write it. */
export function hex(number: bigint, digits: number): string {
  return number.toString(16).padStart(digits, '0');
}
