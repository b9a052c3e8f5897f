// Which rows a subscription brings.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as inventory from 'generated/inventory';
import { column, connect, peer, record, subscribe, unsubscribe, within } from './harness';

const numbers = (conn: inventory.DbConnection) => column(conn.db.warehouse, row => row.number);
const accounts = (conn: chat.DbConnection) => column(conn.db.account, row => row.id);

test('a whole table, with all of each row', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  await subscribe(conn, inventory.tables.warehouse);
  assert.equal(conn.db.warehouse.count(), 3n);
  assert.deepEqual(column(conn.db.warehouse, row => JSON.stringify(row)), [
    '{"number":1,"town":"Quiberon","open":true,"dockOffsets":[-1,0,1]}',
    '{"number":2,"town":"Chesil","open":false,"dockOffsets":[-1,0,2]}',
    '{"number":200,"town":"Palm Beach","open":true,"dockOffsets":[-1,0,200]}',
  ]);
});

test('the rows are there when the subscription is applied, in their callbacks too', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  const seen = record(conn.db.warehouse, row => `${row.number} of ${conn.db.warehouse.count()}`);
  const applied = await within('rows', new Promise(resolve => {
    conn.subscriptionBuilder()
      .onApplied(ctx => resolve(column(ctx.db.warehouse, row => row.number)))
      .subscribe('SELECT * FROM warehouse');
  }));
  assert.deepEqual(applied, [1, 2, 200]);
  assert.deepEqual(seen.sort(), ['+ 1 of 3', '+ 2 of 3', '+ 200 of 3']);
});

test('a table without rows, and rows that come later', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await subscribe(conn, 'SELECT * FROM account');
  assert.equal(conn.db.account.count(), 0n);
  await conn.reducers.openAccounts({ count: 2 });
  assert.deepEqual(accounts(conn), [0, 1]);
});

const conditions: [string, number[]][] = [
  ['number = 2', [2]],
  ['number = 3', []],
  ['number < 200', [1, 2]],
  ['number <= 2', [1, 2]],
  ['number > 1', [2, 200]],
  ['number >= 200', [200]],
  ['number != 2', [1, 200]],
  ['number <> 200', [1, 2]],
  ['open = true', [1, 200]],
  ["town = 'Palm Beach'", [200]],
  ['number > 1 AND number < 200', [2]],
  ["open = true AND town != 'Quiberon'", [200]],
  ['number = 1 OR number = 200', [1, 200]],
  ["(number = 1 OR open = false) AND town = 'Chesil'", [2]],
  ["number = 1 OR open = false AND town = 'Chesil'", [1, 2]],
];
for (const [condition, expected] of conditions) {
  test(`WHERE ${condition}`, async () => {
    const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
    await subscribe(conn, `SELECT * FROM warehouse WHERE ${condition}`);
    assert.deepEqual(numbers(conn), expected);
  });
}

test('queries of the library\'s own query builder', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  const { warehouse } = inventory.tables;
  await subscribe(conn, [warehouse.where(row => row.number.lt(100).and(row.open.eq(true)))]);
  assert.deepEqual(numbers(conn), [1]);
  await subscribe(conn, [warehouse.where(row => row.town.eq('Chesil').or(row.number.gt(199)))]);
  assert.deepEqual(numbers(conn), [1, 2, 200]);
});

test(':sender is whoever subscribes', async () => {
  const database = await peer.publish('chat');
  const clients = await Promise.all([1, 2].map(() => connect(chat.DbConnection, database)));
  for (const { conn } of clients) {
    await conn.reducers.sendMessage({ room: 'lobby', text: conn.identity!.toHexString() });
    await subscribe(conn, ['SELECT * FROM user WHERE identity = :sender', 'SELECT * FROM message WHERE sender = :sender']);
  }
  for (const { conn, identity } of clients) {
    assert.deepEqual(column(conn.db.user, row => row.identity.toHexString()), [identity.toHexString()]);
    assert.deepEqual(column(conn.db.message, row => row.text), [identity.toHexString()]);
  }
});

test('an identity written as a literal', async () => {
  const database = await peer.publish('chat');
  const [one, other] = [await connect(chat.DbConnection, database), await connect(chat.DbConnection, database)];
  await subscribe(one.conn, `SELECT * FROM user WHERE identity = 0x${other.identity.toHexString()}`);
  assert.deepEqual(column(one.conn.db.user, row => row.identity.toHexString()), [other.identity.toHexString()]);
});

test('rows come into a condition and leave it as they change', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await conn.reducers.openAccounts({ count: 3 });
  await subscribe(conn, 'SELECT * FROM account WHERE balance > 1000');
  const seen = record(conn.db.account, row => `${row.id}: ${row.balance}`);
  await conn.reducers.transfer({ from: 0, to: 1, amount: 5n });
  await conn.reducers.transfer({ from: 2, to: 1, amount: 5n });
  await conn.reducers.transfer({ from: 1, to: 2, amount: 10n });
  assert.deepEqual(seen, ['+ 1: 1005', '1: 1005 > 1: 1010', '+ 2: 1005', '- 1: 1010']);
  assert.deepEqual(accounts(conn), [2]);
});

test('several queries in one subscription, of one table and of several', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await conn.reducers.openAccounts({ count: 9 });
  await subscribe(conn, [
    'SELECT * FROM account WHERE id < 2',
    'SELECT * FROM account WHERE id = 7',
    'SELECT * FROM room',
  ]);
  assert.deepEqual(accounts(conn), [0, 1, 7]);
  assert.deepEqual(column(conn.db.room, row => row.name), ['lobby']);
  assert.equal(conn.db.user.count(), 0n, 'nobody asked for users');
});

test('several subscriptions, each with its own rows', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await conn.reducers.openAccounts({ count: 9 });
  await subscribe(conn, 'SELECT * FROM account WHERE id < 2');
  assert.deepEqual(accounts(conn), [0, 1]);
  await subscribe(conn, 'SELECT * FROM account WHERE id > 6');
  assert.deepEqual(accounts(conn), [0, 1, 7, 8]);
  await subscribe(conn, 'SELECT * FROM room');
  assert.equal(conn.db.room.count(), 1n);
});

test('all tables at once', async () => {
  const { conn, identity } = await connect(chat.DbConnection, await peer.publish('chat'));
  const room = within('the room', new Promise<string>(resolve => conn.db.room.onInsert((_ctx, row) => resolve(row.name))));
  conn.subscriptionBuilder().subscribeToAllTables();
  assert.equal(await room, 'lobby');
  await conn.reducers.openAccounts({ count: 1 });
  await conn.reducers.sendMessage({ room: 'lobby', text: 'all' });
  assert.deepEqual(accounts(conn), [0]);
  assert.deepEqual(column(conn.db.message, row => row.text), ['all']);
  assert.equal(conn.db.user.identity.find(identity)?.connections, 1);
});

test('a join: rows of one table for which there is a row in the other', async () => {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  for (const room of ['attic', 'cellar']) await conn.reducers.openRoom({ name: room });
  for (const room of ['lobby', 'attic', 'cellar']) await conn.reducers.sendMessage({ room, text: `in the ${room}` });
  const { room, message } = chat.tables;
  const texts = () => column(conn.db.message, row => row.text);
  const sql = "SELECT message.* FROM message JOIN room ON message.room = room.id WHERE room.name = 'attic'";
  const handle = await subscribe(conn, sql);
  assert.deepEqual(texts(), ['in the attic']);
  const told = record(conn.db.message, row => row.text);
  for (const room of ['attic', 'cellar']) await conn.reducers.sendMessage({ room, text: `again in the ${room}` });
  assert.deepEqual(told, ['+ again in the attic']);
  const cellar = room.where(row => row.name.eq('cellar'));
  await subscribe(conn, cellar.rightSemijoin(message, (left, right) => left.id.eq(right.room)));
  assert.deepEqual(texts(), ['again in the attic', 'again in the cellar', 'in the attic', 'in the cellar']);
  await unsubscribe(handle);
  assert.deepEqual(texts(), ['again in the cellar', 'in the cellar']);
  assert.equal(conn.db.room.count(), 0n, 'rooms are not asked for');
});

test('a join: rows come and go with the row in the other table', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  await conn.reducers.fill({ seed: 5, count: 6 });
  await conn.reducers.summarise({});
  await assert.rejects(
    subscribe(conn, 'SELECT movement.* FROM movement JOIN item ON movement.quantity = item.stock'),
    /index/,
  );
  const sql = 'SELECT item.* FROM item JOIN movement ON item.sku = movement.sku';
  await subscribe(conn, sql);
  assert.equal(conn.db.item.count(), 0n, 'nothing was moved');
  const told = record(conn.db.item, row => `${row.sku.slice(-1)} ${row.stock >= 50}`);
  await conn.reducers.deliver({ sku: 'sku-5-00003', quantity: 1_000, from: 'Ada' });
  assert.deepEqual(told.splice(0), ['+ 3 true']);
  await conn.reducers.forgetMovements({ sku: 'sku-5-00003', low: 0, high: 2_000 });
  assert.deepEqual(told.splice(0), ['- 3 true']);
  assert.equal(conn.db.item.count(), 0n);
});
