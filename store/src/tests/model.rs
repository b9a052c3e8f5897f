//! State and transactions against a model made of plain maps: random calls, late entries, cuts and
//! restarts. The model shares no code with the store.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::aside::Planned;
use super::{
    ACCOUNT, ACCOUNT_ID, ACCOUNT_NAME, ACCOUNT_TEAM, ALARM, DATABASE, MEMBER, MESSAGE, NOTE,
    NOTE_AUTHOR, account, begin, message, note, open, position, rows_of, text,
};
use crate::root::{RowHasher, RowSum};
use crate::{
    Aside, DataError, Disk, MemoryDisk, OverlayBudget, Range, Row, RowWrite, Settlement, State,
    TableId,
};

#[derive(Clone, Debug)]
pub(super) enum Op {
    InsertAccount(u32, u8, u8, i64),
    UpdateById(u32, u8, u8, i64),
    UpdateByName(u32, u8, u8, i64),
    DeleteAccounts(Vec<(u32, u8, u8, i64)>),
    DeleteTeam(u8, i64),
    ClearAccounts,
    InsertNote(u8, u8),
    DeleteNote(u8, u8),
    DeleteNotesOf(u8),
    InsertMessage(u64, u8),
    Alarm(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The operations of one call, and whether it succeeds.
    Call(Vec<Op>, bool),
    /// So many of the last calls are taken back.
    Rewind(usize),
    /// A cut over so many of the oldest calls, and the members it writes or deletes.
    Settle(usize, Vec<(u8, u8, bool)>),
    Reopen,
    /// What the overlay has no room for goes to the spill.
    Relieve,
    /// A cut over so many of the oldest calls is planned aside.
    Plan(usize),
    /// Somebody looks what became of what is done aside.
    Look,
}

/// How an operation ended: what it returned, or which error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Numbers(Vec<u8>),
    Count(u64),
    Taken,
    NoSuchRow,
}

type AccountRow = (String, u8, i64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    accounts: BTreeMap<u32, AccountRow>,
    notes: BTreeSet<(u8, String)>,
    messages: BTreeMap<u64, String>,
    last_account: u32,
}

fn name(n: u8) -> String {
    // One name is longer than what a stored key holds, one is almost the same.
    match n {
        3 => "long".repeat(200),
        4 => "long".repeat(200) + "er",
        _ => format!("name {n}"),
    }
}

impl Model {
    fn number(&mut self, id: u32) -> (u32, Vec<u8>) {
        if id != 0 {
            return (id, Vec::new());
        }
        self.last_account += 1;
        while self.accounts.contains_key(&self.last_account) {
            self.last_account += 1;
        }
        (self.last_account, self.last_account.to_le_bytes().to_vec())
    }

    fn name_is_taken(&self, name: &str, but: Option<u32>) -> bool {
        self.accounts
            .iter()
            .any(|(id, row)| row.0 == name && Some(*id) != but)
    }

    fn insert_account(&mut self, id: u32, row: AccountRow) -> Ended {
        let (id, numbers) = self.number(id);
        match self.accounts.get(&id) {
            Some(held) if *held == row => Ended::Numbers(numbers),
            Some(_) => Ended::Taken,
            None if self.name_is_taken(&row.0, None) => Ended::Taken,
            None => {
                self.accounts.insert(id, row);
                Ended::Numbers(numbers)
            }
        }
    }

    fn update_account(&mut self, by_name: bool, id: u32, row: AccountRow) -> Ended {
        let (id, numbers) = self.number(id);
        let old = if by_name {
            self.accounts
                .iter()
                .find(|(_, held)| held.0 == row.0)
                .map(|(id, _)| *id)
        } else {
            self.accounts.contains_key(&id).then_some(id)
        };
        let Some(old) = old else {
            return Ended::NoSuchRow;
        };
        if (old != id && self.accounts.contains_key(&id)) || self.name_is_taken(&row.0, Some(old)) {
            return Ended::Taken;
        }
        self.accounts.remove(&old);
        self.accounts.insert(id, row);
        Ended::Numbers(numbers)
    }

    fn apply(&mut self, op: &Op, n: u64, drawn: &mut u64) -> Ended {
        match op {
            Op::InsertAccount(id, a, b, c) => self.insert_account(*id, (name(*a), *b, *c)),
            Op::UpdateById(id, a, b, c) => self.update_account(false, *id, (name(*a), *b, *c)),
            Op::UpdateByName(id, a, b, c) => self.update_account(true, *id, (name(*a), *b, *c)),
            Op::DeleteAccounts(rows) => {
                let before = self.accounts.len();
                for (id, a, b, c) in rows {
                    if self.accounts.get(id) == Some(&(name(*a), *b, *c)) {
                        self.accounts.remove(id);
                    }
                }
                Ended::Count((before - self.accounts.len()) as u64)
            }
            Op::DeleteTeam(team, least) => {
                let before = self.accounts.len();
                self.accounts
                    .retain(|_, row| row.1 != *team || row.2 < *least);
                Ended::Count((before - self.accounts.len()) as u64)
            }
            Op::ClearAccounts => Ended::Count(std::mem::take(&mut self.accounts).len() as u64),
            Op::InsertNote(author, words) => {
                self.notes.insert((*author, name(*words)));
                Ended::Numbers(Vec::new())
            }
            Op::DeleteNote(author, words) => {
                Ended::Count(u64::from(self.notes.remove(&(*author, name(*words)))))
            }
            Op::DeleteNotesOf(author) => {
                let before = self.notes.len();
                self.notes.retain(|(held, _)| held != author);
                Ended::Count((before - self.notes.len()) as u64)
            }
            Op::InsertMessage(0, words) => {
                let since_2024 = position(n).hlc.0 - 1_704_067_200_000_000;
                let id = since_2024 * 4_096 + *drawn;
                *drawn += 1;
                self.messages.insert(id, name(*words));
                Ended::Numbers(id.to_le_bytes().to_vec())
            }
            Op::InsertMessage(id, words) => match self.messages.get(id) {
                Some(held) if *held == name(*words) => Ended::Numbers(Vec::new()),
                Some(_) => Ended::Taken,
                None => {
                    self.messages.insert(*id, name(*words));
                    Ended::Numbers(Vec::new())
                }
            },
            Op::Alarm(_) => Ended::Numbers(Vec::new()),
        }
    }
}

pub(super) fn relation(rows: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(rows.len()).expect("few").to_le_bytes();
    [&count[..], &rows.concat()].concat()
}

fn apply(transaction: &mut crate::Transaction, op: &Op) -> Ended {
    let row = |id: &u32, a: &u8, b: &u8, c: &i64| account(*id, &name(*a), *b, *c);
    let counted = |result: Result<u32, DataError>| result.map(|count| Ended::Count(count.into()));
    let result = match op {
        Op::InsertAccount(id, a, b, c) => transaction
            .insert(ACCOUNT, &row(id, a, b, c))
            .map(Ended::Numbers),
        Op::UpdateById(id, a, b, c) => transaction
            .update(ACCOUNT, ACCOUNT_ID, &row(id, a, b, c))
            .map(Ended::Numbers),
        Op::UpdateByName(id, a, b, c) => transaction
            .update(ACCOUNT, ACCOUNT_NAME, &row(id, a, b, c))
            .map(Ended::Numbers),
        Op::DeleteAccounts(rows) => {
            let rows: Vec<_> = rows.iter().map(|(id, a, b, c)| row(id, a, b, c)).collect();
            counted(transaction.delete_all_by_eq(ACCOUNT, &relation(&rows)))
        }
        Op::DeleteTeam(team, least) => {
            let start = [&[0][..], &least.to_le_bytes()].concat();
            let range = Range::from_abi(std::slice::from_ref(team), 1, &start, &[2]);
            counted(transaction.delete_by_range(ACCOUNT_TEAM, &range.expect("well formed")))
        }
        Op::ClearAccounts => transaction.clear(ACCOUNT).map(Ended::Count),
        Op::InsertNote(author, words) => transaction
            .insert(NOTE, &note(*author, &name(*words)))
            .map(Ended::Numbers),
        Op::DeleteNote(author, words) => {
            let rows = relation(&[note(*author, &name(*words))]);
            counted(transaction.delete_all_by_eq(NOTE, &rows))
        }
        Op::DeleteNotesOf(author) => {
            counted(transaction.delete_by_range(NOTE_AUTHOR, &Range::point(&[*author])))
        }
        Op::InsertMessage(id, words) => transaction
            .insert(MESSAGE, &message(*id, &name(*words)))
            .map(Ended::Numbers),
        Op::Alarm(level) => transaction.insert(ALARM, &[*level]).map(Ended::Numbers),
    };
    match result {
        Ok(ended) => ended,
        Err(DataError::UniqueAlreadyExists { .. }) => Ended::Taken,
        Err(DataError::NoSuchRow) => Ended::NoSuchRow,
        Err(error) => panic!("unexpected: {error}"),
    }
}

impl Model {
    fn account_rows(&self) -> Vec<Vec<u8>> {
        self.accounts
            .iter()
            .map(|(id, (name, b, c))| account(*id, name, *b, *c))
            .collect()
    }

    /// By team, then score, then id: the order of the two-column index.
    fn team_rows(&self, team: u8, least: i64) -> Vec<Vec<u8>> {
        let mut rows: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, row)| row.1 == team && row.2 >= least)
            .map(|(id, row)| (row.2, *id, row.0.clone()))
            .collect();
        rows.sort();
        rows.into_iter()
            .map(|(score, id, name)| account(id, &name, team, score))
            .collect()
    }
}

pub(super) struct World {
    disk: MemoryDisk,
    /// How many calls the overlay may hold; `None`: all.
    room: Option<usize>,
    /// Where the long work of cuts is done.
    aside: Aside,
    pub(super) state: Option<State>,
    pub(super) base: Settled,
    /// What a restart finds, while the last cut is on its way into the base.
    pub(super) durable: Option<Settled>,
    /// Every executed call that is not settled, with what it left.
    pub(super) tail: Vec<(u64, Model)>,
    pub(super) planned: Option<Planned>,
}

/// What the last cut left.
#[derive(Clone, Default)]
pub(super) struct Settled {
    pub(super) model: Model,
    pub(super) members: BTreeMap<u8, String>,
    /// The last call that it covers.
    pub(super) through: u64,
    /// The height of the next one.
    pub(super) height: u64,
}

impl World {
    pub(super) fn new(room: Option<usize>, aside: Aside) -> Self {
        let disk = MemoryDisk::new();
        let mut state = open_with_room(&disk, room);
        state.set_aside(aside);
        Self {
            disk,
            room,
            aside,
            state: Some(state),
            base: Settled::default(),
            durable: None,
            tail: Vec::new(),
            planned: None,
        }
    }

    fn model(&self) -> &Model {
        let last = self.tail.last();
        last.map_or(&self.base.model, |(_, model)| model)
    }

    pub(super) fn take(&mut self) -> State {
        self.state.take().expect("it is put back after every step")
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Call(ops, commits) => self.call(ops, *commits),
            Step::Rewind(count) => {
                let kept = self.tail.len().saturating_sub(*count);
                if let Some((n, _)) = self.tail.get(kept) {
                    let from = position(*n);
                    let state = self.state.as_mut().expect("put back");
                    state.rewind(&from).expect("it can be taken back");
                }
                self.disturb(kept);
                self.tail.truncate(kept);
            }
            Step::Settle(count, members) => self.settle(*count, members),
            Step::Reopen => {
                drop(self.take());
                self.planned = None;
                self.disk.crash();
                self.tail.clear();
                if let Some(durable) = self.durable.take() {
                    self.base = durable;
                }
                let mut state = open_with_room(&self.disk, self.room);
                state.set_aside(self.aside);
                self.state = Some(state);
            }
            Step::Relieve => {
                self.disturb(0);
                let state = self.state.as_mut().expect("put back");
                state.relieve().expect("it can be spilled");
            }
            Step::Plan(count) => self.plan(*count),
            Step::Look => self.look(),
        }
        self.check();
    }

    fn call(&mut self, ops: &[Op], commits: bool) {
        let n = self.tail.last().map_or(self.base.through, |(n, _)| *n) + 1;
        let mut transaction = begin(self.take(), n);
        let mut model = self.model().clone();
        let mut alarms = BTreeSet::new();
        let mut drawn = 0;
        for op in ops {
            let expected = model.apply(op, n, &mut drawn);
            assert_eq!(apply(&mut transaction, op), expected, "{op:?}");
            // The call reads its own writes.
            let rows = transaction.scan(ACCOUNT).expect("small");
            assert_eq!(bytes(&rows), model.account_rows());
            assert_eq!(
                transaction.row_count(ACCOUNT).expect("known"),
                rows.len() as u64
            );
            if let Op::Alarm(level) = op {
                alarms.insert(vec![*level]);
            }
        }
        let alarm_rows = bytes(&transaction.scan(ALARM).expect("small"));
        assert_eq!(alarm_rows, alarms.iter().cloned().collect::<Vec<_>>());
        if !commits {
            self.state = Some(transaction.abort());
            return;
        }
        let (state, changes) = transaction.commit();
        let mut before: BTreeSet<Vec<u8>> = self.model().account_rows().into_iter().collect();
        let mut fired = BTreeSet::new();
        for change in &changes {
            assert_ne!(change.old, change.new, "only what is different is a change");
            match change.table {
                ACCOUNT => {
                    if let Some(old) = &change.old {
                        assert!(before.remove(&**old), "what was not there cannot go");
                    }
                    if let Some(new) = &change.new {
                        assert!(before.insert(new.to_vec()), "what is there cannot come");
                    }
                }
                ALARM => {
                    fired.insert(change.new.as_ref().expect("events never go").to_vec());
                }
                _ => {}
            }
        }
        let after: BTreeSet<Vec<u8>> = model.account_rows().into_iter().collect();
        assert_eq!(before, after, "the changes lead from what was to what is");
        assert_eq!(fired, alarms);
        self.state = Some(state);
        self.tail.push((n, model));
    }

    fn settle(&mut self, count: usize, members: &[(u8, u8, bool)]) {
        let through = self
            .tail
            .get(..count.min(self.tail.len()))
            .and_then(|calls| calls.last());
        let mut base = self.base.clone();
        if let Some((n, model)) = through {
            (base.through, base.model) = (*n, model.clone());
        }
        let through = through.map(|(n, _)| position(*n));
        let mut extra = Vec::new();
        for (id, role, delete) in members {
            let role = name(*role);
            let row = [&[*id][..], &text(&role)].concat();
            extra.push(RowWrite {
                table: MEMBER,
                row,
                delete: *delete,
            });
            if *delete {
                base.members.remove(id);
            } else {
                base.members.insert(*id, role);
            }
        }
        let state = self.take();
        let settlement = state
            .plan_settle(through.as_ref(), extra)
            .expect("it can be planned");
        self.disturb(0);
        self.settle_as_planned(state, settlement, base);
    }

    pub(super) fn settle_as_planned(
        &mut self,
        mut state: State,
        settlement: Settlement,
        mut base: Settled,
    ) {
        let (root, height) = (settlement.root, self.base.height);
        state.settle(settlement, height).expect("it can be written");
        assert_eq!(state.final_root(), root);
        assert_eq!(state.height(), Some(height));
        let finals = state.final_rows(ACCOUNT).expect("small");
        assert_eq!(bytes(&finals), base.model.account_rows());
        base.height = height + 1;
        self.tail.retain(|(n, _)| *n > base.through);
        let before = std::mem::replace(&mut self.base, base);
        self.durable = state.is_settling().then_some(before);
        self.state = Some(state);
    }

    fn check(&self) {
        let state = self.state.as_ref().expect("put back");
        let model = self.model();
        let notes: Vec<_> = model
            .notes
            .iter()
            .map(|(author, words)| note(*author, words))
            .collect();
        let messages: Vec<_> = model
            .messages
            .iter()
            .map(|(id, words)| message(*id, words))
            .collect();
        let members: Vec<_> = self
            .base
            .members
            .iter()
            .map(|(id, role)| [&[*id][..], &text(role)].concat())
            .collect();
        let tables = [
            (ACCOUNT, model.account_rows()),
            (MESSAGE, messages),
            (MEMBER, members),
            (ALARM, vec![]),
        ];
        for (table, expected) in tables {
            assert_eq!(bytes(&rows_of(state, table)), expected, "{table:?}");
            assert_eq!(
                state.row_count(table).expect("known"),
                expected.len() as u64
            );
        }
        let held: BTreeSet<_> = bytes(&rows_of(state, NOTE)).into_iter().collect();
        assert_eq!(held, notes.into_iter().collect());
        assert_eq!(state.row_count(NOTE).expect("known"), held.len() as u64);
        for team in 0..3 {
            let start = [&[0][..], &0_i64.to_le_bytes()].concat();
            let teams = [team];
            let range = Range::from_abi(&teams, 1, &start, &[2]).expect("well formed");
            let rows = state.scan_index(ACCOUNT_TEAM, &range).expect("known");
            let rows: Vec<Row> = rows.map(|row| row.expect("readable")).collect();
            assert_eq!(bytes(&rows), model.team_rows(team, 0));
        }
        for n in 0..5 {
            let point = text(&name(n));
            let rows = state
                .scan_index(ACCOUNT_NAME, &Range::point(&point))
                .expect("known");
            let found: Vec<Row> = rows.map(|row| row.expect("readable")).collect();
            let expected = model.accounts.iter().find(|(_, row)| row.0 == name(n));
            let expected = expected.map(|(id, (name, b, c))| account(*id, name, *b, *c));
            assert_eq!(bytes(&found), expected.into_iter().collect::<Vec<_>>());
        }
        assert_eq!(
            state.root().expect("readable"),
            root_from_scratch(state, model.last_account)
        );
        let is_empty = state.overlay_bytes() == 0 && state.spilled_bytes() == 0;
        assert_eq!(state.overlay_len() == 0, is_empty);
        if self.tail.is_empty() {
            assert_eq!(state.overlay_len(), 0);
        }
    }
}

pub(super) fn open_with_room(disk: &MemoryDisk, room: Option<usize>) -> State {
    let state = open(disk);
    let Some(commits) = room else {
        return state;
    };
    let budget = OverlayBudget {
        bytes: usize::MAX,
        commits,
    };
    state.spilling_to(disk.spill(&DATABASE).expect("memory"), budget)
}

fn bytes(rows: &[Row]) -> Vec<Vec<u8>> {
    rows.iter().map(|row| row.to_vec()).collect()
}

/// The root as a peer would compute it that was handed nothing but the rows.
pub(super) fn root_from_scratch(state: &State, last_account: u32) -> sync_protocol::StateRoot {
    let hasher = RowHasher::new();
    let mut sum = RowSum::empty();
    let mut ends = Vec::new();
    let mut key = Vec::new();
    for plan in state.schema().plans() {
        for row in rows_of(state, plan.id) {
            let cells = plan.cells(&row, &mut ends).expect("well formed");
            plan.row_key(&cells, &mut key).expect("well formed");
            hasher.add(&mut sum, &key, &row);
        }
    }
    if last_account > 0 {
        let TableId(id) = ACCOUNT;
        let key = [&(id | 0x8000_0000).to_be_bytes()[..], &[0, 0]].concat();
        hasher.add(&mut sum, &key, &u128::from(last_account).to_le_bytes());
    }
    sum.root()
}

fn account_columns() -> impl Strategy<Value = (u32, u8, u8, i64)> {
    (0_u32..5, 0_u8..5, 0_u8..3, -1_i64..2)
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => account_columns().prop_map(|(a, b, c, d)| Op::InsertAccount(a, b, c, d)),
        4 => account_columns().prop_map(|(a, b, c, d)| Op::UpdateById(a, b, c, d)),
        4 => account_columns().prop_map(|(a, b, c, d)| Op::UpdateByName(a, b, c, d)),
        2 => proptest::collection::vec(account_columns(), 0..4).prop_map(Op::DeleteAccounts),
        1 => (0_u8..3, -1_i64..2).prop_map(|(team, least)| Op::DeleteTeam(team, least)),
        1 => Just(Op::ClearAccounts),
        3 => (0_u8..3, 0_u8..5).prop_map(|(author, words)| Op::InsertNote(author, words)),
        2 => (0_u8..3, 0_u8..5).prop_map(|(author, words)| Op::DeleteNote(author, words)),
        1 => (0_u8..3).prop_map(Op::DeleteNotesOf),
        3 => (0_u64..3, 0_u8..2).prop_map(|(id, words)| Op::InsertMessage(id, words)),
        1 => (0_u8..3).prop_map(Op::Alarm),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let members = proptest::collection::vec((0_u8..4, 0_u8..5, any::<bool>()), 0..3);
    prop_oneof![
        8 => (proptest::collection::vec(ops(), 0..8), proptest::bool::weighted(0.8))
            .prop_map(|(ops, commits)| Step::Call(ops, commits)),
        2 => (0_usize..4).prop_map(Step::Rewind),
        3 => (0_usize..6, members).prop_map(|(count, members)| Step::Settle(count, members)),
        1 => Just(Step::Reopen),
    ]
}

/// Longer tails, most of them spilled, and deeper ways back.
pub(super) fn spilling_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (proptest::collection::vec(ops(), 1..5), proptest::bool::weighted(0.9))
            .prop_map(|(ops, commits)| Step::Call(ops, commits)),
        4 => Just(Step::Relieve),
        2 => (0_usize..12).prop_map(Step::Rewind),
        2 => steps(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn store_does_what_the_model_does(steps in proptest::collection::vec(steps(), 1..30)) {
        let mut world = World::new(None, Aside::Never);
        steps.iter().for_each(|step| world.step(step));
    }

    #[test]
    fn a_spilling_store_does_what_the_model_does(
        room in 0_usize..8,
        steps in proptest::collection::vec(spilling_steps(), 1..60),
    ) {
        let mut world = World::new(Some(room), Aside::Never);
        steps.iter().for_each(|step| world.step(step));
    }
}
