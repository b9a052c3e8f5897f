//! What a module of 2.x says of itself, and what becomes of it.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{
    Lifecycle as RawLifecycle, TableAccess, btree, direct, hash,
};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNames, RawModuleDefV10Builder,
};
use spacetimedb_sats::{AlgebraicType as T, AlgebraicTypeRef, AlgebraicValue, ProductType, bsatn};
use store::{IndexId, IndexKind, TableId};

use crate::describe::describe;
use crate::{Lifecycle, ModuleDef, PrepareError};

fn read(module: RawModuleDefV10Builder) -> Result<ModuleDef, Vec<String>> {
    let raw = bsatn::to_vec(&RawModuleDef::V10(module.finish())).unwrap();
    match describe(raw) {
        Ok(def) => Ok(def),
        Err(PrepareError::Refused(reasons)) => Err(reasons),
        Err(other) => panic!("{other}"),
    }
}

fn columns<const N: usize>(columns: [(&'static str, T); N]) -> ProductType {
    ProductType::from(columns)
}

#[test]
fn names_are_canonical_and_sources_are_kept() {
    let mut module = RawModuleDefV10Builder::new();
    module
        .build_table_with_new_type(
            "userProfile",
            columns([("userId2", T::U64), ("_age", T::U8)]),
            false,
        )
        .with_unique_constraint(0)
        .with_auto_inc_primary_key(0)
        .with_index(btree(0), "userProfile_userId2_idx_btree", "userId2")
        .with_index(hash([1, 0]), "userProfile__age_userId2_idx_hash", "both")
        .with_access(TableAccess::Private)
        .finish();
    module
        .build_table_with_new_type("tick", columns([("at", T::timestamp())]), false)
        .with_event(true)
        .finish();
    module.add_reducer("setName", columns([("newName", T::String)]));
    module.add_lifecycle_reducer(RawLifecycle::OnConnect, "onConnect", ProductType::unit());
    let mut names = ExplicitNames::default();
    names.insert_table("tick", "Tock");
    names.insert_index("userProfile__age_userId2_idx_hash", "by_age");
    module.add_explicit_names(names);
    let def = read(module).unwrap();

    let profile = &def.tables[0];
    assert_eq!(
        (profile.id, &profile.name[..], &profile.source_name[..]),
        (TableId(4_096), "user_profile", "userProfile")
    );
    assert_eq!(
        (profile.public, profile.event, profile.primary_key),
        (false, false, Some(0))
    );
    assert_eq!(profile.auto_inc, [0]);
    let names = profile
        .columns
        .iter()
        .map(|column| (&column.name[..], &column.source_name[..]));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [("user_id_2", "userId2"), ("age", "_age")]
    );
    let [by_id, by_age] = &profile.indexes[..] else {
        panic!("{:?}", profile.indexes)
    };
    assert_eq!(
        (by_id.id, &by_id.name[..]),
        (IndexId(4_096), "user_profile_user_id_2_idx_btree")
    );
    assert_eq!((by_id.unique, by_id.kind), (true, IndexKind::BTree));
    assert_eq!((by_age.id, &by_age.name[..]), (IndexId(4_097), "by_age"));
    assert_eq!(
        (by_age.unique, by_age.kind, &by_age.columns[..]),
        (false, IndexKind::Hash, &[1, 0][..])
    );
    assert_eq!(
        (
            &def.tables[1].name[..],
            def.tables[1].event,
            def.tables[1].public
        ),
        ("Tock", true, true)
    );

    let (place, set_name) = def.reducer_by_name("set_name").unwrap();
    assert_eq!((place, &set_name.source_name[..]), (0, "setName"));
    assert_eq!(set_name.params, [("new_name".to_owned(), T::String)]);
    assert!(set_name.client_callable);
    assert_eq!(def.lifecycle(Lifecycle::ClientConnected), Some(1));
    assert_eq!(def.lifecycle(Lifecycle::Init), None);
    assert!(!def.reducers[1].client_callable);
}

#[test]
fn names_can_be_left_alone() {
    let mut module = RawModuleDefV10Builder::new();
    module.set_case_conversion_policy(CaseConversionPolicy::None);
    module
        .build_table_with_new_type("myTable", columns([("someField", T::Bool)]), false)
        .finish();
    let def = read(module).unwrap();
    assert_eq!(def.tables[0].name, "myTable");
    assert_eq!(def.tables[0].columns[0].name, "someField");
}

#[test]
fn a_unique_constraint_has_an_index_whatever_the_module_says() {
    let mut module = RawModuleDefV10Builder::new();
    module
        .build_table_with_new_type("a", columns([("x", T::U8), ("y", T::U8)]), false)
        .with_unique_constraint([1, 0])
        .with_unique_constraint(1)
        .with_index(btree([0, 1]), "a_x_y_idx_btree", "xy")
        // Said twice, it is one.
        .with_index(btree([0, 1]), "a_x_y_idx_btree", "again")
        .with_unique_constraint(0)
        .with_index(direct(0), "a_x_idx_direct", "x")
        .finish();
    let def = read(module).unwrap();
    let indexes = def.tables[0].indexes.iter();
    let indexes = indexes
        .map(|index| (&index.name[..], index.unique))
        .collect::<Vec<_>>();
    let expected = [
        ("a_x_y_idx_btree", true),
        ("a_x_idx_direct", true),
        ("a_y_idx_btree", true),
    ];
    assert_eq!(indexes, expected);
}

#[test]
fn defaults_are_kept_if_they_fit() {
    let with = |value| {
        let mut module = RawModuleDefV10Builder::new();
        module
            .build_table_with_new_type("a", columns([("x", T::U8), ("y", T::U16)]), false)
            .with_default_column_value(1, value)
            .finish();
        read(module)
    };
    let def = with(AlgebraicValue::U16(300)).unwrap();
    assert_eq!(
        (def.defaults[0].column, &def.defaults[0].value[..]),
        (1, &[44, 1][..])
    );
    let [reason] = &with(AlgebraicValue::U8(3)).unwrap_err()[..] else {
        panic!("one reason")
    };
    assert!(
        reason.starts_with("table a: the default of column y"),
        "{reason}"
    );
}

#[test]
fn arguments_have_a_hash_of_their_own() {
    let hash_of = |params| {
        let mut module = RawModuleDefV10Builder::new();
        module.add_reducer("r", params);
        read(module).unwrap().reducers[0].arguments_type
    };
    let plain = hash_of(columns([("a", T::U8), ("b", T::String)]));
    assert_eq!(plain, hash_of(columns([("a", T::U8), ("b", T::String)])));
    assert_ne!(plain, hash_of(columns([("a", T::I8), ("b", T::String)])));
    assert_ne!(plain, hash_of(columns([("b", T::String), ("a", T::U8)])));
    // Part of the engine: calls in flight carry it.
    assert_eq!(plain, GOLDEN);
}

const GOLDEN: [u8; 8] = [104, 244, 122, 206, 82, 216, 199, 242];

#[test]
fn everything_that_is_wrong_is_listed() {
    let mut module = RawModuleDefV10Builder::new();
    module
        .build_table_with_new_type(
            "a",
            columns([("myField", T::U8), ("my_field", T::U8)]),
            false,
        )
        .finish();
    module
        .build_table_with_new_type("A", columns([("x", T::U8)]), false)
        .finish();
    module
        .build_table_with_new_type("b", columns([("x", T::U8)]), false)
        .with_index(btree(5), "b_x_idx_btree", "x")
        .finish();
    module
        .build_table_with_new_type("c", columns([("x", T::Ref(AlgebraicTypeRef(3)))]), false)
        .finish();
    module
        .build_table_with_new_type("d", columns([("1", T::U8)]), false)
        .finish();
    module.add_reducer("go", ProductType::unit());
    module.add_reducer("Go", ProductType::unit());
    module.add_lifecycle_reducer(RawLifecycle::Init, "one", ProductType::unit());
    module.add_lifecycle_reducer(RawLifecycle::Init, "two", ProductType::unit());
    module.add_procedure("p", ProductType::unit(), T::U8);
    module.add_view(
        "v",
        0,
        true,
        true,
        ProductType::unit(),
        T::array(T::Ref(AlgebraicTypeRef(0))),
    );
    module.add_schedule("b", 0, "go");
    module.add_http_handler("h");
    let reasons = read(module).unwrap_err();
    for expected in [
        "it has a procedure (p): not supported yet",
        "table b schedules go: its primary key has to be a u64",
        "it has an HTTP handler (h): not supported yet",
        "table a: two columns are called my_field",
        "table b: index b_x_idx_btree is over column 5, which does not exist",
        "table c: of column x its type contains itself",
        "table d: \"1\" cannot be the name of a column",
        "two reducers are called go",
        "two reducers are for the event Init",
        "two tables are called a",
    ] {
        assert!(
            reasons.iter().any(|reason| reason == expected),
            "{expected} in {reasons:#?}"
        );
    }
}
