import type { Cursor, Doc } from '@automerge/automerge/slim';
import { Automerge } from './automerge';
import { spliced, type Splice } from './splice';

/** A note, as the module makes it. */
export interface Text {
  text: string;
}

const PATH = ['text'];

/**
 * Characters that an edit put in or took out. Each has a name that it keeps whatever others write around it: Automerge's
 * cursor to it, which is the number of the operation that made it.
 */
export interface Run {
  kind: 'put' | 'taken';
  names: Cursor[];
  letters: string[];
  /** Those beside it when it was taken out, where there were any: it goes back between them. */
  before: Cursor | undefined;
  after: Cursor | undefined;
}

/** The text within one change: what is done to it, and how that is undone. */
export class Hand {
  readonly done: Splice[] = [];

  constructor(
    readonly doc: Doc<Text>,
    public text: string,
  ) {}

  /** Puts text in; gives what it needs to be taken out again. */
  put(at: number, text: string): Run {
    this.#splice({ at, del: 0, put: text });
    return { kind: 'put', ...this.#run(at, text) };
  }

  /** Takes text out; gives what it needs to be put in again. */
  take(at: number, length: number): Run {
    const run: Run = { kind: 'taken', ...this.#run(at, this.text.slice(at, at + length)) };
    this.#splice({ at, del: length, put: '' });
    return run;
  }

  /** Takes back what an edit did. Gives the edits that take that back, the last one last. */
  back(run: Run): Run[] {
    if (run.kind === 'taken') return [this.put(this.#placeFor(run), run.letters.join(''))];
    // Others may have written in between, or have deleted some of it.
    const found: { at: number; length: number }[] = [];
    run.names.forEach((name, index) => {
      const at = this.#find(name);
      if (at === undefined) return;
      const length = run.letters[index]?.length ?? 1;
      const last = found.at(-1);
      if (last && last.at + last.length === at) last.length += length;
      else found.push({ at, length });
    });
    return found.reverse().map(({ at, length }) => this.take(at, length));
  }

  #splice(splice: Splice): void {
    Automerge.splice(this.doc, PATH, splice.at, splice.del, splice.put);
    this.text = spliced(this.text, splice);
    this.done.push(splice);
  }

  #run(at: number, text: string): Omit<Run, 'kind'> {
    const letters = [...text];
    let place = at;
    const names = letters.map(letter => {
      const name = this.#name(place);
      place += letter.length;
      return name;
    });
    return { names, letters, before: this.#nameBefore(at), after: place < this.text.length ? this.#name(place) : undefined };
  }

  #name(at: number): Cursor {
    return Automerge.getCursor(this.doc, PATH, at);
  }

  #nameBefore(at: number): Cursor | undefined {
    if (at === 0) return undefined;
    return this.#name(/[\udc00-\udfff]/.test(this.text[at - 1] ?? '') && at > 1 ? at - 2 : at - 1);
  }

  /** Where a character is, if it still is. */
  #find(name: Cursor): number | undefined {
    const at = this.#placeOf(name);
    // That of a character that is gone is the next one's.
    return at < this.text.length && this.#name(at) === name ? at : undefined;
  }

  #placeOf(name: Cursor): number {
    return Automerge.getCursorPosition(this.doc, PATH, name);
  }

  /** Beside what it stood beside. The place of the characters themselves would not do: what was taken out after them, and is
   * back already, is not in the order that they were in. */
  #placeFor({ before, after }: Run): number {
    const left = before === undefined ? undefined : this.#find(before);
    if (left !== undefined) return left + (this.text.codePointAt(left)! > 0xffff ? 2 : 1);
    const right = after === undefined ? undefined : this.#find(after);
    if (right !== undefined) return right;
    return before === undefined ? 0 : this.#placeOf(before);
  }
}
