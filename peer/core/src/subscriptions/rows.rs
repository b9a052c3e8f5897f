//! Rows on their way to clients: one copy, however many get it.

use std::sync::Arc;

/// BSATN of rows of one table, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowList {
    /// All of them.
    pub bytes: Arc<[u8]>,
    /// Where each one begins.
    pub places: RowPlaces,
}

/// Where rows begin, as SpacetimeDB's clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPlaces {
    /// Each has so many bytes, more than none.
    Every(u16),
    /// At these places.
    At(Arc<[u64]>),
}

impl RowList {
    /// Puts rows together.
    pub(crate) fn new<R: AsRef<[u8]>>(rows: &[R]) -> Self {
        let lens = || rows.iter().map(|row| row.as_ref().len());
        let mut bytes = Vec::with_capacity(lens().sum());
        let mut places = Vec::new();
        let first = lens().next().and_then(|len| u16::try_from(len).ok());
        let same = first.filter(|first| *first > 0 && lens().all(|len| len == usize::from(*first)));
        for row in rows {
            if same.is_none() {
                places.push(bytes.len() as u64);
            }
            bytes.extend_from_slice(row.as_ref());
        }
        let places = match same {
            Some(len) => RowPlaces::Every(len),
            None => RowPlaces::At(places.into()),
        };
        Self {
            bytes: bytes.into(),
            places,
        }
    }

    /// How many rows these are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.places {
            RowPlaces::Every(len) => self.bytes.len() / usize::from(*len).max(1),
            RowPlaces::At(places) => places.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows of one table that a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRows {
    /// The table's canonical name.
    pub table: Arc<str>,
    /// Its number.
    pub table_id: u32,
    /// The rows.
    pub rows: RowList,
}

/// How what a query asks for changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table's canonical name.
    pub table: Arc<str>,
    /// Its number.
    pub table_id: u32,
    /// Rows that are there now. One that changed is here, and as it was in `deletes`.
    pub inserts: RowList,
    /// Rows that are there no more.
    pub deletes: RowList,
}

/// Changes of one set of queries of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// The number that the client gave the set.
    pub set: u32,
    /// A change for each of its queries that is concerned; two may be of one table.
    pub tables: Vec<Arc<TableChange>>,
}

/// What changed for one client: a state that was visible, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Sets that are concerned, by number.
    pub sets: Vec<SetChange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_length_need_no_places() {
        let check = |rows: &[&[u8]], places: RowPlaces| {
            let list = RowList::new(rows);
            assert_eq!(list.places, places, "{rows:?}");
            assert_eq!(list.len(), rows.len());
            assert_eq!(&*list.bytes, rows.concat());
        };
        let at = |places: &[u64]| RowPlaces::At(places.into());
        check(&[], at(&[]));
        check(&[b"abc"], RowPlaces::Every(3));
        check(&[b"abc", b"xyz"], RowPlaces::Every(3));
        check(&[b"abc", b"x"], at(&[0, 3]));
        check(&[b"", b""], at(&[0, 0]));
        check(&[&[7; 70_000]], at(&[0]));
    }
}
