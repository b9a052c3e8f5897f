import { forgetToken, recallPlace, recallToken, rememberPlace, rememberToken, type Place } from './place';

/** A provider of OpenID Connect at which one can sign in, and what it calls this page. */
export interface Provider {
  issuer: string;
  clientId: string;
}

/** What has to be remembered while the provider has the page. */
interface Trip {
  provider: Provider;
  place: Place;
  state: string;
  nonce: string;
  verifier: string;
  tokenEndpoint: string;
  hash: string;
}

const KEY = 'tombolo-chat sign-in';

/** The one in the page's address, else the one that the page was built with; none unless somebody says so. */
export function provider(): Provider | undefined {
  const asked = new URLSearchParams(location.search);
  const issuer = asked.get('issuer') ?? import.meta.env.VITE_OIDC_ISSUER;
  const clientId = asked.get('client_id') ?? import.meta.env.VITE_OIDC_CLIENT_ID;
  return issuer && clientId ? { issuer, clientId } : undefined;
}

/** Whether the token that is kept for a place is of this provider. */
export function isSignedIn(place: Place, { issuer }: Provider): boolean {
  const token = recallToken(place);
  return token !== undefined && claimsOf(token)?.iss === issuer;
}

/** Leaves the page for the provider's. Only fails if that cannot be reached. */
export async function signIn(place: Place, provider: Provider): Promise<void> {
  const document = await discover(provider.issuer);
  const [state, nonce, verifier] = [random(), random(), random()];
  const trip: Trip = { provider, place, state, nonce, verifier, tokenEndpoint: document.token_endpoint, hash: location.hash };
  sessionStorage.setItem(KEY, JSON.stringify(trip));
  const to = new URL(document.authorization_endpoint);
  const fields = {
    response_type: 'code',
    client_id: provider.clientId,
    redirect_uri: redirectUri(),
    scope: 'openid',
    state,
    nonce,
    code_challenge: base64url(await sha256(verifier)),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(fields)) to.searchParams.set(name, value);
  location.assign(to);
}

/** Goes on as somebody whom only the peer knows. */
export function signOut(place: Place): void {
  forgetToken(place);
}

/** If the page was sent back by a provider: keeps the token it gives, and is where it was before. */
export async function finishSignIn(): Promise<void> {
  const answer = new URLSearchParams(location.search);
  const state = answer.get('state');
  const kept = sessionStorage.getItem(KEY);
  if (state === null || kept === null) return;
  sessionStorage.removeItem(KEY);
  const trip = JSON.parse(kept) as Trip;
  // The code stands in no history, and in no link that somebody copies.
  const address = new URL(redirectUri());
  address.searchParams.set('issuer', trip.provider.issuer);
  address.searchParams.set('client_id', trip.provider.clientId);
  address.hash = trip.hash;
  history.replaceState(history.state, '', address);
  rememberPlace(trip.place);
  // An answer to somebody else's question, or of another provider (RFC 9207).
  if (state !== trip.state) throw new Error('The answer is to another question: sign in again.');
  if ((answer.get('iss') ?? trip.provider.issuer) !== trip.provider.issuer) throw new Error('The answer is of another provider.');
  const code = answer.get('code');
  if (code === null) throw new Error(answer.get('error_description') ?? answer.get('error') ?? 'The provider gives no code.');
  rememberToken(trip.place, await tokenFor(code, trip));
}

async function tokenFor(code: string, trip: Trip): Promise<string> {
  const answer = await fetch(trip.tokenEndpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: trip.provider.clientId,
      redirect_uri: redirectUri(),
      code,
      code_verifier: trip.verifier,
    }),
  });
  const told = (await answer.json()) as { id_token?: string; error_description?: string; error?: string };
  const token = told.id_token;
  if (!token) throw new Error(told.error_description ?? told.error ?? 'The provider gives no ID token.');
  // The peer checks who signed it; that it answers this very question, only the page can know.
  if (claimsOf(token)?.nonce !== trip.nonce) throw new Error('The token answers another question: sign in again.');
  return token;
}

interface Discovered {
  issuer: string;
  authorization_endpoint: string;
  token_endpoint: string;
}

async function discover(issuer: string): Promise<Discovered> {
  // A slash at its end belongs to the issuer's name, and comes once in the address.
  const answer = await fetch(`${issuer.replace(/\/+$/, '')}/.well-known/openid-configuration`);
  const document = (await answer.json()) as Discovered;
  if (document.issuer !== issuer) throw new Error(`That provider calls itself ${document.issuer}.`);
  return document;
}

/** Where the provider sends the page back to: the page itself, without what stands behind it. */
function redirectUri(): string {
  return location.origin + location.pathname;
}

/** What a token says, unchecked. A peer's own tokens are read the same way. */
function claimsOf(token: string): { iss?: unknown; nonce?: unknown } | undefined {
  try {
    const payload = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    return JSON.parse(atob(payload)) as { iss?: unknown; nonce?: unknown };
  } catch {
    return undefined;
  }
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function sha256(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/** The place to begin with, after a provider has sent the page back or not. */
export async function placeAfterSignIn(): Promise<{ place: Place; problem: string | undefined }> {
  let problem: string | undefined;
  try {
    await finishSignIn();
  } catch (error) {
    problem = (error as Error).message;
  }
  return { place: recallPlace(), problem };
}
