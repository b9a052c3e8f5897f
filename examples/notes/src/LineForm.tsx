import { useId, useState } from 'react';
import { useBusy } from './useBusy';

interface Props {
  label: string;
  button: string;
  placeholder: string;
  initial?: string;
  focused?: boolean;
  submit: (text: string) => Promise<void>;
  done?: (text: string) => void;
  cancel?: () => void;
}

/** One line of text that the peer takes or refuses; why it refuses stands below. */
export function LineForm({ label, button, placeholder, initial = '', focused = false, submit, done, cancel }: Props) {
  const [text, setText] = useState(initial);
  const { busy, error, setError, run } = useBusy();
  const id = useId();
  return (
    <form
      className="line-form"
      onSubmit={async event => {
        event.preventDefault();
        if (!(await run(() => submit(text)))) return;
        setText('');
        done?.(text.trim());
      }}
      onKeyDown={event => event.key === 'Escape' && cancel?.()}
    >
      <label htmlFor={id}>{label}</label>
      <div className="line">
        <input
          id={id}
          value={text}
          placeholder={placeholder}
          autoComplete="off"
          autoFocus={focused}
          aria-invalid={error !== ''}
          aria-describedby={`${id}-error`}
          onChange={event => {
            setText(event.target.value);
            setError('');
          }}
        />
        <button type="submit" disabled={busy || text.trim() === ''}>{button}</button>
      </div>
      <p className="error" id={`${id}-error`} role="alert">{error}</p>
    </form>
  );
}
