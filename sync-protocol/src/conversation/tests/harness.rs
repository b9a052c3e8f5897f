//! A network with a clock, from one seed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ConversationInput;
use super::founding::found;
use super::peer::{Peer, Sent};
use crate::ids::DeviceKey;
use crate::keys::SecretKey;
use crate::message::{Message, Want};
use crate::time::{Now, Tick};

/// SplitMix64 (Steele, Lea and Flood 2014): ours, so that a seed means the same for ever.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What may happen to a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) lose_percent: u64,
    pub(super) double_percent: u64,
    pub(super) delay_us: u64,
    /// How fast a link is, each way; 0: as fast as can be.
    pub(super) bytes_per_s: u64,
}

pub(super) struct Mesh {
    pub(super) peers: Vec<Peer>,
    pub(super) now: Tick,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    /// Frames on their way, by the time at which they arrive.
    flying: BTreeMap<(Tick, u64), (usize, usize, Vec<u8>)>,
    /// Until when each direction of a slow link is taken.
    busy: BTreeMap<(usize, usize), Tick>,
    /// Pairs of peers between which nothing gets through.
    pub(super) cut_off: BTreeSet<(usize, usize)>,
    launched: u64,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// How often each kind of question was asked, answered or not.
    pub(super) asked: BTreeMap<&'static str, u64>,
}

pub(super) fn kind(want: &Want) -> &'static str {
    match want {
        Want::Beyond { .. } => "beyond",
        Want::Reconcile { .. } => "reconcile",
        Want::Ids { .. } => "ids",
        Want::Entries { .. } => "entries",
        _ => "other",
    }
}

pub(super) const WALL_START_US: u64 = 1_700_000_000_000_000;

pub(super) fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

impl Mesh {
    /// `founders` peers that hold the genesis, and `joiners` that hold nothing.
    pub(super) fn new(seed: u64, founders: u8, joiners: u8, blob: &[u8]) -> Self {
        let keys: Vec<_> = (1..=founders + joiners).map(secret).collect();
        let devices: Vec<_> = keys[..founders.into()]
            .iter()
            .map(SecretKey::public)
            .collect();
        let (genesis, cut) = found(&keys, blob);
        let peers = keys.into_iter().enumerate().map(|(at, key)| {
            let mut peer = Peer::joining(key, genesis.id.into(), &devices);
            if at < founders.into() {
                peer.begin(std::sync::Arc::clone(&genesis), cut.clone());
                peer.held
                    .blobs
                    .insert(crate::ids::BlobHash::of(blob), blob.to_vec());
            }
            peer
        });
        Self {
            peers: peers.collect(),
            now: Tick(1_000_000),
            dice: Dice(seed),
            faults: Faults::default(),
            flying: BTreeMap::new(),
            busy: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            launched: 0,
            frames: 0,
            bytes: 0,
            asked: BTreeMap::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            tick: self.now,
            wall: WALL_START_US + self.now.0,
        }
    }

    pub(super) fn device(&self, at: usize) -> DeviceKey {
        self.peers[at].device()
    }

    fn index(&self, device: &DeviceKey) -> usize {
        let at = self.peers.iter().position(|peer| peer.device() == *device);
        at.expect("a peer of this mesh")
    }

    pub(super) fn link(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let (now, remote) = (self.now(), self.device(to));
            let sent = self.peers[from].open(now, remote);
            self.launch(from, sent);
        }
    }

    pub(super) fn link_all(&mut self) {
        for a in 0..self.peers.len() {
            for b in 0..a {
                self.link(a, b);
            }
        }
    }

    /// Loses the link and what was on its way over it.
    pub(super) fn unlink(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let remote = self.device(to);
            self.peers[from].links.remove(&remote);
            self.peers[from].wakes.remove(&remote);
            self.flying.retain(|_, (f, t, _)| (*f, *t) != (from, to));
            self.busy.remove(&(from, to));
        }
    }

    pub(super) fn launch(&mut self, from: usize, sent: Vec<Sent>) {
        for Sent { to, frame } in sent {
            let to = self.index(&to);
            self.frames += 1;
            self.bytes += frame.len() as u64;
            if let Ok((_, Message::Want { want, .. })) = Message::decode(&frame) {
                *self.asked.entry(kind(&want)).or_default() += 1;
            }
            if self.cut_off.contains(&(from, to)) || self.dice.percent(self.faults.lose_percent) {
                continue;
            }
            let copies = 1 + u64::from(self.dice.percent(self.faults.double_percent));
            for _ in 0..copies {
                // The number keeps the order of frames that take equally long.
                let flight = 1_000 + self.dice.below(self.faults.delay_us + 1);
                let at = Tick(self.sent_at(from, to, frame.len()).0 + flight);
                self.launched += 1;
                self.flying
                    .insert((at, self.launched), (from, to, frame.clone()));
            }
        }
    }

    /// When a frame is off: a slow link sends one after the other.
    fn sent_at(&mut self, from: usize, to: usize, bytes: usize) -> Tick {
        let Some(us_per_kib) = 1_024_000_000_u64.checked_div(self.faults.bytes_per_s) else {
            return self.now;
        };
        let busy = self.busy.entry((from, to)).or_default();
        let start = self.now.max(*busy);
        *busy = Tick(start.0 + us_per_kib * bytes as u64 / 1_024);
        *busy
    }

    pub(super) fn write(&mut self, at: usize, args: Vec<u8>) {
        let now = self.now();
        let sent = self.peers[at].write(now, args);
        self.launch(at, sent);
    }

    pub(super) fn cut(&mut self) {
        let now = self.now();
        let sent = self.peers[0].cut(now);
        self.launch(0, sent);
    }

    /// Lets time pass until something happens, at most until `end`. False: nothing did.
    fn step(&mut self, end: Tick) -> bool {
        let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
        let wakes = self.peers.iter().enumerate().flat_map(|(at, peer)| {
            let wakes = peer.wakes.iter();
            wakes.map(move |(remote, due)| (*due, at, *remote))
        });
        let wake = wakes.min();
        let wake_at = wake.map(|(due, ..)| due);
        let digests = self.peers.iter().enumerate();
        let digest = digests
            .filter_map(|(at, peer)| Some((peer.digested.due()?, at)))
            .min();
        let digest_at = digest.map(|(due, _)| due);
        let Some(next) = [arrival, wake_at, digest_at].into_iter().flatten().min() else {
            return false;
        };
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, (from, to, frame)) = self.flying.pop_first().expect("seen above");
            let (now, remote) = (self.now(), self.device(from));
            let sent = self.peers[to].hear(now, remote, &frame);
            self.launch(to, sent);
        } else if let Some((due, at)) = digest
            && due == next
        {
            let now = self.now();
            let sent = self.peers[at].digest(now);
            self.launch(at, sent);
        } else if let Some((_, at, remote)) = wake {
            self.peers[at].wakes.remove(&remote);
            let now = self.now();
            let sent = self.peers[at].tell(now, remote, ConversationInput::Wake);
            self.launch(at, sent);
        }
        true
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until everybody holds the same and knows it; the milliseconds it took.
    pub(super) fn settle(&mut self, ms_max: u64) -> u64 {
        let start = self.now;
        let end = start.plus_ms(ms_max);
        while !self.settled() {
            assert!(
                self.step(end),
                "not equal after {ms_max} ms: {}",
                self.describe()
            );
        }
        self.now.since(start) / 1_000
    }

    pub(super) fn settled(&self) -> bool {
        let first = &self.peers[0].held;
        let same = |peer: &Peer| {
            use super::super::Holdings as _;
            peer.held.cut() == first.cut() && peer.held.heads_hash() == first.heads_hash()
        };
        let in_sync = |peer: &Peer| peer.links.values().all(|link| link.in_sync());
        self.peers.iter().all(|peer| same(peer) && in_sync(peer))
    }

    pub(super) fn describe(&self) -> String {
        use super::super::Holdings as _;
        let describe = |peer: &Peer| {
            format!(
                "\n  cut {:?} heads {:?} tail {} links {:?}",
                peer.held.cut().map(|cut| cut.height),
                peer.held.heads_hash(),
                peer.held.dag.as_ref().map_or(0, crate::dag::Dag::len),
                peer.links
                    .values()
                    .map(|link| (link.in_sync(), link))
                    .collect::<Vec<_>>(),
            )
        };
        self.peers.iter().map(describe).collect()
    }
}
