import type { Message } from './module_bindings';

/** A message as the page shows it. */
export interface Said {
  /** The same on every peer, and for as long as the message exists. */
  key: string;
  sender: string;
  /** Microseconds since 1970. */
  sent: bigint;
  text: string;
  id: bigint;
}

/** By row of the library's cache: writing an identity in hex takes longer than all the rest. */
const known = new WeakMap<Message, Said>();

function saidIn(row: Message): Said {
  let said = known.get(row);
  if (!said) {
    const sender = row.sender.toHexString();
    const sent = row.sent.microsSinceUnixEpoch;
    said = { key: `${sent} ${sender}`, sender, sent, text: row.text, id: row.id };
    known.set(row, said);
  }
  return said;
}

/**
 * The same order on every peer. The time of a call is part of the call, so it stays when calls of
 * others come in between, and no two calls of one caller share a microsecond. Ids decide last:
 * a database with sequential ids may number messages anew until they are final.
 */
export function inOrder(messages: Iterable<Message>): Said[] {
  const order = [...messages].map(saidIn);
  order.sort((a, b) => compare(a.sent, b.sent) || compare(a.sender, b.sender) || compare(a.id, b.id));
  // A caller at two peers could still come to share one; then the page has to tell them apart.
  return order.map((said, at) => (said.key === order[at - 1]?.key ? { ...said, key: `${said.key} ${said.id}` } : said));
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
