// Signs somebody in at the provider, as a browser would: follows what it is told, fills in the forms,
// and ends where the provider sends it back to.
//
// usage: sign-in.mjs AUTHORIZATION_URL NAME [--stop-at PREFIX]: prints where it ended. With a prefix it
// does not go there.
const [start, name, , prefix] = process.argv.slice(2);
const origin = new URL(start).origin;
const cookies = new Map();

async function step(url, form) {
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form && new URLSearchParams(form),
    redirect: 'manual',
    headers: { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join('; ') },
  });
  for (const cookie of response.headers.getSetCookie()) {
    const [pair] = cookie.split(';');
    const at = pair.indexOf('=');
    if (pair.length > at + 1) cookies.set(pair.slice(0, at), pair.slice(at + 1));
    else cookies.delete(pair.slice(0, at));
  }
  return response;
}

let url = start;
let form;
for (let steps = 0; steps < 20; steps += 1) {
  if (prefix && url.startsWith(prefix)) break;
  const response = await step(url, form);
  form = undefined;
  const location = response.headers.get('location');
  if (location) {
    url = new URL(location, url).href;
    continue;
  }
  const text = await response.text();
  if (!url.startsWith(origin)) {
    if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
    break;
  }
  const prompt = /name="prompt" value="(\w+)"/.exec(text)?.[1];
  const action = /action="([^"]+)"/.exec(text)?.[1];
  if (!prompt || !action) throw new Error(`${url}: ${response.status} ${text}`);
  url = new URL(action, url).href;
  form = prompt === 'login' ? { prompt, login: name, password: 'any' } : { prompt };
}
console.log(url);
