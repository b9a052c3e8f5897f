//! Every file of the corpus, given to its target: what was once found stays mended.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the package lies two folders below the repository")
        .to_path_buf()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.expect("readable").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_of_the_corpus_is_replayed() {
    for (name, target) in TARGETS {
        let files = files(&repository().join("tests/corpus").join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = fs::read(&file).expect("readable");
            // The name of the file is what a failure needs to say.
            println!("{}", file.display());
            target(&bytes);
            // Cut short and with a bit flipped too: cheap, and without a fuzzer the only mutants.
            for end in 0..bytes.len().min(512) {
                target(&bytes[..end]);
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << (end % 8);
                target(&flipped);
            }
        }
    }
}

/// A seed of a format that has changed reaches nothing behind the first check. With
/// `TOMBOLO_WRITE_SEEDS=1` they are written anew.
#[test]
fn seeds_are_of_the_formats_that_are_spoken() {
    let corpus = repository().join("tests/corpus");
    let mut stale = Vec::new();
    for (name, bytes) in seeds::all() {
        let file = corpus.join(&name);
        if fs::read(&file).is_ok_and(|kept| kept == bytes) {
            continue;
        }
        match std::env::var_os("TOMBOLO_WRITE_SEEDS") {
            Some(_) => fs::write(&file, bytes).expect("the corpus can be written"),
            None => stale.push(name),
        }
    }
    assert_eq!(stale, [""; 0], "write them anew: TOMBOLO_WRITE_SEEDS=1");
}

#[test]
fn every_target_has_its_program() {
    let manifest = fs::read_to_string(repository().join("fuzz/Cargo.toml")).expect("readable");
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml has no program {name}"
        );
        let program = repository().join(format!("fuzz/targets/{name}.rs"));
        assert!(program.exists(), "{} is missing", program.display());
    }
}
