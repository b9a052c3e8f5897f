//! What a simulated sensor measures: a day that goes round in minutes, some noise, and now and then an upset
//! that leaves the good range. The same seed gives the same values.

use clap::ValueEnum;

/// What a sensor measures. The names are the variants of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Degrees Celsius
    Temperature,
    /// Per cent of what the air can hold
    Humidity,
}

impl Kind {
    /// The module's name for it.
    pub(crate) fn variant(self) -> &'static str {
        match self {
            Kind::Temperature => "Temperature",
            Kind::Humidity => "Humidity",
        }
    }

    /// Mean, half of the difference between day and night, and how far an upset leads away.
    fn course(self) -> (f64, f64, f64) {
        match self {
            Kind::Temperature => (20.0, 6.0, 25.0),
            Kind::Humidity => (60.0, -15.0, -50.0),
        }
    }
}

/// Readings of a day.
const DAY: u64 = 300;
/// Readings that an upset lasts.
const UPSET: u32 = 8;

/// Simulated values, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    kind: Kind,
    dice: Dice,
    /// Of a hundred readings so many begin an upset.
    upset_percent: u8,
    reading: u64,
    upset_left: u32,
}

impl Weather {
    pub(crate) fn new(kind: Kind, seed: u64, upset_percent: u8) -> Weather {
        let mut dice = Dice(seed);
        // Sensors are not all at the same time of the day.
        let reading = dice.below(DAY);
        Weather {
            kind,
            dice,
            upset_percent,
            reading,
            upset_left: 0,
        }
    }

    /// The next value, to one decimal place.
    pub(crate) fn next(&mut self) -> f64 {
        let (mean, swing, away) = self.kind.course();
        let phase = (self.reading % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        let noise = self.dice.below(11) as f64 / 10.0 - 0.5;
        // Drawn whether it is needed or not: what comes later does not depend on it.
        let begins = self.dice.below(100) < u64::from(self.upset_percent);
        if begins && self.upset_left == 0 {
            self.upset_left = UPSET;
        }
        let upset = match self.upset_left {
            0 => 0.0,
            _ => away,
        };
        self.upset_left = self.upset_left.saturating_sub(1);
        self.reading += 1;
        let value = mean + swing * phase.sin() + noise + upset;
        // Within what such a sensor can measure.
        ((value * 10.0).round() / 10.0).clamp(0.0, 100.0)
    }
}

/// SplitMix64: tiny, and ours, so a seed means the same with every version of a library.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, as good as evenly for small bounds.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: Kind, seed: u64, upset_percent: u8) -> Vec<f64> {
        let mut weather = Weather::new(kind, seed, upset_percent);
        (0..1_000).map(|_| weather.next()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_values_again_and_another_seed_others() {
        let first = values(Kind::Temperature, 7, 2);
        assert_eq!(first, values(Kind::Temperature, 7, 2));
        assert_ne!(first, values(Kind::Temperature, 8, 2));
    }

    #[test]
    fn without_upsets_all_is_well_and_with_nothing_but_upsets_nothing_is() {
        for (kind, low, high) in [(Kind::Temperature, 5.0, 35.0), (Kind::Humidity, 30.0, 90.0)] {
            let good = |value: &f64| (low..=high).contains(value);
            assert!(values(kind, 1, 0).iter().all(good), "{kind:?}");
            assert!(!values(kind, 1, 100).iter().any(good), "{kind:?}");
            let some = values(kind, 1, 2);
            let bad = some.iter().filter(|value| !good(value)).count();
            assert!((1..900).contains(&bad), "{kind:?}: {bad}");
        }
    }
}
