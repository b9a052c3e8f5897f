//! Adding entries: at once, or begun and waited for later, so that the disk syncs them while their
//! calls run.

use std::fmt;
use std::sync::Arc;

use redb::{Database, ReadableTable};
use sync_protocol::Entry;

use super::{ENTRIES, Log, TAIL, leave_unsynced};
use crate::aside::{Aside, Work};
use crate::crash_point::{CrashPoint, DiskFile, pass};
use crate::error::StoreError;

/// Calls in what is appended from which on it is worth a thread: one costs about as much as running
/// two calls does, and less than a disk takes to sync.
const CALLS_WORTH_A_THREAD: usize = 16;

/// Entries that are on their way to the disk.
#[derive(Default)]
pub(super) enum Appending {
    /// None.
    #[default]
    Nothing,
    /// Some: nobody has waited for them yet.
    Begun {
        /// Those that a thread writes.
        work: Option<Work<Result<(), StoreError>>>,
        /// Those that came later, or are too few for a thread: whoever waits writes them, in one commit.
        queued: Vec<Arc<Entry>>,
    },
    /// Some did not arrive, and why. It is not known what the file holds.
    Failed(String),
}

impl Log {
    /// Says where entries are written that [`Log::begin_append`] is given; in the beginning, at once.
    pub fn set_aside(&mut self, aside: Aside) {
        self.aside = aside;
    }

    /// Adds entries that no cut covers yet, in one durable commit. Those that the log holds
    /// already are left out.
    ///
    /// # Errors
    /// If the disk fails; then none of them is in.
    pub fn append(&mut self, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
        self.settle()?;
        if entries.is_empty() {
            return Ok(());
        }
        self.readers.take();
        append(&self.db, &*self.file, entries)
    }

    /// Begins to do the same, perhaps in a thread of its own. They are durable once [`Log::settle`]
    /// says so: until then nothing that they caused may leave this peer. What is begun before that
    /// is one commit, or two. Whatever else is asked of this log waits for them, but for what they cannot
    /// change: cuts, what these cover, and notes.
    ///
    /// # Errors
    /// If the disk fails, now or at what was begun before. An error may also be left to
    /// [`Log::settle`].
    pub fn begin_append(&mut self, entries: Vec<Arc<Entry>>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.aside == Aside::Never {
            return self.append(&entries);
        }
        self.readers.take();
        let appending = self.appending.get_mut();
        match appending {
            Appending::Failed(why) => return Err(StoreError::NotAppended { why: why.clone() }),
            Appending::Begun { queued, .. } => queued.extend(entries),
            Appending::Nothing => {
                let calls = entries.iter().map(|entry| entry.body.invocations.len());
                let is_few = calls.sum::<usize>() < CALLS_WORTH_A_THREAD;
                let (work, queued) = match self.aside {
                    Aside::Thread if is_few => (None, entries),
                    aside => {
                        let (db, file) = (Arc::clone(&self.db), Arc::clone(&self.file));
                        let write = move || append(&db, &*file, &entries);
                        (Some(Work::start(aside, "log", write)), Vec::new())
                    }
                };
                *appending = Appending::Begun { work, queued };
            }
        }
        Ok(())
    }

    /// Waits until everything that was appended is durable.
    ///
    /// # Errors
    /// If some of it could not be written, from then on always: open the log again.
    pub fn settle(&self) -> Result<(), StoreError> {
        let mut appending = self.appending.borrow_mut();
        match std::mem::take(&mut *appending) {
            Appending::Nothing => Ok(()),
            Appending::Begun { work, queued } => {
                // Whoever looks at the file as it was keeps its pages from being used again.
                self.early.take();
                let mut written = work.map_or(Ok(()), Work::wait);
                if written.is_ok() && !queued.is_empty() {
                    written = append(&self.db, &*self.file, &queued);
                }
                written.inspect_err(|error| {
                    *appending = Appending::Failed(error.to_string());
                })
            }
            Appending::Failed(why) => {
                *appending = Appending::Failed(why.clone());
                Err(StoreError::NotAppended { why })
            }
        }
    }

    /// Whether entries are on their way.
    pub(super) fn is_appending(&self) -> bool {
        matches!(*self.appending.borrow(), Appending::Begun { .. })
    }
}

fn append(db: &Database, file: &dyn DiskFile, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
    let mut write = db.begin_write()?;
    if planted!(AcknowledgeBeforeSync) {
        leave_unsynced(&mut write);
    }
    {
        let mut held = write.open_table(ENTRIES)?;
        let mut tail = write.open_table(TAIL)?;
        for entry in entries {
            if held.get(entry.id.0)?.is_none() {
                held.insert(entry.id.0, &**entry.encoded())?;
                if !planted!(LostTailWrite) {
                    tail.insert(entry.position(0).to_bytes(), ())?;
                }
            }
        }
    }
    write.commit()?;
    #[cfg(feature = "plants")]
    if planted!(LostTailWrite) {
        append_positions_unsynced(db, entries)?;
    }
    pass(file, CrashPoint::EntriesAppended)
}

#[cfg(feature = "plants")]
fn append_positions_unsynced(db: &Database, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
    let mut write = db.begin_write()?;
    leave_unsynced(&mut write);
    let mut tail = write.open_table(TAIL)?;
    for entry in entries {
        tail.insert(entry.position(0).to_bytes(), ())?;
    }
    drop(tail);
    Ok(write.commit()?)
}

impl fmt::Debug for Appending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Begun { work, queued } => f
                .debug_struct("Begun")
                .field("work", work)
                .field("queued", &queued.len())
                .finish(),
            Self::Failed(why) => f.debug_tuple("Failed").field(why).finish(),
        }
    }
}
