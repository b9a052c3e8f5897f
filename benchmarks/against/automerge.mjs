// Automerge: balances as counters, each transfer a change of its own. In memory, unsigned.

import assert from 'node:assert';
import * as Automerge from '@automerge/automerge';
import {
  ACCOUNTS,
  OPENING_BALANCE,
  accountName,
  assertNothingIsLost,
  expectedBalances,
  measure,
  report,
  transfers,
} from './workload.mjs';

const names = Array.from({ length: ACCOUNTS }, (_, number) => accountName(number));

const opened = Automerge.from(
  {
    accounts: Object.fromEntries(
      names.map((name) => [name, new Automerge.Counter(OPENING_BALANCE)]),
    ),
  },
  { actor: '01' },
);
const docs = ['02', '03'].map((actor) => Automerge.clone(opened, { actor }));

for (const at of [0, 1]) {
  for (const { from, to, amount } of transfers(at + 1)) {
    docs[at] = Automerge.change(docs[at], ({ accounts }) => {
      accounts[names[from]].decrement(amount);
      accounts[names[to]].increment(amount);
    });
  }
}

function becomeEqual() {
  const common = Automerge.getHeads(opened);
  // What one made since they parted, as bytes: of the library's ways to merge the fastest here.
  const news = [1, 0].map((other) => Automerge.getChangesSince(docs[other], common));
  docs.forEach((doc, at) => {
    [docs[at]] = Automerge.applyChanges(doc, news[at]);
  });
  assert.deepEqual(Automerge.getHeads(docs[0]).sort(), Automerge.getHeads(docs[1]).sort());
  return news.flat().length;
}

const balances = (at) => names.map((name) => docs[at].accounts[name].value);

const result = await measure(becomeEqual, balances);
assertNothingIsLost(result);
assert.deepEqual(result.balances, expectedBalances());
report(result);
