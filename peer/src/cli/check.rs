//! `tombolo check`: looks at a data directory while no peer runs on it.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use peer_core::Modules;
use peer_core::check::{DatabaseCheck, check_database, replay};
use serde_json::{Value, json};
use store::{Checked, DirDisk, Disk, ReadOnlyDisk};
use sync_protocol::DatabaseId;

use super::Target;
use super::client::data_dir;
use super::output::{bar, print, print_json, shown, shown_whole};
use crate::driver::clock::Clock;
use crate::driver::data_dir::DataDir;

/// Where a base is built anew, below the databases: a start clears it away if a crash left it.
const SCRATCH: &str = "databases/unfinished-check";

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Name or identity of the database; all of them without it
    database: Option<String>,
    /// Also run the whole history again and compare every cut
    #[arg(long)]
    replay: bool,
    /// Build damaged tables (base.redb) anew from a sound log
    #[arg(long)]
    repair: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What was found in a whole directory.
struct Found {
    directory: Vec<Checked>,
    /// What is worth knowing and no damage.
    notes: Vec<String>,
    databases: Vec<(DatabaseCheck, Option<Result<u64, String>>)>,
    repaired: Vec<DatabaseId>,
}

impl Check {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        if target.server.is_some() {
            bail!("check looks at a directory of this machine: give it --data-dir, not --server");
        }
        let path = data_dir(target)?;
        if !path.is_dir() {
            bail!(
                "there is no data directory {}: name one with --data-dir",
                path.display()
            );
        }
        let _lock = DataDir::lock(&path)?;
        let found = self.look(&path)?;
        if self.json {
            print_json(&as_json(&path, &found));
        } else {
            print(&as_text(&path, &found));
        }
        let damaged = found.count_damaged();
        if damaged > 0 {
            bail!("{damaged} damaged: what to do is said above");
        }
        Ok(())
    }

    fn look(&self, path: &Path) -> anyhow::Result<Found> {
        let disk = ReadOnlyDisk::new(path);
        let modules = Modules::new()?;
        let (directory, notes) = check_directory(path, &disk)?;
        let mut found = Found {
            directory,
            notes,
            databases: Vec::new(),
            repaired: Vec::new(),
        };
        let databases = match path.join("databases").is_dir() {
            true => disk.databases()?,
            false => Vec::new(),
        };
        for database in databases {
            let bar = bar("{spinner} {msg} {pos}/{len} {wide_bar}");
            let mut progress = |what: &'static str, done: u64, total: u64| {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(what);
            };
            let checked = check_database(&disk, &modules, database, &mut progress)
                .with_context(|| format!("database {database} cannot be read"))?;
            if !self.is_meant(&checked) {
                continue;
            }
            let repair = self.repair
                && checked.log_is_sound()
                && checked.module_is_sound
                && !checked.base_is_sound();
            let replayed = (self.replay || repair).then(|| {
                bar.set_message("running the history again");
                run_again(path, &modules, database, repair)
            });
            if repair && matches!(replayed, Some(Ok(_))) {
                found.repaired.push(database);
            }
            bar.finish_and_clear();
            found.databases.push((checked, replayed));
        }
        if let Some(name) = &self.database
            && found.databases.is_empty()
        {
            bail!(
                "there is no database `{name}` in {}; without a name, check shows them all",
                path.display()
            );
        }
        Ok(found)
    }

    fn is_meant(&self, checked: &DatabaseCheck) -> bool {
        self.database.as_ref().is_none_or(|wanted| {
            *wanted == checked.database.to_string() || Some(wanted) == checked.name.as_ref()
        })
    }
}

/// Runs the history of a database again; if it is to be repaired, the base that comes of it
/// takes the place of the damaged one.
fn run_again(
    path: &Path,
    modules: &Modules,
    database: DatabaseId,
    repair: bool,
) -> Result<u64, String> {
    let scratch = Scratch::new(path, repair)?;
    let bases = DirDisk::open(scratch.path()).map_err(|error| error.to_string())?;
    let height = replay(
        Box::new(ReadOnlyDisk::new(path)),
        Box::new(bases),
        modules,
        database,
        Clock::start().now(),
    )?;
    if repair {
        let file = |dir: &Path| {
            dir.join("databases")
                .join(database.to_string())
                .join("base.redb")
        };
        replace(&file(scratch.path()), &file(path))
            .map_err(|error| format!("the new base cannot be put in place: {error}"))?;
    }
    Ok(height)
}

/// A folder for a base that is being built; gone with this.
enum Scratch {
    /// On the same file system as the base that it may replace.
    Beside(std::path::PathBuf),
    Temporary(tempfile::TempDir),
}

impl Scratch {
    fn new(data_dir: &Path, beside: bool) -> Result<Self, String> {
        if beside {
            let path = data_dir.join(SCRATCH);
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path)
                .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
            return Ok(Self::Beside(path));
        }
        tempfile::tempdir()
            .map(Self::Temporary)
            .map_err(|error| format!("cannot make a temporary directory: {error}"))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Beside(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Self::Beside(path) = self {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn replace(new: &Path, old: &Path) -> std::io::Result<()> {
    std::fs::File::open(new)?.sync_all()?;
    std::fs::rename(new, old)?;
    match old.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// What is not part of a database: the key, the blobs, what a crash left.
fn check_directory(
    path: &Path,
    disk: &ReadOnlyDisk,
) -> anyhow::Result<(Vec<Checked>, Vec<String>)> {
    let mut key = Checked::named("peer.key");
    match DataDir::look_at_key(path) {
        Ok(true) => key.count = 1,
        Ok(false) if !path.join("databases").is_dir() => {}
        Ok(false) => key.damaged(
            "it is missing: restore it from a backup; with a new key this peer is no member"
                .to_owned(),
        ),
        Err(error) => key.damaged(error.to_string()),
    }
    let mut blobs = Checked::named("blobs");
    let mut notes = Vec::new();
    if path.join("blobs").is_dir() {
        let (hashes, others) = disk.blobs()?;
        for hash in hashes {
            blobs.count += 1;
            match disk.blob(&hash) {
                Ok(_) => {}
                Err(error) => blobs.damaged(error.to_string()),
            }
        }
        if !others.is_empty() {
            notes.push(format!(
                "{} in blobs not finished: transfers that were interrupted",
                files(others.len())
            ));
        }
    }
    if path.join("databases").is_dir() {
        let unfinished = disk.unfinished()?;
        if !unfinished.is_empty() {
            notes.push(format!(
                "{} in databases left by a crash: the next start clears them away",
                files(unfinished.len())
            ));
        }
    }
    if path.join("run.json").exists() {
        notes.push("run.json is left of a peer that was killed: the next start replaces it".into());
    }
    Ok((vec![key, blobs], notes))
}

fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

impl Found {
    fn count_damaged(&self) -> usize {
        let directory = self.directory.iter().filter(|one| !one.is_sound()).count();
        let databases = self.databases.iter().filter(|(checked, replayed)| {
            let mended = self.repaired.contains(&checked.database);
            let failed = matches!(replayed, Some(Err(_)));
            (!checked.is_sound() || failed) && !mended
        });
        directory + databases.count()
    }
}

fn as_text(path: &Path, found: &Found) -> String {
    let mut text = format!("{}\n", path.display());
    for one in &found.directory {
        lines(&mut text, one);
    }
    for note in &found.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    for (checked, replayed) in &found.databases {
        let name = checked.name.as_deref().unwrap_or("(no name)");
        text.push_str(&format!(
            "\ndatabase {} {}\n",
            shown(name),
            checked.database
        ));
        for one in checked.log.iter().chain(&checked.base) {
            lines(&mut text, one);
        }
        match replayed {
            Some(Ok(height)) => text.push_str(&format!(
                "  ok       history        run again up to cut {height}: every state root is the certified one\n"
            )),
            Some(Err(why)) => text.push_str(&format!("  DAMAGED  history        {}\n", shown_whole(why))),
            None => {}
        }
        if found.repaired.contains(&checked.database) {
            text.push_str("  repaired: base.redb was built anew from the log\n");
        } else if let Some(advice) = advice(checked) {
            text.push_str(&format!("  what to do: {advice}\n"));
        }
    }
    text
}

fn lines(text: &mut String, one: &Checked) {
    let word = if one.is_sound() { "ok     " } else { "DAMAGED" };
    text.push_str(&format!("  {word}  {:24} {:>8}\n", one.what, one.count));
    for damage in &one.damage {
        text.push_str(&format!("             {}\n", shown_whole(damage)));
    }
    if one.more > 0 {
        text.push_str(&format!("             and {} more\n", one.more));
    }
}

/// What a person does about it.
fn advice(checked: &DatabaseCheck) -> Option<&'static str> {
    if checked.is_sound() {
        return None;
    }
    Some(if !checked.log_is_sound() {
        "the log is what everything else is made from. Restore the directory from a backup, or move \
         databases/<identity> away, start the peer and join again with a ticket: other members hold \
         what they were sent; calls that never left this peer are lost with the log"
    } else if !checked.module_is_sound {
        "copy the file blobs/<hash> of the module from another member's data directory, or from a \
         backup; then check again"
    } else {
        "only the tables are damaged, the log is sound: `tombolo check --repair` builds them anew"
    })
}

fn as_json(path: &Path, found: &Found) -> Value {
    let all = |checks: &[Checked]| -> Value {
        let checks = checks.iter().map(|one| {
            json!({
                "what": one.what,
                "count": one.count,
                "sound": one.is_sound(),
                "damage": one.damage,
                "more": one.more,
            })
        });
        checks.collect()
    };
    let databases: Vec<Value> = found
        .databases
        .iter()
        .map(|(checked, replayed)| {
            json!({
                "database": checked.database.to_string(),
                "name": checked.name,
                "sound": checked.is_sound(),
                "cut": checked.height,
                "log": all(&checked.log),
                "base": all(&checked.base),
                "replayed": replayed.as_ref().map(|replayed| match replayed {
                    Ok(height) => json!({ "sound": true, "cut": height }),
                    Err(why) => json!({ "sound": false, "why": why }),
                }),
                "repaired": found.repaired.contains(&checked.database),
                "advice": advice(checked),
            })
        })
        .collect();
    json!({
        "data_dir": path.display().to_string(),
        "sound": found.count_damaged() == 0,
        "directory": all(&found.directory),
        "notes": found.notes,
        "databases": databases,
    })
}
