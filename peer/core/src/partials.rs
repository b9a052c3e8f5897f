//! Blobs of which only the beginning is here: modules and bodies of large entries on their way.
//!
//! They lie on disk, so that a restart and a change of remote cost nothing: the next chunk is asked
//! for where the last one ended. Only the whole has a hash. When it is wrong, all of it is thrown
//! away. Was it one remote that sent it all, that one lied. If several did, or a part lay here from
//! an earlier run, any of them may have; the next attempt then takes every byte from one remote, so
//! that it will be known.
//!
//! Room on disk is bounded, and what nobody has gone on with for long is removed.

use std::collections::{BTreeMap, BTreeSet};

use store::{Disk, StoreError};
use sync_protocol::limits::{BODY_BYTES_MAX, MODULE_BYTES_MAX};
use sync_protocol::{BlobHash, DeviceKey, Tick};

/// Partial blobs kept at once.
pub(crate) const PARTIALS_MAX: usize = 64;

/// Bytes of partial blobs on disk: two modules and the bodies of as many links as there are
/// neighbours.
pub(crate) const PARTIAL_BYTES_MAX: u64 = 256 << 20;

/// Milliseconds after which a partial blob is removed that nobody went on with: a remote that has
/// the rest comes back the same day, or all of it is fetched again.
pub(crate) const PARTIAL_KEEP_MS: u64 = 24 * 3_600_000;

/// Remotes remembered as having contributed to one blob. With more the blob is begun afresh.
const CONTRIBUTORS_MAX: usize = 16;

const _: () = assert!((MODULE_BYTES_MAX + BODY_BYTES_MAX) as u64 <= PARTIAL_BYTES_MAX);

/// All partial blobs of this peer.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    parts: BTreeMap<BlobHash, Part>,
}

#[derive(Debug, Default)]
struct Part {
    len: u64,
    touched: Tick,
    /// Whose bytes these are.
    by: BTreeSet<DeviceKey>,
    /// Some lay here before this process began.
    inherited: bool,
    /// An attempt with the bytes of several came out wrong: this one is of one remote alone.
    alone: bool,
    /// Who sent all of it, and it was wrong.
    liars: BTreeSet<DeviceKey>,
}

/// A part of a blob, as a remote sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) hash: BlobHash,
    pub(crate) from: DeviceKey,
    pub(crate) offset: u64,
    /// Bytes of the whole blob, known from whoever named it and not from the remote.
    pub(crate) total: u64,
    pub(crate) bytes: &'a [u8],
}

/// What came of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was kept, or was here already.
    More,
    /// The blob is here and is the one that was named. It stays a partial one until
    /// [`Partials::remove`].
    Whole(Vec<u8>),
    /// It reaches beyond the end: the remote's fault, nothing was changed.
    Beyond,
    /// All is here and it is another blob: it was thrown away.
    Wrong {
        /// Who sent it.
        by: BTreeSet<DeviceKey>,
        /// Whether it was certainly they.
        certain: bool,
    },
}

impl Partials {
    /// Finds what earlier runs left.
    pub(crate) fn open(disk: &dyn Disk, now: Tick) -> Result<Self, StoreError> {
        let found = disk.partials()?.into_iter().map(|(hash, len)| {
            let part = Part {
                len,
                touched: now,
                inherited: len > 0,
                ..Part::default()
            };
            (hash, part)
        });
        let mut partials = Self {
            parts: found.collect(),
        };
        partials.make_room(0, None, disk)?;
        Ok(partials)
    }

    /// Bytes that are here, from the blob's start.
    pub(crate) fn len(&self, hash: &BlobHash) -> u64 {
        self.parts.get(hash).map_or(0, |part| part.len)
    }

    /// Where this remote is to go on: where the others ended, unless every byte has to be its own.
    pub(crate) fn offset(&self, hash: &BlobHash, remote: &DeviceKey, total: u64) -> u64 {
        match self.parts.get(hash) {
            Some(part) if part.is_for(remote) && part.len <= total => {
                // The power failed when all was here: the last byte once more, and it is checked.
                part.len.min(total.saturating_sub(1))
            }
            _ => 0,
        }
    }

    /// Whether this remote sent all of this blob before, and it was wrong.
    pub(crate) fn distrusts(&self, hash: &BlobHash, remote: &DeviceKey) -> bool {
        self.parts
            .get(hash)
            .is_some_and(|part| part.liars.contains(remote))
    }

    /// Takes in a chunk. `is_named` says whether the whole is the blob that was wanted.
    pub(crate) fn take(
        &mut self,
        chunk: &Chunk<'_>,
        is_named: impl Fn(&[u8]) -> bool,
        now: Tick,
        disk: &dyn Disk,
    ) -> Result<Taken, StoreError> {
        let Chunk {
            hash,
            from,
            offset,
            total,
            bytes,
        } = *chunk;
        let end = offset.saturating_add(bytes.len() as u64);
        if end > total {
            return Ok(Taken::Beyond);
        }
        if offset != self.offset(&hash, &from, total) || bytes.is_empty() {
            return Ok(Taken::More); // it came twice
        }
        self.make_room(bytes.len() as u64, Some(&hash), disk)?;
        let part = self.parts.entry(hash).or_default();
        if offset == 0 {
            part.by.clear();
            part.inherited = false;
        }
        if part.by.len() == CONTRIBUTORS_MAX && !part.by.contains(&from) {
            disk.remove_partial(&hash)?;
            part.len = 0;
            part.by.clear();
            part.alone = true;
            return Ok(Taken::More);
        }
        disk.write_partial(&hash, offset, bytes)?;
        part.by.insert(from);
        part.len = end;
        part.touched = now;
        if end < total {
            return Ok(Taken::More);
        }
        let whole = disk.partial(&hash)?.unwrap_or_default();
        if is_named(&whole) {
            return Ok(Taken::Whole(whole));
        }
        disk.remove_partial(&hash)?;
        let by = std::mem::take(&mut part.by);
        let certain = by.len() == 1 && !std::mem::take(&mut part.inherited);
        part.len = 0;
        part.alone = true;
        if certain && part.liars.len() < CONTRIBUTORS_MAX {
            part.liars.extend(&by);
        }
        Ok(Taken::Wrong { by, certain })
    }

    /// Forgets a blob: it is kept elsewhere now, or nobody wants it.
    pub(crate) fn remove(&mut self, hash: &BlobHash, disk: &dyn Disk) -> Result<(), StoreError> {
        if self.parts.remove(hash).is_some() {
            disk.remove_partial(hash)?;
        }
        Ok(())
    }

    /// Removes what nobody has gone on with for long.
    pub(crate) fn remove_stale(&mut self, now: Tick, disk: &dyn Disk) -> Result<(), StoreError> {
        let stale: Vec<BlobHash> = self
            .parts
            .iter()
            .filter(|(_, part)| now.since(part.touched) > PARTIAL_KEEP_MS * 1_000)
            .map(|(hash, _)| *hash)
            .collect();
        stale.iter().try_for_each(|hash| self.remove(hash, disk))
    }

    /// Removes those that were touched longest ago until there is room for more bytes of `hash`.
    fn make_room(
        &mut self,
        bytes: u64,
        hash: Option<&BlobHash>,
        disk: &dyn Disk,
    ) -> Result<(), StoreError> {
        loop {
            let used: u64 = self.parts.values().map(|part| part.len).sum();
            let new = hash.is_some_and(|hash| !self.parts.contains_key(hash));
            let count = self.parts.len() + usize::from(new);
            if used + bytes <= PARTIAL_BYTES_MAX && count <= PARTIALS_MAX {
                return Ok(());
            }
            let oldest = self
                .parts
                .iter()
                .filter(|(other, _)| Some(*other) != hash)
                .min_by_key(|(_, part)| part.touched)
                .map(|(hash, _)| *hash);
            match oldest {
                Some(oldest) => self.remove(&oldest, disk)?,
                None => return Ok(()),
            }
        }
    }

    /// Bytes of all of them.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.values().map(|part| part.len).sum()
    }
}

impl Part {
    fn is_for(&self, remote: &DeviceKey) -> bool {
        !self.alone || self.by.contains(remote)
    }
}

#[cfg(test)]
mod tests {
    use store::MemoryDisk;
    use sync_protocol::SecretKey;

    use super::*;

    const CHUNK: usize = 100;

    fn remote(n: u8) -> DeviceKey {
        SecretKey::from_bytes(&[n; 32]).public()
    }

    fn blob() -> Vec<u8> {
        (0..950_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect()
    }

    struct Fetch {
        partials: Partials,
        disk: MemoryDisk,
        blob: Vec<u8>,
        now: Tick,
    }

    impl Fetch {
        fn new() -> Self {
            Self {
                partials: Partials::default(),
                disk: MemoryDisk::new(),
                blob: blob(),
                now: Tick(1),
            }
        }

        fn hash(&self) -> BlobHash {
            BlobHash::of(&self.blob)
        }

        /// `from` sends the chunk that it is to go on with, `spoilt` or as it is.
        fn chunk(&mut self, from: u8, spoilt: bool) -> Taken {
            let hash = self.hash();
            let total = self.blob.len() as u64;
            let offset = self.partials.offset(&hash, &remote(from), total);
            let start = usize::try_from(offset).expect("small");
            let end = (start + CHUNK).min(self.blob.len());
            let mut bytes = self.blob[start..end].to_vec();
            bytes[0] ^= u8::from(spoilt);
            self.now = self.now.plus_ms(1);
            let chunk = Chunk {
                hash,
                from: remote(from),
                offset,
                total,
                bytes: &bytes,
            };
            let named = |whole: &[u8]| BlobHash::of(whole) == hash;
            self.partials
                .take(&chunk, named, self.now, &self.disk)
                .expect("writable")
        }

        fn rest(&mut self, from: u8) -> Taken {
            loop {
                match self.chunk(from, false) {
                    Taken::More => {}
                    other => return other,
                }
            }
        }

        fn restart(&mut self) {
            self.disk.crash();
            self.partials = Partials::open(&self.disk, self.now).expect("readable");
        }
    }

    #[test]
    fn a_blob_goes_on_after_a_power_cut_between_any_two_chunks() {
        for kept in 0..9 {
            let mut fetch = Fetch::new();
            for _ in 0..kept {
                assert_eq!(fetch.chunk(1, false), Taken::More);
            }
            fetch.restart();
            let hash = fetch.hash();
            assert_eq!(fetch.partials.offset(&hash, &remote(2), 950), kept * 100);
            assert_eq!(fetch.rest(2), Taken::Whole(blob()), "after {kept}");
            fetch.partials.remove(&hash, &fetch.disk).expect("writable");
            assert_eq!(fetch.disk.partials().expect("readable"), []);
        }
    }

    #[test]
    fn a_power_cut_while_a_chunk_is_written_loses_that_chunk_at_most() {
        for kept in 0..9 {
            let mut fetch = Fetch::new();
            for _ in 0..kept {
                assert_eq!(fetch.chunk(1, false), Taken::More);
            }
            fetch.disk.fail_after(0);
            let hash = fetch.hash();
            let bytes = fetch.blob[kept * CHUNK..(kept + 1) * CHUNK].to_vec();
            let chunk = Chunk {
                hash,
                from: remote(1),
                offset: (kept * CHUNK) as u64,
                total: 950,
                bytes: &bytes,
            };
            let taken = fetch
                .partials
                .take(&chunk, |_| true, fetch.now, &fetch.disk);
            assert!(taken.is_err());
            fetch.restart();
            assert_eq!(fetch.partials.len(&hash), (kept * CHUNK) as u64);
            assert_eq!(fetch.rest(1), Taken::Whole(blob()));
        }
    }

    #[test]
    fn a_power_cut_when_all_is_here_costs_one_byte() {
        let mut fetch = Fetch::new();
        assert_eq!(fetch.rest(1), Taken::Whole(blob()));
        fetch.restart();
        let hash = fetch.hash();
        assert_eq!(fetch.partials.offset(&hash, &remote(2), 950), 949);
        assert_eq!(fetch.chunk(2, false), Taken::Whole(blob()));
        // Somebody who says it is shorter is not asked for what lies beyond its end.
        assert_eq!(fetch.partials.offset(&hash, &remote(2), 900), 0);
    }

    #[test]
    fn who_sent_all_of_a_wrong_blob_is_known_and_not_asked_again() {
        let mut fetch = Fetch::new();
        assert_eq!(fetch.chunk(1, true), Taken::More);
        let wrong = Taken::Wrong {
            by: [remote(1)].into(),
            certain: true,
        };
        assert_eq!(fetch.rest(1), wrong);
        let hash = fetch.hash();
        assert!(fetch.partials.distrusts(&hash, &remote(1)));
        assert!(!fetch.partials.distrusts(&hash, &remote(2)));
        assert_eq!(fetch.disk.partials().expect("readable"), []);
        assert_eq!(fetch.rest(2), Taken::Whole(blob()));
    }

    #[test]
    fn a_poisoned_start_is_thrown_away_and_the_next_attempt_shows_who_lies() {
        for spoilt_chunk in 0..5 {
            let mut fetch = Fetch::new();
            for n in 0..5 {
                assert_eq!(fetch.chunk(1, n == spoilt_chunk), Taken::More);
            }
            let wrong = Taken::Wrong {
                by: [remote(1), remote(2)].into(),
                certain: false,
            };
            assert_eq!(fetch.rest(2), wrong, "either may have");
            // The liar begins again, somebody else takes over: not one byte of it is used.
            assert_eq!(fetch.chunk(1, true), Taken::More);
            let hash = fetch.hash();
            assert_eq!(fetch.partials.offset(&hash, &remote(2), 950), 0);
            assert_eq!(fetch.rest(2), Taken::Whole(blob()));
        }
    }

    #[test]
    fn a_start_from_an_earlier_run_that_is_wrong_is_nobodys_certain_fault() {
        let mut fetch = Fetch::new();
        assert_eq!(fetch.chunk(1, true), Taken::More);
        fetch.restart();
        let wrong = Taken::Wrong {
            by: [remote(2)].into(),
            certain: false,
        };
        assert_eq!(fetch.rest(2), wrong);
        assert!(!fetch.partials.distrusts(&fetch.hash(), &remote(2)));
        assert_eq!(fetch.rest(2), Taken::Whole(blob()));
    }

    #[test]
    fn chunks_beyond_the_end_or_out_of_turn_change_nothing() {
        let mut fetch = Fetch::new();
        assert_eq!(fetch.chunk(1, false), Taken::More);
        let hash = fetch.hash();
        let long = vec![0; 1_000];
        let mut take = |offset, total, bytes: &[u8]| {
            let chunk = Chunk {
                hash,
                from: remote(3),
                offset,
                total,
                bytes,
            };
            let now = fetch.now;
            fetch
                .partials
                .take(&chunk, |_| false, now, &fetch.disk)
                .expect("writable")
        };
        assert_eq!(take(100, 950, &long), Taken::Beyond);
        assert_eq!(take(u64::MAX, 950, &long[..1]), Taken::Beyond);
        assert_eq!(take(0, 950, &long[..10]), Taken::More, "that is here");
        assert_eq!(take(200, 950, &long[..10]), Taken::More, "that is too far");
        assert_eq!(take(100, 950, &[]), Taken::More);
        assert_eq!(fetch.partials.len(&hash), 100);
        assert_eq!(fetch.rest(1), Taken::Whole(blob()));
    }

    #[test]
    fn partial_blobs_take_so_much_room_and_the_oldest_give_way() {
        let disk = MemoryDisk::new();
        let mut partials = Partials::default();
        let bytes = vec![1; 1 << 20];
        let name = |n: u32| BlobHash::of(&n.to_le_bytes());
        for n in 0..400 {
            let chunk = |offset: u64| Chunk {
                hash: name(n % 100),
                from: remote(1),
                offset,
                total: MODULE_BYTES_MAX as u64,
                bytes: &bytes,
            };
            let offset = partials.len(&name(n % 100));
            let now = Tick(u64::from(n));
            let taken = partials.take(&chunk(offset), |_| false, now, &disk);
            assert_eq!(taken.expect("writable"), Taken::More);
            assert!(partials.bytes() <= PARTIAL_BYTES_MAX);
            assert!(partials.parts.len() <= PARTIALS_MAX);
            let on_disk = disk.partials().expect("readable");
            let len: u64 = on_disk.iter().map(|(_, len)| len).sum();
            assert_eq!(len, partials.bytes());
        }
        assert!(partials.len(&name(399 % 100)) > 0, "the newest stays");
        let later = Tick(399).plus_ms(PARTIAL_KEEP_MS + 1);
        partials.remove_stale(later, &disk).expect("writable");
        assert_eq!(disk.partials().expect("readable"), []);
    }

    #[test]
    fn too_many_helpers_begin_afresh_with_one() {
        let mut fetch = Fetch::new();
        fetch.blob = vec![7; 100 * (CONTRIBUTORS_MAX + 5)];
        for n in 0..=CONTRIBUTORS_MAX {
            assert_eq!(
                fetch.chunk(u8::try_from(n).expect("few"), false),
                Taken::More
            );
        }
        let hash = fetch.hash();
        assert_eq!(fetch.partials.len(&hash), 0);
        let whole = fetch.blob.clone();
        assert_eq!(fetch.rest(3), Taken::Whole(whole));
    }
}
