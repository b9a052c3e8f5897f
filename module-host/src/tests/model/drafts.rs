//! From what was drawn to what is handed over: numbers of tables and indexes, rows, points, damage.

use super::operations::{Damage, Like, RangeDraft, RowDraft, Which};
use super::plain::Plain;
use super::schema::{Definition, FIRST};
use super::values::Value;

pub(super) fn table_id(definition: &Definition, which: Which) -> u32 {
    match which {
        Which::Known(number) => FIRST + (number % definition.tables.len()) as u32,
        Which::Unknown(id) => id,
    }
}

pub(super) fn index_id(definition: &Definition, which: Which) -> u32 {
    match (which, definition.index_count()) {
        (Which::Known(number), count) if count > 0 => FIRST + (number % count) as u32,
        (Which::Known(_), _) => FIRST,
        (Which::Unknown(id), _) => id,
    }
}

/// The number of one of a table's own indexes, the unique ones first.
pub(super) fn own_index(definition: &Definition, table: u32, number: usize) -> u32 {
    let all = (FIRST..FIRST + definition.index_count() as u32).filter(|id| {
        let (place, _) = definition.index(*id).unwrap();
        place == table.wrapping_sub(FIRST) as usize
    });
    let (unique, other) = all.partition::<Vec<_>, _>(|id| definition.index(*id).unwrap().1.unique);
    // Mostly a unique one: the others can only be refused.
    let turn = match (unique.len(), other.len()) {
        (0, 0) => return FIRST,
        (0, _) => &other,
        (_, 0) => &unique,
        _ if number == 3 => &other,
        _ => &unique,
    };
    turn[number % turn.len()]
}

pub(super) fn index_columns(definition: &Definition, id: u32) -> Option<(usize, Vec<usize>)> {
    definition
        .index(id)
        .map(|(table, index)| (table, index.columns.clone()))
}

pub(super) fn row_values(
    definition: &Definition,
    model: &Plain,
    table: usize,
    like: Like,
    seeds: &[u32],
    numbered: bool,
) -> Vec<Value> {
    let columns = &definition.tables[table].columns;
    let mut row = columns
        .iter()
        .zip(seeds)
        .map(|(ty, seed)| ty.value(*seed))
        .collect::<Vec<_>>();
    let count = model.rows(table).count();
    if let Like::Held(number) | Like::HeldBut(number, _) = like
        && count > 0
    {
        let held = model.rows(table).nth(number % count).unwrap().clone();
        let but = match like {
            Like::HeldBut(_, column) => Some(column % columns.len()),
            _ => None,
        };
        for (place, value) in held.into_iter().enumerate() {
            if Some(place) != but {
                row[place] = value;
            }
        }
    }
    if numbered {
        for column in &definition.tables[table].auto_inc {
            row[*column] = columns[*column].value(0);
        }
    }
    row
}

/// BSATN of a row as it is handed over; of a table that does not exist, some bytes.
pub(super) fn row_bytes(
    definition: &Definition,
    model: &Plain,
    id: u32,
    draft: &RowDraft,
) -> Vec<u8> {
    let place = id.wrapping_sub(FIRST) as usize;
    let Some(table) = definition.tables.get(place) else {
        return vec![1, 2, 3];
    };
    let RowDraft {
        like,
        seeds,
        numbered,
        damage,
    } = draft;
    let row = row_values(definition, model, place, *like, seeds, *numbered);
    let mut bytes = table.bytes(&row);
    damaged(&mut bytes, *damage);
    bytes
}

pub(super) fn point(
    definition: &Definition,
    model: &Plain,
    index: Which,
    draft: &RangeDraft,
) -> (u32, Vec<u8>) {
    let id = index_id(definition, index);
    let Some((table, columns)) = index_columns(definition, id) else {
        return (id, vec![1]);
    };
    let row = row_values(definition, model, table, draft.like, &draft.seeds, false);
    let mut point = Vec::new();
    for column in columns {
        row[column].write(&definition.tables[table].columns[column], &mut point);
    }
    damaged(&mut point, draft.damage);
    (id, point)
}

pub(super) fn damaged(bytes: &mut Vec<u8>, damage: Damage) {
    match damage {
        Damage::None => {}
        Damage::Short(count) => bytes.truncate(bytes.len().saturating_sub(count)),
        Damage::Long(byte) => bytes.push(byte),
        Damage::Flipped(place, bits) => {
            let len = bytes.len();
            if len > 0 {
                bytes[place % len] ^= bits;
            }
        }
    }
}
