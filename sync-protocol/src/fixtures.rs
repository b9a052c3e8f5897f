//! What the tests of several modules start from.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::cut::{Cut, CutDraft, CutRef, Term, order_root};
use crate::dag::{Dag, FinalEntry, Finals, Ordered};
use crate::entry::{Body, CallName, Caller, Draft, Entry, Invocation};
use crate::ids::{BlobHash, ConnectionId, CutId, DatabaseId, DeviceKey, EntryId, StateRoot};
use crate::keys::SecretKey;
use crate::membership::Rights;
use crate::system_call::{Genesis, Options, SystemCall};
use crate::time::Hlc;

/// SplitMix64: tiny, and ours, so no library upgrade can change an old seed's meaning.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % end as u64).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i + 1));
        }
    }
}

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

pub(crate) fn caller() -> Caller {
    Caller {
        issuer: "issuer".to_owned(),
        subject: "subject".to_owned(),
        claims: String::new(),
    }
}

/// `count` calls of one reducer.
pub(crate) fn calls(count: usize) -> Body {
    let call = |number: usize| Invocation {
        name: 0,
        caller: 0,
        connection: ConnectionId([9; 16]),
        args: number.to_le_bytes()[..4].to_vec(),
    };
    Body {
        names: vec![CallName {
            name: "add".to_owned(),
            arguments_type: [1; 8],
        }],
        callers: vec![caller()],
        invocations: (0..count).map(call).collect(),
    }
}

/// System calls and nothing else.
pub(crate) fn system(calls: &[SystemCall]) -> Body {
    let call = |call: &SystemCall| Invocation {
        name: 0,
        caller: 0,
        connection: ConnectionId::ZERO,
        args: call.encode(),
    };
    Body {
        names: vec![CallName::system()],
        callers: vec![caller()],
        invocations: calls.iter().map(call).collect(),
    }
}

pub(crate) fn genesis_call(finalisers: Vec<DeviceKey>) -> Genesis {
    Genesis {
        name: "chat".to_owned(),
        module: BlobHash([3; 32]),
        module_len: 1_000,
        engine: 1,
        options: Options {
            sequential_auto_inc: false,
            memory_bytes_max: 64 << 20,
            units_per_invocation: 1_000_000_000,
            units_per_entry: 2_000_000_000,
            call_depth_max: 1_000,
        },
        finalisers,
        recovery_keys: vec![DeviceKey([4; 32])],
    }
}

/// A database at its birth, owned and finalised by `key(0)`, and what is final in it since.
#[derive(Clone)]
pub(crate) struct Birth {
    pub(crate) database: DatabaseId,
    pub(crate) genesis: Arc<Entry>,
    pub(crate) cut: Cut,
    pub(crate) covered: BTreeMap<EntryId, FinalEntry>,
    pub(crate) cuts: BTreeMap<u64, CutId>,
}

/// Time of the genesis entry.
pub(crate) const BIRTH: Hlc = Hlc(1_000_000);

impl Birth {
    pub(crate) fn new() -> Self {
        let owner = key(0);
        let genesis = genesis_call(vec![owner.public()]);
        let genesis =
            Arc::new(Entry::genesis([5; 32], 7, BIRTH, caller(), genesis, &owner).unwrap());
        let database = genesis.database();
        let draft = CutDraft {
            database,
            term: Term::FIRST,
            height: 0,
            parent: CutId::ZERO,
            engine: 1,
            frontier: vec![genesis.id],
            order_root: order_root(&[genesis.id]),
            state_root: StateRoot([6; 32]),
            finalisers: vec![owner.public()],
        };
        let cut = Cut::seal(draft, &owner).unwrap();
        let mut birth = Self {
            database,
            genesis: Arc::clone(&genesis),
            cut: cut.clone(),
            covered: BTreeMap::new(),
            cuts: BTreeMap::new(),
        };
        birth.cover(
            &cut,
            &[Ordered {
                entry: Arc::clone(genesis.stub()),
                struck: None,
            }],
        );
        birth
    }

    pub(crate) fn base(&self) -> CutRef {
        self.cut.reference()
    }

    pub(crate) fn dag(&self, rights: Rights) -> Dag {
        Dag::new(
            self.database,
            self.cut.reference(),
            self.cut.frontier.clone(),
            rights,
        )
    }

    /// The next cut over `frontier`.
    pub(crate) fn next_cut(&self, frontier: Vec<EntryId>, segment: &[Ordered]) -> Cut {
        self.next_cut_in(self.cut.term, frontier, segment)
    }

    /// The same, of another term than the last one.
    pub(crate) fn next_cut_in(
        &self,
        term: Term,
        frontier: Vec<EntryId>,
        segment: &[Ordered],
    ) -> Cut {
        let ids: Vec<EntryId> = segment.iter().map(|ordered| ordered.entry.id).collect();
        let draft = CutDraft {
            database: self.database,
            term,
            height: self.cut.height + 1,
            parent: self.cut.id(),
            engine: 1,
            frontier,
            order_root: order_root(&ids),
            state_root: StateRoot([6; 32]),
            finalisers: vec![key(0).public()],
        };
        Cut::seal(draft, &key(0)).unwrap()
    }

    /// Remembers what a cut covers.
    pub(crate) fn cover(&mut self, cut: &Cut, segment: &[Ordered]) {
        for Ordered { entry, .. } in segment {
            let header = &entry.header;
            let covered = FinalEntry {
                author: header.author,
                epoch: header.epoch,
                seq: header.seq,
                last_time: entry.last_time(),
                base_term: header.base.term,
                base_height: header.base.height,
                height: cut.height,
            };
            self.covered.insert(entry.id, covered);
        }
        self.cuts.insert(cut.height, cut.id());
        self.cut = cut.clone();
    }
}

impl Finals for Birth {
    fn final_entry(&self, id: &EntryId) -> Option<FinalEntry> {
        self.covered.get(id).copied()
    }
}

/// Drafts entries of one author one after the other.
pub(crate) struct Author {
    pub(crate) key: SecretKey,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) previous: Option<EntryId>,
    pub(crate) last_time: Hlc,
}

impl Author {
    pub(crate) fn new(number: u8) -> Self {
        let (seq, previous, last_time) = (0, None, BIRTH);
        Self {
            key: key(number),
            epoch: u64::from(number),
            seq,
            previous,
            last_time,
        }
    }

    pub(crate) fn public(&self) -> DeviceKey {
        self.key.public()
    }

    /// The next entry, on top of `parents` and its own previous one, `later` microseconds after
    /// the latest of them.
    pub(crate) fn write(
        &mut self,
        birth: &Birth,
        parents: &[&Entry],
        later: u64,
        body: Body,
    ) -> Arc<Entry> {
        let latest = parents.iter().map(|parent| parent.last_time()).max();
        let latest = latest.unwrap_or(BIRTH).max(self.last_time);
        let mut ids: Vec<EntryId> = parents.iter().map(|parent| parent.id).collect();
        ids.extend(self.previous);
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            ids.push(birth.genesis.id);
        }
        let draft = Draft {
            database: birth.database,
            epoch: self.epoch,
            seq: self.seq,
            parents: ids,
            hlc: Hlc(latest.0 + later),
            stride: 2,
            base: birth.base(),
        };
        let entry = Arc::new(Entry::seal(draft, body, &self.key).unwrap());
        self.seq += 1;
        self.previous = Some(entry.id);
        self.last_time = entry.last_time();
        entry
    }
}
