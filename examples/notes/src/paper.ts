import type { Doc } from '@automerge/automerge/slim';
import { Automerge } from './automerge';
import { Hand, type Run, type Text } from './hand';
import { pieces, spliced, type Splice } from './splice';
import { Steps } from './steps';

/** Most units that one change puts in and takes out. The peer takes 16,384 operations, one for each character. */
const CHANGE_UNITS_MAX = 4_096;

/** A change, and what is told by it. */
export interface Change {
  /** In hexadecimal form, as all numbers here. */
  hash: string;
  actor: string;
  /** Higher than those of all changes that it builds on. */
  startOp: number;
  bytes: Uint8Array;
}

/**
 * One's own copy of a note: an Automerge document, and what was typed that is not in it yet. Automerge's library ends a
 * change with each call of `change`, so what is typed within a moment waits here to become one. Nothing is merged before it is
 * in, so its places are always those of the text that is shown.
 */
export class Paper {
  #doc: Doc<Text>;
  #text: string;
  readonly #typed: { splice: Splice; time: number }[] = [];
  readonly steps = new Steps();

  /** Of changes, in any order. */
  constructor(actor: string, changes: Uint8Array[]) {
    [this.#doc] = Automerge.applyChanges(Automerge.init<Text>({ actor }), changes);
    this.#text = this.#doc.text ?? '';
  }

  /** Whether there is a text to write in: there is, once the note's first change is there. */
  get isThere(): boolean {
    return typeof this.#doc.text === 'string';
  }

  /** Whether all changes that others build on are there. */
  get isWhole(): boolean {
    return Automerge.getMissingDeps(this.#doc, []).length === 0;
  }

  /** With what was typed. */
  get text(): string {
    return this.#text;
  }

  get hasTyped(): boolean {
    return this.#typed.length > 0;
  }

  type(splice: Splice, time: number): void {
    // Half a character cannot be in a document.
    const put = splice.put.replace(/\p{Surrogate}/gu, '\ufffd');
    this.#text = spliced(this.#text, { ...splice, put });
    this.#typed.push({ splice: { ...splice, put }, time });
  }

  /** Makes changes of what was typed. */
  commit(): Change[] {
    const made: Change[] = [];
    let text = this.#doc.text;
    let group: { piece: Splice; time: number }[] = [];
    let units = 0;
    const end = () => {
      const edits = group;
      group = [];
      units = 0;
      if (edits.length > 0) made.push(this.#change(hand => edits.forEach(({ piece, time }) => this.#edit(hand, piece, time))));
    };
    for (const { splice, time } of this.#typed.splice(0)) {
      for (const piece of pieces(text, splice, CHANGE_UNITS_MAX)) {
        const size = piece.del + piece.put.length;
        if (size === 0) continue;
        if (units + size > CHANGE_UNITS_MAX) end();
        group.push({ piece, time });
        units += size;
        text = spliced(text, piece);
      }
    }
    end();
    return made;
  }

  /** Merges others' changes, when nothing is typed that is not in yet. Gives what that does to the text. */
  merge(changes: Uint8Array[]): Splice[] {
    const splices: Splice[] = [];
    const [doc] = Automerge.applyChanges(this.#doc, changes, {
      patchCallback: patches => {
        for (const patch of patches) {
          const [field, at] = patch.path;
          if (field !== 'text' || typeof at !== 'number') continue;
          if (patch.action === 'splice') splices.push({ at, del: 0, put: patch.value });
          if (patch.action === 'del') splices.push({ at, del: patch.length ?? 1, put: '' });
        }
      },
    });
    this.#doc = doc;
    this.#text = doc.text ?? '';
    return splices;
  }

  /** Takes back the last thing that oneself did, when nothing is typed that is not in yet. */
  undo(): { changes: Change[]; splices: Splice[] } {
    return this.#turn('undo');
  }

  /** Does again what was taken back last. */
  redo(): { changes: Change[]; splices: Splice[] } {
    return this.#turn('redo');
  }

  #turn(way: 'undo' | 'redo'): { changes: Change[]; splices: Splice[] } {
    const changes: Change[] = [];
    const splices: Splice[] = [];
    this.steps[way](edit => {
      const before = Automerge.getHeads(this.#doc).join();
      const change = this.#change(hand => {
        edit(hand);
        splices.push(...hand.done);
      });
      // Others may have deleted all of it.
      if (Automerge.getHeads(this.#doc).join() !== before) changes.push(change);
    });
    return { changes, splices };
  }

  #edit(hand: Hand, { at, del, put }: Splice, time: number): void {
    const runs: Run[] = [];
    if (del > 0) runs.push(hand.take(at, del));
    if (put !== '') runs.push(hand.put(at, put));
    this.steps.add(runs, at, time);
  }

  #change(edit: (hand: Hand) => void): Change {
    const before = this.#doc.text;
    let after = before;
    this.#doc = Automerge.change(this.#doc, doc => {
      const hand = new Hand(doc, before);
      edit(hand);
      after = hand.text;
    });
    this.#text = after;
    return read(Automerge.getLastLocalChange(this.#doc)!);
  }
}

/** What is told by a change. */
export function read(bytes: Uint8Array): Change {
  const { hash, actor, startOp } = Automerge.decodeChange(bytes);
  if (hash === null) throw new Error('A change without a name.');
  return { hash, actor, startOp, bytes };
}

/** The characters that a change puts in: to be told of where the change is refused. */
export function wordsIn(bytes: Uint8Array): string {
  const { ops } = Automerge.decodeChange(bytes);
  return ops.map(op => (op.action === 'set' && 'insert' in op && op.insert && 'value' in op && typeof op.value === 'string' ? op.value : '')).join('');
}
