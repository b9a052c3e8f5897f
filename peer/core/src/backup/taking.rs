//! Taking a backup, page by page, while the database is used: each page is a request of its own.

use std::collections::{BTreeSet, VecDeque};

use store::{Disk, StoreError};
use sync_protocol::{BlobHash, Cut, CutId, Entry, EntryId, SystemCall};

use super::format::{Described, End, Kind, MAGIC, PART_BYTES_MAX, hasher, put_frame, put_value};
use crate::core::Core;
use crate::error::refuse;
use crate::replica::Replica;
use crate::reply::{ErrorKind, Reply, RequestError};

/// Bytes of a page, unless one entry is longer.
const PAGE_BYTES: usize = 1 << 20;

/// How far a backup has come. What it holds is fixed once its tail was begun: cuts that are made
/// meanwhile belong to it until then, and later ones do not.
#[derive(Clone, Debug)]
pub struct BackupCursor {
    stage: Stage,
    /// The cut that was written last.
    previous: Option<CutId>,
    /// Modules that the entries name.
    modules: BTreeSet<BlobHash>,
    cuts: u64,
    entries: u64,
    blobs: u64,
    entries_total: u64,
    /// Over all that was written.
    hasher: blake3::Hasher,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The segment of the cut at `height`, from `place` on, then the cut.
    Cuts { height: u64, place: u32 },
    /// The entries that no cut covered when this was begun.
    Tail(VecDeque<EntryId>),
    /// The modules, and how much of the first of them is written.
    Blobs(VecDeque<BlobHash>, u64),
}

/// Some bytes of a backup.
#[derive(Debug)]
pub struct BackupPage {
    /// They follow those of the page before.
    pub bytes: Vec<u8>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Box<BackupCursor>>,
    /// Entries that are written so far.
    pub entries: u64,
    /// Entries that the database had when it began.
    pub entries_total: u64,
}

impl BackupCursor {
    fn new(entries_total: u64) -> Self {
        Self {
            stage: Stage::Cuts {
                height: 0,
                place: 0,
            },
            previous: None,
            modules: BTreeSet::new(),
            cuts: 0,
            entries: 0,
            blobs: 0,
            entries_total,
            hasher: hasher(),
        }
    }

    fn put_entry(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), RequestError> {
        let entry = Entry::open(bytes).map_err(|_| damaged("an entry"))?;
        self.modules
            .extend(entry.system_calls().filter_map(|(_, call)| match call {
                SystemCall::Genesis(genesis) => Some(genesis.module),
                SystemCall::Publish(new) => Some(new.module),
                _ => None,
            }));
        self.entries += 1;
        put_frame(out, Kind::Entry, &[bytes]);
        Ok(())
    }

    /// Writes until a page is full; false if nothing is left.
    fn fill(
        &mut self,
        out: &mut Vec<u8>,
        replica: &Replica,
        disk: &dyn Disk,
    ) -> Result<bool, RequestError> {
        while out.len() < PAGE_BYTES {
            match &mut self.stage {
                Stage::Cuts { height, place } => {
                    let (height, place) = (*height, *place);
                    self.fill_from_cut(out, replica, height, place)?;
                }
                Stage::Tail(ids) => {
                    let Some(id) = ids.pop_front() else {
                        let modules = self.modules.iter().copied().collect();
                        self.stage = Stage::Blobs(modules, 0);
                        continue;
                    };
                    let bytes = replica.log.entry(&id)?.ok_or_else(|| damaged("an entry"))?;
                    self.put_entry(out, &bytes)?;
                }
                Stage::Blobs(modules, offset) => {
                    let Some(hash) = modules.front().copied() else {
                        return Ok(false);
                    };
                    let part = disk.blob_part(&hash, *offset, PART_BYTES_MAX)?;
                    match part.filter(|part| !part.is_empty()) {
                        Some(part) => {
                            *offset += part.len() as u64;
                            put_frame(out, Kind::Blob, &[&hash.0, &part]);
                        }
                        // Either all of it is written, or it was never here: the module of a call that did
                        // not count.
                        None => {
                            self.blobs += u64::from(*offset > 0);
                            modules.pop_front();
                            *offset = 0;
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    fn fill_from_cut(
        &mut self,
        out: &mut Vec<u8>,
        replica: &Replica,
        height: u64,
        place: u32,
    ) -> Result<(), RequestError> {
        let Some(bytes) = replica.log.cut(height)? else {
            self.stage = Stage::Tail(replica.log.tail_ids()?.into());
            return Ok(());
        };
        let cut = Cut::open(&bytes).map_err(|_| damaged("a cut"))?;
        if self.previous.is_some_and(|previous| previous != cut.parent) {
            return Err(refuse(
                ErrorKind::Unavailable,
                "the database went over to another branch of cuts while it was backed up: begin again",
            ));
        }
        let (entries, more) = replica.log.segment(height, place, PAGE_BYTES)?;
        for entry in &entries {
            self.put_entry(out, entry)?;
        }
        self.stage = match more {
            true => Stage::Cuts {
                height,
                place: place + u32::try_from(entries.len()).unwrap_or(u32::MAX),
            },
            false => {
                put_frame(out, Kind::Cut, &[&bytes]);
                self.previous = Some(cut.id());
                self.cuts += 1;
                Stage::Cuts {
                    height: height + 1,
                    place: 0,
                }
            }
        };
        Ok(())
    }
}

impl Core {
    /// The next page of a backup; the first without a cursor.
    pub(crate) fn back_up(
        &self,
        text: &str,
        cursor: Option<Box<BackupCursor>>,
    ) -> Result<Reply, RequestError> {
        let replica = self.find(text)?;
        let mut bytes = Vec::new();
        let mut cursor = match cursor {
            Some(cursor) => cursor,
            None => {
                bytes.extend_from_slice(MAGIC);
                let about = Described {
                    database: replica.id,
                    device: self.parts.device,
                    names: replica.names().cloned().collect(),
                };
                put_value(&mut bytes, Kind::About, &about);
                Box::new(BackupCursor::new(replica.log.entries_len()?))
            }
        };
        let more = cursor.fill(&mut bytes, replica, &*self.parts.disk)?;
        cursor.hasher.update(&bytes);
        if !more {
            let end = End {
                cuts: cursor.cuts,
                entries: cursor.entries,
                blobs: cursor.blobs,
                hash: *cursor.hasher.finalize().as_bytes(),
            };
            put_value(&mut bytes, Kind::End, &end);
        }
        Ok(Reply::BackedUp(BackupPage {
            bytes,
            entries: cursor.entries,
            entries_total: cursor.entries_total,
            next: more.then_some(cursor),
        }))
    }
}

fn damaged(what: &str) -> RequestError {
    let what = StoreError::Damaged {
        what: format!("{what} of the log"),
    };
    what.into()
}
