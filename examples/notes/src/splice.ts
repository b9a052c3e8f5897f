/** What is done to a text at a place. All numbers are UTF-16 units, as browsers and Automerge's library for them count. */
export interface Splice {
  at: number;
  /** How much goes. */
  del: number;
  /** What comes there. */
  put: string;
}

export function spliced(text: string, { at, del, put }: Splice): string {
  return text.slice(0, at) + put + text.slice(at + del);
}

/** What was done to a text, by what it was and is, and where the cursor is now: of equal letters, the one before it is the new one. */
export function difference(was: string, is: string, cursor: number): Splice {
  const shorter = Math.min(was.length, is.length);
  const behind = Math.max(0, Math.min(shorter, is.length - cursor));
  let end = was.endsWith(is.slice(is.length - behind)) ? behind : 0;
  while (end < behind && was[was.length - 1 - end] === is[is.length - 1 - end]) end += 1;
  const before = shorter - end;
  let at = Math.min(before, cursor);
  if (!was.startsWith(is.slice(0, at))) at = 0;
  while (at < before && was[at] === is[at]) at += 1;
  // What goes on behind the cursor, where it was none of somebody who types.
  while (end < shorter - at && was[was.length - 1 - end] === is[is.length - 1 - end]) end += 1;
  // One that is half of a pair goes with the other half.
  if (splits(was, at) || splits(is, at)) at -= 1;
  if (splits(was, was.length - end) || splits(is, is.length - end)) end -= 1;
  return { at, del: was.length - end - at, put: is.slice(at, is.length - end) };
}

/** Whether a place is between the halves of one character. */
export function splits(text: string, at: number): boolean {
  return at > 0 && /^[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(at - 1, at + 1));
}

/** Where a place is after a splice. Text that comes exactly there is behind it, or before it if the place goes along. */
export function moved(place: number, { at, del, put }: Splice, along: boolean): number {
  if (place < at || (place === at && !(along && del === 0))) return place;
  if (place >= at + del) return place + put.length - del;
  return along ? at + put.length : at;
}

/** The same in pieces of which none is longer than so many units. */
export function* pieces(text: string, { at, del, put }: Splice, most: number): Generator<Splice> {
  if (del + put.length <= most) {
    yield { at, del, put };
    return;
  }
  let rest = text.slice(at, at + del);
  while (rest !== '') {
    const cut = cutAt(rest, most);
    yield { at, del: cut, put: '' };
    rest = rest.slice(cut);
  }
  for (let from = 0; from < put.length; ) {
    const piece = put.slice(from, from + cutAt(put.slice(from, from + most + 1), most));
    yield { at: at + from, del: 0, put: piece };
    from += piece.length;
  }
}

/** How much of a text makes a piece. */
function cutAt(text: string, most: number): number {
  if (text.length <= most) return text.length;
  return splits(text, most) ? most - 1 : most;
}
