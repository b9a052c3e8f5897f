//! Writes client code for a module that a peer runs, to look at it and to compile it:
//! `curl …/v1/database/NAME/schema?version=10 | cargo run -p bindings --example generate -- FOLDER`; in Rust
//! with `--rust` behind it.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::io::stdin;
use std::path::PathBuf;

use bindings::Language;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10;
use spacetimedb_lib::de::serde::DeserializeWrapper;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("say into which folder")?);
    let language = match arguments.next() {
        Some(argument) if argument == "--rust" => Language::Rust,
        _ => Language::Typescript,
    };
    let DeserializeWrapper(module) =
        serde_json::from_reader::<_, DeserializeWrapper<RawModuleDefV10>>(stdin())?;
    fs::create_dir_all(&folder)?;
    for (file, text) in bindings::generate_of(language, RawModuleDef::V10(module), &[])? {
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}
