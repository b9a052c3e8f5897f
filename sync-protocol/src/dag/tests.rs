mod bounds;
mod equivocation;
mod held;
mod maker;
mod model;
mod properties;
mod quiet;
mod rights;
mod strikes;
mod tail;
mod waiting;

use super::*;
use crate::entry::{Body, Draft};
use crate::fixtures::{Author, BIRTH, Birth, calls, key};
use crate::membership::{Role, RoleChange};
use crate::time::Hlc;

/// The owner `key(0)` and the writers `key(1)` to `key(4)`, members from the beginning.
pub(super) fn rights() -> Rights {
    let mut rights = Rights::of_creator(key(0).public());
    for writer in 1..=4 {
        let role = RoleChange {
            from: 0,
            role: Some(Role::Writer),
        };
        rights.roles.insert(key(writer).public(), vec![role]);
    }
    rights
}

/// A database at its birth, one peer's view of it, and its members.
pub(super) struct World {
    pub(super) birth: Birth,
    pub(super) dag: Dag,
    pub(super) authors: Vec<Author>,
}

/// Later than every entry that is not meant to be held back.
pub(super) const NOW: Hlc = Hlc(BIRTH.0 + 1_000_000);

impl World {
    pub(super) fn new() -> Self {
        let birth = Birth::new();
        let dag = birth.dag(rights());
        Self {
            birth,
            dag,
            authors: (0..10).map(Author::new).collect(),
        }
    }

    /// The next entry of an author: `count` plain calls.
    pub(super) fn write(&mut self, author: usize, parents: &[&Arc<Entry>]) -> Arc<Entry> {
        self.write_body(author, parents, calls(1))
    }

    pub(super) fn write_body(
        &mut self,
        author: usize,
        parents: &[&Arc<Entry>],
        body: Body,
    ) -> Arc<Entry> {
        let parents: Vec<&Entry> = parents.iter().map(|parent| parent.as_ref()).collect();
        self.authors[author].write(&self.birth, &parents, 10, body)
    }

    /// Another entry in the place of the author's last one.
    pub(super) fn fork(&mut self, author: usize, parents: &[&Arc<Entry>]) -> Arc<Entry> {
        let author = &mut self.authors[author];
        author.seq -= 1;
        author.previous = None;
        let parents: Vec<&Entry> = parents.iter().map(|parent| parent.as_ref()).collect();
        author.write(&self.birth, &parents, 10, calls(2))
    }

    pub(super) fn offer(&mut self, entry: &Arc<Entry>) -> Offered {
        self.dag
            .offer(Arc::clone(entry), Some(key(100).public()), &self.birth)
    }

    pub(super) fn take(&mut self, entries: &[&Arc<Entry>]) {
        for entry in entries {
            assert_eq!(
                self.offer(entry),
                Offered::Accepted(vec![Arc::clone(entry)])
            );
        }
    }

    /// A cut over `frontier` after which `rights` hold; what came in with it.
    pub(super) fn cut(&mut self, frontier: &[&Arc<Entry>], rights: Rights) -> Vec<Arc<Entry>> {
        self.cut_in(self.birth.cut.term, frontier, rights)
    }

    /// The same, of another term than the last one.
    pub(super) fn cut_in(
        &mut self,
        term: Term,
        frontier: &[&Arc<Entry>],
        rights: Rights,
    ) -> Vec<Arc<Entry>> {
        let frontier: Vec<EntryId> = frontier.iter().map(|entry| entry.id).collect();
        let segment = self.dag.segment(&frontier, &self.birth).unwrap();
        let cut = self.birth.next_cut_in(term, frontier, &segment);
        self.birth.cover(&cut, &segment);
        self.dag.advance(&cut, &rights, &self.birth)
    }

    pub(super) fn tail(&self) -> Vec<(EntryId, bool)> {
        self.dag
            .tail(NOW)
            .map(|ordered| (ordered.entry.id, ordered.struck.is_some()))
            .collect()
    }
}

pub(super) fn ids(entries: &[&Arc<Entry>]) -> Vec<EntryId> {
    let mut ids: Vec<EntryId> = entries.iter().map(|entry| entry.id).collect();
    ids.sort_unstable();
    ids
}

/// A tail of entries that all run.
pub(super) fn running(entries: &[&Arc<Entry>]) -> Vec<(EntryId, bool)> {
    entries.iter().map(|entry| (entry.id, false)).collect()
}

/// An entry with full control over its header.
pub(super) fn sealed(world: &World, author: u8, change: impl FnOnce(&mut Draft)) -> Arc<Entry> {
    let mut draft = Draft {
        database: world.birth.database,
        epoch: 1_000 + u64::from(author),
        seq: 0,
        parents: vec![world.birth.genesis.id],
        hlc: Hlc(BIRTH.0 + 10),
        stride: 0,
        base: world.birth.base(),
    };
    change(&mut draft);
    Arc::new(Entry::seal(draft, calls(1), &key(author)).unwrap())
}
