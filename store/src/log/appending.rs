//! Adding entries: at once, or begun and waited for later, so that the disk syncs them while their
//! calls run.

use std::fmt;
use std::sync::Arc;

use sync_protocol::Entry;

use super::{Log, lock};
use crate::aside::{Aside, Work};
use crate::error::StoreError;

/// Calls in what is appended from which on it is worth a thread: to wake one costs about as much as running
/// two calls does, and less than a disk takes to sync.
const CALLS_WORTH_A_THREAD: usize = 16;

/// Bytes of entries that may wait for others to be written: one commit of that many is quick, and they are
/// in memory meanwhile.
const QUEUED_BYTES_MAX: usize = 4 << 20;

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
    /// Says where entries are written that [`Log::begin_append`] is given, and where they come into the tables; in the
    /// beginning, at once.
    pub fn set_aside(&mut self, aside: Aside) {
        self.aside = aside;
        self.journal().set_aside(aside);
    }

    /// Adds entries that no cut covers yet, durably: all or none of them. Those that the log holds
    /// already are left out.
    ///
    /// # Errors
    /// If the disk fails; then none of them is in.
    pub fn append(&mut self, entries: &[Arc<Entry>]) -> Result<(), StoreError> {
        self.settle()?;
        if entries.is_empty() {
            return Ok(());
        }
        let appended = self.journal().append(entries);
        self.refresh();
        appended
    }

    /// Begins to do the same, perhaps in a thread of its own. They are durable once [`Log::settle`]
    /// says so, or [`Log::is_appending`] that none is on its way. What is begun before that
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
        let appending = self.appending.get_mut();
        match appending {
            Appending::Failed(why) => return Err(StoreError::NotAppended { why: why.clone() }),
            Appending::Begun { queued, .. } => {
                queued.extend(entries);
                let bytes = queued.iter().map(|entry| entry.encoded().len());
                if bytes.sum::<usize>() > QUEUED_BYTES_MAX {
                    return self.settle();
                }
            }
            Appending::Nothing => {
                let calls = entries.iter().map(|entry| entry.body.invocations.len());
                let is_few = calls.sum::<usize>() < CALLS_WORTH_A_THREAD;
                let (work, queued) = match self.aside {
                    Aside::Thread if is_few => (None, entries),
                    _ => (Some(self.start_append(entries)), Vec::new()),
                };
                self.appending.replace(Appending::Begun { work, queued });
            }
        }
        Ok(())
    }

    /// Goes on with what was begun, without waiting for it: looks whether what is being written is done,
    /// and then has written what came meanwhile.
    ///
    /// # Errors
    /// If some of it could not be written, from then on always: open the log again.
    pub fn carry_on(&mut self) -> Result<(), StoreError> {
        match self.appending.get_mut() {
            Appending::Begun { work, queued } => {
                if work.as_mut().is_some_and(|work| !work.is_done()) {
                    return Ok(());
                }
                let (work, queued) = (work.take(), std::mem::take(queued));
                if let Err(error) = work.map_or(Ok(()), Work::wait) {
                    self.appending.replace(Appending::Failed(error.to_string()));
                    return Err(error);
                }
                self.refresh();
                let next = match queued.is_empty() {
                    true => Appending::Nothing,
                    false => Appending::Begun {
                        work: Some(self.start_append(queued)),
                        queued: Vec::new(),
                    },
                };
                self.appending.replace(next);
                Ok(())
            }
            Appending::Nothing => Ok(()),
            Appending::Failed(why) => Err(StoreError::NotAppended { why: why.clone() }),
        }
    }

    fn start_append(&mut self, entries: Vec<Arc<Entry>>) -> Work<Result<(), StoreError>> {
        let journal = Arc::clone(&self.journal);
        let append = move || lock(&journal).append(&entries);
        Work::start(self.aside, &mut self.worker, append)
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
                let mut written = work.map_or(Ok(()), Work::wait);
                if written.is_ok() && !queued.is_empty() {
                    written = self.journal().append(&queued);
                }
                self.refresh();
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
    #[must_use]
    pub fn is_appending(&self) -> bool {
        matches!(*self.appending.borrow(), Appending::Begun { .. })
    }
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
