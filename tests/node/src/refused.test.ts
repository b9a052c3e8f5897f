// Subscriptions that are refused, and what they leave alone.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as inventory from 'generated/inventory';
import { column, connect, peer, record, subscribe } from './harness';

/** What is asked, and what the refusal has to speak of. */
const cases: [string, string, RegExp][] = [
  ['an unknown table', 'SELECT * FROM nothing', /nothing/],
  ['a private table', 'SELECT * FROM price_history', /price_history/],
  ['an unknown column', 'SELECT * FROM warehouse WHERE colour = 1', /colour/],
  ['what is no SQL', 'GIVE ME ROWS', /./],
  ['an empty text', '', /./],
  ['LIMIT', 'SELECT * FROM warehouse LIMIT 1', /LIMIT/],
  ['some columns', 'SELECT town FROM warehouse', /SELECT \*/],
  ['COUNT', 'SELECT COUNT(*) AS n FROM warehouse', /COUNT|SELECT \*/],
  ['ORDER BY', 'SELECT * FROM warehouse ORDER BY number', /ORDER BY/],
  ['a literal of another type', "SELECT * FROM warehouse WHERE number = 'two'", /number/],
  ['a number out of range', 'SELECT * FROM warehouse WHERE number = 256', /256/],
  ['a comparison of lists', 'SELECT * FROM warehouse WHERE dock_offsets = 1', /dock_offsets/],
  ['DELETE', 'DELETE FROM warehouse', /./],
  ['two statements', 'SELECT * FROM warehouse; SELECT * FROM warehouse', /./],
];

for (const [what, query, why] of cases) {
  test(`${what} is refused, and other subscriptions go on`, async () => {
    const { conn } = await connect(inventory.DbConnection, await peer.publish('inventory'));
    await subscribe(conn, 'SELECT * FROM warehouse WHERE number < 100');
    const told = record(conn.db.warehouse, row => `${row.number} ${row.open}`);
    await assert.rejects(subscribe(conn, query), why);
    // Good queries beside a bad one are not followed either.
    await assert.rejects(subscribe(conn, ['SELECT * FROM warehouse', query]), why);
    assert.ok(conn.isActive);
    assert.deepEqual(column(conn.db.warehouse, row => row.number), [1, 2]);
    await conn.reducers.setOpen({ number: 200, open: false });
    await conn.reducers.setOpen({ number: 2, open: true });
    assert.deepEqual(told.sort(), ['+ 2 true', '- 2 false']);
    await subscribe(conn, 'SELECT * FROM warehouse WHERE number = 200');
    assert.deepEqual(column(conn.db.warehouse, row => row.number), [1, 2, 200]);
  });
}
