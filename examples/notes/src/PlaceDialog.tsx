import { useEffect, useRef, useState } from 'react';
import { peerUrl, type Place } from './place';

interface Props {
  place: Place;
  move: (place: Place) => void;
  close: () => void;
}

/** Asks for the peer and the database. */
export function PlaceDialog({ place, move, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [peer, setPeer] = useState(place.peer);
  const [database, setDatabase] = useState(place.database);
  const [error, setError] = useState('');
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="settings" aria-labelledby="settings-title" onClose={close}>
      <form
        onSubmit={event => {
          event.preventDefault();
          try {
            move({ peer: peerUrl(peer), database: database.trim() });
            close();
          } catch (reason) {
            setError((reason as Error).message);
          }
        }}
      >
        <h2 id="settings-title">Connection</h2>
        <label>
          Your peer
          <input
            value={peer}
            placeholder="ws://127.0.0.1:3000"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={error !== ''}
            aria-describedby="peer-error"
            onChange={event => {
              setPeer(event.target.value);
              setError('');
            }}
          />
        </label>
        <p className="error" id="peer-error" role="alert">{error}</p>
        <label>
          Database
          <input value={database} required autoComplete="off" spellCheck={false} onChange={event => setDatabase(event.target.value)} />
        </label>
        <p className="hint">A peer of yours, on this device or at home. It answers when the network does not.</p>
        <div className="buttons">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" className="first">Connect</button>
        </div>
      </form>
    </dialog>
  );
}
