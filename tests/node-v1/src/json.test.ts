// The text form of v1, message by message.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { peer } from '../../node/src/peers';
import { JsonClient, rows } from './json';

async function connected(module: string): Promise<{ client: JsonClient; database: string; hello: any }> {
  const database = await peer.publish(module);
  const client = await JsonClient.open(peer, database);
  return { client, database, hello: await client.next('IdentityToken') };
}

const accounts = (...pairs: [number, number][]) => ({ account: pairs.map(([id, balance]) => ({ id, balance })) });

test('hello comes first', async () => {
  const { hello } = await connected('chat');
  assert.match(hello.identity.__identity__, /^0xc200[0-9a-f]{60}$/);
  assert.ok(hello.token.split('.').length === 3 && '__connection_id__' in hello.connection_id);
});

test('a subscription, and what changes, with whole rows by name', async () => {
  const { client, database } = await connected('chat');
  const first = await client.ask({ SubscribeMulti: { query_strings: ['SELECT * FROM account', 'SELECT * FROM room'], request_id: 7, query_id: { id: 9 } } }, 'SubscribeMultiApplied');
  assert.deepEqual([first.request_id, first.query_id], [7, { id: 9 }]);
  const { room, account } = rows(first.update) as any;
  assert.deepEqual(account, []);
  assert.equal(room.length, 1);
  assert.equal(room[0].name, 'lobby');
  assert.match(room[0].opened_by.__identity__, /^0x[0-9a-f]+$/);
  await peer.call(database, 'open_accounts', 2);
  const { update } = await client.next('TransactionUpdateLight');
  assert.deepEqual(rows(update), accounts([0, 1000], [1, 1000]));
  await peer.call(database, 'transfer', 0, 1, 5);
  const changed = (await client.next('TransactionUpdateLight')).update;
  assert.equal(changed.tables[0].num_rows, 4);
  assert.deepEqual(rows(changed, 'deletes'), accounts([0, 1000], [1, 1000]));
  assert.deepEqual(rows(changed), accounts([0, 995], [1, 1005]));
});

test('columns of every kind', async () => {
  const { client, hello } = await connected('ledger_1_2');
  await client.call('open', ['ada@example', 4, 'Brest', 51, -5]);
  const { rows: applied } = await client.ask({ SubscribeSingle: { query: 'SELECT * FROM account', request_id: 1, query_id: { id: 1 } } }, 'SubscribeApplied');
  assert.equal(applied.table_name, 'account');
  assert.ok(applied.table_id > 0);
  const [row] = rows({ tables: [applied.table_rows] }).account as any[];
  assert.ok(row.openedAt.__timestamp_micros_since_unix_epoch__ > 0);
  delete row.openedAt;
  assert.deepEqual(row, {
    id: 1, email: 'ada@example', locker: 4, city: 'Brest', age: 51, balance: -5, standing: { Good: {} },
    notes: ['opened'], referrer: { some: { __identity__: hello.identity.__identity__ } },
  });
});

test('a call is answered with what was called, by whom, and what it changed', async () => {
  const { client, hello } = await connected('chat');
  await client.ask({ SubscribeSingle: { query: 'SELECT * FROM account', request_id: 1, query_id: { id: 1 } } }, 'SubscribeApplied');
  const said = await client.call('open_accounts', [1], 42);
  assert.deepEqual(said.caller_identity, hello.identity);
  assert.deepEqual(said.caller_connection_id, hello.connection_id);
  const { reducer_name, args, request_id } = said.reducer_call;
  assert.deepEqual([reducer_name, args, request_id], ['open_accounts', '[1]', 42]);
  assert.deepEqual(said.energy_quanta_used, { quanta: 0 });
  assert.deepEqual(rows(said.status.Committed), accounts([0, 1000]));
  const by_name = await client.call('open_accounts', { count: 2 });
  assert.deepEqual(rows(by_name.status.Committed), accounts([1, 1000]));
});

test('calls that fail, whatever the reason', async () => {
  const { client } = await connected('ledger_1_2');
  const why = async (reducer: string, args: unknown) => (await client.call(reducer, args)).status.Failed;
  assert.equal(await why('pay', ['nobody', 1, 1]), 'there is no account of nobody');
  assert.match(await why('no_such', []), /no reducer `no_such`/);
  assert.match(await why('open', ['a']), /argument/);
  assert.match(await why('throw_dice', [-1, 1]), /round/);
  assert.match(await why('init', []), /called by the database itself/);
  assert.match(await why('fall', []), /fatal|panic|fallen/);
});

test('a query once, and one that cannot be answered', async () => {
  const { client } = await connected('chat');
  await client.call('open_accounts', [3]);
  const ask = (query_string: string) => client.ask({ OneOffQuery: { message_id: '00ff', query_string } }, 'OneOffQueryResponse');
  const some = await ask('SELECT * FROM account WHERE id > 0');
  assert.deepEqual([some.message_id, some.error], ['00ff', { none: [] }]);
  assert.deepEqual(some.tables.map((table: any) => [table.table_name, table.rows.map((row: string) => JSON.parse(row))]), [
    ['account', [{ id: 1, balance: 1000 }, { id: 2, balance: 1000 }]],
  ]);
  const none = await ask('SELECT * FROM nothing');
  assert.deepEqual(none.tables, []);
  assert.match(none.error.some, /no table `nothing`/);
});

test('the legacy way: subscribing again replaces what was subscribed before', async () => {
  const { client } = await connected('chat');
  const first = await client.ask({ Subscribe: { query_strings: ['SELECT * FROM room'], request_id: 1 } }, 'InitialSubscription');
  assert.equal(first.request_id, 1);
  assert.equal((rows(first.database_update).room as any[])[0].name, 'lobby');
  const second = await client.ask({ Subscribe: { query_strings: ['SELECT * FROM account'], request_id: 2 } }, 'InitialSubscription');
  assert.deepEqual(rows(second.database_update), accounts());
  const room = await client.call('open_room', ['attic']);
  assert.deepEqual(room.status.Committed.tables, []);
  const account = await client.call('open_accounts', [1]);
  assert.deepEqual(rows(account.status.Committed), accounts([0, 1000]));
  const refused = await client.ask({ Subscribe: { query_strings: ['SELECT * FROM nothing'], request_id: 3 } }, 'SubscriptionError');
  assert.deepEqual([refused.request_id, refused.query_id, refused.table_id], [{ some: 3 }, { none: [] }, { none: [] }]);
  assert.match(refused.error, /no table `nothing`/);
  // Without a number in the refusal nothing of it is left.
  const more = await client.call('open_accounts', [2]);
  assert.deepEqual(more.status.Committed.tables, []);
});

test('a set brings only the rows of queries that the connection lacks, and takes away what no other has', async () => {
  const { client } = await connected('chat');
  await client.call('open_accounts', [2]);
  const set = (id: number, ...query_strings: string[]) => (
    client.ask({ SubscribeMulti: { query_strings, request_id: id, query_id: { id } } }, 'SubscribeMultiApplied')
  );
  const all = 'SELECT * FROM account';
  assert.deepEqual(rows((await set(1, all, all)).update), accounts([0, 1000], [1, 1000]));
  assert.deepEqual(rows((await set(2, all, 'SELECT * FROM account WHERE id = 1')).update), accounts([1, 1000]));
  // Once for each query, not for each set.
  const changed = await client.call('transfer', [0, 1, 1]);
  assert.equal(changed.status.Committed.tables[0].num_rows, 4 + 2);
  const end = (id: number) => client.ask({ UnsubscribeMulti: { request_id: id, query_id: { id } } }, 'UnsubscribeMultiApplied');
  assert.deepEqual(rows((await end(1)).update, 'deletes'), accounts());
  const last = rows((await end(2)).update, 'deletes').account as any[];
  assert.deepEqual(last.map(row => row.id).sort(), [0, 1, 1]);
  const quiet = await client.call('transfer', [0, 1, 1]);
  assert.deepEqual(quiet.status.Committed.tables, []);
});

test('the end of a single query, and of what was never begun', async () => {
  const { client } = await connected('chat');
  await client.call('open_accounts', [1]);
  const begin = { SubscribeSingle: { query: 'SELECT * FROM account', request_id: 1, query_id: { id: 5 } } };
  await client.ask(begin, 'SubscribeApplied');
  assert.match((await client.ask(begin, 'SubscriptionError')).error, /query set 5 is in use/);
  const ended = await client.ask({ Unsubscribe: { request_id: 2, query_id: { id: 5 } } }, 'UnsubscribeApplied');
  assert.deepEqual(rows({ tables: [ended.rows.table_rows] }, 'deletes'), accounts([0, 1000]));
  const refused = await client.ask({ Unsubscribe: { request_id: 3, query_id: { id: 5 } } }, 'SubscriptionError');
  assert.deepEqual([refused.request_id, refused.query_id], [{ some: 3 }, { some: 5 }]);
  assert.match(refused.error, /no query set 5/);
});

test('tables of events are refused, and are not among all tables', async () => {
  const { client } = await connected('kanban');
  const one = await client.ask({ SubscribeSingle: { query: 'SELECT * FROM notice', request_id: 1, query_id: { id: 1 } } }, 'SubscriptionError');
  assert.match(one.error, /events/);
  const all = await client.ask({ Subscribe: { query_strings: ['select * from *;'], request_id: 2 } }, 'InitialSubscription');
  const names = Object.keys(rows(all.database_update));
  assert.ok(names.length > 1 && !names.includes('notice'), names.join());
});

test('private tables are refused to strangers, and are not among all tables', async () => {
  const { client, database } = await connected('inventory');
  const query = { SubscribeSingle: { query: 'SELECT * FROM price_history', request_id: 1, query_id: { id: 1 } } };
  assert.match((await client.ask(query, 'SubscriptionError')).error, /no table `price_history`/);
  const owner = await JsonClient.open(peer, database, `?token=${peer.token}`);
  await owner.next('IdentityToken');
  await owner.ask(query, 'SubscribeApplied');
  const all = await owner.ask({ Subscribe: { query_strings: ['SELECT * FROM *'], request_id: 2 } }, 'InitialSubscription');
  assert.ok(!('price_history' in rows(all.database_update)));
});

test('a view of the peer is followed like any other', async () => {
  const { client } = await connected('chat');
  const applied = await client.ask({ SubscribeSingle: { query: 'SELECT * FROM st_table', request_id: 1, query_id: { id: 1 } } }, 'SubscribeApplied');
  assert.ok((rows({ tables: [applied.rows.table_rows] }).st_table as any[]).length >= 4);
});

test('answers come in the order of the questions', async () => {
  const { client } = await connected('chat');
  const call = (request_id: number, reducer: string, args: string) => client.send({ CallReducer: { reducer, args, request_id, flags: 0 } });
  call(1, 'open_accounts', '[2]');
  call(2, 'no_such', '[]');
  client.send({ OneOffQuery: { message_id: '03', query_string: 'SELECT * FROM account' } });
  call(4, 'transfer', '[0,1,1]');
  client.send({ SubscribeMulti: { query_strings: ['SELECT * FROM account'], request_id: 5, query_id: { id: 5 } } });
  assert.equal((await client.next('TransactionUpdate')).reducer_call.request_id, 1);
  const second = await client.next('TransactionUpdate');
  assert.equal(second.reducer_call.request_id, 2);
  assert.match(second.status.Failed, /no_such/);
  const third = await client.next('OneOffQueryResponse');
  assert.deepEqual(third.tables[0].rows.map((row: string) => JSON.parse(row).balance), [1000, 1000]);
  assert.equal((await client.next('TransactionUpdate')).reducer_call.request_id, 4);
  const fifth = await client.next('SubscribeMultiApplied');
  assert.deepEqual(rows(fifth.update), accounts([0, 999], [1, 1001]));
});

test('success without news', async () => {
  const { client } = await connected('chat');
  client.send({ CallReducer: { reducer: 'open_accounts', args: '[1]', request_id: 1, flags: 1 } });
  const failed = await client.call('open_accounts', ['many'], 2, 1);
  assert.equal(failed.reducer_call.request_id, 2);
});

test('there are no procedures', async () => {
  const { client } = await connected('chat');
  const said = await client.ask({ CallProcedure: { procedure: 'p', args: '[]', request_id: 6, flags: 0 } }, 'ProcedureResult');
  assert.equal(said.request_id, 6);
  assert.match(said.status.InternalError, /procedures/);
});

for (const [what, frame] of [
  ['no JSON', 'hello'],
  ['JSON that is no message', '{"Unheard":{}}'],
  ['bytes', new Uint8Array([1, 2, 3])],
] as const) {
  test(`a frame with ${what} ends the connection`, async () => {
    const { client } = await connected('chat');
    client.send(frame);
    const { code, reason } = await client.closed;
    assert.equal(code, 1011);
    assert.ok(reason.length > 10, reason);
  });
}
