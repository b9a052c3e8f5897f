// What programs written for SpacetimeDB 1.x see of a peer: the same cases for the oldest and the newest
// library, with a module in the format of 1.x and one in that of 2.x.

import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { becomes, peer, until, within } from '../../node/src/peers';
import { call, column, connect, outcome, record, subscribe, type Connection } from './library';
import { newest } from './newest';
import { oldest } from './oldest';
import { chat, ledger } from './specs';

const ADA = { email: 'ada@example', locker: 4, city: 'Brest', age: 36, balance: 100n };
const BOB = { email: 'bob@example', locker: 7, city: 'Quimper', age: 64, balance: 50n };

const accounts = (connection: Connection) => column(connection.table('account'), row => `${row.email} ${row.balance}`);
const ids = (connection: Connection) => column(connection.table('account'), 'id');
const balances = (connection: Connection) => column(connection.table('account'), row => `${row.id}: ${row.balance}`);

for (const library of [oldest, newest]) {
  const about = (what: string, run: () => Promise<void>) => test(`${library.name}: ${what}`, run);
  const toLedger = async (options = {}) => connect(library, ledger, peer, await peer.publish('ledger_1_2'), options);
  const toChat = async (options = {}) => connect(library, chat, peer, await peer.publish('chat'), options);

  about('a client is told who it is, and with its token it is the same again', async () => {
    const database = await peer.publish('ledger_1_2');
    const first = await connect(library, ledger, peer, database);
    assert.equal(first.identity.length, 64);
    assert.equal(first.token.split('.').length, 3, 'a JWT');
    first.disconnect();
    const second = await connect(library, ledger, peer, database, { token: first.token });
    assert.equal(second.identity, first.identity);
    assert.equal(second.token, first.token);
    assert.notEqual(second.connection, first.connection);
  });

  about('whole rows with columns of every kind', async () => {
    const client = await toLedger();
    assert.equal(await call(client, 'open', BOB), 'ok');
    await subscribe(client, 'SELECT * FROM account');
    const [row, ...more] = [...client.table('account').iter()];
    assert.deepEqual(more, []);
    const { email, locker, city, age, balance, notes } = row!;
    assert.deepEqual({ email, locker, city, age, balance }, BOB);
    assert.deepEqual(notes, ['opened']);
    assert.equal(row!.standing.tag, 'Good');
    assert.equal(row!.referrer.toHexString(), client.identity);
    assert.ok(row!.openedAt.toDate().getTime() > 0);
  });

  about('rows are there, and in their callbacks, when a subscription is applied', async () => {
    const client = await toChat();
    await call(client, 'open_accounts', { count: 3 });
    const seen = record(client.table('account'), row => row.id);
    await subscribe(client, 'SELECT * FROM account WHERE id <> 1');
    assert.deepEqual(ids(client), [0, 2]);
    await becomes(() => seen.sort(), ['+ 0', '+ 2']);
  });

  about('own calls insert, change and delete, each with its callback', async () => {
    const client = await toLedger();
    await subscribe(client, 'SELECT * FROM account');
    const seen = record(client.table('account'), row => `${row.email} ${row.balance}`);
    assert.equal(await call(client, 'open', ADA), 'ok');
    assert.deepEqual(accounts(client), ['ada@example 100']);
    assert.equal(await call(client, 'open', BOB), 'ok');
    assert.equal(await call(client, 'pay', { from: 'ada@example', locker: 7, amount: 30n }), 'ok');
    assert.deepEqual(accounts(client), ['ada@example 70', 'bob@example 80']);
    assert.equal(await call(client, 'leave', { city: 'Brest' }), 'ok');
    assert.deepEqual(accounts(client), ['bob@example 80']);
    await becomes(() => [...seen].sort(), [
      '+ ada@example 100',
      '+ bob@example 50',
      '- ada@example 70',
      'ada@example 100 > ada@example 70',
      'bob@example 50 > bob@example 80',
    ]);
  });

  about('a reducer is told of with its caller, its arguments and its time', async () => {
    const client = await toLedger();
    const event: any = await within('an event', new Promise(resolve => {
      client.onCall('open', resolve);
      client.call('open', ADA);
    }));
    assert.equal(outcome(event), 'ok');
    assert.equal(event.callerIdentity.toHexString(), client.identity);
    assert.equal(event.callerConnectionId.toHexString(), client.connection);
    assert.deepEqual(event.reducer, { name: 'open', args: ADA });
    const age = Date.now() - event.timestamp.toDate().getTime();
    assert.ok(Math.abs(age) < 60_000, `${age} ms`);
    assert.equal(event.energyConsumed, 0n);
  });

  about('a reducer that refuses says why, and changes nothing', async () => {
    const client = await toLedger();
    await subscribe(client, 'SELECT * FROM account');
    assert.equal(await call(client, 'open', ADA), 'ok');
    const refused = await call(client, 'pay', { from: 'ada@example', locker: 4, amount: 101n });
    assert.equal(refused, 'ada@example has 100, not 101');
    assert.deepEqual(accounts(client), ['ada@example 100']);
  });

  about('a reducer that panics says so, and leaves nothing', async () => {
    const client = await toLedger();
    await subscribe(client, 'SELECT * FROM throw');
    assert.match(await call(client, 'fall'), /fatal|panic|fallen/);
    assert.deepEqual(column(client.table('throw'), 'round'), [0]);
  });

  about('rows without a primary key', async () => {
    const client = await toLedger();
    await subscribe(client, 'SELECT * FROM throw');
    const seen = record(client.table('throw'), row => row.round);
    await call(client, 'throw_dice', { round: 5, count: 1 });
    assert.deepEqual(column(client.table('throw'), 'round'), [0, 5]);
    await call(client, 'take_back', { round: 5 });
    assert.deepEqual(column(client.table('throw'), 'round'), [0]);
    await becomes(() => seen, ['+ 5', '- 5']);
  });

  about('many calls at once are answered in their order', async () => {
    const client = await toChat();
    await subscribe(client, 'SELECT * FROM message');
    const answers: string[] = [];
    client.onCall('send_message', event => answers.push(`${event.reducer.args.text} ${event.status.tag}`));
    const texts = Array.from({ length: 200 }, (_, n) => (n % 10 === 9 ? '' : `number ${n}`));
    for (const text of texts) client.call('send_message', { room: 'lobby', text });
    await until('all answers', () => answers.length === texts.length);
    assert.deepEqual(answers, texts.map(text => (text === '' ? ' Failed' : `${text} Committed`)));
    assert.equal(Number(client.table('message').count()), 180);
    assert.deepEqual(
      column(client.table('message'), 'id').length,
      new Set(column(client.table('message'), 'id')).size,
    );
  });

  about('what others do is told, without who did it', async () => {
    const database = await peer.publish('chat');
    const one = await connect(library, chat, peer, database);
    const other = await connect(library, chat, peer, database);
    await subscribe(one, 'SELECT * FROM account');
    const tags: string[] = [];
    one.table('account').onInsert(ctx => tags.push(ctx.event.tag));
    assert.equal(await call(other, 'open_accounts', { count: 2 }), 'ok');
    await becomes(() => balances(one), ['0: 1000', '1: 1000']);
    await becomes(() => tags, ['UnknownTransaction', 'UnknownTransaction']);
    await peer.call(database, 'transfer', 0, 1, 5);
    await becomes(() => balances(one), ['0: 995', '1: 1005']);
  });

  about('a row that does not match any more is deleted', async () => {
    const client = await toChat();
    await call(client, 'open_accounts', { count: 2 });
    await subscribe(client, 'SELECT * FROM account WHERE balance >= 1000');
    const seen = record(client.table('account'), row => row.id);
    await call(client, 'transfer', { from: 0, to: 1, amount: 1n });
    assert.deepEqual(balances(client), ['1: 1001']);
    await becomes(() => [...seen].sort(), ['- 0', '1 > 1']);
  });

  about('the end of a subscription takes its rows away, and nothing more is told', async () => {
    const client = await toChat();
    await call(client, 'open_accounts', { count: 2 });
    const { end } = await subscribe(client, 'SELECT * FROM account', 'SELECT * FROM room');
    const seen = record(client.table('account'), row => row.id);
    await end();
    assert.deepEqual(ids(client), []);
    assert.equal(Number(client.table('room').count()), 0);
    await becomes(() => [...seen].sort(), ['- 0', '- 1']);
    assert.equal(await call(client, 'open_accounts', { count: 4 }), 'ok');
    assert.deepEqual(ids(client), []);
  });

  about('a row that two queries ask for stays until both have ended', async () => {
    const client = await toChat();
    await call(client, 'open_accounts', { count: 3 });
    const low = await subscribe(client, 'SELECT * FROM account WHERE id <= 1');
    const high = await subscribe(client, 'SELECT * FROM account WHERE id >= 1');
    const seen = record(client.table('account'), row => row.id);
    assert.deepEqual(ids(client), [0, 1, 2]);
    await call(client, 'transfer', { from: 1, to: 2, amount: 7n });
    assert.deepEqual(balances(client), ['0: 1000', '1: 993', '2: 1007']);
    await low.end();
    assert.deepEqual(ids(client), [1, 2]);
    await high.end();
    assert.deepEqual(ids(client), []);
    await becomes(() => [...seen].sort(), ['- 0', '- 1', '- 2', '1 > 1', '2 > 2']);
  });

  about('the same query in two sets brings its rows once, and keeps them until both have ended', async () => {
    const client = await toChat();
    await call(client, 'open_accounts', { count: 2 });
    const seen = record(client.table('account'), row => row.id);
    const one = await subscribe(client, 'SELECT * FROM account');
    const two = await subscribe(client, 'SELECT * FROM account', 'SELECT * FROM room');
    await call(client, 'open_accounts', { count: 3 });
    assert.deepEqual(ids(client), [0, 1, 2]);
    await one.end();
    assert.deepEqual(ids(client), [0, 1, 2]);
    await call(client, 'transfer', { from: 0, to: 2, amount: 1n });
    assert.deepEqual(balances(client), ['0: 999', '1: 1000', '2: 1001']);
    await two.end();
    assert.deepEqual(ids(client), []);
    await becomes(() => [...seen].sort(), ['+ 0', '+ 1', '+ 2', '- 0', '- 1', '- 2', '0 > 0', '2 > 2']);
  });

  about('a join', async () => {
    const client = await toChat();
    await call(client, 'open_room', { name: 'attic' });
    await call(client, 'send_message', { room: 'lobby', text: 'below' });
    await call(client, 'send_message', { room: 'attic', text: 'above' });
    await subscribe(client, "SELECT m.* FROM message m JOIN room r ON m.room = r.id WHERE r.name = 'attic'");
    assert.deepEqual(column(client.table('message'), 'text'), ['above']);
    await call(client, 'send_message', { room: 'attic', text: 'higher' });
    assert.deepEqual(column(client.table('message'), 'text'), ['above', 'higher']);
  });

  about('a query that cannot be followed is refused, and the connection goes on', async () => {
    const client = await toChat();
    await assert.rejects(subscribe(client, 'SELECT * FROM nothing'), /no table `nothing`/);
    await assert.rejects(subscribe(client, 'SELECT * FROM account LIMIT 3'), /LIMIT/);
    await subscribe(client, 'SELECT * FROM account');
    await call(client, 'open_accounts', { count: 1 });
    assert.deepEqual(ids(client), [0]);
  });

  about('all tables at once', async () => {
    const client = await toLedger();
    await call(client, 'open', ADA);
    await within('rows', new Promise(resolve => {
      client.builder().onApplied(resolve).subscribeToAllTables();
    }));
    assert.deepEqual(accounts(client), ['ada@example 100']);
    assert.deepEqual(column(client.table('throw'), 'round'), [0]);
    await call(client, 'sign');
    assert.deepEqual(column(client.table('caller'), row => row.identity.toHexString()), [client.identity]);
  });

  about('a call that wants no news of success gets none, but rows and failures', async () => {
    const client = await toChat();
    const answers: string[] = [];
    for (const reducer of ['open_accounts', 'send_message']) {
      client.onCall(reducer, event => answers.push(`${reducer} ${outcome(event)}`));
    }
    client.callQuietly('open_accounts');
    client.call('open_accounts', { count: 1 });
    assert.equal(await call(client, 'send_message', { room: 'lobby', text: 'hello' }), 'ok');
    assert.deepEqual(answers, ['send_message ok']);
    client.call('open_accounts', { count: 1_000_000 });
    await until('a failure', () => answers.length === 2);
    assert.match(answers[1]!, /^open_accounts at most/);
    await subscribe(client, 'SELECT * FROM account');
    client.call('open_accounts', { count: 2 });
    await until('an answer', () => answers.length === 3);
    assert.equal(answers[2], 'open_accounts ok');
    assert.deepEqual(ids(client), [0, 1]);
  });

  about('large answers and updates in gzip', async () => {
    const client = await toChat({ compression: 'gzip' });
    await call(client, 'open_accounts', { count: 5_000 });
    await subscribe(client, 'SELECT * FROM account');
    assert.equal(Number(client.table('account').count()), 5_000);
    await call(client, 'open_accounts', { count: 9_000 });
    assert.deepEqual(ids(client), Array.from({ length: 9_000 }, (_, n) => n));
  });

  about('updates of every size stay in order in gzip', async () => {
    const client = await toChat({ compression: 'gzip' });
    await subscribe(client, 'SELECT * FROM account');
    for (let round = 1; round <= 20; round += 1) {
      client.call('open_accounts', { count: round * 100 });
      client.call('transfer', { from: 0, to: round, amount: 1n });
    }
    assert.equal(await call(client, 'set_name', { name: 'Ada' }), 'ok');
    assert.equal(Number(client.table('account').count()), 2_000);
    assert.equal(balances(client)[0], '0: 980');
  });

  about('the light mode', async () => {
    const client = await toChat({ light: true });
    await subscribe(client, 'SELECT * FROM account');
    assert.equal(await call(client, 'open_accounts', { count: 1 }), 'ok');
    assert.deepEqual(ids(client), [0]);
  });

  about('a client that goes is disconnected for the module, too', async () => {
    const database = await peer.publish('chat');
    const one = await connect(library, chat, peer, database);
    const other = await connect(library, chat, peer, database);
    await subscribe(one, 'SELECT * FROM user');
    const known = () => column(one.table('user'), row => `${row.connections}`);
    assert.deepEqual(known(), ['1', '1']);
    other.disconnect();
    await becomes(known, ['0', '1']);
  });

  about('a wrong token and an unknown database are refused', async () => {
    const database = await peer.publish('chat');
    await assert.rejects(connect(library, chat, peer, database, { token: 'not.a.token' }));
    await assert.rejects(connect(library, chat, peer, 'no-such-database'));
  });
}
