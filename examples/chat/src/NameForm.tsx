import { LineForm } from './LineForm';
import type { Session } from './session';

interface Props {
  session: Session;
  /** Whether it asks somebody who has no name yet. */
  prompt?: boolean;
  initial?: string;
  done?: () => void;
}

export function NameForm({ session, prompt = false, initial, done }: Props) {
  const form = (
    <LineForm
      label={prompt ? 'What shall the others call you?' : 'Your name'}
      button="Save"
      placeholder="Name"
      initial={initial}
      focused={!prompt}
      submit={name => session.setName(name)}
      done={done}
      cancel={done}
    />
  );
  return prompt ? <div className="prompt">{form}</div> : form;
}
