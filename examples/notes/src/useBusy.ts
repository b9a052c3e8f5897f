import { useRef, useState } from 'react';

/** Runs one call at a time, and keeps the reason if it failed, to be shown beside what was typed. */
export function useBusy() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const running = useRef(false);
  /** Says whether it went well. */
  const run = async (call: () => Promise<void>): Promise<boolean> => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setError('');
    try {
      await call();
      return true;
    } catch (reason) {
      setError(sentence(reason instanceof Error ? reason.message : String(reason)));
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { busy, error, setError, run };
}

/** Reducers give errors without a capital letter. */
function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
