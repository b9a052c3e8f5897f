import type { Message } from './module_bindings';

/** A message as the page shows it. */
export interface Said {
  /** The same on every peer, and for as long as the message exists. */
  key: string;
  sender: string;
  /** Microseconds since 1970. */
  sent: bigint;
  text: string;
}

/**
 * The same order on every peer. The time of a call is part of the call, so it stays when calls of
 * others come in between, and no two calls of one caller share a microsecond. Ids decide last:
 * a database with sequential ids may number messages anew until they are final.
 */
export function inOrder(messages: Iterable<Message>): Said[] {
  const rows = [...messages].map(row => ({ row, sender: row.sender.toHexString(), sent: row.sent.microsSinceUnixEpoch }));
  rows.sort((a, b) => compare(a.sent, b.sent) || compare(a.sender, b.sender) || compare(a.row.id, b.row.id));
  const taken = new Set<string>();
  return rows.map(({ row, sender, sent }) => {
    const short = `${sent} ${sender}`;
    const key = taken.has(short) ? `${short} ${row.id}` : short;
    taken.add(key);
    return { key, sender, sent, text: row.text };
  });
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
