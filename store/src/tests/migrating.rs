//! A migration gives the rows, entries and root of a database that had the new schema from the
//! start; and a crash at any write of it leaves the state before or after.

use proptest::prelude::*;
use spacetimedb_sats::{AlgebraicType as Type, SumType, SumTypeVariant};
use sync_protocol::StateRoot;

use super::crash::crash_everywhere;
use super::{
    ACCOUNT, ALARM, DATABASE, MESSAGE, NOTE, account, begin, call, column, index, message, note,
    position, rows_of, settle, table, tables, text, write,
};
use crate::{
    DataCheck, DataError, Disk, IndexId, MemoryDisk, Migration, OverlayBudget, Range, RowWrite,
    Schema, State, StateOptions, StoreError, TableId, TableSchema,
};

const TEAM: IndexId = IndexId(5_000);
const NOTE_KEY: IndexId = IndexId(5_001);
const COLOUR: TableId = TableId(5_000);
const COLOUR_NAME: IndexId = IndexId(5_002);

/// What a migration changes: the tables, and what it says about rows.
#[derive(Clone)]
struct Case {
    name: &'static str,
    tables: fn(&mut Vec<TableSchema>),
    /// Behind the rows of each table.
    appended: Vec<(TableId, Vec<u8>)>,
    ended: Vec<(TableId, u16)>,
}

fn case(name: &'static str, tables: fn(&mut Vec<TableSchema>)) -> Case {
    Case {
        name,
        tables,
        appended: Vec::new(),
        ended: Vec::new(),
    }
}

fn cases() -> Vec<Case> {
    let grown = |name, tables, table: TableId, bytes: Vec<u8>| Case {
        appended: vec![(table, bytes)],
        ..case(name, tables)
    };
    vec![
        case("nothing", |_| {}),
        case("a table is added", |tables| {
            let mut colour = table(COLOUR, "colour", vec![column("name", Type::String)]);
            colour.indexes = vec![index(COLOUR_NAME, "colour_name", &[0], true)];
            tables.push(colour);
        }),
        case("an empty table is dropped, slots move", |tables| {
            tables.retain(|table| table.id != ALARM);
            tables.rotate_left(1);
        }),
        case("indexes come and go", |tables| {
            tables[0].indexes.pop();
            tables[0].indexes.push(index(TEAM, "team", &[2], false));
            tables[1].indexes.clear();
        }),
        case("a unique constraint is added", |tables| {
            tables[1].indexes.push(index(NOTE_KEY, "key", &[1], true));
        }),
        case("a unique constraint is dropped", |tables| {
            tables[0].indexes[1] = index(TEAM, "name", &[1], false);
        }),
        grown(
            "columns are added behind a primary key",
            |tables| {
                tables[0].columns.push(column("level", Type::U16));
                tables[0].columns.push(column("motto", Type::String));
                tables[0].indexes.push(index(TEAM, "level", &[4], false));
            },
            ACCOUNT,
            [&[7, 0][..], &text("none")].concat(),
        ),
        grown(
            "a column is added where whole rows are keys",
            |tables| tables[1].columns.push(column("likes", Type::U64)),
            NOTE,
            vec![3; 8],
        ),
        case("a primary key is added", |tables| {
            tables[1].primary_key = Some(1);
            tables[1].indexes.push(index(NOTE_KEY, "key", &[1], true));
        }),
        case("a primary key is dropped", |tables| {
            tables[0].primary_key = None;
            tables[0].auto_inc.clear();
            tables[0].indexes.remove(0);
        }),
        case("a primary key is dropped, its index stays", |tables| {
            tables[0].primary_key = None;
        }),
        grown(
            "a key and a column at once",
            |tables| {
                tables[1].primary_key = Some(1);
                tables[1].indexes.push(index(NOTE_KEY, "key", &[1], true));
                tables[1].columns.push(column("likes", Type::U64));
            },
            NOTE,
            vec![9; 8],
        ),
        Case {
            ended: vec![(ACCOUNT, 0)],
            ..case("numbering ends", |tables| tables[0].auto_inc.clear())
        },
        case("access changes", |tables| {
            tables[0].public = false;
        }),
    ]
}

/// Accounts and notes, some in the base, some above it, some deleted.
pub(super) fn filled(disk: &MemoryDisk) -> State {
    let mut state = super::open(disk);
    state = call(state, 1, |call| {
        for id in 10..30 {
            call.insert(ACCOUNT, &account(id, &format!("n{id}"), 1, i64::from(id)))
                .expect("it fits");
            call.insert(NOTE, &note(1, &format!("text {id}")))
                .expect("it fits");
        }
        // One row is numbered, so there is a sequence.
        call.insert(ACCOUNT, &account(0, "numbered", 2, -5))
            .expect("it fits");
        call.insert(MESSAGE, &message(77, &"long ".repeat(300)))
            .expect("it fits");
    })
    .0;
    settle(&mut state, 1, 0);
    call(state, 2, |call| {
        for id in 25..35 {
            call.insert(ACCOUNT, &account(id + 100, &format!("m{id}"), 3, 0))
                .expect("it fits");
        }
        call.delete_all_by_eq(
            NOTE,
            &[&1_u32.to_le_bytes()[..], &note(1, "text 15")].concat(),
        )
        .expect("it fits");
        call.insert(NOTE, &note(2, "late")).expect("it fits");
    })
    .0
}

fn schema_of(case: &Case) -> Schema {
    let mut changed = tables();
    (case.tables)(&mut changed);
    Schema::new(changed).expect("it fits")
}

fn migration(case: &Case) -> Migration {
    let mut migration = Migration::to(schema_of(case));
    for (table, bytes) in &case.appended {
        migration.append(*table, bytes);
    }
    for (table, column) in &case.ended {
        migration.end_sequence(*table, *column);
    }
    migration
}

pub(super) fn reopened(disk: &MemoryDisk, schema: Schema) -> Result<State, StoreError> {
    State::open(disk.base(&DATABASE)?, schema, StateOptions::default())
}

/// The rows of `state` as a case makes them, put into a database that was always so.
fn fresh(state: &State, case: &Case) -> State {
    let schema = schema_of(case);
    let mut rows: Vec<RowWrite> = Vec::new();
    for before in state.schema().tables() {
        if schema.table(before.id).is_none() {
            continue;
        }
        let appended = case.appended.iter().find(|(table, _)| *table == before.id);
        let appended = appended.map_or(&[][..], |(_, bytes)| bytes);
        let moved = rows_of(state, before.id);
        rows.extend(
            moved
                .iter()
                .map(|row| write(before.id, [&row[..], appended].concat())),
        );
    }
    let mut other = reopened(&MemoryDisk::new(), schema).expect("it opens");
    let settlement = other.plan_settle(None, rows).expect("it fits");
    other.settle(settlement, 0).expect("nothing fails");
    other
}

/// Asserts that both have the same rows and entries; gives back the first's.
pub(super) fn assert_same_rows(state: &State, other: &State, name: &str) {
    for table in other.schema().tables() {
        assert_eq!(
            rows_of(state, table.id),
            rows_of(other, table.id),
            "{name}: rows of {}",
            table.name
        );
        assert_eq!(
            state.row_count(table.id).expect("known"),
            rows_of(state, table.id).len() as u64,
            "{name}: count of {}",
            table.name
        );
        for index in &table.indexes {
            let scan = |state: &State| {
                let rows = state
                    .scan_index(index.id, &Range::EVERYTHING)
                    .expect("known");
                rows.map(|row| row.expect("readable")).collect::<Vec<_>>()
            };
            assert_eq!(scan(state), scan(other), "{name}: index {}", index.name);
        }
    }
}

/// The root without the one sequence, whose row no fresh database has.
fn without_sequence(state: State, disk: &MemoryDisk, case: &Case) -> StateRoot {
    let schema = state.schema().clone();
    drop(state);
    let mut state = reopened(disk, schema_of(case)).expect("it opens");
    let mut last = Migration::to(Schema::new(schema.tables().to_vec()).expect("it fits"));
    last.end_sequence(ACCOUNT, 0);
    let settlement = state
        .plan_migration(None, Vec::new(), last)
        .expect("nothing in the way");
    let root = settlement.root;
    state.settle(settlement, 9).expect("nothing fails");
    assert_eq!(state.final_root(), root);
    root
}

#[test]
fn every_migration_gives_what_a_fresh_database_has() {
    let cases = cases().into_iter();
    for (case, spills) in cases.flat_map(|case| [(case.clone(), false), (case, true)]) {
        let name = case.name;
        let disk = MemoryDisk::new();
        let mut state = filled(&disk);
        if spills {
            let none = OverlayBudget {
                bytes: 0,
                commits: 0,
            };
            state = state.spilling_to(disk.spill(&DATABASE).expect("memory"), none);
            state.relieve().expect("memory");
            assert!(state.spilled_bytes() > 0 && state.overlay_bytes() == 0);
        }
        let expected = fresh(&state, &case);
        let settlement = state
            .plan_migration(Some(&position(2)), Vec::new(), migration(&case))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let root = settlement.root;
        state
            .settle(settlement, 1)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(state.overlay_len(), 0, "{name}");
        assert_eq!(state.root().expect("readable"), root, "{name}");
        assert_same_rows(&state, &expected, name);
        drop(state);

        let state = reopened(&disk, schema_of(&case)).expect("it opens");
        assert_eq!(state.height(), Some(1), "{name}");
        assert_eq!(state.root().expect("readable"), root, "{name}");
        assert_same_rows(&state, &expected, name);
        assert_eq!(
            without_sequence(state, &disk, &case),
            expected.final_root(),
            "{name}: the root is that of the rows"
        );
    }
}

#[test]
fn the_new_schema_rules_what_comes_after() {
    let case = cases()
        .into_iter()
        .find(|case| case.name == "a key and a column at once")
        .expect("it is there");
    let disk = MemoryDisk::new();
    let mut state = filled(&disk);
    let settlement = state
        .plan_migration(Some(&position(2)), Vec::new(), migration(&case))
        .expect("nothing in the way");
    state.settle(settlement, 1).expect("nothing fails");
    let mut transaction = begin(state, 3);
    let row = |likes: u8| [&note(9, "late")[..], &[likes; 8]].concat();
    let refused = transaction.insert(NOTE, &row(1));
    assert!(matches!(
        refused,
        Err(DataError::UniqueAlreadyExists { .. })
    ));
    transaction
        .update(NOTE, NOTE_KEY, &row(1))
        .expect("it is there");
    let (mut state, _) = transaction.commit();
    let before = state.root().expect("readable");
    assert_eq!(settle(&mut state, 3, 2), before);
    drop(state);
    let state = reopened(&disk, schema_of(&case)).expect("it opens");
    assert!(
        rows_of(&state, NOTE)
            .iter()
            .any(|held| **held == row(1)[..])
    );
}

#[test]
fn an_enum_that_grows_leaves_its_rows_as_they_are() {
    let with_colours = |count: usize| {
        let variants = ["red", "green", "blue"].into_iter().take(count);
        let variants = variants.map(|name| SumTypeVariant::new_named(Type::U8, name));
        let kind = Type::Sum(SumType::new(variants.collect()));
        let mut colour = table(COLOUR, "colour", vec![column("kind", kind)]);
        colour.indexes = vec![index(COLOUR_NAME, "colour_kind", &[0], true)];
        let mut all = tables();
        all.push(colour);
        Schema::new(all).expect("it fits")
    };
    let disk = MemoryDisk::new();
    let mut state = reopened(&disk, with_colours(2)).expect("it opens");
    let rows = vec![write(COLOUR, vec![0, 9]), write(COLOUR, vec![1, 4])];
    let settlement = state.plan_settle(None, rows).expect("it fits");
    state.settle(settlement, 0).expect("nothing fails");
    let root = state.final_root();
    let settlement = state
        .plan_migration(None, Vec::new(), Migration::to(with_colours(3)))
        .expect("nothing in the way");
    assert_eq!(settlement.root, root);
    state.settle(settlement, 1).expect("nothing fails");
    drop(state);
    let before = reopened(&disk, with_colours(2));
    assert!(matches!(
        before,
        Err(StoreError::TableChanged { id: COLOUR, .. })
    ));
    let state = reopened(&disk, with_colours(3)).expect("it opens");
    let mut transaction = begin(state, 1);
    transaction.insert(COLOUR, &[2, 2]).expect("a variant now");
    transaction.insert(COLOUR, &[3, 2]).expect_err("none yet");
    let (state, _) = transaction.commit();
    let held: Vec<Vec<u8>> = rows_of(&state, COLOUR)
        .iter()
        .map(|row| row.to_vec())
        .collect();
    assert_eq!(held, [[0, 9], [1, 4], [2, 2]]);
}

#[test]
fn migrations_after_each_other_are_one() {
    let all = cases();
    let find = |name: &str| all.iter().find(|case| case.name == name).expect("there");
    let (first, second) = (
        find("a column is added where whole rows are keys"),
        find("a primary key is added"),
    );
    let mut both = tables();
    (first.tables)(&mut both);
    (second.tables)(&mut both);
    both[1].columns.push(column("more", Type::U8));
    let disk = MemoryDisk::new();
    let mut state = filled(&disk);
    let rows: Vec<Vec<u8>> = rows_of(&state, NOTE)
        .iter()
        .map(|row| [&row[..], &[3; 8], &[1]].concat())
        .collect();
    let mut chained = migration(first).then(Schema::new(both).expect("it fits"));
    chained.append(NOTE, &[1]);
    let settlement = state
        .plan_migration(Some(&position(2)), Vec::new(), chained)
        .expect("nothing in the way");
    state.settle(settlement, 1).expect("nothing fails");
    let mut held: Vec<Vec<u8>> = rows_of(&state, NOTE)
        .iter()
        .map(|row| row.to_vec())
        .collect();
    let mut rows = rows;
    held.sort();
    rows.sort();
    assert_eq!(held, rows);
}

#[test]
fn questions_about_rows() {
    let disk = MemoryDisk::new();
    let state = filled(&disk);
    let plain = Migration::to(Schema::new(tables()).expect("it fits"));
    let check = |migration: &Migration, check: DataCheck, expected: bool| {
        let found = state.holds(migration, &check).expect("readable");
        assert_eq!(found, expected, "{check:?}");
    };
    check(&plain, DataCheck::Empty { table: ALARM }, true);
    check(&plain, DataCheck::Empty { table: NOTE }, false);
    check(&plain, DataCheck::Empty { table: TableId(99) }, true);
    let unique = |table, columns: &[u16]| DataCheck::Unique {
        table,
        columns: columns.to_vec(),
    };
    check(&plain, unique(NOTE, &[1]), true);
    check(&plain, unique(NOTE, &[0]), false);
    check(&plain, unique(NOTE, &[0, 1]), true);
    check(&plain, unique(ACCOUNT, &[2, 3]), false);
    check(&plain, unique(COLOUR, &[0]), true);
    let numbered = |table, column| DataCheck::Unnumbered { table, column };
    check(&plain, numbered(ACCOUNT, 0), false);
    check(&plain, numbered(ACCOUNT, 3), false);
    check(&plain, numbered(ALARM, 0), true);
    // Zero and what is below are no numbers that a sequence gives.
    let (low, _) = call(super::open(&MemoryDisk::new()), 1, |call| {
        call.insert(ACCOUNT, &account(1, "a", 0, -5)).expect("fits");
        call.insert(ACCOUNT, &account(2, "b", 0, 0)).expect("fits");
    });
    assert!(low.holds(&plain, &numbered(ACCOUNT, 3)).expect("readable"));
    assert!(!low.holds(&plain, &numbered(ACCOUNT, 0)).expect("readable"));

    check(&plain, DataCheck::Short { table: MESSAGE }, true);
    let mut long = Migration::to(Schema::new(tables()).expect("it fits"));
    long.append(MESSAGE, &vec![0; crate::limits::ROW_BYTES_MAX]);
    check(&long, DataCheck::Short { table: MESSAGE }, false);
    check(&long, DataCheck::Short { table: NOTE }, true);
    // A column that an earlier step added is looked at too: all rows have the same there.
    let grown = cases().into_iter().find(|case| case.appended.len() == 1);
    let grown = migration(&grown.expect("there is one"));
    check(&grown, unique(ACCOUNT, &[4]), false);
    check(&grown, unique(ACCOUNT, &[4, 0]), true);
    check(&grown, numbered(ACCOUNT, 4), false);
}

#[test]
fn what_a_long_tail_spilled_moves_too() {
    let budget = OverlayBudget {
        bytes: usize::MAX,
        commits: 4,
    };
    let long = |disk: &MemoryDisk, spilling: bool| {
        let mut state = super::open(disk);
        if spilling {
            let file = disk.spill(&DATABASE).expect("memory does not fail");
            state = state.spilling_to(file, budget);
        }
        settle(&mut state, 0, 0);
        for n in 1..=20 {
            let id = u32::try_from(n).expect("small");
            state = call(state, n, |call| {
                let text = format!("text {id}");
                call.insert(ACCOUNT, &account(id, &text, 1, 0))
                    .expect("it fits");
                call.insert(NOTE, &note(1, &text)).expect("it fits");
            })
            .0;
            state.relieve().expect("memory does not fail");
        }
        state
    };
    for case in cases() {
        let (disk, plain) = (MemoryDisk::new(), MemoryDisk::new());
        let mut state = long(&disk, true);
        assert!(state.spilled_bytes() > 0);
        let mut other = long(&plain, false);
        for state in [&mut state, &mut other] {
            let settlement = state
                .plan_migration(Some(&position(20)), Vec::new(), migration(&case))
                .expect("nothing in the way");
            state.settle(settlement, 1).expect("nothing fails");
        }
        assert_eq!(state.spilled_bytes(), 0, "{}", case.name);
        assert_eq!(state.final_root(), other.final_root(), "{}", case.name);
        assert_same_rows(&state, &other, case.name);
        // The tail of the new schema spills as the old one's did.
        for n in 21..=40 {
            let row = u8::try_from(n).expect("small");
            let more = |state: State| {
                call(state, n, |call| {
                    call.insert(MESSAGE, &message(n, &row.to_string()))
                        .expect("it fits");
                })
                .0
            };
            state = more(state);
            other = more(other);
            state.relieve().expect("memory does not fail");
        }
        assert!(state.spilled_bytes() > 0);
        assert_eq!(
            settle(&mut state, 40, 2),
            settle(&mut other, 40, 2),
            "{}",
            case.name
        );
    }
}

#[test]
fn a_table_with_rows_is_not_dropped() {
    let disk = MemoryDisk::new();
    let state = filled(&disk);
    let mut fewer = tables();
    fewer.retain(|table| table.id != NOTE);
    let migration = Migration::to(Schema::new(fewer).expect("it fits"));
    let refused = state.plan_migration(Some(&position(2)), Vec::new(), migration);
    assert!(matches!(
        refused,
        Err(StoreError::TableChanged { id: NOTE, .. })
    ));
}

#[test]
#[should_panic(expected = "rewind to it first")]
fn a_migration_reads_the_rows_at_its_cut() {
    let disk = MemoryDisk::new();
    let state = filled(&disk);
    let migration = Migration::to(Schema::new(tables()).expect("it fits"));
    state
        .plan_migration(Some(&position(1)), Vec::new(), migration)
        .expect("it is never planned");
}

#[test]
fn a_crash_at_any_write_leaves_before_or_after() {
    let case = Case {
        name: "much at once",
        tables: |tables| {
            tables.retain(|table| table.id != ALARM);
            tables[0].columns.push(column("level", Type::U16));
            tables[0].indexes[1] = index(TEAM, "name", &[1], false);
            tables[1].primary_key = Some(1);
            tables[1].indexes.push(index(NOTE_KEY, "key", &[1], true));
            tables[2].primary_key = None;
            tables[2].auto_inc.clear();
        },
        appended: vec![(ACCOUNT, vec![7, 0])],
        ended: vec![(ACCOUNT, 0)],
    };
    let prepare = || {
        let disk = MemoryDisk::new();
        drop(filled(&disk));
        disk
    };
    // `filled` leaves its second call above the base; after opening again only the first is there.
    let work = |disk: &MemoryDisk| -> Result<(StateRoot, StateRoot), StoreError> {
        let mut state = reopened(disk, super::schema())?;
        let before = state.final_root();
        state = call(state, 2, |call| {
            call.insert(NOTE, &note(2, "late")).expect("it fits");
        })
        .0;
        let member = write(super::MEMBER, [&[1][..], &text("owner")].concat());
        let settlement =
            state.plan_migration(Some(&position(2)), vec![member], migration(&case))?;
        let after = settlement.root;
        state.settle(settlement, 1)?;
        Ok((before, after))
    };
    let (before, after) = work(&prepare()).expect("nothing fails");
    assert_ne!(before, after);
    crash_everywhere(
        prepare,
        |disk| work(disk).map(|_| ()),
        |disk, done| {
            // Only one of the two schemas fits, and the rows say which.
            let old = reopened(disk, super::schema());
            let state = match old {
                Ok(state) => {
                    assert!(!done, "what was written stays");
                    assert_eq!(state.height(), Some(0));
                    assert_eq!(state.root().expect("readable"), before);
                    state
                }
                Err(StoreError::TableChanged { .. }) => {
                    let state = reopened(disk, schema_of(&case)).expect("it opens");
                    assert_eq!(state.height(), Some(1));
                    assert_eq!(state.root().expect("readable"), after);
                    assert_eq!(rows_of(&state, super::MEMBER).len(), 1);
                    state
                }
                Err(other) => panic!("neither before nor after: {other}"),
            };
            for table in state.schema().tables() {
                let rows = rows_of(&state, table.id).len();
                let counted = state.row_count(table.id).expect("known");
                assert_eq!(rows as u64, counted, "{}", table.name);
                for index in &table.indexes {
                    let entries = state.scan_index(index.id, &Range::EVERYTHING);
                    assert_eq!(entries.expect("known").count(), rows, "{}", index.name);
                }
            }
        },
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the rows, and whatever lies in the base and above it.
    #[test]
    fn any_rows_migrate_to_what_a_fresh_database_has(
        which in 0_usize..14,
        accounts in proptest::collection::btree_map(1_u32..40, (0_u8..3, -2_i64..2), 0..12),
        notes in proptest::collection::btree_map("[a-c]{0,3}", 0_u8..4, 0..12),
        settled in 0_usize..24,
    ) {
        let case = &cases()[which];
        let disk = MemoryDisk::new();
        let mut state = super::open(&disk);
        settle(&mut state, 0, 0);
        let accounts = accounts.iter().map(|(id, (team, score))| {
            (ACCOUNT, account(*id, &format!("n{id}"), *team, *score))
        });
        let notes = notes.iter().map(|(words, author)| (NOTE, note(*author, words)));
        let mut n = 0;
        for (table, row) in accounts.chain(notes) {
            n += 1;
            state = call(state, n, |call| {
                call.insert(table, &row).expect("it fits");
            })
            .0;
            if n as usize == settled {
                settle(&mut state, n, 1);
            }
        }
        let expected = fresh(&state, case);
        let settlement = state
            .plan_migration(Some(&position(n)), Vec::new(), migration(case))
            .expect("nothing in the way");
        prop_assert_eq!(settlement.root, expected.final_root());
        state.settle(settlement, 2).expect("nothing fails");
        assert_same_rows(&state, &expected, case.name);
    }
}
