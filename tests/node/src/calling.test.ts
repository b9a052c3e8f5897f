// Calls of reducers, and what becomes of their promises.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as inventory from 'generated/inventory';
import * as misbehave from 'generated/misbehave';
import { InternalError, SenderError } from 'spacetimedb';
import { becomes, column, connect, peer, record, subscribe, within } from './harness';

async function room() {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, ['SELECT * FROM message', 'SELECT * FROM user', 'SELECT * FROM room', 'SELECT * FROM account']);
  return { database, conn, said: () => column(conn.db.message, row => row.text) };
}

/** The promise is rejected in this way. */
async function refused(promise: Promise<void>, kind: new (text: string) => Error, text: string | RegExp) {
  const error = await within('an answer', promise.then(() => assert.fail('it went well'), (error: unknown) => error));
  assert.ok(error instanceof kind, `${error}`);
  if (typeof text === 'string') assert.equal(error.message, text);
  else assert.match(error.message, text);
}

test('a reducer\'s error reaches its promise, word for word', async () => {
  const { conn, said } = await room();
  const text = 'there is no room "nowhere": open_room makes one';
  await refused(conn.reducers.sendMessage({ room: 'nowhere', text: 'hello' }), SenderError, text);
  await refused(conn.reducers.transfer({ from: 1, to: 2, amount: 0n }), SenderError, 'an amount is positive, 0 is not');
  assert.deepEqual(said(), []);
});

test('a failed call leaves nothing behind, and the next one goes on', async () => {
  const { conn } = await room();
  await conn.reducers.openAccounts({ count: 2 });
  const told = record(conn.db.account, row => `${row.id}: ${row.balance}`);
  const text = 'account 0 holds 1000, not 1001';
  await refused(conn.reducers.transfer({ from: 0, to: 1, amount: 1001n }), SenderError, text);
  assert.deepEqual(told, []);
  await conn.reducers.transfer({ from: 0, to: 1, amount: 1000n });
  assert.deepEqual(column(conn.db.account, row => row.balance), [0n, 2000n]);
});

test('a trap is an internal error', async () => {
  const { conn } = await connect(misbehave.DbConnection, await peer.publish('misbehave'));
  await subscribe(conn, 'SELECT * FROM leftover');
  await refused(conn.reducers.panicNow({ why: 'because' }), InternalError, /fatal error|because|panic/);
  await refused(conn.reducers.fail({ why: 'a reason' }), SenderError, 'a reason');
  await conn.reducers.behave({ word: 'still here' });
  assert.deepEqual(column(conn.db.leftover, row => row.why), ['still here']);
});

test('an unknown reducer is an internal error', async () => {
  const { conn, said } = await room();
  await refused(conn.callReducer('no_such_thing', new Uint8Array()), InternalError, /no_such_thing/);
  await conn.reducers.sendMessage({ room: 'lobby', text: 'after it' });
  assert.deepEqual(said(), ['after it']);
});

test('arguments that are too short, too long or no text are internal errors', async () => {
  const { conn, said } = await room();
  for (const bytes of [[], [5, 0, 0, 0, 65], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0, 9], [1, 0, 0, 0, 0xff, 0, 0, 0, 0]]) {
    await refused(conn.callReducer('send_message', new Uint8Array(bytes)), InternalError, /./);
  }
  await conn.reducers.sendMessage({ room: 'lobby', text: 'after them' });
  assert.deepEqual(said(), ['after them']);
});

test('a reducer of the life cycle cannot be called', async () => {
  const { conn } = await room();
  for (const name of ['init', 'client_connected', 'client_disconnected']) {
    await refused(conn.callReducer(name, new Uint8Array()), InternalError, /./);
  }
  assert.deepEqual(column(conn.db.user, row => row.connections), [1]);
});

test('a unique column that is taken: the reducer\'s own words', async () => {
  const { database, conn } = await room();
  const { conn: other } = await connect(chat.DbConnection, database);
  await other.reducers.setName({ name: 'Ada' });
  await refused(conn.reducers.setName({ name: 'Ada' }), SenderError, 'the name "Ada" is taken');
  await conn.reducers.openRoom({ name: 'attic' });
  await refused(conn.reducers.openRoom({ name: 'attic' }), SenderError, 'there is a room "attic" already');
  assert.deepEqual(column(conn.db.room, row => row.name), ['attic', 'lobby']);
  const names = column(conn.db.user, row => row.name).map(name => name.slice(0, 6));
  assert.deepEqual(names, ['Ada', 'guest ']);
});

test('a unique column that is taken: the library\'s words', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  await subscribe(conn, 'SELECT * FROM item');
  const item = {
    sku: 'drill', serial: 7n, category: { tag: 'Tool' as const }, maker: 'Ada', priceCents: 5n, weightKg: 1,
    tags: [], dimensions: undefined, note: undefined,
  };
  await conn.reducers.addItem(item);
  await refused(conn.reducers.addItem({ ...item, serial: 8n }), SenderError, /./);
  await refused(conn.reducers.addItem({ ...item, sku: 'saw' }), SenderError, /./);
  await conn.reducers.addItem({ ...item, sku: 'saw', serial: 8n });
  assert.deepEqual(column(conn.db.item, row => `${row.sku} ${row.serial}`), ['drill 7', 'saw 8']);
});

test('numbers that a column gives go up, whoever calls', async () => {
  const { database, conn } = await room();
  await conn.reducers.openRoom({ name: 'one' });
  await peer.call(database, 'open_room', 'two');
  await refused(conn.reducers.openRoom({ name: 'two' }), SenderError, /already/);
  await conn.reducers.openRoom({ name: 'three' });
  await becomes(() => conn.db.room.count(), 4n);
  const rooms = [...conn.db.room.iter()].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(rooms.map(row => row.name), ['lobby', 'one', 'two', 'three']);
  const rows = await peer.sql(database, 'SELECT name FROM room WHERE id = ' + rooms[2]!.id);
  assert.deepEqual(rows, [['two']], 'ids of 64 bits stay whole');
  assert.equal(conn.db.room.id.find(rooms[1]!.id)?.name, 'one');
});

test('calls that do not wait for each other are answered each in its own way', async () => {
  const { conn, said } = await room();
  const texts = [...Array(60).keys()].map(n => (n % 3 === 1 ? ' ' : `text ${n}`));
  const answers = await Promise.allSettled(texts.map(text => conn.reducers.sendMessage({ room: 'lobby', text })));
  for (const [n, answer] of answers.entries()) {
    assert.equal(answer.status, n % 3 === 1 ? 'rejected' : 'fulfilled', `${n}`);
    if (answer.status === 'rejected') assert.equal(answer.reason.message, 'a message needs some text');
  }
  assert.deepEqual(said(), texts.filter(text => text !== ' ').sort());
});

test('promises settle in the order of the calls', async () => {
  const { conn, said } = await room();
  const settled: number[] = [];
  const calls = [...Array(40).keys()].map(n => {
    const done = () => void settled.push(n);
    return conn.reducers.sendMessage({ room: n % 4 === 3 ? 'nowhere' : 'lobby', text: `${n}` }).then(done, done);
  });
  await Promise.all(calls);
  assert.deepEqual(settled, [...Array(40).keys()]);
  assert.equal(said().length, 30);
});

test('calls without a subscription go well too', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await conn.reducers.sendMessage({ room: 'lobby', text: 'unheard' });
  assert.equal(conn.db.message.count(), 0n);
  assert.deepEqual(await peer.sql(database, 'SELECT text FROM message'), [['unheard']]);
  await subscribe(conn, 'SELECT * FROM message');
  assert.deepEqual(column(conn.db.message, row => row.text), ['unheard']);
});

test('a subscription and calls in one breath', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  const before = conn.reducers.sendMessage({ room: 'lobby', text: 'before' });
  const applied = subscribe(conn, 'SELECT * FROM message');
  const after = conn.reducers.sendMessage({ room: 'lobby', text: 'after' });
  const told = record(conn.db.message, row => row.text);
  await Promise.all([before, applied, after]);
  assert.deepEqual(told, ['+ before', '+ after']);
  assert.deepEqual(column(conn.db.message, row => row.text), ['after', 'before']);
});

test('what a call says of its caller and its time', async () => {
  const { conn } = await room();
  const before = BigInt(Date.now()) * 1000n;
  await conn.reducers.sendMessage({ room: 'lobby', text: 'now' });
  const [message] = [...conn.db.message.iter()];
  assert.deepEqual(message!.sender, conn.identity);
  const minute = 60_000_000n;
  const { microsSinceUnixEpoch: sent } = message!.sent;
  assert.ok(sent > before - minute && sent < before + minute, `${sent} is about ${before}`);
});

test('a call that takes much text', async () => {
  const { conn } = await room();
  const text = 'é'.repeat(2048);
  await conn.reducers.sendMessage({ room: 'lobby', text });
  await refused(conn.reducers.sendMessage({ room: 'lobby', text: `${text}.` }), SenderError, /at most 4096 bytes, this one 4097/);
  await becomes(() => column(conn.db.message, row => row.text), [text]);
});
