//! Bounds of the core that are no part of the protocol, with unit and reason.

/// Entries of one database that wait for modules they publish. An owner publishes by hand.
pub(crate) const PARKED_ENTRIES_MAX: usize = 16;

/// Bytes of those entries. One always has room.
pub(crate) const PARKED_BYTES_MAX: usize = 4 << 20;

/// Milliseconds that a publish waits for the cut that judges it before the client is told that it
/// still waits. A finaliser that is there cuts within three seconds.
pub(crate) const PUBLISH_WAIT_MS: u64 = 10_000;

/// Bytes of memory for what the files of all databases hold, at least, and unless the options say
/// otherwise. What is not here is mostly in the system's own cache, a copy away. An idle peer shall have
/// room beside them in the 64 MiB that are promised.
pub(crate) const CACHES_BYTES: usize = 16 << 20;

/// What part of a machine's memory that may be, where there is more: a peer is seldom all that runs there.
pub(crate) const CACHES_PART: u64 = 8;

/// Bytes of cache of one file at least: with less it would read its inner pages again and again.
pub(crate) const CACHE_BYTES_MIN: usize = 512 << 10;

/// Bytes of the entries of one database that stay in memory with their bodies, as stored. Enough
/// for what comes in between two sweeps, and for a late entry to find the end of the tail here; a
/// longer way back costs one read of the log an entry, which is little beside running it.
pub(crate) const BODIES_BYTES_MAX: usize = 4 << 20;

/// Bytes of a failure's text that stay in memory while the call is in the tail. A guest may write
/// as much as its memory holds; who waits for the answer gets all of it.
pub(crate) const KEPT_TEXT_BYTES_MAX: usize = 256;

/// Microseconds that each member after the author of a row waits longer before it fires it. In tests so
/// little that several do.
pub(crate) const FIRE_GRACE_US: u64 = if cfg!(test) { 20_000 } else { 2_000_000 };

/// Rows that are due, or the next ones to be, that are looked at each time.
pub(crate) const FIRES_LOOKED_AT_MAX: usize = 1_024;

/// Calls of a database that `st_invocation` still shows when they have become final.
pub(crate) const RECENT_CALLS_MAX: usize = 1_024;

/// The newest calls of a tail: `st_invocation` shows those of them that it may.
pub(crate) const TAIL_CALLS_SHOWN_MAX: usize = 4_096;

/// Entries of another member that may run at once. One that comes back after days of work on its own,
/// a call every ten seconds, is heard at once; taking in so many costs seconds.
pub(crate) const ENTRIES_AT_ONCE: u64 = 32_768;

/// Entries of another member that may run every second after that. A person makes a few; a program
/// that makes more puts many calls into one entry. They take a tenth of a core.
pub(crate) const ENTRIES_PER_S: u64 = 1_024;

/// Bytes of another member's entries that may run at once: fifteen of the largest.
pub(crate) const BYTES_AT_ONCE: u64 = 64 << 20;

/// Bytes of another member's entries that may run every second after that: more than a hundred
/// thousand calls, if they are batched.
pub(crate) const BYTES_PER_S: u64 = 16 << 20;

/// Units that another member's calls may use at once. A unit is about a nanosecond, and a call of the
/// usual kind takes ten thousand, so a burst of entries as above is well within it; four entries
/// that use all that an entry may are not.
pub(crate) const UNITS_AT_ONCE: u64 = 8_000_000_000;

/// Units that another member's calls may use every second after that: three quarters of a core, so that half of what
/// a peer can do is not held back.
pub(crate) const UNITS_PER_S: u64 = 750_000_000;

/// Units of a member's calls that run again when a database is opened: a minute's work. A tail of
/// millions of ordinary calls is below it, and a start must come to an end whatever was held back.
pub(crate) const START_UNITS: u64 = 64_000_000_000;

/// Entries of one author that may be held back. A stub of each is in memory: 64 MiB.
pub(crate) const HELD_ENTRIES_MAX: usize = 65_536;

/// Bytes of one author's entries that may be held back, on disk.
pub(crate) const HELD_BYTES_MAX: usize = 256 << 20;

/// So many times as much is taken in from others than its author: they may have seen it run, and
/// what they write builds on it.
pub(crate) const RELAYED_TIMES: usize = 4;

/// Milliseconds between two times that something is let go: each costs a sweep.
pub(crate) const RELEASE_EVERY_MS: u64 = 100;

// What an entry may use at most is within a share, or it would wait to be owed.
const _: () = assert!(BYTES_AT_ONCE > sync_protocol::limits::BODY_BYTES_MAX as u64);
const _: () = assert!(START_UNITS >= UNITS_AT_ONCE);

/// Milliseconds between two looks at views of this peer that clients follow: made anew each time, they
/// cost what they hold, not what changed.
pub(crate) const VIEWS_EVERY_MS: u64 = 100;

/// Bytes of what the calls of one database's tail have read. Of the oldest it is forgotten when there
/// is more: a change before one of them makes it run again, whatever it read. In tests so little that
/// it happens.
pub(crate) const TRACE_BYTES_MAX: usize = if cfg!(test) { 16 << 10 } else { 16 << 20 };

/// Calls that run again one by one, of every so many that are looked at, before all that is left
/// does. A call that runs amid others costs up to one and a half times what it costs at the end, and one
/// that does not run costs next to nothing: beyond this there is nothing to be had any more.
pub(crate) const SELECTIVE_PERCENT_MAX: usize = 80;

/// Executed calls after which a selective sweep judges whether it still pays. So few that giving up
/// late costs little, so many that a crowd of changes in one place does not decide for all of a tail.
/// In tests so few that it happens.
pub(crate) const SELECTIVE_WINDOW_CALLS: usize = if cfg!(test) { 24 } else { 256 };

/// With fewer calls than these after the first change it does not matter.
pub(crate) const SELECTIVE_CALLS_MIN: usize = 16;

/// Microseconds after which entries name a cut that changed rows alone. In a local network members have taken it
/// by then, and what names it need not wait there.
pub(crate) const NAMED_AFTER_US: u64 = 100_000;
