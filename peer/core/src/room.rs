//! Whether the disk has room for more. A disk that is full in the middle of a write stops a database;
//! one that is nearly full only stops what would fill it, and reading goes on.

use store::limits::DISK_RESERVE_BYTES;
use sync_protocol::{Now, Tick};

use crate::core::Parts;
use crate::effect::NoteLevel;
use crate::error::refuse;
use crate::reply::{ErrorKind, RequestError};

/// Milliseconds between two looks at the disk.
const LOOK_EVERY_MS: u64 = 500;

/// What the disk said when it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Room {
    looked: Option<Tick>,
    /// Bytes that are free, while they are fewer than the reserve.
    short: Option<u64>,
}

impl Room {
    /// Whether nothing may be written that can be put off.
    pub(crate) fn is_short(&self) -> bool {
        self.short.is_some()
    }
}

impl Parts {
    /// Asks the disk again if it was a while ago.
    pub(crate) fn look_for_room(&mut self, now: Now) {
        let due = |looked: Tick| now.tick >= looked.plus_ms(LOOK_EVERY_MS);
        if !self.room.looked.is_none_or(due) {
            return;
        }
        self.room.looked = Some(now.tick);
        // A disk that cannot be asked will say so where it matters.
        let free = self.disk.free_bytes().unwrap_or_default();
        let short = free.filter(|free| *free < DISK_RESERVE_BYTES);
        match (self.room.short, short) {
            (None, Some(free)) => self.note(NoteLevel::Warn, nearly_full(free)),
            (Some(_), None) => self.note(NoteLevel::Info, "the disk has room again"),
            _ => {}
        }
        self.room.short = short;
    }

    /// # Errors
    /// Refused while the disk is nearly full.
    pub(crate) fn need_room(&mut self, now: Now) -> Result<(), RequestError> {
        self.look_for_room(now);
        match self.room.short {
            Some(free) => Err(refuse(ErrorKind::Unavailable, nearly_full(free))),
            None => Ok(()),
        }
    }
}

fn nearly_full(free: u64) -> String {
    format!(
        "the disk is nearly full: {} MiB are free, and {} MiB are kept in reserve. Nothing is written \
         until there is more room, then it goes on by itself; reading goes on",
        free >> 20,
        DISK_RESERVE_BYTES >> 20
    )
}
