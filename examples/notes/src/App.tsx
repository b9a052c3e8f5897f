import { useEffect, useState } from 'react';
import { useCell, type Cell } from './cell';
import { Editor } from './Editor';
import { Header } from './Header';
import { Notices } from './Notices';
import type { Place } from './place';
import { PlaceDialog } from './PlaceDialog';
import type { Session } from './session';
import { Drawer, Sidebar } from './Sidebar';
import { useMedia } from './useMedia';

interface Props {
  current: Cell<Session>;
  move: (place: Place) => void;
}

export function App({ current, move }: Props) {
  const session = useCell(current);
  // Nothing of one place may stay on the page of another.
  return <Desk key={`${session.place.peer} ${session.place.database}`} session={session} move={move} />;
}

function Desk({ session, move }: { session: Session } & Omit<Props, 'current'>) {
  const narrow = useMedia('(max-width: 46rem)');
  const [drawer, setDrawer] = useState(false);
  const [settings, setSettings] = useState(false);
  const notes = useCell(session.desk.notes);
  const note = useCell(session.desk.note);
  useNoteOfAddress(session);

  const title = notes?.find(({ id }) => id === note?.id)?.title;
  useEffect(() => {
    document.title = title === undefined ? 'Notes' : `${title} · Notes`;
  }, [title]);

  const side = (
    <Sidebar
      session={session}
      opened={() => setDrawer(false)}
      settings={() => {
        setDrawer(false);
        setSettings(true);
      }}
    />
  );
  return (
    <div className="app">
      {narrow ? <Drawer open={drawer} close={() => setDrawer(false)}>{side}</Drawer> : <aside className="side">{side}</aside>}
      <main className="main">
        <Header session={session} title={title} openDrawer={narrow ? () => setDrawer(true) : undefined} settings={() => setSettings(true)} />
        <div className="told"><Notices session={session} /></div>
        {note ? (
          <Editor key={note.id} session={session} note={note} title={title} />
        ) : (
          <p className="empty">{notes === undefined ? 'Waiting for the peer…' : 'Choose a note, or make one.'}</p>
        )}
      </main>
      {settings && <PlaceDialog place={session.place} move={move} close={() => setSettings(false)} />}
    </div>
  );
}

/** The note's id stands behind the `#` of the page's address, so that back, reload and links work. */
function useNoteOfAddress(session: Session): void {
  useEffect(() => {
    const open = () => {
      const id = location.hash.slice(1);
      session.open(/^[0-9a-f]{32}$/.test(id) ? id : undefined);
    };
    open();
    addEventListener('hashchange', open);
    return () => removeEventListener('hashchange', open);
  }, [session]);
}
