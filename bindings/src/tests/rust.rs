//! What is said of Rust alone: how it is laid out, and what it cannot be written for. Whether it compiles
//! with the client library is found out by `tests/rust-client`.

use std::fs;
use std::path::Path;
use std::process::Command;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::btree;
use spacetimedb_lib::db::raw_def::v10::{CaseConversionPolicy, RawModuleDefV10Builder};
use spacetimedb_sats::{AlgebraicType as T, AlgebraicTypeRef, ProductType};

use crate::{Files, Language, generate_of};

fn generated(build: impl FnOnce(&mut RawModuleDefV10Builder)) -> Result<Files, String> {
    let mut module = RawModuleDefV10Builder::new();
    module.set_case_conversion_policy(CaseConversionPolicy::None);
    build(&mut module);
    let module = RawModuleDef::V10(module.finish());
    generate_of(Language::Rust, module, &[]).map_err(|error| error.to_string())
}

/// Holds the files against what rustfmt makes of them.
fn check_layout(folder: &Path) {
    let output = Command::new("rustfmt")
        .args(["--edition", "2024", "--check"])
        .arg(folder.join("mod.rs"))
        .output()
        .expect("rustfmt comes by rust-toolchain.toml");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", folder.display());
}

#[test]
fn golden_files_are_laid_out_as_rustfmt_does() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/rust");
    let mut count = 0;
    for folder in fs::read_dir(golden).unwrap() {
        check_layout(&folder.unwrap().path());
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn names_of_any_length_are_laid_out_as_rustfmt_does() {
    let scratch = tempfile::tempdir().unwrap();
    for length in (1..=31).rev() {
        let name = |prefix: &str| format!("{prefix}{}", "x".repeat(length));
        let files = generated(|module| {
            let columns = ["a", "b", "c"].map(|column| (name(column), T::identity()));
            let row = ProductType::from(columns);
            for (table, event) in [("t", false), ("e", true), ("u", false)] {
                module
                    .build_table_with_new_type(name(table), row.clone(), true)
                    .with_primary_key(0)
                    .with_unique_constraint(0)
                    .with_unique_constraint(1)
                    .with_index(btree(2), name("index"), name("i"))
                    .with_event(event)
                    .finish();
            }
            for count in 0..4 {
                let params = row.elements[..count.min(3)].iter().cloned();
                module.add_reducer(name(&format!("r{count}")), params.collect::<ProductType>());
                let params = row.elements[..count.min(3)].iter().cloned();
                let params = params.collect::<ProductType>();
                module.add_procedure(name(&format!("p{count}")), params, T::option(T::U8));
            }
        });
        let folder = scratch.path().join(length.to_string());
        fs::create_dir(&folder).unwrap();
        for (file, text) in files.unwrap() {
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{file}");
            fs::write(folder.join(file), text).unwrap();
        }
        check_layout(&folder);
    }
}

#[test]
fn files_are_sorted_as_rustfmt_does() {
    let files = generated(|module| {
        for name in [
            "u8", "u16", "u128", "u8x", "u", "ab", "aB", "a", "a_c", "remoteA", "z",
        ] {
            module.add_reducer(name, ProductType::unit());
        }
    });
    let scratch = tempfile::tempdir().unwrap();
    for (file, text) in files.unwrap() {
        fs::write(scratch.path().join(file), text).unwrap();
    }
    check_layout(scratch.path());
}

#[test]
fn two_things_of_one_name() {
    let fields = |fields: [(&'static str, T); 2]| ProductType::from(fields);
    let twice = || fields([("sentAt", T::U8), ("sent_at", T::U8)]);
    let refused = |build: &dyn Fn(&mut RawModuleDefV10Builder), what: &str, name: &str| {
        let why = format!("two {what} would be called {name} in client code: rename one of them");
        assert_eq!(generated(build).unwrap_err(), why);
    };
    let table = |module: &mut RawModuleDefV10Builder, name: &'static str| {
        let row = fields([("x", T::U8), ("y", T::U8)]);
        module.build_table_with_new_type(name, row, true).finish();
    };
    let nothing = ProductType::unit;
    refused(
        &|module| {
            let _ = module
                .build_table_with_new_type("t", twice(), true)
                .finish();
        },
        "columns of table t",
        "sent_at",
    );
    refused(
        &|module| {
            table(module, "myTable");
            table(module, "my_table");
        },
        "tables",
        "my_table",
    );
    refused(
        &|module| module.add_reducer("f", twice()),
        "parameters of f",
        "sent_at",
    );
    refused(
        &|module| {
            module.add_reducer("f", ProductType::from([("x", T::Product(twice()))]));
        },
        "fields of FArgsPart1",
        "sent_at",
    );
    // What is in the folder's root has its name from one pool.
    refused(
        &|module| {
            table(module, "message");
            module.add_reducer("message_table", nothing());
        },
        "things",
        "message_table",
    );
    refused(
        &|module| {
            table(module, "message");
            module.add_algebraic_type([], "MessageTableHandle", T::unit(), true);
        },
        "things",
        "MessageTableHandle",
    );
    for name in ["DbConnection", "Result", "RemoteTables"] {
        refused(
            &|module| {
                module.add_algebraic_type([], name, T::unit(), true);
            },
            "things",
            name,
        );
    }
}

#[test]
fn what_rust_cannot_have() {
    let to = |reference| T::Ref(AlgebraicTypeRef(reference));
    let chain = generated(|module| {
        module.add_algebraic_type([], "Chain", T::option(to(0)), true);
    });
    assert_eq!(
        chain.unwrap_err(),
        "client code for Chain, which contains itself and is neither a product nor a sum is not supported"
    );
    let long = generated(|module| module.add_reducer("x".repeat(246), ProductType::unit()));
    assert_eq!(
        long.unwrap_err(),
        "the definition of the module does not make sense: a file for one of its names would be called by 257 bytes"
    );
}

/// Whatever a module says, it says in literals.
#[test]
fn text_of_a_module_does_not_become_code() {
    let files = generated(|module| {
        let row = ProductType::from([("a\"; /*\n", T::U8)]);
        module
            .build_table_with_new_type("t\";\nfn f() {}\n//", row, true)
            .finish();
    });
    for (file, text) in files.unwrap() {
        let lines = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
        assert_eq!(lines("fn f") + lines("; /*"), 0, "{file}");
    }
}

/// Types that double with each reference would fill the memory if they were written where they are used.
#[test]
fn text_grows_with_the_definition_only() {
    let files = generated(|module| {
        for next in 1..=200 {
            let to = T::Ref(AlgebraicTypeRef(next));
            let pair = T::product([("a", to.clone()), ("b", to)]);
            module.add_algebraic_type([], format!("Pair{next}"), pair, true);
        }
        module.add_algebraic_type([], "Last", T::U8, true);
    });
    let length: usize = files.unwrap().values().map(String::len).sum();
    assert!(length < 200_000, "{length} bytes");
}
