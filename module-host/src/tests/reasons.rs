//! Each reason not to run a module, by name; and all of them at once.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{
    Lifecycle, RawModuleDefV9Builder, TableAccess, TableType, btree, direct, hash,
};
use spacetimedb_lib::db::raw_def::v10::{
    ExplicitNames, RawModuleDefV10, RawModuleDefV10Builder, RawModuleDefV10Section as Section,
};
use spacetimedb_primitives::ColList;
use spacetimedb_sats::{AlgebraicType as T, AlgebraicTypeRef, AlgebraicValue, ProductType, bsatn};

use crate::PrepareError;
use crate::describe::describe;
use crate::limits::REASONS_MAX;

/// Why a description is refused; nothing if it is not.
fn reasons(module: RawModuleDef) -> Vec<String> {
    match describe(bsatn::to_vec(&module).unwrap()) {
        Ok(_) => vec![],
        Err(PrepareError::Refused(reasons)) => reasons,
        Err(other) => panic!("{other}"),
    }
}

/// Two columns, `x` of that type and `y`.
fn columns(x: T) -> ProductType {
    ProductType::from([("x", x), ("y", T::U8)])
}

/// A module of 2.x with one table `t`, and what is done to both.
fn table(x: T, change: impl FnOnce(&mut RawModuleDefV10Builder)) -> RawModuleDefV10Builder {
    let mut module = RawModuleDefV10Builder::new();
    module
        .build_table_with_new_type("t", columns(x), false)
        .finish();
    change(&mut module);
    module
}

/// Holds the reasons against a module that is wrong in one thing.
#[track_caller]
fn check(change: impl FnOnce(&mut RawModuleDefV10Builder), expected: &[&str]) {
    let module = table(T::U32, change).finish();
    assert_eq!(reasons(RawModuleDef::V10(module)), expected);
}

/// The same for something that no builder does.
#[track_caller]
fn check_raw(change: impl FnOnce(&mut RawModuleDefV10), expected: &[&str]) {
    let mut module = table(T::U32, |_| ()).finish();
    change(&mut module);
    assert_eq!(reasons(RawModuleDef::V10(module)), expected);
}

#[track_caller]
fn check_v9(change: impl FnOnce(&mut RawModuleDefV9Builder), expected: &[&str]) {
    let mut module = RawModuleDefV9Builder::new();
    module
        .build_table_with_new_type("t", columns(T::U32), false)
        .finish();
    change(&mut module);
    assert_eq!(reasons(RawModuleDef::V9(module.finish())), expected);
}

/// The rows of `t` in V10, as the builder left them.
fn t(module: &mut RawModuleDefV10) -> &mut spacetimedb_lib::db::raw_def::v10::RawTableDefV10 {
    &mut module.tables_mut_for_tests()[0]
}

#[test]
fn each_reason_is_told_by_name() {
    check(|_| (), &[]);
    check_v9(|_| (), &[]);

    // What is described and not built.
    check(
        |module| module.add_procedure("p", ProductType::unit(), T::U8),
        &["it has a procedure (p): not supported yet"],
    );
    check(
        |module| module.add_view("v", 0, true, true, ProductType::unit(), T::array(T::U8)),
        &["view v does not return rows"],
    );
    check(
        |module| module.add_schedule("nothing", 0, "go"),
        &["table nothing schedules go, and does not exist"],
    );
    check(
        |module| (0..257).for_each(|_| module.add_row_level_security("SELECT 1")),
        &["it defines 257 visibility filters, the most is 256"],
    );
    check(
        |module| module.add_http_handler("h"),
        &["it has an HTTP handler (h): not supported yet"],
    );
    check_v9(
        |module| {
            module
                .build_table_with_new_type("alarm", columns(T::U64), false)
                .with_schedule("ring", 1)
                .finish();
        },
        &["table alarm schedules ring: its primary key has to be a u64"],
    );
    check_v9(
        |module| module.add_procedure("p", ProductType::unit(), T::U8),
        &["it has a procedure (p): not supported yet"],
    );
    check_raw(
        |module| {
            module.sections.push(Section::Submodules(vec![
                spacetimedb_lib::db::raw_def::v10::RawSubmoduleV10 {
                    namespace: "inner".to_owned(),
                    module: RawModuleDefV10::default(),
                },
            ]));
        },
        &["it has a submodule (inner): not supported yet"],
    );
    check_raw(
        |module| t(module).table_type = TableType::System,
        &["table t says that it belongs to the system"],
    );
    check_raw(
        |module| {
            let again = module.sections[0].clone();
            module.sections.push(again);
        },
        &["its description has two sections of one kind"],
    );
}

#[test]
fn tables_and_columns_that_cannot_be_are_named() {
    check(
        |module| {
            module
                .build_table_with_new_type("T", columns(T::U8), false)
                .finish();
        },
        &["two tables are called t", "two types are called T"],
    );
    check(
        |module| {
            let twice = ProductType::from([("myField", T::U8), ("my_field", T::U8)]);
            module.build_table_with_new_type("u", twice, false).finish();
        },
        &["table u: two columns are called my_field"],
    );
    check(
        |module| {
            let odd = ProductType::from([("1", T::U8)]);
            module.build_table_with_new_type("u", odd, false).finish();
        },
        &["table u: \"1\" cannot be the name of a column"],
    );
    check(
        |module| {
            module
                .build_table_with_new_type("sys_t", columns(T::U8), false)
                .finish();
        },
        &["\"sys_t\" cannot be the name of a table: sys_… is for those of the database"],
    );
    const ROLES: &str = "table sys_role: the database keeps it, and it has the columns identity: \
                         Identity, the primary key, and role: String, and nothing else";
    for (identity, key, expected) in [
        (T::identity(), true, &[][..]),
        (T::identity(), false, &[ROLES]),
        (T::U256, true, &[ROLES]),
    ] {
        let roles = ProductType::from([("identity", identity), ("role", T::String)]);
        check(
            |module| {
                let table = module.build_table_with_new_type("sys_role", roles, false);
                match key {
                    true => table.with_primary_key(0).with_unique_constraint(0).finish(),
                    false => table.finish(),
                };
            },
            expected,
        );
    }
    check(
        |module| {
            let mut names = ExplicitNames::default();
            names.insert_table("t", "the table");
            module.add_explicit_names(names);
        },
        &["\"the table\" cannot be the name of a table"],
    );
    check(
        |module| {
            let mut names = ExplicitNames::default();
            names.insert_table("t", "a");
            names.insert_table("t", "b");
            module.add_explicit_names(names);
        },
        &["it gives t two names"],
    );
    check(
        |module| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .finish();
            let mut names = ExplicitNames::default();
            names.insert_table("t", "u");
            names.insert_table("u", "w");
            module.add_explicit_names(names);
        },
        &["two tables are called u, one of them in the source only"],
    );
    check_raw(
        |module| t(module).product_type_ref = AlgebraicTypeRef(77),
        &["table t: its row type is not a product"],
    );
    let of_type = |ty: T, expected: &[&str]| {
        let module = table(ty, |_| ()).finish();
        assert_eq!(reasons(RawModuleDef::V10(module)), expected);
    };
    of_type(
        T::Ref(AlgebraicTypeRef(0)),
        &["table t: of column x its type contains itself"],
    );
    of_type(
        T::array(T::Ref(AlgebraicTypeRef(9))),
        &["table t: of column x its type refers to a type that does not exist"],
    );
    of_type(
        T::product([("aB", T::U8), ("a_b", T::U8)]),
        &["table t: of column x its type has two parts called a_b"],
    );
    of_type(
        T::sum([("A1", T::U8), ("a1", T::U8)]),
        &["table t: of column x its type has two parts called a1"],
    );
    let variants = (0..257).map(|number| (format!("v{number}").leak() as &'static str, T::unit()));
    of_type(
        T::Sum(spacetimedb_sats::SumType::new(
            variants
                .map(|(name, ty)| spacetimedb_sats::SumTypeVariant::new_named(ty, name))
                .collect(),
        )),
        &["table t: of column x its type has a sum of 257 variants, a tag tells 256"],
    );
    let mut deep = T::U8;
    for _ in 0..40 {
        deep = T::array(deep);
    }
    of_type(
        deep,
        &["table t: of column x its type is nested more than 32 levels deep"],
    );
}

#[test]
fn keys_and_indexes_that_cannot_be_are_named() {
    let t2 = |module: &mut RawModuleDefV10Builder, x: T, index, unique: bool| {
        let table = module.build_table_with_new_type("u", columns(x), false);
        let table = table.with_index(index, "u_i", "i");
        if unique {
            table.with_unique_constraint(0).finish();
        } else {
            table.finish();
        }
    };
    check(
        |module| t2(module, T::U8, btree(5), false),
        &["table u: index u_i is over column 5, which does not exist"],
    );
    check(
        |module| t2(module, T::U8, hash([0, 0]), false),
        &["table u: index u_i is over column x twice"],
    );
    check(
        |module| t2(module, T::U8, btree(ColList::empty()), false),
        &["table u: index u_i is over no column"],
    );
    let bad = "table u: index u_i is direct, and column x is no u8, u16, u32, u64 or plain enum";
    for ty in [
        T::I32,
        T::U128,
        T::String,
        T::option(T::U8),
        T::F32,
        T::Bool,
    ] {
        check(|module| t2(module, ty, direct(0), true), &[bad]);
    }
    for ty in [T::U8, T::U64, T::simple_enum(["a", "b"].into_iter())] {
        check(|module| t2(module, ty, direct(0), true), &[]);
    }
    check(
        |module| t2(module, T::U8, direct(0), false),
        &["table u: index u_i is direct, and column x is not unique"],
    );
    check_raw(
        |module| t(module).primary_key = ColList::from([0, 1]),
        &["table t: its primary key has several columns (x, y): not supported"],
    );
    check_raw(
        |module| t(module).primary_key = ColList::from(4),
        &["table t: its primary key is over column 4, which does not exist"],
    );
    check(
        |module| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .with_unique_constraint(9)
                .finish();
        },
        &["table u: a unique constraint is over column 9, which does not exist"],
    );
    let with_index_names = |names: [(&'static str, &'static str); 2]| {
        move |module: &mut RawModuleDefV10Builder| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .with_index(btree(0), "one", "one")
                .with_index(btree(1), "two", "two")
                .finish();
            let mut explicit = ExplicitNames::default();
            for (source, name) in names {
                explicit.insert_index(source, name);
            }
            module.add_explicit_names(explicit);
        }
    };
    check(
        with_index_names([("one", "same"), ("two", "same")]),
        &["two indexes are called same"],
    );
    check(
        with_index_names([("one", "two"), ("two", "three")]),
        &["two indexes are called two, one of them in the source only"],
    );
    check(
        with_index_names([("one", "not this"), ("two", "three")]),
        &["table u: \"not this\" cannot be the name of an index"],
    );
}

#[test]
fn numbers_and_defaults_that_cannot_be_are_named() {
    let numbered = |x: T, column: u16| {
        move |module: &mut RawModuleDefV10Builder| {
            module
                .build_table_with_new_type("u", columns(x), false)
                .with_column_sequence(column)
                .finish();
        }
    };
    check(numbered(T::I128, 0), &[]);
    check(
        numbered(T::String, 0),
        &["table u: column x has auto_inc but is not an integer"],
    );
    check(
        numbered(T::F64, 0),
        &["table u: column x has auto_inc but is not an integer"],
    );
    check(
        numbered(T::U8, 7),
        &["table u: auto_inc is for column 7, which does not exist"],
    );
    check(
        |module| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .with_column_sequence(0)
                .with_column_sequence(0)
                .finish();
        },
        &["table u: column x has auto_inc twice"],
    );
    for change in [
        (Some(5), None, None, 1),
        (None, Some(-3), None, 1),
        (None, None, Some(99), 1),
        (None, None, None, 2),
    ] {
        let mut module = table(T::U8, |_| ()).finish();
        let mut other = RawModuleDefV10Builder::new();
        numbered(T::U8, 0)(&mut other);
        let mut sequence = other.finish().tables_mut_for_tests()[0].sequences.remove(0);
        (
            sequence.start,
            sequence.min_value,
            sequence.max_value,
            sequence.increment,
        ) = change;
        t(&mut module).sequences.push(sequence);
        assert_eq!(
            reasons(RawModuleDef::V10(module)),
            ["table t: column x does not count 1, 2, 3: not supported"]
        );
    }
    let with_default = |column: u16, value: AlgebraicValue| {
        move |module: &mut RawModuleDefV10Builder| {
            module
                .build_table_with_new_type("u", columns(T::U16), false)
                .with_default_column_value(column, value)
                .finish();
        }
    };
    check(with_default(0, AlgebraicValue::U16(3)), &[]);
    check(
        with_default(0, AlgebraicValue::U8(3)),
        &["table u: the default of column x: it ends too early"],
    );
    check(
        with_default(1, AlgebraicValue::U16(3)),
        &["table u: the default of column y: it has 1 bytes too many"],
    );
    check(
        with_default(4, AlgebraicValue::U8(3)),
        &["table u: a default is for column 4, which does not exist"],
    );
    check(
        |module| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .with_default_column_value(0, AlgebraicValue::U8(1))
                .with_default_column_value(0, AlgebraicValue::U8(1))
                .finish();
        },
        &["table u: column x has two defaults"],
    );
    check_v9(
        |module| {
            module
                .build_table_with_new_type("u", columns(T::U8), false)
                .with_default_column_value(0, AlgebraicValue::String("one".into()))
                .finish();
        },
        &["table u: the default of column x: it has 6 bytes too many"],
    );
}

#[test]
fn reducers_that_cannot_be_are_named() {
    check(
        |module| {
            module.add_reducer("goOn", ProductType::unit());
            module.add_reducer("go_on", ProductType::unit());
        },
        &["two reducers are called go_on"],
    );
    check(
        |module| {
            module.add_lifecycle_reducer(Lifecycle::Init, "one", ProductType::unit());
            module.add_lifecycle_reducer(Lifecycle::Init, "two", ProductType::unit());
        },
        &["two reducers are for the event Init"],
    );
    check(
        |module| module.add_lifecycle_reducer(Lifecycle::OnConnect, "hi", columns(T::U8)),
        &["reducer hi is for the event ClientConnected and has parameters: nobody passes them"],
    );
    check_v9(
        |module| module.add_reducer("hi", columns(T::U8), Some(Lifecycle::OnDisconnect)),
        &["reducer hi is for the event ClientDisconnected and has parameters: nobody passes them"],
    );
    check(
        |module| module.add_reducer("go", columns(T::Ref(AlgebraicTypeRef(8)))),
        &["reducer go: of a parameter its type refers to a type that does not exist"],
    );
    check(
        |module| module.add_reducer("no good", ProductType::unit()),
        &[],
    );
    check_v9(
        |module| module.add_reducer("no good", ProductType::unit(), None),
        &["\"no good\" cannot be the name of a reducer"],
    );
    let raw_reducer = |change: fn(&mut spacetimedb_lib::db::raw_def::v10::RawReducerDefV10)| {
        let mut module = table(T::U8, |module| {
            module.add_reducer("go", ProductType::unit())
        });
        module.add_lifecycle_reducer(Lifecycle::Init, "start", ProductType::unit());
        let mut module = module.finish();
        for section in &mut module.sections {
            if let Section::Reducers(reducers) = section {
                reducers.iter_mut().for_each(change);
            }
        }
        reasons(RawModuleDef::V10(module))
    };
    assert_eq!(
        raw_reducer(|reducer| reducer.ok_return_type = T::U8),
        [
            "reducer go returns something else than nothing or a text: not supported",
            "reducer start returns something else than nothing or a text: not supported",
        ]
    );
    assert_eq!(
        raw_reducer(|reducer| reducer.source_name = "other".into()),
        [
            "start is to be called at an event, but is no reducer",
            "two reducers are called other"
        ]
    );
    check_raw(
        |module| {
            let entry =
                |lifecycle_spec| spacetimedb_lib::db::raw_def::v10::RawLifeCycleReducerDefV10 {
                    lifecycle_spec,
                    function_name: "go".into(),
                };
            let mut other = RawModuleDefV10Builder::new();
            other.add_reducer("go", ProductType::unit());
            let reducers = other.finish().reducers().cloned().unwrap();
            module
                .sections
                .retain(|section| !matches!(section, Section::Reducers(_)));
            module.sections.push(Section::Reducers(reducers));
            module.sections.push(Section::LifeCycleReducers(vec![
                entry(Lifecycle::Init),
                entry(Lifecycle::OnConnect),
            ]));
        },
        &["reducer go is for several events"],
    );
}

/// A module that is wrong in so many things says so many, and how many more there are.
#[test]
fn all_reasons_are_told_at_once() {
    let mut module = RawModuleDefV10Builder::new();
    for number in 0..REASONS_MAX + 7 {
        module.add_procedure(format!("p{number}"), ProductType::unit(), T::U8);
    }
    module
        .build_table_with_new_type("t", columns(T::String), false)
        .with_access(TableAccess::Private)
        .with_column_sequence(0)
        .finish();
    let told = reasons(RawModuleDef::V10(module.finish()));
    assert_eq!(told.len(), REASONS_MAX + 1);
    for (number, reason) in told[..REASONS_MAX].iter().enumerate() {
        assert_eq!(
            *reason,
            format!("it has a procedure (p{number}): not supported yet")
        );
    }
    assert_eq!(told[REASONS_MAX], "and 8 more");
}
