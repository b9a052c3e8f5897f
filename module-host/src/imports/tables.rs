//! Names, rows and scans.
//!
//! Whatever is wrong is told in one order: bad pointers and texts end the call before anything is
//! done; then come the error numbers, in the order in which the ABI's documentation lists them.

use store::{DataError, IndexId, IndexKind, Range, Row, Schema, TableId, Transaction};
use wasmtime::Caller;

use super::bytes::EXHAUSTED;
use super::guest::{Errno, Guest, Refusal, Stop, slice, slice_mut};
use super::session::{RowIterator, Session};
use super::{Answer, answer};
use crate::def::FIRST_ID;
use crate::limits::{ITERATOR_BYTES_MAX, LOOKUP_BYTES_MAX};
use crate::prices;
use crate::roles::{ROLE, ROLE_IDENTITY, ROLE_ROLE};

/// Rows of a list that is kept for the next scan: most find one, and a large one is not to stay.
const SPARE_ROWS_MAX: usize = 16;

/// `table_id_from_name(name…, out) -> u16`
pub(super) fn table_id(caller: Caller<'_, Session>, name: u32, len: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        look_up(
            guest,
            (name, len),
            out,
            Errno::NO_SUCH_TABLE,
            |schema, name| {
                let table = schema.table_by_name(name)?.id.0;
                readable_table(table).is_ok().then_some(table)
            },
        )
    })
}

/// `index_id_from_name(name…, out) -> u16`
pub(super) fn index_id(caller: Caller<'_, Session>, name: u32, len: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        look_up(
            guest,
            (name, len),
            out,
            Errno::NO_SUCH_INDEX,
            |schema, name| {
                let index = schema.index_by_name(name)?.1.id.0;
                readable_index(index).is_ok().then_some(index)
            },
        )
    })
}

/// `datastore_table_row_count(table_id, out) -> u16`
pub(super) fn row_count(caller: Caller<'_, Session>, table: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 8)?;
        guest.charge(prices::SCAN)?;
        let count = with(guest, |transaction| {
            transaction.row_count(readable_table(table)?)
        })?;
        guest.write(out, &count.to_le_bytes())?;
        Ok(0)
    })
}

/// `datastore_table_scan_bsatn(table_id, out) -> u16`
pub(super) fn scan(caller: Caller<'_, Session>, table: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.charge(prices::SCAN)?;
        let rows = with(guest, |transaction| {
            transaction.scan(readable_table(table)?)
        })?;
        open_iterator(guest, rows, out)
    })
}

/// `datastore_index_scan_range_bsatn(index_id, prefix…, prefix_elems, rstart…, rend…, out) -> u16`
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn scan_range(
    caller: Caller<'_, Session>,
    index: u32,
    prefix: u32,
    prefix_len: u32,
    prefix_elems: u32,
    start: u32,
    start_len: u32,
    end: u32,
    end_len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        let bounds = Bounds {
            prefix,
            prefix_len,
            prefix_elems,
            start,
            start_len,
            end,
            end_len,
        };
        let rows = with_range(
            guest,
            readable_index(index),
            &bounds,
            out,
            |rows, index, range| rows.scan_range(index, range),
        )?;
        open_iterator(guest, rows, out)
    })
}

/// `datastore_index_scan_point_bsatn(index_id, point…, out) -> u16`
pub(super) fn scan_point(
    caller: Caller<'_, Session>,
    index: u32,
    point: u32,
    point_len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(point, point_len)?;
        guest.in_bounds(out, 4)?;
        guest.charge(prices::SCAN)?;
        let mut rows = std::mem::take(&mut guest.session().spare_rows);
        with_bytes(guest, point, point_len, |transaction, point| {
            transaction.scan_range_into(readable_index(index)?, &Range::point(point), &mut rows)
        })?;
        open_iterator(guest, rows, out)
    })
}

/// `row_iter_bsatn_advance(iter, buffer_ptr, buffer_len_ptr) -> i16`
pub(super) fn advance(caller: Caller<'_, Session>, iter: u32, at: u32, len_at: u32) -> Answer {
    answer(caller, |guest| {
        let capacity = guest.u32_at(len_at)?;
        guest.in_bounds(at, capacity)?;
        let capacity = capacity as usize;
        let Some(open) = guest.session().iterators.get_mut(iter) else {
            return Err(Errno::NO_SUCH_ITER.into());
        };
        let (from, mut to, mut len) = (open.read, open.read, 0);
        while let Some(row) = open.rows.get(to)
            && len + row.len() <= capacity
        {
            len += row.len();
            to += 1;
        }
        let too_small = open
            .rows
            .get(from)
            .filter(|_| to == from)
            .map(|row| row.len());
        if let Some(needed) = too_small {
            guest.write_u32(len_at, u32::try_from(needed).unwrap_or(u32::MAX))?;
            return Err(Errno::BUFFER_TOO_SMALL.into());
        }
        guest.charge(prices::copied(len))?;
        // At most the capacity, which came as 32 bits.
        let len = len as u32;
        guest.mark(at, len)?;
        let (memory, session) = guest.memory_and_session();
        let mut rest = slice_mut(memory, at, len)?;
        let Some(open) = session.iterators.get_mut(iter) else {
            return Err(Errno::NO_SUCH_ITER.into());
        };
        for row in &open.rows[from..to] {
            let (place, after) = rest.split_at_mut(row.len());
            place.copy_from_slice(row);
            rest = after;
        }
        open.read = to;
        let emptied = to == open.rows.len();
        if emptied {
            close_iterator(session, iter);
        }
        guest.write_u32(len_at, len)?;
        Ok(if emptied { EXHAUSTED } else { 0 })
    })
}

/// `row_iter_bsatn_close(iter) -> u16`
pub(super) fn close(caller: Caller<'_, Session>, iter: u32) -> Answer {
    answer(caller, |guest| {
        if close_iterator(guest.session(), iter) {
            Ok(0)
        } else {
            Err(Errno::NO_SUCH_ITER.into())
        }
    })
}

/// `datastore_insert_bsatn(table_id, row_ptr, row_len_ptr) -> u16`
pub(super) fn insert(caller: Caller<'_, Session>, table: u32, at: u32, len_at: u32) -> Answer {
    answer(caller, |guest| {
        may_write(guest, table == ROLE.0)?;
        let len = guest.u32_at(len_at)?;
        guest.in_bounds(at, len)?;
        guest.charge(prices::ROW_WRITTEN + prices::written(len as usize))?;
        let generated = with_bytes(guest, at, len, |transaction, row| {
            transaction.insert(user_table(table)?, row)
        })?;
        write_back(guest, &generated, at, len_at)
    })
}

/// `datastore_update_bsatn(table_id, index_id, row_ptr, row_len_ptr) -> u16`
pub(super) fn update(
    caller: Caller<'_, Session>,
    table: u32,
    index: u32,
    at: u32,
    len_at: u32,
) -> Answer {
    answer(caller, |guest| {
        may_write(guest, table == ROLE.0)?;
        let len = guest.u32_at(len_at)?;
        guest.in_bounds(at, len)?;
        guest.charge(prices::SCAN + prices::ROW_WRITTEN + prices::written(len as usize))?;
        let generated = with_bytes(guest, at, len, |transaction, row| {
            let table = user_table(table)?;
            // Before an index that is none of the module's: there the store would not even be asked.
            if transaction.schema().table(table).is_none() {
                return Err(DataError::NoSuchTable(table));
            }
            transaction.update(table, user_index(index)?, row)
        })?;
        write_back(guest, &generated, at, len_at)
    })
}

/// `datastore_delete_all_by_eq_bsatn(table_id, rel…, out) -> u16`
pub(super) fn delete_all_by_eq(
    caller: Caller<'_, Session>,
    table: u32,
    at: u32,
    len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        may_write(guest, table == ROLE.0)?;
        guest.in_bounds(at, len)?;
        guest.in_bounds(out, 4)?;
        guest.charge(prices::SCAN + prices::written(len as usize))?;
        let deleted = with_bytes(guest, at, len, |transaction, rows| {
            transaction.delete_all_by_eq(user_table(table)?, rows)
        })?;
        report_deleted(guest, deleted, out)
    })
}

/// `datastore_delete_by_index_scan_range_bsatn(index_id, prefix…, prefix_elems, rstart…, rend…,
/// out) -> u16`
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn delete_range(
    caller: Caller<'_, Session>,
    index: u32,
    prefix: u32,
    prefix_len: u32,
    prefix_elems: u32,
    start: u32,
    start_len: u32,
    end: u32,
    end_len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        may_write(guest, is_of_roles(index))?;
        let bounds = Bounds {
            prefix,
            prefix_len,
            prefix_elems,
            start,
            start_len,
            end,
            end_len,
        };
        let index = user_index(index);
        let deleted = with_range(guest, index, &bounds, out, Transaction::delete_by_range)?;
        report_deleted(guest, deleted, out)
    })
}

/// `datastore_delete_by_index_scan_point_bsatn(index_id, point…, out) -> u16`
pub(super) fn delete_point(
    caller: Caller<'_, Session>,
    index: u32,
    point: u32,
    point_len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        may_write(guest, is_of_roles(index))?;
        guest.in_bounds(point, point_len)?;
        guest.in_bounds(out, 4)?;
        guest.charge(prices::SCAN)?;
        let deleted = with_bytes(guest, point, point_len, |transaction, point| {
            transaction.delete_by_range(user_index(index)?, &Range::point(point))
        })?;
        report_deleted(guest, deleted, out)
    })
}

/// `datastore_clear(table_id, out) -> u16`
pub(super) fn clear(caller: Caller<'_, Session>, table: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        may_write(guest, table == ROLE.0)?;
        guest.in_bounds(out, 8)?;
        guest.charge(prices::SCAN)?;
        // Paid for before it is done: a table may hold more than any other call can touch.
        let rows = with(guest, |transaction| {
            transaction.row_count(user_table(table)?)
        })?;
        guest.charge(prices::ROW_WRITTEN.saturating_mul(rows))?;
        let deleted = with(guest, |transaction| transaction.clear(user_table(table)?))?;
        guest.write(out, &deleted.to_le_bytes())?;
        Ok(0)
    })
}

/// Tables below are the peer's own.
const fn user_table(table: u32) -> Result<TableId, DataError> {
    let table = TableId(table);
    if table.0 < FIRST_ID {
        Err(DataError::NoSuchTable(table))
    } else {
        Ok(table)
    }
}

/// The module's own tables, and the one of the database's that it may read.
const fn readable_table(table: u32) -> Result<TableId, DataError> {
    match TableId(table) {
        ROLE => Ok(ROLE),
        TableId(table) => user_table(table),
    }
}

/// The indexes over the one table of the database's that it may read, and the module's own.
const fn readable_index(index: u32) -> Result<IndexId, DataError> {
    match IndexId(index) {
        ROLE_IDENTITY => Ok(ROLE_IDENTITY),
        ROLE_ROLE => Ok(ROLE_ROLE),
        IndexId(index) => user_index(index),
    }
}

const fn is_of_roles(index: u32) -> bool {
    matches!(IndexId(index), ROLE_IDENTITY | ROLE_ROLE)
}

/// Indexes below are the peer's own.
const fn user_index(index: u32) -> Result<IndexId, DataError> {
    let index = IndexId(index);
    if index.0 < FIRST_ID {
        Err(DataError::NoSuchIndex(index))
    } else {
        Ok(index)
    }
}

/// Views look at rows, and change none; reducers none of the roles.
fn may_write(guest: &mut Guest<'_>, is_role: bool) -> Result<(), Refusal> {
    if guest.session().read_only {
        return Err(Errno::TRANSACTION_IS_READ_ONLY.into());
    }
    match is_role {
        true => Stop::misuse("the database keeps the table sys_role: a module can only read it"),
        false => Ok(()),
    }
}

/// Does something in the transaction.
fn with<T>(
    guest: &mut Guest<'_>,
    work: impl FnOnce(&mut Transaction) -> Result<T, DataError>,
) -> Result<T, Refusal> {
    let transaction = guest
        .session()
        .transaction
        .as_mut()
        .ok_or(Errno::NOT_IN_TRANSACTION)?;
    work(transaction).map_err(|error| guest.refused(error))
}

/// Does something in the transaction with bytes of the module's memory.
fn with_bytes<T>(
    guest: &mut Guest<'_>,
    at: u32,
    len: u32,
    work: impl FnOnce(&mut Transaction, &[u8]) -> Result<T, DataError>,
) -> Result<T, Refusal> {
    let (bytes, session) = guest.bytes_and_session(at, len)?;
    let transaction = session
        .transaction
        .as_mut()
        .ok_or(Errno::NOT_IN_TRANSACTION)?;
    work(transaction, bytes).map_err(|error| guest.refused(error))
}

/// Looks a name up, canonical or as the source has it, and writes the number it stands for.
fn look_up(
    guest: &mut Guest<'_>,
    (name, len): (u32, u32),
    out: u32,
    unknown: Errno,
    find: impl FnOnce(&Schema, &str) -> Option<u32>,
) -> Result<i32, Refusal> {
    guest.in_bounds(name, len)?;
    guest.charge(prices::LOOKUP + prices::copied(len as usize))?;
    guest.text(name, len)?;
    guest.in_bounds(out, 4)?;
    let (name, session) = guest.bytes_and_session(name, len)?;
    let transaction = session
        .transaction
        .as_ref()
        .ok_or(Errno::NOT_IN_TRANSACTION)?;
    // Nothing has a longer name.
    let name = Some(name).filter(|name| name.len() <= LOOKUP_BYTES_MAX);
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let id = name
        .and_then(|name| find(transaction.schema(), name))
        .ok_or(unknown)?;
    guest.write_u32(out, id)?;
    Ok(0)
}

/// Pointers and lengths of a range in the module's memory.
struct Bounds {
    prefix: u32,
    prefix_len: u32,
    prefix_elems: u32,
    start: u32,
    start_len: u32,
    end: u32,
    end_len: u32,
}

/// Does something in the transaction with a range of an index.
fn with_range<T>(
    guest: &mut Guest<'_>,
    index: Result<IndexId, DataError>,
    bounds: &Bounds,
    out: u32,
    work: impl FnOnce(&mut Transaction, IndexId, &Range<'_>) -> Result<T, DataError>,
) -> Result<T, Refusal> {
    guest.in_bounds(out, 4)?;
    guest.charge(prices::SCAN)?;
    let (memory, session) = guest.memory_and_session();
    // An empty prefix may come with a null pointer.
    let prefix = match bounds.prefix_elems {
        0 => &[],
        _ => slice(memory, bounds.prefix, bounds.prefix_len)?,
    };
    let start = slice(memory, bounds.start, bounds.start_len)?;
    let end = slice(memory, bounds.end, bounds.end_len)?;
    let transaction = session
        .transaction
        .as_mut()
        .ok_or(Errno::NOT_IN_TRANSACTION)?;
    let range = u16::try_from(bounds.prefix_elems)
        .map_err(|_| DataError::Decode("no index has so many columns"))
        .and_then(|elems| Range::from_abi(prefix, elems, start, end));
    let done = index.and_then(|index| match range {
        Ok(range) => work(transaction, index, &range),
        // What is wrong with the index is told before what is wrong with the range.
        Err(error) => Err(index_problem(transaction.schema(), index).unwrap_or(error)),
    });
    done.map_err(|error| guest.refused(error))
}

/// Why an index cannot be asked for a range.
fn index_problem(schema: &Schema, index: IndexId) -> Option<DataError> {
    match schema.index(index) {
        None => Some(DataError::NoSuchIndex(index)),
        Some((_, found)) if found.kind == IndexKind::Hash => Some(DataError::WrongIndexAlgo(index)),
        Some(_) => None,
    }
}

fn open_iterator(guest: &mut Guest<'_>, rows: Vec<Row>, out: u32) -> Result<i32, Refusal> {
    let bytes = rows.iter().map(|row| row.len()).sum::<usize>();
    guest.charge(prices::ROW_READ.saturating_mul(rows.len() as u64) + prices::copied(bytes))?;
    let session = guest.session();
    session.iterator_bytes += bytes;
    if session.iterator_bytes > ITERATOR_BYTES_MAX {
        return Stop::misuse(format!(
            "open row iterators hold more than {ITERATOR_BYTES_MAX} bytes"
        ));
    }
    let Some(handle) = session.iterators.open(RowIterator {
        rows,
        read: 0,
        bytes,
    }) else {
        return Stop::misuse("too many row iterators are open");
    };
    guest.write_u32(out, handle)?;
    Ok(0)
}

fn close_iterator(session: &mut Session, iter: u32) -> bool {
    let Some(mut closed) = session.iterators.close(iter) else {
        return false;
    };
    session.iterator_bytes -= closed.bytes;
    if closed.rows.capacity() <= SPARE_ROWS_MAX {
        closed.rows.clear();
        session.spare_rows = closed.rows;
    }
    true
}

/// Writes the numbers that `auto_inc` columns got over the row they belong to.
fn write_back(
    guest: &mut Guest<'_>,
    generated: &[u8],
    at: u32,
    len_at: u32,
) -> Result<i32, Refusal> {
    if !generated.is_empty() {
        guest.write(at, generated)?;
    }
    guest.write_u32(len_at, u32::try_from(generated.len()).unwrap_or(u32::MAX))?;
    Ok(0)
}

fn report_deleted(guest: &mut Guest<'_>, deleted: u32, out: u32) -> Result<i32, Refusal> {
    guest.charge(prices::ROW_WRITTEN.saturating_mul(u64::from(deleted)))?;
    guest.write_u32(out, deleted)?;
    Ok(0)
}
