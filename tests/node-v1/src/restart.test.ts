// A client of 1.x whose peer is stopped and started again.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { peer } from '../../node/src/peers';
import { call, column, connect, subscribe } from './library';
import { newest } from './newest';
import { oldest } from './oldest';
import { chat } from './specs';

for (const library of [oldest, newest]) {
  test(`${library.name}: a client that comes back is the same, and finds what it left`, async () => {
    const database = await peer.publish('chat');
    const before = await connect(library, chat, peer, database);
    assert.equal(await call(before, 'set_name', { name: 'Ada' }), 'ok');
    assert.equal(await call(before, 'open_accounts', { count: 2 }), 'ok');
    await peer.stop();
    await peer.start();
    const after = await connect(library, chat, peer, database, { token: before.token });
    assert.equal(after.identity, before.identity);
    await subscribe(after, 'SELECT * FROM user', 'SELECT * FROM account');
    assert.deepEqual(column(after.table('user'), 'name'), ['Ada']);
    assert.equal(await call(after, 'open_accounts', { count: 3 }), 'ok');
    assert.deepEqual(column(after.table('account'), 'id'), [0, 1, 2]);
  });
}
