//! What is final stays: one cut a height, and no peer goes back. Only where the recovery key was
//! used may a peer leave the branch that lost.

use std::collections::BTreeMap;

/// The cuts that were ever seen.
#[derive(Debug, Default)]
pub(crate) struct CutWatch {
    /// By height: the cuts seen there.
    seen: BTreeMap<u64, Vec<(String, String)>>,
    highest: BTreeMap<usize, u64>,
    /// The last height that a recovery or a restored backup left as it was.
    recovered_above: Option<u64>,
}

impl CutWatch {
    /// The recovery key was used by a peer at this height: cuts above it may come to nothing.
    pub(crate) fn recovered(&mut self, height: u64) {
        let before = self.recovered_above.unwrap_or(height);
        self.recovered_above = Some(before.min(height));
    }

    /// A peer starts on an older backup, while others have seen cuts up to this height: what it
    /// alone signed above may come to nothing.
    pub(crate) fn restored(&mut self, peer: usize, height: u64) {
        self.highest.remove(&peer);
        self.recovered(height);
    }

    /// A peer shows this as its last cut.
    pub(crate) fn see(
        &mut self,
        peer: usize,
        height: u64,
        id: String,
        state_root: String,
    ) -> Result<(), String> {
        let may_change = |height: u64| self.recovered_above.is_some_and(|last| height > last);
        let cut = (id, state_root);
        let known = self.seen.entry(height).or_default();
        if !known.contains(&cut) {
            known.push(cut);
        }
        if known.len() > 1 && !may_change(height) {
            return Err(format!("two unlike cuts at height {height}"));
        }
        let before = self.highest.insert(peer, height).unwrap_or(0);
        if before > height && !may_change(before) {
            return Err(format!(
                "peer {peer} went back from cut {before} to cut {height}"
            ));
        }
        Ok(())
    }

    /// Whether all cuts that were seen are among those of a history, whose ids these are.
    pub(crate) fn kept(&self, history: &[String]) -> Result<(), String> {
        for (height, cuts) in &self.seen {
            let at = usize::try_from(*height).unwrap_or(usize::MAX);
            let may_change = self.recovered_above.is_some_and(|last| *height > last);
            let stands = history.get(at);
            if !may_change && !cuts.iter().all(|(id, _)| Some(id) == stands) {
                return Err(format!(
                    "cut {} at height {height} was final, now there is {}",
                    cuts[0].0,
                    stands.map_or("none", String::as_str)
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest.values().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(watch: &mut CutWatch, peer: usize, height: u64, id: &str) -> Result<(), String> {
        watch.see(peer, height, id.to_owned(), format!("root of {id}"))
    }

    #[test]
    fn cuts_are_one_a_height_and_never_go_back() {
        let mut watch = CutWatch::default();
        assert_eq!(see(&mut watch, 0, 1, "a"), Ok(()));
        assert_eq!(see(&mut watch, 1, 1, "a"), Ok(()));
        assert_eq!(see(&mut watch, 0, 2, "b"), Ok(()));
        let history = ["genesis", "a", "b"].map(str::to_owned);
        assert_eq!(watch.kept(&history), Ok(()));
        assert!(watch.kept(&history[..2]).is_err(), "cut 2 is gone");
        assert!(see(&mut watch, 1, 2, "c").is_err(), "forked");
        assert!(see(&mut watch, 0, 1, "a").is_err(), "went back");
    }

    #[test]
    fn a_backup_gives_up_what_no_other_peer_saw() {
        let mut watch = CutWatch::default();
        for (peer, height, id) in [(0, 3, "c"), (1, 3, "c"), (0, 4, "d")] {
            assert_eq!(see(&mut watch, peer, height, id), Ok(()));
        }
        watch.restored(0, 3);
        assert_eq!(see(&mut watch, 0, 1, "a"), Ok(()), "it starts further back");
        assert_eq!(see(&mut watch, 0, 4, "e"), Ok(()));
        assert!(see(&mut watch, 0, 3, "x").is_err(), "peer 1 has that one");
    }

    #[test]
    fn a_recovery_gives_up_what_came_after_it_and_nothing_else() {
        let mut watch = CutWatch::default();
        assert_eq!(see(&mut watch, 0, 3, "c"), Ok(()));
        assert_eq!(see(&mut watch, 0, 4, "d"), Ok(()));
        watch.recovered(3);
        assert_eq!(see(&mut watch, 1, 4, "e"), Ok(()));
        assert_eq!(
            see(&mut watch, 0, 3, "c"),
            Ok(()),
            "on its way to the other branch"
        );
        let history = ["g", "a", "b", "c", "e"].map(str::to_owned);
        assert_eq!(watch.kept(&history), Ok(()));
        assert!(
            see(&mut watch, 1, 3, "x").is_err(),
            "the recovery kept that one"
        );
    }
}
