//! Calls that run, or are withdrawn, amid others that stay: what a sweep that runs only those again
//! that read something that changed comes to, against all of them run in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sync_protocol::Position;

use super::model::open_with_room;
use super::{
    ACCOUNT, ACCOUNT_ID, ACCOUNT_NAME, ACCOUNT_TEAM, NOTE, NOTE_AUTHOR, account, message, note,
    open, position, rows_of, settle, tables, text,
};
use crate::{
    CallContext, DataError, Dirt, MemoryDisk, Range, Reads, Row, State, TableId, Transaction,
    Watched,
};

/// Random steps in all.
const STEPS: u64 = 12_000;
const SEEDS: u64 = 150;

struct Dice(u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    fn small(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(u64::from(end))).expect("below a byte")
    }
}

/// What a call does. Whatever it reads shows in what it writes and tells.
#[derive(Clone, Debug)]
enum Op {
    /// Sets the score of one account to one more than another's.
    Copy {
        from: u8,
        into: u8,
    },
    /// Sets it to a number without having looked.
    Blind {
        into: u8,
        score: i64,
    },
    /// Takes a name, which one account only can have.
    Rename {
        id: u8,
        name: u8,
    },
    /// Counts all accounts.
    Count {
        into: u8,
    },
    /// Adds up the scores of a team that are positive.
    Sum {
        team: u8,
        into: u8,
    },
    Delete {
        id: u8,
    },
    DeleteTeam {
        team: u8,
    },
    /// Gets the next number of the sequence.
    Draw {
        name: u8,
    },
    Note {
        author: u8,
        of: u8,
    },
    DeleteNotes {
        author: u8,
    },
    /// Reads every note, whole.
    ReadAll {
        into: u8,
    },
    /// Writes a row that has a number of its time.
    Say,
    /// Fails, unless an account is there.
    Need {
        id: u8,
    },
}

fn op(dice: &mut Dice) -> Op {
    let (id, other, team) = (dice.small(6) + 1, dice.small(6) + 1, dice.small(3));
    match dice.below(24) {
        0..5 => Op::Copy {
            from: other,
            into: id,
        },
        5..8 => Op::Blind {
            into: id,
            score: i64::from(dice.small(4)),
        },
        8..11 => Op::Rename {
            id,
            name: dice.small(5),
        },
        11 => Op::Count { into: id },
        12..14 => Op::Sum { team, into: id },
        14 => Op::Delete { id },
        15 => Op::DeleteTeam { team },
        16..18 => Op::Draw {
            name: dice.small(12),
        },
        18..20 => Op::Note {
            author: team,
            of: id,
        },
        20 => Op::DeleteNotes { author: team },
        21 => Op::ReadAll { into: id },
        22 => Op::Say,
        _ => Op::Need { id },
    }
}

fn score(row: &Row) -> i64 {
    i64::from_le_bytes(*row.last_chunk().expect("a score ends a row"))
}

fn find(tx: &Transaction, id: u8) -> Result<Option<Row>, DataError> {
    let id = u32::from(id).to_le_bytes();
    let rows = tx.scan_range(ACCOUNT_ID, &Range::point(&id))?;
    Ok(rows.into_iter().next())
}

fn put(tx: &mut Transaction, id: u8, score: i64) -> Result<(), DataError> {
    let team = u8::try_from(score.rem_euclid(3)).expect("below three");
    let row = account(u32::from(id), &format!("a{id}"), team, score);
    match find(tx, id)? {
        Some(_) => tx.update(ACCOUNT, ACCOUNT_ID, &row)?,
        None => tx.insert(ACCOUNT, &row)?,
    };
    Ok(())
}

fn run(tx: &mut Transaction, op: &Op, told: &mut String) -> Result<(), DataError> {
    match *op {
        Op::Copy { from, into } => {
            let found = find(tx, from)?.map_or(0, |row| score(&row));
            put(tx, into, (found + 1) % 50)
        }
        Op::Blind { into, score } => put(tx, into, score),
        Op::Rename { id, name } => {
            let taken = tx.scan_range(ACCOUNT_NAME, &Range::point(&text(&format!("n{name}"))))?;
            let _ = write!(told, "{} ", taken.len());
            let row = account(u32::from(id), &format!("n{name}"), 1, i64::from(name));
            tx.update(ACCOUNT, ACCOUNT_ID, &row).map(drop)
        }
        Op::Count { into } => {
            let count = tx.row_count(ACCOUNT)?;
            put(tx, into, i64::try_from(count).expect("few"))
        }
        Op::Sum { team, into } => {
            let start = [&[0][..], &1_i64.to_le_bytes()].concat();
            let teams = [team];
            let range = Range::from_abi(&teams, 1, &start, &[2])?;
            let sum: i64 = tx.scan_range(ACCOUNT_TEAM, &range)?.iter().map(score).sum();
            put(tx, into, sum % 50)
        }
        Op::Delete { id } => {
            let id = u32::from(id).to_le_bytes();
            let gone = tx.delete_by_range(ACCOUNT_ID, &Range::point(&id))?;
            let _ = write!(told, "{gone} ");
            Ok(())
        }
        Op::DeleteTeam { team } => {
            let teams = [team];
            let range = Range::from_abi(&teams, 1, &[2], &[2])?;
            let gone = tx.delete_by_range(ACCOUNT_TEAM, &range)?;
            let _ = write!(told, "{gone} ");
            Ok(())
        }
        Op::Draw { name } => {
            let row = account(0, &format!("d{name}"), 0, 0);
            let number = tx.insert(ACCOUNT, &row)?;
            let _ = write!(told, "{number:?} ");
            Ok(())
        }
        Op::Note { author, of } => {
            let found = find(tx, of)?.map_or(0, |row| score(&row));
            tx.insert(NOTE, &note(author, &format!("{found}")))
                .map(drop)
        }
        Op::DeleteNotes { author } => {
            let author = [author];
            let gone = tx.delete_by_range(NOTE_AUTHOR, &Range::point(&author))?;
            let _ = write!(told, "{gone} ");
            Ok(())
        }
        Op::ReadAll { into } => {
            let count = tx.scan(NOTE)?.len();
            put(tx, into, i64::try_from(count).expect("few"))
        }
        Op::Say => tx.insert(super::MESSAGE, &message(0, "said")).map(drop),
        Op::Need { id } => match find(tx, id)? {
            Some(row) => {
                let _ = write!(told, "{} ", score(&row));
                Ok(())
            }
            None => Err(DataError::NoSuchRow),
        },
    }
}

/// What a call came to, and whether it is kept.
fn run_all(tx: &mut Transaction, ops: &[Op]) -> (String, bool) {
    let mut told = String::new();
    for op in ops {
        if let Err(error) = run(tx, op, &mut told) {
            assert!(!error.is_fatal(), "{error}");
            let _ = write!(told, "{error}");
            return (told, false);
        }
    }
    (told, true)
}

struct Ran {
    ops: Vec<Op>,
    reads: Reads,
    told: String,
}

struct World {
    state: Option<State>,
    /// Below these, all is settled.
    settled: Vec<(u64, Vec<Op>)>,
    height: u64,
    tail: BTreeMap<u64, Ran>,
    /// The rows, kept by what the state says of changes.
    mirror: BTreeSet<(TableId, Row)>,
    again: u64,
    spared: u64,
}

fn context(n: u64) -> CallContext {
    let position = position(n);
    CallContext {
        position,
        time: position.hlc,
    }
}

impl World {
    fn new(room: Option<usize>) -> Self {
        let mut state = open_with_room(&MemoryDisk::default(), room);
        state.track_reads();
        state.watch(kept_tables());
        Self {
            state: Some(state),
            settled: Vec::new(),
            height: 0,
            tail: BTreeMap::new(),
            mirror: BTreeSet::new(),
            again: 0,
            spared: 0,
        }
    }

    fn execute(&mut self, n: u64, ops: Vec<Op>, dirt: &mut Dirt) {
        let state = self.state.take().expect("nobody has it");
        let is_last = self.tail.last_key_value().is_none_or(|(last, _)| *last < n);
        let mut tx = match is_last {
            true => state.begin(context(n)),
            false => state.begin_amid(context(n)),
        };
        let (told, keep) = run_all(&mut tx, &ops);
        let ended = tx.end(keep);
        dirt.add(ended.changed);
        self.state = Some(ended.state);
        let reads = ended.reads.expect("they are tracked");
        self.tail.insert(n, Ran { ops, reads, told });
    }

    /// Lets these calls be there, or not be there, and all others as they were.
    fn sweep(&mut self, changes: &BTreeMap<u64, Option<Vec<Op>>>) {
        let Some((first, _)) = changes.first_key_value() else {
            return;
        };
        let mut order: Vec<u64> = self.tail.range(first..).map(|(n, _)| *n).collect();
        order.extend(changes.keys());
        order.sort_unstable();
        order.dedup();
        let state = self.state.as_mut().expect("nobody has it");
        if !state.can_amend(&position(*first)) {
            // What is spilled stays as it is, so all after it runs again.
            state.rewind(&position(*first)).expect("memory");
            let mut later = self.tail.split_off(first);
            for n in order {
                let ops = match changes.get(&n) {
                    Some(change) => change.clone(),
                    None => later.remove(&n).map(|ran| ran.ops),
                };
                if let Some(ops) = ops {
                    self.execute(n, ops, &mut Dirt::default());
                }
            }
            return;
        }
        let mut dirt = Dirt::default();
        for n in order {
            match changes.get(&n) {
                Some(None) => {
                    let state = self.state.as_mut().expect("nobody has it");
                    dirt.add(state.withdraw(&position(n)));
                    self.tail.remove(&n);
                }
                Some(Some(ops)) => self.execute(n, ops.clone(), &mut dirt),
                None if dirt.touches(&self.tail[&n].reads, &position(n)) => {
                    self.again += 1;
                    let ops = self.tail[&n].ops.clone();
                    self.execute(n, ops, &mut dirt);
                }
                None => self.spared += 1,
            }
        }
    }

    /// Applies what changed since the last time, and holds it against what is visible.
    fn reflect(&mut self, seed: u64) {
        let state = self.state.as_mut().expect("nobody has it");
        let Watched { changes, lost } = state.take_changes().expect("memory");
        assert!(!lost, "so few are all remembered");
        for change in changes {
            assert_ne!(change.old, change.new, "seed {seed}: nothing changed");
            if let Some(old) = change.old {
                let was_there = self.mirror.remove(&(change.table, old));
                assert!(was_there, "seed {seed}: what was not there went");
            }
            if let Some(new) = change.new {
                assert!(self.mirror.insert((change.table, new)), "seed {seed}");
            }
        }
        let rows = |table| {
            rows_of(state, table)
                .into_iter()
                .map(move |row| (table, row))
        };
        let visible: BTreeSet<_> = kept_tables().into_iter().flat_map(rows).collect();
        assert_eq!(self.mirror, visible, "seed {seed}");
    }

    fn settle(&mut self, through: u64) {
        self.height += 1;
        let state = self.state.as_mut().expect("nobody has it");
        settle(state, through, self.height);
        let later = self.tail.split_off(&(through + 1));
        let settled = std::mem::replace(&mut self.tail, later);
        let settled = settled.into_iter().map(|(n, ran)| (n, ran.ops));
        self.settled.extend(settled);
    }

    /// Settles these calls of the tail and lets those between them stay, if none of two that change their order
    /// with that has read or written what the other wrote. Tells whether it did.
    fn settle_apart(&mut self, going: &BTreeSet<u64>) -> bool {
        let state = self.state.as_mut().expect("nobody has it");
        let (Some(last), Some((first, _))) = (going.last(), self.tail.first_key_value()) else {
            return false;
        };
        if !state.can_amend(&position(*first)) || state.spilled_bytes() > 0 {
            return false;
        }
        let mut written = Dirt::default();
        for (n, ran) in self.tail.range(..=last) {
            let at = position(*n);
            let writes = state.written_at(&at);
            if !going.contains(n) {
                written.add(writes);
            } else if written.touches(&ran.reads, &at) || written.meets(&writes) {
                return false;
            }
        }
        let mut written = Dirt::default();
        for (n, ran) in self.tail.range(..=last).rev() {
            let at = position(*n);
            if going.contains(n) {
                written.add(state.written_at(&at));
            } else if written.touches(&ran.reads, &at) {
                return false;
            }
        }
        let staying = self.tail.range(..last).map(|(n, _)| n);
        let staying: Vec<Position> = staying
            .filter(|n| !going.contains(n))
            .map(|n| position(*n))
            .collect();
        let settlement = state
            .plan_settle_but(&position(*last), &staying)
            .expect("memory");
        let root = settlement.root;
        self.height += 1;
        state.settle(settlement, self.height).expect("memory");
        assert_eq!(state.final_root(), root);
        for n in going {
            let ran = self.tail.remove(n).expect("it is in the tail");
            self.settled.push((*n, ran.ops));
        }
        true
    }

    /// Against all calls run once, in order.
    fn check(&self, seed: u64) {
        let mut serial = open(&MemoryDisk::default());
        let mut said = Vec::new();
        let tail = self.tail.iter().map(|(n, ran)| (*n, &ran.ops));
        let all = self.settled.iter().map(|(n, ops)| (*n, ops)).chain(tail);
        let (mut before, mut height) = (0, 0);
        for (n, ops) in all {
            if n < before {
                // What stayed in the tail may have an earlier position than what was settled.
                height += 1;
                settle(&mut serial, before, height);
            }
            before = n;
            let mut tx = serial.begin(context(n));
            let (told, keep) = run_all(&mut tx, ops);
            serial = tx.end(keep).state;
            said.push((n, told));
        }
        let state = self.state.as_ref().expect("nobody has it");
        for (n, ran) in &self.tail {
            let (_, serial) = said.iter().find(|(said, _)| said == n).expect("it ran");
            assert_eq!(&ran.told, serial, "seed {seed}: call {n}: {:?}", ran.ops);
        }
        for table in tables() {
            let rows = |state: &State| rows_of(state, table.id);
            assert_eq!(rows(state), rows(&serial), "seed {seed}: {}", table.name);
            let counts = |state: &State| state.row_count(table.id).expect("known");
            assert_eq!(counts(state), counts(&serial), "seed {seed}");
        }
        assert_eq!(
            state.root().expect("readable"),
            serial.root().expect("readable"),
            "seed {seed}"
        );
    }
}

/// Changes of one sweep: some calls more, some fewer, some that do something else.
fn changes(dice: &mut Dice, world: &World) -> BTreeMap<u64, Option<Vec<Op>>> {
    let floor = world.settled.iter().map(|(n, _)| *n).max().unwrap_or(0);
    let is_settled = |n: u64| world.settled.iter().any(|(settled, _)| *settled == n);
    let end = world.tail.last_key_value().map_or(floor, |(n, _)| *n);
    let mut changes = BTreeMap::new();
    for _ in 0..=dice.below(3) {
        let ops = |dice: &mut Dice| (0..=dice.below(3)).map(|_| op(dice)).collect();
        match dice.below(10) {
            0..2 => {
                let held: Vec<u64> = world.tail.keys().copied().collect();
                if !held.is_empty() {
                    let n = held[usize::try_from(dice.below(held.len() as u64)).expect("few")];
                    changes.insert(n, None);
                }
            }
            2..5 => {
                let n = end.max(floor) + 1 + dice.below(6);
                changes.insert(n, Some(ops(dice)));
            }
            _ => {
                // Also before what was settled from after others.
                let stayed = world.tail.first_key_value();
                let low = stayed.map_or(floor, |(first, _)| (first - 1).min(floor));
                let n = low + 1 + dice.below(end.max(floor) + 2 - low);
                if !is_settled(n) {
                    changes.insert(n, Some(ops(dice)));
                }
            }
        }
    }
    changes
}

/// Tables that are no tables of events.
fn kept_tables() -> Vec<TableId> {
    let kept = tables().into_iter().filter(|table| !table.event);
    kept.map(|table| table.id).collect()
}

#[test]
fn a_selective_sweep_is_a_serial_run() {
    let (mut again, mut spared, mut apart) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let room = (seed % 3 == 2).then(|| usize::try_from(dice.below(20)).expect("few"));
        let mut world = World::new(room);
        for _ in 0..STEPS / SEEDS {
            let changes = changes(&mut dice, &world);
            world.sweep(&changes);
            if dice.below(4) == 0 {
                let state = world.state.as_mut().expect("nobody has it");
                state.relieve().expect("memory");
            }
            world.check(seed);
            if dice.below(3) == 0 {
                world.reflect(seed);
            }
            if dice.below(2) == 0 {
                let going: Vec<u64> = world.tail.keys().copied().collect();
                let going = going.into_iter().filter(|_| dice.below(20) == 0).collect();
                if world.settle_apart(&going) {
                    apart += 1;
                    world.check(seed);
                }
            }
            if world.tail.len() > 30 || dice.below(40) == 0 {
                let held: Vec<u64> = world.tail.keys().copied().collect();
                if let Some(through) = held.get(held.len() / 2) {
                    world.settle(*through);
                    world.check(seed);
                }
            }
        }
        again += world.again;
        spared += world.spared;
    }
    println!(
        "{STEPS} sweeps: {again} calls ran again, {spared} were spared; \
         {apart} times calls were settled from amid others"
    );
    assert!(again > STEPS && spared > STEPS, "both kinds were seen");
    assert!(apart > SEEDS, "{apart}");
}

/// One that knows nothing of what was scanned, counted or absent fails on the same calls: the test
/// above would notice.
#[test]
fn each_kind_of_read_counts() {
    let check = |first: Op, second: Op| {
        let mut world = World::new(None);
        let begin = [
            (
                10,
                vec![
                    Op::Blind { into: 1, score: 4 },
                    Op::Blind { into: 2, score: 7 },
                ],
            ),
            (30, vec![second.clone()]),
        ];
        for (n, ops) in begin {
            world.sweep(&BTreeMap::from([(n, Some(ops))]));
        }
        world.sweep(&BTreeMap::from([(20, Some(vec![first.clone()]))]));
        assert_eq!(
            world.again, 1,
            "{second:?} has to run again after {first:?}"
        );
        world.check(0);
        world.sweep(&BTreeMap::from([(20, None)]));
        assert_eq!(
            world.again, 2,
            "{second:?} has to run again without {first:?}"
        );
        world.check(0);
    };
    let blind = |into, score| Op::Blind { into, score };
    // A row, an absent row, a scanned range, a count, a whole table, a name that is taken.
    check(blind(1, 5), Op::Copy { from: 1, into: 3 });
    check(blind(4, 5), Op::Copy { from: 4, into: 3 });
    check(blind(5, 13), Op::Sum { team: 1, into: 3 });
    check(blind(4, 5), Op::Count { into: 3 });
    check(Op::Note { author: 1, of: 1 }, Op::ReadAll { into: 3 });
    check(Op::Rename { id: 1, name: 2 }, Op::Rename { id: 2, name: 2 });
    check(Op::Draw { name: 1 }, Op::Draw { name: 2 });
    check(Op::Delete { id: 1 }, Op::Need { id: 1 });
}

#[test]
fn what_does_not_touch_a_call_spares_it() {
    let mut world = World::new(None);
    for n in 0..40_u8 {
        let into = n % 6 + 1;
        let ops = vec![Op::Copy { from: into, into }];
        world.sweep(&BTreeMap::from([(u64::from(n) * 10 + 10, Some(ops))]));
    }
    let say = vec![Op::Say, Op::Note { author: 1, of: 9 }];
    world.sweep(&BTreeMap::from([(15, Some(say))]));
    assert_eq!((world.again, world.spared), (0, 39));
    // One account's calls only, and only until one sets the score without looking.
    let blind = vec![Op::Blind { into: 2, score: 40 }];
    world.sweep(&BTreeMap::from([(201, Some(blind))]));
    world.again = 0;
    let blind = vec![Op::Blind { into: 2, score: 30 }];
    world.sweep(&BTreeMap::from([(16, Some(blind))]));
    // Its four before that, and the one that sets it, which looks whether there is a row.
    assert_eq!(world.again, 5);
    world.check(0);
}

#[test]
fn many_calls_come_in_at_one_place() {
    // More than there is room for between two neighbours, each before the last one.
    let mut world = World::new(None);
    world.sweep(&BTreeMap::from([
        (1, Some(vec![Op::Blind { into: 1, score: 0 }])),
        (10_000, Some(vec![Op::Copy { from: 1, into: 1 }])),
    ]));
    for n in (2..400).rev() {
        let ops = vec![Op::Copy { from: 1, into: 1 }];
        world.sweep(&BTreeMap::from([(n, Some(ops))]));
    }
    world.check(0);
    let nothing: &Position = &position(5_000);
    let state = world.state.as_mut().expect("nobody has it");
    assert!(state.withdraw(nothing).keys.is_empty());
    world.check(0);
}
