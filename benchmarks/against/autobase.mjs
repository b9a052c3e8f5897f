// Autobase: both write, both index, balances in a Hyperbee that `apply` fills. On disk, signed, as ours
// are; what one has is carried to the other by a stream in this process.

import assert from 'node:assert';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import Autobase from 'autobase';
import Corestore from 'corestore';
import Hyperbee from 'hyperbee';
import {
  ACCOUNTS,
  CALLS,
  OPENING_BALANCE,
  accountName,
  assertNothingIsLost,
  expectedBalances,
  measure,
  report,
  transfers,
} from './workload.mjs';

/** Transfers that are appended at once: as in `benchmarks offline`. */
const BATCH = 16;

/** Milliseconds between two looks at something that is awaited. */
const LOOK_EVERY_MS = 5;

const names = Array.from({ length: ACCOUNTS }, (_, number) => accountName(number));
let applies = 0;

const handlers = {
  valueEncoding: 'json',
  // No acknowledgements on a timer: they would be work that nobody asked for here.
  ackInterval: 0,
  // Many transfers in one `apply`, so that a balance is written once for all of them.
  bigBatches: true,
  open: (store) =>
    new Hyperbee(store.get('balances'), {
      keyEncoding: 'utf-8',
      valueEncoding: 'json',
      extension: false,
    }),
  apply: async (nodes, view, host) => {
    const batch = view.batch({ update: false });
    // Balances that this `apply` knows already: the tree is asked and written once for each.
    const known = new Map();
    const add = async (number, amount) => {
      const before = known.get(number) ?? (await batch.get(names[number])).value;
      known.set(number, before + amount);
    };
    for (const { value } of nodes) {
      if (value.addWriter !== undefined) {
        await host.addWriter(Buffer.from(value.addWriter, 'hex'), { indexer: true });
      } else if (value.open !== undefined) {
        names.forEach((_, number) => known.set(number, OPENING_BALANCE));
      } else {
        applies += 1;
        await add(value.from, -value.amount);
        await add(value.to, value.amount);
      }
    }
    for (const [number, balance] of known) {
      await batch.put(names[number], balance);
    }
    await batch.flush();
  },
};

/** Carries everything that either has to the other, until `stop` is called. */
function connect(stores) {
  const streams = [stores[0].replicate(true), stores[1].replicate(false)];
  // A stream that is ended in the middle of something says so; nobody has to hear of it.
  streams.forEach((stream) => stream.on('error', () => {}));
  streams[0].pipe(streams[1]).pipe(streams[0]);
  return async () => {
    const closed = streams.map((stream) => new Promise((resolve) => stream.once('close', resolve)));
    streams.forEach((stream) => stream.destroy());
    await Promise.all(closed);
  };
}

async function until(holds) {
  while (!(await holds())) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Whether the order of each holds everything that either wrote. */
async function isEqual(bases) {
  for (const { system } of bases) {
    for (const { local } of bases) {
      const ordered = await system.get(local.key);
      if (ordered === null || ordered.length < local.length) {
        return false;
      }
    }
  }
  return true;
}

const folder = await mkdtemp(path.join(import.meta.dirname, 'scratch-'));
try {
  const stores = ['first', 'second'].map((name) => new Corestore(path.join(folder, name)));
  const first = new Autobase(stores[0], null, handlers);
  await first.ready();
  const second = new Autobase(stores[1], first.key, handlers);
  await second.ready();
  const bases = [first, second];

  const settle = () =>
    until(async () => {
      await Promise.all(bases.map((base) => base.update()));
      return isEqual(bases);
    });

  const part = connect(stores);
  await first.append({ open: true });
  await first.append({ addWriter: second.local.key.toString('hex') });
  await until(async () => {
    await second.update();
    return second.writable;
  });
  await second.ack();
  await settle();
  await first.ack();
  await settle();
  await part();

  const todo = [1, 2].map((seed) => [...transfers(seed)]);
  for (let at = 0; at < CALLS; at += BATCH) {
    // In turns, as neither knows what the other does.
    await first.append(todo[0].slice(at, at + BATCH));
    await second.append(todo[1].slice(at, at + BATCH));
  }

  applies = 0;
  let partAgain;
  const becomeEqual = async () => {
    partAgain = connect(stores);
    await settle();
    return applies;
  };
  const balances = async (at) => {
    const rows = [];
    for await (const { value } of bases[at].view.createReadStream()) {
      rows.push(value);
    }
    return rows;
  };
  const result = await measure(becomeEqual, balances);
  assertNothingIsLost(result);
  assert.deepEqual(result.balances, expectedBalances());
  report(result);
  await partAgain();
  await Promise.all(bases.map((base) => base.close()));
  await Promise.all(stores.map((store) => store.close()));
} finally {
  await rm(folder, { recursive: true, force: true });
}
