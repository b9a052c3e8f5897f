//! A walk through the base: the file's rows, and above them those of a cut that is on its way there.

use crate::base::BytesRange;
use crate::error::StoreError;
use crate::key::Key;
use crate::overlay::Row;

type Stored = (
    redb::AccessGuard<'static, &'static [u8]>,
    redb::AccessGuard<'static, &'static [u8]>,
);

/// Keys and values of the base in order. It stands at one, or at the end.
pub(crate) struct BaseRange<'a> {
    rest: BytesRange,
    stored: Option<Stored>,
    /// In order. What it says of a key hides what is stored.
    unwritten: &'a [(Key, Option<Row>)],
}

impl<'a> BaseRange<'a> {
    /// Stands at the first key of both.
    pub(crate) fn merge(
        mut rest: BytesRange,
        unwritten: &'a [(Key, Option<Row>)],
    ) -> Result<Self, StoreError> {
        let stored = rest.next().transpose()?;
        let mut range = Self {
            rest,
            stored,
            unwritten,
        };
        range.skip_hidden()?;
        Ok(range)
    }

    /// The key it stands at; `None` at the end.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self.is_unwritten() {
            true => self.unwritten.first().map(|(key, _)| key.as_bytes()),
            false => self.stored.as_ref().map(|(key, _)| key.value()),
        }
    }

    /// The value of the key it stands at.
    pub(crate) fn value(&self) -> Option<Row> {
        match self.is_unwritten() {
            true => self.unwritten.first()?.1.clone(),
            false => Some(Row::from(self.stored.as_ref()?.1.value())),
        }
    }

    /// Goes on to the next key.
    pub(crate) fn step(&mut self) -> Result<(), StoreError> {
        match self.is_unwritten() {
            true => self.unwritten = &self.unwritten[1..],
            false => self.stored = self.rest.next().transpose()?,
        }
        self.skip_hidden()
    }

    /// Whether it stands at a key of the cut.
    fn is_unwritten(&self) -> bool {
        match (self.unwritten.first(), &self.stored) {
            (Some((unwritten, _)), Some((stored, _))) => unwritten.as_bytes() < stored.value(),
            (unwritten, _) => unwritten.is_some(),
        }
    }

    /// Passes stored keys that the cut changes, and keys that it deletes, up to one that is there.
    fn skip_hidden(&mut self) -> Result<(), StoreError> {
        while let Some((unwritten, value)) = self.unwritten.first() {
            let stored = self.stored.as_ref().map(|(key, _)| key.value());
            match stored.map(|stored| stored.cmp(unwritten.as_bytes())) {
                Some(std::cmp::Ordering::Less) => return Ok(()),
                Some(std::cmp::Ordering::Equal) => self.stored = self.rest.next().transpose()?,
                _ if value.is_some() => return Ok(()),
                _ => self.unwritten = &self.unwritten[1..],
            }
        }
        Ok(())
    }
}
