//! A member that writes far more than its share: every entry is valid, there are only too many, or
//! their calls take too long. Others hold them back, and go on.

use std::sync::Arc;

use peer_core::{Input, Quotas, Share};
use sync_protocol::{DatabaseId, Draft, Entry, Hlc, Message, travelling};

use super::World;
use super::rogues::{FORGED, SAYING, find};

/// Entries of one deluge, of one call each.
const MANY: u64 = 250;

/// Entries of one that is to take time, and how often each says its saying.
const LONG: (u64, usize) = (20, 100);

/// Deluges of a world, and again on a good day: what others hold back has to run in the end, in its
/// time.
const DELUGES_MAX: u64 = 16;

/// Entries that one message carries.
const PER_MESSAGE: usize = 100;

/// What peers do for each other where somebody writes so much: more than anybody else in such a
/// world ever writes, and so little that a deluge is over it.
pub(crate) fn quotas() -> Quotas {
    Quotas {
        entries: Share {
            at_once: 150,
            per_second: 60,
        },
        units: Share {
            at_once: 5_000_000,
            per_second: 2_000_000,
        },
        held_entries_max: 600,
        ..Quotas::default()
    }
}

impl World {
    /// Whatever was written before, the liar has more to write.
    pub(crate) fn write_more(&mut self) {
        self.rogues.deluges = 0;
    }

    /// The liar writes far too much, for one peer or for all. False if it has nothing to say.
    pub(crate) fn deluge(&mut self, victims: &[usize]) -> bool {
        let liar = self.nodes.len() - 1;
        let Ok(database) = self.database.parse::<DatabaseId>() else {
            return false;
        };
        let entries = self.too_many(liar);
        self.say(format_args!(
            "{liar} writes {} entries to {victims:?}",
            entries.len()
        ));
        let remote = self.nodes[liar].device;
        for to in victims.iter().copied().filter(|to| *to != liar) {
            for some in entries.chunks(PER_MESSAGE) {
                let travel = some
                    .iter()
                    .map(|entry| travelling(entry.encoded()).to_vec());
                let push = Message::Push {
                    entries: travel.collect(),
                    forwarded: false,
                };
                self.counts.lies += 1;
                let bytes = push.encode(&database);
                self.input(to, Input::Message { remote, bytes });
            }
        }
        !entries.is_empty()
    }

    /// A chain of the liar's that says what it said before, again and again.
    fn too_many(&mut self, liar: usize) -> Vec<Arc<Entry>> {
        let now_us = self.nodes[liar].clock.now(self.now_us).wall;
        let Some(model) = self.rogues.one_of_own() else {
            return Vec::new();
        };
        if self.rogues.deluges == DELUGES_MAX {
            return Vec::new();
        }
        self.rogues.deluges += 1;
        let dice = &mut self.rogues.dice;
        let (len, times) = if dice.coin() { LONG } else { (MANY, 1) };
        let epoch = dice.draw();
        let mut body = model.body.clone();
        let mut said = None;
        for (index, invocation) in body.invocations.iter_mut().enumerate() {
            let arguments = &mut invocation.args;
            if let Some(at) = find(arguments, SAYING) {
                let number = String::from_utf8_lossy(&arguments[at + SAYING.len()..]);
                self.ledger.forged(format!("forged{number}"));
                arguments[at..at + SAYING.len()].copy_from_slice(FORGED);
                said.get_or_insert(index);
            }
        }
        if let Some(index) = said {
            let again = body.invocations[index].clone();
            for _ in 1..times {
                body.invocations.insert(index, again.clone());
            }
        }
        let header = &model.header;
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        for seq in 0..len {
            let (parents, hlc) = match entries.last() {
                Some(last) => (vec![last.id], last.last_time().0 + 1),
                None => (header.parents.clone(), header.hlc.0.max(now_us)),
            };
            let draft = Draft {
                database: header.database,
                epoch,
                seq,
                parents,
                hlc: Hlc(hlc),
                stride: header.stride,
                base: header.base,
            };
            match Entry::seal(draft, body.clone(), &self.nodes[liar].key) {
                Ok(entry) => entries.push(Arc::new(entry)),
                Err(_) => break,
            }
        }
        entries
    }
}
