//! One case: a database beside its model.

use store::{CallContext, Disk, MemoryDisk, Schema, State, StateOptions};
use sync_protocol::{ConnectionId, DatabaseId, DeviceKey, EntryId, Hlc, Position};

use super::expected::{Expected, compare, ended};
use super::operations::{Call, End, Step};
use super::plain::Plain;
use super::schema::{Definition, FIRST};
use crate::Runner;

/// 2024-01-01, from which columns are numbered by time.
pub(super) const START: u64 = 1_704_067_200_000_000;

/// Time between two calls: late ones come in between.
const BETWEEN: u64 = 1 << 10;

/// When the call of that number runs, if none comes late.
pub(super) const fn call_time(n: u64) -> u64 {
    START + n * BETWEEN
}

/// A call that was executed.
struct Executed {
    time: u64,
    call: Call,
    /// What it left.
    after: Plain,
}

pub(super) struct World {
    definition: Definition,
    runner: Runner,
    disk: MemoryDisk,
    state: Option<State>,
    base: Plain,
    tail: Vec<Executed>,
    settled: u64,
    height: u64,
}

impl World {
    /// A new database, and an instance of a puppet for it.
    pub(super) fn new(definition: Definition, runner: Runner) -> Self {
        let disk = MemoryDisk::default();
        let state = open(&definition, &disk);
        Self {
            base: Plain::new(&definition),
            definition,
            runner,
            disk,
            state: Some(state),
            tail: Vec::new(),
            settled: call_time(0),
            height: 0,
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Call(call) => {
                let last = self.tail.last().map_or(self.settled, |call| call.time);
                self.call(last + BETWEEN, call);
            }
            Step::Late(before, call) => {
                let place = self.tail.len().saturating_sub(before);
                let later = self.take_back(place);
                let last = self.tail.last().map_or(self.settled, |call| call.time);
                match later.first() {
                    Some(next) if next.time - last > 1 => {
                        self.call(last + (next.time - last) / 2, call);
                    }
                    Some(_) => {}
                    None => self.call(last + BETWEEN, call),
                }
                for executed in later {
                    self.call(executed.time, executed.call);
                }
            }
            Step::Rewind(count) => {
                let place = self.tail.len().saturating_sub(count);
                self.take_back(place);
            }
            Step::Settle(count) => self.settle(count),
            Step::Restart => {
                drop(self.state.take());
                self.disk.crash();
                self.state = Some(open(&self.definition, &self.disk));
                for executed in std::mem::take(&mut self.tail) {
                    self.call(executed.time, executed.call);
                }
            }
        }
        self.check();
    }

    /// Takes the calls from `place` on back, and returns them.
    fn take_back(&mut self, place: usize) -> Vec<Executed> {
        if let Some(first) = self.tail.get(place) {
            let position = position(first.time);
            self.state.as_mut().unwrap().rewind(&position).unwrap();
        }
        self.tail.split_off(place.min(self.tail.len()))
    }

    fn model(&self) -> &Plain {
        self.tail.last().map_or(&self.base, |call| &call.after)
    }

    fn call(&mut self, time: u64, call: Call) {
        let before = self.model().clone();
        let mut model = before.clone();
        let mut expected = Expected::at(time);
        for op in &call.ops {
            expected.op(&self.definition, &mut model, op);
        }
        expected.read_everything(&self.definition, &mut model);
        expected.end(&self.definition, call.end);

        let argument = expected.script.argument();
        let transaction = self.state.take().unwrap().begin(CallContext {
            position: position(time),
            time: Hlc(time),
        });
        let made = crate::Call {
            reducer: 0,
            sender: [7; 32],
            connection: ConnectionId([3; 16]),
            time: Hlc(time),
            args: &argument,
            claims: None,
            database: [9; 32],
            units: 1_000_000_000,
        };
        let (transaction, report) = self.runner.call(made, transaction).unwrap();
        let told = transaction.scan(store::TableId(self.definition.report()));
        let told = told.unwrap().last().map(|row| row[4..].to_vec());
        compare(&expected.told, &told.unwrap_or_default());
        ended(call.end, &report);
        if call.end != End::Finished {
            self.state = Some(transaction.abort());
            model = before;
        } else {
            let (state, changes) = transaction.commit();
            let changes = changes.into_iter().map(|change| {
                let place = change.table.0 - FIRST;
                let bytes = |row: Option<store::Row>| row.map(|row| row.to_vec());
                (place as usize, bytes(change.old), bytes(change.new))
            });
            let report = self.definition.tables.len();
            let changes = changes.filter(|(place, ..)| *place != report);
            assert_eq!(
                changes.collect::<Vec<_>>(),
                model.changes(&self.definition, &before),
                "what the call changed"
            );
            model.end_call(&self.definition);
            self.state = Some(state);
        }
        self.tail.push(Executed {
            time,
            call,
            after: model,
        });
    }

    fn settle(&mut self, count: usize) {
        let count = count.min(self.tail.len());
        let covered = self.tail.drain(..count).collect::<Vec<_>>();
        let state = self.state.as_mut().unwrap();
        let through = covered.last().map(|call| position(call.time));
        let settlement = state.plan_settle(through.as_ref(), vec![]).unwrap();
        state.settle(settlement, self.height).unwrap();
        self.height += 1;
        if let Some(last) = covered.into_iter().next_back() {
            self.settled = last.time;
            self.base = last.after;
        }
        let state = self.state.as_ref().unwrap();
        for (place, table) in self.definition.tables.iter().enumerate() {
            let rows = state
                .final_rows(store::TableId(FIRST + place as u32))
                .unwrap();
            let expected = self.base.rows(place).map(|row| table.bytes(row));
            let rows = rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
            assert_eq!(
                rows,
                expected.collect::<Vec<_>>(),
                "table {place} at the cut"
            );
        }
        if self.tail.is_empty() {
            assert_eq!(state.root().unwrap(), state.final_root());
        }
    }

    /// What anybody sees between calls.
    fn check(&self) {
        let state = self.state.as_ref().unwrap();
        for (place, table) in self.definition.tables.iter().enumerate() {
            let id = store::TableId(FIRST + place as u32);
            let rows = state.rows(id).unwrap();
            let rows = rows.map(|row| row.unwrap().to_vec()).collect::<Vec<_>>();
            let expected = self.model().rows(place).map(|row| table.bytes(row));
            assert_eq!(
                rows,
                expected.collect::<Vec<_>>(),
                "table {place} between calls"
            );
            assert_eq!(state.row_count(id).unwrap(), rows.len() as u64);
        }
    }
}

fn open(definition: &Definition, disk: &MemoryDisk) -> State {
    let def = crate::describe::describe(definition.describe()).unwrap();
    let options = StateOptions {
        sequential_auto_inc: definition.sequential,
        ..StateOptions::default()
    };
    let base = disk.base(&DatabaseId::ZERO).unwrap();
    State::open(base, Schema::new(def.tables).unwrap(), options).unwrap()
}

fn position(time: u64) -> Position {
    Position {
        hlc: Hlc(time),
        author: DeviceKey::ZERO,
        entry: EntryId::ZERO,
        index: 0,
    }
}
