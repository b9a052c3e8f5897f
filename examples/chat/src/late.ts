import type { Identity } from 'spacetimedb';
import type { DbConnection, EventContext } from './module_bindings';

/** A call of ours that was good here and is not any more: another one came before it. */
export interface Late {
  reducer: string;
  error: string;
}

/** Tells of each such call once. Calls that never were good are told of where they were made. */
export function followLate({ db }: DbConnection, me: Identity, late: (call: Late) => void): void {
  // Our calls that changed something, by time. Views are told of a few times a second, so a call may
  // have failed before its row is seen the first time.
  const stood = new Set<bigint>();
  const note = ({ event }: EventContext) => {
    if (event.tag === 'Reducer') stood.add(event.value.timestamp.microsSinceUnixEpoch);
  };
  for (const table of [db.user, db.room, db.message]) {
    table.onInsert(note);
    table.onUpdate(note);
  }
  const told = new Set<string>();
  const look = (row: Parameters<Parameters<typeof db.stInvocation.onInsert>[0]>[1], wasGood: boolean) => {
    const time = row.timestamp.microsSinceUnixEpoch;
    if (!row.caller.isEqual(me) || told.has(row.id)) return;
    if (isLost(row.status) && (wasGood || stood.has(time))) {
      told.add(row.id);
      late({ reducer: row.reducer, error: row.error ?? '' });
    }
    if (row.isFinal) stood.delete(time);
  };
  db.stInvocation.onInsert((_ctx, row) => look(row, false));
  db.stInvocation.onUpdate((_ctx, old, row) => look(row, !isLost(old.status)));
}

/** The statuses of calls that changed nothing. */
export function isLost(status: string): boolean {
  return status === 'failed' || status === 'void';
}
