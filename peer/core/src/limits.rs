//! Bounds of the core that are no part of the protocol, with unit and reason.

/// Entries of one database that wait for modules they publish. An owner publishes by hand.
pub(crate) const PARKED_ENTRIES_MAX: usize = 16;

/// Bytes of those entries. One always has room.
pub(crate) const PARKED_BYTES_MAX: usize = 4 << 20;

/// Milliseconds that a publish waits for the cut that judges it before the client is told that it
/// still waits. A finaliser that is there cuts within three seconds.
pub(crate) const PUBLISH_WAIT_MS: u64 = 10_000;
