//! Names for the places between two effects on the disk, where a crash leaves a state of its own.
//!
//! Crashing at every write by number shows that any crash is survived. It does not say which places
//! there are, so nobody would notice that a test no longer comes to one of them. Here each has a
//! name and a promise; `store`'s tests crash at every one and hold it to that.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::error::StoreError;

/// Lists the points once: an enum, and all of them in order.
macro_rules! crash_points {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A place where a crash leaves a distinct state on the disk. Each says what is durable
        /// there and what a restart finds. `docs/DISK.md` has them as a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CrashPoint {
            $($(#[doc = $doc])+ $name,)+
        }

        impl CrashPoint {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

crash_points! {
    /// A database file was made, empty; whether its name is durable is up to the disk. A restart
    /// finds no file or an empty one, and fills either as a new one.
    FileNamed,
    /// A file whose making an earlier crash interrupted was cut to nothing, not durably. A restart
    /// finds it unfinished or empty, and makes it again.
    UnfinishedEmptied,
    /// redb has repaired a file after a crash; sums of the pages that it accepted are not written.
    /// A restart repairs again, with the same result.
    RepairAccepted,
    /// A log or base has its tables, durably, and nothing in them. A restart finds it empty: no
    /// cut, no entries, no height.
    TablesMade,
    /// A commit in two phases has written pages that no header names. Nothing of it is durable; a
    /// restart finds the state before it.
    PagesWritten,
    /// A commit has written its header, and sums of its pages not yet. A restart finds the state
    /// before it, or after it if all of its pages reached the disk.
    HeaderWritten,
    /// Pages and their sums are written and not synced: a whole commit, or the first of two phases.
    /// A restart finds the state before or after it.
    SumsWritten,
    /// A file is being closed: the sum of its last header is durable, or where that header replaces another of a
    /// closed file, that there is none; the header is not. A restart finds the header before it, with every
    /// commit.
    CloseSummed,
    /// Entries are durable in the journal, and nobody has been told. A restart finds them there, puts them
    /// into the tail, and runs them.
    EntriesAppended,
    /// Entries of the journal are durable in the tables, and still in the journal. A restart finds them in both,
    /// and nothing to add.
    EntriesMerged,
    /// The journal was cleared, durably, of what had come into the tables. A restart finds that in the tables.
    JournalCleared,
    /// The log has a cut, durably, the base has not. A restart finds the base at the cut before and
    /// the segment in the log, and settles it again to the same state root.
    CutLogged,
    /// A note is durable. A restart finds it.
    NoteMade,
    /// A note is gone, durably. A restart does not find it.
    NoteDropped,
    /// The log went back to an earlier cut, in one commit with the pledge and the note; the base
    /// stands at a later one. A restart finds the note, which says that the base has to be built
    /// anew, and what the cuts covered in the tail.
    Retreated,
    /// The cuts to follow are durable. A restart finds them and goes on from the last cut.
    PledgeKept,
    /// The cuts that were followed are forgotten, durably. A restart finds none.
    PledgeDropped,
    /// All rows of a cut are in the base's transaction, which has not ended. A restart finds the
    /// base before the cut.
    CutWritten,
    /// A cut is durable in the base; the spill still holds what it settled. A restart finds the base
    /// at the cut, and empties the spill.
    CutSettled,
    /// A cut is durable in the base, and the spill has forgotten it. A restart finds the base at the
    /// cut, and empties the spill.
    SpillForgotten,
    /// The oldest calls of a long tail are in the spill, and still in memory. A restart finds the
    /// base as it was, and empties the spill.
    SpillTaken,
    /// The spill was emptied at a start. A restart empties it again; log and base are as they were.
    SpillEmptied,
    /// A migration has cleared what it writes anew, in a transaction that has not ended. A restart
    /// finds the base before it, under the old schema.
    SpacesCleared,
    /// A migration has written all rows and entries, in the same transaction. A restart finds the
    /// base before it, under the old schema.
    RowsMoved,
    /// A migration is durable, with its cut; the spill still holds the old schema's rows. A restart
    /// finds the base at the cut, under the new schema.
    Migrated,
    /// Opening has dropped indexes that the schema no longer has, in a transaction that has not
    /// ended. A restart finds the old indexes, and begins again.
    IndexesDropped,
    /// Opening has built the schema's new indexes, in the same transaction. A restart finds the old
    /// indexes, and begins again.
    IndexesBuilt,
    /// The indexes are those of the schema, durably. A restart finds nothing to do.
    Reindexed,
    /// A second base was made in the place of any that was there. A restart finds the first base, as
    /// it was; a second one is cleared away or emptied.
    SpareEmptied,
    /// The second base is whole and durable under its own name. A restart finds the first base, as
    /// it was.
    SpareSynced,
    /// The second base has the first one's name, which may not be durable. A restart finds one of
    /// the two bases, whole.
    SpareInPlace,
    /// A file of a dump was made, without its text. A restart finds an empty one or none; a dump
    /// made again replaces it.
    DumpBegun,
    /// A file of a dump is whole; its name may not be durable. A restart finds it whole or not at
    /// all.
    DumpWritten,
    /// A database that is being removed has lost its name, and none or some of its files. A restart
    /// does not find it, and removes the rest.
    RemovalNamed,
    /// Opening a directory has removed one of the things that a crash left unfinished. A restart
    /// removes the others.
    LeftoverCleared,
    /// The bytes of a blob are durable under another name; a partial blob that it was made of is
    /// there too. A restart does not find the blob, clears its bytes away, and finds the partial one.
    BlobWritten,
    /// A blob has its name, which may not be durable. A restart finds it whole or not at all; the
    /// partial blob that it was made of is there.
    BlobNamed,
    /// A partial blob was cut back to where bytes are going to be written. A restart finds that
    /// beginning, and asks for the rest.
    PartialCutBack,
    /// Bytes of a partial blob are durable; the name of a new one may not be. A restart finds all of
    /// them, or of a new one nothing.
    PartialWritten,
    /// A partial blob is removed; that may not be durable. A restart finds all of it or nothing.
    PartialRemoved,
    /// The bytes of an artifact are written under another name, not durably. A restart does not find
    /// the artifact and compiles; the next one that is kept clears them away.
    ArtifactWritten,
    /// An artifact has its name; neither is durable. A restart finds it whole, or damaged, which its
    /// seal shows, or not at all.
    ArtifactNamed,
}

/// A file of a disk: a redb backend that is told which crash points it passes.
pub trait DiskFile: StorageBackend {
    /// The work on this file is at `point`. Real files do nothing here; one that is made up counts,
    /// and may lose power.
    ///
    /// # Errors
    /// If the power fails here. Whoever asked stops at once, as if the process had ended.
    fn passes(&self, _point: CrashPoint) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for redb::backends::FileBackend {}
impl DiskFile for redb::backends::InMemoryBackend {}

/// The same with this crate's error.
pub(crate) fn pass(file: &dyn DiskFile, point: CrashPoint) -> Result<(), StoreError> {
    file.passes(point).map_err(|error| stopped(point, error))
}

pub(crate) fn stopped(point: CrashPoint, error: io::Error) -> StoreError {
    StoreError::io(format!("passing {point:?}"), error)
}

/// How often crash points were passed, and at which one the power fails.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    counts: BTreeMap<CrashPoint, u64>,
    /// Where it fails, and how often it is still passed until then, that time included.
    armed: Option<(CrashPoint, u64)>,
    failed_at: Option<CrashPoint>,
}

impl Passed {
    pub(crate) fn counts(&self) -> BTreeMap<CrashPoint, u64> {
        self.counts.clone()
    }

    pub(crate) fn arm(&mut self, point: CrashPoint, nth: u64) {
        assert!(nth > 0, "the next time is the first");
        self.armed = Some((point, nth));
        self.failed_at = None;
    }

    /// Nothing is armed any more.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    pub(crate) fn failed_at(&self) -> Option<CrashPoint> {
        self.failed_at
    }

    /// # Errors
    /// If the power fails here, or has failed at a point before.
    pub(crate) fn pass(&mut self, point: CrashPoint) -> io::Result<()> {
        let off = || io::Error::other("the power is off");
        if self.armed.is_some() && self.failed_at.is_some() {
            return Err(off());
        }
        *self.counts.entry(point).or_default() += 1;
        if let Some((at, left)) = &mut self.armed
            && *at == point
        {
            *left -= 1;
            if *left == 0 {
                self.failed_at = Some(point);
                return Err(off());
            }
        }
        Ok(())
    }
}

/// Counts the crash points that a [`DirDisk`](crate::DirDisk) passes, and ends its work at one of
/// them. Clones share.
#[derive(Clone, Debug, Default)]
pub struct CrashWatch(Arc<Mutex<Passed>>);

impl CrashWatch {
    /// The work ends when `point` is passed for the `nth` time from now on; 1 is the next time.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn crash_at(&self, point: CrashPoint, nth: u64) {
        self.with(|passed| passed.arm(point, nth));
    }

    /// How often each point was passed.
    #[must_use]
    pub fn passed(&self) -> BTreeMap<CrashPoint, u64> {
        self.with(|passed| passed.counts())
    }

    /// Where the work ended, if it did.
    #[must_use]
    pub fn crashed_at(&self) -> Option<CrashPoint> {
        self.with(|passed| passed.failed_at())
    }

    pub(crate) fn pass(&self, point: CrashPoint) -> io::Result<()> {
        self.with(|passed| passed.pass(point))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Passed) -> T) -> T {
        // Counts are whole whatever a panic leaves.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
