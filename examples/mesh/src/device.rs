//! What all devices share: where the token is kept, and how long to wait for a peer that does not answer.

use anyhow::Context;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file with a device's token, in this folder or in the person's own for such things. Letters that a
/// file's name should not have are replaced.
///
/// # Errors
/// When no folder is given and there is no home directory.
pub(crate) fn state_file(folder: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let folder = match folder {
        Some(folder) => folder.to_path_buf(),
        None => own_folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
            .context("there is no home directory; say with --state DIR where to keep the token")?,
    };
    let plain = |letter: char| match letter.is_ascii_alphanumeric() || letter == '-' {
        true => letter,
        false => '_',
    };
    let name: String = name.chars().map(plain).collect();
    Ok(folder.join(format!("{name}.token")))
}

fn own_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let state = match variable("XDG_STATE_HOME") {
        Some(state) => PathBuf::from(state),
        None => PathBuf::from(variable("HOME")?).join(".local/state"),
    };
    Some(state.join("greenhouse"))
}

/// Seconds to wait, longer each time, so that a device does not wear out a peer that is in trouble.
#[derive(Debug, Default)]
pub(crate) struct Waits(u32);

impl Waits {
    /// 1, 2, 4, 8, and then every 15 seconds.
    pub(crate) fn next(&mut self) -> Duration {
        let seconds = 1_u64.checked_shl(self.0).unwrap_or(u64::MAX).min(15);
        self.0 = self.0.saturating_add(1);
        Duration::from_secs(seconds)
    }

    /// It answered. Gives whether it had not before.
    pub(crate) fn over(&mut self) -> bool {
        std::mem::take(&mut self.0) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_quarter_of_a_minute_and_begin_anew() {
        let mut waits = Waits::default();
        let seconds: Vec<u64> = (0..80).map(|_| waits.next().as_secs()).collect();
        assert_eq!(seconds[..5], [1, 2, 4, 8, 15]);
        assert_eq!(seconds[79], 15);
        assert!(waits.over());
        assert!(!waits.over());
        assert_eq!(waits.next().as_secs(), 1);
    }

    #[test]
    fn a_name_leads_into_its_folder_only() {
        let file = state_file(Some(Path::new("state")), "../Dach 1").expect("fine");
        assert_eq!(file, Path::new("state/___Dach_1.token"));
    }

    #[test]
    fn tokens_are_kept_where_the_person_keeps_such_things() {
        let both = |name: &str| match name {
            "XDG_STATE_HOME" => Some("/s".into()),
            _ => Some("/h".into()),
        };
        assert_eq!(own_folder(both), Some("/s/greenhouse".into()));
        let home = |name: &str| (name == "HOME").then(|| "/h".into());
        assert_eq!(own_folder(home), Some("/h/.local/state/greenhouse".into()));
        assert_eq!(own_folder(|_| None), None);
    }
}
