// A real provider of OpenID Connect on loopback. It prints one line of JSON when it can be used, and
// takes one word a line on standard input: `rotate` gives it another key beside the ones it has,
// `forget` leaves it with the newest only. It answers each with the ids of its keys.
//
// usage: provider.mjs [REDIRECT_URI...]: where the page's client may be sent back to
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const pages = process.argv.slice(2);

function key(alg) {
  const { privateKey } = alg === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg, use: 'sig' };
}

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
// With a slash at its end, as Auth0 has it.
const issuer = `http://127.0.0.1:${server.address().port}/`;

let keys = [key('RS256')];
const counted = { documents: 0, keys: 0 };

function begin() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'command-line',
        application_type: 'native',
        redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
      },
      {
        client_id: 'chat',
        redirect_uris: pages.length > 0 ? pages : ['http://127.0.0.1:1/'],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
      },
    ],
    // A page of one origin asks a provider of another.
    clientBasedCORS: () => true,
    cookies: { keys: ['known to this test only'] },
    pkce: { required: () => true },
    // So that `email` is in the ID token itself.
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], email: ['email'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com` }),
    }),
  });
  return provider.callback();
}

let handle = begin();
server.on('request', (request, response) => {
  if (request.url.startsWith('/.well-known/openid-configuration')) counted.documents += 1;
  if (request.url.startsWith('/jwks')) counted.keys += 1;
  handle(request, response);
});

// What the library has to say does not go between the lines.
console.info = console.error;
const tell = (what) => console.log(JSON.stringify(what));
tell({ issuer });
for await (const word of createInterface({ input: process.stdin })) {
  if (word === 'rotate') {
    // Providers show a new key before they sign with it; this one signs with the first that fits.
    keys = [key('RS256'), ...keys];
    handle = begin();
  } else if (word === 'forget') {
    keys = keys.slice(0, 1);
    handle = begin();
  }
  tell({ keys: keys.map(({ kid }) => kid), counted });
}
process.exit(0);
