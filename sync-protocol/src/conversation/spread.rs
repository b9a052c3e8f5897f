//! Passing on what is fresh, after Plumtree: whole to eager links, ids to the others.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::conduct::Portion;
use super::limits::{
    ASKED_IDS_MAX, BEHIND_CUTS_MAX, GRAFT_WAIT_MS, HAVE_IDS_MAX, PRUNE_EVERY_MS, PUSH_BYTES_MAX,
    PUSHED_AT_ONCE, PUSHED_PER_S, PUSHED_TIMES, PUSHED_UNIT_BYTES, REMEMBERED_IDS_MAX,
};
use super::standing::RecentIds;
use super::{Conversation, ConversationEffect, Holdings, LIGHT_FAULT, Trust, Turn};
use crate::cut::Cut;
use crate::entry::{Entry, Header, travelling};
use crate::ids::{DeviceKey, EntryId};
use crate::message::Message;
use crate::time::Tick;

/// What is pushed to the remote, and what it announced.
#[derive(Debug)]
pub(super) struct Spread {
    /// Forwarded entries go whole.
    eager: bool,
    /// Anything goes whole.
    neighbour: bool,
    /// When the remote may be pruned again.
    prune_after: Tick,
    /// Entries that the remote has, because they came from it or went to it.
    known: RecentIds,
    /// What may still be pushed to the remote, and by it.
    pushes: Portion,
    pushed: Portion,
    /// Entries that the remote announced and that are not here, and when to ask for them.
    announced: BTreeMap<EntryId, Tick>,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            eager: true,
            neighbour: true,
            prune_after: Tick(0),
            known: RecentIds::default(),
            pushes: Portion::new(PUSHED_AT_ONCE, PUSHED_PER_S),
            pushed: Portion::new(PUSHED_TIMES * PUSHED_AT_ONCE, PUSHED_TIMES * PUSHED_PER_S),
            announced: BTreeMap::new(),
        }
    }
}

impl Spread {
    pub(super) fn is_eager(&self) -> bool {
        self.eager && self.neighbour
    }

    pub(super) fn is_neighbour(&self) -> bool {
        self.neighbour
    }

    pub(super) fn set_neighbour(&mut self, neighbour: bool) {
        self.neighbour = neighbour;
    }

    pub(super) fn prune(&mut self) {
        self.eager = false;
    }

    pub(super) fn graft(&mut self) {
        self.eager = true;
    }

    /// When the next announced entry should be asked for.
    pub(super) fn graft_due(&self) -> Option<Tick> {
        self.announced.values().copied().min()
    }

    pub(super) fn remembered(&self) -> usize {
        self.known.len() + self.announced.len()
    }

    #[cfg(test)]
    pub(super) fn announced_len(&self) -> usize {
        self.announced.len()
    }

    /// Announced entries that did not come in time.
    pub(super) fn take_grafts(&mut self, now: Tick, holdings: &dyn Holdings) -> Vec<EntryId> {
        let due = self.announced.iter().filter(|(_, due)| **due <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        let mut grafts = Vec::new();
        for id in due {
            if grafts.len() == ASKED_IDS_MAX {
                break;
            }
            self.announced.remove(&id);
            if !holdings.holds(&id) {
                grafts.push(id);
            }
        }
        grafts
    }
}

impl Conversation {
    /// Whether the remote can use what is fresh: a member that is not far behind.
    fn is_abreast(&self, turn: &Turn<'_>) -> bool {
        let theirs = self.theirs.and_then(|theirs| theirs.cut);
        let (Some(own), Some(theirs)) = (turn.holdings.cut(), theirs) else {
            return false;
        };
        let near = match theirs.term.cmp(&own.term) {
            Ordering::Less => false,
            Ordering::Equal => theirs.height.saturating_add(BEHIND_CUTS_MAX) >= own.height,
            Ordering::Greater => true,
        };
        self.trust == Trust::Member && near
    }

    pub(super) fn spread_fresh(
        &mut self,
        entries: &[Arc<Entry>],
        from: Option<DeviceKey>,
        turn: &mut Turn<'_>,
    ) {
        if from == Some(self.remote) || !self.is_abreast(turn) {
            return;
        }
        let whole = self.spread.neighbour && (from.is_none() || self.spread.eager);
        let mut push = Vec::new();
        let mut have = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            if !self.spread.known.insert(entry.id) {
                continue;
            }
            let travels = travelling(entry.encoded());
            let fits = whole && bytes + travels.len() <= PUSH_BYTES_MAX;
            if fits
                && self
                    .spread
                    .pushes
                    .take_some(weight_of(travels), turn.now.tick)
            {
                bytes += travels.len();
                push.push(travels.to_vec());
            } else if have.len() < HAVE_IDS_MAX {
                have.push(entry.id);
            }
            // What is over both bounds shows in the standing, and is pulled.
        }
        if !push.is_empty() {
            turn.send(Message::Push {
                entries: push,
                forwarded: from.is_some(),
            });
        }
        if !have.is_empty() {
            turn.send(Message::Have { ids: have });
        }
    }

    pub(super) fn spread_cut(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let Ok(cut) = Cut::open(bytes) else {
            return;
        };
        let theirs = self.theirs.and_then(|theirs| theirs.cut);
        let known = theirs.is_some_and(|theirs| theirs.place() >= cut.reference().place());
        if !known && self.is_abreast(turn) {
            turn.send(Message::Cut {
                bytes: bytes.to_vec(),
            });
        }
    }

    pub(super) fn hear_push(
        &mut self,
        entries: Vec<Vec<u8>>,
        forwarded: bool,
        turn: &mut Turn<'_>,
    ) {
        let mut new = Vec::new();
        let mut too_many = false;
        for entry in entries {
            let held = id_of(&entry).is_some_and(|id| {
                self.spread.known.insert(id);
                self.spread.announced.remove(&id);
                turn.holdings.holds(&id)
            });
            // What has no id is handed over too: the replica says what is wrong with it.
            if !held {
                let weight = weight_of(&entry);
                if self.spread.pushed.take_some(weight, turn.now.tick) {
                    new.push(entry);
                } else {
                    too_many = true;
                }
            }
        }
        if too_many {
            // It is asked for if it is missed.
            self.fault(LIGHT_FAULT, "it pushes too much", turn);
        }
        if !new.is_empty() {
            self.pull.note_handed_push();
            turn.effects.push(ConversationEffect::Entries(new));
        } else if forwarded
            && self.trust == Trust::Member
            && self.spread.prune_after <= turn.now.tick
        {
            self.spread.prune_after = turn.now.tick.plus_ms(PRUNE_EVERY_MS);
            turn.send(Message::Prune);
        }
    }

    pub(super) fn hear_have(&mut self, ids: &[EntryId], turn: &mut Turn<'_>) {
        if self.trust != Trust::Member {
            return;
        }
        let due = turn.now.tick.plus_ms(GRAFT_WAIT_MS);
        for id in ids {
            self.spread.known.insert(*id);
            if self.spread.announced.len() < REMEMBERED_IDS_MAX && !turn.holdings.holds(id) {
                self.spread.announced.entry(*id).or_insert(due);
            }
        }
    }
}

/// What pushing an entry counts.
fn weight_of(entry: &[u8]) -> u64 {
    1 + (entry.len() / PUSHED_UNIT_BYTES) as u64
}

/// The id of an encoded entry, without reading its body.
fn id_of(entry: &[u8]) -> Option<EntryId> {
    Some(header_of(entry)?.id())
}

/// The header of an encoded entry, without reading its body.
pub(super) fn header_of(entry: &[u8]) -> Option<Header> {
    let (len, rest) = entry.split_first_chunk::<2>()?;
    let header = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
    Header::decode(header).ok()
}
