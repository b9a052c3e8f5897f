//! A module's schema: as SpacetimeDB's two JSON formats, and in our own plain form for people.

use module_host::{Lifecycle, ModuleDef};
use serde_json::{Value, json};
use spacetimedb_lib::RawModuleDef;
use spacetimedb_sats::bsatn;
use spacetimedb_sats::serde::SerdeWrapper;
use store::{IndexKind, TableSchema};

use super::schema_v9::to_v9;
use super::schema_v10::to_v10;
use super::words::type_name;

/// A description that was read at publish and cannot be read now, or not be written as JSON.
/// Always ours: a module like that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module's description cannot be shown: {0}")]
pub(crate) struct BadDescription(pub(super) String);

/// `RawModuleDefV9` as SATS-JSON, with canonical names throughout.
///
/// # Errors
/// [`BadDescription`].
pub(crate) fn schema_v9(def: &ModuleDef) -> Result<Value, BadDescription> {
    v9_json(&def.raw)
}

/// `RawModuleDefV10` as SATS-JSON, with the names of the source and those that the module gives
/// explicitly.
///
/// # Errors
/// [`BadDescription`].
pub(crate) fn schema_v10(def: &ModuleDef) -> Result<Value, BadDescription> {
    v10_json(&def.raw)
}

/// Tables with columns and keys, reducers with parameters, types as people would declare them.
pub(crate) fn schema_plain(def: &ModuleDef) -> Value {
    let reducers = def.reducers.iter().map(|reducer| {
        let parameters = reducer
            .params
            .iter()
            .map(|(name, ty)| json!({ "name": name, "type": type_name(ty) }))
            .collect::<Vec<_>>();
        json!({
            "name": reducer.name,
            "parameters": parameters,
            "lifecycle": reducer.lifecycle.map(lifecycle_name),
            "client_callable": reducer.client_callable,
        })
    });
    json!({
        "tables": def.tables.iter().map(plain_table).collect::<Vec<_>>(),
        "reducers": reducers.collect::<Vec<_>>(),
    })
}

fn plain_table(table: &TableSchema) -> Value {
    let name_of = |place: u16| table.columns[usize::from(place)].name.as_str();
    let columns = table.columns.iter().zip(0_u16..).map(|(column, place)| {
        let alone = |columns: &[u16]| columns == [place];
        json!({
            "name": column.name,
            "type": type_name(&column.ty),
            "primary_key": table.primary_key == Some(place),
            "unique": table.indexes.iter().any(|index| index.unique && alone(&index.columns)),
            "auto_inc": table.auto_inc.contains(&place),
        })
    });
    let indexes = table.indexes.iter().map(|index| {
        json!({
            "name": index.name,
            "columns": index.columns.iter().map(|place| name_of(*place)).collect::<Vec<_>>(),
            "unique": index.unique,
            "kind": match index.kind {
                IndexKind::BTree => "btree",
                IndexKind::Hash => "hash",
                IndexKind::Direct => "direct",
            },
        })
    });
    json!({
        "name": table.name,
        "public": table.public,
        "event": table.event,
        "columns": columns.collect::<Vec<_>>(),
        "indexes": indexes.collect::<Vec<_>>(),
    })
}

const fn lifecycle_name(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Init => "init",
        Lifecycle::ClientConnected => "client_connected",
        Lifecycle::ClientDisconnected => "client_disconnected",
    }
}

fn v9_json(raw: &[u8]) -> Result<Value, BadDescription> {
    let module = to_v9(decode(raw)?)?;
    json_of(SerdeWrapper::from_ref(&module))
}

fn v10_json(raw: &[u8]) -> Result<Value, BadDescription> {
    let module = to_v10(decode(raw)?)?;
    json_of(SerdeWrapper::from_ref(&module))
}

fn decode(raw: &[u8]) -> Result<RawModuleDef, BadDescription> {
    bsatn::from_slice(raw).map_err(|error| BadDescription(error.to_string()))
}

fn json_of(module: &impl serde::Serialize) -> Result<Value, BadDescription> {
    serde_json::to_value(module).map_err(|error| BadDescription(error.to_string()))
}

#[cfg(test)]
mod tests {
    use spacetimedb_lib::db::raw_def::v9::{
        Lifecycle, RawModuleDefV9, RawModuleDefV9Builder, TableAccess, btree,
    };
    use spacetimedb_lib::db::raw_def::v10::{ExplicitNames, RawModuleDefV10Builder};
    use spacetimedb_sats::{AlgebraicType, AlgebraicValue, ProductType};

    use super::*;

    /// A module of 2.x whose names all change on their way to canonical ones.
    fn module_v10() -> Vec<u8> {
        let mut builder = RawModuleDefV10Builder::new();
        let colour = builder.add_algebraic_type(
            ["Shop".into()],
            "petColour",
            AlgebraicType::simple_enum(["DarkRed", "Blue"].into_iter()),
            false,
        );
        let columns = ProductType::from([
            ("petId", AlgebraicType::U64),
            ("shownName", AlgebraicType::String),
            ("colour", AlgebraicType::option(AlgebraicType::Ref(colour))),
            ("bornAt", AlgebraicType::timestamp()),
        ]);
        builder
            .build_table_with_new_type("Pet1", columns, false)
            .with_access(TableAccess::Public)
            .with_auto_inc_primary_key(0)
            .with_index_no_accessor_name(btree([1, 2]), "Pet1_shownName_colour_idx_btree")
            .with_unique_constraint([1, 0])
            .with_default_column_value(3, AlgebraicValue::from(7_i64))
            .finish();
        let named = ProductType::from([("other", AlgebraicType::Bool)]);
        builder
            .build_table_with_new_type("Named", named, false)
            .with_access(TableAccess::Private)
            .finish();
        builder.add_reducer(
            "feedPet",
            ProductType::from([("howMuch", AlgebraicType::Ref(colour))]),
        );
        builder.add_lifecycle_reducer(Lifecycle::Init, "onInit", ProductType::unit());
        let mut names = ExplicitNames::default();
        names.insert_table("Named", "TheName");
        names.insert_index("Pet1_shownName_colour_idx_btree", "by_name");
        builder.add_explicit_names(names);
        bsatn::to_vec(&RawModuleDef::V10(builder.finish())).expect("it can be encoded")
    }

    fn module_v9() -> Vec<u8> {
        let mut builder = RawModuleDefV9Builder::new();
        let columns = ProductType::from([
            ("petId", AlgebraicType::U64),
            ("bornAt", AlgebraicType::I64),
        ]);
        builder
            .build_table_with_new_type("Pet1", columns, false)
            .with_auto_inc_primary_key(0)
            .with_unique_constraint(0)
            .with_index(btree(0), "petId")
            .with_default_column_value(1, AlgebraicValue::from(7_i64))
            .finish();
        builder.add_reducer(
            "feedPet",
            ProductType::from([("a", AlgebraicType::U8)]),
            None,
        );
        builder.add_reducer("start", ProductType::unit(), Some(Lifecycle::Init));
        bsatn::to_vec(&RawModuleDef::V9(builder.finish())).expect("it can be encoded")
    }

    fn keys(value: &Value) -> Vec<&str> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn version_9_is_canonical_throughout() {
        let json = v9_json(&module_v10()).expect("it can be shown");
        assert_eq!(
            keys(&json),
            [
                "typespace",
                "tables",
                "reducers",
                "types",
                "misc_exports",
                "row_level_security"
            ]
        );
        assert_eq!(
            json["typespace"]["types"][0]["Sum"]["variants"][0]["name"],
            json!({"some": "darkRed"})
        );
        let columns = &json["typespace"]["types"][1]["Product"]["elements"];
        let names: Vec<_> = (0..4)
            .map(|at| columns[at]["name"]["some"].as_str())
            .collect();
        assert_eq!(
            names,
            [
                Some("pet_id"),
                Some("shown_name"),
                Some("colour"),
                Some("born_at")
            ]
        );
        let time = &columns[3]["algebraic_type"]["Product"]["elements"][0]["name"];
        assert_eq!(
            time,
            &json!({"some": "__timestamp_micros_since_unix_epoch__"})
        );
        let option = &columns[2]["algebraic_type"]["Sum"]["variants"][0];
        assert_eq!(
            option,
            &json!({"name": {"some": "some"}, "algebraic_type": {"Ref": 0}})
        );
        let pet = &json["tables"][0];
        assert_eq!(pet["name"], "pet_1");
        assert_eq!(pet["primary_key"], json!([0]));
        assert_eq!(pet["table_access"], json!({"Public": []}));
        assert_eq!(pet["indexes"][0]["name"], json!({"some": "by_name"}));
        assert_eq!(
            pet["constraints"][0]["name"],
            json!({"some": "pet_1_pet_id_key"})
        );
        assert_eq!(
            pet["constraints"][1]["name"],
            json!({"some": "pet_1_shown_name_pet_id_key"})
        );
        assert_eq!(
            pet["sequences"][0]["name"],
            json!({"some": "pet_1_pet_id_seq"})
        );
        assert_eq!(pet["schedule"], json!({"none": []}));
        assert_eq!(json["tables"][1]["name"], "TheName");
        assert_eq!(json["tables"][1]["table_access"], json!({"Private": []}));
        assert_eq!(json["reducers"][0]["name"], "feed_pet");
        assert_eq!(
            json["reducers"][0]["params"]["elements"][0]["name"],
            json!({"some": "how_much"})
        );
        assert_eq!(json["reducers"][1]["name"], "on_init");
        assert_eq!(
            json["reducers"][1]["lifecycle"],
            json!({"some": {"Init": []}})
        );
        let types: Vec<_> = (0..3)
            .map(|at| json["types"][at]["name"]["name"].as_str())
            .collect();
        assert_eq!(types, [Some("PetColour"), Some("Pet1"), Some("Named")]);
        assert_eq!(json["types"][0]["name"]["scope"], json!(["Shop"]));
        assert_eq!(
            json["misc_exports"],
            json!([{"ColumnDefaultValue": {"table": "pet_1", "col_id": 3, "value": "0700000000000000"}}])
        );
    }

    #[test]
    fn version_10_is_as_the_module_says() {
        let json = v10_json(&module_v10()).expect("it can be shown");
        let sections = json["sections"].as_array().expect("sections");
        let section = |name: &str| {
            let found = sections.iter().find_map(|section| section.get(name));
            found.unwrap_or_else(|| panic!("no {name} in {sections:?}"))
        };
        assert_eq!(section("Tables")[0]["source_name"], "Pet1");
        assert_eq!(
            section("ExplicitNames")["entries"][0],
            json!({"Table": {"source_name": "Named", "canonical_name": "TheName"}})
        );
        assert_eq!(section("Reducers")[0]["source_name"], "feedPet");
    }

    #[test]
    fn modules_of_1_x_are_shown_in_both_versions() {
        let json = v9_json(&module_v9()).expect("it can be shown");
        assert_eq!(
            json["tables"][0]["name"], "Pet1",
            "names stand for themselves"
        );
        assert_eq!(
            json["tables"][0]["indexes"][0]["name"],
            json!({"some": "Pet1_petId_idx_btree"})
        );
        assert_eq!(
            json["tables"][0]["constraints"][0]["name"],
            json!({"some": "Pet1_petId_key"})
        );
        let later = v10_json(&module_v9()).expect("it can be shown");
        let sections: Vec<_> = later["sections"]
            .as_array()
            .expect("sections")
            .iter()
            .flat_map(|section| keys(section))
            .collect();
        assert_eq!(
            sections,
            [
                "Typespace",
                "Types",
                "Tables",
                "Reducers",
                "LifeCycleReducers",
                "CaseConversionPolicy"
            ]
        );
        let table = &later["sections"][2]["Tables"][0];
        assert_eq!(table["source_name"], "Pet1");
        assert_eq!(table["default_values"][0]["value"], "0700000000000000");
        assert_eq!(
            later["sections"][4]["LifeCycleReducers"],
            json!([{"lifecycle_spec": {"Init": []}, "function_name": "start"}])
        );
        assert_eq!(
            later["sections"][5],
            json!({"CaseConversionPolicy": {"None": []}})
        );
    }

    /// What goes from version 9 to 10 and back says the same.
    #[test]
    fn both_versions_say_the_same() {
        let there = to_v10(decode(&module_v9()).expect("sound")).expect("sound");
        let back = to_v9(RawModuleDef::V10(there)).expect("sound");
        let before = to_v9(decode(&module_v9()).expect("sound")).expect("sound");
        let text = |module: &RawModuleDefV9| json_of(SerdeWrapper::from_ref(module)).expect("JSON");
        assert_eq!(text(&back), text(&before));
    }

    #[test]
    fn damaged_descriptions_are_errors() {
        assert!(v9_json(&[]).is_err());
        assert!(v10_json(&[9]).is_err());
    }
}
