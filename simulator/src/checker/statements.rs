//! What the owner writes without a reducer: statements as they travel, run over plain maps.

use sync_protocol::{RowWrite, WriteChange, WriteCondition, WriteOperator, WriteTerm};

use super::model::{Failed, Model, Outcome, check};

/// Bytes of an identity.
const IDENTITY_BYTES: usize = 32;

impl Model {
    pub(super) fn write(&mut self, statement: &RowWrite) -> Outcome {
        let table = self.tables.get(&statement.table).ok_or(Failed)?;
        match (table.as_str(), &statement.change) {
            ("note", WriteChange::Delete(condition)) => {
                let mut kept = self.notes.clone();
                for (id, note) in &self.notes {
                    if holds(condition, &cells(*id, *note))? {
                        kept.remove(id);
                    }
                }
                self.notes = kept;
                Ok(())
            }
            ("note", WriteChange::Update { set, condition }) => {
                let mut changed = self.notes.clone();
                for (id, note) in &mut changed {
                    if holds(condition, &cells(*id, *note))? {
                        for (column, value) in set {
                            let value = u32::try_from(number(value)?).map_err(|_| Failed)?;
                            match column {
                                1 => note.0 = value,
                                2 => note.1 = value,
                                _ => return Err(Failed),
                            }
                        }
                    }
                }
                self.notes = changed;
                Ok(())
            }
            ("stall", WriteChange::Insert(rows)) => {
                let mut claimed = self.stalls.clone();
                for row in rows {
                    let (id, owner) = row.split_first_chunk::<4>().ok_or(Failed)?;
                    check(owner.len() == IDENTITY_BYTES)?;
                    // Stored the other way round than it is written.
                    let owner: String = owner.iter().rev().map(|it| format!("{it:02x}")).collect();
                    let id = u32::from_le_bytes(*id);
                    let before = claimed.insert(id, owner.clone());
                    check(before.is_none_or(|before| before == owner))?;
                }
                self.stalls = claimed;
                Ok(())
            }
            // The worlds' owner writes nothing else.
            _ => Err(Failed),
        }
    }
}

/// The columns of a note.
fn cells(id: u64, (shelf, weight): (u32, u32)) -> [u64; 3] {
    [id, u64::from(shelf), u64::from(weight)]
}

/// An integer without a sign, of four or eight bytes.
fn number(bytes: &[u8]) -> Result<u64, Failed> {
    match bytes.len() {
        4 => bytes.try_into().map(u32::from_le_bytes).map(u64::from),
        _ => bytes.try_into().map(u64::from_le_bytes),
    }
    .map_err(|_| Failed)
}

fn holds(condition: &WriteCondition, cells: &[u64]) -> Result<bool, Failed> {
    let cell = |column: u16| cells.get(usize::from(column)).copied().ok_or(Failed);
    let mut known: Vec<bool> = Vec::new();
    for term in &condition.0 {
        let holds = match term {
            WriteTerm::Constant(holds) => *holds,
            WriteTerm::Value(column, operator, value) => {
                compare(*operator, cell(*column)?, number(value)?)
            }
            WriteTerm::Columns(one, operator, other) => {
                compare(*operator, cell(*one)?, cell(*other)?)
            }
            WriteTerm::All(count) => last(&mut known, *count)?.all(|holds| holds),
            WriteTerm::Any(count) => last(&mut known, *count)?.any(|holds| holds),
        };
        known.push(holds);
    }
    known.pop().ok_or(Failed)
}

fn last(known: &mut Vec<bool>, count: u16) -> Result<std::vec::IntoIter<bool>, Failed> {
    let from = known.len().checked_sub(usize::from(count)).ok_or(Failed)?;
    Ok(known.split_off(from).into_iter())
}

fn compare(operator: WriteOperator, one: u64, other: u64) -> bool {
    match operator {
        WriteOperator::Equal => one == other,
        WriteOperator::NotEqual => one != other,
        WriteOperator::Less => one < other,
        WriteOperator::LessOrEqual => one <= other,
        WriteOperator::Greater => one > other,
        WriteOperator::GreaterOrEqual => one >= other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_lists_with_the_parts_in_front() {
        let value = |column, number: u32| {
            let bytes = number.to_le_bytes().to_vec();
            WriteTerm::Value(column, WriteOperator::LessOrEqual, bytes)
        };
        let check = |terms: Vec<WriteTerm>, note: (u32, u32), expected: bool| {
            let found = holds(&WriteCondition(terms), &cells(9, note));
            assert!(found.is_ok_and(|found| found == expected), "{note:?}");
        };
        let both = || vec![value(1, 3), value(2, 5), WriteTerm::All(2)];
        check(both(), (3, 5), true);
        check(both(), (3, 6), false);
        let one = || vec![value(1, 3), value(2, 5), WriteTerm::Any(2)];
        check(one(), (4, 5), true);
        check(one(), (4, 6), false);
        check(vec![WriteTerm::Constant(true)], (0, 0), true);
        let missing = vec![WriteTerm::All(1)];
        assert!(holds(&WriteCondition(missing), &cells(1, (1, 1))).is_err());
    }
}
