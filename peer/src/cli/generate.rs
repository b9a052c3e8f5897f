//! `tombolo generate`: client code for a module.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use bindings::{Files, LocalTable, MARK};
use clap::{Args, ValueEnum};
use module_host::{HostEngine, Limits, Module};
use serde_json::{Value, json};
use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10;
use spacetimedb_lib::de::serde::DeserializeWrapper;

use super::Target;
use super::client::{Client, database};
use super::output::{print, print_json};

/// Where modules are compiled to.
const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// What the client is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// For the npm package `spacetimedb` 2.10
    Typescript,
    /// For the crate `spacetimedb-sdk` 2.10
    Rust,
}

impl From<Language> for bindings::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Typescript => Self::Typescript,
            Language::Rust => Self::Rust,
        }
    }
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("module").required(true))]
pub(crate) struct Generate {
    /// The client's language
    #[arg(long, value_enum)]
    lang: Language,
    /// The folder for the files; those of an earlier run that are not needed any more are removed
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
    /// The compiled module
    #[arg(long, short, value_name = "FILE.wasm", group = "module")]
    bin_path: Option<PathBuf>,
    /// The module's cargo project, which is compiled first
    #[arg(long, short, value_name = "DIR", group = "module")]
    project_path: Option<PathBuf>,
    /// A running database, by name or identity
    #[arg(long, value_name = "NAME", group = "module")]
    database: Option<String>,
    /// Also for the peer's own views: st_peer, st_member, st_invocation, st_cut and so on
    #[arg(long)]
    system_tables: bool,
    /// Print the names of the files as JSON
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let language = self.lang.into();
        let local = match self.system_tables {
            true => views(),
            false => Vec::new(),
        };
        let files = match (&self.bin_path, &self.project_path, &self.database) {
            (Some(wasm), _, _) => of_wasm(language, wasm, &local)?,
            (_, Some(project), _) => of_wasm(language, &compiled(project)?, &local)?,
            (_, _, Some(name)) => of_database(language, &Client::of(target)?, name, &local)?,
            _ => bail!("say which module: --bin-path, --project-path or --database"),
        };
        let removed = write(&self.out_dir, &files, language.extension())?;
        if self.json {
            let names: Vec<&String> = files.keys().collect();
            print_json(&json!({ "files": names, "removed": removed }));
            return Ok(());
        }
        let folder = self.out_dir.display();
        print(&format!("{} files written to {folder}\n", files.len()));
        Ok(())
    }
}

/// The views that every peer has.
fn views() -> Vec<LocalTable> {
    let views = peer_core::local_views::schemas().into_iter();
    let views = views.map(|view| LocalTable {
        name: view.name,
        columns: view
            .columns
            .into_iter()
            .map(|it| (it.name, it.ty))
            .collect(),
        keyed: view.primary_key.is_some(),
    });
    views.collect()
}

fn of_wasm(
    language: bindings::Language,
    path: &Path,
    local: &[LocalTable],
) -> anyhow::Result<Files> {
    let wasm = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let engine = HostEngine::new().context("wasm cannot be run on this machine")?;
    let module = Module::prepare(&engine, &wasm, Limits::default())
        .with_context(|| format!("{} is no module", path.display()))?;
    Ok(bindings::generate(language, &module.def().raw, local)?)
}

fn of_database(
    language: bindings::Language,
    client: &Client,
    name: &str,
    local: &[LocalTable],
) -> anyhow::Result<Files> {
    let schema = client.get(&database(name, "/schema?version=10"))?;
    let DeserializeWrapper(module) =
        serde_json::from_value::<DeserializeWrapper<RawModuleDefV10>>(schema)
            .context("the peer told a schema that cannot be read")?;
    Ok(bindings::generate_of(
        language,
        RawModuleDef::V10(module),
        local,
    )?)
}

/// Compiles a module, and says where the result is.
fn compiled(project: &Path) -> anyhow::Result<PathBuf> {
    let manifest = project.join("Cargo.toml");
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.stdin(Stdio::null());
        cargo
    };
    let failed = || format!("cargo could not be run for {}", manifest.display());
    let built = cargo()
        .args(["build", "--release", "--target", WASM_TARGET])
        .arg("--manifest-path")
        .arg(&manifest)
        .status()
        .with_context(failed)?;
    if !built.success() {
        bail!(
            "the module in {} does not compile; cargo says why above",
            project.display()
        );
    }
    let metadata = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .with_context(failed)?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).with_context(failed)?;
    let manifest = fs::canonicalize(&manifest).with_context(failed)?;
    library_of(&metadata, &manifest)
        .with_context(|| format!("{} makes no cdylib, as a module does", manifest.display()))
}

/// Where cargo puts the wasm of the package with this manifest.
fn library_of(metadata: &Value, manifest: &Path) -> Option<PathBuf> {
    let packages = metadata["packages"].as_array()?;
    let is_it =
        |package: &&Value| package["manifest_path"].as_str().map(Path::new) == Some(manifest);
    let package = packages.iter().find(is_it)?;
    let is_module = |target: &&Value| {
        let kinds = target["crate_types"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let library = package["targets"].as_array()?.iter().find(is_module)?;
    let file = format!("{}.wasm", library["name"].as_str()?.replace('-', "_"));
    let folder = Path::new(metadata["target_directory"].as_str()?);
    Some(folder.join(WASM_TARGET).join("release").join(file))
}

/// Writes the files, and removes those of the language that were written before and are not among them.
fn write(folder: &Path, files: &Files, extension: &str) -> anyhow::Result<Vec<String>> {
    let failed = |path: &Path| format!("cannot write {}", path.display());
    for (name, text) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| failed(parent))?;
        }
        if fs::read_to_string(&path).is_ok_and(|before| before == *text) {
            continue; // tools that watch the file have nothing to do
        }
        fs::write(&path, text).with_context(|| failed(&path))?;
    }
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| failed(folder))? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let of_language = path.extension().and_then(OsStr::to_str) == Some(extension);
        let is_ours = || fs::read_to_string(&path).is_ok_and(|text| text.starts_with(MARK));
        if !files.contains_key(name) && of_language && is_ours() {
            fs::remove_file(&path).with_context(|| failed(&path))?;
            removed.push(name.to_owned());
        }
    }
    removed.sort_unstable();
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_an_earlier_run_go_and_others_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let text = |name: &str| fs::read_to_string(path(name)).ok();
        let ours = format!("{MARK}\nexport {{}};\n");
        let files = |names: &[&str]| -> Files {
            let files = names.iter().map(|name| ((*name).to_owned(), ours.clone()));
            files.collect()
        };
        fs::write(path("mine.ts"), "export {};\n").expect("written");
        fs::write(path("other.rs"), &ours).expect("written");
        assert_eq!(
            write(folder.path(), &files(&["a.ts", "b.ts"]), "ts").expect("written"),
            Vec::<String>::new()
        );
        let removed = write(folder.path(), &files(&["a.ts"]), "ts").expect("written");
        assert_eq!(removed, ["b.ts"]);
        assert_eq!(text("a.ts").as_ref(), Some(&ours));
        assert_eq!(text("b.ts"), None);
        assert!(text("mine.ts").is_some());
        assert!(text("other.rs").is_some(), "another language's");
        let removed = write(folder.path(), &files(&["a.rs"]), "rs").expect("written");
        assert_eq!(removed, ["other.rs"]);
        assert!(text("a.ts").is_some());
    }

    #[test]
    fn the_wasm_of_a_project_is_where_cargo_says() {
        let metadata = json!({
            "target_directory": "/t",
            "packages": [
                { "manifest_path": "/other/Cargo.toml", "targets": [] },
                { "manifest_path": "/p/Cargo.toml", "targets": [
                    { "name": "build-script", "crate_types": ["bin"] },
                    { "name": "my-module", "crate_types": ["cdylib", "rlib"] },
                ]},
            ],
        });
        let found = library_of(&metadata, Path::new("/p/Cargo.toml"));
        let expected = "/t/wasm32-unknown-unknown/release/my_module.wasm";
        assert_eq!(found, Some(PathBuf::from(expected)));
        assert_eq!(library_of(&metadata, Path::new("/other/Cargo.toml")), None);
    }
}
