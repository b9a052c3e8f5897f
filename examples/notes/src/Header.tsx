import { Cell, useCell } from './cell';
import { Menu } from './icons';
import type { Session } from './session';
import type { Sync } from './system';
import { useLasting } from './useLasting';

interface Props {
  session: Session;
  title: string | undefined;
  /** Where the notes are not beside the text. */
  openDrawer: (() => void) | undefined;
  settings: () => void;
}

export function Header({ session, title, openDrawer, settings }: Props) {
  const link = useCell(session.link);
  return (
    <>
      <header className="header">
        {openDrawer && <button className="icon" aria-label="Notes and people" onClick={openDrawer}><Menu /></button>}
        <h1>{title ?? 'Notes'}</h1>
        <LinkMark session={session} />
        <p className="sync">
          <UnsentMark session={session} />
          <SyncMark session={session} />
        </p>
      </header>
      {link.state === 'offline' && (
        <div className="lost" role="alert">
          <p>
            {link.refused
              ? `The peer at ${session.place.peer} does not know you any more.`
              : `Cannot reach the database ${session.place.database} at ${session.place.peer}. Trying again by itself.`}
          </p>
          {link.refused && <button onClick={() => session.startAnew()}>Start anew</button>}
          {!link.refused && <button onClick={() => session.tryNow()}>Try now</button>}
          <button onClick={settings}>Settings</button>
        </div>
      )}
    </>
  );
}

/** Whether the page is connected to its own peer. */
function LinkMark({ session }: { session: Session }) {
  const { state } = useCell(session.link);
  const text = { online: 'Online', connecting: 'Connecting', offline: 'Offline' }[state];
  return <span className={`link ${state}`} role="status" title={`${session.place.database} at ${session.place.peer}`}>{text}</span>;
}

const NOTHING = new Cell(false);

/** Whether the peer has all that was typed here. */
function UnsentMark({ session }: { session: Session }) {
  const typing = useCell(useCell(session.desk.note)?.typing ?? NOTHING);
  const unsent = useCell(session.outbox.count) > 0 || typing;
  // What passes at once is not worth a look.
  const waits = useLasting(unsent, 1_000);
  const kept = session.store.db !== undefined;
  return (
    <span className={waits ? 'unsent' : 'unseen'} role="status" data-testid="unsent" data-unsent={unsent}>
      {waits ? (kept ? 'What you typed is kept here and not sent yet. ' : 'What you typed is not sent yet, and this browser keeps nothing. ') : ''}
    </span>
  );
}

/** How the peer stands with the others; which peer it is where it does not tell, or cannot. */
function SyncMark({ session }: { session: Session }) {
  const told = useCell(session.sync);
  const sync = useCell(session.link).state === 'online' ? told : undefined;
  // Each call takes a moment to get to the others.
  const behind = useLasting(sync !== undefined && !sync.inSync, 1_000);
  const alone = sync !== undefined && sync.others > 0 && sync.connected === 0;
  return (
    <span className={behind || alone ? 'apart' : undefined} data-testid="sync">
      {sync ? inWords({ ...sync, inSync: !behind }) : `${session.place.database} at ${session.place.peer}`}
    </span>
  );
}

function inWords({ others, connected, inSync, notFinal }: Sync): string {
  const peers =
    others === 0 ? 'No other peers'
    : connected === 0 ? 'No other peer in reach'
    : connected < others ? `${connected} of ${others} peers`
    : `${others} ${others === 1 ? 'peer' : 'peers'}`;
  const state = connected === 0 ? [] : [inSync ? 'in sync' : 'catching up'];
  const final = notFinal === 0 ? 'all calls final' : `${notFinal} ${notFinal === 1 ? 'call' : 'calls'} not final yet`;
  return [peers, ...state, final].join(', ');
}
