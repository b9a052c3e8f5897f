//! `tombolo restore`: puts a backup into a data directory on which no peer runs.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use peer_core::Modules;
use peer_core::backup::{Reader, Restored, Summary, restore};
use peer_core::check::{check_database, replay};
use serde_json::json;
use store::{DirDisk, Disk, ReadOnlyDisk};
use sync_protocol::DatabaseId;

use super::Target;
use super::client::data_dir;
use super::output::{bar, print_json, print_line, shown, shown_whole};
use crate::driver::clock::Clock;
use crate::driver::data_dir::DataDir;

/// Where it is put together, below the databases: a start clears it away if a crash left it.
const SCRATCH: &str = "databases/unfinished-restore";

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What `tombolo backup` wrote
    file: PathBuf,
    /// Be the peer whose key this is, and not a new one. That one must never run again elsewhere
    #[arg(long, value_name = "FILE")]
    peer_key: Option<PathBuf>,
    /// Print what was restored as JSON
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        if target.server.is_some() {
            bail!(
                "restore writes to a directory of this machine: give it --data-dir, not --server"
            );
        }
        let file = File::open(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let reader = Reader::open(BufReader::new(file))?;
        let database = reader.about().database;
        let path = data_dir(target)?;
        let dir = DataDir::open(&path)?;
        if dir.database(&database).exists() {
            bail!(
                "{} holds database {database} already: restore into another directory with --data-dir, or \
                 remove it there first with `tombolo delete`",
                path.display()
            );
        }
        if let Some(key) = &self.peer_key {
            dir.take_key(key)?;
        }
        let device = dir.peer_key()?.public();
        dir.shut_store()?;
        // Opening clears away what is unfinished, so it comes before the scratch folder.
        let disk = DirDisk::open(&path)?;
        let scratch = Scratch::new(&path)?;
        let restored = put_together(reader, &scratch.0)?;
        let height = prove(&scratch.0, database)?;
        move_in(&scratch.0, &disk, &dir.database(&database))?;
        let is_same = restored.about.device == device;
        if self.json {
            print_json(&json!({
                "data_dir": path.display().to_string(),
                "database": database.to_string(),
                "names": restored.about.names,
                "peer": device.to_string(),
                "taken_by": restored.about.device.to_string(),
                "cut": height,
                "cuts": restored.summary.cuts,
                "entries": restored.summary.entries,
                "modules": restored.summary.blobs,
            }));
            return Ok(());
        }
        let name = restored.about.names.first().map_or("", String::as_str);
        print_line(&format!(
            "{} {database}: {} entries up to cut {height}, every signature and state root checked",
            shown(name),
            restored.summary.entries
        ));
        match is_same {
            true => eprintln!(
                "this is peer {} again: the one that it was must never run beside it",
                device.short()
            ),
            false => eprintln!(
                "this is another peer, {}, and no member unless it was one before: start it, and let it in with a \
                 ticket of a member (`tombolo invite` there, `tombolo join` here)",
                device.short()
            ),
        }
        Ok(())
    }
}

/// Writes log and modules.
fn put_together(reader: Reader<BufReader<File>>, scratch: &Path) -> anyhow::Result<Restored> {
    let disk = DirDisk::open(scratch)?;
    let bar = bar("{spinner} reading: {pos} entries");
    let mut progress = |found: Summary| bar.set_position(found.entries);
    let restored = restore(reader, &disk, &mut progress)?;
    bar.finish_and_clear();
    Ok(restored)
}

/// Runs the history, which makes the rows, and looks at every entry, cut and row.
fn prove(scratch: &Path, database: DatabaseId) -> anyhow::Result<u64> {
    let modules = Modules::new()?;
    let bar = bar("{spinner} {msg} {pos}");
    bar.set_message("running the history again");
    let run = replay(
        Box::new(ReadOnlyDisk::new(scratch)),
        Box::new(DirDisk::open(scratch)?),
        &modules,
        database,
        Clock::start().now(),
    );
    let height =
        run.map_err(|why| anyhow!("the backup does not hold together: {}", shown_whole(&why)))?;
    let mut progress = |what: &'static str, done: u64, _total: u64| {
        bar.set_message(what);
        bar.set_position(done);
    };
    let disk = ReadOnlyDisk::new(scratch);
    let checked = check_database(&disk, &modules, database, &mut progress)?;
    bar.finish_and_clear();
    let all = checked.log.iter().chain(&checked.base);
    if let Some(damaged) = all.clone().find(|one| !one.is_sound()) {
        let why = damaged.damage.first().map_or("", String::as_str);
        bail!(
            "the backup does not hold together, nothing was restored: {}: {}",
            damaged.what,
            shown_whole(why)
        );
    }
    Ok(height)
}

/// Gives the database its place, modules first, so that it is there whole or not at all.
fn move_in(scratch: &Path, disk: &DirDisk, to: &Path) -> anyhow::Result<()> {
    let here = ReadOnlyDisk::new(scratch);
    for hash in here.blobs()?.0 {
        if let Some(blob) = here.blob(&hash)? {
            disk.put_blob(&blob)?;
        }
    }
    let name = to.file_name().context("a database's folder has a name")?;
    let folder = to.parent().context("a database lies in a folder")?;
    fs::rename(scratch.join("databases").join(name), to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// A folder below the databases, gone with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(SCRATCH);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
