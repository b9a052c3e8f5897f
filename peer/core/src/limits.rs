//! Bounds of the core that are no part of the protocol, with unit and reason.

use sync_protocol::limits::MODULE_BYTES_MAX;

/// Entries of one database that wait for modules they publish. An owner publishes by hand.
pub(crate) const PARKED_ENTRIES_MAX: usize = 16;

/// Bytes of those entries. One always has room.
pub(crate) const PARKED_BYTES_MAX: usize = 4 << 20;

/// Modules of one database that are being fetched at a time: they are in memory until they are
/// whole. Two, so that one that nobody has any more does not stop the next.
pub(crate) const FETCHED_MODULES_MAX: usize = 2;

/// Milliseconds that a publish waits for the cut that judges it before the client is told that it
/// still waits. A finaliser that is there cuts within three seconds.
pub(crate) const PUBLISH_WAIT_MS: u64 = 10_000;

const _: () = assert!(FETCHED_MODULES_MAX * MODULE_BYTES_MAX <= 128 << 20);
