import { useCell } from './cell';
import { Close } from './icons';
import type { Session } from './session';

const WHAT: Record<string, string> = {
  set_name: 'Your new name did not stand',
  open_room: 'Your new room did not stand',
  send_message: 'A message of yours did not stand',
};

/** Calls that were good while the peers were apart, and came second when they met. */
export function Notices({ session }: { session: Session }) {
  const late = useCell(session.late);
  return (
    <div role="status">
      {late.map((call, at) => (
        <p key={at} className="notice">
          <span className="grow">{WHAT[call.reducer] ?? `Your call of ${call.reducer} did not stand`}: {call.error || 'somebody else was first'}.</span>
          <button className="icon" aria-label="Dismiss" onClick={() => session.dismiss(call)}><Close /></button>
        </p>
      ))}
    </div>
  );
}
