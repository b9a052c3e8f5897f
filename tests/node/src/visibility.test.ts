// What the module's visibility filters show to whom: in the cache of the library, in one-off queries, over
// HTTP.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as notes from 'generated/private_notes';
import { becomes, column, connect, peer, record, subscribe, type Json } from './harness';
import { ask, Raw } from './raw';

type Conn = notes.DbConnection;
const texts = (conn: Conn) => column(conn.db.note, row => row.text);
const comments = (conn: Conn) => column(conn.db.comment, row => row.text);

/** Rows of a query over HTTP, as seen with a token. */
async function sql(database: string, query: string, token: string): Promise<Json[][]> {
  const { status, text } = await peer.request('POST', `/v1/database/${database}/sql`, query, token);
  assert.equal(status, 200, text);
  return (JSON.parse(text) as [{ rows: Json[][] }])[0].rows;
}

async function twoWriters() {
  const database = await peer.publish('private_notes');
  const [ada, bob] = [await connect(notes.DbConnection, database), await connect(notes.DbConnection, database)];
  await ada.conn.reducers.writeNote({ folder: 1, text: 'of ada' });
  await ada.conn.reducers.writeNote({ folder: 2, text: 'of ada too' });
  await bob.conn.reducers.writeNote({ folder: 1, text: 'of bob' });
  return { database, ada, bob };
}

test('users see their own rows, and the owner all', async () => {
  const { database, ada, bob } = await twoWriters();
  for (const { conn } of [ada, bob]) await subscribe(conn, [notes.tables.note, notes.tables.share]);
  assert.deepEqual(texts(ada.conn), ['of ada', 'of ada too']);
  assert.deepEqual(texts(bob.conn), ['of bob']);
  const owner = await connect(notes.DbConnection, database, { token: peer.token });
  await subscribe(owner.conn, notes.tables.note);
  assert.deepEqual(texts(owner.conn), ['of ada', 'of ada too', 'of bob']);
  // What comes later, and changes, goes to those who see it.
  const [atAda, atBob] = [record(ada.conn.db.note, row => row.text), record(bob.conn.db.note, row => row.text)];
  await bob.conn.reducers.writeNote({ folder: 1, text: 'of bob again' });
  await ada.conn.reducers.writeNote({ folder: 1, text: 'of ada again' });
  await becomes(() => owner.conn.db.note.count(), 5n);
  await becomes(() => [atAda, atBob], [['+ of ada again'], ['+ of bob again']]);
});

test('a shared row appears, with what hangs on it, and goes when that is taken back', async () => {
  const { ada, bob } = await twoWriters();
  await subscribe(ada.conn, [notes.tables.note, notes.tables.comment]);
  await subscribe(bob.conn, [notes.tables.note, notes.tables.comment, notes.tables.share]);
  const note = [...ada.conn.db.note.iter()].find(row => row.text === 'of ada')!.id;
  await ada.conn.reducers.commentOn({ note, text: 'a comment' });
  assert.deepEqual(comments(ada.conn), ['a comment']);
  assert.deepEqual(comments(bob.conn), []);
  const told = record(bob.conn.db.note, row => row.text);
  await ada.conn.reducers.shareNote({ note, reader: bob.identity });
  await becomes(() => [texts(bob.conn), comments(bob.conn)], [['of ada', 'of bob'], ['a comment']]);
  assert.equal(bob.conn.db.share.count(), 1n);
  // Shared twice it is seen once, and stays until both are taken back.
  await ada.conn.reducers.shareNote({ note, reader: bob.identity });
  await becomes(() => bob.conn.db.share.count(), 2n);
  assert.deepEqual(told, ['+ of ada']);
  await ada.conn.reducers.unshareNote({ note, reader: bob.identity });
  await becomes(() => [texts(bob.conn), comments(bob.conn)], [['of bob'], []]);
  assert.deepEqual(told, ['+ of ada', '- of ada']);
  assert.equal(bob.conn.db.share.count(), 0n);
});

test('joins that a client writes are over what it sees', async () => {
  const { ada, bob } = await twoWriters();
  const joined = 'SELECT c.* FROM comment c JOIN note n ON c.note = n.id WHERE n.folder = 1';
  await subscribe(bob.conn, joined);
  await subscribe(ada.conn, notes.tables.note);
  const note = [...ada.conn.db.note.iter()].find(row => row.text === 'of ada')!.id;
  await ada.conn.reducers.commentOn({ note, text: 'a comment' });
  await ada.conn.reducers.shareNote({ note, reader: bob.identity });
  await becomes(() => comments(bob.conn), ['a comment']);
  await ada.conn.reducers.unshareNote({ note, reader: bob.identity });
  await becomes(() => comments(bob.conn), []);
});

test('an admin sees everything from then on, and no longer', async () => {
  const { database, ada } = await twoWriters();
  await subscribe(ada.conn, notes.tables.note);
  await peer.call(database, 'put_admin', `0x${ada.identity.toHexString()}`, true);
  await becomes(() => texts(ada.conn), ['of ada', 'of ada too', 'of bob']);
  await peer.call(database, 'put_admin', `0x${ada.identity.toHexString()}`, false);
  await becomes(() => texts(ada.conn), ['of ada', 'of ada too']);
});

test('an event is told to whom it is for', async () => {
  const { ada, bob } = await twoWriters();
  const heard: string[] = [];
  for (const [name, { conn }] of [['ada', ada], ['bob', bob]] as const) {
    await subscribe(conn, [notes.tables.whisper, notes.tables.note]);
    conn.db.whisper.onInsert((_ctx, row) => heard.push(`${name}: ${row.text}`));
  }
  await ada.conn.reducers.whisperTo({ to: bob.identity, text: 'hush' });
  await ada.conn.reducers.whisperTo({ to: ada.identity, text: 'to myself' });
  await becomes(() => heard.sort(), ['ada: to myself', 'bob: hush']);
});

test('over HTTP and in one-off queries too, counted, joined and explained', async () => {
  const { database, ada, bob } = await twoWriters();
  const count = 'SELECT COUNT(*) AS n FROM note';
  assert.deepEqual(await sql(database, count, ada.token), [[2]]);
  assert.deepEqual(await sql(database, count, bob.token), [[1]]);
  assert.deepEqual(await peer.sql(database, count), [[3]]);
  assert.deepEqual(await sql(database, 'SELECT text FROM note ORDER BY text DESC LIMIT 1', bob.token), [['of bob']]);
  const folders = 'SELECT folder, COUNT(*) AS n FROM note GROUP BY folder ORDER BY folder';
  assert.deepEqual(await sql(database, folders, ada.token), [[1, 1], [2, 1]]);
  assert.deepEqual(await peer.sql(database, folders), [[1, 2], [2, 1]]);
  const pairs = 'SELECT COUNT(*) AS n FROM note a JOIN note b ON a.folder = b.folder';
  assert.deepEqual(await sql(database, pairs, bob.token), [[1]]);
  const rows = "SELECT row_count FROM st_table WHERE table_name = 'note'";
  assert.deepEqual(await sql(database, rows, bob.token), [[1]]);
  const plan = JSON.stringify(await sql(database, 'EXPLAIN SELECT * FROM note', bob.token));
  assert.match(plan, /visibility filters of note/);
  const raw = await Raw.open(peer, database, undefined, `&token=${bob.token}`);
  await raw.next();
  raw.send(ask.query(1, 'SELECT * FROM note'));
  const answer = await raw.next();
  assert.ok(answer.tag === 'answer', JSON.stringify(answer));
  assert.equal(answer.rows?.['note']?.length, 1);
});
