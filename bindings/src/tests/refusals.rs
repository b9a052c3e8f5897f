//! What no client code is written for, and bytes that are no definition.

use crate::{BindingsError, Language::Typescript, generate, generate_of};
use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v8::RawModuleDefV8;
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNames, RawModuleDefV10, RawModuleDefV10Builder,
    RawModuleDefV10Section, RawSubmoduleV10,
};
use spacetimedb_sats::{AlgebraicType as T, AlgebraicTypeRef, ProductType, bsatn};

fn check(build: impl FnOnce(&mut RawModuleDefV10Builder), why: &str) {
    let mut module = RawModuleDefV10Builder::new();
    // Names stand for themselves, so that two of them can meet only in client code.
    module.set_case_conversion_policy(CaseConversionPolicy::None);
    build(&mut module);
    let error = generate_of(Typescript, RawModuleDef::V10(module.finish()), &[]).unwrap_err();
    assert_eq!(error.to_string(), why);
}

fn to(reference: u32) -> T {
    T::Ref(AlgebraicTypeRef(reference))
}

fn fields<const N: usize>(fields: [(&'static str, T); N]) -> ProductType {
    ProductType::from(fields)
}

#[test]
fn two_things_of_one_name() {
    let twice = [("sent_at", T::U8), ("sentAt", T::U8)];
    let same = |what: &str, name: &str| {
        format!("two {what} would be called {name} in client code: rename one of them")
    };
    check(
        |module| {
            let row = fields(twice.clone());
            module.build_table_with_new_type("t", row, true).finish();
        },
        &same("columns of table t", "sentAt"),
    );
    check(
        |module| {
            for name in ["my_table", "myTable"] {
                let row = module
                    .build_table_with_new_type(name, ProductType::unit(), true)
                    .finish();
                assert!(row.0 < 2);
            }
        },
        &same("tables", "myTable"),
    );
    check(
        |module| {
            module.add_reducer("do_it", ProductType::unit());
            module.add_reducer("doIt", ProductType::unit());
        },
        &same("reducers", "doIt"),
    );
    check(
        |module| module.add_reducer("f", fields(twice.clone())),
        &same("parameters of f", "sentAt"),
    );
    check(
        |module| {
            module.add_algebraic_type([], "line_kind", T::unit(), true);
            module.add_algebraic_type([], "LineKind", T::unit(), true);
        },
        &same("types", "LineKind"),
    );
    check(
        |module| {
            module.add_algebraic_type([], "Pair", T::Product(fields(twice.clone())), true);
        },
        &same("fields of Pair", "sentAt"),
    );
    check(
        |module| {
            let either = T::sum([("one_kind", T::unit()), ("OneKind", T::unit())]);
            module.add_algebraic_type([], "Either", either, true);
        },
        &same("variants of Either", "OneKind"),
    );
}

#[test]
fn definitions_that_make_no_sense() {
    let senseless =
        |what: &str| format!("the definition of the module does not make sense: {what}");
    check(
        |module| module.add_reducer("x".repeat(300), ProductType::unit()),
        &senseless("a name in it has 300 bytes"),
    );
    check(
        |module| module.add_reducer("f", fields([("x", to(7))])),
        &senseless("it refers to type 7, which does not exist"),
    );
    check(
        |module| {
            module.build_table("t", AlgebraicTypeRef(3)).finish();
        },
        &senseless("table t: its row type is not a product"),
    );
    check(
        |module| {
            module
                .build_table_with_new_type("t", fields([("x", T::U8)]), true)
                .with_unique_constraint(4)
                .finish();
        },
        &senseless("table t: it names a column that does not exist"),
    );
    check(
        |module| {
            module.add_view("v", 0, true, true, ProductType::unit(), T::U8);
        },
        &senseless("view v does not return rows"),
    );
    check(
        |module| {
            let row = module.add_algebraic_type([], "Row", T::unit(), true);
            let rows = T::array(T::Ref(row));
            module.add_view("v", 0, true, true, ProductType::unit(), rows);
            module.add_view_primary_key("v", ["x"]);
        },
        &senseless("view v has a key that is no column"),
    );
    check(
        |module| {
            let mut names = ExplicitNames::default();
            names.insert_table("t", "a");
            names.insert_table("t", "b");
            module.add_explicit_names(names);
        },
        &senseless("it gives t two names"),
    );
}

#[test]
fn what_is_not_supported() {
    check(
        |module| {
            module.add_algebraic_type([], "Chain", T::option(to(0)), true);
        },
        "client code for Chain, which contains itself and is neither a product nor a sum is not supported",
    );
    let inner = RawSubmoduleV10 {
        namespace: "inner".into(),
        module: RawModuleDefV10::default(),
    };
    let module = RawModuleDefV10 {
        sections: vec![RawModuleDefV10Section::Submodules(vec![inner])],
    };
    assert_eq!(
        generate_of(Typescript, RawModuleDef::V10(module), &[]),
        Err(BindingsError::Unsupported("submodules".into()))
    );
    assert_eq!(
        generate_of(
            Typescript,
            RawModuleDef::V8BackCompat(RawModuleDefV8::default()),
            &[]
        ),
        Err(BindingsError::Old)
    );
}

#[test]
fn bytes_that_are_no_definition() {
    let undecodable = |bytes: &[u8]| {
        let error = generate(Typescript, bytes, &[]).unwrap_err();
        assert!(matches!(error, BindingsError::Undecodable(_)), "{error}");
    };
    undecodable(b"");
    undecodable(b"hello");
    let mut deep = T::U8;
    for _ in 0..1_000 {
        deep = T::array(deep);
    }
    let mut module = RawModuleDefV10Builder::new();
    module.add_reducer("f", fields([("x", deep)]));
    undecodable(&bsatn::to_vec(&RawModuleDef::V10(module.finish())).unwrap());
}

/// Types that hold each other in a row, without a name of their own, deep but not too deep.
#[test]
fn nameless_types_cost_one_name_each() {
    let mut nested = T::U8;
    for _ in 0..30 {
        nested = T::product([("x".repeat(256), nested)]);
    }
    let mut module = RawModuleDefV10Builder::new();
    module.add_algebraic_type([], "Nested", nested, true);
    let raw = bsatn::to_vec(&RawModuleDef::V10(module.finish())).unwrap();
    let files = generate(Typescript, &raw, &[]).unwrap();
    assert!(files["types.ts"].contains("\"Nested.29\""));
    assert!(files["types.ts"].len() < 2 * raw.len());
}

/// Types that double with each reference would fill the memory if they were written where they are
/// used.
#[test]
fn text_grows_with_the_definition_only() {
    let mut module = RawModuleDefV10Builder::new();
    for next in 1..=200 {
        let pair = T::product([("a", to(next)), ("b", to(next))]);
        module.add_algebraic_type([], format!("Pair{next}"), pair, true);
    }
    module.add_algebraic_type([], "Last", T::result(T::U8, T::U8), true);
    module.add_reducer("f", fields([("x", to(0))]));
    let files = generate_of(Typescript, RawModuleDef::V10(module.finish()), &[]).unwrap();
    assert!(files["types.ts"].len() < 50_000);
    let place = |name: &str| {
        files["types.ts"]
            .find(&format!("export const {name} ="))
            .unwrap()
    };
    assert!(place("Last") < place("Pair200") && place("Pair2") < place("Pair1"));
}
