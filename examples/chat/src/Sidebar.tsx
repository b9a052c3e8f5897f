import { useEffect, useRef, useState, type ReactNode } from 'react';
import { flushSync } from 'react-dom';
import { Avatar } from './Avatar';
import { useCell } from './cell';
import { Close, Gear, Pen } from './icons';
import { LineForm } from './LineForm';
import { NameForm } from './NameForm';
import type { Session } from './session';
import { SignIn } from './SignIn';

interface Props {
  session: Session;
  /** Why signing in failed, if it did. */
  problem: string | undefined;
  /** A room was chosen. */
  opened: () => void;
  settings: () => void;
}

export function Sidebar({ session, problem, opened, settings }: Props) {
  return (
    <>
      <div className="side-scroll">
        <Rooms session={session} opened={opened} />
        <People session={session} />
      </div>
      <Profile session={session} problem={problem} settings={settings} />
    </>
  );
}

/** The same, over the messages where there is no place beside them. */
export function Drawer({ open, close, children }: { open: boolean; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      className="side drawer"
      aria-label="Rooms and people"
      onClose={close}
      // Beside the drawer lies the dialog's own backdrop.
      onClick={event => event.target === event.currentTarget && close()}
    >
      <button className="icon drawer-close" aria-label="Close" onClick={close}><Close /></button>
      {children}
    </dialog>
  );
}

function Rooms({ session, opened }: { session: Session; opened: () => void }) {
  const rooms = useCell(session.shown.rooms);
  const here = useCell(session.shown.conversation)?.room;
  const open = (room: string) => {
    location.hash = encodeURIComponent(room);
    opened();
  };
  return (
    <nav aria-label="Rooms">
      <h2>Rooms</h2>
      {rooms?.length === 0 && <p className="hint">There is none yet. Open the first one.</p>}
      <ul className="list">
        {rooms?.map(room => (
          <li key={room}>
            <button className="entry" aria-current={room === here ? 'page' : undefined} onClick={() => open(room)}>
              <span className="hash" aria-hidden="true">#</span>
              <span className="cut-off">{room}</span>
            </button>
          </li>
        ))}
      </ul>
      <LineForm label="Open a room" button="Open" placeholder="Name" submit={name => session.addRoom(name)} done={open} />
    </nav>
  );
}

function People({ session }: { session: Session }) {
  const people = useCell(session.shown.people);
  const me = useCell(session.me);
  const read = useCell(session.shown.rooms) !== undefined;
  const here = [...people.values()].filter(person => person.here);
  here.sort((a, b) => a.name.localeCompare(b.name));
  return (
    <section aria-labelledby="people">
      <h2 id="people">Here now {read && <span className="count">{here.length}</span>}</h2>
      {read && here.length === 0 && <p className="hint">Nobody, as far as this peer knows.</p>}
      <ul className="list">
        {here.map(person => (
          <li key={person.id} className="person">
            <Avatar person={person} />
            <span className="cut-off">{person.name}</span>
            {person.id === me && <span className="you">you</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Profile({ session, problem, settings }: Omit<Props, 'opened'>) {
  const me = useCell(session.me);
  const self = useCell(session.shown.people).get(me ?? '');
  const [naming, setNaming] = useState(false);
  const pen = useRef<HTMLButtonElement>(null);
  const done = () => {
    flushSync(() => setNaming(false));
    pen.current?.focus();
  };
  return (
    <div className="profile">
      <SignIn session={session} problem={problem} />
      {naming && self ? (
        <NameForm session={session} initial={self.name.startsWith('guest ') ? '' : self.name} done={done} />
      ) : (
        <div className="person">
          {self && <Avatar person={self} />}
          <span className="cut-off grow" data-testid="own-name">{self?.name ?? ''}</span>
          {self && <button ref={pen} className="icon" aria-label="Change your name" onClick={() => setNaming(true)}><Pen /></button>}
          <button className="icon" aria-label="Connection settings" onClick={settings}><Gear /></button>
        </div>
      )}
    </div>
  );
}
