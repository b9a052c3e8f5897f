// Subscriptions that overlap, and their ends.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as inventory from 'generated/inventory';
import { column, connect, peer, record, subscribe, unsubscribe } from './harness';

async function withAccounts(count: number): Promise<chat.DbConnection> {
  const { conn } = await connect(chat.DbConnection, await peer.publish('chat'));
  await conn.reducers.openAccounts({ count });
  return conn;
}

const accounts = (conn: chat.DbConnection) => column(conn.db.account, row => row.id);

test('a row of two subscriptions is there once, and is told once', async () => {
  const conn = await withAccounts(4);
  const seen = record(conn.db.account, row => row.id);
  await subscribe(conn, 'SELECT * FROM account WHERE id < 3');
  await subscribe(conn, 'SELECT * FROM account WHERE id > 1');
  assert.deepEqual(accounts(conn), [0, 1, 2, 3]);
  assert.deepEqual(seen.sort(), ['+ 0', '+ 1', '+ 2', '+ 3']);
});

test('a change of a row of two subscriptions is told once', async () => {
  const conn = await withAccounts(4);
  await subscribe(conn, 'SELECT * FROM account WHERE id < 3');
  await subscribe(conn, 'SELECT * FROM account WHERE id > 1');
  const seen = record(conn.db.account, row => `${row.id}: ${row.balance}`);
  await conn.reducers.transfer({ from: 2, to: 0, amount: 1n });
  assert.deepEqual(seen.sort(), ['0: 1000 > 0: 1001', '2: 1000 > 2: 999']);
});

test('a removed row of two subscriptions goes once', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  await conn.reducers.fill({ seed: 1, count: 3 });
  await subscribe(conn, 'SELECT * FROM item');
  await subscribe(conn, "SELECT * FROM item WHERE sku = 'sku-1-00001'");
  const seen = record(conn.db.item, row => row.sku);
  await conn.reducers.remove({ sku: 'sku-1-00001' });
  assert.deepEqual(seen, ['- sku-1-00001']);
  assert.deepEqual(column(conn.db.item, row => row.sku), ['sku-1-00000', 'sku-1-00002']);
});

test('a row that leaves one of two subscriptions stays for the other', async () => {
  const conn = await withAccounts(2);
  await subscribe(conn, 'SELECT * FROM account');
  const rich = await subscribe(conn, 'SELECT * FROM account WHERE balance >= 1000');
  const seen = record(conn.db.account, row => `${row.id}: ${row.balance}`);
  await conn.reducers.transfer({ from: 0, to: 1, amount: 1n });
  assert.deepEqual(seen.sort(), ['0: 1000 > 0: 999', '1: 1000 > 1: 1001']);
  await unsubscribe(rich);
  assert.deepEqual(column(conn.db.account, row => row.balance), [999n, 1001n]);
});

test('an end takes the rows away, each with its callback', async () => {
  const conn = await withAccounts(3);
  const handle = await subscribe(conn, 'SELECT * FROM account');
  assert.ok(handle.isActive() && !handle.isEnded());
  const seen = record(conn.db.account, row => row.id);
  await unsubscribe(handle);
  assert.ok(!handle.isActive() && handle.isEnded());
  assert.deepEqual(accounts(conn), []);
  assert.deepEqual(seen.sort(), ['- 0', '- 1', '- 2']);
});

test('after an end there are no more callbacks', async () => {
  const conn = await withAccounts(2);
  const handle = await subscribe(conn, 'SELECT * FROM account');
  await subscribe(conn, 'SELECT * FROM room');
  await unsubscribe(handle);
  const seen = record(conn.db.account, row => row.id);
  record(conn.db.room, row => row.name, seen);
  await conn.reducers.transfer({ from: 0, to: 1, amount: 1n });
  await conn.reducers.openAccounts({ count: 9 });
  await conn.reducers.openRoom({ name: 'attic' });
  assert.deepEqual(seen, ['+ attic']);
  assert.deepEqual(accounts(conn), []);
});

test('the end of one of two overlapping subscriptions keeps the rows of the other', async () => {
  const conn = await withAccounts(5);
  const low = await subscribe(conn, 'SELECT * FROM account WHERE id < 3');
  const high = await subscribe(conn, 'SELECT * FROM account WHERE id > 1');
  const seen = record(conn.db.account, row => row.id);
  await unsubscribe(low);
  assert.deepEqual(accounts(conn), [2, 3, 4]);
  assert.deepEqual(seen.splice(0).sort(), ['- 0', '- 1']);
  await conn.reducers.transfer({ from: 2, to: 0, amount: 1n });
  assert.deepEqual(seen.splice(0), ['2 > 2'], 'the other goes on');
  await unsubscribe(high);
  assert.deepEqual(accounts(conn), []);
});

test('the same query twice: the first end changes nothing, the second takes the rows', async () => {
  const conn = await withAccounts(2);
  const first = await subscribe(conn, 'SELECT * FROM account');
  const second = await subscribe(conn, 'SELECT * FROM account');
  const seen = record(conn.db.account, row => row.id);
  await unsubscribe(first);
  assert.deepEqual(accounts(conn), [0, 1]);
  assert.deepEqual(seen, []);
  await unsubscribe(second);
  assert.deepEqual(accounts(conn), []);
});

test('two queries of one subscription that overlap', async () => {
  const conn = await withAccounts(4);
  const both = await subscribe(conn, ['SELECT * FROM account WHERE id < 3', 'SELECT * FROM account WHERE id > 1']);
  assert.deepEqual(accounts(conn), [0, 1, 2, 3]);
  const seen = record(conn.db.account, row => `${row.id}: ${row.balance}`);
  await conn.reducers.transfer({ from: 2, to: 3, amount: 1n });
  assert.deepEqual(seen.sort(), ['2: 1000 > 2: 999', '3: 1000 > 3: 1001']);
  await unsubscribe(both);
  assert.deepEqual(accounts(conn), []);
});

test('a subscription again after its end brings the rows as they are now', async () => {
  const conn = await withAccounts(1);
  await unsubscribe(await subscribe(conn, 'SELECT * FROM account'));
  await conn.reducers.openAccounts({ count: 2 });
  await conn.reducers.transfer({ from: 0, to: 1, amount: 7n });
  await subscribe(conn, 'SELECT * FROM account');
  assert.deepEqual(column(conn.db.account, row => `${row.id}: ${row.balance}`), ['0: 993', '1: 1007']);
});

test('rows without a primary key in overlapping subscriptions', async () => {
  const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
  const all = await subscribe(conn, 'SELECT * FROM warehouse');
  await subscribe(conn, 'SELECT * FROM warehouse WHERE open = true');
  const seen = record(conn.db.warehouse, row => `${row.number} ${row.open}`);
  await conn.reducers.setOpen({ number: 1, open: false });
  assert.deepEqual(seen.splice(0).sort(), ['+ 1 false', '- 1 true']);
  await unsubscribe(all);
  assert.deepEqual(column(conn.db.warehouse, row => row.number), [200]);
  assert.deepEqual(seen.sort(), ['- 1 false', '- 2 false']);
});
