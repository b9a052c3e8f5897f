// Clients of two peers that are members of one database. What a client is told follows the order
// that the peers agree on, also where it is not the one its peer saw first.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as inventory from 'generated/inventory';
import { becomes, column, connect, peers, record, subscribe, type Json } from './harness';

const [a, b] = peers as [typeof peers[0], typeof peers[0]] as [NonNullable<typeof peers[0]>, NonNullable<typeof peers[0]>];

/** A database of the first peer that the second has joined. */
async function shared(module: string): Promise<string> {
  const database = await a.publish(module);
  const ticket = (await a.cli('invite', database)).trim();
  await b.cli('join', ticket);
  return database;
}

/** Waits until both peers hold the same. */
async function equal(database: string): Promise<void> {
  await becomes(async () => {
    const states = await Promise.all([a, b].map(async peer => {
      const status = JSON.parse((await peer.request('GET', `/v1/database/${database}/status`)).text) as Record<string, Json>;
      return [status.heads_hash, status.state_root, status.entries].join();
    }));
    return states[0] === states[1];
  }, true);
}

/** The rows in a client's cache are those that its peer gives over HTTP, however they are ordered. */
async function same<Row>(peer: typeof a, database: string, table: Iterable<Row>, query: string, of: (row: Row) => Json[]) {
  const sorted = (rows: Json[][]) => rows.map(row => JSON.stringify(row)).sort();
  await becomes(async () => sorted([...table].map(of)), sorted(await peer.sql(database, query)));
}

test('a client of one peer sees what a client of the other writes', async () => {
  const database = await shared('chat');
  const writer = await connect(chat.DbConnection, database, { peer: a });
  const reader = await connect(chat.DbConnection, database, { peer: b });
  await subscribe(reader.conn, ['SELECT * FROM message', 'SELECT * FROM user']);
  const told = record(reader.conn.db.message, row => row.text);
  for (const text of ['one', 'two', 'three']) await writer.conn.reducers.sendMessage({ room: 'lobby', text });
  await becomes(() => told, ['+ one', '+ two', '+ three']);
  await writer.conn.reducers.setName({ name: 'Ada' });
  await becomes(() => reader.conn.db.user.name.find('Ada')?.identity, writer.identity);
  await reader.conn.reducers.sendMessage({ room: 'lobby', text: 'four' });
  await subscribe(writer.conn, 'SELECT * FROM message');
  await becomes(() => column(writer.conn.db.message, row => row.text), ['four', 'one', 'three', 'two']);
});

test('a client of one peer sees what a client of the other changes and deletes', async () => {
  const database = await shared('inventory');
  const writer = await connect(inventory.DbConnection, database, { peer: a });
  const reader = await connect(inventory.DbConnection, database, { peer: b });
  await subscribe(reader.conn, 'SELECT * FROM item');
  const told = record(reader.conn.db.item, row => `${row.sku} x${row.stock}`);
  await writer.conn.reducers.addItem({
    sku: 'drill', serial: 1n, category: { tag: 'Tool' }, maker: 'Ada', priceCents: 1n, weightKg: 1, tags: [],
    dimensions: undefined, note: undefined,
  });
  await becomes(() => told, ['+ drill x0']);
  await writer.conn.reducers.deliver({ sku: 'drill', quantity: 3, from: 'Ada' });
  await becomes(() => told, ['+ drill x0', 'drill x0 > drill x3']);
  await writer.conn.reducers.remove({ sku: 'drill' });
  await becomes(() => told, ['+ drill x0', 'drill x0 > drill x3', '- drill x3']);
  assert.equal(reader.conn.db.item.count(), 0n);
});

test('a client of one peer sees clients of the other come and go', async () => {
  const database = await shared('chat');
  const watcher = await connect(chat.DbConnection, database, { peer: b });
  await subscribe(watcher.conn, 'SELECT * FROM user');
  const guest = await connect(chat.DbConnection, database, { peer: a });
  await becomes(() => watcher.conn.db.user.identity.find(guest.identity)?.connections, 1);
  guest.conn.disconnect();
  await becomes(() => watcher.conn.db.user.identity.find(guest.identity)?.connections, 0);
});

test('a token of one peer is refused by the other', async () => {
  const database = await shared('chat');
  const { token, identity } = await connect(chat.DbConnection, database, { peer: a });
  await equal(database);
  await assert.rejects(connect(chat.DbConnection, database, { peer: b, token }));
  const guest = await connect(chat.DbConnection, database, { peer: b });
  await subscribe(guest.conn, 'SELECT * FROM user');
  const both = [identity, guest.identity].map(it => `${it.toHexString()} 1`).sort();
  await becomes(() => column(guest.conn.db.user, row => `${row.identity.toHexString()} ${row.connections}`), both);
});

test('both peers write at once, and both clients end with the same rows', async () => {
  const database = await shared('chat');
  const clients = [];
  for (const peer of [a, b]) {
    const { conn } = await connect(chat.DbConnection, database, { peer });
    await subscribe(conn, 'SELECT * FROM message');
    clients.push(conn);
  }
  await Promise.all(clients.map(async (conn, who) => {
    for (let n = 0; n < 40; n += 1) await conn.reducers.sendMessage({ room: 'lobby', text: `${who} says ${n}` });
  }));
  await equal(database);
  for (const [n, conn] of clients.entries()) {
    await same([a, b][n]!, database, conn.db.message.iter(), 'SELECT text FROM message', row => [row.text]);
    assert.equal(conn.db.message.count(), 80n);
  }
  const rows = clients.map(conn => column(conn.db.message, row => `${row.id} ${row.text}`));
  assert.deepEqual(rows[0], rows[1]);
});

test('what is undone and done again in another order is told as an ordinary change', async () => {
  const database = await shared('chat');
  const clients = [];
  for (const peer of [a, b]) {
    const client = await connect(chat.DbConnection, database, { peer });
    await subscribe(client.conn, ['SELECT * FROM message', 'SELECT * FROM user', 'SELECT * FROM account']);
    clients.push({ peer, ...client });
  }
  const [one, two] = clients as [typeof clients[0], typeof clients[0]] as [NonNullable<typeof clients[0]>, NonNullable<typeof clients[0]>];
  await one.conn.reducers.openAccounts({ count: 3 });
  await becomes(() => two.conn.db.account.count(), 3n);
  await b.cli('network', 'off');
  // The same name and the same money, twice.
  for (const { conn } of clients) {
    for (let n = 0; n < 5; n += 1) await conn.reducers.sendMessage({ room: 'lobby', text: `${conn === one.conn ? 'a' : 'b'} ${n}` });
    await conn.reducers.setName({ name: 'Ada' });
    await conn.reducers.transfer({ from: 0, to: conn === one.conn ? 1 : 2, amount: 700n });
  }
  for (const { conn } of clients) {
    assert.equal(conn.db.message.count(), 5n);
    assert.equal(conn.db.user.name.find('Ada')?.identity.toHexString(), conn.identity!.toHexString());
  }
  await b.cli('network', 'on');
  await equal(database);
  for (const { conn, peer } of clients) {
    await same(peer, database, conn.db.message.iter(), 'SELECT text FROM message', row => [row.text]);
    await same(peer, database, conn.db.account.iter(), 'SELECT id, balance FROM account', row => [row.id, Number(row.balance)]);
    await same(peer, database, conn.db.user.iter(), 'SELECT identity, name, connections FROM user', row => [
      [`0x${row.identity.toHexString()}`], row.name, row.connections,
    ]);
    assert.equal(conn.db.message.count(), 10n);
    assert.equal(column(conn.db.user, row => row.name).filter(name => name === 'Ada').length, 1);
    assert.equal(column(conn.db.account, row => row.balance).filter(balance => balance === 1700n).length, 1);
  }
  // And they go on as before.
  await one.conn.reducers.sendMessage({ room: 'lobby', text: 'together again' });
  await becomes(() => column(two.conn.db.message, row => row.text).includes('together again'), true);
});

test('rows that were only here are taken back', async () => {
  const database = await shared('inventory');
  const item = (serial: bigint) => ({
    sku: 'drill', serial, category: { tag: 'Tool' as const }, maker: 'Ada', priceCents: 1n, weightKg: 1, tags: [],
    dimensions: undefined, note: undefined,
  });
  const clients = [];
  for (const peer of [a, b]) {
    const client = await connect(inventory.DbConnection, database, { peer });
    await subscribe(client.conn, "SELECT * FROM item WHERE maker = 'Ada'");
    clients.push({ peer, conn: client.conn, told: record(client.conn.db.item, row => `${row.serial}`) });
  }
  const [one, two] = [clients[0]!, clients[1]!];
  await b.cli('network', 'off');
  // The earlier call stays, whichever peer made it; the other fails when it is done again.
  await one.conn.reducers.addItem(item(1n));
  await two.conn.reducers.addItem(item(2n));
  assert.deepEqual([one.told, two.told], [['+ 1'], ['+ 2']]);
  await b.cli('network', 'on');
  await equal(database);
  for (const { peer, conn } of clients) {
    await same(peer, database, conn.db.item.iter(), 'SELECT sku, serial FROM item', row => [row.sku, Number(row.serial)]);
    assert.deepEqual(column(conn.db.item, row => row.serial), [1n]);
  }
  assert.deepEqual(one.told, ['+ 1'], 'nothing changed here');
  assert.ok(two.told.includes('- 2') || two.told.includes('2 > 1'), `${two.told}`);
});
