//! The index against a plain set, and comparisons between sets that end where plain sets say.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ids::hash;

/// The entry of this number: its time, and an id that looks like any.
fn item(n: u64, hlc: u64) -> TailItem {
    TailItem {
        hlc: Hlc(hlc),
        id: EntryId(hash("tombolo test of ranges", &n.to_le_bytes())),
    }
}

fn index_of(items: &BTreeSet<TailItem>) -> TailIndex {
    let mut index = TailIndex::default();
    for item in items {
        assert!(index.insert(*item));
    }
    index
}

fn all(index: &TailIndex) -> Vec<TailItem> {
    index.items(0, index.len()).collect()
}

/// What a plain sum over the entries comes to.
fn plain_fingerprint(items: &[TailItem]) -> RangeFingerprint {
    let mut sum = [0_u8; 40];
    for item in items {
        let mut carry = 0;
        for (sum, byte) in sum.iter_mut().zip(item.id.0) {
            let both = u16::from(*sum) + u16::from(byte) + carry;
            *sum = u8::try_from(both & 0xFF).expect("masked");
            carry = both >> 8;
        }
    }
    sum[32..].copy_from_slice(&(items.len() as u64).to_le_bytes());
    let hash = hash("tombolo range 1", &sum);
    RangeFingerprint(hash[..16].try_into().expect("16 bytes"))
}

#[test]
fn golden_fingerprints() {
    let hex = |index: &TailIndex| {
        let fingerprint = index.fingerprint(0, index.len());
        data_encoding::HEXLOWER.encode(&fingerprint.0)
    };
    let mut index = TailIndex::default();
    assert_eq!(hex(&index), "7a069c551d10538b34910592a1ae1232");
    let entry = |hlc, byte| TailItem {
        hlc: Hlc(hlc),
        id: EntryId([byte; 32]),
    };
    index.insert(entry(1, 0xFF));
    index.insert(entry(2, 0x02));
    assert_eq!(hex(&index), "e922113c274657fcfb8c13eb47ba5439");
}

fn check(index: &TailIndex, plain: &BTreeSet<TailItem>, at: usize, to: usize) {
    let items: Vec<_> = plain.iter().copied().collect();
    assert_eq!(index.len(), items.len());
    let (from, to) = (at.min(items.len()), to.min(items.len()));
    let (from, to) = (from.min(to), from.max(to));
    assert!(index.items(from, to).eq(items[from..to].iter().copied()));
    assert_eq!(
        index.fingerprint(from, to),
        plain_fingerprint(&items[from..to])
    );
    assert_eq!(index.rank(&index.boundary(from)), from);
    assert_eq!(index.rank(&Until::End), items.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_index_is_a_sorted_set_with_sums(
        // Runs of entries that are added or removed, in order or not, with times in common or not.
        steps in prop::collection::vec(
            (any::<bool>(), 0_u64..4_000, 1_u64..600, 1_u64..40, 1_u64..9), 1..12),
        at: [usize; 8],
    ) {
        let mut index = TailIndex::default();
        let mut plain = BTreeSet::new();
        for (add, start, len, stride, shared) in steps {
            for n in (start..).step_by(usize::try_from(stride).expect("small"))
                .take(usize::try_from(len).expect("small")) {
                let item = item(n, n / shared);
                if add {
                    prop_assert_eq!(index.insert(item), plain.insert(item));
                } else {
                    prop_assert_eq!(index.remove(&item), plain.remove(&item));
                }
            }
            for pair in at.windows(2) {
                let within = |at: usize| at % (plain.len() + 1);
                check(&index, &plain, within(pair[0]), within(pair[1]));
            }
        }
        prop_assert_eq!(all(&index), plain.iter().copied().collect::<Vec<_>>());
        // From the front, as cuts do, until nothing is left.
        while let Some(first) = plain.pop_first() {
            prop_assert!(index.remove(&first));
            prop_assert!(!index.remove(&first));
        }
        prop_assert!(index.is_empty());
        prop_assert_eq!(index.fingerprint(0, 0), plain_fingerprint(&[]));
    }
}

/// What one side learned, the questions it took, and how many fingerprints and ids were told.
struct Learned {
    ids: Vec<EntryId>,
    rounds: usize,
    fingerprints: usize,
    told_ids: usize,
}

fn count(ranges: &[Range], learned: &mut Learned) {
    assert!(within_bounds(ranges), "what we send we would take");
    for range in ranges {
        match &range.told {
            Told::Skip => {}
            Told::Fingerprint(_) => learned.fingerprints += 1,
            Told::Ids(ids) => learned.told_ids += ids.len(),
        }
    }
}

/// Asks until there is nothing more to ask. `change` alters the sets between question and answer.
fn learn(
    asker: &mut TailIndex,
    asked: &mut TailIndex,
    mut change: impl FnMut(usize, &mut TailIndex, &mut TailIndex),
) -> Learned {
    let mut learned = Learned {
        ids: Vec::new(),
        rounds: 0,
        fingerprints: 0,
        told_ids: 0,
    };
    let mut question = begin(asker);
    while !question.is_empty() {
        learned.rounds += 1;
        assert!(learned.rounds < 200, "it goes on for ever");
        count(&question, &mut learned);
        change(learned.rounds, asker, asked);
        let answer = answer(asked, &question);
        count(&answer, &mut learned);
        let heard = hear(asker, answer);
        for found in heard.found {
            learned.ids.extend(found.ids);
        }
        question = heard.question;
    }
    learned
}

/// Exactly the difference of the sets is learned.
fn check_learning(asker: &BTreeSet<TailItem>, asked: &BTreeSet<TailItem>) -> Learned {
    let learned = learn(&mut index_of(asker), &mut index_of(asked), |_, _, _| {});
    let lacking: BTreeSet<_> = asked.difference(asker).map(|item| item.id).collect();
    let ids: BTreeSet<_> = learned.ids.iter().copied().collect();
    assert!(
        ids.is_superset(&lacking),
        "{} of {}",
        ids.len(),
        lacking.len()
    );
    let held: BTreeSet<_> = asked.iter().map(|item| item.id).collect();
    assert!(ids.is_subset(&held), "ids that nobody told");
    learned
}

fn first(len: u64) -> BTreeSet<TailItem> {
    (0..len).map(|n| item(n, 10 * n)).collect()
}

#[test]
fn equal_sets_take_one_question() {
    for len in [0, 1, 8, 9, 40, 41, 72, 5_000] {
        let learned = check_learning(&first(len), &first(len));
        assert_eq!((learned.rounds, learned.ids.len()), (1, 0), "{len}");
        assert!(learned.fingerprints <= 5, "{len}: {}", learned.fingerprints);
    }
}

#[test]
fn what_is_missing_at_the_end_comes_with_the_first_answer() {
    let learned = check_learning(&first(20_000), &first(20_100));
    assert_eq!((learned.rounds, learned.ids.len()), (1, 100));
    assert_eq!(
        learned.told_ids, 108,
        "the latest eight, and what is missing"
    );
}

#[test]
fn whoever_holds_nothing_learns_everything_page_by_page() {
    let learned = check_learning(&BTreeSet::new(), &first(20_000));
    assert_eq!(learned.ids.len(), 20_000);
    assert_eq!(learned.rounds, 20_000 / RANGE_IDS_MAX + 1);
    let learned = check_learning(&first(20_000), &BTreeSet::new());
    assert_eq!((learned.rounds, learned.ids.len()), (1, 0));
}

#[test]
fn a_few_spread_over_all_are_found_without_telling_all() {
    let asked = first(50_000);
    let asker: BTreeSet<_> = asked
        .iter()
        .copied()
        .filter(|i| i.hlc.0 % 25_000 != 0)
        .collect();
    assert_eq!(asked.len() - asker.len(), 20);
    let learned = check_learning(&asker, &asked);
    assert!(learned.rounds <= 4, "{}", learned.rounds);
    assert!(learned.told_ids < 20 * 64, "{}", learned.told_ids);
    assert!(learned.fingerprints < 20 * 64, "{}", learned.fingerprints);
}

#[test]
fn more_differences_than_fit_into_a_message_take_more_rounds() {
    // Every other one is on one side only.
    let whole = first(60_000);
    let half = |rest: u64| -> BTreeSet<_> {
        whole
            .iter()
            .copied()
            .filter(|item| item.hlc.0 / 10 % 2 == rest)
            .collect()
    };
    let learned = check_learning(&half(0), &half(1));
    assert!(learned.rounds < 30, "{}", learned.rounds);
}

#[test]
fn entries_of_one_microsecond_are_told_apart() {
    let crowd: BTreeSet<_> = (0..3_000).map(|n| item(n, n / 1_000)).collect();
    let less: BTreeSet<_> = crowd.iter().copied().skip(1).step_by(3).collect();
    check_learning(&less, &crowd);
    check_learning(&crowd, &less);
}

#[test]
fn an_answer_of_lies_is_no_panic_and_costs_what_the_bounds_say() {
    let index = index_of(&first(10_000));
    let lie = |until| Range {
        until,
        told: Told::Fingerprint(RangeFingerprint([7; 16])),
    };
    // As many ranges as there may be, all of them different.
    let mut ranges: Vec<_> = (1..RANGES_MAX as u64)
        .map(|n| lie(Until::Time(Hlc(24 * n))))
        .collect();
    ranges.push(lie(Until::End));
    assert!(within_bounds(&ranges));
    for told in [answer(&index, &ranges), hear(&index, ranges).question] {
        assert!(within_bounds(&told));
        assert_eq!(
            told.last().map(|range| range.until),
            Some(Until::End),
            "the rest is left over"
        );
    }
}

#[test]
fn ranges_that_nobody_would_send_are_out_of_bounds() {
    let range = |until, told| Range { until, told };
    let ids = |len: usize| Told::Ids(vec![EntryId([1; 32]); len]);
    let (early, late) = (Until::Time(Hlc(1)), Until::Time(Hlc(2)));
    let fine = [
        range(early, Told::Skip),
        range(late, ids(0)),
        range(Until::End, ids(RANGE_IDS_MAX)),
    ];
    assert!(within_bounds(&fine) && within_bounds(&[]));
    for wrong in [
        vec![range(late, ids(0)), range(early, ids(0))],
        vec![range(late, ids(0)), range(late, ids(0))],
        vec![range(Until::End, ids(0)), range(Until::End, ids(0))],
        vec![range(early, Told::Skip)],
        vec![
            range(early, Told::Skip),
            range(late, Told::Skip),
            range(Until::End, ids(0)),
        ],
        vec![range(early, ids(1)), range(late, ids(RANGE_IDS_MAX))],
        // The same place in two spellings.
        vec![
            range(early, ids(0)),
            range(Until::Entry(Hlc(1), EntryId::ZERO), ids(0)),
        ],
    ] {
        assert!(!within_bounds(&wrong), "{wrong:?}");
    }
    let many = (0..=RANGES_MAX as u64).map(|n| range(Until::Time(Hlc(n)), ids(0)));
    assert!(!within_bounds(&many.collect::<Vec<_>>()));
}

/// Any ranges within the bounds.
fn any_ranges() -> impl Strategy<Value = Vec<Range>> {
    let told = prop_oneof![
        Just(Told::Skip),
        any::<[u8; 16]>().prop_map(|bytes| Told::Fingerprint(RangeFingerprint(bytes))),
        prop::collection::vec(0_u64..600, 0..20)
            .prop_map(|ns| Told::Ids(ns.into_iter().map(|n| item(n, 0).id).collect())),
    ];
    let until = prop_oneof![
        any::<u64>().prop_map(|hlc| Until::Time(Hlc(hlc))),
        (0_u64..700).prop_map(|hlc| Until::Time(Hlc(hlc))),
        (0_u64..700).prop_map(|n| Until::Entry(Hlc(n / 3), item(n, 0).id)),
        Just(Until::End),
    ];
    prop::collection::vec((until, told), 0..60).prop_map(|mut ranges| {
        ranges.sort_by_key(|(until, _)| (until.place().is_none(), until.place()));
        ranges.dedup_by_key(|(until, _)| until.place());
        let ranges = ranges
            .into_iter()
            .map(|(until, told)| Range { until, told });
        let mut ranges: Vec<_> = ranges.collect();
        ranges.dedup_by(|b, a| a.told == Told::Skip && b.told == Told::Skip);
        if ranges.last().is_some_and(|range| range.told == Told::Skip) {
            ranges.pop();
        }
        ranges
    })
}

fn any_sets() -> impl Strategy<Value = (BTreeSet<TailItem>, BTreeSet<TailItem>)> {
    // Who holds each entry: both, mostly, or one of the two.
    (
        1_u64..5,
        0_u8..30,
        prop::collection::vec(0_u8..100, 0..3_000),
    )
        .prop_map(|(shared, rare, whose)| {
            let (mut a, mut b) = (BTreeSet::new(), BTreeSet::new());
            for (n, whose) in (0_u64..).zip(whose) {
                let item = item(n, n / shared);
                if whose >= rare {
                    a.insert(item);
                }
                if whose < rare / 2 || whose >= rare {
                    b.insert(item);
                }
            }
            (a, b)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_sets_learn_exactly_what_they_lack((a, b) in any_sets()) {
        check_learning(&a, &b);
        check_learning(&b, &a);
    }

    #[test]
    fn sets_that_change_meanwhile_are_no_harm((a, b) in any_sets(), seed: u64) {
        let (mut asker, mut asked) = (index_of(&a), index_of(&b));
        let stable: BTreeSet<_> = b.difference(&a).map(|item| item.id).collect();
        let learned = learn(&mut asker, &mut asked, |round, asker, asked| {
            // New ones at the end and in between on both sides, and some of both go.
            let n = 10_000 + round as u64;
            asked.insert(item(n, seed % 3_000));
            asker.insert(item(n, seed % 3_000));
            asked.insert(item(n + 5_000, 5_000 + n));
            if let Some(both) = a.intersection(&b).nth(round) {
                asker.remove(both);
                asked.remove(both);
            }
        });
        let ids: BTreeSet<_> = learned.ids.into_iter().collect();
        prop_assert!(ids.is_superset(&stable), "what was there all the time is learned");
    }

    #[test]
    fn nothing_that_may_be_said_panics_or_leaves_the_bounds(ranges in any_ranges(), len in 0_u64..600) {
        prop_assert!(within_bounds(&ranges));
        let index = index_of(&(0..len).map(|n| item(n, n / 3)).collect());
        let told = answer(&index, &ranges);
        prop_assert!(within_bounds(&told));
        prop_assert!(!told.iter().any(|r| matches!(&r.told, Told::Ids(ids) if ids.is_empty())));
        prop_assert!(within_bounds(&hear(&index, ranges).question));
    }
}
