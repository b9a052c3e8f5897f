//! Names the build: a compiled module is used again only by a program with the same passes, the same
//! description of the imports and the same libraries. A number that somebody has to raise by hand
//! would be forgotten once, and then two peers would differ.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let mut files = vec![PathBuf::from("build.rs"), PathBuf::from("Cargo.toml")];
    collect(Path::new("src"), &mut files)?;
    let lock = PathBuf::from("../Cargo.lock");
    if lock.exists() {
        files.push(lock);
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        file.hash(&mut hasher);
        fs::read(file)?.hash(&mut hasher);
    }
    println!("cargo::rerun-if-changed=src");
    println!(
        "cargo::rustc-env=MODULE_HOST_BUILD={:016x}",
        hasher.finish()
    );
    Ok(())
}

/// What is compiled: tests change nothing about a module.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
