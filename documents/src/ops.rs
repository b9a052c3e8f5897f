//! The operations of a change, decoded from its columns.

use crate::bytes::Reader;
use crate::columns::{booleans, differences, numbers, rows_of_runs, runs};
use crate::error::ChangeError;
use crate::limits::{CHANGE_OPS_MAX, CHANGE_PREDECESSORS_MAX, COUNTER_MAX, NAME_BYTES_MAX};

/// An operation by its actor and number, in terms of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId {
    /// Its number: above that of all operations that its actor had seen.
    pub counter: u32,
    /// Whose: a place in [`Change::actors`](crate::Change::actors).
    pub actor: u32,
}

/// The object that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectId {
    /// The map that every document is.
    Root,
    /// What that operation made.
    Made(OpId),
}

/// Where in its object an operation is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// At a key of a map.
    Key(Box<str>),
    /// Before the first element of a list or text.
    Head,
    /// At the element that an operation inserted; an insertion: behind it.
    At(OpId),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a map, or what Automerge calls a table.
    MakeMap,
    /// Makes a list.
    MakeList,
    /// Makes a text.
    MakeText,
    /// Puts a value.
    Put,
    /// Takes away what its predecessors put.
    Delete,
    /// Adds to a counter.
    Increment,
    /// Begins or ends a mark on a list or text.
    Mark,
}

impl Action {
    /// Whether it makes an object.
    #[must_use]
    pub const fn makes(self) -> bool {
        matches!(self, Self::MakeMap | Self::MakeList | Self::MakeText)
    }
}

/// What kind of value an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// Yes or no.
    Boolean,
    /// A whole number.
    Integer,
    /// A floating-point number.
    Float,
    /// A text as one value.
    Text,
    /// Bytes.
    Bytes,
    /// A counter, which increments add to.
    Counter,
    /// Milliseconds since the Unix epoch.
    Timestamp,
}

/// One operation of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The object it is about.
    pub object: ObjectId,
    /// Where in it.
    pub element: Element,
    /// Whether it makes a new element there.
    pub insert: bool,
    /// What it does.
    pub action: Action,
    /// The kind of its value.
    pub value: Value,
    /// Where in the change's list its predecessors begin, and how many there are.
    pub(crate) predecessors: (u32, u32),
}

/// Columns by the numbers of Automerge's format: a column's number times 16, plus its type.
mod column {
    pub(super) const OBJECT_ACTOR: u32 = 0x01;
    pub(super) const OBJECT_COUNTER: u32 = 0x02;
    pub(super) const KEY_ACTOR: u32 = 0x11;
    pub(super) const KEY_COUNTER: u32 = 0x13;
    pub(super) const KEY_TEXT: u32 = 0x15;
    pub(super) const INSERT: u32 = 0x34;
    pub(super) const ACTION: u32 = 0x42;
    pub(super) const VALUE_META: u32 = 0x56;
    pub(super) const VALUE: u32 = 0x57;
    pub(super) const PREDECESSORS: u32 = 0x70;
    pub(super) const PREDECESSOR_ACTOR: u32 = 0x71;
    pub(super) const PREDECESSOR_COUNTER: u32 = 0x73;
    pub(super) const EXPAND: u32 = 0x94;
    pub(super) const MARK_NAME: u32 = 0xa5;
    pub(super) const KNOWN: [u32; 14] = [
        OBJECT_ACTOR,
        OBJECT_COUNTER,
        KEY_ACTOR,
        KEY_COUNTER,
        KEY_TEXT,
        INSERT,
        ACTION,
        VALUE_META,
        VALUE,
        PREDECESSORS,
        PREDECESSOR_ACTOR,
        PREDECESSOR_COUNTER,
        EXPAND,
        MARK_NAME,
    ];
}

/// What compresses a column: only whole documents have such columns.
const DEFLATED: u32 = 0b1000;

/// The operations of a change, and all of their predecessors.
pub(crate) type Ops = (Vec<Op>, Vec<OpId>);

/// Reads columns and the operations in them; leaves what follows them.
pub(crate) fn read(reader: &mut Reader<'_>, actors: usize) -> Result<Ops, ChangeError> {
    let columns = Columns::read(reader)?;
    let rows = rows_of_runs(columns.get(column::ACTION), CHANGE_OPS_MAX, |reader| {
        reader.unsigned().map(drop)
    })?
    .ok_or(ChangeError::TooMany {
        what: "operations",
        max: CHANGE_OPS_MAX,
    })?;
    let numbers_of = |which| numbers(columns.get(which), rows);
    let object_actors = numbers_of(column::OBJECT_ACTOR)?;
    let object_counters = numbers_of(column::OBJECT_COUNTER)?;
    let key_actors = numbers_of(column::KEY_ACTOR)?;
    let key_counters = differences(columns.get(column::KEY_COUNTER), rows)?;
    let key_texts = runs(columns.get(column::KEY_TEXT), rows, |reader| {
        reader.text("bytes in a key", NAME_BYTES_MAX)
    })?;
    if columns.get(column::INSERT).is_empty() && rows > 0 {
        return Err(ChangeError::Malformed(
            "an operation does not say whether it inserts",
        ));
    }
    let inserts = booleans(columns.get(column::INSERT), rows)?;
    let actions = numbers_of(column::ACTION)?;
    let values = values(
        columns.get(column::VALUE_META),
        columns.get(column::VALUE),
        rows,
    )?;
    booleans(columns.get(column::EXPAND), rows)?;
    let marks = runs(columns.get(column::MARK_NAME), rows, |reader| {
        reader.text("bytes in the name of a mark", NAME_BYTES_MAX)
    })?;
    let (counts, predecessors) = predecessors(&columns, rows, actors)?;

    let mut ops = Vec::with_capacity(rows);
    let mut at = 0;
    for row in 0..rows {
        let object = match (object_actors[row], object_counters[row]) {
            (None, None) => ObjectId::Root,
            (actor, counter) => ObjectId::Made(op_id(actor, counter, actors)?),
        };
        let element = match (key_actors[row], key_counters[row], key_texts[row]) {
            (None, None, Some(text)) => Element::Key(text.into()),
            (None, Some(0), None) => Element::Head,
            (actor, counter, None) => Element::At(op_id(actor, counter, actors)?),
            (_, _, Some(_)) => return Err(ChangeError::Malformed("an operation has two keys")),
        };
        let action = match actions[row] {
            Some(0 | 6) => Action::MakeMap,
            Some(1) => Action::Put,
            Some(2) => Action::MakeList,
            Some(3) => Action::Delete,
            Some(4) => Action::MakeText,
            Some(5) => Action::Increment,
            Some(7) => Action::Mark,
            Some(_) => return Err(ChangeError::Unknown("an action")),
            None => return Err(ChangeError::Malformed("an operation has no action")),
        };
        if action == Action::Increment && values[row] != Value::Integer {
            return Err(ChangeError::Malformed(
                "an increment by something that is no whole number",
            ));
        }
        if marks[row].is_some() && action != Action::Mark {
            return Err(ChangeError::Malformed(
                "an operation that is no mark has the name of one",
            ));
        }
        ops.push(Op {
            object,
            element,
            insert: inserts[row],
            action,
            value: values[row],
            predecessors: (at, counts[row]),
        });
        at += counts[row];
    }
    Ok((ops, predecessors))
}

/// The bytes of each column.
struct Columns<'a>(Vec<(u32, &'a [u8])>);

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ChangeError> {
        let count = reader.count("columns", column::KNOWN.len())?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            let which = reader.unsigned()?;
            let which = u32::try_from(which).map_err(|_| ChangeError::Unknown("a column"))?;
            if which & DEFLATED != 0 {
                return Err(ChangeError::Malformed("a column is compressed by itself"));
            }
            if !column::KNOWN.contains(&which) {
                return Err(ChangeError::Unknown("a column"));
            }
            if lengths.last().is_some_and(|(before, _)| *before >= which) {
                return Err(ChangeError::Malformed("the columns are not in order"));
            }
            lengths.push((which, reader.unsigned()?));
        }
        let mut columns = Vec::with_capacity(count);
        for (which, len) in lengths {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            columns.push((which, reader.take(len)?));
        }
        Ok(Self(columns))
    }

    fn get(&self, which: u32) -> &'a [u8] {
        let found = self.0.iter().find(|(column, _)| *column == which);
        found.map_or(&[], |(_, bytes)| bytes)
    }
}

fn op_id(actor: Option<u64>, counter: Option<u64>, actors: usize) -> Result<OpId, ChangeError> {
    let (Some(actor), Some(counter)) = (actor, counter) else {
        return Err(ChangeError::Malformed("an operation is named by half"));
    };
    if actor >= actors as u64 {
        return Err(ChangeError::Malformed(
            "an actor is named that the change does not list",
        ));
    }
    if counter == 0 || counter > COUNTER_MAX {
        return Err(ChangeError::Malformed(
            "a counter of an operation is out of range",
        ));
    }
    // Both are below 2^32, as was just looked at.
    Ok(OpId {
        counter: counter as u32,
        actor: actor as u32,
    })
}

/// How many predecessors each operation has, and all of them.
fn predecessors(
    columns: &Columns<'_>,
    rows: usize,
    actors: usize,
) -> Result<(Vec<u32>, Vec<OpId>), ChangeError> {
    let mut counts = Vec::with_capacity(rows);
    let mut all = 0_u64;
    for count in numbers(columns.get(column::PREDECESSORS), rows)? {
        let count = count.ok_or(ChangeError::Malformed(
            "an operation does not say how many predecessors it has",
        ))?;
        all = all.saturating_add(count);
        if all > CHANGE_PREDECESSORS_MAX as u64 {
            return Err(ChangeError::TooMany {
                what: "predecessors of operations",
                max: CHANGE_PREDECESSORS_MAX,
            });
        }
        counts.push(count as u32);
    }
    let all = all as usize;
    let of_actors = numbers(columns.get(column::PREDECESSOR_ACTOR), all)?;
    let counters = differences(columns.get(column::PREDECESSOR_COUNTER), all)?;
    let ids = of_actors
        .into_iter()
        .zip(counters)
        .map(|(actor, counter)| op_id(actor, counter, actors))
        .collect::<Result<_, _>>()?;
    Ok((counts, ids))
}

/// The kind of each value; that its bytes are one is looked at.
fn values(meta: &[u8], raw: &[u8], rows: usize) -> Result<Vec<Value>, ChangeError> {
    const NO_VALUE: ChangeError = ChangeError::Malformed("a value is not of its kind");
    let mut raw = Reader::new(raw);
    let mut values = Vec::with_capacity(rows);
    for meta in numbers(meta, rows)? {
        let meta = meta.ok_or(ChangeError::Malformed("an operation has no value"))?;
        let len = usize::try_from(meta >> 4).unwrap_or(usize::MAX);
        let bytes = raw.take(len)?;
        let mut value = Reader::new(bytes);
        let kind = match meta & 0xf {
            0 => Value::Null,
            1 | 2 => Value::Boolean,
            3 => value.unsigned().map(|_| Value::Integer)?,
            4 => value.signed().map(|_| Value::Integer)?,
            5 => value.array::<8>().map(|_| Value::Float)?,
            6 if std::str::from_utf8(bytes).is_ok() => Value::Text,
            6 => return Err(NO_VALUE),
            7 => Value::Bytes,
            8 => value.signed().map(|_| Value::Counter)?,
            9 => value.signed().map(|_| Value::Timestamp)?,
            _ => return Err(ChangeError::Unknown("a kind of value")),
        };
        let is_whole = matches!(kind, Value::Text | Value::Bytes);
        if !is_whole && !value.is_empty() {
            return Err(NO_VALUE);
        }
        values.push(kind);
    }
    if !raw.is_empty() {
        return Err(ChangeError::Malformed(
            "there are bytes of values that no operation has",
        ));
    }
    Ok(values)
}
