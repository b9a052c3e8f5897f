//! `tombolo backup`: the history of one database in a file, while the peer runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use peer_core::backup::{About, Reader, Summary};
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{bar, print_json, print_line, shown};

/// Bytes that are copied at a time.
const COPIED_BYTES: usize = 256 << 10;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to write it
    file: PathBuf,
    /// Name or identity of the database
    database: String,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Print what is in it as JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        if self.file.exists() && !self.force {
            bail!(
                "{} is there already: choose another file, or replace it with --force",
                self.file.display()
            );
        }
        let client = Client::of(target)?;
        let stream = client.get_stream(&database(&self.database, "/backup"))?;
        let part = Part::create(&self.file)?;
        let bytes = part.fill(stream)?;
        let (about, summary) = look(&part.path)
            .context("what the peer sent is not whole; is there room, and does it still run?")?;
        part.keep(&self.file)?;
        if self.json {
            print_json(&json!({
                "file": self.file.display().to_string(),
                "database": about.database.to_string(),
                "names": about.names,
                "peer": about.device.to_string(),
                "bytes": bytes,
                "cuts": summary.cuts,
                "entries": summary.entries,
                "modules": summary.blobs,
            }));
            return Ok(());
        }
        let name = about.names.first().map_or("", String::as_str);
        print_line(&format!(
            "{}: {} {}, {}, {}, {bytes} bytes",
            self.file.display(),
            shown(name),
            about.database,
            counted(summary.entries, "entry", "entries"),
            counted(summary.cuts, "cut", "cuts"),
        ));
        eprintln!(
            "no key is in it: a restored copy can be read by whoever has the file, and written once a \
             member lets it in. To be this same peer again, keep its peer.key too, in another place"
        );
        Ok(())
    }
}

/// What a backup is of, and how much is in it, if it is whole.
fn look(file: &Path) -> anyhow::Result<(About, Summary)> {
    let reader = Reader::open(BufReader::new(File::open(file)?))?;
    let about = reader.about().clone();
    Ok((about, reader.verify()?))
}

/// A file that is being written, beside the one that it becomes; gone if it does not.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(whole: &Path) -> anyhow::Result<Self> {
        let mut path = whole.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    fn fill(&self, mut stream: impl Read) -> anyhow::Result<u64> {
        let bar = bar("{spinner} {bytes} {bytes_per_sec}");
        let mut buffer = vec![0; COPIED_BYTES];
        let mut copied = 0;
        loop {
            let read = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the peer broke off"),
            };
            let mut file = &self.file;
            file.write_all(&buffer[..read])
                .with_context(|| format!("cannot write {}", self.path.display()))?;
            copied += read as u64;
            bar.set_position(copied);
        }
        self.file.sync_all()?;
        bar.finish_and_clear();
        Ok(copied)
    }

    fn keep(&self, whole: &Path) -> anyhow::Result<()> {
        fs::rename(&self.path, whole)
            .with_context(|| format!("cannot write {}", whole.display()))?;
        if let Some(folder) = whole
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It has another name by now if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

/// A number and what it is of.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
