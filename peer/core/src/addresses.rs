//! Where the members of one database listen: each one's own signed record, passed on by members to
//! members and kept on disk, so that two find each other when everybody whom both have met is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_protocol::message::limits::ADDRESSED_PEERS_MAX;
use sync_protocol::{AddressRecord, DeviceKey, Tick};

/// Note in the log: the records, postcard of a list. What cannot be read is found again.
pub(crate) const ADDRESSES_NOTE: &str = "addresses";

/// Milliseconds between two writes of the note: a first change is on disk at once, and what follows
/// in a burst together.
const SAVE_EVERY_MS: u64 = 100;

/// Records kept of devices that are no members yet: a member's record may come before the entry
/// that admits it, and would be told again only half a minute later.
const EARLY_MAX: usize = 64;

/// The records of one database.
#[derive(Debug)]
pub(crate) struct Addresses {
    records: BTreeMap<DeviceKey, Arc<AddressRecord>>,
    /// Not looked at: those of devices that are no members yet.
    early: BTreeMap<DeviceKey, AddressRecord>,
    /// Conversations have not been told of a change.
    untold: bool,
    unsaved: bool,
    /// When the note may be written again.
    save_from: Tick,
    /// The highest number under which others know this device.
    own_heard: u64,
    /// Whom to keep links to has to be asked again: members or addresses changed.
    pub(crate) links_stale: bool,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            early: BTreeMap::new(),
            untold: false,
            unsaved: false,
            save_from: Tick(0),
            own_heard: 0,
            links_stale: true,
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenRecord {
    /// It is the newest of its device.
    New,
    /// Nothing new, or of nobody who counts.
    Ignored,
    /// Not signed by its device, which is the sender's fault.
    Forged,
}

impl Addresses {
    /// From the note. Records that do not hold are left out: told to others they would be a fault.
    pub(crate) fn load(note: &[u8], own: &DeviceKey) -> Self {
        let records: Vec<AddressRecord> = postcard::from_bytes(note).unwrap_or_default();
        let mut addresses = Self::default();
        for record in records.into_iter().take(ADDRESSED_PEERS_MAX) {
            if record.device == *own {
                addresses.own_heard = record.sequence;
            } else if record.within_bounds() && record.verify().is_ok() {
                addresses.records.insert(record.device, Arc::new(record));
            }
        }
        addresses
    }

    /// The bytes of the note, if the time has come to write it.
    pub(crate) fn take_unsaved(&mut self, now: Tick) -> Option<Vec<u8>> {
        self.save_due().filter(|due| *due <= now)?;
        self.unsaved = false;
        self.save_from = now.plus_ms(SAVE_EVERY_MS);
        let records: Vec<&AddressRecord> = self.records.values().map(|record| &**record).collect();
        postcard::to_stdvec(&records).ok()
    }

    /// When the note should be written.
    pub(crate) fn save_due(&self) -> Option<Tick> {
        self.unsaved.then_some(self.save_from)
    }

    /// Takes the record of a device that is a member.
    pub(crate) fn take(&mut self, record: AddressRecord, own: &DeviceKey) -> TakenRecord {
        let known = self.records.get(&record.device);
        let news = match known {
            Some(known) => record.supersedes(known),
            None => self.records.len() < ADDRESSED_PEERS_MAX,
        };
        if !news {
            return TakenRecord::Ignored;
        }
        if record.verify().is_err() {
            return TakenRecord::Forged;
        }
        if record.device == *own {
            // Made by an earlier life of this peer whose disk is lost: it is spoken over.
            self.own_heard = self.own_heard.max(record.sequence);
            return TakenRecord::Ignored;
        }
        self.put(record);
        TakenRecord::New
    }

    /// Lays aside the record of a device that is no member, should it become one soon.
    pub(crate) fn set_aside(&mut self, record: AddressRecord) {
        let known = self.early.get(&record.device);
        let news = known.is_none_or(|known| record.supersedes(known));
        if news && (known.is_some() || self.early.len() < EARLY_MAX) {
            self.early.insert(record.device, record);
        }
    }

    /// Puts this device's own record in its place.
    pub(crate) fn put_own(&mut self, record: &Arc<AddressRecord>) {
        if self.records.get(&record.device) != Some(record) {
            self.put(AddressRecord::clone(record));
        }
    }

    fn put(&mut self, record: AddressRecord) {
        self.records.insert(record.device, Arc::new(record));
        self.untold = true;
        self.links_stale = true;
        self.unsaved = true;
    }

    /// Forgets those who are no members, and takes what was laid aside of those who are.
    pub(crate) fn keep_members(&mut self, own: &DeviceKey, is_member: impl Fn(&DeviceKey) -> bool) {
        self.records.retain(|device, _| is_member(device));
        self.links_stale = true;
        let mut early = std::mem::take(&mut self.early);
        let admitted = early.extract_if(.., |device, _| is_member(device));
        for (_, record) in admitted {
            // Whoever passed a forged one on is not known any more: it is dropped.
            self.take(record, own);
        }
        self.early = early;
    }

    /// The highest number under which others know this device.
    pub(crate) fn own_heard(&self) -> u64 {
        self.own_heard
    }

    /// Whether conversations have to be told of a change; then they are taken to be.
    pub(crate) fn take_untold(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// Where a member says it listens.
    pub(crate) fn of(&self, device: &DeviceKey) -> &[String] {
        self.records
            .get(device)
            .map_or(&[], |record| record.addresses.as_slice())
    }

    /// All records, sorted by device.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<AddressRecord>> {
        self.records.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::SecretKey;

    const NOW: Tick = Tick(5_000_000);

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn record(n: u8, sequence: u64, address: &str) -> AddressRecord {
        AddressRecord::sign(&key(n), sequence, &[address.to_owned()])
    }

    #[test]
    fn the_newest_counts_and_an_old_one_does_not_come_back() {
        let (own, mut addresses) = (key(9).public(), Addresses::default());
        let mut take = |record| addresses.take(record, &own);
        assert_eq!(take(record(1, 5, "old")), TakenRecord::New);
        assert_eq!(take(record(1, 7, "new")), TakenRecord::New);
        assert_eq!(take(record(1, 5, "old")), TakenRecord::Ignored);
        assert_eq!(take(record(1, 7, "new")), TakenRecord::Ignored);
        let mut forged = record(1, 7, "new");
        forged.sequence = 8;
        assert_eq!(take(forged), TakenRecord::Forged);
        assert_eq!(addresses.of(&key(1).public()), ["new"]);
        assert!(addresses.take_untold() && !addresses.take_untold());
    }

    #[test]
    fn an_own_record_of_an_earlier_life_is_only_counted() {
        let (own, mut addresses) = (key(9).public(), Addresses::default());
        assert_eq!(
            addresses.take(record(9, 50, "before"), &own),
            TakenRecord::Ignored
        );
        assert_eq!(addresses.own_heard(), 50);
        assert!(addresses.of(&own).is_empty());
    }

    #[test]
    fn a_change_is_noted_at_once_and_a_burst_together() {
        let (own, mut addresses) = (key(9).public(), Addresses::default());
        assert_eq!(addresses.take_unsaved(NOW), None);
        addresses.take(record(1, 5, "one"), &own);
        assert!(addresses.take_unsaved(NOW).is_some());
        addresses.put_own(&Arc::new(record(9, 6, "own")));
        assert_eq!(addresses.take_unsaved(NOW.plus_ms(SAVE_EVERY_MS - 1)), None);
        let note = addresses
            .take_unsaved(NOW.plus_ms(SAVE_EVERY_MS))
            .expect("due");
        assert_eq!(addresses.take_unsaved(NOW.plus_ms(9_000)), None);
        let again = Addresses::load(&note, &own);
        assert_eq!(again.of(&key(1).public()), ["one"]);
        assert_eq!(again.own_heard(), 6);
        for len in 0..note.len() {
            Addresses::load(&note[..len], &own);
        }
        let mut damaged = note;
        let last = damaged.len() - 200;
        damaged[last] ^= 1;
        for record in Addresses::load(&damaged, &own).records() {
            assert!(record.verify().is_ok());
        }
    }

    #[test]
    fn records_are_bounded_and_go_with_the_membership() {
        let (own, mut addresses) = (key(9).public(), Addresses::default());
        for n in 0..ADDRESSED_PEERS_MAX + 10 {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&n.to_le_bytes());
            let record = AddressRecord::sign(&SecretKey::from_bytes(&seed), 1, &[]);
            addresses.take(record, &own);
        }
        assert_eq!(addresses.records().count(), ADDRESSED_PEERS_MAX);
        addresses.keep_members(&own, |_| false);
        assert_eq!(addresses.records().count(), 0);
    }

    #[test]
    fn a_record_that_comes_before_its_member_is_taken_when_the_member_comes() {
        let (own, mut addresses) = (key(9).public(), Addresses::default());
        addresses.set_aside(record(1, 5, "old"));
        addresses.set_aside(record(1, 6, "new"));
        addresses.set_aside(record(1, 5, "old"));
        let mut forged = record(2, 7, "forged");
        forged.sequence = 8;
        addresses.set_aside(forged);
        addresses.set_aside(record(3, 1, "of nobody"));
        assert_eq!(addresses.records().count(), 0);
        addresses.keep_members(&own, |device| *device != key(3).public());
        assert_eq!(addresses.of(&key(1).public()), ["new"]);
        assert_eq!(addresses.records().count(), 1);
        assert!(addresses.take_untold());
    }

    #[test]
    fn records_that_are_laid_aside_are_bounded() {
        let mut addresses = Addresses::default();
        for n in 0..=u8::MAX {
            addresses.set_aside(record(n, 1, "of nobody"));
        }
        assert_eq!(addresses.early.len(), EARLY_MAX);
    }
}
