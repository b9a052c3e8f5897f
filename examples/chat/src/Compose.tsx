import { useEffect, useRef, useState } from 'react';
import { useCell } from './cell';
import { Send } from './icons';
import type { Session } from './session';
import { useBusy } from './useBusy';

export function Compose({ session, room }: { session: Session; room: string | undefined }) {
  const [text, setText] = useState('');
  const { error, setError, run } = useBusy();
  const box = useRef<HTMLTextAreaElement>(null);
  const online = useCell(session.link).state === 'online';
  const ready = online && room !== undefined;

  useEffect(() => {
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia('(pointer: fine)').matches) box.current?.focus();
  }, [room]);

  const send = async () => {
    if (text.trim() === '' || room === undefined) return;
    if (!online) {
      setError('Not connected. What you wrote stays here.');
      return;
    }
    const said = await run(() => session.say(room, text));
    // What was typed meanwhile is the beginning of the next one.
    if (said) setText(now => (now.startsWith(text) ? now.slice(text.length) : now));
  };

  return (
    <form
      className="compose"
      onSubmit={event => {
        event.preventDefault();
        void send();
        box.current?.focus();
      }}
    >
      <div className="line">
        <textarea
          ref={box}
          rows={1}
          value={text}
          placeholder={room === undefined ? 'Choose a room first' : `Message to ${room}`}
          aria-label={room === undefined ? 'Message' : `Message to ${room}`}
          aria-describedby="compose-hint"
          aria-invalid={error !== ''}
          onChange={event => {
            setText(event.target.value);
            setError('');
          }}
          onKeyDown={event => {
            // Enter also ends the composition of a character.
            if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
        <button type="submit" className="first send" aria-label="Send" disabled={!ready || text.trim() === ''}><Send /></button>
      </div>
      <p className={error ? 'error' : 'hint'} id="compose-hint" role={error ? 'alert' : undefined}>
        {error || 'Enter sends, Shift+Enter begins a new line.'}
      </p>
    </form>
  );
}
