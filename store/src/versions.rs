//! The versions of one key: what each commit that wrote it left there.

use std::collections::VecDeque;

use crate::key::Key;
use crate::overlay::{Row, version_bytes};

/// What one commit wrote under one key: a value, or `None` where it deleted.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The commit's label.
    pub(crate) commit: u64,
    pub(crate) value: Option<Row>,
}

/// The versions of one key, oldest first, the newest apart: most keys have one, and it is the one
/// that is read.
#[derive(Debug)]
pub(crate) struct Versions {
    older: VecDeque<Version>,
    newest: Version,
}

impl Versions {
    /// The newest one, when there is no other.
    pub(crate) fn into_newest(self) -> Version {
        self.newest
    }

    /// Changes each of them.
    pub(crate) fn each_mut(&mut self, mut change: impl FnMut(&mut Version)) {
        self.older.iter_mut().for_each(&mut change);
        change(&mut self.newest);
    }

    pub(crate) fn of(version: Version) -> Self {
        Self {
            older: VecDeque::new(),
            newest: version,
        }
    }

    /// What is visible: a value, or `None` where the newest version deleted.
    pub(crate) fn visible(&self) -> Option<&Row> {
        self.newest.value.as_ref()
    }

    /// The newest version of commits before `end`.
    pub(crate) fn before(&self, end: u64) -> Option<&Version> {
        if self.newest.commit < end {
            return Some(&self.newest);
        }
        let count = self.older.partition_point(|version| version.commit < end);
        self.older.get(count.checked_sub(1)?)
    }

    /// The versions of commits before `end`, oldest first.
    pub(crate) fn all_before(&self, end: u64) -> impl Iterator<Item = &Version> {
        let all = self.older.iter().chain([&self.newest]);
        all.take_while(move |version| version.commit < end)
    }

    /// The label of the first version after `commit`'s.
    pub(crate) fn after(&self, commit: u64) -> Option<u64> {
        let count = self
            .older
            .partition_point(|version| version.commit <= commit);
        let next = self.older.get(count).unwrap_or(&self.newest).commit;
        (next > commit).then_some(next)
    }

    /// Puts a version in its place. Gives back the one that this commit had written before.
    pub(crate) fn put(&mut self, version: Version) -> Option<Version> {
        if version.commit > self.newest.commit {
            let older = std::mem::replace(&mut self.newest, version);
            self.older.push_back(older);
            return None;
        }
        if version.commit == self.newest.commit {
            return Some(std::mem::replace(&mut self.newest, version));
        }
        let count = self
            .older
            .partition_point(|held| held.commit < version.commit);
        match self.older.get_mut(count) {
            Some(held) if held.commit == version.commit => Some(std::mem::replace(held, version)),
            _ => {
                self.older.insert(count, version);
                None
            }
        }
    }

    /// What a commit wrote.
    pub(crate) fn get(&self, commit: u64) -> Option<&Version> {
        if self.newest.commit == commit {
            return Some(&self.newest);
        }
        let count = self.older.partition_point(|held| held.commit < commit);
        self.older.get(count).filter(|held| held.commit == commit)
    }

    /// Takes out what a commit wrote, unless that is the only version: then the key has to go.
    pub(crate) fn take(&mut self, commit: u64) -> Option<Version> {
        if self.newest.commit == commit {
            let older = self.older.pop_back()?;
            return Some(std::mem::replace(&mut self.newest, older));
        }
        let count = self.older.partition_point(|held| held.commit < commit);
        self.older.remove(count)
    }

    /// Takes the versions of commits before `end` off `bytes`, and all but the newest out, into `gone`. Tells whether
    /// one is left.
    pub(crate) fn forget(
        &mut self,
        end: u64,
        key: &Key,
        bytes: &mut usize,
        gone: &mut Vec<Version>,
    ) -> bool {
        while let Some(oldest) = self.older.pop_front_if(|oldest| oldest.commit < end) {
            *bytes -= version_bytes(key, oldest.value.as_ref());
            gone.push(oldest);
        }
        let is_left = self.newest.commit >= end;
        if !is_left {
            *bytes -= version_bytes(key, self.newest.value.as_ref());
        }
        is_left
    }
}
