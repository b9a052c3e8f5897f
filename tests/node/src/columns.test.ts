// Values of every type there and back.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as cabinet from 'generated/cabinet';
import * as inventory from 'generated/inventory';
import { ConnectionId, Identity, TimeDuration, Timestamp, Uuid, type ScheduleAt } from 'spacetimedb';
import { becomes, column, connect, peer, record, subscribe, type Table } from './harness';

const top = (bits: bigint) => (1n << bits) - 1n;

/** All columns of a row whose values are at one end of what they can be. */
function extreme(id: number, high: boolean): cabinet.Specimen {
  const unsigned = (bits: bigint) => (high ? top(bits) : 0n);
  const signed = (bits: bigint) => (high ? top(bits - 1n) : -top(bits - 1n) - 1n);
  const float = 3.4028234663852886e38;
  const point = { x: high ? float : -float, y2: high ? 2.2250738585072014e-308 : undefined };
  const due: ScheduleAt = high
    ? { tag: 'Time', value: new Timestamp(signed(64n)) }
    : { tag: 'Interval', value: new TimeDuration(-1n) };
  return {
    id,
    flag: high,
    u8: Number(unsigned(8n)),
    u16: Number(unsigned(16n)),
    u32: Number(unsigned(32n)),
    u64: unsigned(64n),
    u128: unsigned(128n),
    u256: unsigned(256n),
    i8: Number(signed(8n)),
    i16: Number(signed(16n)),
    i32: Number(signed(32n)),
    i64: signed(64n),
    i128: signed(128n),
    i256: signed(256n),
    f32: high ? Infinity : -Infinity,
    f64: high ? Number.MAX_VALUE : -Number.MAX_VALUE,
    text: high ? '\u{10FFFF}"\\\n\0é' : '',
    bytes: Uint8Array.from(high ? Array(256).keys() : []),
    list: high ? [top(63n), -top(63n) - 1n] : [],
    maybe: high ? top(128n) : undefined,
    maybeTwice: undefined,
    colour: { tag: high ? 'Blue' : 'Red' },
    shape: high ? { tag: 'Polygon', value: [point, { x: -0, y2: undefined }] } : { tag: 'Nothing' },
    label: {
      shape: high ? { tag: 'Inside', value: { tag: 'DarkGreen' } } : { tag: 'Circle', value: point },
      tags: high ? [[], ['a', '']] : [],
    },
    who: new Identity(unsigned(256n)),
    connection: new ConnectionId(unsigned(128n)),
    at: new Timestamp(signed(64n)),
    lasting: new TimeDuration(signed(64n)),
    mark: new Uuid(unsigned(128n)),
    due,
  };
}

/** As text, so that -0 differs from 0. */
const written = (row: unknown) => JSON.stringify(row, (_key, value) => {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : `${value}`;
  return value instanceof Uint8Array ? [...value] : value;
  // A variant without a value has an empty one in the cache, and need not have one when it is sent.
}).replaceAll(',"value":{}', '');

async function specimens() {
  const { conn } = await connect(cabinet.DbConnection, await peer.publish('cabinet'));
  await subscribe(conn, 'SELECT * FROM specimen');
  return conn;
}

for (const high of [false, true]) {
  const which = high ? 'highest' : 'lowest';

  test(`a column of every type at its ${which}, as the module makes it`, async () => {
    const conn = await specimens();
    await conn.reducers.keepExtreme({ id: 1, high });
    assert.equal(conn.db.specimen.count(), 1n);
    const row = conn.db.specimen.id.find(1)!;
    // An option of an option is more than the library can say: Some(None) comes as none.
    assert.equal(written({ ...row, maybeTwice: undefined }), written(extreme(1, high)));
  });

  test(`a column of every type at its ${which}, as a client sends it`, async () => {
    const conn = await specimens();
    await conn.reducers.keep({ specimen: extreme(2, high) });
    assert.equal(written(conn.db.specimen.id.find(2)), written(extreme(2, high)));
    if (!high) {
      await conn.reducers.keepExtreme({ id: 3, high });
      await conn.reducers.compare({ one: 2, other: 3 });
    }
  });
}

test('floats that are no numbers, and the zero below zero', async () => {
  const conn = await specimens();
  await conn.reducers.keepExtreme({ id: 1, high: false });
  const told = record(conn.db.specimen, row => `${row.f32} ${row.f64}`);
  await conn.reducers.setBits({ id: 1, f32: 0x7fc00000, f64: 0x7ff8000000000000n });
  assert.ok(Number.isNaN(conn.db.specimen.id.find(1)!.f32));
  assert.ok(Number.isNaN(conn.db.specimen.id.find(1)!.f64));
  await conn.reducers.setBits({ id: 1, f32: 0x80000000, f64: 0x8000000000000000n });
  assert.ok(Object.is(conn.db.specimen.id.find(1)!.f64, -0));
  assert.deepEqual(told, [`-Infinity ${-Number.MAX_VALUE} > NaN NaN`, 'NaN NaN > 0 0']);
});

test('a row of every type goes again', async () => {
  const conn = await specimens();
  await conn.reducers.keepExtreme({ id: 1, high: false });
  await conn.reducers.keepExtreme({ id: 2, high: true });
  const told = record(conn.db.specimen, row => row.id);
  await conn.reducers.empty({ expected: 2n });
  assert.deepEqual(told.sort(), ['- 1', '- 2']);
  assert.equal(conn.db.specimen.count(), 0n);
});

test('columns that number their rows, of every width', async () => {
  const { conn } = await connect(cabinet.DbConnection, await peer.publish('cabinet'));
  const tables = ['u_8', 'u_16', 'u_32', 'u_64', 'u_128', 'i_8', 'i_16', 'i_32', 'i_64', 'i_128'];
  await subscribe(conn, tables.map(table => `SELECT * FROM in_${table}`));
  for (const text of ['a', 'b', 'c']) await conn.reducers.number({ text });
  const { db } = conn;
  const expected = ['1 a', '2 b', '3 c'];
  for (const table of [db.inU8, db.inU16, db.inU32, db.inI8, db.inI16, db.inI32]) {
    assert.deepEqual(column<{ number: number; text: string }, string>(table, row => `${row.number} ${row.text}`), expected);
  }
  // Wide ones are made of the time of the call: they go up, and no two peers give out the same.
  for (const table of [db.inU64, db.inU128, db.inI64, db.inI128] as Table<{ number: bigint; text: string }>[]) {
    const rows = [...table.iter()].sort((a, b) => (a.number < b.number ? -1 : 1));
    assert.deepEqual(rows.map(row => row.text), ['a', 'b', 'c']);
    assert.ok(rows[0]!.number > 0n);
  }
});

test('every indexed type, looked up in the cache', async () => {
  const { conn } = await connect(cabinet.DbConnection, await peer.publish('cabinet'));
  await subscribe(conn, ['SELECT * FROM drawer', 'SELECT * FROM slot']);
  await conn.reducers.fill({ count: 24 });
  assert.equal(conn.db.drawer.count(), 24n);
  const flagged = [...conn.db.drawer.flag.filter(true)].map(row => row.id % 3);
  assert.deepEqual(flagged, Array(8).fill(0));
  assert.equal(conn.db.slot.w64.find(5n << 40n)?.name, 'slot 5');
  const row = conn.db.drawer.id.find(9)!;
  assert.ok([...conn.db.drawer.who.filter(row.who)].some(found => found.id === 9));
  await conn.reducers.audit({});
});

test('tables, columns and reducers with names of their own', async () => {
  const { conn } = await connect(cabinet.DbConnection, await peer.publish('cabinet'));
  await subscribe(conn, [cabinet.tables.plain, cabinet.tables.oldShelf2.where(row => row.theAge.eq(8))]);
  await conn.reducers.renamed({ x: -5 });
  await conn.reducers.putOnShelf2({ theAge: 7, kind: { tag: 'FirstKind' } });
  await conn.reducers.putOnShelf2({ theAge: 8, kind: { tag: 'SecondKind', value: 9 } });
  assert.deepEqual(column(conn.db.plain, row => row.x), [-5]);
  assert.deepEqual([...conn.db.oldShelf2.iter()], [
    { theAge: 8, kindOf: { tag: 'SecondKind', value: 9 }, added1: 1, addedLater: false },
  ]);
});

test('an item with sums, options, lists and wide numbers', async () => {
  const database = await peer.publish('inventory');
  const { conn, identity } = await connect(inventory.DbConnection, database);
  await subscribe(conn, ['SELECT * FROM item', 'SELECT * FROM movement']);
  await conn.reducers.addItem({
    sku: 'drill', serial: top(128n), category: { tag: 'Tool' }, maker: 'Ada', priceCents: 12_900n, weightKg: 0.5,
    tags: ['loud', ''], dimensions: { widthMm: 1, heightMm: 2, depthMm: 4_294_967_295 }, note: undefined,
  });
  const due = new Timestamp(1_700_000_000_000_000n);
  const transit = { carrier: 'a ship', stops: ['Brest', ''], due };
  await conn.reducers.place({ sku: 'drill', location: { tag: 'InTransit', value: transit } });
  const [item] = [...conn.db.item.iter()];
  assert.equal(item!.fingerprint, top(128n) * top(128n));
  assert.equal(item!.drift, -12_900n * top(63n));
  assert.equal(item!.purity, 2);
  assert.deepEqual(item!.dimensions, { widthMm: 1, heightMm: 2, depthMm: 4_294_967_295 });
  assert.deepEqual([item!.tags, item!.note, item!.location], [['loud', ''], undefined, { tag: 'InTransit', value: transit }]);
  assert.equal(new TextDecoder().decode(item!.picture), 'llird');
  assert.deepEqual(item!.addedBy, identity);
  await conn.reducers.deliver({ sku: 'drill', quantity: 9, from: 'Ada' });
  await conn.reducers.sell({ sku: 'drill', quantity: 2, discount: 0.25 });
  const reasons = [...conn.db.movement.iter()].map(row => row.reason);
  assert.deepEqual(reasons, [
    { tag: 'Delivery', value: 'Ada' },
    { tag: 'Sale', value: { customer: identity, discount: 0.25, codes: [undefined, 2] } },
  ]);
  assert.equal(conn.db.item.id.find(item!.id)?.worth, 25_800n);
});

test('rows of an event table are told and not kept', async () => {
  const database = await peer.publish('cabinet');
  const { conn } = await connect(cabinet.DbConnection, database);
  const { conn: other } = await connect(cabinet.DbConnection, database);
  const heard: number[][] = [[], []];
  for (const [n, { db }] of [conn, other].entries()) db.noise.onInsert((_ctx, row) => heard[n]!.push(row.loud));
  for (const client of [conn, other]) await subscribe(client, 'SELECT * FROM noise WHERE loud > 5');
  for (const loud of [7, 3, 8, 7]) await conn.reducers.shout({ loud });
  await becomes(() => heard, [[7, 8, 7], [7, 8, 7]]);
  assert.equal(conn.db.noise.count(), 0n);
  assert.deepEqual(await peer.sql(database, 'SELECT * FROM noise'), []);
});
