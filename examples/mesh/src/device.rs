//! What all devices share: where the token is kept, and how long to wait for a peer that does not answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file with a device's token. Letters that a file's name should not have are replaced.
pub(crate) fn state_file(folder: &Path, name: &str) -> PathBuf {
    let plain = |letter: char| match letter.is_ascii_alphanumeric() || letter == '-' {
        true => letter,
        false => '_',
    };
    let name: String = name.chars().map(plain).collect();
    folder.join(format!("{name}.token"))
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
        let file = state_file(Path::new("state"), "../Dach 1");
        assert_eq!(file, Path::new("state/___Dach_1.token"));
    }
}
