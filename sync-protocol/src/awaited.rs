//! Large entries of which only the stub is here: what is awaited, and who offered it.
//!
//! Such an entry is pending, never invalid: nothing is said about it until its body is here.
//! Whoever offers a stub is charged for it, and is asked for the body; a remote that is gone, or
//! sent another body, is asked no more, and a stub that nobody offers any more is dropped. So a
//! body that is withheld takes room from its withholder alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::entry::SignedHeader;
use crate::ids::{DeviceKey, EntryId};
use crate::keys::BadSignature;
use crate::limits::{STUBS_BODY_BYTES_MAX, STUBS_MAX};

/// The waiting room of stubs.
#[derive(Debug, Default)]
pub struct AwaitedBodies {
    awaited: BTreeMap<EntryId, AwaitedBody>,
    offers: BTreeMap<DeviceKey, Offers>,
}

#[derive(Debug)]
struct AwaitedBody {
    stub: SignedHeader,
    from: BTreeSet<DeviceKey>,
}

/// What one connection is charged for.
#[derive(Debug, Default)]
struct Offers {
    stubs: BTreeSet<EntryId>,
    bytes: usize,
}

impl AwaitedBodies {
    /// Notes that `from` offers the entry. False: its room is full, and this was not kept.
    ///
    /// # Errors
    /// [`BadSignature`] if the author did not sign it: the sender's fault.
    pub fn offer(&mut self, stub: SignedHeader, from: DeviceKey) -> Result<bool, BadSignature> {
        let id = stub.id();
        // The id does not cover the signature: a spoilt copy must not stand in for the good one.
        let known = self.awaited.get(&id).is_some_and(|a| a.stub == stub);
        if !known {
            stub.verify()?;
        }
        let offers = self.offers.entry(from).or_default();
        if offers.stubs.contains(&id) {
            return Ok(true);
        }
        let bytes = stub.header.body_len as usize;
        if offers.stubs.len() >= STUBS_MAX || offers.bytes + bytes > STUBS_BODY_BYTES_MAX {
            return Ok(false);
        }
        offers.stubs.insert(id);
        offers.bytes += bytes;
        self.awaited
            .entry(id)
            .or_insert_with(|| AwaitedBody {
                stub,
                from: BTreeSet::new(),
            })
            .from
            .insert(from);
        Ok(true)
    }

    /// The stub of an entry whose body is awaited.
    #[must_use]
    pub fn stub(&self, id: &EntryId) -> Option<&SignedHeader> {
        self.awaited.get(id).map(|awaited| &awaited.stub)
    }

    /// Whether this remote offered it.
    #[must_use]
    pub fn is_offered_by(&self, id: &EntryId, remote: &DeviceKey) -> bool {
        self.awaited
            .get(id)
            .is_some_and(|awaited| awaited.from.contains(remote))
    }

    /// What a remote offered, oldest first, so that parents come before children; with the bytes
    /// of each body.
    #[must_use]
    pub fn offered_by(&self, remote: &DeviceKey) -> Vec<(EntryId, u32)> {
        let Some(offers) = self.offers.get(remote) else {
            return Vec::new();
        };
        let stubs = offers.stubs.iter().filter_map(|id| {
            let header = &self.stub(id)?.header;
            Some((header.hlc, *id, header.body_len))
        });
        let mut stubs: Vec<_> = stubs.collect();
        stubs.sort_unstable();
        stubs.into_iter().map(|(_, id, len)| (id, len)).collect()
    }

    /// The body is here, or nobody needs it: forgets the stub and gives back who offered it.
    pub fn take(&mut self, id: &EntryId) -> Option<(SignedHeader, BTreeSet<DeviceKey>)> {
        let AwaitedBody { stub, from } = self.awaited.remove(id)?;
        for remote in &from {
            self.release(remote, id, stub.header.body_len);
        }
        Some((stub, from))
    }

    /// Asks this remote for this body no more.
    pub fn distrust(&mut self, id: &EntryId, remote: &DeviceKey) {
        let Some(awaited) = self.awaited.get_mut(id) else {
            return;
        };
        if !awaited.from.remove(remote) {
            return;
        }
        let len = awaited.stub.header.body_len;
        if awaited.from.is_empty() {
            self.awaited.remove(id);
        }
        self.release(remote, id, len);
    }

    /// The connection is gone, and so is what it alone offered.
    pub fn forget_remote(&mut self, remote: &DeviceKey) {
        let Some(offers) = self.offers.remove(remote) else {
            return;
        };
        for id in offers.stubs {
            if let Some(awaited) = self.awaited.get_mut(&id) {
                awaited.from.remove(remote);
                if awaited.from.is_empty() {
                    self.awaited.remove(&id);
                }
            }
        }
    }

    /// How many entries are awaited.
    #[must_use]
    pub fn len(&self) -> usize {
        self.awaited.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.awaited.is_empty()
    }

    fn release(&mut self, remote: &DeviceKey, id: &EntryId, len: u32) {
        let Some(offers) = self.offers.get_mut(remote) else {
            return;
        };
        if offers.stubs.remove(id) {
            offers.bytes -= len as usize;
        }
        if offers.stubs.is_empty() {
            self.offers.remove(remote);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::CutRef;
    use crate::entry::Header;
    use crate::fixtures::key;
    use crate::ids::{CutId, DatabaseId, Signature};
    use crate::limits::BODY_BYTES_MAX;
    use crate::time::Hlc;

    fn stub(seq: u64, body_len: usize) -> SignedHeader {
        let author = key(1);
        let header = Header {
            format: 1,
            database: DatabaseId([1; 32]),
            author: author.public(),
            epoch: 1,
            seq,
            parents: vec![EntryId([3; 32])],
            hlc: Hlc(1_000 - seq),
            stride: 0,
            base: CutRef {
                term: crate::cut::Term::FIRST,
                height: 1,
                id: CutId([4; 32]),
            },
            body_root: [9; 32],
            body_len: u32::try_from(body_len).expect("small"),
            invocations: 1,
        };
        SignedHeader::sign(header, &author)
    }

    #[test]
    fn each_connection_is_charged_for_what_it_offers() {
        let mut bodies = AwaitedBodies::default();
        let (one, two) = (key(8).public(), key(9).public());
        for seq in 0..STUBS_MAX as u64 {
            assert_eq!(bodies.offer(stub(seq, 100_000), one), Ok(true));
        }
        assert_eq!(bodies.offer(stub(500, 100_000), one), Ok(false));
        assert_eq!(bodies.offer(stub(500, 100_000), two), Ok(true));
        assert_eq!(bodies.offer(stub(0, 100_000), one), Ok(true), "known");
        let (first, _) = bodies.offered_by(&one)[0];
        assert_eq!(first, stub(63, 100_000).id(), "the oldest comes first");
        assert!(bodies.take(&first).is_some());
        assert_eq!(bodies.offer(stub(501, 100_000), one), Ok(true));
        bodies.forget_remote(&one);
        assert_eq!(bodies.len(), 1);
        bodies.forget_remote(&two);
        assert!(bodies.is_empty() && bodies.offers.is_empty());
    }

    #[test]
    fn so_many_bytes_are_awaited_from_a_connection() {
        let mut bodies = AwaitedBodies::default();
        let remote = key(8).public();
        let mut kept = 0;
        for seq in 0..STUBS_MAX as u64 {
            kept += usize::from(bodies.offer(stub(seq, BODY_BYTES_MAX), remote) == Ok(true));
        }
        assert_eq!(kept, STUBS_BODY_BYTES_MAX / BODY_BYTES_MAX);
    }

    #[test]
    fn a_stub_stays_while_somebody_offers_it() {
        let mut bodies = AwaitedBodies::default();
        let (one, two) = (key(8).public(), key(9).public());
        let id = stub(1, 100_000).id();
        for remote in [one, two] {
            assert_eq!(bodies.offer(stub(1, 100_000), remote), Ok(true));
        }
        bodies.distrust(&id, &one);
        assert!(!bodies.is_offered_by(&id, &one) && bodies.is_offered_by(&id, &two));
        bodies.forget_remote(&one);
        assert!(bodies.stub(&id).is_some());
        bodies.distrust(&id, &two);
        assert!(bodies.is_empty() && bodies.offers.is_empty());
    }

    #[test]
    fn a_stub_that_its_author_did_not_sign_is_refused() {
        let mut bodies = AwaitedBodies::default();
        let remote = key(8).public();
        let mut spoilt = stub(1, 100_000);
        spoilt.signature = Signature([7; 64]);
        assert!(bodies.offer(spoilt.clone(), remote).is_err());
        assert_eq!(bodies.offer(stub(1, 100_000), remote), Ok(true));
        assert!(
            bodies.offer(spoilt, remote).is_err(),
            "known by its id, and yet"
        );
        let kept = bodies.stub(&stub(1, 100_000).id()).expect("kept");
        assert!(kept.verify().is_ok());
    }
}
