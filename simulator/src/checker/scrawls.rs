//! The one document of a world once more, in the simplest way: a change is in it if all that it builds on is, if it is
//! the next of its actor, and if no other has its number.

use std::collections::BTreeMap;

use automerge::{Change, ChangeHash};
use serde_json::json;

use super::model::{Calling, Failed, Model, Outcome, check};
use crate::world::pages::{first, shown_change, text_of};

/// Actors that a document may have.
const ACTORS_MAX: usize = 64;

/// Changes by name, each with how far it has seen every actor.
#[derive(Debug)]
pub(super) struct Scrawls(BTreeMap<ChangeHash, (Change, BTreeMap<Vec<u8>, u64>)>);

impl Default for Scrawls {
    fn default() -> Self {
        let mut scrawls = Self(BTreeMap::new());
        let begun = scrawls.add(first());
        assert!(begun.is_ok(), "the first change builds on nothing");
        scrawls
    }
}

impl Scrawls {
    fn add(&mut self, change: Change) -> Outcome {
        if self.0.contains_key(&change.hash()) {
            return Ok(());
        }
        let mut seen: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut max_op = 0;
        for dependency in change.deps() {
            let (known, far) = self.0.get(dependency).ok_or(Failed)?;
            max_op = max_op.max(known.max_op());
            for (actor, seq) in far {
                let last = seen.entry(actor.clone()).or_default();
                *last = (*last).max(*seq);
            }
        }
        let actor = change.actor_id().to_bytes().to_vec();
        let last = seen.insert(actor, change.seq()).unwrap_or(0);
        check(change.seq() == last + 1 && change.start_op().get() > max_op)?;
        let mut others = self.0.values().map(|(other, _)| other);
        check(
            others
                .all(|other| (other.actor_id(), other.seq()) != (change.actor_id(), change.seq())),
        )?;
        check(seen.len() <= ACTORS_MAX)?;
        self.0.insert(change.hash(), (change, seen));
        Ok(())
    }

    /// The rows as anybody reads them.
    pub(super) fn shown(&self) -> Vec<serde_json::Value> {
        let row = |change: &Change| {
            let hex = |bytes: &[u8]| -> String {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            };
            json!([hex(change.hash().as_ref()), hex(change.raw_bytes())])
        };
        self.0.values().map(|(change, _)| row(change)).collect()
    }
}

impl Model {
    /// Adds changes, all or none.
    pub(super) fn scrawl(&mut self, calling: &mut Calling<'_>) -> Outcome {
        let mut fresh = Vec::new();
        for _ in 0..calling.arguments.u32()? {
            let bytes = calling.arguments.bytes()?;
            fresh.push(Change::from_bytes(bytes).map_err(|_| Failed)?);
        }
        let mut added = Vec::new();
        for change in fresh {
            let hash = change.hash();
            let is_new = !self.scrawls.0.contains_key(&hash);
            if let Err(failed) = self.scrawls.add(change) {
                for hash in added {
                    self.scrawls.0.remove(&hash);
                }
                return Err(failed);
            }
            added.extend(is_new.then_some(hash));
        }
        Ok(())
    }
}

/// The text of the document that a peer shows; none before the module has begun one.
pub(super) fn read(shown: &super::Shown) -> Result<String, String> {
    let rows = shown.get("scrawl").map_or(&[][..], Vec::as_slice);
    let change = |row: &String| {
        let columns: [String; 2] =
            serde_json::from_str(row).map_err(|error| format!("{row}: {error}"))?;
        shown_change(&columns[1])
    };
    let changes: Vec<Change> = rows.iter().map(change).collect::<Result<_, String>>()?;
    if changes.is_empty() {
        return Ok(String::new());
    }
    text_of(changes)
}
