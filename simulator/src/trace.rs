//! What happened, line by line, as text for people and as one hash for machines: two runs of one
//! seed with unlike hashes are a bug of their own.

use std::fmt;

use sync_protocol::BlobHash;

/// The record of a run.
#[derive(Debug)]
pub struct Trace {
    kept: Option<Vec<String>>,
    hash: BlobHash,
    lines: u64,
}

impl Trace {
    /// A record that keeps its lines only if asked to: there are many.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self {
            kept: keep.then(Vec::new),
            hash: BlobHash::ZERO,
            lines: 0,
        }
    }

    /// Adds a line.
    pub fn line(&mut self, us: u64, what: fmt::Arguments<'_>) {
        let line = format!("{:>12} {what}", Seconds(us));
        let mut chained = self.hash.0.to_vec();
        chained.extend_from_slice(line.as_bytes());
        self.hash = BlobHash::of(&chained);
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(line);
        }
    }

    /// The hash of all lines.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.kept.unwrap_or_default()
    }
}

/// Microseconds as seconds, without rounding.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_every_line_and_their_order() {
        let hash = |lines: &[&str]| {
            let mut trace = Trace::new(false);
            for line in lines {
                trace.line(1_500_000, format_args!("{line}"));
            }
            trace.hash()
        };
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab"]));
        let mut kept = Trace::new(true);
        kept.line(1_500_000, format_args!("x"));
        assert_eq!(kept.into_lines(), ["    1.500000 x"]);
    }
}
