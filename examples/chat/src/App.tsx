import { useEffect, useState } from 'react';
import { useCell, type Cell } from './cell';
import { Compose } from './Compose';
import { Header } from './Header';
import { Log } from './Log';
import { NameForm } from './NameForm';
import { Notices } from './Notices';
import { Drawer, Sidebar } from './Sidebar';
import { PlaceDialog } from './PlaceDialog';
import type { Place } from './place';
import type { Session } from './session';
import { useMedia } from './useMedia';

interface Props {
  current: Cell<Session>;
  move: (place: Place) => void;
  /** Why signing in failed, if it did. */
  problem: string | undefined;
}

export function App({ current, move, problem }: Props) {
  const session = useCell(current);
  // Nothing of one place may stay on the page of another.
  return <Place key={`${session.place.peer} ${session.place.database}`} session={session} move={move} problem={problem} />;
}

function Place({ session, move, problem }: { session: Session } & Omit<Props, 'current'>) {
  const narrow = useMedia('(max-width: 46rem)');
  const [drawer, setDrawer] = useState(false);
  const [settings, setSettings] = useState(false);
  const conversation = useCell(session.shown.conversation);
  const rooms = useCell(session.shown.rooms);
  const me = useCell(session.me);
  const people = useCell(session.shown.people);
  useRoomOfAddress(session);

  const room = conversation?.room;
  const myName = me === undefined ? undefined : people.get(me)?.name;
  useEffect(() => {
    document.title = room === undefined ? 'Chat' : `${room} · Chat`;
  }, [room]);

  const side = (
    <Sidebar
      session={session}
      problem={problem}
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
        <Header session={session} room={room} openDrawer={narrow ? () => setDrawer(true) : undefined} settings={() => setSettings(true)} />
        {conversation ? <Log key={conversation.room} session={session} conversation={conversation} /> : <Nowhere waiting={rooms === undefined} />}
        <div className="foot">
          <Notices session={session} />
          {myName?.startsWith('guest ') && <NameForm session={session} prompt />}
          <Compose session={session} room={room} />
        </div>
      </main>
      {settings && <PlaceDialog place={session.place} move={move} close={() => setSettings(false)} />}
    </div>
  );
}

/** In place of the messages where there is no room to show. */
function Nowhere({ waiting }: { waiting: boolean }) {
  return (
    <div className="log empty">
      {waiting ? (
        <p>Waiting for the peer…</p>
      ) : (
        <p>
          <strong>This room does not exist.</strong>
          <br />
          Choose one of the list, or open it there.
        </p>
      )}
    </div>
  );
}

/** The room stands behind the `#` of the page's address, so that back, reload and links work. */
function useRoomOfAddress(session: Session): void {
  useEffect(() => {
    const open = () => {
      let name = location.hash.slice(1);
      try {
        name = decodeURIComponent(name);
      } catch {
        // Somebody typed it; then it is what was typed.
      }
      session.shown.open(name || undefined);
    };
    open();
    addEventListener('hashchange', open);
    return () => removeEventListener('hashchange', open);
  }, [session]);
}

