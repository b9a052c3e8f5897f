// What is told of rows as they come, change and go, and in which order.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as inventory from 'generated/inventory';
import { becomes, column, connect, peer, record, subscribe } from './harness';

const said = (conn: chat.DbConnection) => column(conn.db.message, row => row.text);

/** A client that follows the items of a fresh warehouse, and what it is told. */
async function warehouse() {
  const database = await peer.publish('inventory');
  const { conn } = await connect(inventory.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM item');
  return { database, conn, told: record(conn.db.item, row => `${row.sku} x${row.stock}`) };
}

test('own calls: a row comes, changes and goes', async () => {
  const { conn, told } = await warehouse();
  await conn.reducers.fill({ seed: 3, count: 1 });
  const [item] = [...conn.db.item.iter()];
  const { sku, stock } = item!;
  assert.deepEqual(told.splice(0), [`+ ${sku} x${stock}`]);
  await conn.reducers.deliver({ sku, quantity: 5, from: 'the maker' });
  assert.deepEqual(told.splice(0), [`${sku} x${stock} > ${sku} x${stock + 5}`]);
  assert.equal(conn.db.item.id.find(item!.id)?.stock, stock + 5);
  await conn.reducers.remove({ sku });
  assert.deepEqual(told, [`- ${sku} x${stock + 5}`]);
  assert.equal(conn.db.item.count(), 0n);
});

test('calls of another client: a row comes, changes and goes', async () => {
  const { database, conn, told } = await warehouse();
  const { conn: other } = await connect(inventory.DbConnection, database);
  await subscribe(other, 'SELECT * FROM item');
  await other.reducers.fill({ seed: 3, count: 1 });
  const { sku, stock } = [...other.db.item.iter()][0]!;
  await other.reducers.deliver({ sku, quantity: 5, from: 'the maker' });
  await other.reducers.remove({ sku });
  await becomes(() => told, [
    `+ ${sku} x${stock}`,
    `${sku} x${stock} > ${sku} x${stock + 5}`,
    `- ${sku} x${stock + 5}`,
  ]);
  assert.equal(conn.db.item.count(), 0n);
});

test('calls over HTTP: a row comes, changes and goes', async () => {
  const { database, conn, told } = await warehouse();
  await peer.call(database, 'add_item', 'drill', 9, 'Tool', 'Ada', 100, 1.5, ['loud'], null, null);
  await peer.call(database, 'deliver', 'drill', 4, 'the maker');
  await becomes(() => column(conn.db.item, row => `${row.maker} ${row.stock} ${row.tags}`), ['Ada 4 loud']);
  await peer.call(database, 'remove', 'drill');
  await becomes(() => told, ['+ drill x0', 'drill x0 > drill x4', '- drill x4']);
  assert.equal(conn.db.item.count(), 0n);
});

test('a call from the command line', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM message');
  await peer.cli('call', database, 'send_message', 'lobby', 'typed');
  await becomes(() => said(conn), ['typed']);
  const owner = await peer.sql(database, "SELECT sender FROM message WHERE text = 'typed'");
  assert.deepEqual(column(conn.db.message, row => `0x${row.sender.toHexString()}`), owner[0]![0]);
});

test('own rows are there when the promise resolves, and were told before', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM message');
  const told = record(conn.db.message, row => row.text);
  for (let n = 0; n < 30; n += 1) {
    await conn.reducers.sendMessage({ room: 'lobby', text: `text ${n}` });
    assert.equal(told.at(-1), `+ text ${n}`);
    assert.equal(told.length, n + 1);
    assert.equal(conn.db.message.count(), BigInt(n + 1));
  }
});

test('callbacks come in the order of the calls', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM message');
  const told = record(conn.db.message, row => row.text);
  const texts = [...Array(100).keys()].map(n => `text ${n}`);
  await Promise.all(texts.map(text => conn.reducers.sendMessage({ room: 'lobby', text })));
  assert.deepEqual(told, texts.map(text => `+ ${text}`));
});

test('two clients that write at once are told the same, in the same order', async () => {
  const database = await peer.publish('chat');
  const clients = await Promise.all([0, 1].map(() => connect(chat.DbConnection, database)));
  const told: string[][] = [];
  for (const { conn } of clients) {
    await subscribe(conn, 'SELECT * FROM message');
    told.push(record(conn.db.message, row => `${row.id} ${row.text}`));
  }
  const writing = clients.map(async ({ conn }, who) => {
    for (let n = 0; n < 25; n += 1) {
      await conn.reducers.sendMessage({ room: 'lobby', text: `${who} says ${n}` });
    }
  });
  await Promise.all(writing);
  await becomes(() => told.map(list => list.length), [50, 50]);
  assert.deepEqual(told[0], told[1]);
  const ids = told[0]!.map(text => BigInt(text.split(' ')[1]!));
  assert.ok(ids.every((id, n) => n === 0 || id > ids[n - 1]!), 'ids go up with the order of the calls');
});

test('the rows of one call come together', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  const { conn: other } = await connect(chat.DbConnection, database);
  await conn.reducers.openAccounts({ count: 2 });
  await subscribe(conn, 'SELECT * FROM account');
  const sums: bigint[] = [];
  conn.db.account.onUpdate(() => {
    sums.push([...conn.db.account.iter()].reduce((sum, row) => sum + row.balance, 0n));
  });
  for (let n = 0; n < 5; n += 1) await other.reducers.transfer({ from: 0, to: 1, amount: 10n });
  await becomes(() => column(conn.db.account, row => row.balance), [950n, 1050n]);
  assert.deepEqual(sums, Array(10).fill(2000n), 'no callback sees half of a call');
});

test('rows of several tables of one call come together', async () => {
  const database = await peer.publish('inventory');
  const { conn } = await connect(inventory.DbConnection, database);
  await conn.reducers.fill({ seed: 1, count: 1 });
  await subscribe(conn, ['SELECT * FROM item', 'SELECT * FROM movement', 'SELECT * FROM delivery_note']);
  const { sku, stock } = [...conn.db.item.iter()][0]!;
  const seen: unknown[] = [];
  const look = () => seen.push([
    [...conn.db.item.iter()][0]!.stock, conn.db.movement.count(), conn.db.deliveryNote.count(),
  ]);
  conn.db.item.onUpdate(look);
  conn.db.movement.onInsert(look);
  conn.db.deliveryNote.onInsert(look);
  await peer.call(database, 'deliver', sku, 2, 'the maker');
  await becomes(() => seen, Array(3).fill([stock + 2, 1n, 1n]));
});

test('a callback learns which call of its own it hears of', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM message');
  const events: string[] = [];
  conn.db.message.onInsert((ctx, row) => {
    const { event } = ctx;
    events.push(event.tag === 'Reducer'
      ? `${event.value.reducer.name} ${JSON.stringify(event.value.reducer.args)}: ${row.text}`
      : `${event.tag}: ${row.text}`);
  });
  await conn.reducers.sendMessage({ room: 'lobby', text: 'mine' });
  await peer.call(database, 'send_message', 'lobby', 'theirs');
  await becomes(() => events, [
    'send_message {"room":"lobby","text":"mine"}: mine',
    'Transaction: theirs',
  ]);
});

test('a callback that is taken off is not called again', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await subscribe(conn, 'SELECT * FROM message');
  const seen: string[] = [];
  const callback = (_ctx: unknown, row: chat.Message) => void seen.push(row.text);
  conn.db.message.onInsert(callback);
  await conn.reducers.sendMessage({ room: 'lobby', text: 'first' });
  conn.db.message.removeOnInsert(callback);
  await conn.reducers.sendMessage({ room: 'lobby', text: 'second' });
  assert.deepEqual(seen, ['first']);
  assert.deepEqual(said(conn), ['first', 'second']);
});

test('a call that changes nothing tells nothing', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await conn.reducers.openAccounts({ count: 2 });
  await subscribe(conn, 'SELECT * FROM account');
  const told = record(conn.db.account, row => row.id);
  await conn.reducers.openAccounts({ count: 2 });
  await conn.reducers.transfer({ from: 0, to: 1, amount: 3n });
  await conn.reducers.transfer({ from: 1, to: 0, amount: 3n });
  assert.deepEqual(told.sort(), ['0 > 0', '0 > 0', '1 > 1', '1 > 1']);
  assert.deepEqual(column(conn.db.account, row => row.balance), [1000n, 1000n]);
});

test('a client hears that the database is deleted', async () => {
  const database = await peer.publish('chat');
  const { conn, ended } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM room');
  assert.deepEqual(column(conn.db.room, row => row.name), ['lobby']);
  await peer.cli('delete', database, '--yes');
  await ended;
  assert.ok(!conn.isActive);
});
