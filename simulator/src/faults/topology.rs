//! Which peers are linked.

use crate::seed::Dice;

/// Who can reach whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody everybody.
    Full,
    /// Each the next one: whatever the first writes is forwarded to the last.
    Line,
    /// The first everybody, the others only it.
    Star,
    /// Each the next two, around: what large meshes look like.
    Ring,
}

/// Peers from which on nobody has a link to everybody.
const LARGE: usize = 9;

impl Topology {
    /// One that suits so many peers.
    pub(crate) fn draw(dice: &mut Dice, peers: usize) -> Self {
        let some: &[Self] = if peers < LARGE {
            &[Self::Full, Self::Full, Self::Line, Self::Star]
        } else {
            &[Self::Ring, Self::Ring, Self::Star]
        };
        some[dice.index(some.len())]
    }

    /// Whether two of `peers` peers have a link.
    #[must_use]
    pub fn links(self, a: usize, b: usize, peers: usize) -> bool {
        let apart = a.abs_diff(b);
        match self {
            Self::Full => a != b,
            Self::Line => apart == 1,
            Self::Star => a != b && (a == 0 || b == 0),
            Self::Ring => a != b && apart.min(peers.saturating_sub(apart)) <= 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topologies_are_connected() {
        let links = |topology: Topology, a, b| topology.links(a, b, 12);
        assert!(links(Topology::Full, 0, 3) && !links(Topology::Full, 2, 2));
        assert!(links(Topology::Line, 1, 2) && !links(Topology::Line, 0, 2));
        assert!(links(Topology::Star, 2, 0) && !links(Topology::Star, 1, 2));
        assert!(links(Topology::Ring, 11, 1) && !links(Topology::Ring, 0, 3));
    }
}
