//! Random entries as members, forkers, strangers and joiners would make them.

use std::collections::BTreeSet;

use super::*;
use crate::equivocation::EquivocationProof;
use crate::fixtures::{Dice, system};
use crate::membership::{Role, prove_admission};
use crate::system_call::SystemCall;

/// Which kinds of trouble a set may have at all, drawn before how often: a set where everything
/// happens at once hides what needs one kind to be absent.
struct Trouble {
    forks: usize,
    reports: usize,
    strangers: usize,
    tickets: usize,
    ahead: usize,
    revocations: usize,
}

impl Trouble {
    fn draw(dice: &mut Dice) -> Self {
        let mut chance = |most: usize| {
            if dice.chance(50) {
                dice.below(most + 1)
            } else {
                0
            }
        };
        Self {
            forks: chance(30),
            reports: chance(25),
            strangers: chance(15),
            tickets: chance(40),
            ahead: chance(10),
            revocations: chance(30),
        }
    }
}

/// One author's knowledge while a set is made.
struct Writer {
    key: u8,
    epoch: u64,
    chain: Vec<Arc<Entry>>,
    knows: BTreeSet<EntryId>,
}

/// Makes entries as members, forkers and strangers would, each on top of what it knows.
pub(super) struct Maker {
    pub(super) birth: Birth,
    pub(super) dice: Dice,
    trouble: Trouble,
    pub(super) entries: Vec<Arc<Entry>>,
    writers: Vec<Writer>,
}

const TICKET: u8 = 200;

impl Maker {
    pub(super) fn new(birth: Birth, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let trouble = Trouble::draw(&mut dice);
        // Owner, writers, and two who are no members.
        let writers = [0, 1, 2, 3, 8, 9].map(|key| Writer {
            key,
            epoch: seed.wrapping_add(u64::from(key)),
            chain: Vec::new(),
            knows: BTreeSet::new(),
        });
        Self {
            birth,
            dice,
            trouble,
            entries: Vec::new(),
            writers: writers.into(),
        }
    }

    fn get(&self, id: &EntryId) -> &Arc<Entry> {
        self.entries.iter().find(|entry| entry.id == *id).unwrap()
    }

    /// What an author knows now: with each entry its ancestors.
    fn learn(&mut self, writer: usize, id: EntryId) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let held = self.entries.iter().any(|entry| entry.id == id);
            if held && self.writers[writer].knows.insert(id) {
                stack.extend(self.get(&id).header.parents.clone());
            }
        }
    }

    pub(super) fn step(&mut self) {
        let outsider = self.dice.chance(self.trouble.strangers);
        let writer = if outsider {
            4 + self.dice.below(2)
        } else {
            self.dice.below(4)
        };
        for _ in 0..self.dice.below(3) {
            if !self.entries.is_empty() {
                let id = self.entries[self.dice.below(self.entries.len())].id;
                self.learn(writer, id);
            }
        }
        let entry = self.write(writer);
        let admitted = entry.system_calls().find_map(|(_, call)| match call {
            SystemCall::Admit { member, .. } => Some(member),
            _ => None,
        });
        let id = entry.id;
        if self.entries.iter().all(|known| known.id != id) {
            self.entries.push(entry);
        }
        self.learn(writer, id);
        // Who was admitted often hears of it before it writes.
        for joiner in 4..6 {
            let is_it = admitted == Some(key(self.writers[joiner].key).public());
            if is_it && self.dice.chance(80) {
                self.learn(joiner, id);
                self.trouble.strangers = self.trouble.strangers.max(20);
            }
        }
    }

    fn write(&mut self, writer: usize) -> Arc<Entry> {
        let fork = self.dice.chance(self.trouble.forks);
        let restart = self.dice.chance(3);
        let Writer {
            key: number,
            chain,
            knows,
            ..
        } = &mut self.writers[writer];
        if restart {
            chain.clear();
        } else if fork && !chain.is_empty() {
            let keep = self.dice.below(chain.len());
            chain.truncate(keep);
        }
        let (number, previous) = (*number, chain.last().cloned());
        let seq = chain.len() as u64;
        let known: Vec<Arc<Entry>> = self
            .entries
            .iter()
            .filter(|entry| knows.contains(&entry.id))
            .cloned()
            .collect();
        let epoch = if restart {
            self.dice.draw() | 1
        } else {
            self.writers[writer].epoch | 1
        };
        self.writers[writer].epoch = epoch;

        let mut parents: BTreeSet<EntryId> = previous.iter().map(|entry| entry.id).collect();
        for _ in 0..1 + self.dice.below(3) {
            if !known.is_empty() {
                parents.insert(known[self.dice.below(known.len())].id);
            }
        }
        if parents.is_empty() {
            parents.insert(self.birth.genesis.id);
        }
        let of = |id: &EntryId| {
            known
                .iter()
                .find(|entry| entry.id == *id)
                .or(previous.as_ref())
        };
        let times = parents.iter().filter_map(of).map(|entry| entry.last_time());
        let latest = times.max().unwrap_or(BIRTH);
        let bases = parents
            .iter()
            .filter_map(of)
            .map(|entry| entry.header.base.height);
        let lowest = bases.max().unwrap_or(0);
        // Not everybody has heard of the last cut.
        let base = lowest.max(
            self.birth
                .cut
                .height
                .saturating_sub(self.dice.below(2) as u64),
        );
        let ahead = if self.dice.chance(self.trouble.ahead) {
            100_000_000
        } else {
            0
        };
        let body = self.body(&known, number);
        let draft = Draft {
            database: self.birth.database,
            epoch,
            seq,
            parents: parents.into_iter().collect(),
            hlc: Hlc(latest.0 + 1 + self.dice.below(50) as u64 + ahead),
            stride: 1,
            base: CutRef {
                term: Term::FIRST,
                height: base,
                id: self.birth.cuts[&base],
            },
        };
        let entry = Arc::new(Entry::seal(draft, body, &key(number)).unwrap());
        self.writers[writer].chain.push(Arc::clone(&entry));
        entry
    }

    fn body(&mut self, known: &[Arc<Entry>], author: u8) -> Body {
        if self.dice.chance(self.trouble.reports)
            && let Some(proof) = find_fork(known, &mut self.dice)
        {
            return system(&[SystemCall::ReportEquivocation(Box::new(proof))]);
        }
        if self.dice.chance(self.trouble.revocations) {
            let member = [0, 1, 2, 3, 2, 3, 8, 9][self.dice.below(8)];
            let member = key(member).public();
            let roles = [Role::Admin, Role::Gateway, Role::Writer, Role::Reader];
            let role = roles[self.dice.below(4)];
            return system(&[match self.dice.below(8) {
                0 => SystemCall::TransferOwnership { to: member },
                1..4 => SystemCall::RemoveMember { member },
                _ => SystemCall::SetRole { member, role },
            }]);
        }
        if self.dice.chance(self.trouble.tickets) {
            let ticket = key(TICKET + u8::try_from(self.dice.below(2)).unwrap());
            let role = if self.dice.chance(80) {
                Role::Writer
            } else {
                Role::Reader
            };
            let expires = if self.dice.chance(80) { NOW } else { BIRTH };
            let invite = SystemCall::Invite {
                ticket: ticket.public(),
                role,
                uses: 1,
                expires,
            };
            let member = key(8 + u8::try_from(self.dice.below(2)).unwrap()).public();
            let proof = prove_admission(&ticket, &self.birth.database, &member);
            let admit = SystemCall::Admit {
                member,
                ticket: ticket.public(),
                proof,
            };
            return match self.dice.below(3) {
                0 => system(&[invite]),
                1 => system(&[admit]),
                _ if author == 0 => system(&[invite, admit]),
                _ => system(&[SystemCall::ClientConnected]),
            };
        }
        calls(1 + self.dice.below(3))
    }
}

fn find_fork(known: &[Arc<Entry>], dice: &mut Dice) -> Option<EquivocationProof> {
    let mut forks = Vec::new();
    for (number, a) in known.iter().enumerate() {
        for b in &known[..number] {
            let place = |e: &Entry| (e.header.author, e.header.epoch, e.header.seq);
            if place(a) == place(b) {
                forks.push(EquivocationProof::of(a, b));
            }
        }
    }
    (!forks.is_empty()).then(|| forks.swap_remove(dice.below(forks.len())))
}
