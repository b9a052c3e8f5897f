// What all rivals do: two writers that are apart make transfers between the same accounts, then
// become equal. Only the latter is timed.
//
//   node yjs.mjs [CALLS]
//
// prints {"seconds", "applies"}: how long it took until both were equal, and how many transfers were
// applied for that, on both writers together.

import assert from 'node:assert';
import { performance } from 'node:perf_hooks';

/** Accounts that money moves between: as in `benchmarks offline`. */
export const ACCOUNTS = 1_000;

/** What each holds when it is opened. */
export const OPENING_BALANCE = 1_000;

/** Transfers that each of the two makes. */
export const CALLS = Number(process.argv[2] ?? 10_000);
assert(Number.isSafeInteger(CALLS) && CALLS > 0, 'CALLS is a number');

/** What an account is called where names are texts: all of one length. */
export const accountName = (number) => String(number).padStart(4, '0');

/** Transfers of one writer: the same in every run, and others for another seed. */
export function* transfers(seed) {
  const dice = splitMix(BigInt(seed));
  for (let made = 0; made < CALLS; made += 1) {
    const from = dice(ACCOUNTS);
    // Another one, or nothing would move.
    const to = (from + 1 + dice(ACCOUNTS - 1)) % ACCOUNTS;
    yield { from, to, amount: 1 };
  }
}

/** SplitMix64 (Steele, Lea, Flood 2014), as the benchmarks in Rust draw. */
function splitMix(state) {
  return (end) => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return Number((mixed ^ (mixed >> 31n)) % BigInt(end));
  };
}

/**
 * Times `becomeEqual`, which answers how many transfers it applied, then sees whether they are equal:
 * `balances` gives those of one of the two, in order.
 */
export async function measure(becomeEqual, balances) {
  const start = performance.now();
  const applies = await becomeEqual();
  const seconds = (performance.now() - start) / 1_000;
  const first = await balances(0);
  const second = await balances(1);
  assert.equal(first.length, ACCOUNTS);
  assert.deepEqual(first, second, 'both have the same balances in the end');
  return { seconds, applies, balances: first };
}

/** No money appears or vanishes, where the library can tell an increment from an assignment. */
export function assertNothingIsLost({ balances }) {
  const sum = balances.reduce((sum, balance) => sum + balance, 0);
  assert.equal(sum, ACCOUNTS * OPENING_BALANCE, 'the sum of all balances stays');
}

/** The balances that all transfers of both come to, in whatever order they run. */
export function expectedBalances() {
  const expected = new Array(ACCOUNTS).fill(OPENING_BALANCE);
  for (const seed of [1, 2]) {
    for (const { from, to, amount } of transfers(seed)) {
      expected[from] -= amount;
      expected[to] += amount;
    }
  }
  return expected;
}

export function report({ seconds, applies }) {
  console.log(JSON.stringify({ seconds, applies }));
}
