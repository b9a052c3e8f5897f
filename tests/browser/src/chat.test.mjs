// Two people chat, each on a page at a peer of their own. The cases build on each other: they are one
// evening.

import { strict as assert } from 'node:assert';
import { after, afterEach, before, test } from 'node:test';
import { Chat } from './chat.mjs';
import { start } from './pages.mjs';
import { becomes, peers, Wire } from './peers.mjs';

const [a, b] = peers;
let browser, ada, bob, wire;

before(async () => {
  browser = await start(Chat);
  wire = await Wire.to(b);
  ada = await browser.open(a.url);
  bob = await browser.open(wire.url);
});

after(async () => {
  await browser?.stop();
  await wire?.cut();
});

/** No page may complain on its console, but where a case says so. */
afterEach(() => {
  for (const chat of [ada, bob]) assert.deepEqual(chat?.complaints.splice(0), []);
});

const bothShow = async texts => {
  for (const chat of [ada, bob]) await becomes(() => chat.texts(), texts);
};

test('a new page is in the lobby, and says that nobody has spoken', async () => {
  for (const chat of [ada, bob]) {
    await becomes(() => chat.link.textContent(), 'Online');
    await chat.page.getByText('Nobody has said anything here yet.').waitFor();
    assert.equal(await chat.page.title(), 'lobby · Chat');
    assert.match(await chat.ownName.textContent(), /^guest /);
  }
  await ada.picture('empty');
});

test('both take names, and a name that is taken is refused beside the box', async () => {
  const name = chat => chat.page.getByRole('textbox', { name: 'What shall the others call you?' });
  await name(ada).fill('Ada');
  await name(ada).press('Enter');
  await becomes(() => ada.ownName.textContent(), 'Ada');
  await becomes(() => bob.here().then(here => here.includes('Ada')), true);
  await name(bob).fill('Ada');
  await name(bob).press('Enter');
  await becomes(() => bob.page.locator('.prompt .error').textContent(), 'The name "Ada" is taken.');
  await name(bob).fill('Bob');
  await bob.page.getByRole('button', { name: 'Save' }).click();
  for (const chat of [ada, bob]) await becomes(() => chat.here(), ['Ada', 'Bob']);
  assert.equal(await name(bob).count(), 0);
});

test('messages pass both ways, in one order', async () => {
  await ada.say('Hello from my kitchen.');
  await bothShow(['Hello from my kitchen.']);
  await bob.say('And from the train.');
  await bothShow(['Hello from my kitchen.', 'And from the train.']);
  assert.deepEqual(await ada.messages(), await bob.messages());
});

test('the keyboard is enough: rooms, lines, sending', async () => {
  const { keyboard } = ada.page;
  const focused = () => ada.page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id);
  /** Goes on until something of that name has the focus. */
  const tabTo = async find => {
    for (let n = 0; n < 30; n += 1) {
      await keyboard.press('Tab');
      if (await find.evaluateAll(all => all.includes(document.activeElement))) return;
    }
    assert.fail(`no way there from ${await focused()}`);
  };
  await ada.page.evaluate(() => document.activeElement.blur());
  await tabTo(ada.page.getByRole('textbox', { name: 'Open a room' }));
  await keyboard.type('lobby');
  await keyboard.press('Enter');
  await becomes(() => ada.page.locator('nav .error').textContent(), 'There is a room "lobby" already.');
  await keyboard.press('Control+a');
  await keyboard.type('boat trip');
  await keyboard.press('Enter');
  await becomes(() => ada.page.getByRole('heading', { level: 1 }).textContent(), 'boat trip');
  // The box has the focus: one can write at once.
  await becomes(focused, 'Message to boat trip');
  await keyboard.type('first line');
  await keyboard.press('Shift+Enter');
  await keyboard.type('second line');
  assert.equal(await ada.texts().then(texts => texts.length), 0);
  await keyboard.press('Enter');
  await becomes(() => ada.texts(), ['first line\nsecond line']);
  // The focus can be seen.
  await ada.page.evaluate(() => document.activeElement.blur());
  const lobby = ada.page.getByRole('navigation').getByRole('button', { name: 'lobby' });
  await tabTo(lobby);
  assert.notEqual(await lobby.evaluate(it => getComputedStyle(it).outlineStyle), 'none');
  await keyboard.press('Enter');
  await bothShow(['Hello from my kitchen.', 'And from the train.']);
  await bob.page.getByRole('button', { name: 'boat trip' }).click();
  await becomes(() => bob.texts(), ['first line\nsecond line']);
  await bob.page.goBack();
  await becomes(() => bob.texts(), ['Hello from my kitchen.', 'And from the train.']);
});

test('apart both go on; together they show the same, in the same order', async () => {
  await b.cli('network', 'off');
  const said = { ada: [], bob: [] };
  for (let n = 1; n <= 5; n += 1) {
    said.ada.push(`Ada, apart, ${n}`);
    said.bob.push(`Bob, apart, ${n}`);
    await ada.say(said.ada.at(-1));
    await bob.say(said.bob.at(-1));
  }
  const before = ['Hello from my kitchen.', 'And from the train.'];
  await becomes(() => ada.texts(), [...before, ...said.ada]);
  await becomes(() => bob.texts(), [...before, ...said.bob]);
  const places = await ada.places();
  // Ada's peer makes calls final, Bob's cannot.
  await becomes(() => ada.marks('Ada, apart'), Array(5).fill('final'));
  assert.deepEqual(await ada.places(), places, 'a mark moves nothing');
  await becomes(() => bob.marks('Bob, apart'), Array(5).fill('tentative'));
  for (const chat of [ada, bob]) await becomes(() => chat.sync.textContent().then(text => text.split(',')[0]), 'No other peer in reach');
  assert.match(await bob.sync.textContent(), /, \d+ calls not final yet$/);
  await bob.picture('apart');
  await b.cli('network', 'on');
  const all = [...before, ...said.ada, ...said.bob].sort();
  for (const chat of [ada, bob]) await becomes(() => chat.texts().then(texts => texts.sort()), all);
  // By time, as the peer has it; and the very same on both pages.
  const rows = await a.sql('SELECT text, sent FROM message');
  rows.sort(([, [one]], [, [other]]) => one - other);
  await bothShow(rows.map(([text]) => text).filter(text => all.includes(text)));
  assert.deepEqual(await ada.messages(), await bob.messages());
  // What each said keeps its order.
  for (const own of [said.ada, said.bob]) {
    assert.deepEqual((await bob.texts()).filter(text => own.includes(text)), own);
  }
  await becomes(() => bob.marks('Bob, apart'), Array(5).fill('final'));
  for (const chat of [ada, bob]) await becomes(() => chat.sync.textContent(), '1 peer, in sync, all calls final');
  await ada.picture('together');
});

test('a name that two took while apart goes to one of them, and the other is told', async () => {
  await b.cli('network', 'off');
  for (const chat of [ada, bob]) {
    await chat.page.getByRole('button', { name: 'Change your name' }).click();
    await chat.page.getByRole('textbox', { name: 'Your name' }).fill('Neptune');
    await chat.page.getByRole('textbox', { name: 'Your name' }).press('Enter');
    await becomes(() => chat.ownName.textContent(), 'Neptune');
    // The focus is where it was before.
    assert.equal(await chat.page.evaluate(() => document.activeElement.ariaLabel), 'Change your name');
  }
  await b.cli('network', 'on');
  // Ada's call was the earlier one.
  for (const chat of [ada, bob]) await becomes(() => chat.here(), ['Bob', 'Neptune']);
  assert.equal(await ada.ownName.textContent(), 'Neptune');
  assert.equal(await bob.ownName.textContent(), 'Bob');
  await bob.page.getByText('Your new name did not stand').waitFor();
  await bob.picture('second');
  await bob.page.getByRole('button', { name: 'Dismiss' }).click();
  assert.equal(await ada.page.locator('.notice').count(), 0);
});

test('a page that loses its peer keeps what is on it, and comes back by itself', async () => {
  await bob.box.fill('half a sentence');
  const texts = await bob.texts();
  await wire.cut();
  await becomes(() => bob.link.textContent(), 'Offline');
  await bob.box.press('Enter');
  await becomes(() => bob.page.locator('#compose-hint').textContent(), 'Not connected. What you wrote stays here.');
  assert.deepEqual(await bob.texts(), texts);
  await bob.picture('offline');
  await ada.say('Are you still there?');
  await wire.mend();
  await becomes(() => bob.link.textContent(), 'Online');
  await becomes(() => bob.texts(), [...texts, 'Are you still there?']);
  assert.equal(await bob.box.inputValue(), 'half a sentence');
  await bob.box.press('Enter');
  await bothShow([...texts, 'Are you still there?', 'half a sentence']);
  // The browser itself writes down each attempt that failed.
  bob.complaints = bob.complaints.filter(text => !/WebSocket|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/.test(text));
});

test('a reload keeps who one is, and the room', async () => {
  const texts = await bob.texts();
  await bob.page.reload();
  await becomes(() => bob.ownName.textContent(), 'Bob');
  await becomes(() => bob.texts(), texts);
  await bob.say('Back again.');
  await bothShow([...texts, 'Back again.']);
  await becomes(() => bob.here(), ['Bob', 'Neptune']);
  await ada.page.getByRole('button', { name: 'boat trip' }).click();
  await becomes(() => ada.texts(), ['first line\nsecond line']);
  await ada.page.reload();
  await becomes(() => ada.texts(), ['first line\nsecond line']);
  await ada.page.goBack();
  await bothShow([...texts, 'Back again.']);
});

test('who reads what was said before is not carried away', async () => {
  await Promise.all(Array.from({ length: 200 }, (_, n) => a.call('send_message', 'lobby', `Old news ${n}`)));
  for (let n = 1; n <= 40; n += 1) await a.call('send_message', 'lobby', `News ${n}`);
  await becomes(() => bob.texts().then(texts => texts.at(-1)), 'News 40');
  const place = () => bob.log.evaluate(log => Math.round(log.scrollHeight - log.scrollTop - log.clientHeight));
  await becomes(place, 0);
  await bob.log.evaluate(log => { log.scrollTop = 120; });
  const top = () => bob.log.evaluate(log => Math.round(log.scrollTop));
  await becomes(top, 120);
  await ada.say('One more.');
  await bob.page.getByRole('button', { name: 'New messages' }).waitFor();
  assert.equal(await top(), 120);
  await bob.page.getByRole('button', { name: 'New messages' }).click();
  await becomes(place, 0);
  await bob.page.getByRole('button', { name: 'New messages' }).waitFor({ state: 'hidden' });
  // Earlier messages come above what is read.
  const [first] = await bob.texts();
  const height = () => bob.page.getByText(first, { exact: true }).evaluate(text => Math.round(text.getBoundingClientRect().top));
  await bob.log.evaluate(log => { log.scrollTop = 0; });
  await becomes(top, 0);
  const before = await height();
  await bob.page.getByRole('button', { name: 'Show earlier messages' }).click();
  await bob.page.getByText('Hello from my kitchen.').waitFor({ state: 'attached' });
  await becomes(height, before);
  await bob.log.evaluate(log => { log.scrollTop = log.scrollHeight; });
  await becomes(place, 0);
});

test('dark, and on a phone', async () => {
  await bob.say(`A long word: ${'Donaudampfschifffahrtsgesellschaft'.repeat(5)}`);
  await bob.say('https://example.org/a/path/that/goes/on/and/on/and/on/without/a/place/to/break/it/anywhere?at=all');
  await ada.say('It fits.');
  await bob.page.emulateMedia({ colorScheme: 'dark' });
  await bob.picture('dark');
  await ada.picture('light');
  for (const width of [390, 320]) {
    await ada.page.setViewportSize({ width, height: 780 });
    await ada.fits();
    await becomes(() => ada.log.evaluate(log => log.scrollWidth <= log.clientWidth), true);
  }
  await ada.page.setViewportSize({ width: 390, height: 780 });
  await ada.picture('phone');
  await ada.page.getByRole('button', { name: 'Rooms and people' }).click();
  await ada.page.getByRole('dialog').getByRole('button', { name: 'boat trip' }).waitFor();
  await ada.picture('phone-rooms');
  await ada.page.keyboard.press('Escape');
  await ada.page.getByRole('dialog').waitFor({ state: 'hidden' });
  await ada.page.getByRole('button', { name: 'Rooms and people' }).click();
  await ada.page.getByRole('dialog').getByRole('button', { name: 'boat trip' }).click();
  await becomes(() => ada.texts(), ['first line\nsecond line']);
  await ada.page.getByRole('dialog').waitFor({ state: 'hidden' });
});

test('another peer or database can be chosen, and a wrong address is refused beside the box', async () => {
  const { page } = bob;
  await page.getByRole('button', { name: 'Connection settings' }).click();
  const peer = page.getByRole('dialog').getByRole('textbox', { name: 'Your peer' });
  await peer.fill('ftp://nowhere');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await becomes(() => page.locator('#peer-error').textContent(), 'An address starts with ws:// or http://.');
  await bob.picture('settings');
  await peer.fill(a.url);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await becomes(() => bob.link.textContent(), 'Online');
  // Somebody else there: each peer gives identities of its own.
  await becomes(() => bob.ownName.textContent().then(name => /^guest /.test(name)), true);
  await becomes(() => bob.texts().then(texts => texts.at(-1)), 'It fits.');
  assert.match(page.url(), new RegExp(encodeURIComponent(a.url.replace('http', 'ws'))));
});

test('who is not known any more is told so, and can start anew', async () => {
  const { page } = bob;
  await page.evaluate(() => {
    for (const key of Object.keys(localStorage).filter(key => key.includes('token'))) localStorage.setItem(key, 'not.a.token');
  });
  await page.reload();
  await page.getByText('does not know you any more').waitFor();
  await page.getByRole('button', { name: 'Start anew' }).click();
  await becomes(() => bob.link.textContent(), 'Online');
  await becomes(() => bob.texts().then(texts => texts.at(-1)), 'It fits.');
  // The browser itself and the library write it down.
  bob.complaints = bob.complaints.filter(text => !/401|Error connecting/.test(text));
});
