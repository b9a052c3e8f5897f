import { useCallback, useEffect, useLayoutEffect, useRef } from 'react';
import { colourOf } from './Avatar';
import { tie } from './box';
import { useCell } from './cell';
import { Redo, Undo } from './icons';
import type { Caret, OpenNote } from './note';
import type { Session } from './session';

interface Props {
  session: Session;
  note: OpenNote;
  title: string | undefined;
}

export function Editor({ session, note, title }: Props) {
  const { loaded, canUndo, canRedo } = useCell(note.stand);
  const online = useCell(session.link).state === 'online';
  const notes = useCell(session.desk.notes);
  const box = useRef<HTMLTextAreaElement>(null);
  const carets = useRef<HTMLDivElement>(null);
  const draw = useDrawing(carets, note);

  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    return tie(area, note, () => {
      draw();
      session.cursorAt(area.selectionEnd);
    });
  }, [note, session, draw]);
  useEffect(() => note.carets.follow(draw), [note, draw]);
  useEffect(() => {
    if (!loaded || !box.current) return;
    session.cursorAt(box.current.selectionEnd);
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia('(pointer: fine)').matches) box.current.focus();
  }, [loaded, session]);

  const turn = (way: 'undo' | 'redo') => {
    note[way]();
    box.current?.focus();
  };
  const missing = notes !== undefined && title === undefined;
  return (
    <>
      <div className="tools" role="group" aria-label="Editing">
        <button className="icon" aria-label="Undo" title="Undo what you did (Ctrl+Z)" disabled={!canUndo} onClick={() => turn('undo')}><Undo /></button>
        <button className="icon" aria-label="Redo" title="Redo (Ctrl+Shift+Z)" disabled={!canRedo} onClick={() => turn('redo')}><Redo /></button>
        {!loaded && <p className="hint">{missing ? 'There is no such note here.' : online ? 'Loading…' : 'Waiting for the peer…'}</p>}
      </div>
      <div className="sheet">
        <div className="page">
          <div className="carets" ref={carets} aria-hidden="true" />
          <textarea ref={box} className="text" readOnly={!loaded} placeholder={loaded ? 'Write something.' : ''} aria-label={title ?? 'Note'} spellCheck />
        </div>
      </div>
    </>
  );
}

/**
 * Draws the cursors of others: the same text once more behind the box, unseen, with marks in it. It also makes the box as high as
 * its text. Once for all that changes until the browser paints.
 */
function useDrawing(layer: React.RefObject<HTMLDivElement | null>, note: OpenNote): () => void {
  const due = useRef(0);
  useEffect(() => () => cancelAnimationFrame(due.current), []);
  return useCallback(() => {
    cancelAnimationFrame(due.current);
    due.current = requestAnimationFrame(() => layer.current && drawCarets(layer.current, note.text, note.carets.get()));
  }, [layer, note]);
}

function drawCarets(layer: HTMLElement, text: string, carets: readonly Caret[]): void {
  const parts: (Node | string)[] = [];
  let from = 0;
  for (const caret of [...carets].sort((a, b) => a.at - b.at)) {
    const at = Math.min(caret.at, text.length);
    const mark = document.createElement('span');
    mark.className = 'caret';
    mark.dataset.name = caret.name;
    mark.dataset.at = String(at);
    for (const [name, value] of Object.entries(colourOf(caret.identity))) mark.style.setProperty(name, String(value));
    parts.push(text.slice(from, at), mark);
    from = at;
  }
  // A line feed at the end counts as a line only with something behind it.
  layer.replaceChildren(...parts, `${text.slice(from)}\u200b`);
}
