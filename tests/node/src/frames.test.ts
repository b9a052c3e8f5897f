// The two protocols of the library, with and without compression, in large frames.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import * as inventory from 'generated/inventory';
import { WebSocket as Socket } from 'undici';
import { becomes, column, connect, peer, subscribe } from './harness';

type Protocol = 'v2.bsatn.spacetimedb' | 'v3.bsatn.spacetimedb';

/** What came over the sockets: how each frame began, and how long it was. */
interface Seen {
  protocol: string;
  frames: { tag: number; bytes: number }[];
}

/** Lets the library open sockets of one protocol meanwhile, and watches them. */
async function over<T>(protocol: Protocol, run: (seen: Seen) => Promise<T>): Promise<T> {
  const seen: Seen = { protocol: '', frames: [] };
  class Watched extends Socket {
    constructor(url: string) {
      super(url, [protocol]);
      this.addEventListener('open', () => (seen.protocol = this.protocol));
      this.addEventListener('message', ({ data }: { data: ArrayBuffer }) => {
        seen.frames.push({ tag: new Uint8Array(data)[0]!, bytes: data.byteLength });
      });
    }
  }
  const global = globalThis as { WebSocket: unknown };
  const before = global.WebSocket;
  global.WebSocket = Watched;
  try {
    return await run(seen);
  } finally {
    global.WebSocket = before;
  }
}

const TAGS = { none: 0, gzip: 2 };
const FEW_BYTES = 1_024;

for (const protocol of ['v2.bsatn.spacetimedb', 'v3.bsatn.spacetimedb'] as const) {
  for (const compression of ['none', 'gzip'] as const) {
    test(`${protocol} with compression "${compression}": rows in frames over 1,024 bytes`, async () => {
      const database = await peer.publish('inventory');
      await over(protocol, async seen => {
        const { conn } = await connect(inventory.DbConnection, database, { compression });
        assert.equal(seen.protocol, protocol);
        // Rows in an answer, rows with an own call, and rows with a call of somebody else.
        await conn.reducers.fill({ seed: 1, count: 100 });
        await subscribe(conn, 'SELECT * FROM item');
        await conn.reducers.fill({ seed: 2, count: 100 });
        await peer.call(database, 'fill', 3, 100);
        await becomes(() => conn.db.item.count(), 300n);
        const rows = await peer.sql(database, 'SELECT sku FROM item');
        assert.deepEqual(column(conn.db.item, row => row.sku), rows.map(([sku]) => sku).sort());
        const large = seen.frames.filter(frame => frame.bytes > FEW_BYTES);
        assert.ok(large.length >= 3, `${large.length} large frames`);
        assert.ok(large.every(frame => frame.tag === TAGS[compression]), JSON.stringify(large));
        const hello = seen.frames[0]!;
        assert.ok(hello.bytes <= FEW_BYTES && hello.tag === 0, 'what is small is never compressed');
        if (compression === 'gzip') {
          assert.ok(large.every(frame => frame.bytes < 100 * 150), 'it is smaller than the rows');
        }
      });
    });
  }

  test(`${protocol}: many calls and callbacks at once`, async () => {
    const database = await peer.publish('inventory');
    await over(protocol, async () => {
      const { conn } = await connect(inventory.DbConnection, database);
      await subscribe(conn, 'SELECT * FROM item');
      const calls = [...Array(50).keys()].map(seed => conn.reducers.fill({ seed, count: 2 }));
      await Promise.all(calls);
      assert.equal(conn.db.item.count(), 100n);
      await conn.reducers.scrap({ category: { tag: 'Part' }, low: -500n, high: 500n });
      assert.ok([...conn.db.item.iter()].every(row => row.category.tag !== 'Part'));
      const left = await peer.sql(database, 'SELECT id FROM item');
      assert.deepEqual(column(conn.db.item, row => Number(row.id)), left.map(([id]) => Number(id)).sort((a, b) => a - b));
    });
  });
}

for (const confirmed of [true, false]) {
  test(`reads that are ${confirmed ? '' : 'not '}confirmed`, async () => {
    const database = await peer.publish('inventory');
    const { conn } = await connect(inventory.DbConnection, database, { confirmed });
    await subscribe(conn, 'SELECT * FROM warehouse');
    await conn.reducers.setOpen({ number: 2, open: true });
    assert.deepEqual(column(conn.db.warehouse, row => row.open), [true, true, true]);
    await peer.call(database, 'set_open', 1, false);
    await becomes(() => column(conn.db.warehouse, row => `${row.number} ${row.open}`), ['1 false', '2 true', '200 true']);
  });
}
