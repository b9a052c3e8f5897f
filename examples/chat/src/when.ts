import type { Said } from './order';

/** After such a pause a message begins anew, with name and time. Microseconds. */
const PAUSE = 5n * 60n * 1_000_000n;

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

function dateOf(micros: bigint): Date {
  return new Date(Number(micros / 1000n));
}

export const timeOf = (micros: bigint): string => time.format(dateOf(micros));

export const dayOf = (micros: bigint): string => day.format(dateOf(micros));

/** For machines, and for who wants to know exactly. */
export const exactly = (micros: bigint): string => dateOf(micros).toISOString();

/** Whether a message does not go on with what the same person just said. */
export function startsGroup(before: Said | undefined, said: Said): boolean {
  return !before || before.sender !== said.sender || said.sent - before.sent > PAUSE || dayOf(before.sent) !== dayOf(said.sent);
}
