//! Looks whether what lies on the disk is sound, without changing it: every page, every entry,
//! every row, and whether they fit each other.

mod base;
mod log;

use std::io;

use redb::StorageBackend;

pub use base::{BaseFacts, check_base};
pub use log::{LogFacts, check_log};

use crate::crash_point::DiskFile;
use crate::error::StoreError;
use crate::page_sums::PageSums;

/// Damage that is told in words; what is beyond is counted.
const TOLD_MAX: usize = 10;

/// Items between two words about progress.
const PROGRESS_EVERY: u64 = 1_024;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What: "entries of the log".
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// What is wrong, in words; empty if it is sound.
    pub damage: Vec<String>,
    /// Damage beyond that.
    pub more: u64,
}

impl Checked {
    /// A check that found nothing yet.
    #[must_use]
    pub fn named(what: &'static str) -> Self {
        Self::new(what)
    }

    /// Notes damage.
    pub fn damaged(&mut self, damage: String) {
        self.found(|| damage);
    }

    /// The file cannot be opened, which needs saying only if no damaged page says why.
    pub(crate) fn unopened(&mut self, error: &StoreError) {
        if self.damage.is_empty() {
            self.found(|| format!("the file cannot be opened: {error}"));
        }
    }

    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            count: 0,
            damage: Vec::new(),
            more: 0,
        }
    }

    pub(crate) fn found(&mut self, damage: impl FnOnce() -> String) {
        if self.damage.len() < TOLD_MAX {
            self.damage.push(damage());
        } else {
            self.more += 1;
        }
    }

    /// Notes damage unless `sound`.
    pub(crate) fn expect(&mut self, sound: bool, damage: impl FnOnce() -> String) {
        if !sound {
            self.found(damage);
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Told how far a check is: what it is at, how many are done, how many there are.
pub type Progress<'a> = dyn FnMut(&'static str, u64, u64) + 'a;

/// Looks at the sum of every page of a file. Answers nothing to look at if there is no whole page.
fn check_pages(
    what: &'static str,
    name: &'static str,
    file: Box<dyn DiskFile>,
) -> Result<Checked, StoreError> {
    let failed = |error: io::Error| StoreError::io(format!("reading {name}"), error);
    let mut checked = Checked::new(what);
    let sums = match PageSums::open(name, file.into()) {
        Ok(sums) => sums,
        Err(error) => {
            checked.found(|| failed(error).to_string());
            return Ok(checked);
        }
    };
    let mut damaged = Vec::new();
    checked.count = sums.check(|page| damaged.push(page)).map_err(failed)?;
    for page in damaged {
        checked.found(|| format!("page {page} is not what was written there"));
    }
    // The page of a commit that a crash cut off is as good as free: redb finds out which it is.
    if sums.is_unsure() {
        checked.damage.clear();
        checked.more = 0;
    }
    sums.close().map_err(failed)?;
    Ok(checked)
}
