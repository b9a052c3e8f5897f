//! What must be true of rows before they can have another schema. Each question is one or more
//! passes over a table; what a pass remembers is bounded.

use super::{Migration, moved_rows};
use crate::error::StoreError;
use crate::limits::{CHECKED_KEYS_MAX, ROW_BYTES_MAX};
use crate::plan::TablePlan;
use crate::schema::TableId;
use crate::state::State;
use crate::view::damaged_row;

/// Context of the hashes by which equal keys are found.
const CHECK_CONTEXT: &str = "tombolo unique check 1";

/// A question about the rows of one table as a migration makes them. Tables that the state does
/// not have yet have no rows, so everything holds for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataCheck {
    /// It has no rows.
    Empty {
        /// The table.
        table: TableId,
    },
    /// No two rows agree in all these columns, by place.
    Unique {
        /// The table.
        table: TableId,
        /// The columns.
        columns: Vec<u16>,
    },
    /// No row has a number above zero, of those that a sequence gives out, in this column.
    Unnumbered {
        /// The table.
        table: TableId,
        /// The column: an integer.
        column: u16,
    },
    /// No row is too long.
    Short {
        /// The table.
        table: TableId,
    },
}

impl State {
    /// Whether the visible rows, as `migration` makes them, are as `check` asks. The same for
    /// equal rows on every peer.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn holds(&self, migration: &Migration, check: &DataCheck) -> Result<bool, StoreError> {
        let (DataCheck::Empty { table }
        | DataCheck::Unique { table, .. }
        | DataCheck::Unnumbered { table, .. }
        | DataCheck::Short { table }) = check;
        let Some(old) = self.0.schema.plan(*table) else {
            return Ok(true);
        };
        // The rows after it are those before it where the table goes.
        let new = migration.schema.plan(*table).unwrap_or(old);
        let rows = || moved_rows(self.view()?, old, migration.appended(*table));
        match check {
            DataCheck::Empty { .. } => Ok(rows()?.next().transpose()?.is_none()),
            DataCheck::Short { .. } => {
                for row in rows()? {
                    if row?.len() > ROW_BYTES_MAX {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            DataCheck::Unnumbered { column, .. } => {
                let mut ends = Vec::new();
                for row in rows()? {
                    let row = row?;
                    let cells = new
                        .cells(&row, &mut ends)
                        .map_err(|why| damaged_row(new, why))?;
                    if is_numbered(new, *column, cells.cell(usize::from(*column))) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            DataCheck::Unique { columns, .. } => {
                let count = self.row_count(*table).unwrap_or(0);
                // Keys are looked at in as many passes as are needed to remember few at a time.
                let passes = count.div_ceil(CHECKED_KEYS_MAX as u64).max(1);
                for pass in 0..passes {
                    if !unique(new, columns, rows()?, pass, passes)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Whether the rows have different keys among those that are looked at in this pass.
fn unique(
    plan: &TablePlan,
    columns: &[u16],
    rows: impl Iterator<Item = Result<Vec<u8>, StoreError>>,
    pass: u64,
    passes: u64,
) -> Result<bool, StoreError> {
    let (mut ends, mut key) = (Vec::new(), Vec::new());
    let mut seen: Vec<[u8; 16]> = Vec::new();
    for row in rows {
        let row = row?;
        let damaged = |why| damaged_row(plan, why);
        let cells = plan.cells(&row, &mut ends).map_err(damaged)?;
        key.clear();
        for column in columns {
            let column = usize::from(*column);
            plan.column(column)
                .encode(&mut cells.cell(column), &mut key)
                .map_err(damaged)?;
        }
        let hash = blake3::derive_key(CHECK_CONTEXT, &key);
        let [head, tail] = [&hash[..16], &hash[16..]].map(|half| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(half);
            bytes
        });
        if u128::from_le_bytes(tail) % u128::from(passes) == u128::from(pass) {
            seen.push(head);
        }
    }
    seen.sort_unstable();
    Ok(seen.windows(2).all(|pair| pair[0] != pair[1]))
}

/// Whether an integer in BSATN is above zero.
fn is_numbered(plan: &TablePlan, column: u16, cell: &[u8]) -> bool {
    let signed = plan.is_signed(usize::from(column));
    let negative = signed && cell.last().is_some_and(|byte| byte & 0x80 != 0);
    !negative && cell.iter().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;
    use crate::tests::{NOTE, note, tables};

    #[test]
    fn passes_together_see_what_one_sees() {
        let schema = Schema::new(tables()).expect("it fits");
        let plan = schema.plan(NOTE).expect("known");
        let check = |authors: &[u8], expected: bool| {
            let rows = || {
                let rows = authors.iter().zip(0_u8..);
                rows.map(|(author, n)| Ok(note(*author, &n.to_string())))
            };
            for passes in 1..6 {
                let all = (0..passes)
                    .all(|pass| unique(plan, &[0], rows(), pass, passes).expect("readable"));
                assert_eq!(all, expected, "{authors:?} in {passes} passes");
            }
        };
        check(&[], true);
        check(&[1], true);
        check(&(0..=255).collect::<Vec<u8>>(), true);
        check(&[1, 2, 1], false);
        let mut nearly: Vec<u8> = (0..=255).collect();
        nearly.push(77);
        check(&nearly, false);
    }
}
