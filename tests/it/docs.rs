//! What the documents say has to be there: paths, links, words. And nothing in the repository
//! names a folder of one particular machine.

use crate::repository::{files, read, root};

/// The words of the glossary: one an idea, in code, messages and documents alike.
const WORDS: &[&str] = &[
    "database",
    "peer",
    "author",
    "caller",
    "invocation",
    "entry",
    "parents, heads",
    "position",
    "cut",
    "tail",
    "base, overlay",
    "sweep",
    "state root",
];

/// First parts of paths that are not in the repository: built, or in a data directory.
const ELSEWHERE: &[&str] = &["target", "blobs", "compiled", "databases", "node_modules"];

fn documents() -> Vec<String> {
    let mut documents = files("docs", &[".md"]);
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        if root().join(name).exists() {
            documents.push(name.to_string());
        }
    }
    assert!(
        documents.len() > 5,
        "the documents are not where this test looks"
    );
    documents
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut missing = Vec::new();
    for document in documents() {
        for path in paths_in(&read(&document)) {
            let beside = root()
                .join(&document)
                .parent()
                .expect("a file lies in a folder")
                .join(&path);
            if !root().join(&path).exists() && !beside.exists() {
                missing.push(format!("{document}: {path}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "named and not there:\n{}",
        missing.join("\n")
    );
}

#[test]
fn the_glossary_has_every_word() {
    let glossary = read("docs/GLOSSARY.md");
    for word in WORDS {
        assert!(
            glossary
                .lines()
                .any(|line| line.starts_with(&format!("| {word} |"))),
            "docs/GLOSSARY.md has no line for \"{word}\""
        );
    }
}

#[test]
fn the_architecture_names_every_package() {
    let architecture = read("docs/ARCHITECTURE.md");
    for folder in [
        "plants",
        "sync-protocol",
        "store",
        "module-host",
        "bindings",
        "peer/core",
        "peer",
        "simulator",
        "tests",
        "tests/fuzz-targets",
        "fuzz",
        "benchmarks",
        "xtask",
        "examples/modules",
        "examples/mesh",
    ] {
        assert!(
            architecture.contains(&format!("`{folder}`")),
            "docs/ARCHITECTURE.md does not name `{folder}`"
        );
    }
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let mut sources = String::new();
    for folder in ["sync-protocol", "store", "peer", "tests"] {
        for file in files(folder, &[".rs"]) {
            sources.push_str(&read(&file));
        }
    }
    let page = read("docs/SECURITY.md");
    let named = tests_in(&page);
    assert!(named.len() > 60, "the tables are not where this test looks");
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
}

/// What stands in the last column of a table under a heading `test`.
fn tests_in(page: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            in_table = false;
        } else if cells.last() == Some(&"test") {
            in_table = true;
        } else if in_table {
            let last = cells.last().copied().unwrap_or_default();
            named.extend(last.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    named
}

#[test]
fn every_hazard_has_tests_that_exist() {
    let sources: Vec<String> = files(".", &[".rs"]).iter().map(|file| read(file)).collect();
    let document = read("docs/DETERMINISM.md");
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let mut hazards = 0;
    for row in rows.skip(1) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [hazard, .., tests] = cells[..] else {
            panic!("a row without cells: {row}");
        };
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{hazard}: no test is named");
        for test in named {
            let is = format!("fn {test}(");
            assert!(
                sources.iter().any(|source| source.contains(&is)),
                "{hazard}: there is no test {test}"
            );
        }
        hazards += 1;
    }
    assert!(
        hazards >= 20,
        "the table of hazards is not where this test looks"
    );
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    // In two parts, so that this file does not name them either.
    let machine_folders = ["/ro", "/ho", "/wo", "/Us"]
        .iter()
        .zip(["ot/", "me/", "rk/", "ers/"])
        .map(|(start, end)| format!("{start}{end}"))
        .collect::<Vec<_>>();
    for file in files(
        ".",
        &[
            ".md",
            ".rs",
            ".toml",
            ".lock",
            ".json",
            ".ts",
            "source-hash",
        ],
    ) {
        let text = read(&file);
        for (number, line) in text.lines().enumerate() {
            for folder in &machine_folders {
                // In the middle of a path it is ours; at its start it is a machine's.
                let named = line.match_indices(folder.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| {
                        before.is_alphanumeric() || ".>_-}".contains(before)
                    })
                });
                assert!(!named, "{file}:{}: names {folder}", number + 1);
            }
        }
    }
}

/// What is written as a path: in backticks with a slash or a file's ending, or the target of a
/// link that leads into the repository.
fn paths_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2);
        found.extend(quoted.filter(|word| is_path(word)).map(str::to_string));
        let links = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links {
            let link = link.split('#').next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:") {
                found.push(link.to_string());
            }
        }
    }
    found
}

fn is_path(word: &str) -> bool {
    let letters = word
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter));
    let first = word.split('/').next().unwrap_or_default();
    let named = word.contains('/')
        || [".rs", ".md", ".toml"]
            .iter()
            .any(|end| word.ends_with(end));
    letters
        && named
        && !word.starts_with(['/', '-'])
        && !ELSEWHERE.contains(&first)
        && !is_data_dir_file(word)
}

/// Files of a data directory are named without it where the text is about one.
fn is_data_dir_file(word: &str) -> bool {
    word == "peer.toml"
}

#[test]
fn paths_are_found_where_they_are_written() {
    let text = "see `store/src`, `Entry`, [the words](GLOSSARY.md#a) and `/v1/ping`\n```\n`no/where`\n```\n`a b/c`";
    assert_eq!(paths_in(text), ["store/src", "GLOSSARY.md"]);
}
