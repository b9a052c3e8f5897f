//! Finds authors who gave two entries the same place in a chain, and keeps the proofs.
//!
//! Both entries stay valid: to refuse the second would depend on which came first. A proof has an
//! effect only once it stands in the order as a report.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::entry::{SignedHeader, Stub};
use crate::equivocation::{EquivocationProof, NoEquivocation};
use crate::ids::{DeviceKey, EntryId};
use crate::limits::COVERED_HEADERS_MAX;
use crate::membership::Rights;

use super::Dag;
use super::clean::Clean;

/// Author, epoch, seq.
type Place = (DeviceKey, u64, u64);

#[derive(Debug, Default)]
pub(super) struct Equivocations {
    /// The first entry seen at each place of the tail.
    places: BTreeMap<Place, EntryId>,
    /// Headers that cuts covered lately, oldest first in `covered_order`.
    covered: BTreeMap<Place, SignedHeader>,
    covered_order: VecDeque<Place>,
    /// One proof per author is enough.
    proofs: BTreeMap<DeviceKey, EquivocationProof>,
    /// Whose proofs nobody has been given to report yet.
    fresh: BTreeSet<DeviceKey>,
}

fn place_of(entry: &Stub) -> Place {
    (entry.header.author, entry.header.epoch, entry.header.seq)
}

impl Equivocations {
    pub(super) fn clear_places(&mut self) {
        self.places.clear();
    }

    /// A cut covers the entry. Its header is kept a while: an author whose fork shows late is
    /// still an equivocator.
    pub(super) fn cover(&mut self, entry: &Stub) {
        let place = place_of(entry);
        if self.places.get(&place) == Some(&entry.id) {
            self.places.remove(&place);
        }
        if self.covered.insert(place, entry.signed_header()).is_none() {
            self.covered_order.push_back(place);
        }
        if self.covered_order.len() > COVERED_HEADERS_MAX
            && let Some(oldest) = self.covered_order.pop_front()
        {
            self.covered.remove(&oldest);
        }
    }

    /// Whether no author is known to have equivocated.
    pub(super) fn knows_nobody(&self) -> bool {
        self.proofs.is_empty()
    }

    /// Frozen authors need no proof any more; a report that had no effect is made again.
    pub(super) fn after_cut(&mut self, rights: &Rights, clean: &Clean) {
        self.proofs
            .retain(|author, _| !rights.frozen.contains_key(author));
        self.fresh = self
            .proofs
            .keys()
            .copied()
            .filter(|a| !clean.is_struck(a))
            .collect();
    }

    fn keep(&mut self, proof: EquivocationProof) {
        let author = proof.author();
        self.fresh.insert(author);
        self.proofs.insert(author, proof);
    }
}

impl Dag {
    /// Watches the place that a sound entry takes in its chain.
    pub(super) fn watch_place(&mut self, id: EntryId) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let (entry, author) = (&node.entry, node.entry.header.author);
        if self.rights.frozen.contains_key(&author)
            || self.equivocations.proofs.contains_key(&author)
        {
            return;
        }
        let place = place_of(entry);
        let other = match self.equivocations.places.get(&place) {
            Some(first) => self.nodes.get(first).map(|node| node.entry.signed_header()),
            None => self.equivocations.covered.get(&place).cloned(),
        };
        match other {
            Some(other) if other.header != entry.header => {
                let proof = EquivocationProof::of_headers(other, entry.signed_header());
                self.equivocations.keep(proof);
            }
            _ => {
                self.equivocations.places.insert(place, id);
            }
        }
    }

    /// Proofs that came to light since this was last asked and that nobody has reported: the
    /// replica publishes them as system calls.
    pub fn take_equivocations(&mut self) -> Vec<EquivocationProof> {
        let fresh = std::mem::take(&mut self.equivocations.fresh);
        let unreported = fresh.iter().filter(|author| !self.clean.is_struck(author));
        unreported
            .filter_map(|author| self.equivocations.proofs.get(author).cloned())
            .collect()
    }

    /// One proof for each author known to have equivocated and not yet frozen by the rows.
    #[must_use]
    pub fn proofs(&self) -> Vec<EquivocationProof> {
        self.equivocations.proofs.values().cloned().collect()
    }

    /// Takes in a proof from elsewhere. True if it is news; [`Dag::take_equivocations`] then gives
    /// it out. A proof about somebody who cannot write is no news.
    ///
    /// # Errors
    /// [`NoEquivocation`] if it proves nothing: the sender's fault.
    pub fn learn_equivocation(&mut self, proof: EquivocationProof) -> Result<bool, NoEquivocation> {
        let author = proof.author();
        let member = self.rights.is_member(&author, self.cut.height) || self.grants.knows(&author);
        let known = self.equivocations.proofs.contains_key(&author)
            || self.rights.frozen.contains_key(&author);
        if known || !member {
            return Ok(false);
        }
        proof.verify(&self.database)?;
        self.equivocations.keep(proof);
        Ok(true)
    }
}
