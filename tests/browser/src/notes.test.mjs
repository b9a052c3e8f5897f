// Two people write into one note, each on a page at a peer of their own. The cases build on each other.

import { strict as assert } from 'node:assert';
import { after, afterEach, before, test } from 'node:test';
import { Notes } from './notes.mjs';
import { start } from './pages.mjs';
import { becomes, peers, Wire } from './peers.mjs';

const [a, b] = peers;
let browser, ada, bob;
/** From each page to its peer. */
let wires = [];

before(async () => {
  browser = await start(Notes);
  wires = await Promise.all(peers.map(peer => Wire.to(peer)));
  [ada, bob] = await Promise.all(wires.map(wire => browser.open(wire.url)));
});

after(async () => {
  await browser?.stop();
  for (const wire of wires) await wire.cut();
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

test('what a browser is putting together is left alone until it is done', async () => {
  const { page } = bob;
  const keys = await page.context().newCDPSession(page);
  await bob.cursor('ripe. 🍎');
  await keys.send('Input.imeSetComposition', { text: 'とま', selectionStart: 2, selectionEnd: 2 });
  await ada.box.press('Control+Home');
  await ada.page.keyboard.type('Good ');
  await becomes(async () => count(await ada.text(), 'Good News'), 1);
  await ada.allSent();
  // Bob's peer has it; the page waits.
  await becomes(async () => (await rows()).at(0) === (await rows()).at(1), true);
  assert.match(await bob.text(), /^News.*とま$/);
  await keys.send('Input.insertText', { text: 'トマト' });
  await bothShow('Good News: The tomatoes are ripe. 🍎トマト');
  for (let n = 0; n < 3; n += 1) await page.keyboard.press('Backspace');
  await bothShow('Good News: The tomatoes are ripe. 🍎');
  await ada.box.evaluate(box => box.setSelectionRange(0, 5));
  await ada.page.keyboard.press('Delete');
  await bothShow('News: The tomatoes are ripe. 🍎');
  await keys.detach();
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
  await becomes(async () => new Set(await rows()).size, 1);
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
  await becomes(() => bob.text(), 'one tBOBwo three too');
  await ada.page.getByRole('button', { name: 'Undo', exact: true }).click();
  await becomes(() => bob.text(), 'BOB too');
  await ada.page.getByRole('button', { name: 'Redo', exact: true }).click();
  await becomes(() => bob.text(), 'one tBOBwo three too');
  // What was deleted comes back between what it was between.
  await ada.cursor(' three', true);
  await ada.page.keyboard.press('Backspace');
  await becomes(() => bob.text(), 'one tBOBwo too');
  await bob.type('too', ' end');
  await becomes(() => ada.text(), 'one tBOBwo too end');
  await ada.page.keyboard.press('Control+z');
  await becomes(() => bob.text(), 'one tBOBwo three too end');
  // What Bob did is still his to be undone.
  await bob.page.keyboard.press('Control+z');
  await becomes(() => ada.text(), 'one tBOBwo three too');
});

test('what a call wrote and writes anew is there once, and words that were typed into it are told', async () => {
  await ada.make('Appended');
  await bob.open('Appended');
  await ada.page.keyboard.type('Start.\n');
  await bothShow('Start.\n');
  const id = BigInt(`0x${new URL(ada.page.url()).hash.slice(1)}`);
  const append = (peer, line) => peer.request('POST', '/v1/database/notes/call/append', `[${id}, "${line}"]`);
  await b.cli('network', 'off');
  await append(a, 'One line.');
  await append(b, 'Another line.');
  await becomes(() => bob.text(), 'Start.\nAnother line.\n');
  await bob.type('Another', ' WORD');
  await bob.allSent();
  await b.cli('network', 'on');
  // Bob's peer runs its call again, behind the other one: a change goes, another one comes.
  await becomes(() => ada.text(), 'Start.\nOne line.\nAnother line.\n');
  await becomes(() => bob.text(), 'Start.\nOne line.\nAnother line.\n');
  await becomes(() => bob.page.locator('.refusal .words').allTextContents(), [' WORD']);
  await bob.page.getByRole('button', { name: 'Give it up' }).click();
  await bob.type('Another', ' good');
  await bothShow('Another good line.');
  assert.equal(await bob.page.locator('.notice').count(), 0);
});

test('a page without its peer goes on, also after a reload, and each change is sent once', async () => {
  await ada.make('Offline');
  await bob.open('Offline');
  await ada.page.keyboard.type('start ');
  await bothShow('start ');
  await wires[1].cut();
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
  // More changes than one call takes.
  await bob.typeApart(', and more', '.'.repeat(150));
  await bob.picture('notes-offline');
  await ada.box.press('Control+Home');
  await ada.page.keyboard.type('Ada, meanwhile: ');
  const all = `Ada, meanwhile: start kept by the browser to the last letter, and more${'.'.repeat(150)} after it`;
  await wires[1].mend();
  await bob.page.getByRole('button', { name: 'Try now' }).click();
  await becomes(() => bob.link.textContent(), 'Online');
  await bothShow(all);
  await bob.allSent();
  // One more reload: what has been sent is neither sent nor shown again.
  const before = await rows();
  await bob.page.reload();
  await becomes(() => bob.link.textContent(), 'Online');
  await bob.opened('Offline');
  await bothShow(all);
  assert.deepEqual(await rows(), before);
  bob.complaints = bob.complaints.filter(text => !isOfLoss(text));
});

test('two tabs of one browser never write as one, and reloads draw no new actors', async () => {
  const me = await bob.page.evaluate(() => Object.entries(localStorage).find(([key]) => key.includes('identity'))[1]);
  const note = BigInt(`0x${new URL(bob.page.url()).hash.slice(1)}`);
  /** Bob's actors in this note. JSON's numbers would be cut off. */
  const actors = async () => {
    const text = await a.request('POST', '/v1/database/notes/sql', `SELECT actor FROM note_change WHERE note = ${note}`);
    const all = new Set((text.match(/\d{20,}/g) ?? []).map(number => BigInt(number).toString(16).padStart(32, '0')));
    return [...all].filter(actor => actor.startsWith(me.slice(-16))).length;
  };
  // The page was loaded three times, and has written each time.
  await bob.type('after it', '.');
  await bob.allSent();
  assert.equal(await actors(), 1);
  const tab = new Notes(await bob.page.context().newPage(), bob.address);
  await tab.page.goto(bob.page.url());
  await tab.opened('Offline');
  await becomes(() => tab.link.textContent(), 'Online');
  await Promise.all([tab.typeFast(' Of the second tab.'), bob.typeFast(' Of the first tab.')]);
  const both = text => [count(text, ' Of the second tab.'), count(text, ' Of the first tab.')];
  for (const notes of [ada, bob, tab]) await becomes(async () => both(await notes.text()), [1, 1]);
  assert.equal(await actors(), 2);
  await tab.page.reload();
  await tab.opened('Offline');
  await tab.type('second tab.', ' And again.');
  for (const notes of [ada, bob]) await becomes(async () => count(await notes.text(), ' And again.'), 1);
  assert.equal(await actors(), 2);
  assert.deepEqual(tab.complaints, []);
  await tab.page.close();
});

/** Five thousand letters: words of twelve different ones in an order that chance would not make, with something between them. */
function letters(first, between) {
  let seed = first;
  return Array.from({ length: 5_000 }, (_, index) => {
    if (index % 7 === 6) return between;
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return String.fromCharCode(first + Math.floor(seed / 65_536) % 12);
  }).join('');
}

test('ten thousand keystrokes on two pages arrive on the other page, each once and in order', async t => {
  await ada.make('Much');
  await bob.open('Much');
  const [first, second] = [letters('a'.charCodeAt(0), ' '), letters('n'.charCodeAt(0), '\n')];
  const before = (await rows())[0];
  const began = Date.now();
  await Promise.all([ada.typeFast(first), bob.typeFast(second)]);
  const typed = Date.now();
  await becomes(async () => [(await ada.text()).length, (await bob.text()).length], [10_000, 10_000]);
  await bothShow();
  const text = await ada.text();
  assert.equal(text.replace(/[^a-l ]/g, ''), first);
  assert.equal(text.replace(/[^n-y\n]/g, ''), second);
  for (const notes of [ada, bob]) await notes.allSent();
  const arrived = Date.now();
  t.diagnostic(`typed in ${typed - began} ms, there after ${arrived - typed} ms more, in ${(await rows())[0] - before} changes`);
  // Somebody who opens the note afterwards reads the same.
  const late = await browser.open(a.url, {}, new URL(ada.page.url()).hash);
  await becomes(() => late.text(), text);
  assert.deepEqual(late.complaints, []);
  await late.page.context().close();
});

test('a change that is refused is told, with its words, and one can go on without it', async () => {
  await ada.make('Refused');
  await ada.page.keyboard.type('Words. ');
  await ada.allSent();
  // A browser's profile, copied: two pages with one actor, which cannot know of each other.
  const storageState = await ada.page.context().storageState({ indexedDB: true });
  const twin = await browser.open(wires[0].url, { storageState }, new URL(ada.page.url()).hash);
  await twin.opened('Refused');
  await becomes(() => twin.text(), 'Words. ');
  await becomes(() => twin.link.textContent(), 'Online');
  await wires[0].cut();
  for (const notes of [ada, twin]) await becomes(() => notes.link.textContent(), 'Offline');
  await ada.type('Words. ', 'Of Ada. ');
  await twin.type('Words. ', 'Of the twin. ');
  await wires[0].mend();
  // One of them is first.
  const said = new Map([[ada, 'Of Ada. '], [twin, 'Of the twin. ']]);
  const refusals = () => Promise.all([ada, twin].map(notes => notes.page.locator('.refusal').allTextContents()));
  await becomes(async () => (await refusals()).flat().length, 1);
  const [late, first] = (await refusals())[0].length > 0 ? [ada, twin] : [twin, ada];
  assert.match((await refusals()).flat()[0], new RegExp(`^What you typed in Refused was refused: .*another change with the number \\d+\\.${said.get(late)}`));
  await late.picture('notes-refused');
  await late.page.getByRole('button', { name: 'Give it up' }).click();
  await becomes(() => late.text(), `Words. ${said.get(first)}`);
  await late.type(said.get(first), 'Another way.');
  await becomes(() => first.text(), `Words. ${said.get(first)}Another way.`);
  for (const notes of [ada, twin]) assert.equal(await notes.page.locator('.notice').count(), 0);
  await twin.allSent();
  assert.equal(await twin.page.locator('.notice').count(), 0);
  for (const notes of [ada, twin]) notes.complaints = notes.complaints.filter(text => !isOfLoss(text));
  assert.deepEqual(twin.complaints, []);
  await twin.page.context().close();
});

test('the keyboard is enough', async () => {
  const { keyboard } = ada.page;
  const isFocused = find => find.evaluate(it => document.activeElement === it);
  await ada.page.getByRole('textbox', { name: 'Make a note' }).focus();
  await keyboard.type('By keyboard');
  await keyboard.press('Enter');
  await ada.opened('By keyboard');
  // One can write at once.
  await becomes(() => isFocused(ada.box), true);
  await keyboard.type('written');
  await keyboard.press('Shift+Tab');
  await becomes(() => isFocused(ada.page.getByRole('button', { name: 'Undo', exact: true })), true);
  await keyboard.press('Enter');
  await becomes(() => ada.text(), '');
  await becomes(() => isFocused(ada.box), true);
  await keyboard.press('Control+y');
  await becomes(() => ada.text(), 'written');
});

test('dark and narrow', async () => {
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
