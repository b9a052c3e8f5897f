//! What modules log: one file of JSON lines per database, written by a thread of its own so that
//! the core never waits for it, and bounded by rotation.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use sync_protocol::DatabaseId;

/// Bytes of `console.jsonl` before it becomes `console.1.jsonl`, whose predecessor goes. A
/// database's console therefore never takes more than twice this.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Lines on their way to the thread. A module that logs faster than the disk takes it loses
/// lines, and is told how many; its calls do not wait.
const QUEUE_LINES_MAX: usize = 8_192;

/// Files held open. More databases than this log at once only at the price of reopening.
const OPEN_FILES_MAX: usize = 64;

/// For the thread.
enum Mail {
    Line(PathBuf, String),
    Forget(PathBuf),
}

/// The way to the console thread.
pub(crate) struct Consoles {
    databases: PathBuf,
    mail: Option<SyncSender<Mail>>,
    thread: Option<JoinHandle<()>>,
    dropped: BTreeMap<DatabaseId, u64>,
}

impl Consoles {
    /// Starts the thread, for the databases in this folder.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(databases: PathBuf) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_LINES_MAX);
        let thread = std::thread::Builder::new()
            .name("console".into())
            .spawn(move || write_all(&receiver))?;
        Ok(Self {
            databases,
            mail: Some(sender),
            thread: Some(thread),
            dropped: BTreeMap::new(),
        })
    }

    /// Appends a line, given as a JSON object without a line end. Never waits.
    pub(crate) fn append(&mut self, database: DatabaseId, line: String) {
        if let Some(dropped) = self.dropped.get(&database).copied() {
            let note = serde_json::json!({
                "level": "Warn",
                "ts": super::clock::wall_us(),
                "message": format!("{dropped} lines were logged faster than they could be written, and are lost"),
            });
            if !self.send(Mail::Line(self.path(&database), note.to_string())) {
                self.lose(database);
                return;
            }
            self.dropped.remove(&database);
        }
        if !self.send(Mail::Line(self.path(&database), line)) {
            self.lose(database);
        }
    }

    /// The database is deleted: its files are closed.
    pub(crate) fn forget(&mut self, database: &DatabaseId) {
        self.dropped.remove(database);
        self.send(Mail::Forget(self.path(database)));
    }

    fn lose(&mut self, database: DatabaseId) {
        *self.dropped.entry(database).or_default() += 1;
    }

    fn path(&self, database: &DatabaseId) -> PathBuf {
        file_of(&self.databases.join(database.to_string()))
    }

    fn send(&self, mail: Mail) -> bool {
        match self.mail.as_ref().map(|sender| sender.try_send(mail)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }
}

impl Drop for Consoles {
    /// Waits until every line taken so far is in its file.
    fn drop(&mut self) {
        self.mail = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The console file in a database's folder.
pub(crate) fn file_of(database: &Path) -> PathBuf {
    database.join("console.jsonl")
}

/// Where a full console file goes.
fn rotated(path: &Path) -> PathBuf {
    path.with_file_name("console.1.jsonl")
}

/// The thread: writes what comes, flushes when nothing waits.
fn write_all(mail: &Receiver<Mail>) {
    let mut open: BTreeMap<PathBuf, Console> = BTreeMap::new();
    while let Ok(first) = mail.recv() {
        let mut next = Some(first);
        while let Some(mail_item) = next {
            match mail_item {
                Mail::Line(path, line) => {
                    if open.len() >= OPEN_FILES_MAX && !open.contains_key(&path) {
                        open.clear();
                    }
                    if let Err(error) = append(&mut open, &path, &line) {
                        open.remove(&path);
                        tracing::warn!("cannot write {}: {error}", path.display());
                    }
                }
                Mail::Forget(path) => {
                    open.remove(&path);
                }
            }
            next = mail.try_recv().ok();
        }
        for (path, console) in &mut open {
            if let Err(error) = console.file.flush() {
                tracing::warn!("cannot write {}: {error}", path.display());
            }
        }
    }
}

/// An open console file.
struct Console {
    file: BufWriter<File>,
    bytes: u64,
}

fn append(open: &mut BTreeMap<PathBuf, Console>, path: &Path, line: &str) -> io::Result<()> {
    let full = open
        .get(path)
        .is_some_and(|console| console.bytes >= FILE_BYTES_MAX);
    if full && let Some(mut console) = open.remove(path) {
        console.file.flush()?;
        fs::rename(path, rotated(path))?;
    }
    let console = match open.entry(path.to_owned()) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?;
            let bytes = file.metadata()?.len();
            entry.insert(Console {
                file: BufWriter::new(file),
                bytes,
            })
        }
    };
    // A guest's text cannot break the line format: it is inside a JSON string.
    console.file.write_all(line.as_bytes())?;
    console.file.write_all(b"\n")?;
    console.bytes += line.len() as u64 + 1;
    Ok(())
}

/// Reads a console as it is and as it grows.
pub(crate) struct Reader {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Reader {
    /// Opens a console and gives its last lines: all that are kept, or `lines_max` of them, each
    /// with its line end.
    ///
    /// # Errors
    /// When the files cannot be read; a console that is not there yet is empty.
    pub(crate) fn open(database: &Path, lines_max: Option<usize>) -> io::Result<(Self, Vec<u8>)> {
        let path = file_of(database);
        let mut reader = Self {
            file: existing(&path)?,
            path,
            partial: Vec::new(),
        };
        let newer = reader.more()?;
        let older = match lines_max {
            Some(lines) if count_lines(&newer) >= lines => Vec::new(),
            _ => match fs::read(rotated(&reader.path)) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(error),
            },
        };
        let all = [older, newer].concat();
        let from = lines_max.map_or(0, |lines| start_of_last(&all, lines));
        Ok((reader, all[from..].to_vec()))
    }

    /// What was written since the last look: whole lines. Follows a rotation.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.partial);
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut bytes)?;
        }
        if self.replaced()? {
            self.file = existing(&self.path)?;
            if let Some(file) = &mut self.file {
                file.read_to_end(&mut bytes)?;
            }
        }
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        self.partial = bytes.split_off(whole);
        Ok(bytes)
    }

    /// Whether the path now means another file than the open one.
    fn replaced(&self) -> io::Result<bool> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => there.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match &self.file {
            Some(file) => Ok(file.metadata()?.ino() != there),
            None => Ok(true),
        }
    }
}

fn existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Where the last `lines` whole lines start.
fn start_of_last(bytes: &[u8], lines: usize) -> usize {
    if lines == 0 {
        return bytes.len();
    }
    bytes
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(lines)
        .map_or(0, |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: DatabaseId = DatabaseId([3; 32]);

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    #[test]
    fn the_last_lines_are_the_last_lines() {
        let bytes = b"a\nb\nc\n";
        assert_eq!(text(&bytes[start_of_last(bytes, 0)..]), "");
        assert_eq!(text(&bytes[start_of_last(bytes, 1)..]), "c\n");
        assert_eq!(text(&bytes[start_of_last(bytes, 3)..]), "a\nb\nc\n");
        assert_eq!(text(&bytes[start_of_last(bytes, 9)..]), "a\nb\nc\n");
    }

    #[test]
    fn what_is_appended_is_read_and_followed() {
        let scratch = tempfile::tempdir().expect("scratch");
        let folder = scratch.path().join(DATABASE.to_string());
        fs::create_dir(&folder).expect("folder");
        let (mut reader, nothing) = Reader::open(&folder, None).expect("empty is fine");
        assert!(nothing.is_empty());

        let mut consoles = Consoles::start(scratch.path().to_owned()).expect("starts");
        consoles.append(DATABASE, "{\"n\":1}".into());
        consoles.append(DATABASE, "{\"n\":2}".into());
        drop(consoles);
        assert_eq!(
            text(&reader.more().expect("reads")),
            "{\"n\":1}\n{\"n\":2}\n"
        );
        assert!(reader.more().expect("reads").is_empty());
        let (_, last) = Reader::open(&folder, Some(1)).expect("reads");
        assert_eq!(text(&last), "{\"n\":2}\n");
    }

    #[test]
    fn a_full_file_is_rotated_and_followed_across() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("console.jsonl");
        let mut open = BTreeMap::new();
        append(&mut open, &path, "old").expect("writes");
        open.get_mut(&path)
            .expect("open")
            .file
            .flush()
            .expect("flushes");
        let (mut reader, before) = Reader::open(scratch.path(), None).expect("reads");
        assert_eq!(text(&before), "old\n");
        open.get_mut(&path).expect("open").bytes = FILE_BYTES_MAX;
        append(&mut open, &path, "new").expect("writes");
        drop(open);
        assert_eq!(text(&reader.more().expect("reads")), "new\n");
        let (_, both) = Reader::open(scratch.path(), Some(2)).expect("reads");
        assert_eq!(text(&both), "old\nnew\n");
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("console.jsonl");
        fs::write(&path, "whole\nha").expect("writes");
        let (mut reader, now) = Reader::open(scratch.path(), None).expect("reads");
        assert_eq!(text(&now), "whole\n");
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b"lf\n").expect("writes");
        assert_eq!(text(&reader.more().expect("reads")), "half\n");
    }
}
