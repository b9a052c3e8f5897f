//! What a call does, made twice: as a script for the puppet, and as the report that the model
//! expects of it.

use std::ops::Bound;

use super::drafts::{
    damaged, index_columns, index_id, own_index, point, row_bytes, row_values, table_id,
};
use super::operations::{BoundDraft, Damage, End, Like, Op, RangeDraft, Room, RowDraft, Which};
use super::plain::{self, Errno, Numbers, Plain, Range};
use super::puppet::{Arg, BUFFER, FILLING, LEN, OUT, Script};
use super::schema::{Definition, FIRST, Kind};
use super::values::Value;
use crate::{Outcome, Report};

/// What the puppet and the model are told to do, and what the model expects.
pub(super) struct Expected {
    pub(super) script: Script,
    /// What each operation was, and what it has to tell.
    pub(super) told: Vec<(String, Vec<u8>)>,
    numbers: Numbers,
    /// Rows of every iterator opened so far, and how many were read; none once it is closed.
    iterators: Vec<Option<(Vec<Vec<u8>>, usize)>>,
}

/// Bytes after which a report is long enough: it must fit into a row.
const TOLD_BYTES_MAX: usize = 400_000;

/// What a reducer says when it fails.
const FAILURE: &str = "it did not work out";

impl Expected {
    /// Of a call that has not done anything yet.
    pub(super) fn at(time: u64) -> Self {
        Self {
            script: Script::default(),
            told: Vec::new(),
            numbers: Numbers { time, drawn: 0 },
            iterators: Vec::new(),
        }
    }

    pub(super) fn end(&mut self, definition: &Definition, end: End) {
        self.script.flush(definition.report());
        let text = self.script.bytes(b"t0");
        match end {
            End::Finished => self.script.end(0, ""),
            End::Failed => self.script.end(1, FAILURE),
            End::Status => self.script.end(7, ""),
            End::Aborted => self.script.trap(),
            End::NullPointer => {
                let args = [text, Arg::Number(2), Arg::Number(0)];
                self.script.call("table_id_from_name", &args);
            }
            End::OutOfMemory => {
                // From within memory to behind it.
                let args = [
                    Arg::Number(FIRST),
                    text,
                    Arg::Number(1 << 26),
                    Arg::Number(OUT),
                ];
                self.script.call("datastore_delete_all_by_eq_bsatn", &args);
            }
        }
    }

    /// Scans every table, and every index that can be: whatever the call did, their rows and their
    /// order are looked at.
    pub(super) fn read_everything(&mut self, definition: &Definition, model: &mut Plain) {
        let tables = (0..definition.tables.len()).map(|table| Op::Scan(Which::Known(table)));
        let all = RangeDraft {
            like: Like::New,
            seeds: vec![0; 6],
            prefix: 0,
            start: BoundDraft::Unbounded,
            end: BoundDraft::Unbounded,
            damage: Damage::None,
        };
        let indexes = (0..definition.index_count())
            .map(|index| Op::ScanRange(Which::Known(index), all.clone(), false));
        for op in tables.chain(indexes) {
            if self.told.iter().map(|(_, told)| told.len()).sum::<usize>() > TOLD_BYTES_MAX {
                return;
            }
            let before = self.iterators.len();
            self.op(definition, model, &op);
            if self.iterators.len() > before {
                self.advance(0, Room::Plenty);
            }
        }
    }

    /// Adds an operation to the script, applies it to the model, and notes what is to be told.
    pub(super) fn op(&mut self, definition: &Definition, model: &mut Plain, op: &Op) {
        match op {
            Op::Insert(table, draft) => self.insert(definition, model, *table, draft),
            Op::InsertAll(table, drafts) => {
                for draft in drafts {
                    self.insert(definition, model, *table, draft);
                }
            }
            Op::InsertMany(table, draft, times) => {
                for _ in 0..*times {
                    self.insert(definition, model, *table, draft);
                }
            }
            Op::Update(table, by, draft) => {
                let id = table_id(definition, *table);
                let index = match by {
                    Err(which) => index_id(definition, *which),
                    // One of the table's own, the unique ones first.
                    Ok(number) => own_index(definition, id, *number),
                };
                let row = row_bytes(definition, model, id, draft);
                let what = format!("update {id} by {index}: {row:02x?}");
                let result = model.update(definition, &mut self.numbers, (id, index), &row);
                let at = self.script.bytes(&row);
                self.script.put(LEN, u32::try_from(row.len()).unwrap());
                let args = [Arg::Number(id), Arg::Number(index), at, Arg::Number(LEN)];
                self.script.call("datastore_update_bsatn", &args);
                self.written(what, result, at, row);
            }
            Op::DeleteAllByEq(table, drafts, damage) => {
                let id = table_id(definition, *table);
                let mut relation = u32::try_from(drafts.len()).unwrap().to_le_bytes().to_vec();
                for draft in drafts {
                    relation.extend(row_bytes(definition, model, id, draft));
                }
                damaged(&mut relation, *damage);
                let what = format!("delete all from {id}: {relation:02x?}");
                let result = model.delete_all_by_eq(definition, id, &relation);
                let (at, len) = self.handed(&relation);
                let args = [Arg::Number(id), at, len];
                self.counted(what, "datastore_delete_all_by_eq_bsatn", &args, 4, result);
            }
            Op::Clear(table) => {
                let id = table_id(definition, *table);
                let result = model.clear(definition, id);
                let args = [Arg::Number(id)];
                self.counted(format!("clear {id}"), "datastore_clear", &args, 8, result);
            }
            Op::Count(table) => {
                let id = table_id(definition, *table);
                let result = model.count(definition, id);
                let args = [Arg::Number(id)];
                self.counted(
                    format!("count {id}"),
                    "datastore_table_row_count",
                    &args,
                    8,
                    result,
                );
            }
            Op::Scan(table) => {
                let id = table_id(definition, *table);
                let result = model.scan(definition, id);
                let args = [Arg::Number(id)];
                self.opened(
                    format!("scan {id}"),
                    "datastore_table_scan_bsatn",
                    &args,
                    result,
                );
            }
            Op::ScanPoint(index, draft) => {
                let (id, point) = point(definition, model, *index, draft);
                let result = model.scan_point(definition, id, &point);
                let what = format!("scan {id} at {point:02x?}");
                let (at, len) = self.handed(&point);
                let args = [Arg::Number(id), at, len];
                self.opened(what, "datastore_index_scan_point_bsatn", &args, result);
            }
            Op::DeletePoint(index, draft) => {
                let (id, point) = point(definition, model, *index, draft);
                let result = model.delete_point(definition, id, &point);
                let what = format!("delete from {id} at {point:02x?}");
                let (at, len) = self.handed(&point);
                let args = [Arg::Number(id), at, len];
                let name = "datastore_delete_by_index_scan_point_bsatn";
                self.counted(what, name, &args, 4, result);
            }
            Op::ScanRange(index, draft, old) => {
                let range = self.range(definition, model, *index, draft);
                let (id, args, range) = range;
                let result = range.and_then(|range| model.scan_range(definition, id, &range));
                let name = if *old {
                    "datastore_btree_scan_bsatn"
                } else {
                    "datastore_index_scan_range_bsatn"
                };
                self.opened(format!("scan {id}, {draft:?}"), name, &args, result);
            }
            Op::DeleteRange(index, draft, old) => {
                let range = self.range(definition, model, *index, draft);
                let (id, args, range) = range;
                let result = range.and_then(|range| model.delete_range(definition, id, &range));
                let name = if *old {
                    "datastore_delete_by_btree_scan_bsatn"
                } else {
                    "datastore_delete_by_index_scan_range_bsatn"
                };
                self.counted(
                    format!("delete from {id}, {draft:?}"),
                    name,
                    &args,
                    4,
                    result,
                );
            }
            Op::Advance(iterator, room) => self.advance(*iterator, *room),
            Op::Close(iterator) => {
                let (handle, place) = self.handle(*iterator);
                let open = place.and_then(|place| self.iterators[place].take());
                let status = if open.is_some() {
                    0
                } else {
                    plain::NO_SUCH_ITER
                };
                self.script
                    .call("row_iter_bsatn_close", &[Arg::Number(handle)]);
                let told = status.to_le_bytes().to_vec();
                self.told.push((format!("close {handle}"), told));
            }
            Op::FindTable(which, canonical) => {
                let id = table_id(definition, *which);
                let known = id.wrapping_sub(FIRST) as usize;
                let known = Some(known).filter(|known| *known < definition.tables.len());
                let name = known.map_or("sys_member".into(), |known| {
                    definition.table_name(*canonical, known)
                });
                let result = known.map(|_| u64::from(id)).ok_or(plain::NO_SUCH_TABLE);
                let (at, len) = self.handed(name.as_bytes());
                let what = format!("find table {name}");
                self.counted(what, "table_id_from_name", &[at, len], 4, result);
            }
            Op::FindIndex(which, canonical) => {
                let id = index_id(definition, *which);
                let known = definition.index(id);
                let name = known.map_or("t0_c9_idx_btree".into(), |(table, index)| {
                    definition.index_name(*canonical, table, index)
                });
                let result = known.map(|_| u64::from(id)).ok_or(plain::NO_SUCH_INDEX);
                let (at, len) = self.handed(name.as_bytes());
                let what = format!("find index {name}");
                self.counted(what, "index_id_from_name", &[at, len], 4, result);
            }
        }
    }

    /// Bytes of the script, with their length.
    fn handed(&mut self, bytes: &[u8]) -> (Arg, Arg) {
        let len = u32::try_from(bytes.len()).unwrap();
        (self.script.bytes(bytes), Arg::Number(len))
    }

    fn insert(
        &mut self,
        definition: &Definition,
        model: &mut Plain,
        table: Which,
        draft: &RowDraft,
    ) {
        let id = table_id(definition, table);
        let row = row_bytes(definition, model, id, draft);
        let what = format!("insert into {id}: {row:02x?}");
        let result = model.insert(definition, &mut self.numbers, id, &row);
        let at = self.script.bytes(&row);
        self.script.put(LEN, u32::try_from(row.len()).unwrap());
        let args = [Arg::Number(id), at, Arg::Number(LEN)];
        self.script.call("datastore_insert_bsatn", &args);
        self.written(what, result, at, row);
    }

    /// A row was handed over: the numbers it got are written over it, and their length.
    fn written(&mut self, what: String, result: Result<Vec<u8>, Errno>, at: Arg, row: Vec<u8>) {
        self.script.tell(Arg::Number(LEN), 4);
        self.script.tell(at, row.len());
        let (status, numbers, len) = match result {
            Ok(numbers) => {
                let len = numbers.len();
                (0, numbers, len)
            }
            Err(errno) => (errno, vec![], row.len()),
        };
        let mut told = status.to_le_bytes().to_vec();
        told.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        told.extend_from_slice(&numbers);
        told.extend_from_slice(&row[numbers.len()..]);
        self.told.push((what, told));
    }

    /// An import that answers with a number of so many bytes.
    fn counted<N: Into<u64>>(
        &mut self,
        what: String,
        import: &str,
        args: &[Arg],
        width: usize,
        result: Result<N, Errno>,
    ) {
        self.script.fill(OUT, 16);
        self.script
            .call(import, &[args, &[Arg::Number(OUT)]].concat());
        self.script.tell(Arg::Number(OUT), 16);
        let mut number = [FILLING; 16];
        let status = match result {
            Ok(count) => {
                number[..width].copy_from_slice(&count.into().to_le_bytes()[..width]);
                0
            }
            Err(errno) => errno,
        };
        self.told
            .push((what, [&status.to_le_bytes()[..], &number].concat()));
    }

    /// An import that opens an iterator: they are numbered from 1 on.
    fn opened(
        &mut self,
        what: String,
        import: &str,
        args: &[Arg],
        result: Result<Vec<Vec<u8>>, Errno>,
    ) {
        let result = result.map(|rows| {
            self.iterators.push(Some((rows, 0)));
            self.iterators.len() as u64
        });
        self.counted(what, import, args, 4, result);
    }

    /// The number of an iterator, and its place among those opened if it ever was.
    fn handle(&self, iterator: usize) -> (u32, Option<usize>) {
        // The last ones are those of interest.
        let place = self.iterators.len().checked_sub(iterator + 1);
        let handle = place.map_or(1_000, |place| place + 1);
        (u32::try_from(handle).unwrap(), place)
    }

    fn advance(&mut self, iterator: usize, room: Room) {
        let (handle, place) = self.handle(iterator);
        let open = place.and_then(|place| self.iterators[place].clone());
        let left = open.as_ref().map_or(&[][..], |(rows, read)| &rows[*read..]);
        let of = |count: usize| left.iter().take(count).map(Vec::len).sum::<usize>();
        let capacity = match room {
            Room::Nothing => 0,
            Room::TooLittle => of(1).saturating_sub(1),
            Room::Rows(count) => of(count),
            Room::RowsAndMore(count) => of(count) + 1,
            Room::Plenty => of(left.len()) + 100,
        };
        let fit = {
            let mut bytes = 0;
            let fits = |row: &&Vec<u8>| {
                bytes += row.len();
                bytes <= capacity
            };
            left.iter().take_while(fits).count()
        };
        let (status, len, written) = match (place, &open) {
            (Some(place), Some(_)) if fit == left.len() => {
                self.iterators[place] = None;
                (u32::MAX, of(fit), left[..fit].concat())
            }
            (Some(_), Some(_)) if fit == 0 => (plain::BUFFER_TOO_SMALL, left[0].len(), vec![]),
            (Some(place), Some(_)) => {
                if let Some((_, read)) = &mut self.iterators[place] {
                    *read += fit;
                }
                (0, of(fit), left[..fit].concat())
            }
            _ => (plain::NO_SUCH_ITER, capacity, vec![]),
        };
        // What lies behind must stay as it is.
        let seen = capacity + 8;
        self.script.fill(BUFFER, seen);
        self.script.put(LEN, u32::try_from(capacity).unwrap());
        let args = [Arg::Number(handle), Arg::Number(BUFFER), Arg::Number(LEN)];
        self.script.call("row_iter_bsatn_advance", &args);
        self.script.tell(Arg::Number(LEN), 4);
        self.script.tell(Arg::Number(BUFFER), seen);
        let mut told = status.to_le_bytes().to_vec();
        told.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        told.extend_from_slice(&written);
        told.resize(8 + seen, FILLING);
        self.told
            .push((format!("advance {handle}, room for {capacity}"), told));
    }

    /// A range of an index: its number, what the import is called with, and the range as the model
    /// takes it, or why it is none.
    fn range(
        &mut self,
        definition: &Definition,
        model: &Plain,
        index: Which,
        draft: &RangeDraft,
    ) -> (u32, Vec<Arg>, Result<Range, Errno>) {
        let id = index_id(definition, index);
        let Some((table, columns)) = index_columns(definition, id) else {
            // One fault is enough.
            let unbounded = self.script.bytes(&[2]);
            let one = Arg::Number(1);
            let none = Arg::Number(0);
            let args = vec![
                Arg::Number(id),
                none,
                none,
                none,
                unbounded,
                one,
                unbounded,
                one,
            ];
            return (id, args, Err(plain::NO_SUCH_INDEX));
        };
        let types = &definition.tables[table].columns;
        let row = row_values(definition, model, table, draft.like, &draft.seeds, false);
        let mut prefix = Vec::new();
        for column in columns.iter().take(draft.prefix) {
            row[*column].write(&types[*column], &mut prefix);
        }
        damaged(&mut prefix, draft.damage);
        let column = columns.get(draft.prefix).or(columns.last());
        let column = *column.unwrap();
        let bytes = |value: &Value| {
            let mut bytes = Vec::new();
            value.write(&types[column], &mut bytes);
            bytes
        };
        let mut broken = false;
        let mut bound = |draft: BoundDraft| match draft {
            BoundDraft::Included => Bound::Included(bytes(&row[column])),
            BoundDraft::Excluded => Bound::Excluded(bytes(&row[column])),
            BoundDraft::IncludedOther(seed) => Bound::Included(bytes(&types[column].value(seed))),
            BoundDraft::ExcludedOther(seed) => Bound::Excluded(bytes(&types[column].value(seed))),
            BoundDraft::Unbounded => Bound::Unbounded,
            BoundDraft::Broken(_) => {
                broken = true;
                Bound::Unbounded
            }
        };
        let (start, end) = (bound(draft.start), bound(draft.end));
        let written = |bound: &Bound<Vec<u8>>, draft: BoundDraft| match (bound, draft) {
            // No bound, or one with something behind it.
            (_, BoundDraft::Broken(byte)) => vec![byte, 0],
            (Bound::Included(value), _) => [&[0][..], value].concat(),
            (Bound::Excluded(value), _) => [&[1][..], value].concat(),
            (Bound::Unbounded, _) => vec![2],
        };
        let start_bytes = written(&start, draft.start);
        let end_bytes = written(&end, draft.end);
        let prefix_len = u32::try_from(draft.prefix).unwrap();
        let (prefix_at, prefix_bytes) = match prefix_len {
            // It is not looked at.
            0 => (Arg::Number(0), Arg::Number(0)),
            _ => self.handed(&prefix),
        };
        let (start_at, start_len) = self.handed(&start_bytes);
        let (end_at, end_len) = self.handed(&end_bytes);
        let args = vec![
            Arg::Number(id),
            prefix_at,
            prefix_bytes,
            Arg::Number(prefix_len),
            start_at,
            start_len,
            end_at,
            end_len,
        ];
        let range = Range {
            prefix,
            prefix_len,
            start,
            end,
        };
        (
            id,
            args,
            match definition.index(id) {
                _ if !broken => Ok(range),
                // What is wrong with the index is told first.
                Some((_, index)) if index.kind == Kind::Hash => Err(plain::WRONG_INDEX_ALGO),
                _ => Err(plain::DECODE),
            },
        )
    }
}

/// What a script told, against what it should have, one operation after the other.
pub(super) fn compare(expected: &[(String, Vec<u8>)], mut told: &[u8]) {
    for (place, (op, expected)) in expected.iter().enumerate() {
        let (this, rest) = told.split_at(expected.len().min(told.len()));
        assert_eq!(this, expected, "operation {place}: {op}");
        told = rest;
    }
    assert_eq!(told, [0; 0], "more was told than expected");
}

/// Whether a call ended as it was made to.
pub(super) fn ended(end: End, report: &Report) {
    let as_expected = match (end, &report.outcome) {
        (End::Finished, Outcome::Ok) => true,
        (End::Failed, Outcome::Failed(text)) => text == FAILURE,
        (End::Status | End::Aborted | End::NullPointer | End::OutOfMemory, Outcome::Trapped(_)) => {
            true
        }
        _ => false,
    };
    assert!(
        as_expected,
        "a call that {end:?} came to {:?}",
        report.outcome
    );
}
