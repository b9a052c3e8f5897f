// The module hears of clients that come and go, and others see what it makes of it.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import * as doorkeeper from 'generated/doorkeeper';
import { becomes, column, connect, disconnect, peer, record, subscribe } from './harness';

async function watched() {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM user');
  const told = record(conn.db.user, row => `${row.identity.toHexString().slice(-6)}: ${row.connections}`);
  return { database, conn, told };
}

const end = (hex: string) => hex.slice(-6);

test('others see a client come and go', async () => {
  const { database, conn, told } = await watched();
  const other = await connect(chat.DbConnection, database);
  const who = end(other.identity.toHexString());
  await becomes(() => told, [`+ ${who}: 1`]);
  await disconnect(other.conn);
  await becomes(() => told, [`+ ${who}: 1`, `${who}: 1 > ${who}: 0`]);
  assert.equal(conn.db.user.identity.find(other.identity)?.connections, 0);
  assert.equal(conn.db.user.identity.find(conn.identity!)?.connections, 1);
});

test('connections of one user are counted', async () => {
  const { database, conn, told } = await watched();
  const first = await connect(chat.DbConnection, database);
  const count = (connections: number) => becomes(() => conn.db.user.identity.find(first.identity)?.connections, connections);
  await count(1);
  const second = await connect(chat.DbConnection, database, { token: first.token });
  await count(2);
  await connect(chat.DbConnection, database, { token: first.token });
  await count(3);
  await disconnect(second.conn);
  await count(2);
  const who = end(first.identity.toHexString());
  assert.deepEqual(told, [`+ ${who}: 1`, `${who}: 1 > ${who}: 2`, `${who}: 2 > ${who}: 3`, `${who}: 3 > ${who}: 2`]);
});

test('a call over HTTP connects and disconnects', async () => {
  const { database, conn, told } = await watched();
  await peer.call(database, 'open_room', 'attic');
  await becomes(() => column(conn.db.user, row => row.connections), [0, 1]);
  assert.ok(told.length >= 1, `${told}`);
});

test('a client that is gone has its row and its messages still', async () => {
  const { database, conn } = await watched();
  const other = await connect(chat.DbConnection, database);
  await other.conn.reducers.setName({ name: 'Ada' });
  await other.conn.reducers.sendMessage({ room: 'lobby', text: 'bye' });
  await disconnect(other.conn);
  await becomes(() => column(conn.db.user, row => row.connections), [0, 1]);
  assert.deepEqual(conn.db.user.name.find('Ada')?.identity, other.identity);
  await subscribe(conn, 'SELECT * FROM message');
  assert.deepEqual(column(conn.db.message, row => row.text), ['bye']);
});

for (const trap of [false, true]) {
  test(`a client that the module turns away${trap ? ' by a trap' : ''} is not connected`, async () => {
    const database = await peer.publish('doorkeeper');
    const watcher = await connect(doorkeeper.DbConnection, database);
    await subscribe(watcher.conn, ['SELECT * FROM guest', 'SELECT * FROM barred']);
    const guest = await connect(doorkeeper.DbConnection, database);
    await disconnect(guest.conn);
    await watcher.conn.reducers.bar({ identity: guest.identity, trap });
    const told = record(watcher.conn.db.guest, row => row.visits);
    await assert.rejects(connect(doorkeeper.DbConnection, database, { token: guest.token }), /disconnected before/);
    assert.equal((await peer.sql(database, 'SELECT * FROM guest WHERE visits = 1')).length, 2, 'its visit was undone');
    await watcher.conn.reducers.forgive({ identity: guest.identity });
    assert.deepEqual(told, []);
    const again = await connect(doorkeeper.DbConnection, database, { token: guest.token });
    assert.deepEqual(again.identity, guest.identity);
    await becomes(() => told, ['1 > 2']);
    assert.equal(watcher.conn.db.barred.count(), 0n);
  });
}
