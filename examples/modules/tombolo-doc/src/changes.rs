//! Documents as rows of changes.
//!
//! A table holds one row for each change, with what [`ChangeRow`] has. [`judge`] looks at a change that somebody
//! sent: whether it is one, whether all that it builds on is there, whether it is the next of its actor, and whether
//! each operation refers to what its actor had seen. For that it reads the rows that the change names, and no
//! others. So changes of different people never wait for each other, and one that comes late makes no call run again.
//!
//! What is accepted can be merged by everybody, in any order that has every change after those it builds on.

use std::collections::BTreeMap;

use spacetimedb::sats::{bsatn, u256};
use spacetimedb::{Identity, SpacetimeType};

use crate::{Error, host};

/// Bytes of an actor: half of them are an identity's, half are drawn.
pub const ACTOR_BYTES: usize = 16;

/// Actors that one document may have. A page that keeps its actor has one for as long as it is used.
pub const ACTORS_MAX: usize = 64;

/// How far somebody had seen an actor's changes.
#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The actor.
    pub actor: u128,
    /// The number of the last change that was seen.
    pub seq: u32,
}

/// A change, with what is needed to judge those that build on it. The columns of a table of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// The change's name, SHA-256 of what is in it, as a number: in hexadecimal form it is what Automerge shows.
    pub hash: u256,
    /// The 16 bytes of Automerge's actor, as a number, the first byte the highest.
    pub actor: u128,
    /// Which change of its actor it is, from 1.
    pub seq: u32,
    /// The number of its first operation.
    pub start_op: u32,
    /// The highest number of an operation of it and of all that it builds on.
    pub max_op: u32,
    /// Of each actor, the last change that it builds on, its own included; by ascending actor.
    pub seen: Vec<Seen>,
    /// The change itself, as Automerge's libraries read it (`applyChanges`).
    pub bytes: Vec<u8>,
}

/// Where the changes of one document are found: a table, of which a module knows the name.
pub trait Changes {
    /// The change of that name.
    fn named(&self, hash: u256) -> Option<ChangeRow>;

    /// The change with that number of an actor.
    fn numbered(&self, actor: u128, seq: u32) -> Option<ChangeRow>;
}

/// What a change says of itself.
#[derive(SpacetimeType)]
struct Facts {
    hash: u256,
    actor: Vec<u8>,
    seq: u64,
    start_op: u32,
    max_op: u32,
    dependencies: Vec<u256>,
    needs: Vec<Need>,
}

/// Operations of an actor that a change refers to, by their numbers.
#[derive(SpacetimeType)]
struct Need {
    actor: Vec<u8>,
    first: u32,
    last: u32,
}

/// The first half of the actors that may write for somebody: whoever sends a change should have
/// one of these ([`is_by`]), so that nobody can take a number that is somebody else's.
#[must_use]
pub fn prefix_of(identity: Identity) -> u64 {
    let bytes = identity.to_be_byte_array();
    let mut last = [0; 8];
    last.copy_from_slice(&bytes[24..]);
    u64::from_be_bytes(last)
}

/// Whether an actor may write for somebody.
#[must_use]
pub fn is_by(row: &ChangeRow, identity: Identity) -> bool {
    (row.actor >> 64) as u64 == prefix_of(identity)
}

/// Judges a change. Nothing if it is there already, else what to insert.
///
/// # Errors
/// When the change is malformed, builds on one that is not there, is not the next of its actor, or
/// refers to what its actor had not seen. The text is for people.
pub fn judge(change: &[u8], changes: &impl Changes) -> Result<Option<ChangeRow>, Error> {
    let facts: Facts = bsatn::from_slice(&host::read_change(change)?).map_err(|_| {
        Error::new("the peer describes changes in a way that this module does not know")
    })?;
    let actor = name(&facts.actor)?;
    // Were it there already, its number would be taken: one look tells that of a new one.
    if let Ok(seq) = u32::try_from(facts.seq)
        && changes.numbered(actor, seq).is_some()
    {
        return match changes.named(facts.hash) {
            Some(_) => Ok(None),
            None => Err(Error::new(format!(
                "its actor has made another change with the number {seq}"
            ))),
        };
    }
    let mut known = Vec::with_capacity(facts.dependencies.len());
    let mut seen: BTreeMap<u128, u32> = BTreeMap::new();
    let mut max_op = 0;
    for dependency in &facts.dependencies {
        let Some(row) = changes.named(*dependency) else {
            return Err(Error::new(format!(
                "the change builds on {:064x}, which is not there",
                dependency
            )));
        };
        max_op = max_op.max(row.max_op);
        for Seen { actor, seq } in &row.seen {
            let last = seen.entry(*actor).or_default();
            *last = (*last).max(*seq);
        }
        known.push(row);
    }
    let last = seen.get(&actor).copied().unwrap_or(0);
    if facts.seq != u64::from(last) + 1 {
        return Err(Error::new(format!(
            "the change is number {} of its actor, after number {last}",
            facts.seq
        )));
    }
    let seq = last + 1;
    let mut others: BTreeMap<(u128, u32), Vec<u8>> = BTreeMap::new();
    for need in &facts.needs {
        let actor = name(&need.actor)?;
        let last = seen.get(&actor).copied().unwrap_or(0);
        if last == 0 {
            return Err(not_seen());
        }
        // Mostly what it builds on directly, which was read for that.
        let newest = known
            .iter()
            .position(|row: &ChangeRow| (row.actor, row.seq) == (actor, last));
        let newest = match newest {
            Some(at) => known.swap_remove(at),
            None => numbered(changes, actor, last)?,
        };
        let mut row = change_with(changes, newest, need.first)?;
        while row.max_op < need.last {
            if row.seq == last {
                return Err(not_seen());
            }
            let next = numbered(changes, actor, row.seq + 1)?;
            others.insert((actor, row.seq), row.bytes);
            row = next;
        }
        others.insert((actor, row.seq), row.bytes);
    }
    let others: Vec<Vec<u8>> = others.into_values().collect();
    let others = others.concat();
    host::check_change(change, &others, max_op)?;
    seen.insert(actor, seq);
    if seen.len() > ACTORS_MAX {
        return Err(Error::new(format!(
            "{ACTORS_MAX} actors have written in this document already: go on in a new one"
        )));
    }
    Ok(Some(ChangeRow {
        hash: facts.hash,
        actor,
        seq,
        start_op: facts.start_op,
        max_op: facts.max_op,
        seen: seen
            .into_iter()
            .map(|(actor, seq)| Seen { actor, seq })
            .collect(),
        bytes: change.to_vec(),
    }))
}

/// The last change of an actor that begins at or before an operation, of those up to the one that is `newest`.
///
/// Where it would be if operations were spread evenly is looked at first, which mostly is it; every other look
/// halves what is left, so that few are needed wherever it is.
fn change_with(changes: &impl Changes, newest: ChangeRow, op: u32) -> Result<ChangeRow, Error> {
    let (actor, last) = (newest.actor, newest.seq);
    if last == 1 || newest.start_op <= op {
        return Ok(newest);
    }
    // It is among those from `low` to `high`.
    let (mut low, mut low_op) = (1, 1);
    let (mut high, mut high_op) = (last - 1, newest.start_op);
    let mut lowest = None;
    let mut evenly = true;
    while low < high {
        let half = (high - low).div_ceil(2);
        let part = match evenly {
            true => {
                let ops = u64::from(high_op.saturating_sub(low_op)).max(1);
                let before = u64::from(op.saturating_sub(low_op));
                let part = before * u64::from(high - low + 1) / ops;
                u32::try_from(part).unwrap_or(u32::MAX).clamp(1, high - low)
            }
            false => half,
        };
        evenly = !evenly;
        let row = numbered(changes, actor, low + part)?;
        if row.start_op > op {
            (high, high_op) = (low + part - 1, row.start_op);
        } else if row.max_op >= op {
            return Ok(row);
        } else {
            (low, low_op) = (low + part, row.start_op);
            lowest = Some(row);
        }
    }
    match lowest {
        Some(row) => Ok(row),
        None => numbered(changes, actor, low),
    }
}

fn numbered(changes: &impl Changes, actor: u128, seq: u32) -> Result<ChangeRow, Error> {
    changes
        .numbered(actor, seq)
        .ok_or_else(|| Error::new(format!("change {seq} of actor {actor:032x} was taken away")))
}

fn not_seen() -> Error {
    Error::new("the change refers to what its actor had not seen")
}

/// An actor's bytes as a number.
fn name(actor: &[u8]) -> Result<u128, Error> {
    let bytes: [u8; ACTOR_BYTES] = actor.try_into().map_err(|_| {
        Error::new(format!(
            "an actor of the change has not {ACTOR_BYTES} bytes"
        ))
    })?;
    Ok(u128::from_be_bytes(bytes))
}
