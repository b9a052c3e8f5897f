//! Schedules inside of a call: rows that it wrote get their time, and a call that fires one runs its
//! reducer.

use module_host::{Call, ConsoleLevel, ConsoleLine, ModuleDef, ScheduleDef};
use store::{Row, TableSchema, Transaction};
use sync_protocol::{ConnectionId, Fire, Hlc};

use super::system::{DONE, Place, refused};
use super::{EntryRun, Executor, Ran, console};
use crate::error::Stop;
use crate::outcome::CallOutcome;
use crate::schedules::{DELAY_US_MAX, ScheduleRow, When};
use crate::values::Reader;

/// Sets when the rows are due that a call wrote, and forgets those that it deleted.
///
/// Gives the text for people if a row says a time that is too far away: the call fails then.
pub(super) fn note(def: &ModuleDef, tx: &mut Transaction) -> Result<Result<(), String>, Stop> {
    for schedule in &def.schedules {
        let Some(table) = tx.schema().table_by_name(&schedule.table).cloned() else {
            continue;
        };
        let changes: Vec<_> = tx.changes_of(table.id).collect();
        let context = *tx.context();
        for change in changes {
            if let Some(old) = &change.old {
                ScheduleRow::delete(tx, table.id, key_of(&table, old))?;
            }
            let Some(row) = &change.new else { continue };
            let due = when(schedule, &table, row).and_then(|when| when.first_due(context.time));
            let Some(due) = due else {
                return Ok(Err(format!(
                    "a row of {} is to fire later than {} days from now, which is the most",
                    table.name,
                    DELAY_US_MAX / 1_000_000 / 86_400
                )));
            };
            let row = ScheduleRow {
                table: table.id,
                key: key_of(&table, row),
                due,
                set_at: context.time,
                author: context.position.author,
            };
            row.set(tx)?;
        }
    }
    Ok(Ok(()))
}

/// Runs the reducer of a row that is due. A row that is to fire once is seen by its reducer and is gone
/// afterwards, whatever the reducer says of it.
pub(super) fn fire(
    executor: &mut Executor,
    mut tx: Transaction,
    place: &Place<'_>,
    fire: &Fire,
    run: &mut EntryRun,
) -> Result<Ran, Stop> {
    let Some(waiting) = ScheduleRow::find(&tx, fire)? else {
        return Ok(refused(
            tx,
            "it was fired already, or is set to another time",
        ));
    };
    let time = place.entry.time_of(place.index);
    if time < waiting.due {
        return Ok(refused(tx, "it is not due yet"));
    }
    let Some((schedule, table, row)) = scheduled(executor.module.def(), &tx, &waiting)? else {
        // The module has no such schedule any more.
        ScheduleRow::delete(&mut tx, waiting.table, waiting.key)?;
        return Ok((tx, DONE));
    };
    let call = Call {
        reducer: schedule.reducer,
        sender: executor.identity,
        connection: ConnectionId::ZERO,
        time,
        args: &row,
        claims: None,
        database: executor.identity,
        units: executor.options.units_per_invocation,
    };
    let (mut tx, outcome, _) = executor.call(tx, call, run)?;
    if !outcome.is_ok() {
        tx.undo();
        run.console
            .push(failure(executor, &schedule, &outcome, time));
    }
    // A reducer that sets its own row to another time, or deletes it, has the last word.
    let is_it = |old: &Row| key_of(&table, old) == waiting.key;
    if tx
        .changes_of(table.id)
        .any(|change| change.old.as_ref().is_some_and(is_it))
    {
        return Ok((tx, DONE));
    }
    let when = when(&schedule, &table, &row);
    match when.and_then(|when| when.next_due(waiting.due, time)) {
        Some(due) => ScheduleRow { due, ..waiting }.set(&mut tx)?,
        None => {
            tx.delete_all_by_eq(table.id, &[&1_u32.to_le_bytes()[..], &row].concat())?;
            ScheduleRow::delete(&mut tx, waiting.table, waiting.key)?;
        }
    }
    Ok((tx, DONE))
}

/// What is to run, and the row that says so.
fn scheduled(
    def: &ModuleDef,
    tx: &Transaction,
    waiting: &ScheduleRow,
) -> Result<Option<(ScheduleDef, TableSchema, Row)>, Stop> {
    let Some(table) = tx.schema().table(waiting.table).cloned() else {
        return Ok(None);
    };
    let schedule = def.schedules.iter().find(|it| it.table == table.name);
    let key = table
        .indexes
        .iter()
        .find(|index| index.unique && index.columns.iter().copied().eq(table.primary_key));
    let Some((schedule, key)) = schedule.zip(key) else {
        return Ok(None);
    };
    let point = waiting.key.to_le_bytes();
    let rows = tx.scan_range(key.id, &store::Range::point(&point))?;
    let row = rows.into_iter().next();
    Ok(row.map(|row| (schedule.clone(), table, row)))
}

/// A cell of a row, as BSATN. Rows are of the types of their table: the store has checked them.
fn cell<'a>(table: &TableSchema, row: &'a [u8], place: u16) -> Option<&'a [u8]> {
    let mut reader = Reader::new(row);
    let columns = table.columns.iter().take(usize::from(place) + 1);
    let cells = columns.map(|column| reader.value(&column.ty).ok());
    cells.last().flatten()
}

fn key_of(table: &TableSchema, row: &[u8]) -> u64 {
    let cell = table.primary_key.and_then(|place| cell(table, row, place));
    let bytes = cell.and_then(|cell| cell.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn when(schedule: &ScheduleDef, table: &TableSchema, row: &[u8]) -> Option<When> {
    When::read(cell(table, row, schedule.column)?)
}

/// A line that says why a reducer failed: nobody waits for its answer.
fn failure(
    executor: &Executor,
    schedule: &ScheduleDef,
    outcome: &CallOutcome,
    time: Hlc,
) -> String {
    let reducer = &executor.module.def().reducers[schedule.reducer].name;
    let why = outcome
        .error()
        .map_or_else(String::new, |error| error.message);
    let line = ConsoleLine {
        level: ConsoleLevel::Error,
        target: None,
        filename: None,
        line: None,
        message: format!("{reducer}, which was due, failed: {why}"),
    };
    console::json(&line, time)
}
