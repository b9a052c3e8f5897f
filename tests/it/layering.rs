//! The staircase of `docs/ARCHITECTURE.md`, kept true: who may use whom, and who must not know
//! what.

use crate::repository::{files, read, root};
use std::collections::{BTreeMap, BTreeSet};

/// Each package of the workspace with its folder and those of ours that it may use.
const MAY_USE: &[(&str, &str, &[&str])] = &[
    // Knows nobody, and is there only under the feature of its name.
    ("plants", "plants", &[]),
    ("sync-protocol", "sync-protocol", &["plants"]),
    ("client-messages", "client-messages", &[]),
    ("store", "store", &["plants", "sync-protocol"]),
    ("documents", "documents", &[]),
    (
        "module-host",
        "module-host",
        &["plants", "sync-protocol", "store", "documents"],
    ),
    // Client code follows from a definition alone.
    ("bindings", "bindings", &["module-host"]),
    (
        "peer-core",
        "peer/core",
        &[
            "plants",
            "sync-protocol",
            "client-messages",
            "store",
            "module-host",
        ],
    ),
    (
        "peer",
        "peer",
        &[
            "sync-protocol",
            "client-messages",
            "store",
            "module-host",
            "bindings",
            "peer-core",
        ],
    ),
    (
        "simulator",
        "simulator",
        &[
            "plants",
            "sync-protocol",
            "client-messages",
            "store",
            "module-host",
            "peer-core",
        ],
    ),
    (
        "whole-system",
        "tests",
        &[
            "sync-protocol",
            "client-messages",
            "store",
            "module-host",
            "peer-core",
        ],
    ),
    // Compiles the modules of `peer-core` and `peer` that read bytes from their own files.
    (
        "fuzz-targets",
        "tests/fuzz-targets",
        &[
            "sync-protocol",
            "client-messages",
            "store",
            "documents",
            "module-host",
        ],
    ),
    (
        "benchmarks",
        "benchmarks",
        &[
            "sync-protocol",
            "client-messages",
            "store",
            "module-host",
            "peer-core",
        ],
    ),
    // Built before anything else, in seconds.
    ("xtask", "xtask", &[]),
];

/// Libraries that would bring into a package what it must not know.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    (
        "sync-protocol",
        &[
            "tokio",
            "libp2p",
            "axum",
            "redb",
            "wasmtime",
            "sqlparser",
            "rand",
            "ureq",
        ],
    ),
    (
        "client-messages",
        &[
            "tokio",
            "libp2p",
            "axum",
            "redb",
            "wasmtime",
            "sqlparser",
            "rand",
            "ureq",
        ],
    ),
    (
        "store",
        &[
            "tokio",
            "libp2p",
            "axum",
            "wasmtime",
            "sqlparser",
            "rand",
            "ureq",
        ],
    ),
    (
        "module-host",
        &[
            "tokio",
            "libp2p",
            "axum",
            "redb",
            "sqlparser",
            "rand",
            "ureq",
        ],
    ),
    (
        "bindings",
        &[
            "tokio",
            "libp2p",
            "axum",
            "redb",
            "wasmtime",
            "sqlparser",
            "rand",
            "ureq",
        ],
    ),
    (
        "peer-core",
        &[
            "tokio",
            "libp2p",
            "libp2p-stream",
            "axum",
            "wasmtime",
            "rand",
            "ureq",
        ],
    ),
    (
        "simulator",
        &[
            "tokio",
            "libp2p",
            "libp2p-stream",
            "axum",
            "wasmtime",
            "ureq",
        ],
    ),
    // Or fuzzers would take a quarter of an hour to build.
    (
        "fuzz-targets",
        &[
            "tokio",
            "libp2p",
            "libp2p-stream",
            "axum",
            "wasmtime",
            "ureq",
        ],
    ),
    ("xtask", &["tokio", "libp2p", "wasmtime", "redb"]),
];

/// Folders whose code exists to touch the outside world, so may ask it for the time.
const MAY_TOUCH_THE_WORLD: &[&str] = &[
    "peer/src/",
    "xtask/",
    "tests/",
    "benchmarks/",
    "examples/mesh/src/world.rs",
];

#[test]
fn every_package_of_the_workspace_has_its_step() {
    let members: BTreeSet<String> = members();
    let known: BTreeSet<String> = MAY_USE
        .iter()
        .map(|(_, folder, _)| (*folder).to_string())
        .collect();
    assert_eq!(
        members, known,
        "a new package needs its line in MAY_USE and in docs/ARCHITECTURE.md"
    );
    for (name, folder, _) in MAY_USE {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        assert!(
            manifest
                .lines()
                .any(|line| line == format!("name = \"{name}\"")),
            "{folder} does not hold the package {name}"
        );
    }
}

#[test]
fn a_package_uses_only_those_above_it() {
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, ..)| *name).collect();
    for (name, folder, allowed) in MAY_USE {
        for used in dependencies(folder)
            .keys()
            .filter(|used| ours.contains(used.as_str()))
        {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses {used}, which the staircase does not allow"
            );
        }
    }
}

#[test]
fn no_package_uses_what_it_must_not_know() {
    for (name, banned) in MUST_NOT_USE {
        let (_, folder, _) = MAY_USE
            .iter()
            .find(|(other, ..)| other == name)
            .expect("the package has a step");
        for (used, section) in dependencies(folder) {
            // A test may hold the package against something real.
            if section != "dev-dependencies" {
                assert!(
                    !banned.contains(&used.as_str()),
                    "{name} must not know {used}"
                );
            }
        }
    }
}

#[test]
fn dependencies_are_named_once_in_the_root() {
    for (name, folder, _) in MAY_USE {
        for line in dependency_lines(folder) {
            assert!(
                line.contains("workspace = true"),
                "{name}: `{line}` belongs into [workspace.dependencies], with its reason"
            );
        }
    }
}

#[test]
fn only_drivers_lift_the_ban_on_clocks_and_threads() {
    let lifted = "clippy::disallowed_methods";
    for file in files(".", &[".rs"]) {
        // Programs for people who measure, and tests, may keep a real clock; what is shipped may not.
        let beside = file.contains("/examples/") || file.contains("/tests/");
        let driver = MAY_TOUCH_THE_WORLD
            .iter()
            .any(|folder| file.starts_with(folder));
        if beside || driver {
            continue;
        }
        let text = read(&file);
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(
            !shipped.contains(lifted),
            "{file} lifts the ban on clocks, threads and sleep"
        );
    }
}

/// The one exception has a decision record: `docs/decisions/0013-compiled-modules-on-disk.md`.
#[test]
fn only_loading_compiled_modules_is_unsafe() {
    for (name, folder, _) in MAY_USE {
        let roots = ["src/lib.rs", "src/main.rs", "it/main.rs"];
        let roots = roots.map(|root| format!("{folder}/{root}"));
        let there: Vec<&String> = roots.iter().filter(|at| root().join(at).exists()).collect();
        assert!(!there.is_empty(), "{name} has a root");
        for at in there {
            let forbids = read(at).contains("#![forbid(unsafe_code)]");
            assert_eq!(forbids, *name != "module-host", "{at}");
        }
    }
    let word = ["unsafe", " {"].concat();
    let uses: Vec<String> = files("module-host", &[".rs"])
        .into_iter()
        .flat_map(|file| vec![file.clone(); read(&file).matches(&word).count()])
        .collect();
    assert_eq!(uses, ["module-host/src/artifact.rs"]);
}

fn members() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("the workspace lists its members")
        .0;
    list.split(',')
        .map(|member| member.trim().trim_matches('"').to_string())
        .filter(|member| !member.is_empty())
        .collect()
}

/// Names of what a package depends on, with the section that says so; "dependencies" wins.
fn dependencies(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (section, line) in sections(folder) {
        let name = line
            .split(['=', '.', ' '])
            .next()
            .expect("a line has a start")
            .trim_matches('"')
            .to_string();
        let section = section
            .rsplit('.')
            .next()
            .expect("a section has a name")
            .to_string();
        if found.get(&name).is_none_or(|known| known != "dependencies") {
            found.insert(name, section);
        }
    }
    found
}

fn dependency_lines(folder: &str) -> Vec<String> {
    sections(folder).into_iter().map(|(_, line)| line).collect()
}

/// Lines below headings that end in `dependencies`, with the heading.
fn sections(folder: &str) -> Vec<(String, String)> {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(heading) = line.strip_prefix('[') {
            section = heading.trim_end_matches(']').to_string();
            assert!(
                !section.contains("dependencies."),
                "{folder}: write [{section}] as one line, this test reads lines"
            );
        } else if section.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            found.push((section.clone(), line.to_string()));
        }
    }
    found
}
