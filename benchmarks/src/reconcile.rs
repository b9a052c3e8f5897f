//! Two long tails of which each side lacks a little: what is said until both hold the same, beside
//! the entries themselves, and what that costs each side.
//!
//! The two conversations are the real ones, and so is the index of the tail. Made up are the
//! entries (an id and a time, unsigned, 300 bytes as they travel), who holds them (a map instead of
//! a graph and a log), the chains, and the heads: the latest entry, with the sum of all ids as the
//! hash. So the figures are the reconciliation's, without checking and storing what arrives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use sync_protocol::ids::CutId;
use sync_protocol::message::{Answer, Want};
use sync_protocol::{
    AddressRecord, BlobHash, Bulk, ChainTip, Conversation, ConversationEffect, ConversationInput,
    CutRef, DatabaseId, DeviceKey, EntryId, EquivocationProof, HeadsHash, Hlc, Holdings, Message,
    Now, TailIndex, TailItem, Term, Tick,
};

use crate::arguments::Options;
use crate::clock::instant;
use crate::dice::Dice;
use crate::report::{Better, Row};
use crate::resident;

/// Chains of the tail: more than are told one by one.
const CHAINS: u64 = 1_000;

/// An entry as it travels.
const ENTRY_BYTES: usize = 300;

/// Effects of one side that lead to no message: enough for any case, and a loop ends.
const STEPS_MAX: usize = 1_000_000;

const DATABASE: DatabaseId = DatabaseId([7; 32]);

/// What a side holds.
#[derive(Default)]
struct Tail {
    index: TailIndex,
    times: BTreeMap<EntryId, Hlc>,
    sum: [u8; 32],
    latest: Option<TailItem>,
    chains: Vec<ChainTip>,
}

impl Tail {
    fn of(items: impl Iterator<Item = TailItem>) -> Self {
        let mut tail = Self::default();
        let chain = |n: u64| ChainTip {
            author: DeviceKey([1; 32]),
            epoch: n,
            next_seq: 1,
        };
        tail.chains = (0..CHAINS).map(chain).collect();
        items.for_each(|item| tail.take(item));
        tail
    }

    fn take(&mut self, item: TailItem) {
        if self.index.insert(item) {
            self.times.insert(item.id, item.hlc);
            self.latest = self.latest.max(Some(item));
            for (sum, byte) in self.sum.iter_mut().zip(item.id.0) {
                *sum ^= byte;
            }
        }
    }
}

/// An entry's bytes: id, time, nothing.
fn encoded(item: TailItem) -> Vec<u8> {
    let mut bytes = [&item.id.0[..], &item.hlc.0.to_le_bytes()].concat();
    bytes.resize(ENTRY_BYTES, 0);
    bytes
}

fn decoded(bytes: &[u8]) -> Option<TailItem> {
    let (id, rest) = bytes.split_first_chunk()?;
    let (hlc, _) = rest.split_first_chunk()?;
    Some(TailItem {
        hlc: Hlc(u64::from_le_bytes(*hlc)),
        id: EntryId(*id),
    })
}

impl Holdings for Tail {
    fn cut(&self) -> Option<CutRef> {
        Some(CutRef {
            term: Term::FIRST,
            height: 1,
            id: CutId([1; 32]),
        })
    }

    fn cut_at(&self, height: u64) -> Option<CutRef> {
        self.cut().filter(|cut| cut.height == height)
    }

    fn heads_hash(&self) -> HeadsHash {
        HeadsHash(self.sum)
    }

    fn heads(&self) -> Vec<EntryId> {
        self.latest.iter().map(|item| item.id).collect()
    }

    fn cut_bytes(&self, _height: u64) -> Option<Vec<u8>> {
        None
    }

    fn segment_entries(&self, _height: u64, _from: u32, _max: usize) -> (Vec<Vec<u8>>, bool) {
        (Vec::new(), false)
    }

    fn entry_bytes(&self, id: &EntryId) -> Option<Arc<[u8]>> {
        let (id, hlc) = (*id, *self.times.get(id)?);
        Some(encoded(TailItem { hlc, id }).into())
    }

    fn holds(&self, id: &EntryId) -> bool {
        self.times.contains_key(id)
    }

    fn chains(&self) -> Vec<ChainTip> {
        self.chains.clone()
    }

    fn entries_beyond(&self, _tips: &[ChainTip], _max: usize) -> (Vec<Arc<[u8]>>, bool) {
        (Vec::new(), false)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        Vec::new()
    }

    fn tail_index(&self) -> Option<&TailIndex> {
        Some(&self.index)
    }

    fn is_pulled(&self, _bulk: &Bulk, _now: Tick) -> bool {
        false
    }

    fn blob_chunk(&self, _hash: &BlobHash, _offset: u64) -> Option<(u64, Vec<u8>)> {
        None
    }

    fn is_member(&self, _remote: &DeviceKey) -> bool {
        true
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        Vec::new()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        Vec::new()
    }

    fn blob_offset(&self, _hash: &BlobHash) -> u64 {
        0
    }

    fn address_records(&self) -> Vec<Arc<AddressRecord>> {
        Vec::new()
    }

    fn wanted_bodies(&self, _remote: &DeviceKey) -> Vec<(EntryId, u32)> {
        Vec::new()
    }

    fn body_offset(&self, _entry: &EntryId) -> u64 {
        0
    }
}

/// One side, and what its conversation took.
struct Side {
    link: Conversation,
    tail: Tail,
    busy: Duration,
    wake: Option<Tick>,
}

/// What was said.
#[derive(Default)]
struct Said {
    /// Bytes of all frames without the entries in them.
    bytes: usize,
    /// Questions about ranges, of each side.
    reconcile: [u32; 2],
    /// Questions for entries by id, of each side.
    entries: [u32; 2],
}

impl Said {
    fn note(&mut self, from: usize, message: &Message) {
        let entries = |entries: &[Vec<u8>]| entries.iter().map(Vec::len).sum::<usize>();
        let carried = match message {
            Message::Push { entries: e, .. } => entries(e),
            Message::Answer {
                answer: Answer::Entries { entries: e, .. },
                ..
            } => entries(e),
            _ => 0,
        };
        self.bytes += message.encode(&DATABASE).len() - carried;
        match message {
            Message::Want {
                want: Want::Reconcile { .. },
                ..
            } => self.reconcile[from] += 1,
            Message::Want {
                want: Want::Entries { .. },
                ..
            } => self.entries[from] += 1,
            _ => {}
        }
    }
}

impl Side {
    fn new(remote: u8, tail: Tail) -> Self {
        Self {
            link: Conversation::new(DeviceKey([remote; 32]), DATABASE),
            tail,
            busy: Duration::ZERO,
            wake: None,
        }
    }

    /// What it says to an input, entries that come with it taken in.
    fn step(&mut self, tick: Tick, input: ConversationInput<'_>) -> anyhow::Result<Vec<Message>> {
        let now = Now {
            tick,
            wall: tick.0 + 1_700_000_000_000_000,
        };
        let mut said = Vec::new();
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let start = instant();
            let effects = self.link.step(now, next, &self.tail);
            self.busy += start.elapsed();
            for effect in effects {
                match effect {
                    ConversationEffect::Send(message) => said.push(message),
                    ConversationEffect::WakeAt(at) => self.wake = Some(at),
                    ConversationEffect::Entries(entries) => {
                        let items = entries.iter().filter_map(|entry| decoded(entry));
                        items.for_each(|item| self.tail.take(item));
                        input = Some(ConversationInput::Ingested {
                            missing: &[],
                            cut_missing: false,
                            apart: false,
                        });
                    }
                    ConversationEffect::Misbehaved(why) | ConversationEffect::Silent(why) => {
                        anyhow::bail!("an honest remote is blamed: {why}")
                    }
                    _ => {}
                }
            }
        }
        Ok(said)
    }
}

/// Lets the two talk until both know that they hold the same. Messages take no time.
fn equalise(sides: &mut [Side; 2]) -> anyhow::Result<Said> {
    let mut said = Said::default();
    let mut tick = Tick(1_000_000);
    let mut under_way = VecDeque::new();
    for (at, side) in sides.iter_mut().enumerate() {
        let messages = side.step(tick, ConversationInput::Opened)?;
        under_way.extend(messages.into_iter().map(|message| (1 - at, message)));
    }
    for _ in 0..STEPS_MAX {
        let (to, input) = if let Some((to, message)) = under_way.pop_front() {
            said.note(1 - to, &message);
            (to, ConversationInput::Received(message))
        } else if sides.iter().all(|side| side.link.in_sync()) {
            let [a, b] = sides;
            anyhow::ensure!(a.tail.index.len() == b.tail.index.len(), "not equal");
            return Ok(said);
        } else {
            let due = (0..2).filter_map(|at| Some((sides[at].wake?, at))).min();
            let (at, to) = due.context("somebody waits for something")?;
            tick = tick.max(at);
            sides[to].wake = None;
            (to, ConversationInput::Wake)
        };
        let messages = sides[to].step(tick, input)?;
        under_way.extend(messages.into_iter().map(|message| (1 - to, message)));
    }
    anyhow::bail!("they never come to an end")
}

fn items(count: u64) -> Vec<TailItem> {
    let mut dice = Dice(11);
    let item = |n: u64| TailItem {
        hlc: Hlc(1_700_000_000_000_000 + 1_000 * n),
        id: EntryId(dice.bytes()),
    };
    (0..count).map(item).collect()
}

/// Which entries are missing on the first side, and which on the second.
struct Case {
    name: &'static str,
    missing: fn(u64, u64) -> (bool, bool),
    goals: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "identical",
        missing: |_, _| (false, false),
        goals: false,
    },
    Case {
        name: "100 missing at the end",
        missing: |n, count| (n + 100 >= count, false),
        goals: true,
    },
    Case {
        name: "50 + 50 spread over all",
        missing: |n, count| {
            let (every, half) = (count / 50, count / 100);
            (n % every == 7, n % every == half + 7)
        },
        goals: false,
    },
    Case {
        name: "10,000 missing at the end",
        missing: |n, count| (n + 10_000 >= count, false),
        goals: false,
    },
];

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let count = options.amount(1_000_000);
    let all = items(count);
    let mut rows = vec![];
    memory(&all, &mut rows)?;
    for case in CASES {
        let first = |n: &u64| !(case.missing)(*n, count).0;
        let second = |n: &u64| !(case.missing)(*n, count).1;
        let held = |keep: &dyn Fn(&u64) -> bool| {
            let kept = (0..count).zip(&all).filter(|(n, _)| keep(n));
            kept.map(|(_, item)| *item).collect::<Vec<_>>()
        };
        let (ours, theirs) = (held(&first), held(&second));
        let mut sides = [
            Side::new(2, Tail::of(ours.iter().copied())),
            Side::new(1, Tail::of(theirs.iter().copied())),
        ];
        let said = equalise(&mut sides)?;
        let name = |what: &str| format!("{}: {what}", case.name);
        // The two sides ask at the same time, so the slower one counts.
        let of = |at: usize| said.reconcile[at] + said.entries[at];
        let trips = f64::from(of(0).max(of(1)));
        if case.goals {
            let bytes = said.bytes as f64;
            rows.push(Row::new(
                name("said"),
                bytes,
                "bytes",
                Better::Less,
                10_000.0,
            ));
            rows.push(Row::new(name("round trips"), trips, "", Better::Less, 3.0));
        } else {
            rows.push(Row::note(name("said"), said.bytes as f64, "bytes"));
            rows.push(Row::note(name("round trips"), trips, ""));
        }
        let about = f64::from(said.reconcile[0].max(said.reconcile[1]));
        rows.push(Row::note(name("round trips about ranges"), about, ""));
        for (side, who) in sides.iter().zip(["first", "second"]) {
            let ms = side.busy.as_secs_f64() * 1e3;
            rows.push(Row::note(name(&format!("busy, {who} side")), ms, "ms"));
        }
        rival(&case, &ours, &theirs, &mut rows)?;
    }
    Ok(rows)
}

/// The index alone: making it, and its memory.
fn memory(all: &[TailItem], rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let before = resident::own()?.anonymous;
    let start = instant();
    let mut index = TailIndex::default();
    for item in all {
        index.insert(*item);
    }
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let bytes = (resident::own()?.anonymous - before) * 1_048_576.0;
    let len = index.len() as f64;
    rows.push(Row::note("index: memory of an entry", bytes / len, "bytes"));
    rows.push(Row::note("index: inserting an entry", ms * 1e6 / len, "ns"));
    Ok(())
}

/// The crate `negentropy` with its sealed vector, which is made anew after every change: asking
/// one way, so where both sides lack something it is one half of what ours says.
fn rival(
    case: &Case,
    ours: &[TailItem],
    theirs: &[TailItem],
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let failed = |error: negentropy::Error| anyhow::anyhow!("negentropy: {error}");
    let sealed = |items: &[TailItem]| -> Result<_, negentropy::Error> {
        let mut vector = NegentropyStorageVector::with_capacity(items.len());
        for item in items {
            vector.insert(item.hlc.0, Id::from_byte_array(item.id.0))?;
        }
        vector.seal()?;
        Ok(vector)
    };
    let start = instant();
    let ours = sealed(ours).map_err(failed)?;
    let making = start.elapsed().as_secs_f64() * 1e3;
    let theirs = sealed(theirs).map_err(failed)?;
    let mut asker = Negentropy::borrowed(&ours, 0).map_err(failed)?;
    let mut asked = Negentropy::borrowed(&theirs, 0).map_err(failed)?;
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let (mut bytes, mut trips) = (0, 0.0);
    let start = instant();
    let mut question = Some(asker.initiate().map_err(failed)?);
    while let Some(next) = question {
        let answer = asked.reconcile(&next).map_err(failed)?;
        bytes += next.len() + answer.len();
        trips += 1.0;
        let next = asker.reconcile_with_ids(&answer, &mut have, &mut need);
        question = next.map_err(failed)?;
    }
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let name = |what: &str| format!("{}, negentropy crate: {what}", case.name);
    rows.push(Row::note(name("said"), bytes as f64, "bytes"));
    rows.push(Row::note(name("round trips"), trips, ""));
    rows.push(Row::note(name("busy, both"), ms, "ms"));
    rows.push(Row::note(name("sealing"), making, "ms"));
    Ok(())
}
