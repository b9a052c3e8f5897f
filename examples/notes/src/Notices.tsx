import { useCell } from './cell';
import { Close } from './icons';
import type { Session } from './session';

/** What went wrong, and what was refused: with the words, so that nobody has to type them again. */
export function Notices({ session }: { session: Session }) {
  const notices = useCell(session.notices);
  const refusals = useCell(session.outbox.refusals);
  const notes = useCell(session.desk.notes);
  return (
    <div role="status">
      {refusals.map(({ note, reason, words }) => (
        <div key={note} className="notice refusal">
          <p>
            What you typed in {notes?.find(({ id }) => id === note)?.title ?? 'a note'} was refused: {reason}.
            {words !== '' && <span className="words" tabIndex={0} aria-label="What was refused">{words}</span>}
          </p>
          <div className="buttons">
            <button onClick={() => session.tryAgain(note)}>Send again</button>
            <button onClick={() => session.giveUp(note)}>Give it up</button>
          </div>
        </div>
      ))}
      {notices.map(notice => (
        <p key={notice} className="notice">
          <span className="grow">{notice}</span>
          <button className="icon" aria-label="Dismiss" onClick={() => session.dismiss(notice)}><Close /></button>
        </p>
      ))}
    </div>
  );
}
