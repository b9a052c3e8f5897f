//! Numbers: what stands for several, how they are written.

use std::time::Duration;

/// The middle of some figures, or between the two in the middle; `None` of none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let above = *sorted.get(sorted.len() / 2)?;
    let below = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(below, above))
}

/// Milliseconds within which this share of them lies; they are in order of length. 0 of none.
pub(crate) fn within_ms(latencies: &[Duration], share: f64) -> f64 {
    let place = (latencies.len() as f64 * share) as usize;
    let place = place.min(latencies.len().saturating_sub(1));
    let latency = latencies.get(place).copied().unwrap_or_default();
    latency.as_secs_f64() * 1_000.0
}

/// Four digits say what there is to say; the rest is chance.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// As people read it: thousands apart.
pub(crate) fn shown(number: f64) -> String {
    let text = if number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number}")
    };
    let (sign, text) = text
        .strip_prefix('-')
        .map_or(("", &text[..]), |text| ("-", text));
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = sign.to_owned();
    for (at, digit) in text.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_in_whatever_order() {
        for (figures, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0], Some(5.0)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 100.0, 1.0, 2.0], Some(3.0)),
        ] {
            assert_eq!(median(figures), expected, "{figures:?}");
        }
    }

    #[test]
    fn numbers_are_read_by_people() {
        assert_eq!(shown(1_234_567.0), "1,234,567");
        assert_eq!(shown(999.5), "999.5");
        assert_eq!([shown(-120.8), shown(-1_200.0)], ["-120.8", "-1,200"]);
        assert_eq!(rounded(41_234.567), 41_230.0);
        assert_eq!(rounded(0.0), 0.0);
    }
}
