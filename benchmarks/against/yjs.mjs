// Yjs: balances in a map. It has no counters, so a balance is assigned, and of two writers' values
// one wins: less than a transfer, and all that the library has. In memory, unsigned.

import * as Y from 'yjs';
import {
  ACCOUNTS,
  CALLS,
  OPENING_BALANCE,
  accountName,
  measure,
  report,
  transfers,
} from './workload.mjs';

const names = Array.from({ length: ACCOUNTS }, (_, number) => accountName(number));

const opened = new Y.Doc();
opened.clientID = 1;
opened.transact(() => {
  for (const name of names) {
    opened.getMap('accounts').set(name, OPENING_BALANCE);
  }
});
const docs = [2, 3].map((clientID) => {
  const doc = new Y.Doc();
  // Fixed, as whose values win follows from it.
  doc.clientID = clientID;
  Y.applyUpdate(doc, Y.encodeStateAsUpdate(opened));
  return doc;
});

docs.forEach((doc, at) => {
  const accounts = doc.getMap('accounts');
  for (const { from, to, amount } of transfers(at + 1)) {
    doc.transact(() => {
      accounts.set(names[from], accounts.get(names[from]) - amount);
      accounts.set(names[to], accounts.get(names[to]) + amount);
    });
  }
});

function becomeEqual() {
  const held = docs.map(Y.encodeStateVector);
  const news = [
    Y.encodeStateAsUpdate(docs[1], held[0]),
    Y.encodeStateAsUpdate(docs[0], held[1]),
  ];
  docs.forEach((doc, at) => Y.applyUpdate(doc, news[at]));
  // Each transfer of one is applied by the other.
  return docs.length * CALLS;
}

const balances = (at) => names.map((name) => docs[at].getMap('accounts').get(name));

report(await measure(becomeEqual, balances));
