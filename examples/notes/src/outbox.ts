import { prefixOf } from './actor';
import { Cell } from './cell';
import { wordsIn } from './paper';
import type { Kept, Store } from './store';

/** Most changes that the module takes at once, and how many bytes of them are sent at once. */
const CALL = { changes: 64, bytes: 256 * 1024 };

/** Changes that are not sent because one of them was refused. */
export interface Refusal {
  note: string;
  /** Whose changes they are: the later ones build on the first. */
  actor: string;
  reason: string;
  /** What was typed in them. */
  words: string;
}

/** Calls `write`. Fails with [`Unanswered`] if nobody knows whether it arrived. */
export type Send = (note: string, changes: Uint8Array[]) => Promise<void>;

/** The connection ended before the answer. */
export class Unanswered extends Error {}

/** What was typed here and the peer does not have: of each note in the order in which it was made, one call after the other. */
export class Outbox {
  /** How many changes are not sent. */
  readonly count = new Cell(0);
  readonly refusals = new Cell<readonly Refusal[]>([]);

  readonly #waiting = new Map<string, Kept[]>();
  readonly #busy = new Set<string>();
  /** Notes of which each change goes alone, to find the one that is refused. */
  readonly #singly = new Set<string>();
  #send: { as: string; send: Send } | undefined;

  constructor(
    readonly store: Store,
    readonly failed: (error: Error) => void,
  ) {}

  /** Changes that no note has yet, or not any more. The last ones build on the first. */
  add(changes: readonly Kept[]): void {
    for (const note of new Set(changes.map(kept => kept.note))) {
      const waiting = [...this.of(note)];
      const known = new Set(waiting.map(kept => kept.hash));
      waiting.push(...changes.filter(kept => kept.note === note && !known.has(kept.hash)));
      // Those of an earlier page may come when this one has written already.
      this.#waiting.set(note, waiting.sort((a, b) => a.startOp - b.startOp));
    }
    this.#changed();
  }

  of(note: string): readonly Kept[] {
    return this.#waiting.get(note) ?? [];
  }

  /** The peer has these. */
  arrived(note: string, hashes: ReadonlySet<string>): void {
    const arrived = this.of(note).filter(kept => hashes.has(kept.hash));
    if (arrived.length === 0) return;
    this.#waiting.set(note, this.of(note).filter(kept => !hashes.has(kept.hash)));
    for (const kept of arrived) kept.sent = 1;
    this.store.put(arrived).catch(this.failed);
    this.#changed();
  }

  /** Sends from now on, as somebody. */
  begin(as: string, send: Send): void {
    this.#send = { as, send };
    for (const note of this.#waiting.keys()) void this.#work(note);
  }

  end(): void {
    this.#send = undefined;
  }

  /** Nothing of a note is sent any more until somebody says what is to become of it. */
  #refuse({ note, actor }: Kept, reason: string): void {
    const words = this.of(note).map(kept => (kept.actor === actor ? wordsIn(kept.bytes) : '')).join('');
    this.refusals.set([...this.#others(note), { note, actor, reason, words }]);
  }

  tryAgain(note: string): void {
    this.refusals.set(this.#others(note));
    void this.#work(note);
  }

  /** Gives up what was refused, and what builds on it. */
  giveUp(note: string): readonly Kept[] {
    const refused = this.refusals.get().find(refusal => refusal.note === note);
    const given = this.of(note).filter(kept => kept.actor === refused?.actor);
    this.#waiting.set(note, this.of(note).filter(kept => !given.includes(kept)));
    this.refusals.set(this.#others(note));
    this.store.drop(given).catch(this.failed);
    this.#changed();
    return given;
  }

  #others(note: string): Refusal[] {
    return this.refusals.get().filter(refusal => refusal.note !== note);
  }

  #changed(): void {
    let count = 0;
    for (const [note, waiting] of this.#waiting) {
      count += waiting.length;
      if (waiting.length === 0) {
        this.#waiting.delete(note);
        this.#singly.delete(note);
      } else void this.#work(note);
    }
    this.count.set(count);
  }

  async #work(note: string): Promise<void> {
    if (this.#busy.has(note)) return;
    this.#busy.add(note);
    try {
      while (await this.#sendSome(note));
    } finally {
      this.#busy.delete(note);
    }
  }

  /** Says whether to go on. */
  async #sendSome(note: string): Promise<boolean> {
    const line = this.#send;
    const waiting = this.of(note);
    const [first] = waiting;
    if (!line || !first || this.refusals.get().some(refusal => refusal.note === note)) return false;
    if (!first.actor.startsWith(prefixOf(line.as))) {
      this.#refuse(first, 'it was written by who you were before');
      return false;
    }
    const batch = this.#singly.has(note) ? [first] : batchOf(waiting);
    try {
      // If the browser cannot keep it, it is safer with the peer all the same.
      await this.store.put(batch).catch(this.failed);
      await line.send(note, batch.map(kept => kept.bytes));
    } catch (error) {
      if (error instanceof Unanswered || this.#send !== line) return this.#send !== undefined && this.#send !== line;
      if (batch.length > 1) {
        this.#singly.add(note);
        return true;
      }
      this.#singly.delete(note);
      this.#refuse(first, (error as Error).message);
      return false;
    }
    this.arrived(note, new Set(batch.map(kept => kept.hash)));
    return true;
  }
}

function batchOf(waiting: readonly Kept[]): Kept[] {
  let bytes = 0;
  const most = waiting.slice(0, CALL.changes);
  return most.filter((kept, index) => {
    bytes += kept.bytes.length;
    return index === 0 || bytes <= CALL.bytes;
  });
}
