// A peer that is stopped and started on the same data directory.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import { becomes, column, connect, peer, record, subscribe, within } from './harness';

test('a client comes back to a peer that was started again', async () => {
  const database = await peer.publish('chat');
  const before = await connect(chat.DbConnection, database);
  await before.conn.reducers.setName({ name: 'Ada' });
  await before.conn.reducers.sendMessage({ room: 'lobby', text: 'before' });
  await subscribe(before.conn, 'SELECT * FROM message');
  assert.deepEqual(column(before.conn.db.message, row => row.text), ['before']);
  await peer.stop();
  await within('the end of the connection', before.ended);
  assert.ok(!before.conn.isActive);
  await peer.start();
  const after = await connect(chat.DbConnection, database, { token: before.token });
  assert.deepEqual(after.identity, before.identity);
  await subscribe(after.conn, ['SELECT * FROM message', 'SELECT * FROM user']);
  assert.deepEqual(column(after.conn.db.message, row => row.text), ['before']);
  assert.equal(after.conn.db.user.identity.find(after.identity)?.name, 'Ada');
  const told = record(after.conn.db.message, row => row.text);
  await after.conn.reducers.sendMessage({ room: 'lobby', text: 'after' });
  assert.deepEqual(told, ['+ after']);
  const { id: first } = [...after.conn.db.message.iter()].find(row => row.text === 'before')!;
  assert.ok([...after.conn.db.message.iter()].every(row => row.id >= first), 'ids go on going up');
});

test('connections that a stopped peer had are no longer counted', async () => {
  const database = await peer.publish('chat');
  const before = await connect(chat.DbConnection, database);
  await connect(chat.DbConnection, database, { token: before.token });
  await peer.stop();
  await within('the end of the connection', before.ended);
  await peer.start();
  const after = await connect(chat.DbConnection, database, { token: before.token });
  await subscribe(after.conn, 'SELECT * FROM user');
  await becomes(() => after.conn.db.user.identity.find(after.identity)?.connections, 1);
});

test('a client hears of calls over HTTP after the peer was started again', async () => {
  const database = await peer.publish('chat');
  await peer.call(database, 'open_accounts', 2);
  await peer.stop();
  await peer.start();
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM account');
  await peer.call(database, 'transfer', 0, 1, 5);
  await becomes(() => column(conn.db.account, row => `${row.id}: ${row.balance}`), ['0: 995', '1: 1005']);
});
