//! What is written for whole modules, compared with the files in `golden/`.
//!
//! `TOMBOLO_WRITE_GOLDEN=1` writes them anew. They are read by people and by the compiler of
//! TypeScript, so a change of them is a change of what users compile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use spacetimedb_lib::RawModuleDef;
use spacetimedb_sats::{AlgebraicType, bsatn};

use super::modules;
use crate::{Files, Language, LocalTable, generate};

fn check(name: &str, module: RawModuleDef) {
    check_with(name, module, &[]);
}

fn check_with(name: &str, module: RawModuleDef, local: &[LocalTable]) {
    let raw = bsatn::to_vec(&module).unwrap();
    for (language, folder) in [(Language::Typescript, ""), (Language::Rust, "rust")] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("golden")
            .join(folder)
            .join(name);
        let files = generate(language, &raw, local).unwrap();
        let again = generate(language, &raw, local).unwrap();
        assert_eq!(again, files, "twice the same");
        check_files(&folder, &files);
    }
}

fn check_files(folder: &Path, files: &Files) {
    let name = folder.display();
    if std::env::var_os("TOMBOLO_WRITE_GOLDEN").is_some() {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let golden = read(folder);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        golden.keys().collect::<Vec<_>>(),
        "the files of {name}"
    );
    for (file, text) in files {
        let different = text
            .lines()
            .zip(golden[file].lines())
            .find(|(is, was)| is != was);
        assert!(
            golden[file] == *text,
            "{name}/{file} is not as it was: {different:?}; TOMBOLO_WRITE_GOLDEN=1 accepts that"
        );
    }
}

fn read(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let file = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    paths.map(file).collect()
}

#[test]
fn chat() {
    check("chat", modules::chat());
}

#[test]
fn every_type_index_and_function() {
    check("everything", modules::everything());
}

#[test]
fn a_module_of_version_9() {
    check("version_9", modules::version_9());
}

#[test]
fn types_that_contain_themselves() {
    check("recursive", modules::recursive());
}

#[test]
fn names_that_mean_something() {
    check("keywords", modules::keywords());
}

#[test]
fn a_module_with_nothing_in_it() {
    check("empty", modules::empty());
}

#[test]
fn tables_of_the_peer() {
    let text = || AlgebraicType::String;
    let local = [
        LocalTable {
            name: "st_cut".to_owned(),
            columns: vec![
                ("height".to_owned(), AlgebraicType::U64),
                ("state_root".to_owned(), text()),
            ],
            keyed: true,
        },
        LocalTable {
            name: "st_invocation".to_owned(),
            columns: vec![
                ("caller".to_owned(), AlgebraicType::identity()),
                ("timestamp".to_owned(), AlgebraicType::timestamp()),
                ("error".to_owned(), AlgebraicType::option(text())),
            ],
            keyed: false,
        },
    ];
    check_with("local", modules::empty(), &local);
}
