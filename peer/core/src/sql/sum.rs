//! A sum of floats that does not depend on their order: kept exactly, and rounded once.

/// Bits of a limb that a number is added to; the rest of its 64 take what is carried.
const LIMB_BITS: usize = 32;

/// From the least bit of the smallest float, 2^-1074, to above the greatest, with room for 2^62 of
/// them.
const LIMBS: usize = (1_074 + 1_024 + 62) / LIMB_BITS + 2;

/// After so many numbers what was carried is moved up, long before a limb overflows.
const CARRY_EVERY: u32 = 1 << 24;

/// A sum in the making: limbs of a number in two's complement, in units of 2^-1074, least first.
#[derive(Clone, Debug)]
pub(super) struct FloatSum {
    limbs: [i64; LIMBS],
    since_carried: u32,
    /// The sum of all that is not finite: infinite, or NaN.
    beyond: Option<f64>,
}

impl Default for FloatSum {
    fn default() -> Self {
        Self {
            limbs: [0; LIMBS],
            since_carried: 0,
            beyond: None,
        }
    }
}

impl FloatSum {
    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.beyond = Some(self.beyond.unwrap_or(0.0) + value);
            return;
        }
        let bits = value.to_bits();
        let exponent = (bits >> 52) & 0x7FF;
        let fraction = bits & ((1 << 52) - 1);
        // The smallest exponent has no hidden bit, and means the same as the next one.
        let (fraction, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | (1 << 52), exponent - 1),
        };
        let shift = usize::try_from(shift).unwrap_or_else(|_| unreachable!("below 2,046"));
        let (at, within) = (shift / LIMB_BITS, shift % LIMB_BITS);
        let wide = u128::from(fraction) << within;
        for (limb, part) in self.limbs[at..at + 3].iter_mut().zip(0..) {
            let part = (wide >> (part * LIMB_BITS)) & u128::from(u32::MAX);
            let part = i64::try_from(part).unwrap_or_else(|_| unreachable!("32 bits"));
            *limb += if value.is_sign_negative() {
                -part
            } else {
                part
            };
        }
        self.since_carried += 1;
        if self.since_carried == CARRY_EVERY {
            self.since_carried = 0;
            carry(&mut self.limbs);
        }
    }

    /// The float that is nearest to the sum; of two, the even one.
    pub(super) fn nearest(&self) -> f64 {
        if let Some(beyond) = self.beyond {
            return if beyond.is_nan() { f64::NAN } else { beyond };
        }
        let mut limbs = self.limbs;
        carry(&mut limbs);
        let is_negative = limbs[LIMBS - 1] < 0;
        if is_negative {
            limbs.iter_mut().for_each(|limb| *limb = -*limb);
            carry(&mut limbs);
        }
        let size = magnitude(&limbs);
        if is_negative { -size } else { size }
    }
}

/// Leaves 32 bits in each limb but the last, whose sign is that of the whole.
fn carry(limbs: &mut [i64; LIMBS]) {
    let mut carried = 0;
    for limb in &mut limbs[..LIMBS - 1] {
        let whole = *limb + carried;
        *limb = whole & i64::from(u32::MAX);
        carried = whole >> LIMB_BITS;
    }
    limbs[LIMBS - 1] += carried;
}

fn magnitude(limbs: &[i64; LIMBS]) -> f64 {
    let bit = |at: usize| u64::from(limbs[at / LIMB_BITS] >> (at % LIMB_BITS) & 1 == 1);
    let Some(top_limb) = limbs.iter().rposition(|limb| *limb != 0) else {
        return 0.0;
    };
    let top = (0..64)
        .rev()
        .find(|within| limbs[top_limb] >> within & 1 == 1);
    let top = top_limb * LIMB_BITS + top.unwrap_or(0);
    // 64 bits from the top; whatever is below them only breaks a tie.
    let lowest = (top + 1).saturating_sub(64);
    let mut bits = (lowest..=top).rev().fold(0, |bits, at| bits << 1 | bit(at));
    if (0..lowest).any(|at| bit(at) == 1) {
        bits |= 1;
    }
    if top < 52 {
        // Below the normal floats; none of its bits is beyond their last.
        return f64::from_bits(bits);
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "this is where the sum is rounded"
    )]
    let rounded = bits as f64;
    // `rounded` has its exponent for the bits alone; `lowest` units of 2^-1074 are still to come.
    let exponent = rounded.to_bits() >> 52;
    let exponent = exponent + lowest as u64;
    match exponent.checked_sub(1_074) {
        Some(exponent) if exponent < 0x7FF => {
            f64::from_bits(exponent << 52 | rounded.to_bits() & ((1 << 52) - 1))
        }
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = FloatSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.nearest()
    }

    #[test]
    fn known_sums() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[-f64::MAX, -f64::MAX]), f64::NEG_INFINITY);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        let tiny = f64::from_bits(1);
        assert_eq!(sum(&[tiny, tiny, -tiny]), tiny);
        assert_eq!(sum(&[f64::MIN_POSITIVE, -tiny]), f64::MIN_POSITIVE - tiny);
        // A tie goes to the even one, unless anything at all breaks it.
        let half = 2.0_f64.powi(-53);
        assert_eq!(sum(&[1.0, half]), 1.0);
        assert_eq!(sum(&[1.0, half, tiny]), 1.0 + f64::EPSILON);
    }

    proptest! {
        #[test]
        fn two_floats_are_added_as_the_processor_does(a: f64, b: f64) {
            prop_assert!(sum(&[a, b]) == a + b || (a + b).is_nan());
        }

        #[test]
        fn one_float_is_itself(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assert!(sum(&[value]) == value || value.is_nan());
        }

        #[test]
        fn order_does_not_matter(mut values: Vec<f64>) {
            let one = sum(&values);
            values.reverse();
            prop_assert_eq!(one.to_bits(), sum(&values).to_bits());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(one.to_bits(), sum(&values).to_bits());
        }
    }
}
