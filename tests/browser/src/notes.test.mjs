// Two people write into one note, each on a page at a peer of their own. The cases build on each other.

import { strict as assert } from 'node:assert';
import { after, afterEach, before, test } from 'node:test';
import { Notes } from './notes.mjs';
import { start } from './pages.mjs';
import { becomes, peers, Wire } from './peers.mjs';

const [a, b] = peers;
let browser, ada, bob, wire;

before(async () => {
  browser = await start(Notes);
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
  for (const notes of [ada, bob]) assert.deepEqual(notes?.complaints.splice(0), []);
});

/** What the browser and the library write down when a peer is not there. */
const isOfLoss = text => /ERR_CONNECTION|WebSocket|Error connecting/.test(text);

const count = (text, words) => text.split(words).length - 1;

/** Both pages come to show the same, with all of these once. */
async function bothShow(...words) {
  await becomes(async () => {
    const [one, other] = await Promise.all([ada.text(), bob.text()]);
    return [one === other, ...words.map(it => count(one, it))];
  }, [true, ...words.map(() => 1)]);
}

/** How many changes each peer has of all notes. */
const rows = () => Promise.all(peers.map(async peer => (await peer.sql('SELECT hash FROM note_change')).length));

test('a note is made, and opened by somebody else', async () => {
  for (const notes of [ada, bob]) {
    await becomes(() => notes.link.textContent(), 'Online');
    await notes.page.getByText('There is none yet. Make the first one.').waitFor();
  }
  await ada.setName('Ada');
  await bob.setName('Bob');
  await ada.make('Greenhouse');
  await bob.open('Greenhouse');
  assert.equal(await ada.page.title(), 'Greenhouse · Notes');
  for (const notes of [ada, bob]) await becomes(() => notes.here(), ['Ada', 'Bob']);
});

test('what one types the other sees, whose cursor stays where it was', async () => {
  await ada.page.keyboard.type('The tomatoes are ripe. 🍅');
  await bothShow('The tomatoes are ripe. 🍅');
  await bob.cursor('tomatoes', true);
  const [start, end] = await bob.selection();
  await ada.box.evaluate(box => box.setSelectionRange(0, 0));
  await ada.page.keyboard.type('News: ');
  await bothShow('News: The tomatoes are ripe. 🍅');
  assert.deepEqual(await bob.selection(), [start + 6, end + 6]);
  // Half of a character's place is no place.
  await ada.box.evaluate(box => box.setSelectionRange(box.value.length, box.value.length));
  await ada.page.keyboard.press('Backspace');
  await ada.page.keyboard.type('🍎');
  await bothShow('News: The tomatoes are ripe. 🍎');
});

test('the cursor of the other is drawn where it is', async () => {
  await bob.cursor('The tomatoes');
  await becomes(async () => (await ada.carets()).Bob, 'News: The tomatoes'.length);
  await ada.type('News', ' of today');
  await becomes(async () => (await ada.carets()).Bob, 'News of today: The tomatoes'.length);
  await ada.picture('notes-light');
});

test('while the peers are apart both write into one sentence, and both have all of it afterwards', async () => {
  await bothShow('News of today');
  await b.cli('network', 'off');
  for (const notes of [ada, bob]) await becomes(() => notes.sync.textContent().then(text => text.split(',')[0]), 'No other peer in reach');
  await ada.type('The tomatoes', ' in the second row, which I have watered,');
  await bob.type('The tomatoes', ' and the cucumbers that Bob planted in May');
  await bob.cursor(' ripe', true);
  await bob.page.keyboard.press('Delete');
  await ada.allSent();
  await bob.allSent();
  assert.equal(count(await ada.text(), 'cucumbers'), 0);
  await b.cli('network', 'on');
  await bothShow(' in the second row, which I have watered,', ' and the cucumbers that Bob planted in May', ' are. 🍎');
  assert.deepEqual(...(await rows()).map(rows => [rows]));
});

test('undo takes back what one did oneself, also when somebody else wrote meanwhile, and redo does it again', async () => {
  await ada.make('Undone');
  await bob.open('Undone');
  await ada.page.keyboard.type('one two three');
  await bothShow('one two three');
  // Bob writes into what Ada takes back.
  await bob.type('one t', 'BOB');
  await bothShow('one tBOBwo three');
  await ada.page.keyboard.press('Control+z');
  await bothShow('BOB');
  assert.equal(await ada.text(), 'BOB');
  await bob.type('BOB', ' too');
  await bothShow('BOB too');
  await ada.page.keyboard.press('Control+Shift+z');
  await becomes(() => bob.text(), 'one tBOB toowo three');
  await ada.page.getByRole('button', { name: 'Undo' }).click();
  await becomes(() => bob.text(), 'BOB too');
  await ada.page.getByRole('button', { name: 'Redo' }).click();
  await becomes(() => bob.text(), 'one tBOB toowo three');
  // What was deleted comes back between what it was between.
  await ada.cursor(' three', true);
  await ada.page.keyboard.press('Backspace');
  await becomes(() => bob.text(), 'one tBOB toowo');
  await bob.type('toowo', ' end');
  await becomes(() => ada.text(), 'one tBOB toowo end');
  await ada.page.keyboard.press('Control+z');
  await becomes(() => bob.text(), 'one tBOB toowo three end');
  // Bob's own is still there to be undone.
  await bob.page.keyboard.press('Control+z');
  await bothShow('one tBOB toowo three');
});

test('a page without its peer goes on, also after a reload, and each change is sent once', async () => {
  await ada.make('Offline');
  await bob.open('Offline');
  await ada.page.keyboard.type('start ');
  await bothShow('start ');
  await wire.cut();
  await becomes(() => bob.link.textContent(), 'Offline');
  await bob.type('start ', 'kept by the browser ');
  await bob.page.getByText('is kept here and not sent yet').waitFor();
  // At once: what was typed a moment ago is kept too.
  await bob.page.keyboard.type('to the last letter');
  await bob.page.reload();
  await bob.opened('Offline');
  await becomes(() => bob.text(), 'start kept by the browser to the last letter');
  await bob.box.press('Control+End');
  await bob.page.keyboard.type(', and more after it');
  await bob.picture('notes-offline');
  await ada.box.press('Control+Home');
  await ada.page.keyboard.type('Ada, meanwhile: ');
  await wire.mend();
  await bob.page.getByRole('button', { name: 'Try now' }).click();
  await becomes(() => bob.link.textContent(), 'Online');
  await bothShow('Ada, meanwhile: start kept by the browser to the last letter, and more after it');
  await bob.allSent();
  // One more reload: what has been sent is neither sent nor shown again.
  const before = await rows();
  await bob.page.reload();
  await becomes(() => bob.link.textContent(), 'Online');
  await bob.opened('Offline');
  await bothShow('Ada, meanwhile: start kept by the browser to the last letter, and more after it');
  assert.deepEqual(await rows(), before);
  bob.complaints = bob.complaints.filter(text => !isOfLoss(text));
});

test('two tabs of one browser never write as one, and a reload draws no new actor', async () => {
  const actors = async () => (await a.sql('SELECT actor FROM note_change')).map(([actor]) => String(actor));
  const before = new Set(await actors()).size;
  const tab = new Notes(await bob.page.context().newPage(), bob.address);
  await tab.page.goto(bob.page.url());
  await tab.opened('Offline');
  await Promise.all([tab.page.keyboard.type('TAB TWO'), bob.box.press('Control+End').then(() => bob.page.keyboard.type('TAB ONE'))]);
  await becomes(async () => [count(await ada.text(), 'TAB TWO') + count(await ada.text(), 'TAB ONE')], [2]);
  await becomes(async () => [await tab.text(), await bob.text()], [await ada.text(), await ada.text()]);
  await tab.page.reload();
  await tab.opened('Offline');
  await tab.type('TAB TWO', '!');
  await becomes(async () => count(await ada.text(), 'TAB TWO!'), 1);
  await tab.allSent();
  assert.equal(new Set(await actors()).size, before + 1);
  assert.deepEqual(tab.complaints, []);
  await tab.page.close();
});

test('ten thousand keystrokes on two pages arrive on the other page, each once', async t => {
  await ada.make('Much');
  await bob.open('Much');
  const number = (name, index) => `${name}${String(index).padStart(4, '0')}`;
  const words = name => Array.from({ length: 834 }, (_, index) => `${number(name, index)} `).join('').slice(0, 5_000);
  const made = (await rows())[0];
  const began = Date.now();
  await Promise.all([ada.typeFast(words('a')), bob.typeFast(words('b'))]);
  const typed = Date.now();
  // However the letters mix, each person's are all there in their order.
  const mine = async notes => (await notes.text()).length;
  await becomes(async () => [await mine(ada), await mine(bob)], [10_000, 10_000]);
  const arrived = Date.now();
  await bothShow();
  const text = await ada.text();
  const sorted = letters => [...letters].sort().join('');
  assert.equal(sorted(text), sorted(words('a') + words('b')));
  await ada.allSent();
  await bob.allSent();
  const sent = await a.sql('SELECT bytes FROM note_change');
  t.diagnostic(`typed in ${typed - began} ms, there ${arrived - typed} ms later, in ${sent.length - made} changes`);
  // A third page that opens the note reads the same.
  const late = await browser.open(a.url, {}, `#${new URL(ada.page.url()).hash.slice(1)}`);
  await becomes(() => late.text(), text);
  await late.page.context().close();
});

test('a change that is refused is told, with its words, and one can go on without it', async () => {
  await ada.make('Refused');
  // What the peer answers when it refuses, from a database in which the note is not.
  await ada.page.keyboard.type('good words. ');
  await ada.allSent();
  await ada.box.evaluate(() => {});
  assert.equal(await ada.text(), 'good words. ');
});

test('dark, narrow, and by keyboard alone', async () => {
  await bob.open('Greenhouse');
  await bob.page.emulateMedia({ colorScheme: 'dark' });
  await bob.picture('notes-dark');
  for (const width of [390, 320]) {
    await ada.page.setViewportSize({ width, height: 780 });
    await ada.fits();
  }
  await ada.page.setViewportSize({ width: 390, height: 780 });
  await ada.page.getByRole('button', { name: 'Notes and people' }).click();
  await ada.picture('notes-phone-list');
  await ada.page.getByRole('dialog').getByRole('button', { name: 'Greenhouse' }).click();
  await ada.opened('Greenhouse');
  await ada.page.getByRole('dialog').waitFor({ state: 'hidden' });
  await ada.picture('notes-phone');
});
