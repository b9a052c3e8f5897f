// What the library never does: handshakes that are refused, frames that cannot be read, messages it
// does not send.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { peer } from './harness';
import { ask, handshake, Raw, Reader, V2, V3, Writer, type Rows, type Said } from './raw';

const came = async (database: string) => Number((await peer.sql(database, 'SELECT COUNT(*) AS n FROM user'))[0]![0]);

/** The towns in rows of warehouses. */
function towns(rows: Buffer[] | undefined): string[] {
  return (rows ?? []).map(row => {
    const from = new Reader(row);
    from.u8();
    return from.text();
  }).sort();
}

/** A message of one kind, or a failure. */
async function expect<T extends Said['tag']>(raw: Raw, tag: T): Promise<Extract<Said, { tag: T }>> {
  const said = await raw.next();
  assert.equal(said.tag, tag, JSON.stringify(said));
  return said as Extract<Said, { tag: T }>;
}

async function warehouse(protocol = V2) {
  const database = await peer.publish('inventory');
  const raw = await Raw.open(peer, database, protocol);
  await expect(raw, 'hello');
  return { database, raw };
}

const refusals: [string, (database: string) => [string, string | undefined], number, RegExp][] = [
  ['an unknown subprotocol', db => [`${db}/subscribe`, 'v9.bsatn.spacetimedb'], 400, /v3\.bsatn\.spacetimedb/],
  ['no subprotocol', db => [`${db}/subscribe`, undefined], 400, /v2\.bsatn\.spacetimedb/],
  ['an unknown database', () => ['nobody-made-this/subscribe', V3], 404, /nobody-made-this/],
  ['a connection id of zeros', db => [`${db}/subscribe?connection_id=${'0'.repeat(32)}`, V3], 400, /connection_id/],
  ['a connection id that is too short', db => [`${db}/subscribe?connection_id=1234`, V3], 400, /connection_id/],
  ['an unknown compression', db => [`${db}/subscribe?compression=Zip`, V3], 400, /./],
  ['a bad token', db => [`${db}/subscribe?token=no.such.token`, V3], 401, /./],
  ['a word for `confirmed` that is neither', db => [`${db}/subscribe?confirmed=maybe`, V3], 400, /confirmed/],
];
for (const [what, asked, status, why] of refusals) {
  test(`${what}: ${status}, and nobody came`, async () => {
    const database = await peer.publish('chat');
    const [path, protocols] = asked(database);
    const answer = await handshake(`${peer.url}/v1/database/${path}`, protocols);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.text, why);
    assert.equal(await came(database), 0);
  });
}

test('a client that offers both protocols gets the newer one', async () => {
  const database = await peer.publish('chat');
  const answer = await handshake(`${peer.url}/v1/database/${database}/subscribe`, `${V2}, ${V3}`);
  assert.equal(answer.status, 101);
});

const garbage: [string, Uint8Array | string][] = [
  ['bytes that are no message', Buffer.from('garbage')],
  ['no bytes', Buffer.alloc(0)],
  ['half a message', ask.query(1, 'SELECT * FROM user').subarray(0, 12)],
  ['more than a message', Buffer.concat([ask.query(1, 'SELECT * FROM user'), Buffer.from([99])])],
  ['a list that says it is longer than its message', new Writer().u8(0).u32(1).u32(1).u32(0xffff_ffff).done()],
  ['text', 'hello'],
];
for (const [what, frame] of garbage) {
  test(`${what}: the socket closes with 1011, and the client is gone`, async () => {
    const database = await peer.publish('chat');
    const raw = await Raw.open(peer, database);
    await expect(raw, 'hello');
    assert.deepEqual(await peer.sql(database, 'SELECT connections FROM user'), [[1]]);
    raw.send(frame);
    const { code } = await raw.closed;
    assert.equal(code, 1011);
    for (;;) {
      const [[connections]] = (await peer.sql(database, 'SELECT connections FROM user')) as [[number]];
      if (connections === 0) break;
    }
  });
}

test('a query once, and its refusals', async () => {
  const { raw } = await warehouse();
  raw.send(ask.query(7, 'SELECT * FROM warehouse WHERE open = true'));
  const answer = await expect(raw, 'answer');
  assert.equal(answer.request, 7);
  assert.deepEqual(towns(answer.rows?.warehouse), ['Palm Beach', 'Quiberon']);
  for (const query of ['SELECT * FROM nothing', 'SELECT * FROM price_history', 'SELECT * FROM warehouse LIMIT 1', '?']) {
    raw.send(ask.query(8, query));
    const refused = await expect(raw, 'answer');
    assert.ok(refused.why && !refused.rows, query);
  }
});

test('the owner may ask for the rows of a private table', async () => {
  const { database } = await warehouse();
  await peer.call(database, 'add_item', 'drill', 1, 'Tool', 'Ada', 77, 1.5, [], null, null);
  const raw = await Raw.open(peer, database, V2, `&token=${peer.token}`);
  await expect(raw, 'hello');
  raw.send(ask.query(1, 'SELECT * FROM price_history'));
  const { rows } = await expect(raw, 'answer');
  assert.deepEqual(rows!.price_history!.map(row => row.readBigInt64LE(16)), [77n]);
});

test('a set number that is in use, and one that is not', async () => {
  const { raw } = await warehouse();
  raw.send(ask.subscribe(1, 5, 'SELECT * FROM warehouse WHERE number = 1'));
  const applied = await expect(raw, 'applied');
  assert.deepEqual([applied.request, applied.set, towns(applied.rows.warehouse)], [1, 5, ['Quiberon']]);
  raw.send(ask.subscribe(2, 5, 'SELECT * FROM warehouse'));
  const taken = await expect(raw, 'refused');
  assert.deepEqual([taken.request, taken.set], [2, 5]);
  raw.send(ask.unsubscribe(3, 6, true));
  assert.deepEqual((await expect(raw, 'refused')).request, 3);
  raw.send(ask.unsubscribe(4, 5, true));
  const gone = await expect(raw, 'unsubscribed');
  assert.deepEqual(towns(gone.rows?.warehouse), ['Quiberon']);
});

test('an end without rows', async () => {
  const { raw } = await warehouse();
  raw.send(ask.subscribe(1, 0, 'SELECT * FROM warehouse'), ask.unsubscribe(2, 0, false));
  assert.equal(towns((await expect(raw, 'applied')).rows.warehouse).length, 3);
  assert.equal((await expect(raw, 'unsubscribed')).rows, undefined);
});

test('answers come in the order of what was asked', async () => {
  const { raw } = await warehouse(V3);
  const messages: Buffer[] = [];
  for (let n = 0; n < 60; n += 3) {
    messages.push(ask.query(n, 'SELECT * FROM warehouse'));
    messages.push(ask.call(n + 1, 'set_open', Buffer.from([1, (n / 3) % 2])));
    messages.push(ask.subscribe(n + 2, n, 'SELECT * FROM warehouse WHERE number = 1'));
  }
  raw.send(Buffer.concat(messages));
  const answered: number[] = [];
  while (answered.length < 60) {
    const said = await raw.next();
    assert.ok(said.tag === 'answer' || said.tag === 'called' || said.tag === 'applied', said.tag);
    answered.push(said.request!);
  }
  assert.deepEqual(answered, [...Array(60).keys()]);
});

test('a call brings its changes for each set, and an update has no empty ones', async () => {
  const { database, raw } = await warehouse();
  raw.send(
    ask.subscribe(1, 10, 'SELECT * FROM warehouse WHERE open = true'),
    ask.subscribe(2, 11, 'SELECT * FROM warehouse'),
    ask.subscribe(3, 12, 'SELECT * FROM item'),
  );
  for (let n = 0; n < 3; n += 1) await expect(raw, 'applied');
  raw.send(ask.call(4, 'set_open', Buffer.from([2, 1])));
  const own = await expect(raw, 'called');
  assert.equal(own.outcome, 'ok');
  const told = (sets: typeof own.sets) => sets!.map(({ set, inserts, deletes }) => [set, towns(inserts), towns(deletes)]);
  assert.deepEqual(told(own.sets), [[10, ['Chesil'], []], [11, ['Chesil'], ['Chesil']]]);
  await peer.call(database, 'set_open', 2, false);
  const update = await expect(raw, 'update');
  assert.deepEqual(told(update.sets), [[10, [], ['Chesil']], [11, ['Chesil'], ['Chesil']]]);
});

test('outcomes of calls', async () => {
  const { raw } = await warehouse();
  const item = (sku: string) => new Writer().text(sku).done();
  raw.send(ask.call(1, 'remove', item('nothing')), ask.call(2, 'no_such', Buffer.alloc(0)), ask.call(3, 'remove', Buffer.alloc(1)));
  const outcomes = [];
  for (let n = 0; n < 3; n += 1) outcomes.push(await expect(raw, 'called'));
  assert.deepEqual(outcomes.map(({ request, outcome }) => [request, outcome]), [[1, 'failed'], [2, 'broken'], [3, 'broken']]);
  assert.equal(outcomes[0]!.why, 'there is no item nothing');
  raw.send(ask.query(4, 'SELECT * FROM item'));
  const { rows } = await expect(raw, 'answer');
  const none: Rows = { item: [] };
  assert.deepEqual(rows, none);
});
