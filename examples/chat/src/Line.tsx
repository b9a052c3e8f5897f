import { memo } from 'react';
import { Avatar } from './Avatar';
import { Failed, Final, Tentative } from './icons';
import type { Said } from './order';
import type { Fate } from './system';
import { exactly, timeOf } from './when';

interface Props {
  said: Said;
  /** The day, where a new one begins. */
  day: string | undefined;
  /** Whether name and time stand above it. */
  head: boolean;
  name: string;
  own: boolean;
  fate: Fate | undefined;
}

/** One message. */
export const Line = memo(function Line({ said, day, head, name, own, fate }: Props) {
  return (
    <>
      {day && <li className="day"><span>{day}</span></li>}
      <li className={head ? 'said head' : 'said'} data-key={said.key}>
        {head ? <Avatar person={{ id: said.sender, name }} /> : <Time of={said.sent} />}
        <div className="said-body">
          {head ? (
            <p className="said-head">
              <span className="name">{name}</span>
              {own && <span className="you">you</span>}
              <Time of={said.sent} />
            </p>
          ) : (
            <span className="unseen">{name}: </span>
          )}
          <p className="text">{said.text}</p>
        </div>
        <Mark fate={fate} />
      </li>
    </>
  );
});

function Time({ of }: { of: bigint }) {
  return <time dateTime={exactly(of)} title={exactly(of)}>{timeOf(of)}</time>;
}

const MARKS = {
  final: { icon: <Final />, text: 'final' },
  tentative: { icon: <Tentative />, text: 'not final yet: calls of others may still come before it' },
  failed: { icon: <Failed />, text: 'did not stand' },
};

/** Takes its place also where there is nothing to say, so that nothing moves when there is. */
function Mark({ fate }: { fate: Fate | undefined }) {
  if (!fate) return <span className="mark" />;
  const { icon, text } = MARKS[fate];
  return <span className={`mark ${fate}`} role="img" aria-label={text} title={text}>{icon}</span>;
}
