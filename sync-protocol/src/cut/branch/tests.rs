use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::cut::CutDraft;
use crate::fixtures::{Birth, Dice, key};
use crate::ids::{CutId, OrderRoot};
use crate::keys::SecretKey;

const RECOVERY: [u8; 2] = [200, 201];

fn recovery_keys() -> Vec<DeviceKey> {
    RECOVERY.iter().map(|n| key(*n).public()).collect()
}

/// A cut after `parent`, told apart by `mark`.
fn after(parent: &Cut, term: Term, finaliser: u8, mark: u8, signer: &SecretKey) -> Cut {
    let draft = CutDraft {
        database: parent.database,
        term,
        height: parent.height + 1,
        parent: parent.id(),
        engine: 1,
        frontier: parent.frontier.clone(),
        order_root: OrderRoot([mark; 32]),
        state_root: parent.state_root,
        finalisers: vec![key(finaliser).public()],
    };
    Cut::seal(draft, signer).unwrap()
}

/// The key of the finaliser that a cut names.
fn finaliser_of(cut: &Cut) -> u8 {
    (0..10)
        .find(|n| [key(*n).public()] == *cut.finalisers)
        .unwrap()
}

fn ordinary(parent: &Cut, mark: u8) -> Cut {
    let finaliser = finaliser_of(parent);
    after(parent, parent.term, finaliser, mark, &key(finaliser))
}

fn recovery(parent: &Cut, to: u8, by: u8) -> Cut {
    let named = [key(to).public()];
    let term = parent.term.next(&parent.id(), &named).unwrap();
    after(parent, term, to, 0, &key(by))
}

#[test]
fn a_cut_is_certified_by_its_parents_finaliser_or_by_a_recovery_key() {
    let birth = Birth::new().cut;
    let keys = recovery_keys();
    let check = |cut: &Cut, holds: bool| {
        assert_eq!(cut.verify_after(&birth, &keys).is_ok(), holds, "{cut:?}");
    };
    let plain = ordinary(&birth, 1);
    check(&plain, true);
    assert!(!plain.is_recovery_after(&birth));
    let recovered = recovery(&birth, 3, RECOVERY[1]);
    check(&recovered, true);
    assert!(recovered.is_recovery_after(&birth));
    check(&recovery(&birth, 3, 0), false);
    check(&after(&birth, birth.term, 0, 1, &key(RECOVERY[0])), false);
    check(
        &after(&birth, Term(2 << 32), 0, 1, &key(RECOVERY[0])),
        false,
    );
    check(&ordinary(&plain, 1), false);
    let mut further = birth.clone();
    further.height = u64::MAX;
    assert!(plain.verify_after(&further, &keys).is_err());
    assert!(recovered.verify_after(&birth, &[]).is_err());
}

#[test]
fn a_branch_is_checked_cut_by_cut() {
    let birth = Birth::new().cut;
    let keys = recovery_keys();
    let (one, other) = (ordinary(&birth, 1), ordinary(&birth, 2));
    let mut branch = Branch::after(birth.clone());
    branch.push(one.clone(), &keys).unwrap();
    assert_eq!(branch.verdict(Term::FIRST), Verdict::Forked);
    let stray = branch.push(ordinary(&other, 3), &keys);
    assert!(matches!(
        stray,
        Err(BranchError::Cut(CutError::DoesNotFollow { .. }))
    ));
    branch.push(recovery(&one, 4, RECOVERY[0]), &keys).unwrap();
    assert_eq!(branch.verdict(Term::FIRST), Verdict::Better);
    assert_eq!(branch.verdict(Term(9 << 32)), Verdict::Worse);
    assert_eq!((branch.cuts().len(), branch.common()), (2, &birth));
    assert_eq!(branch.reference(), branch.tip().reference());
}

/// What a peer does with what it is told: as the replica, with nothing but cuts.
struct Peer {
    history: Vec<Cut>,
    forked: bool,
}

impl Peer {
    fn tip(&self) -> &Cut {
        self.history.last().unwrap()
    }

    /// Somebody shows a whole history.
    fn hear(&mut self, theirs: &[Cut]) {
        let differs = |(a, b): (&Cut, &Cut)| a.id() != b.id();
        let common = self
            .history
            .iter()
            .zip(theirs)
            .take_while(|pair| !differs(*pair));
        let common = common.count();
        let mut branch = Branch::after(theirs[common - 1].clone());
        for cut in &theirs[common..] {
            branch.push(cut.clone(), &recovery_keys()).unwrap();
            if common == self.history.len() {
                // It goes on where ours ends; in a fork only a recovery counts.
                if !self.forked || cut.term > self.tip().term {
                    self.forked = false;
                    self.history.truncate(common);
                    self.history.extend_from_slice(branch.cuts());
                    return self.hear(theirs);
                }
                continue;
            }
            match branch.verdict(self.tip().term) {
                Verdict::Better => {
                    self.history.truncate(common);
                    self.history.extend_from_slice(branch.cuts());
                    self.forked = false;
                    return self.hear(theirs);
                }
                Verdict::Forked => self.forked = true,
                Verdict::Worse => {}
            }
        }
    }
}

/// What must hold, from the cuts alone: the greatest term, and in it the longest history, unless
/// two cuts of it follow one.
fn expected(cuts: &BTreeMap<CutId, Cut>) -> Option<CutId> {
    let term = cuts.values().map(|cut| cut.term).max().unwrap();
    let of_term: Vec<&Cut> = cuts.values().filter(|cut| cut.term == term).collect();
    let parents: BTreeSet<CutId> = of_term.iter().map(|cut| cut.parent).collect();
    if parents.len() < of_term.len() {
        return None;
    }
    of_term
        .iter()
        .max_by_key(|cut| cut.height)
        .map(|cut| cut.id())
}

fn history_of(cuts: &BTreeMap<CutId, Cut>, tip: CutId) -> Vec<Cut> {
    let mut history = Vec::new();
    let mut at = Some(&tip);
    while let Some(cut) = at.and_then(|id| cuts.get(id)) {
        history.push(cut.clone());
        at = Some(&cut.parent);
    }
    history.reverse();
    history
}

#[test]
fn peers_agree_whatever_cuts_they_hear_of_first() {
    let birth = Birth::new().cut;
    let (mut forked, mut recovered) = (0, 0);
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut cuts = BTreeMap::from([(birth.id(), birth.clone())]);
        let (forks, recoveries) = (dice.below(4) * 10, dice.below(4) * 10);
        let mut last = birth.id();
        for mark in 0..9 {
            let parent = if dice.chance(forks) {
                cuts.values().nth(dice.below(cuts.len())).unwrap()
            } else {
                &cuts[&last]
            };
            let cut = if dice.chance(recoveries) {
                let to = u8::try_from(dice.below(3)).unwrap();
                recovery(parent, to, RECOVERY[dice.below(2)])
            } else {
                ordinary(parent, mark)
            };
            last = cut.id();
            cuts.insert(last, cut);
        }
        let expected = expected(&cuts);
        forked += u32::from(expected.is_none());
        recovered += u32::from(cuts.values().any(|cut| cut.term != Term::FIRST));
        let ids: Vec<CutId> = cuts.keys().copied().collect();
        for _ in 0..3 {
            let mut peer = Peer {
                history: vec![birth.clone()],
                forked: false,
            };
            // Each history is heard at some time.
            let mut heard = ids.clone();
            dice.shuffle(&mut heard);
            for tip in heard {
                peer.hear(&history_of(&cuts, tip));
            }
            match expected {
                Some(tip) => {
                    assert_eq!((peer.forked, peer.tip().id()), (false, tip), "seed {seed}")
                }
                None => {
                    assert!(peer.forked, "seed {seed}");
                    let term = cuts.values().map(|cut| cut.term).max().unwrap();
                    assert_eq!(peer.tip().term, term, "seed {seed}");
                }
            }
        }
    }
    assert!(forked > 30 && recovered > 100, "{forked} {recovered}");
}
