//! `docs/ABI.md` against the code: it has a line for each import, the line has each error number
//! that the ABI documents for it, and each test that it names is there.

use crate::repository::{files, read};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = "docs/ABI.md";
const IMPORTS: &str = "module-host/src/imports/mod.rs";

/// The error numbers that `spacetimedb-bindings-sys` 2.10.1 documents for each import, and 16, which
/// it leaves out.
const DOCUMENTED: &[(&str, &[u32])] = &[
    ("table_id_from_name", &[2, 4]),
    ("index_id_from_name", &[2, 5]),
    ("datastore_table_row_count", &[2, 4]),
    ("datastore_table_scan_bsatn", &[2, 4]),
    ("datastore_index_scan_range_bsatn", &[2, 5, 10, 3]),
    ("datastore_btree_scan_bsatn", &[2, 5, 10, 3]),
    ("datastore_delete_by_index_scan_range_bsatn", &[2, 5, 10, 3]),
    ("datastore_delete_by_btree_scan_bsatn", &[2, 5, 10, 3]),
    ("datastore_delete_all_by_eq_bsatn", &[2, 4, 3]),
    ("row_iter_bsatn_advance", &[6, 11]),
    ("row_iter_bsatn_close", &[6]),
    ("datastore_insert_bsatn", &[2, 4, 3, 16, 12, 13]),
    ("datastore_update_bsatn", &[2, 4, 5, 14, 3, 16, 15, 12, 13]),
    ("volatile_nonatomic_schedule_immediate", &[]),
    ("bytes_sink_write", &[8, 9]),
    ("bytes_source_read", &[8]),
    ("console_log", &[]),
    ("console_timer_start", &[]),
    ("console_timer_end", &[7]),
    ("identity", &[]),
    ("bytes_source_remaining_length", &[8]),
    ("get_jwt", &[2]),
    ("procedure_sleep_until", &[]),
    ("procedure_start_mut_tx", &[17]),
    ("procedure_commit_mut_tx", &[18, 19]),
    ("procedure_abort_mut_tx", &[18, 19]),
    ("procedure_http_request", &[17, 3, 21]),
    ("datastore_index_scan_point_bsatn", &[2, 5, 3, 10]),
    ("datastore_delete_by_index_scan_point_bsatn", &[2, 5, 3, 10]),
    ("datastore_clear", &[2, 4]),
];

/// What the code offers or refuses by name: the import and the version that it is of.
fn in_the_code() -> BTreeMap<String, String> {
    let text = read(IMPORTS);
    let (_, text) = text
        .split_once("pub(crate) const REFUSED")
        .expect("what is refused comes first");
    let (text, _) = text
        .split_once("pub(crate) fn linker")
        .expect("the linker comes last");
    let mut found = BTreeMap::new();
    for piece in text.split('V').skip(1) {
        let Some(minor) = piece.chars().next().filter(char::is_ascii_digit) else {
            continue;
        };
        let Some(name) = piece.split('"').nth(1) else {
            continue;
        };
        found.insert(name.to_string(), format!("spacetime_10.{minor}"));
    }
    assert!(found.len() >= 30, "{IMPORTS} is written in another way");
    found
}

/// The page's lines: the import, the version above it, and the four cells.
fn on_the_page() -> Vec<(String, String, Vec<String>)> {
    let mut version = String::new();
    let mut found = Vec::new();
    for line in read(PAGE).lines() {
        if let Some(title) = line.strip_prefix("## ") {
            version = title.trim_matches('`').to_string();
        }
        if let Some(row) = line.strip_prefix("| `") {
            let (name, _) = row.split_once('(').expect("a signature has parameters");
            let cells = line.trim_matches('|').split('|');
            let cells = cells.map(|cell| cell.trim().to_string()).collect();
            found.push((name.to_string(), version.clone(), cells));
        }
    }
    found
}

/// Every test that there is, by its name.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["module-host/src/tests", "peer/core/src/tests", "tests/it"] {
        for file in files(folder, &[".rs"]) {
            for test in read(&file).split("#[test]\n").skip(1) {
                let name = test
                    .trim_start()
                    .strip_prefix("fn ")
                    .and_then(|test| test.split_once('('));
                found.extend(name.map(|(name, _)| name.to_string()));
            }
        }
    }
    found
}

/// What stands in backticks and is no signature.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|word| !word.contains(['(', '/', '.']))
}

#[test]
fn the_page_has_a_line_for_each_import() {
    let page: BTreeMap<String, String> = on_the_page()
        .into_iter()
        .map(|(name, version, _)| (name, version))
        .collect();
    assert_eq!(page, in_the_code(), "{PAGE} and {IMPORTS}");
    assert_eq!(page.len(), on_the_page().len(), "no import has two lines");
}

#[test]
fn the_page_has_each_error_number_and_a_test_for_it() {
    let documented: BTreeMap<_, _> = DOCUMENTED.iter().copied().collect();
    let tests = tests();
    for (name, _, cells) in on_the_page() {
        let [_, does, errors, ends] = &cells[..] else {
            panic!("{name}: {} cells", cells.len());
        };
        assert!(!does.is_empty(), "{name} does something");
        let mut numbers = Vec::new();
        for entry in errors.split(" · ").chain(ends.split(" · ")) {
            let known = named(entry).filter(|word| tests.contains(*word));
            assert!(known.count() > 0, "{name}: no test for \"{entry}\"");
        }
        for entry in errors.split(" · ") {
            let words = entry.split([' ', ',']).filter(|word| *word != "and");
            numbers.extend(words.map_while(|word| word.parse::<u32>().ok()));
        }
        let expected = documented[name.as_str()];
        assert_eq!(numbers, expected, "{name}: the numbers, in their order");
    }
}

#[test]
fn each_test_that_the_page_names_is_there() {
    let tests = tests();
    let page = read(PAGE);
    let missing: Vec<&str> = page
        .lines()
        .flat_map(named)
        .filter(|word| word.len() > 20 && word.contains('_') && !tests.contains(*word))
        .filter(|word| !in_the_code().contains_key(*word) && !word.starts_with("spacetimedb"))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}
