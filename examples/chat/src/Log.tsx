import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import { useCell } from './cell';
import { Down } from './icons';
import { Line } from './Line';
import type { Session } from './session';
import type { Conversation } from './shown';
import { dayOf, startsGroup } from './when';

/** How many messages are drawn at first, and by how many more each time. */
const STEP = 200;
/** As near to the end as this counts as being there, in pixels. */
const NEAR = 40;

/** The messages of one room. Stays at the end while the reader is there, and still while not. */
export function Log({ session, conversation }: { session: Session; conversation: Conversation }) {
  const me = useCell(session.me);
  const people = useCell(session.shown.people);
  const fates = useCell(session.sync)?.fates;
  const [count, setCount] = useState(STEP);
  const [behind, setBehind] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const { messages, loaded } = conversation;
  const drawn = messages.slice(-count);
  const last = messages.at(-1)?.key;

  const toEnd = () => {
    const log = box.current;
    if (log) log.scrollTop = log.scrollHeight;
  };
  /** Also at the very top, where the browser would show the new beginning instead. */
  const showEarlier = () => {
    const log = box.current;
    const below = log ? log.scrollHeight - log.scrollTop : 0;
    flushSync(() => setCount(count + STEP));
    if (log) log.scrollTop = log.scrollHeight - below;
  };
  useLayoutEffect(() => {
    if (atEnd.current) toEnd();
    else setBehind(true);
  }, [last, messages.length]);
  useEffect(() => {
    // Also when the box changes its height: a phone's keyboard, a long draft.
    const watch = new ResizeObserver(() => atEnd.current && toEnd());
    if (box.current) watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  return (
    <div className="log-frame">
      <div
        ref={box}
        className="log"
        role="log"
        aria-live="polite"
        aria-label={`Messages in ${conversation.room}`}
        aria-busy={!loaded}
        tabIndex={0}
        onScroll={event => {
          const log = event.currentTarget;
          atEnd.current = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
          if (atEnd.current) setBehind(false);
        }}
      >
        {messages.length === 0 && (
          <div className="empty">
            {loaded ? <p><strong>Nobody has said anything here yet.</strong><br />Say hello.</p> : <p className="loading">Loading…</p>}
          </div>
        )}
        {drawn.length < messages.length && (
          <button className="earlier" onClick={showEarlier}>Show earlier messages</button>
        )}
        <ol>
          {drawn.map((said, at) => {
            const before = drawn[at - 1];
            const day = dayOf(said.sent);
            return (
              <Line
                key={said.key}
                said={said}
                day={before && dayOf(before.sent) === day ? undefined : day}
                head={startsGroup(before, said)}
                name={people.get(said.sender)?.name ?? 'somebody'}
                own={said.sender === me}
                fate={said.sender === me ? fates?.get(said.sent) : undefined}
              />
            );
          })}
        </ol>
      </div>
      {behind && <button className="to-end" onClick={toEnd}><Down /> New messages</button>}
    </div>
  );
}
