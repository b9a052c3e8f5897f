//! Modules that client code is written for in tests.

use spacetimedb_lib::db::raw_def::v9::{
    Lifecycle, RawModuleDefV9Builder, TableAccess, btree, direct, hash,
};
use spacetimedb_lib::db::raw_def::v10::{
    CaseConversionPolicy, ExplicitNames, RawModuleDefV10Builder,
};
use spacetimedb_lib::{RawModuleDef, ScheduleAt};
use spacetimedb_sats::typespace::TypespaceBuilder as _;
use spacetimedb_sats::{AlgebraicType as T, AlgebraicTypeRef, ProductType};

fn fields<const N: usize>(fields: [(&'static str, T); N]) -> ProductType {
    ProductType::from(fields)
}

fn to(reference: u32) -> T {
    T::Ref(AlgebraicTypeRef(reference))
}

/// The definition of `examples/modules/chat`.
pub(super) fn chat() -> RawModuleDef {
    let mut module = RawModuleDefV10Builder::new();
    module
        .build_table_with_new_type(
            "account",
            fields([("id", T::U32), ("balance", T::I64)]),
            true,
        )
        .with_primary_key(0)
        .with_unique_constraint(0)
        .with_index(btree(0), "account_id_idx_btree", "id")
        .finish();
    let message = fields([
        ("id", T::U64),
        ("room", T::U64),
        ("sender", T::identity()),
        ("sent", T::timestamp()),
        ("text", T::String),
    ]);
    module
        .build_table_with_new_type("message", message, true)
        .with_auto_inc_primary_key(0)
        .with_unique_constraint(0)
        .with_index(btree(0), "message_id_idx_btree", "id")
        .with_index(btree(1), "message_room_idx_btree", "room")
        .finish();
    let room = fields([
        ("id", T::U64),
        ("name", T::String),
        ("opened_by", T::identity()),
    ]);
    module
        .build_table_with_new_type("room", room, true)
        .with_auto_inc_primary_key(0)
        .with_unique_constraint(0)
        .with_unique_constraint(1)
        .with_index(btree(0), "room_id_idx_btree", "id")
        .with_index(btree(1), "room_name_idx_btree", "name")
        .finish();
    let user = fields([
        ("identity", T::identity()),
        ("name", T::String),
        ("connections", T::U32),
    ]);
    module
        .build_table_with_new_type("user", user, true)
        .with_primary_key(0)
        .with_unique_constraint(0)
        .with_unique_constraint(1)
        .with_index(btree(0), "user_identity_idx_btree", "identity")
        .with_index(btree(1), "user_name_idx_btree", "name")
        .finish();
    let nothing = ProductType::unit;
    module.add_lifecycle_reducer(Lifecycle::OnConnect, "client_connected", nothing());
    module.add_lifecycle_reducer(Lifecycle::OnDisconnect, "client_disconnected", nothing());
    module.add_lifecycle_reducer(Lifecycle::Init, "init", nothing());
    module.add_reducer("open_accounts", fields([("count", T::U32)]));
    module.add_reducer("open_room", fields([("name", T::String)]));
    let message = fields([("room", T::String), ("text", T::String)]);
    module.add_reducer("send_message", message);
    module.add_reducer("set_name", fields([("name", T::String)]));
    let transfer = fields([("from", T::U32), ("to", T::U32), ("amount", T::I64)]);
    module.add_reducer("transfer", transfer);
    RawModuleDef::V10(module.finish())
}

/// Every type, index, kind of table and kind of function.
pub(super) fn everything() -> RawModuleDef {
    let mut module = RawModuleDefV10Builder::new();
    let point = T::product([("pos_x", T::F32), ("pos_y", T::F64)]);
    let point = T::Ref(module.add_algebraic_type([], "point", point, true));
    let color = T::simple_enum(["Red", "darkBlue"].into_iter());
    let color = T::Ref(module.add_algebraic_type([], "Color", color, true));
    let nothing = T::Ref(module.add_algebraic_type([], "Nothing", T::unit(), true));
    let shape = T::sum([
        ("Empty", T::unit()),
        (
            "circle",
            T::product([("center", point.clone()), ("radius", T::F64)]),
        ),
        ("Corners", T::array(point.clone())),
        ("Tagged", T::sum([("Word", T::String), ("Number", T::I64)])),
        ("Named", nothing.clone()),
        ("Maybe", T::option(color.clone())),
    ]);
    let shape = T::Ref(module.add_algebraic_type(["drawing".into()], "Shape", shape, true));
    module.add_algebraic_type([], "Never", T::never(), true);
    let words = fields([
        ("Class", T::String),
        ("new", T::U8),
        ("größe", T::U8),
        ("item2", T::U8),
    ]);
    let words = T::Ref(module.add_algebraic_type([], "words", T::Product(words), true));

    let primitives = fields([
        ("bool", T::Bool),
        ("i_8", T::I8),
        ("u_8", T::U8),
        ("i_16", T::I16),
        ("u_16", T::U16),
        ("i_32", T::I32),
        ("u_32", T::U32),
        ("i_64", T::I64),
        ("u_64", T::U64),
        ("i_128", T::I128),
        ("u_128", T::U128),
        ("i_256", T::I256),
        ("u_256", T::U256),
        ("f_32", T::F32),
        ("f_64", T::F64),
        ("string", T::String),
        ("bytes", T::bytes()),
        ("signed_bytes", T::array(T::I8)),
    ]);
    let with_index = module
        .build_table_with_new_type("primitives", primitives, true)
        .with_primary_key(8)
        .with_unique_constraint(8)
        .with_index(btree(8), "primitives_u_64_idx_btree", "u_64");
    // Each other column that can be looked up by is unique, one after the other.
    let unique = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15];
    unique
        .into_iter()
        .fold(with_index, |table, column: u16| {
            table.with_unique_constraint(column)
        })
        .finish();

    let special = fields([
        ("identity", T::identity()),
        ("connection", T::connection_id()),
        ("stamp", T::timestamp()),
        ("span", T::time_duration()),
        ("uuid", T::uuid()),
        ("when", ScheduleAt::get_type()),
        ("maybe_text", T::option(T::String)),
        ("outcome", T::result(point.clone(), T::String)),
        ("unit", T::unit()),
        ("rowUnit", T::unit()),
        ("nested_options", T::option(T::option(T::U8))),
        ("many_maybes", T::array(T::option(point.clone()))),
        (
            "anonymous",
            T::product([("in_side", T::U8), ("deep", T::product([("x", T::U8)]))]),
        ),
        ("point", point.clone()),
        ("best_color", color.clone()),
        ("shape", shape.clone()),
        ("words", words.clone()),
        ("named_nothing", nothing),
    ]);
    let table = module
        .build_table_with_new_type("specialThings", special, true)
        .with_access(TableAccess::Public)
        .with_primary_key(0)
        .with_unique_constraint(0)
        .with_index(hash(0), "specialThings_identity_idx_hash", "identity");
    [1, 2, 3, 4, 14]
        .into_iter()
        .fold(table, |table, column: u16| {
            table.with_unique_constraint(column)
        })
        .finish();

    let indexed = fields([
        ("kind", color.clone()),
        ("first_part", T::U32),
        ("second_part", T::String),
        ("slot", T::U8),
        ("weight", T::F32),
        ("whole", shape.clone()),
    ]);
    module
        .build_table_with_new_type("indexed", indexed, true)
        .with_unique_constraint(3)
        .with_unique_constraint([1, 2])
        .with_index(btree(0), "indexed_kind_idx_btree", "kind")
        .with_index(
            btree([1, 2]),
            "indexed_first_part_second_part_idx_btree",
            "by_parts",
        )
        .with_index(hash(2), "indexed_second_part_idx_hash", "second_part")
        .with_index(direct(3), "indexed_slot_idx_direct", "slot")
        .with_index(hash(3), "indexed_slot_idx_hash", "fast_slot")
        .with_index(btree(4), "indexed_weight_idx_btree", "weight")
        .with_index_no_accessor_name(btree(1), "indexed_first_part_idx_btree")
        .finish();

    module
        .build_table_with_new_type("keyed_by_color", fields([("color", color.clone())]), true)
        .with_primary_key(0)
        .with_unique_constraint(0)
        .finish();
    module
        .build_table_with_new_type("tick", fields([("seen_at", T::timestamp())]), true)
        .with_event(true)
        .finish();
    module
        .build_table_with_new_type("secret", fields([("text", T::String)]), true)
        .with_access(TableAccess::Private)
        .finish();
    let alarm = fields([
        ("scheduled_id", T::U64),
        ("scheduled_at", ScheduleAt::get_type()),
    ]);
    let alarm = module
        .build_table_with_new_type("alarm", alarm, true)
        .with_auto_inc_primary_key(0)
        .with_unique_constraint(0)
        .finish();
    module.add_schedule("alarm", 1, "ring");
    module.add_reducer("ring", ProductType::from([("alarm", T::Ref(alarm))]));

    let players = T::array(point.clone());
    module.add_view(
        "near_by2",
        0,
        true,
        false,
        ProductType::unit(),
        players.clone(),
    );
    module.add_view_primary_key("near_by2", ["pos_x"]);
    module.add_view(
        "one",
        0,
        true,
        true,
        ProductType::unit(),
        T::option(point.clone()),
    );
    let query = T::product([("__query__", point.clone())]);
    module.add_view("asked", 1, true, true, ProductType::unit(), query);
    module.add_view("hidden", 1, false, false, ProductType::unit(), players);

    module.add_reducer("no_arguments", ProductType::unit());
    module.add_reducer(
        "draw2Shapes",
        fields([("firstShape", shape), ("second_shape", T::option(words))]),
    );
    module.add_reducer(
        "report",
        fields([
            ("what", T::result(T::unit(), T::String)),
            ("raw", T::bytes()),
        ]),
    );
    module.add_reducer("unnamed", ProductType::from([T::U8, T::String]));
    module.add_reducer("sourceName", ProductType::unit());
    module.add_lifecycle_reducer(Lifecycle::OnConnect, "hello", ProductType::unit());
    module.add_procedure("add_up", fields([("numbers", T::array(T::U64))]), T::U64);
    module.add_procedure("find_point", ProductType::unit(), T::option(point));

    let mut names = ExplicitNames::default();
    names.insert_table("tick", "Tock");
    names.insert_function("sourceName", "wire_name");
    module.add_explicit_names(names);
    RawModuleDef::V10(module.finish())
}

/// Names that stand for themselves, and what came with extras in 1.x.
pub(super) fn version_9() -> RawModuleDef {
    let mut module = RawModuleDefV9Builder::new();
    let point = T::product([("posX", T::F32), ("pos_y", T::F64)]);
    let point = T::Ref(module.add_algebraic_type([], "point_2d", point, true));
    let row = fields([
        ("Id", T::U64),
        ("ownerIdentity", T::identity()),
        ("place", point.clone()),
        ("item2", T::option(T::U8)),
    ]);
    module
        .build_table_with_new_type("UserItem", row, true)
        .with_access(TableAccess::Public)
        .with_auto_inc_primary_key(0)
        .with_unique_constraint(0)
        .with_index_no_accessor_name(btree(0))
        .with_index(btree([1, 0]), "owner_and_id")
        .finish();
    module
        .build_table_with_new_type("hidden", fields([("text", T::String)]), true)
        .with_access(TableAccess::Private)
        .finish();
    module.add_reducer("init", ProductType::unit(), Some(Lifecycle::Init));
    module.add_reducer(
        "AddItem",
        fields([("at", point.clone()), ("itemKind2", T::U8)]),
        None,
    );
    module.add_procedure("measure", ProductType::unit(), T::F64);
    module.add_view("mine", 0, true, false, ProductType::unit(), T::array(point));
    RawModuleDef::V9(module.finish())
}

/// Types that contain themselves, alone and by way of others.
pub(super) fn recursive() -> RawModuleDef {
    let mut module = RawModuleDefV10Builder::new();
    module.set_case_conversion_policy(CaseConversionPolicy::None);
    // 0 to 4, by the order in which they are added.
    let tree = T::product([
        ("value", T::I64),
        ("children", T::array(to(0))),
        ("parentName", T::option(T::String)),
        ("first_child", T::option(to(0))),
    ]);
    module.add_algebraic_type([], "Tree", tree, true);
    let expression = T::sum([
        ("Nil", T::unit()),
        ("Literal", T::U256),
        (
            "Pair",
            T::product([("left", T::array(to(1))), ("right", T::array(to(1)))]),
        ),
        ("Block", to(2)),
        ("Fallible", T::result(T::array(to(1)), T::String)),
        ("At", T::timestamp()),
        ("Raw", T::bytes()),
    ]);
    module.add_algebraic_type([], "Expression", expression, true);
    let block = T::product([("lines", T::array(to(1))), ("by", T::identity())]);
    module.add_algebraic_type(["syntax".into()], "Block", block, true);
    // Names that the module does not give.
    let forest = T::product([
        ("trees", T::array(to(0))),
        ("kind", to(5)),
        ("Maybe", to(6)),
    ]);
    module.add_algebraic_type([], "Forest", forest, true);
    module.add_algebraic_type([], "Type5", T::product([("x", T::U8)]), true);
    let _ = module.add(std::any::TypeId::of::<u8>(), None, |_| {
        T::sum([("A", T::unit()), ("B", T::U8)])
    });
    let _ = module.add(std::any::TypeId::of::<u16>(), None, |_| T::option(to(0)));

    let row = fields([
        ("id", T::U32),
        ("the_tree", to(0)),
        ("expression", to(1)),
        ("forest", to(3)),
        ("maybe_tree", T::option(to(0))),
    ]);
    module
        .build_table_with_new_type("grown", row, true)
        .with_primary_key(0)
        .with_unique_constraint(0)
        .finish();
    module.add_reducer(
        "plant",
        fields([("tree", to(0)), ("others", T::array(to(3)))]),
    );
    RawModuleDef::V10(module.finish())
}

/// Names that mean something to a language, or to the text that is written around them.
pub(super) fn keywords() -> RawModuleDef {
    let mut module = RawModuleDefV10Builder::new();
    let kind = T::sum([
        ("self", T::unit()),
        ("type", T::U8),
        ("None", T::unit()),
        ("Ok", T::String),
    ]);
    let kind = T::Ref(module.add_algebraic_type([], "self", kind, true));
    let row = fields([
        ("type", T::U64),
        ("self", T::String),
        ("Fn", kind.clone()),
        ("count", T::U8),
        ("iter", T::option(kind.clone())),
    ]);
    let row = module.add_algebraic_type([], "Match", T::Product(row), true);
    module
        .build_table("match", row)
        .with_primary_key(0)
        .with_unique_constraint(0)
        .with_unique_constraint(1)
        .with_unique_constraint(3)
        .with_index(btree(0), "match_type_idx_btree", "type")
        .finish();
    // Another table with the same rows.
    module.build_table("async", row).with_event(true).finish();
    module.add_reducer(
        "loop",
        fields([
            ("type", T::U64),
            ("self", T::Ref(row)),
            ("callback", kind),
            ("bytes", T::bytes()),
            ("value", T::U8),
        ]),
    );
    module.add_reducer("type", ProductType::unit());
    module.add_procedure("move", fields([("crate", T::U8)]), T::unit());
    RawModuleDef::V10(module.finish())
}

/// No tables, types or reducers.
pub(super) fn empty() -> RawModuleDef {
    RawModuleDef::V10(RawModuleDefV10Builder::new().finish())
}
