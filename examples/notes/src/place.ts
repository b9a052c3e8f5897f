/** Which database, and at which peer. */
export interface Place {
  /** `ws://` or `wss://`, host and port. */
  peer: string;
  database: string;
}

const USUAL: Place = { peer: 'ws://127.0.0.1:3000', database: 'notes' };

/** Takes addresses as people write them: `127.0.0.1:3001`, `http://…`, `ws://…`. */
export function peerUrl(text: string): string {
  const trimmed = text.trim();
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `ws://${trimmed}`);
  } catch {
    throw new Error(`"${trimmed}" is not an address such as 127.0.0.1:3000.`);
  }
  const scheme = { 'http:': 'ws', 'ws:': 'ws', 'https:': 'wss', 'wss:': 'wss' }[url.protocol];
  if (!scheme || !url.host) throw new Error('An address starts with ws:// or http://.');
  return `${scheme}://${url.host}`;
}

/** The place in the page's own address; else the one of the last time; else the usual one. */
export function recallPlace(): Place {
  const asked = new URLSearchParams(location.search);
  const place = {
    peer: asked.get('peer') ?? recall('peer') ?? USUAL.peer,
    database: asked.get('database') ?? recall('database') ?? USUAL.database,
  };
  try {
    place.peer = peerUrl(place.peer);
  } catch {
    place.peer = USUAL.peer;
  }
  rememberPlace(place);
  return place;
}

/** Also in the page's address, so that a reload or a copied link leads to the same place. */
export function rememberPlace(place: Place): void {
  remember('peer', place.peer);
  remember('database', place.database);
  const address = new URL(location.href);
  address.searchParams.set('peer', place.peer);
  address.searchParams.set('database', place.database);
  history.replaceState(history.state, '', address);
}

/** The peer's word for who we are, and who that is. Each peer gives its own. */
export function recallToken(place: Place): string | undefined {
  return recall(`token ${place.peer}`);
}

/** Who we were the last time, in hexadecimal form: known also where the peer is not in reach. */
export function recallIdentity(place: Place): string | undefined {
  return recall(`identity ${place.peer}`);
}

export function rememberSelf(place: Place, token: string, identity: string): void {
  remember(`token ${place.peer}`, token);
  remember(`identity ${place.peer}`, identity);
}

export function forgetSelf(place: Place): void {
  try {
    localStorage.removeItem(keyOf(`token ${place.peer}`));
    localStorage.removeItem(keyOf(`identity ${place.peer}`));
  } catch {
    // They were not kept either.
  }
}

/** What one wants to be called. */
export function recallName(): string | undefined {
  return recall('name');
}

export function rememberName(name: string): void {
  remember('name', name);
}

// A browser may forbid to keep anything. The page works all the same, with a new identity each time.

function keyOf(what: string): string {
  return `tombolo-notes ${what}`;
}

function recall(what: string): string | undefined {
  try {
    return localStorage.getItem(keyOf(what)) ?? undefined;
  } catch {
    return undefined;
  }
}

function remember(what: string, value: string): void {
  try {
    localStorage.setItem(keyOf(what), value);
  } catch {
    // See above.
  }
}
