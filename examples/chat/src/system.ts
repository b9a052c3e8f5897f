import type { Identity } from 'spacetimedb';
import { followLate, isLost, type Late } from './late';
import { tables, type DbConnection } from './module_bindings';

/** How a call of our own stands. */
export type Fate = 'tentative' | 'final' | 'failed';

/** How our peer stands with the others. */
export interface Sync {
  /** Other devices of members that the peer knows of. */
  others: number;
  connected: number;
  inSync: boolean;
  notFinal: number;
  /** Our messages, by when they were sent. */
  fates: ReadonlyMap<bigint, Fate>;
}

/**
 * Follows the tables in which a peer tells about itself. `changed` gets nothing from a peer that has
 * none: then the page lacks the marks, and nothing else.
 */
export function followSystem(
  conn: DbConnection,
  me: Identity,
  changed: (sync: Sync | undefined) => void,
  late: (call: Late) => void,
): void {
  const { db } = conn;
  let applied = false;
  let due = false;
  const tell = () => {
    if (!applied || due) return;
    due = true;
    // Once for all rows that change together.
    queueMicrotask(() => {
      due = false;
      changed(summary(db, me));
    });
  };
  for (const rows of [db.stPeer, db.stCut, db.stInvocation]) {
    rows.onInsert(tell);
    rows.onDelete(tell);
    rows.onUpdate(tell);
  }
  followLate(conn, me, late);
  conn.subscriptionBuilder()
    .onApplied(() => {
      applied = true;
      tell();
    })
    .onError(() => changed(undefined))
    .subscribe([tables.stPeer, tables.stCut, tables.stInvocation]);
}

function summary(db: DbConnection['db'], me: Identity): Sync {
  const others = [...db.stPeer.iter()].filter(peer => !peer.thisPeer);
  const connected = others.filter(peer => peer.connected);
  const [cut] = db.stCut.iter();
  const fates = new Map<bigint, Fate>();
  for (const call of db.stInvocation.iter()) {
    if (call.reducer !== 'send_message' || !call.caller.isEqual(me)) continue;
    fates.set(call.timestamp.microsSinceUnixEpoch, isLost(call.status) ? 'failed' : call.isFinal ? 'final' : 'tentative');
  }
  return {
    others: others.length,
    connected: connected.length,
    inSync: connected.every(peer => peer.inSync),
    notFinal: Number(cut?.notFinal ?? 0n),
    fates,
  };
}
