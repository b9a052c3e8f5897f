import { useEffect, useRef, useState, type ReactNode } from 'react';
import { flushSync } from 'react-dom';
import { Avatar } from './Avatar';
import { useCell } from './cell';
import { Close, Gear, Page, Pen } from './icons';
import { LineForm } from './LineForm';
import { guestName, type Session } from './session';

interface Props {
  session: Session;
  /** A note was chosen. */
  opened: () => void;
  settings: () => void;
}

export function Sidebar({ session, opened, settings }: Props) {
  return (
    <>
      <div className="side-scroll">
        <Notes session={session} opened={opened} />
        <People session={session} />
      </div>
      <Profile session={session} settings={settings} />
    </>
  );
}

/** The same, over the text where there is no place beside it. */
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
      aria-label="Notes and people"
      onClose={close}
      // Beside the drawer lies the dialog's own backdrop.
      onClick={event => event.target === event.currentTarget && close()}
    >
      <button className="icon drawer-close" aria-label="Close" onClick={close}><Close /></button>
      {children}
    </dialog>
  );
}

function Notes({ session, opened }: { session: Session; opened: () => void }) {
  const notes = useCell(session.desk.notes);
  const here = useCell(session.desk.note)?.id;
  const open = (id: string) => {
    location.hash = id;
    opened();
  };
  const made = useRef('');
  return (
    <nav aria-label="Notes">
      <h2>Notes</h2>
      {notes?.length === 0 && <p className="hint">There is none yet. Make the first one.</p>}
      <ul className="list">
        {notes?.map(({ id, title }) => (
          <li key={id}>
            <button className="entry" aria-current={id === here ? 'page' : undefined} onClick={() => open(id)}>
              <Page />
              <span className="cut-off">{title}</span>
            </button>
          </li>
        ))}
      </ul>
      <LineForm
        label="Make a note"
        button="Make"
        placeholder="Title"
        submit={async title => {
          made.current = await session.create(title.trim());
        }}
        done={() => open(made.current)}
      />
    </nav>
  );
}

function People({ session }: { session: Session }) {
  const people = useCell(session.desk.people);
  const me = useCell(session.me);
  const note = useCell(session.desk.note);
  if (!note) return null;
  return (
    <section aria-labelledby="people">
      <h2 id="people">Reading this note <span className="count">{people.length}</span></h2>
      <ul className="list">
        {people.map(person => (
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

function Profile({ session, settings }: Omit<Props, 'opened'>) {
  const me = useCell(session.me);
  const name = useCell(session.name);
  const [naming, setNaming] = useState(false);
  const pen = useRef<HTMLButtonElement>(null);
  const done = () => {
    flushSync(() => setNaming(false));
    pen.current?.focus();
  };
  const shown = name ?? (me === undefined ? '' : guestName(me));
  return (
    <div className="profile">
      {naming ? (
        <LineForm
          label="Your name"
          button="Save"
          placeholder="Name"
          initial={name ?? ''}
          focused
          submit={async text => session.setName(text)}
          done={done}
          cancel={done}
        />
      ) : (
        <div className="person">
          {me !== undefined && <Avatar person={{ id: me, name: shown }} />}
          <span className="cut-off grow" data-testid="own-name">{shown}</span>
          <button ref={pen} className="icon" aria-label="Change your name" onClick={() => setNaming(true)}><Pen /></button>
          <button className="icon" aria-label="Connection settings" onClick={settings}><Gear /></button>
        </div>
      )}
    </div>
  );
}
