import { useState } from 'react';
import { isSignedIn, provider, signIn, signOut } from './provider';
import type { Session } from './session';

/** Where a provider is configured: signs in at it, or out. */
export function SignIn({ session, problem }: { session: Session; problem: string | undefined }) {
  const [error, setError] = useState(problem);
  const there = provider();
  if (!there) return null;
  if (isSignedIn(session.place, there)) {
    return (
      <button
        className="entry"
        onClick={() => {
          signOut(session.place);
          location.reload();
        }}
      >
        Sign out
      </button>
    );
  }
  return (
    <>
      <button
        className="entry"
        onClick={() => {
          setError(undefined);
          signIn(session.place, there).catch((reason: Error) => setError(reason.message));
        }}
      >
        Sign in
      </button>
      {error && <p className="error" role="alert">{error}</p>}
    </>
  );
}
