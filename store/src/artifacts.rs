//! The folder of what can be made again: compiled modules, by name. Nothing here has to be durable
//! or whole, and nothing here may fill the disk.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sync_protocol::BlobHash;

use crate::crash_point::{CrashPoint, CrashWatch};
use crate::limits::{ARTIFACT_BYTES_MAX, ARTIFACTS_MAX};

/// A file that is being written.
const UNFINISHED: &str = "unfinished-";

/// The folder.
#[derive(Debug)]
pub(crate) struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The bytes of one, as they are.
    pub(crate) fn get(&self, name: &BlobHash) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(name))?;
        file.take(ARTIFACT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Keeps one; those that were written longest ago make room for it. `watch` is a test's.
    pub(crate) fn put(
        &self,
        name: &BlobHash,
        artifact: &[u8],
        watch: Option<&CrashWatch>,
    ) -> io::Result<()> {
        let passes = |point| watch.map_or(Ok(()), |watch| watch.pass(point));
        if artifact.len() as u64 > ARTIFACT_BYTES_MAX {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        self.make_room()?;
        let unfinished = self.folder.join(format!("{UNFINISHED}{name}"));
        // Half of it is of no use to anybody; what stays is cleared away by the next one.
        let tidy = |error| {
            let _ = fs::remove_file(&unfinished);
            error
        };
        fs::write(&unfinished, artifact).map_err(tidy)?;
        passes(CrashPoint::ArtifactWritten)?;
        fs::rename(&unfinished, self.path(name)).map_err(tidy)?;
        passes(CrashPoint::ArtifactNamed)
    }

    fn path(&self, name: &BlobHash) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Leaves room for one more.
    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for child in fs::read_dir(&self.folder)? {
            let child = child?;
            let path = child.path();
            if is_unfinished(&path) {
                fs::remove_file(&path)?;
            } else {
                files.push((child.metadata()?.modified()?, path));
            }
        }
        files.sort_unstable();
        let surplus = (files.len() + 1).saturating_sub(ARTIFACTS_MAX);
        for (_, path) in &files[..surplus] {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(UNFINISHED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u8) -> BlobHash {
        BlobHash([n; 32])
    }

    #[test]
    fn what_is_kept_comes_back_and_the_oldest_make_room() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let artifacts = Artifacts::at(scratch.path().join("compiled"));
        assert!(artifacts.get(&name(1)).is_err());
        for n in 0..u8::try_from(ARTIFACTS_MAX).expect("few") + 3 {
            artifacts
                .put(&name(n), &[n; 5], None)
                .expect("there is room");
            let file = File::open(artifacts.path(&name(n))).expect("it is there");
            let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(n));
            file.set_modified(written).expect("its time can be set");
        }
        let kept = |n| artifacts.get(&name(n)).ok();
        assert_eq!(kept(2), None);
        assert_eq!(kept(3), Some(vec![3; 5]));
        let files = fs::read_dir(&artifacts.folder).expect("it is there");
        assert_eq!(files.count(), ARTIFACTS_MAX);
    }

    #[test]
    fn what_was_not_finished_is_never_read_and_goes() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let artifacts = Artifacts::at(scratch.path().to_owned());
        let half = scratch.path().join(format!("{UNFINISHED}{}", name(1)));
        fs::write(&half, "half").expect("it can be written");
        assert!(artifacts.get(&name(1)).is_err());
        artifacts
            .put(&name(2), b"whole", None)
            .expect("there is room");
        assert!(!half.exists());
        assert_eq!(artifacts.get(&name(2)).expect("kept"), b"whole");
    }
}
