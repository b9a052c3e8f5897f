// Somebody signs in at a provider from a page that was never there before, and is the same person at
// another peer's page.

import { strict as assert } from 'node:assert';
import { after, before, test } from 'node:test';
import { Chat } from './chat.mjs';
import { start } from './pages.mjs';
import { becomes, peers, set } from './peers.mjs';

const [a, b] = peers;
const issuer = set('TOMBOLO_ISSUER');
const identity = set('TOMBOLO_IDENTITY');
let browser, ann, bob;

before(async () => {
  browser = await start(Chat);
});

after(async () => {
  await browser?.stop();
});

const tokenOf = chat => chat.page.evaluate(() => Object.entries(localStorage).find(([key]) => key.includes('token'))?.[1]);
const issuerOf = token => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).iss;

test('a page without a provider shows no way to sign in', async () => {
  bob = await browser.open(b.url);
  await becomes(() => bob.link.textContent(), 'Online');
  assert.equal(await bob.page.getByRole('button', { name: 'Sign in' }).count(), 0);
});

test('a page with one leads there and back, with a token of the provider', async () => {
  ann = await browser.open(a.url, {}, `&issuer=${encodeURIComponent(issuer)}&client_id=chat`);
  await becomes(() => ann.link.textContent(), 'Online');
  const { page } = ann;
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('input[name=login]').fill('ann');
  await page.locator('input[name=password]').fill('anything');
  await page.locator('button[type=submit]').click();
  await page.waitForFunction(() => document.querySelector('input[value=consent]'));
  await page.locator('button[type=submit]').click();
  await becomes(() => page.getByRole('button', { name: 'Sign out' }).count(), 1);
  await becomes(() => ann.link.textContent(), 'Online');
  assert.equal(issuerOf(await tokenOf(ann)), issuer);
  // Nothing of the way there stays in the address.
  assert.deepEqual([...new URL(page.url()).searchParams.keys()].sort(), ['client_id', 'database', 'issuer', 'peer']);
  ann.complaints.splice(0);
});

test('modules and other peers see the user of the provider', async () => {
  const name = ann.page.getByRole('textbox', { name: 'What shall the others call you?' });
  await name.fill('Ann');
  await name.press('Enter');
  await becomes(() => ann.ownName.textContent(), 'Ann');
  await ann.say('Signed in.');
  await becomes(() => bob.texts(), ['Signed in.']);
  const rows = await b.sql("SELECT identity FROM user WHERE name = 'Ann'");
  assert.equal(JSON.stringify(rows).replace(/[^0-9a-f]/g, '').slice(-64), identity);
});

test('a reload keeps who one is, and signing out ends it', async () => {
  await ann.page.reload();
  await becomes(() => ann.ownName.textContent(), 'Ann');
  await ann.page.getByRole('button', { name: 'Sign out' }).click();
  await becomes(() => ann.page.getByRole('button', { name: 'Sign in' }).count(), 1);
  await becomes(() => ann.link.textContent(), 'Online');
  await becomes(async () => (await ann.ownName.textContent()).startsWith('guest '), true);
});
