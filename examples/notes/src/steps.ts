import type { Cursor } from '@automerge/automerge/slim';
import type { Hand, Run } from './hand';

/** Does something to the text, in one change. */
export type Act = (edit: (hand: Hand) => void) => void;

/** Longest run that is still added to, in characters: undoing one is one change, and a change has its limits. */
const RUN_MAX = 4_096;

/** What is typed without such a pause is undone in one go. */
const PAUSE_MS = 1_000;
/** So many steps can be undone. */
const STEPS_MAX = 500;

/** What is undone in one go. */
interface Step {
  runs: Run[];
  /** Of its last edit. */
  time: number;
  /** Where one would go on. */
  next: number;
  /** Whether it can be gone on with: not one that undid or redid something. */
  open: boolean;
}

/** What oneself did to a text, to be undone and done again. What others did is never touched. */
export class Steps {
  #done: Step[] = [];
  #undone: Step[] = [];

  get canUndo(): boolean {
    return this.#done.length > 0;
  }

  get canRedo(): boolean {
    return this.#undone.length > 0;
  }

  clear(): void {
    this.#done = [];
    this.#undone = [];
  }

  /** After an edit at a place. */
  add(runs: Run[], at: number, time: number): void {
    this.#undone = [];
    const [run, ...more] = runs;
    const last = this.#done.at(-1);
    if (run && more.length === 0 && last?.open && time - last.time < PAUSE_MS && goesOn(last, run, at)) {
      last.time = time;
      last.next = nextOf(run, at);
      return;
    }
    const final = runs.at(-1);
    if (!final) return;
    this.#done.push({ runs, time, next: nextOf(final, at), open: true });
    if (this.#done.length > STEPS_MAX) this.#done.shift();
  }

  /** The next edit that is typed begins a step of its own. */
  close(): void {
    const last = this.#done.at(-1);
    if (last) last.open = false;
  }

  undo(act: Act): void {
    this.#turn(act, this.#done, this.#undone);
  }

  redo(act: Act): void {
    this.#turn(act, this.#undone, this.#done);
  }

  #turn(act: Act, from: Step[], to: Step[]): void {
    const step = from.pop();
    if (!step) return;
    const runs: Run[] = [];
    for (const run of step.runs.reverse()) {
      act(hand => {
        const made = hand.back(run);
        runs.push(...made);
        if (run.kind === 'taken' && made[0]) this.#rename(run.names, made[0].names, [...step.runs, ...runs]);
      });
    }
    if (runs.length > 0) to.push({ runs, time: 0, next: 0, open: false });
  }

  /** What was taken out and put in again has other names; the steps before and after it mean the new ones. */
  #rename(old: Cursor[], now: Cursor[], others: Run[]): void {
    const names = new Map(old.map((name, index) => [name, now[index]]));
    const renamed = (name: Cursor) => names.get(name) ?? name;
    const kept = [...this.#done, ...this.#undone].flatMap(step => step.runs);
    for (const run of [...kept, ...others]) {
      run.names = run.names.map(renamed);
      if (run.before !== undefined) run.before = renamed(run.before);
      if (run.after !== undefined) run.after = renamed(run.after);
    }
  }
}

function nextOf(run: Run, at: number): number {
  return run.kind === 'put' ? at + lengthOf(run) : at;
}

function lengthOf({ letters }: Run): number {
  return letters.reduce((sum, letter) => sum + letter.length, 0);
}

/** Takes an edit into a step that it goes on with: typing, deleting forwards or backwards. */
function goesOn(step: Step, run: Run, at: number): boolean {
  const last = step.runs.at(-1);
  if (last?.kind !== run.kind) return false;
  const backwards = run.kind === 'taken' && at + lengthOf(run) === step.next;
  if (at !== step.next && !backwards) return false;
  if (last.names.length >= RUN_MAX) {
    step.runs.push(run);
    return true;
  }
  if (!backwards) {
    last.names.push(...run.names);
    last.letters.push(...run.letters);
    last.after = run.after;
    return true;
  }
  last.names.unshift(...run.names);
  last.letters.unshift(...run.letters);
  last.before = run.before;
  return true;
}
