//! Time as an argument. Nothing below the driver reads a clock: it is told `now`.

use serde::{Deserialize, Serialize};

/// The local monotonic clock, in microseconds since an arbitrary start. Measures waits; is never
/// sent, stored or compared with another peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Microseconds since `earlier`, zero if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Hybrid logical clock: microseconds since the Unix epoch as far as clocks agree, and later than
/// everything it builds on in any case (Kulkarni et al. 2014). Every entry carries one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Time of the `index`-th invocation of an entry with this time and `stride`:
    /// `hlc + (index << stride)`. Saturates, so a forged header cannot overflow.
    #[must_use]
    pub const fn at_index(self, index: u16, stride: u8) -> Self {
        let stride = if stride > 32 { 32 } else { stride };
        Self(self.0.saturating_add((index as u64) << stride))
    }
}

/// What the clocks say as an input is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The local monotonic clock.
    pub tick: Tick,
    /// The local wall clock, microseconds since the Unix epoch. It may jump and be wrong.
    pub wall: u64,
}
