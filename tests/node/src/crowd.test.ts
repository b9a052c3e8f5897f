// Many clients at once.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as chat from 'generated/chat';
import { becomes, column, connect, disconnect, peer, record, subscribe } from './harness';

const CLIENTS = 20;
const TEXTS = 10;

test('twenty clients write at once, and all see all of it in one order', async () => {
  const database = await peer.publish('chat');
  const clients = await Promise.all([...Array(CLIENTS).keys()].map(() => connect(chat.DbConnection, database)));
  const told = clients.map(({ conn }) => record(conn.db.message, row => row.id));
  await Promise.all(clients.map(({ conn }) => subscribe(conn, ['SELECT * FROM user', 'SELECT * FROM message'])));
  await Promise.all(clients.map(async ({ conn }, who) => {
    for (let n = 0; n < TEXTS; n += 1) await conn.reducers.sendMessage({ room: 'lobby', text: `${who} says ${n}` });
  }));
  await becomes(() => told.map(list => list.length), Array(CLIENTS).fill(CLIENTS * TEXTS));
  for (const [who, { conn }] of clients.entries()) {
    assert.deepEqual(told[who], told[0]);
    assert.deepEqual(told[who], [...told[who]!].sort(), 'ids go up with the order of the calls');
    assert.deepEqual(column(conn.db.user, row => row.connections), Array(CLIENTS).fill(1));
  }
  const rows = (await peer.sql(database, 'SELECT text FROM message')).map(([text]) => text).sort();
  for (const { conn } of clients) assert.deepEqual(column(conn.db.message, row => row.text), rows);
});

test('twenty clients want the same names, and each name has one holder', async () => {
  const database = await peer.publish('chat');
  const clients = await Promise.all([...Array(CLIENTS).keys()].map(() => connect(chat.DbConnection, database)));
  await Promise.all(clients.map(({ conn }) => subscribe(conn, "SELECT * FROM user WHERE name = 'Ada'")));
  const taken = await Promise.allSettled(clients.map(({ conn }) => conn.reducers.setName({ name: 'Ada' })));
  const winners = clients.filter((_client, n) => taken[n]!.status === 'fulfilled');
  assert.equal(winners.length, 1);
  for (const { conn } of clients) {
    await becomes(() => column(conn.db.user, row => row.identity.toHexString()), [winners[0]!.identity.toHexString()]);
  }
});

test('twenty clients come and go while another watches', async () => {
  const database = await peer.publish('chat');
  const { conn } = await connect(chat.DbConnection, database);
  await subscribe(conn, 'SELECT * FROM user');
  await Promise.all([...Array(CLIENTS).keys()].map(async () => {
    const guest = await connect(chat.DbConnection, database);
    await guest.conn.reducers.sendMessage({ room: 'lobby', text: 'passing by' });
    await disconnect(guest.conn);
  }));
  await becomes(async () => (await peer.sql(database, 'SELECT connections FROM user')).flat().sort(), [...Array(CLIENTS).fill(0), 1]);
  await becomes(() => column(conn.db.user, row => row.connections), [...Array(CLIENTS).fill(0), 1]);
  assert.deepEqual(await peer.sql(database, 'SELECT COUNT(*) AS n FROM message'), [[CLIENTS]]);
});
