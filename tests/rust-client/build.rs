//! Lets the program include client code that lies elsewhere: a file with the modules that there are.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Set to the folder in which `tombolo generate` has written, a folder for each module. Without it the
/// program has no cases, and building it only compiles what it needs.
const GENERATED: &str = "TOMBOLO_GENERATED";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={GENERATED}");
    println!("cargo::rustc-check-cfg=cfg(generated)");
    let mut text = String::new();
    if let Some(folder) = env::var_os(GENERATED).map(PathBuf::from) {
        println!("cargo::rustc-cfg=generated");
        text += &modules(&folder, "")?;
        // They have everything that a module may have, so they are compiled too.
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bindings/golden/rust");
        text += &modules(&golden, "golden_")?;
    }
    let out = env::var_os("OUT_DIR").ok_or("cargo says where to write")?;
    fs::write(Path::new(&out).join("modules.rs"), text)?;
    Ok(())
}

fn modules(folder: &Path, prefix: &str) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.insert(name.into_string().map_err(|_| "a name that is no text")?);
    }
    let module = |name: &String| {
        let file = folder.join(name).join("mod.rs");
        format!("#[path = {file:?}]\npub mod {prefix}{name};\n")
    };
    Ok(names.iter().map(module).collect())
}
