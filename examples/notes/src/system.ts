import { tables, type DbConnection } from './module_bindings';

/** How our peer stands with the others. */
export interface Sync {
  /** Other devices of members that the peer knows of. */
  others: number;
  connected: number;
  inSync: boolean;
  notFinal: number;
}

/**
 * Follows the tables in which a peer tells about itself. `changed` gets nothing from a peer that has
 * none: then the page lacks the mark, and nothing else.
 */
export function followSystem(conn: DbConnection, changed: (sync: Sync | undefined) => void): void {
  const { db } = conn;
  let applied = false;
  let due = false;
  const tell = () => {
    if (!applied || due) return;
    due = true;
    // Once for all rows that change together.
    queueMicrotask(() => {
      due = false;
      changed(summary(db));
    });
  };
  for (const rows of [db.stPeer, db.stCut]) {
    rows.onInsert(tell);
    rows.onDelete(tell);
    rows.onUpdate(tell);
  }
  conn.subscriptionBuilder()
    .onApplied(() => {
      applied = true;
      tell();
    })
    .onError(() => changed(undefined))
    .subscribe([tables.stPeer, tables.stCut]);
}

function summary(db: DbConnection['db']): Sync {
  const others = [...db.stPeer.iter()].filter(peer => !peer.thisPeer);
  const connected = others.filter(peer => peer.connected);
  const [cut] = db.stCut.iter();
  return {
    others: others.length,
    connected: connected.length,
    inSync: connected.every(peer => peer.inSync),
    notFinal: Number(cut?.notFinal ?? 0n),
  };
}
