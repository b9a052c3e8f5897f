//! Every rule, there and back, as data.

use module_host::Module;
use spacetimedb_sats::{AlgebraicType as Type, AlgebraicValue as Value, SumType, SumTypeVariant};
use store::MemoryDisk;

use super::*;
use crate::birth::default_options;
use crate::tests::harness::modules;
use crate::tests::made::{MadeTable, made, plain};

/// What a comparison comes to: parts of the steps, of what breaks clients and of what is asked of
/// the rows; or parts of the reasons. In order, all of them.
enum Expected {
    Plan {
        steps: &'static [&'static str],
        breaking: usize,
        asks: &'static [&'static str],
    },
    Refused(&'static [&'static str]),
}

use Expected::{Plan as Planned, Refused};

/// Steps that break nobody and ask nothing.
const fn steps(steps: &'static [&'static str]) -> Expected {
    Planned {
        steps,
        breaking: 0,
        asks: &[],
    }
}

fn here(tables: &[TableSchema]) -> Current<'_> {
    Current {
        tables,
        schedules: &[],
        views: &[],
        filters: &[],
    }
}

fn module(tables: &[MadeTable]) -> Module {
    let options = default_options(false);
    modules()
        .prepare(&made(tables), &options, &MemoryDisk::default())
        .expect("a sound module")
}

fn check(name: &str, before: &[MadeTable], after: &[MadeTable], expected: &Expected) {
    let (before, after) = (module(before), module(after));
    let numbers = Numbers::of_first(&before.def().tables);
    let current = numbers
        .apply(&before.def().tables)
        .expect("all have numbers");
    let found = plan(here(&current), &numbers, after.def(), 9);
    let fits = |what: &str, found: &[String], parts: &[&str]| {
        let fit = found.len() == parts.len()
            && found
                .iter()
                .zip(parts)
                .all(|(text, part)| text.contains(part));
        assert!(fit, "{name}: {what} are {found:#?}, expected {parts:#?}");
    };
    match (found, expected) {
        (Err(reasons), Refused(parts)) => fits("reasons", &reasons, parts),
        (
            Ok(found),
            Planned {
                steps,
                breaking,
                asks,
            },
        ) => {
            fits("steps", &found.steps, steps);
            assert_eq!(
                found.breaking.len(),
                *breaking,
                "{name}: {:?}",
                found.breaking
            );
            let texts: Vec<String> = found.checks.iter().map(|(_, text)| text.clone()).collect();
            fits("questions", &texts, asks);
            let names: Vec<&String> = found.tables.iter().map(|table| &table.name).collect();
            let wanted: Vec<&String> = after.def().tables.iter().map(|table| &table.name).collect();
            assert_eq!(names, wanted, "{name}: tables in the module's order");
            let again = found.numbers.apply(&after.def().tables);
            assert_eq!(
                again.as_ref(),
                Some(&found.tables),
                "{name}: numbers are kept"
            );
        }
        (Ok(found), Refused(parts)) => {
            panic!("{name}: planned {:#?}, expected {parts:#?}", found.steps)
        }
        (Err(reasons), Planned { .. }) => panic!("{name}: refused {reasons:#?}"),
    }
}

fn item() -> MadeTable {
    plain(
        "item",
        &[
            ("id", Type::U32),
            ("name", Type::String),
            ("size", Type::I64),
        ],
    )
}

fn sum(variants: &[(&'static str, Type)]) -> Type {
    let variants = variants.iter().cloned();
    Type::Sum(SumType::new(
        variants
            .map(|(name, ty)| SumTypeVariant::new_named(ty, name))
            .collect(),
    ))
}

/// A change of `item`, what it comes to, and what taking it back comes to.
type Case = (&'static str, fn(&mut MadeTable), Expected, Expected);

#[test]
fn every_rule_there_and_back() {
    let cases: Vec<Case> = vec![
        ("nothing", |_| {}, steps(&[]), steps(&[])),
        (
            "a column with a default",
            |t| {
                t.columns.push(("level", Type::U16));
                t.defaults.push((3, Value::U16(7)));
            },
            Planned {
                steps: &["column level is added to table item"],
                breaking: 1,
                asks: &["with the new columns a row would have more than"],
            },
            Refused(&["column level was removed or renamed"]),
        ),
        (
            "a column without a default",
            |t| t.columns.push(("level", Type::U16)),
            Refused(&["column level was added without a default"]),
            Refused(&["column level was removed or renamed"]),
        ),
        (
            "a column in the middle",
            |t| t.columns.insert(1, ("level", Type::U16)),
            Refused(&[
                "column name moved from place 1 to 2",
                "column size moved from place 2 to 3",
                "column level was added at place 1",
            ]),
            Refused(&[
                "column level was removed",
                "column name moved from place 2 to 1",
                "column size moved from place 3 to 2",
            ]),
        ),
        (
            "columns change places",
            |t| t.columns.swap(1, 2),
            Refused(&["column name moved from", "column size moved from"]),
            Refused(&["column size moved from", "column name moved from"]),
        ),
        (
            "a column is renamed",
            |t| t.columns[1].0 = "title",
            Refused(&[
                "column name was removed or renamed",
                "column title was added at place 1",
            ]),
            Refused(&[
                "column title was removed or renamed",
                "column name was added at place 1",
            ]),
        ),
        (
            "a column changes its type",
            |t| t.columns[2].1 = Type::I32,
            Refused(&["column size has another type: i64 is i32 now"]),
            Refused(&["column size has another type: i32 is i64 now"]),
        ),
        (
            "a list changes its elements",
            |t| t.columns[1].1 = Type::array(Type::String),
            Refused(&["column name has another type: string is an array now"]),
            Refused(&["column name has another type: an array is string now"]),
        ),
        (
            "a primary key",
            |t| t.key = Some(0),
            Planned {
                steps: &[
                    "gets the primary key id",
                    "index item_id_idx_btree is built",
                ],
                breaking: 0,
                asks: &["two rows share a value of id, so it cannot be the primary key"],
            },
            steps(&[
                "loses its primary key id",
                "index item_id_idx_btree is dropped",
            ]),
        ),
        (
            "a unique column",
            |t| t.unique.push(1),
            Planned {
                steps: &[
                    "table item gets unique name",
                    "index item_name_idx_btree is built",
                ],
                breaking: 0,
                asks: &["two rows share a value of name, so it cannot be unique"],
            },
            steps(&[
                "name of table item need not be unique",
                "index item_name_idx_btree is dropped",
            ]),
        ),
        (
            "an index",
            |t| t.indexes.push((vec![1, 2], "by_both")),
            steps(&["index item_name_size_idx_btree is built"]),
            steps(&["index item_name_size_idx_btree is dropped"]),
        ),
        (
            "numbers",
            |t| t.auto_inc.push(0),
            Planned {
                steps: &["column id of table item is numbered"],
                breaking: 0,
                asks: &["rows have numbers above 0 in column id"],
            },
            steps(&["column id of table item is no longer numbered"]),
        ),
        (
            "access",
            |t| t.private = true,
            steps(&["table item becomes private"]),
            steps(&["table item becomes public"]),
        ),
        (
            "events",
            |t| t.event = true,
            Refused(&["it kept rows, now it holds events"]),
            Refused(&["it held events, now it keeps rows"]),
        ),
    ];
    for (name, change, there, back) in &cases {
        let changed = [item().with(change)];
        check(name, &[item()], &changed, there);
        check(&format!("{name}, taken back"), &changed, &[item()], back);
    }
}

#[test]
fn tables_come_and_go() {
    let both = [item(), plain("tag", &[("word", Type::String)])];
    check(
        "a table comes",
        &[item()],
        &both,
        &steps(&["table tag is added"]),
    );
    let dropped = Planned {
        steps: &["table tag is dropped"],
        breaking: 1,
        asks: &["it still has rows"],
    };
    check("a table goes", &both, &[item()], &dropped);
    let swapped = [both[1].clone(), both[0].clone()];
    check("tables change places", &both, &swapped, &steps(&[]));
    let renamed = [both[0].clone(), plain("label", &[("word", Type::String)])];
    let both_steps = Planned {
        steps: &["table tag is dropped", "table label is added"],
        breaking: 1,
        asks: &["table tag: it still has rows"],
    };
    check("a table is renamed", &both, &renamed, &both_steps);
}

#[test]
fn an_index_that_becomes_another_has_another_number() {
    let before = module(&[item().with(|t| t.indexes.push((vec![1], "by_name")))]);
    let after = module(&[item().with(|t| t.unique.push(1))]);
    let numbers = Numbers::of_first(&before.def().tables);
    let current = numbers
        .apply(&before.def().tables)
        .expect("all have numbers");
    let planned = plan(here(&current), &numbers, after.def(), 3).expect("nothing in the way");
    assert_eq!(planned.tables[0].id, current[0].id);
    assert_ne!(planned.tables[0].indexes[0].id, current[0].indexes[0].id);
    assert!(planned.steps.iter().any(|step| step.contains("built anew")));
}

#[test]
fn a_moved_primary_key_is_refused() {
    let keyed = |column| [item().with(|t| t.key = Some(column))];
    let expected = Refused(&["its primary key moves from column id to name"]);
    check("the key moves", &keyed(0), &keyed(1), &expected);
    let expected = Refused(&["its primary key moves from column name to id"]);
    check("the key moves back", &keyed(1), &keyed(0), &expected);
}

#[test]
fn enums_grow_at_the_end_wherever_they_are() {
    let small = sum(&[("red", Type::unit()), ("blue", Type::U8)]);
    let large = sum(&[
        ("red", Type::unit()),
        ("blue", Type::U8),
        ("rgb", Type::U128),
    ]);
    let places: [fn(Type) -> Type; 4] = [
        |ty| ty,
        Type::array,
        |ty| Type::product([("inner", ty), ("other", Type::U8)]),
        |ty| Type::option(Type::array(ty)),
    ];
    for place in places {
        let with = |ty: &Type| {
            let ty = place(ty.clone());
            [item().with(|t| t.columns[2].1 = ty)]
        };
        let grown = steps(&["column size of table item may hold rgb too"]);
        check("an enum grows", &with(&small), &with(&large), &grown);
        let shrunk = Refused(&["an enum of 3 variants has 2 now"]);
        check("an enum shrinks", &with(&large), &with(&small), &shrunk);
        let renamed = sum(&[("rot", Type::unit()), ("blue", Type::U8)]);
        let expected = Refused(&["variant red is rot now"]);
        check(
            "a variant is renamed",
            &with(&small),
            &with(&renamed),
            &expected,
        );
        let first = sum(&[
            ("rgb", Type::U128),
            ("red", Type::unit()),
            ("blue", Type::U8),
        ]);
        let expected = Refused(&["variant red is rgb now"]);
        check(
            "a variant comes first",
            &with(&small),
            &with(&first),
            &expected,
        );
        let retyped = sum(&[("red", Type::unit()), ("blue", Type::U16)]);
        let expected = Refused(&["u8 is u16 now"]);
        check(
            "a variant is retyped",
            &with(&small),
            &with(&retyped),
            &expected,
        );
    }
    let fields = |names: &[&'static str]| {
        let fields = names.iter().map(|name| (*name, Type::U8));
        let ty = Type::Product(fields.collect());
        [item().with(|t| t.columns[2].1 = ty)]
    };
    let more = Refused(&["a product of 1 fields has 2 now"]);
    check(
        "a field is added",
        &fields(&["a"]),
        &fields(&["a", "b"]),
        &more,
    );
    let other = Refused(&["field a is b now"]);
    check(
        "a field is renamed",
        &fields(&["a"]),
        &fields(&["b"]),
        &other,
    );
}

#[test]
fn every_reason_is_told_at_once() {
    let worse = item().with(|t| {
        t.columns[2].1 = Type::U8;
        t.columns.push(("level", Type::U16));
        t.event = true;
    });
    let expected = Refused(&[
        "now it holds events",
        "column size has another type",
        "column level was added without a default",
    ]);
    check("much at once", &[item()], &[worse], &expected);
}

#[test]
fn rows_that_nobody_noted_the_time_of_must_not_be_there() {
    let module = module(&[plain("alarm", &[("id", Type::U64)])]);
    let numbers = Numbers::of_first(&module.def().tables);
    let tables = numbers
        .apply(&module.def().tables)
        .expect("all have numbers");
    let schedule = |column| ScheduleDef {
        table: "alarm".to_owned(),
        column,
        reducer: 0,
    };
    let check = |before: &[ScheduleDef], after: &[ScheduleDef], steps: &[&str], asks: usize| {
        let mut next = module.def().clone();
        next.schedules = after.to_vec();
        let current = Current {
            schedules: before,
            ..here(&tables)
        };
        let plan = plan(current, &numbers, &next, 9).expect("it may change");
        assert_eq!(plan.steps, steps);
        assert_eq!(plan.checks.len(), asks, "{:?}", plan.checks);
    };
    let name = &module.def().reducers[0].name;
    let begins = format!("table alarm schedules {name}");
    check(&[], &[], &[], 0);
    check(&[], &[schedule(1)], &[&begins], 1);
    check(&[schedule(0)], &[schedule(1)], &[&begins], 1);
    check(&[schedule(1)], &[schedule(1)], &[], 0);
    let ends = "table alarm schedules nothing any more";
    check(&[schedule(1)], &[], &[ends], 0);
}

#[test]
fn clients_break_when_a_view_goes_or_has_other_columns() {
    let module = module(&[plain("alarm", &[("id", Type::U64)])]);
    let numbers = Numbers::of_first(&module.def().tables);
    let tables = numbers
        .apply(&module.def().tables)
        .expect("all have numbers");
    let view = |ty: Type| {
        let mut table = tables[0].clone();
        "loud".clone_into(&mut table.name);
        table.columns[0].ty = ty;
        ViewDef {
            table,
            index: 0,
            anonymous: true,
        }
    };
    let check = |before: &[ViewDef], after: &[ViewDef], steps: &[&str], breaking: usize| {
        let mut next = module.def().clone();
        next.views = after.to_vec();
        let current = Current {
            views: before,
            ..here(&tables)
        };
        let plan = plan(current, &numbers, &next, 9).expect("it may change");
        assert_eq!(plan.steps, steps);
        assert_eq!(plan.breaking.len(), breaking);
    };
    let (wide, narrow) = ([view(Type::U64)], [view(Type::U32)]);
    check(&[], &wide, &["view loud is added"], 0);
    check(&wide, &wide, &[], 0);
    check(&wide, &[], &["view loud is dropped"], 1);
    check(&wide, &narrow, &["view loud has other columns"], 1);
}

#[test]
fn clients_break_when_they_see_other_rows() {
    let module = module(&[item()]);
    let numbers = Numbers::of_first(&module.def().tables);
    let tables = numbers
        .apply(&module.def().tables)
        .expect("all have numbers");
    let check = |before: &[&str], after: &[&str], steps: &[&str]| {
        let texts = |filters: &[&str]| filters.iter().map(|it| (*it).to_owned()).collect();
        let before: Vec<String> = texts(before);
        let mut next = module.def().clone();
        next.filters = texts(after);
        let current = Current {
            filters: &before,
            ..here(&tables)
        };
        let plan = plan(current, &numbers, &next, 9).expect("it may change");
        assert_eq!(plan.steps, steps);
        assert_eq!(plan.breaking, steps);
    };
    check(&[], &[], &[]);
    check(&["a", "b"], &["b", "a", "a"], &[]);
    check(&[], &["a"], &["visibility filter `a` is added"]);
    check(&["a"], &[], &["visibility filter `a` is dropped"]);
    let both = [
        "visibility filter `a` is dropped",
        "visibility filter `c` is added",
    ];
    check(&["a", "b"], &["b", "c"], &both);
}
