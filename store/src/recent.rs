//! What a call has read last of what lies below its own writes: whoever finds a row and then updates it
//! looks for it twice.

use crate::key::Key;
use crate::overlay::Row;

/// Keys that are remembered: as many as a call has in hand at once, few enough to walk past.
const REMEMBERED: usize = 8;

/// Keys read last, with their values. Good for as long as nothing below changes: for one call.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    read: Vec<(Key, Option<Row>)>,
    /// Which one is replaced next.
    next: usize,
}

impl Recent {
    /// The value of a key, if it is remembered.
    pub(crate) fn get(&self, key: &Key) -> Option<Option<Row>> {
        let held = self.read.iter().find(|(read, _)| read == key)?;
        Some(held.1.clone())
    }

    /// Remembers a key that is not remembered yet.
    pub(crate) fn put(&mut self, key: Key, value: Option<Row>) {
        if self.read.len() < REMEMBERED {
            self.read.push((key, value));
            return;
        }
        self.read[self.next] = (key, value);
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.read.clear();
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_are_remembered() {
        let key = |n: u8| Key::from(&[0, 0, 0, 1, n][..]);
        let row = |n: u8| Some(Row::from(&[n][..]));
        let mut recent = Recent::default();
        for n in 0..11 {
            assert_eq!(recent.get(&key(n)), None);
            recent.put(key(n), row(n));
        }
        for n in 0..3 {
            assert_eq!(recent.get(&key(n)), None, "{n} was replaced");
        }
        for n in 3..11 {
            assert_eq!(recent.get(&key(n)), Some(row(n)));
        }
        recent.put(key(20), None);
        assert_eq!(recent.get(&key(20)), Some(None), "absent is known too");
        recent.clear();
        assert_eq!(recent.get(&key(20)), None);
    }
}
