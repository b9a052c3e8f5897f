//! What may go wrong, by name.

use std::fmt;
use std::str::FromStr;

/// Something that may go wrong or happen besides. Each can be left out of a run: then what else
/// happens is drawn as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Messages are lost while their link lives.
    Loss,
    /// Messages arrive twice.
    Doubling,
    /// Messages overtake each other.
    Reordering,
    /// Messages take long.
    Delay,
    /// Links are lost.
    LostLinks,
    /// The network parts.
    Partitions,
    /// A link carries messages one way only.
    OneWayLinks,
    /// Peers lose power.
    Crashes,
    /// What was not synced may be on the disk in part.
    TornWrites,
    /// The power fails amid the writes of a step.
    CrashesAmidWrites,
    /// Disks are full for a while.
    FullDisks,
    /// Disks give back other bytes than were written.
    BitRot,
    /// Clocks are wrong by some seconds.
    WrongClocks,
    /// Clocks run fast or slow.
    Drift,
    /// A clock is wrong by days.
    DaysApart,
    /// Clocks are set while peers run.
    ClockJumps,
    /// Some peers take long for everything.
    SlowPeers,
    /// The last peer joins while everything else goes on.
    LateJoiner,
    /// A peer goes away for ever.
    Leaver,
    /// A stranger gets links and sends what it overheard, spoilt or not.
    Stranger,
    /// The last peer's key signs second histories.
    Equivocation,
    /// The last peer writes entries with old times onto old parents.
    BackDating,
    /// The last peer writes entries with times of the future.
    FutureStamps,
    /// The last peer keeps to itself what it should pass on.
    Withholding,
    /// The last peer sends more than anybody can use.
    Floods,
    /// The last peer writes far more entries than its share, all of them valid.
    Deluge,
    /// The last peer signs cuts.
    LyingCuts,
    /// The last peer passes on entries of another database and of people who are no members.
    ForeignEntries,
    /// The last peer sends messages again, late or spoilt.
    Garbage,
    /// Finality is handed to another peer.
    FinaliserMoves,
    /// The finaliser is cut off, and the recovery key makes another one.
    FinaliserLost,
    /// The database gets another module, with one table more.
    Upgrade,
    /// The finaliser's directory is replaced by an older backup of it.
    RestoredBackup,
    /// In the end the finaliser's key signs a cut over rows that no calls give.
    FalseRoot,
    /// The owner puts the last peer out, which goes on writing.
    PutOut,
    /// The owner and an admin quarrel over roles: the admin's own, and the last peer's.
    Duel,
    /// The last peer admits a stranger with a ticket that is used up.
    UsedTickets,
    /// The last peer writes calls about members that it may not make.
    Usurping,
}

use Fault as F;

impl Fault {
    /// All of them, in the order in which a smaller run is looked for.
    pub const ALL: [Self; 38] = [
        F::RestoredBackup,
        F::FalseRoot,
        F::PutOut,
        F::Duel,
        F::UsedTickets,
        F::Usurping,
        F::FinaliserLost,
        F::FinaliserMoves,
        F::Upgrade,
        F::Equivocation,
        F::BackDating,
        F::FutureStamps,
        F::LyingCuts,
        F::Floods,
        F::Deluge,
        F::Withholding,
        F::ForeignEntries,
        F::Garbage,
        F::Stranger,
        F::Leaver,
        F::LateJoiner,
        F::SlowPeers,
        F::DaysApart,
        F::ClockJumps,
        F::WrongClocks,
        F::Drift,
        F::BitRot,
        F::FullDisks,
        F::Crashes,
        F::TornWrites,
        F::CrashesAmidWrites,
        F::Partitions,
        F::OneWayLinks,
        F::LostLinks,
        F::Reordering,
        F::Doubling,
        F::Loss,
        F::Delay,
    ];

    /// How people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            F::Loss => "loss",
            F::Doubling => "doubling",
            F::Reordering => "reordering",
            F::Delay => "delay",
            F::LostLinks => "lost-links",
            F::Partitions => "partitions",
            F::OneWayLinks => "one-way-links",
            F::Crashes => "crashes",
            F::TornWrites => "torn-writes",
            F::CrashesAmidWrites => "crashes-amid-writes",
            F::FullDisks => "full-disks",
            F::BitRot => "bit-rot",
            F::WrongClocks => "wrong-clocks",
            F::Drift => "drift",
            F::DaysApart => "days-apart",
            F::ClockJumps => "clock-jumps",
            F::SlowPeers => "slow-peers",
            F::LateJoiner => "late-joiner",
            F::Leaver => "leaver",
            F::Stranger => "stranger",
            F::Equivocation => "equivocation",
            F::BackDating => "back-dating",
            F::FutureStamps => "future-stamps",
            F::Withholding => "withholding",
            F::Floods => "floods",
            F::Deluge => "deluge",
            F::LyingCuts => "lying-cuts",
            F::ForeignEntries => "foreign-entries",
            F::Garbage => "garbage",
            F::FinaliserMoves => "finaliser-moves",
            F::FinaliserLost => "finaliser-lost",
            F::Upgrade => "upgrade",
            F::RestoredBackup => "restored-backup",
            F::FalseRoot => "false-root",
            F::PutOut => "put-out",
            F::Duel => "role-duel",
            F::UsedTickets => "used-tickets",
            F::Usurping => "usurping",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No fault has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchFault(String);

impl fmt::Display for NoSuchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Fault::ALL.map(Fault::name).join(", ");
        write!(f, "there is no fault `{}`; there are {names}", self.0)
    }
}

impl std::error::Error for NoSuchFault {}

impl FromStr for Fault {
    type Err = NoSuchFault;

    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let named = |fault: &Self| fault.name() == text;
        let found = Self::ALL.into_iter().find(named);
        found.ok_or_else(|| NoSuchFault(text.to_owned()))
    }
}
