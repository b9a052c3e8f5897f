// Who a client is: identities, tokens, names of databases.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import { becomes, column, connect, disconnect, peer, subscribe } from './harness';

const everybody = (conn: chat.DbConnection) =>
  column(conn.db.user, row => `${row.identity.toHexString()} ${row.connections}`);

test('a client without a token gets an identity, a token and a row', async () => {
  const { conn, identity, token } = await connect(chat.DbConnection, await peer.publish('chat'));
  assert.equal(token.split('.').length, 3, 'a JWT');
  await subscribe(conn, [chat.tables.user]);
  assert.deepEqual(everybody(conn), [`${identity.toHexString()} 1`]);
  assert.ok(conn.db.user.identity.find(identity), 'found by its identity');
});

test('a kept token gives the same identity', async () => {
  const database = await peer.publish('chat');
  const first = await connect(chat.DbConnection, database);
  await first.conn.reducers.setName({ name: 'Ada' });
  await disconnect(first.conn);
  const second = await connect(chat.DbConnection, database, { token: first.token });
  assert.deepEqual(second.identity, first.identity);
  assert.equal(second.token, first.token);
  await subscribe(second.conn, 'SELECT * FROM user');
  await becomes(() => everybody(second.conn), [`${first.identity.toHexString()} 1`]);
  assert.equal(second.conn.db.user.identity.find(second.identity)?.name, 'Ada');
});

test('two connections of one token are one user', async () => {
  const database = await peer.publish('chat');
  const first = await connect(chat.DbConnection, database);
  const second = await connect(chat.DbConnection, database, { token: first.token });
  assert.notDeepEqual(second.conn.connectionId, first.conn.connectionId);
  await subscribe(second.conn, 'SELECT * FROM user');
  assert.deepEqual(everybody(second.conn), [`${first.identity.toHexString()} 2`]);
});

test('clients without tokens are different users', async () => {
  const database = await peer.publish('chat');
  const first = await connect(chat.DbConnection, database);
  const second = await connect(chat.DbConnection, database);
  await subscribe(first.conn, 'SELECT * FROM user');
  const both = [first, second].map(({ identity }) => `${identity.toHexString()} 1`);
  assert.deepEqual(everybody(first.conn), both.sort());
});

test('a token of another kind of text is refused', async () => {
  const database = await peer.publish('chat');
  await assert.rejects(connect(chat.DbConnection, database, { token: 'no.such.token' }));
  assert.deepEqual(await peer.sql(database, 'SELECT * FROM user'), [], 'nobody came');
});

test('a token whose signature is wrong is refused', async () => {
  const database = await peer.publish('chat');
  const { token, identity } = await connect(chat.DbConnection, database);
  const [head, claims, signature] = token.split('.');
  const turned = [...signature!].reverse().join('');
  await assert.rejects(connect(chat.DbConnection, database, { token: `${head}.${claims}.${turned}` }));
  const rows = await peer.sql(database, 'SELECT connections FROM user');
  assert.deepEqual(rows, [[1]], `only ${identity.toHexString()} came`);
});

test('the owner is the owner over a WebSocket too', async () => {
  const database = await peer.publish('chat');
  const { conn, identity } = await connect(chat.DbConnection, database, { token: peer.token });
  await subscribe(conn, 'SELECT * FROM room');
  assert.deepEqual(column(conn.db.room, row => row.openedBy.toHexString()), [identity.toHexString()]);
});

test('a database is found by its name', async () => {
  const database = await peer.publish('chat', 'the-name-of-it');
  await peer.call(database, 'open_room', 'attic');
  const { conn } = await connect(chat.DbConnection, 'the-name-of-it');
  await subscribe(conn, 'SELECT * FROM room');
  assert.deepEqual(column(conn.db.room, row => row.name), ['attic', 'lobby']);
});
