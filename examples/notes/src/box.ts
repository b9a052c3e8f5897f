import type { Box, OpenNote } from './note';
import { difference, moved } from './splice';

/** Ties a text box to a note, until what it gives is called. `changed` hears of each change of the text or of the cursor. */
export function tie(box: HTMLTextAreaElement, note: OpenNote, changed: () => void): () => void {
  /** What stands in the box, but for what is just being typed. */
  let shown = '';
  let composing = false;

  const write = (text: string, start: number, end: number) => {
    const { scrollTop } = box;
    shown = visible(text);
    box.value = shown;
    box.setSelectionRange(start, end, box.selectionDirection);
    box.scrollTop = scrollTop;
    changed();
  };
  const take = () => {
    if (box.value === shown) return;
    note.type(difference(shown, box.value, box.selectionEnd));
    shown = box.value;
    if (visible(note.text) !== shown) write(note.text, box.selectionStart, box.selectionEnd);
    changed();
  };
  const seen: Box = {
    edited(splices, cursor) {
      const place = (at: number) => Math.min(splices.reduce((at, splice) => moved(at, splice, false), at), note.text.length);
      const [start, end] = cursor === undefined ? [place(box.selectionStart), place(box.selectionEnd)] : [cursor, cursor];
      write(note.text, start, end);
    },
    isComposing: () => composing,
  };
  const turn = (way: 'undo' | 'redo') => {
    if (!composing) note[way]();
  };
  const on = {
    input: () => {
      if (!composing) take();
    },
    beforeinput: (event: InputEvent) => {
      // The browser would undo what others typed, too: from its menu as well.
      if (event.inputType !== 'historyUndo' && event.inputType !== 'historyRedo') return;
      event.preventDefault();
      turn(event.inputType === 'historyUndo' ? 'undo' : 'redo');
    },
    keydown: (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key !== 'z' && !(key === 'y' && !event.shiftKey)) return;
      event.preventDefault();
      turn(key === 'z' && !event.shiftKey ? 'undo' : 'redo');
    },
    compositionstart: () => {
      composing = true;
    },
    compositionend: () => {
      composing = false;
      take();
      note.composed();
    },
    blur: () => note.pause(),
    selectionchange: changed,
  };
  const events = Object.entries(on) as [string, EventListener][];
  for (const [name, listener] of events) box.addEventListener(name, listener);
  const letGo = note.show(seen);
  write(note.text, note.text.length, note.text.length);
  return () => {
    letGo();
    for (const [name, listener] of events) box.removeEventListener(name, listener);
  };
}

/** A box makes line feeds of carriage returns, which would shift all places behind; a program may have sent some. */
function visible(text: string): string {
  return text.replaceAll('\r', ' ');
}
