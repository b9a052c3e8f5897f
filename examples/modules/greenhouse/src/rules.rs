//! What the greenhouse decides, apart from its tables: plain functions of plain values, which the programs
//! in `examples/mesh` compile and test too.

/// Longest name of a device, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest text of a job, in bytes.
pub const TASK_BYTES_MAX: usize = 200;
/// Longest that a job may take, in seconds: a day.
pub const JOB_SECONDS_MAX: u32 = 86_400;
/// Shortest and longest window of readings, in seconds: the longest is 31 days.
pub const WINDOW_SECONDS: (u32, u32) = (5, 2_678_400);
/// After how many seconds of silence a device may be taken for away, at least and at most. A peer's clock
/// may be seconds off.
pub const AWAY_SECONDS: (u32, u32) = (5, 86_400);
/// How often the database tidies up, in seconds: each time is a call, which all peers keep.
pub const TIDY_SECONDS: (u32, u32) = (5, 60);
/// Readings out of bounds in a row that an alarm may ask for, at most.
pub const STREAK_MAX: u32 = 1_000;

/// What readings of one kind should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lowest good value.
    pub low: f64,
    /// Highest good value.
    pub high: f64,
    /// So many readings in a row have to be out of bounds before there is an alarm: one alone may be a
    /// hand on the sensor.
    pub streak: u32,
}

/// What follows from one more reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Readings out of bounds in a row, this one included.
    pub streak: u32,
    /// What it says about an alarm of this device.
    pub alarm: Alarmed,
}

/// What a reading says about an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarmed {
    /// There has to be one.
    Raise,
    /// If there is one, it is over.
    Over,
    /// Whatever is stays: out of bounds, and not often enough yet.
    Wait,
}

impl Bounds {
    /// Judges a reading that comes after `streak` ones in a row that were out of bounds.
    pub fn judge(&self, streak: u32, value: f64) -> Judged {
        if (self.low..=self.high).contains(&value) {
            return Judged {
                streak: 0,
                alarm: Alarmed::Over,
            };
        }
        let streak = streak.saturating_add(1);
        let alarm = match streak >= self.streak {
            true => Alarmed::Raise,
            false => Alarmed::Wait,
        };
        Judged { streak, alarm }
    }

    /// Whether they mean something.
    ///
    /// # Errors
    /// A sentence that says what does not.
    pub fn check(&self) -> Result<(), String> {
        if !self.low.is_finite() || !self.high.is_finite() || self.low > self.high {
            return Err(format!(
                "bounds go from the lower to the higher number, not from {} to {}",
                self.low, self.high
            ));
        }
        within("the readings in a row", self.streak, (1, STREAK_MAX))
    }
}

/// Whether a sensor that measures from `least` to `most` can have read `value`.
///
/// # Errors
/// A sentence that says why not.
pub fn check_value(value: f64, (least, most): (f64, f64), unit: &str) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!(
        "{value} is no reading: this kind of sensor measures from {least} to {most} {unit}"
    ))
}

/// Whether `text` can be what `what` is called.
///
/// # Errors
/// A sentence that says why not.
pub fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{what} needs at least one letter"));
    }
    if text.len() > bytes_max {
        return Err(format!(
            "{what} has at most {bytes_max} bytes, and this one has {}",
            text.len()
        ));
    }
    match text.chars().any(char::is_control) {
        true => Err(format!("{what} is one line, without control characters")),
        false => Ok(()),
    }
}

/// Whether a number is one that may be set.
///
/// # Errors
/// A sentence that says which may.
pub fn within(what: &str, number: u32, (least, most): (u32, u32)) -> Result<(), String> {
    match (least..=most).contains(&number) {
        true => Ok(()),
        false => Err(format!(
            "{what} may be from {least} to {most}, and {number} is not"
        )),
    }
}

/// Whether a device that was last seen at `seen_us` is away at `now_us`, both in microseconds.
pub fn is_away(seen_us: i64, now_us: i64, away_s: u32) -> bool {
    now_us.saturating_sub(seen_us) > i64::from(away_s) * 1_000_000
}

/// How often to tidy up, in seconds: twice while the shorter of the two times passes.
pub fn tidy_every_s(window_s: u32, away_s: u32) -> u32 {
    (window_s.min(away_s) / 2).clamp(TIDY_SECONDS.0, TIDY_SECONDS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        low: 10.0,
        high: 30.0,
        streak: 3,
    };

    #[test]
    fn an_alarm_needs_readings_in_a_row() {
        let mut streak = 0;
        let mut said = Vec::new();
        for value in [31.0, 9.9, 20.0, 31.0, 32.0, 33.0, 34.0, 30.0] {
            let judged = BOUNDS.judge(streak, value);
            streak = judged.streak;
            said.push((judged.streak, judged.alarm));
        }
        use Alarmed::{Over, Raise, Wait};
        let expected = [
            (1, Wait),
            (2, Wait),
            (0, Over),
            (1, Wait),
            (2, Wait),
            (3, Raise),
            (4, Raise),
            (0, Over),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_streak_does_not_run_over() {
        assert_eq!(BOUNDS.judge(u32::MAX, 99.0).streak, u32::MAX);
    }

    #[test]
    fn bounds_that_mean_nothing_are_refused() {
        assert_eq!(BOUNDS.check(), Ok(()));
        for (low, high, streak) in [
            (30.0, 10.0, 3),
            (f64::NAN, 10.0, 3),
            (10.0, f64::INFINITY, 3),
            (10.0, 30.0, 0),
            (10.0, 30.0, STREAK_MAX + 1),
        ] {
            let bounds = Bounds { low, high, streak };
            assert!(bounds.check().is_err(), "{bounds:?}");
        }
    }

    #[test]
    fn readings_that_no_sensor_makes_are_refused() {
        let range = (-60.0, 120.0);
        for value in [-60.0, 0.0, 120.0] {
            assert_eq!(check_value(value, range, "°C"), Ok(()));
        }
        for value in [-60.1, 120.1, f64::NAN, f64::INFINITY] {
            let why = check_value(value, range, "°C").expect_err("no reading");
            assert!(why.contains("from -60 to 120 °C"), "{why}");
        }
    }

    #[test]
    fn names_are_short_and_one_line() {
        assert_eq!(check_text("a name", "roof-1", NAME_BYTES_MAX), Ok(()));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (text, why) in [
            (" ", "at least one letter"),
            (&long, "65"),
            ("a\nb", "one line"),
            ("\u{1b}[31m", "control"),
        ] {
            let said = check_text("a name", text, NAME_BYTES_MAX).expect_err(text);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn tidying_is_as_seldom_as_it_may_be() {
        for (window_s, away_s, every_s) in [
            (3_600, 30, 15),
            (3_600, 600, 60),
            (5, 600, 5),
            (3_600, 5, 5),
        ] {
            assert_eq!(tidy_every_s(window_s, away_s), every_s);
        }
    }

    #[test]
    fn who_is_silent_for_longer_is_away() {
        assert!(!is_away(0, 15_000_000, 15));
        assert!(is_away(0, 15_000_001, 15));
        assert!(!is_away(20_000_000, 0, 15), "a clock that goes back");
        assert!(is_away(i64::MIN, i64::MAX, 15));
    }
}
