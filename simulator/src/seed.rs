//! Dice. One seed makes the whole world, and every part has a stream of its own, so that one more
//! draw in one part does not shift what happens in the others.

/// What a whole run follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of one part of the world.
    #[must_use]
    pub fn child(self, part: &str) -> Dice {
        // FNV-1a over the name, then the mixer of the dice: near seeds give unlike streams.
        let fold = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        Dice(mix(part.bytes().fold(mix(self.0), fold)))
    }
}

/// A stream of numbers: SplitMix64 (Steele, Lea and Flood 2014). It is ours, so that no update of a
/// library changes what an old seed means.
#[derive(Clone, Debug)]
pub struct Dice(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Dice {
    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `0..end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// An index into a list of `len` items.
    ///
    /// # Panics
    /// If the list is empty.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(len > 0, "there is nothing to choose from");
        usize::try_from(self.below(len as u64)).expect("below a length")
    }

    /// True in `chance` of 100 cases.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// True in half of the cases.
    pub fn coin(&mut self) -> bool {
        self.percent(50)
    }

    /// A wait around `mean`: half of it to one and a half.
    pub fn around(&mut self, mean: u64) -> u64 {
        mean / 2 + self.below(mean)
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // The first outputs of SplitMix64 for the seed 1234567, as its reference gives them.
        let mut dice = Dice(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([0; 3].map(|_| dice.draw()), expected);
    }

    #[test]
    fn parts_have_unlike_streams() {
        let first = |seed, part| Seed(seed).child(part).draw();
        assert_eq!(first(1, "network"), first(1, "network"));
        assert_ne!(first(1, "network"), first(1, "disk"));
        assert_ne!(first(1, "network"), first(2, "network"));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut dice = Seed(3).child("test");
        for _ in 0..1_000 {
            assert!(dice.below(7) < 7);
            assert!((5..=9).contains(&dice.between(5, 9)));
            assert!((50..150).contains(&dice.around(100)));
        }
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.between(4, 4), 4);
    }
}
