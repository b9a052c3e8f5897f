//! Mistakes made on purpose. A judge that has never seen a guilty one is worth nothing, so each
//! *plant* is a mistake that a competent programmer could make in a lower crate, and the simulator
//! has to notice it.
//!
//! The crates that hold them do so under their feature `plants`, as `if planted!(Name) { .. }`;
//! without the feature that is `if false`, and they do not know this crate. With it, at most one
//! mistake is made at a time, by every peer of the process.
//!
//! Not known here: where a mistake is made, and what notices it.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! plants {
    ($($plant:ident, $name:literal, $what:literal;)+) => {
        /// A mistake made on purpose; [`Plant::what`] says which.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Plant {
            $(#[doc = $what] $plant,)+
        }

        impl Plant {
            /// All of them.
            pub const ALL: [Self; [$(Self::$plant),+].len()] = [$(Self::$plant),+];

            /// Its name on the command line, in kebab-case.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$plant => $name,)+
                }
            }

            /// What is done wrong, and which promise that breaks: one sentence.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$plant => $what,)+
                }
            }
        }
    };
}

plants! {
    OrderByArrival, "order-by-arrival",
        "A late entry runs after all that have run, whatever its position: rows differ between peers that heard entries in another order.";
    ForgetAbsentKey, "forget-absent-key",
        "The reads of a call leave out keys under which it found nothing: the call does not run again when an earlier one writes there.";
    SkipRangeRead, "skip-range-read",
        "The reads of a call leave out what it scanned: the call does not run again when an earlier one changes a row within.";
    ForgetCountRead, "forget-count-read",
        "The reads of a call leave out tables that it counted: the call does not run again when an earlier one adds a row.";
    ForgetFailedReads, "forget-failed-reads",
        "A call that failed keeps no reads: it does not run again when an earlier one removes the reason of its failure.";
    StopBeforeNextWriter, "stop-before-next-writer",
        "A change is taken to be seen by calls before the next writer of its key and not by that writer: read-modify-write works on a value that is gone.";
    StaleReadAfterRollback, "stale-read-after-rollback",
        "What a withdrawn call wrote stays visible: rows depend on entries that are elsewhere in the order.";
    StaleCountAfterRollback, "stale-count-after-rollback",
        "Going back in the tail does not take back row counts: a table tells another number than it has rows.";
    CountTwice, "count-twice",
        "A call that runs again sees what it wrote the first time: its effect counts twice.";
    AutoIncByArrival, "auto-inc-by-arrival",
        "A late call draws its number after the newest one drawn anywhere in the tail, not after those before it: numbers depend on arrival.";
    LeakMemory, "leak-memory",
        "Memory that the module begins with is not set back after a call, as if its data were constant: a reducer sees what an earlier call left, and peers that ran other calls differ.";
    FlushPastTheCut, "flush-past-the-cut",
        "Settling writes the newest version of a key, though it is of a call beyond the cut: the base is not the cut's state.";
    SettlePastReaders, "settle-past-readers",
        "A cut takes calls out of the middle of the tail without a look at whether those that stay have read what they wrote: these go on with what they saw.";
    PartialCutAdvance, "partial-cut-advance",
        "A cut is believed though its state root is not ours: rows that differ stay different, and nobody hears of it.";
    BaseBeforeLog, "base-before-log",
        "A cut is settled in the base before the log holds it: a crash in between leaves rows of a cut that the log does not know.";
    CutBeforeSync, "cut-before-sync",
        "A cut is told before it is durable: after a crash its finaliser signs another one of the same height.";
    CutWithoutAsking, "cut-without-asking",
        "A finaliser that starts signs at once instead of asking for later cuts of its own: a restored backup forks the database.";
    ForkByArrival, "fork-by-arrival",
        "Of two branches of cuts the one heard first is kept: peers that heard them in another order never agree.";
    DedupForgets, "dedup-forgets",
        "An entry that is sent again after it became final is taken in as if it were new: its calls run twice.";
    DropPending, "drop-pending",
        "An entry that waited and was dropped with its link counts as known from then on: it is never taken in again.";
    AcknowledgeBeforeSync, "acknowledge-before-sync",
        "A call is confirmed, and its entry sent, before the log is synced: a crash loses what was acknowledged.";
    LostTailWrite, "lost-tail-write",
        "The log notes the positions of new entries in a second commit that is not synced: after a crash it holds entries that are in no tail, and takes them in no more.";
    ReuseEpoch, "reuse-epoch",
        "A process goes on in the chain of the one before it: an honest author gives two entries the same place.";
    ForeignSignature, "foreign-signature",
        "An entry that was signed for another database is accepted: calls run where nobody made them.";
    SkipRightsCheck, "skip-rights-check",
        "Entries of authors who may not write count and run: readers and strangers change rows.";
    ThawEquivocator, "thaw-equivocator",
        "The cut that covers the report of an equivocator ends its effect: later entries of a frozen author run.";
    LocalClockValidity, "local-clock-validity",
        "An entry from more than five seconds ahead of the own wall clock is taken for invalid: whether it counts depends on who judges.";
    KeepOverlayOnUpgrade, "keep-overlay-on-upgrade",
        "What the tail did is not run again when another module takes over: its effects are lost until something goes back.";
    KeepModuleOnUpgrade, "keep-module-on-upgrade",
        "After an upgrade the running process goes on with the old module: peers that restarted run other code than those that did not.";
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no mistake of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchPlant(pub String);

impl fmt::Display for NoSuchPlant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Plant::ALL.map(Plant::name).join(", ");
        write!(f, "there is no plant \"{}\", there are: {names}", self.0)
    }
}

impl std::error::Error for NoSuchPlant {}

impl FromStr for Plant {
    type Err = NoSuchPlant;

    fn from_str(name: &str) -> Result<Self, NoSuchPlant> {
        Self::ALL
            .into_iter()
            .find(|plant| plant.name() == name)
            .ok_or_else(|| NoSuchPlant(name.to_owned()))
    }
}

/// The planted mistake by its place in [`Plant::ALL`], from 1 on; 0: none.
static PLANTED: AtomicUsize = AtomicUsize::new(0);

/// Makes a mistake from now on, in the whole process, instead of any other; `None`: makes none.
/// Peers that are running take it up at once, so plant before a world begins.
pub fn plant(plant: Option<Plant>) {
    let place = plant.map_or(0, |plant| plant as usize + 1);
    PLANTED.store(place, Ordering::Relaxed);
}

/// Whether this mistake is to be made.
#[must_use]
pub fn is(plant: Plant) -> bool {
    PLANTED.load(Ordering::Relaxed) == plant as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for (place, plant) in Plant::ALL.into_iter().enumerate() {
            assert_eq!(plant.name().parse(), Ok(plant));
            let others = &Plant::ALL[place + 1..];
            assert!(others.iter().all(|other| other.name() != plant.name()));
            assert!(others.iter().all(|other| other.what() != plant.what()));
        }
        let unknown = "order-by-moon".parse::<Plant>().expect_err("there is none");
        assert!(
            unknown.to_string().contains("order-by-arrival"),
            "{unknown}"
        );
    }

    #[test]
    fn names_are_the_variants_in_kebab_case() {
        for plant in Plant::ALL {
            let mut kebab = String::new();
            for letter in format!("{plant:?}").chars() {
                if letter.is_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.extend(letter.to_lowercase());
            }
            assert_eq!(plant.name(), kebab);
        }
    }

    /// The only test that plants anything: the others of this process would see it.
    #[test]
    fn one_is_planted_at_a_time() {
        for planted in Plant::ALL {
            plant(Some(planted));
            for other in Plant::ALL {
                assert_eq!(is(other), other == planted);
            }
        }
        plant(None);
        assert!(!Plant::ALL.into_iter().any(is));
    }
}
