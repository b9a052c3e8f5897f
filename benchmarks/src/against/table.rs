//! Ours beside theirs.

use serde::Serialize;

use crate::compare::{ratio_of, shown_ratio};
use crate::figures::{median, rounded, shown};
use crate::report::Better;
use crate::runs::{least, most};

/// What stands above the lines.
pub(crate) fn heading() -> String {
    columns(["what", "rival", "ours", "theirs", "unit", "ratio"])
}

fn columns([what, rival, ours, theirs, unit, ratio]: [&str; 6]) -> String {
    format!("{what:<50} {rival:<18} {ours:>12} {theirs:>12} {unit:<8} {ratio:>8}")
}

/// What several runs came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Figure {
    /// `None` of no runs.
    fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: rounded(median(values)?),
            min: rounded(least(values)),
            max: rounded(most(values)),
            runs: values.len(),
        })
    }
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// Its name and version.
    rival: String,
    name: String,
    unit: &'static str,
    ours: Figure,
    theirs: Figure,
    /// How many times as good ours is; `None` where that means nothing.
    ratio: Option<f64>,
}

impl Comparison {
    /// `None` if one of the two has no runs.
    pub(crate) fn new(
        rival: &str,
        name: impl Into<String>,
        unit: &'static str,
        better: Better,
        ours: &[f64],
        theirs: &[f64],
    ) -> Option<Self> {
        let (ours, theirs) = (Figure::of(ours)?, Figure::of(theirs)?);
        let ratio = ratio_of(Some(better), ours.median, theirs.median);
        Some(Self {
            rival: rival.to_owned(),
            name: name.into(),
            unit,
            ours,
            theirs,
            ratio: ratio.map(rounded),
        })
    }

    /// As it stands under [`heading`].
    pub(crate) fn line(&self) -> String {
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), shown_ratio);
        columns([
            &self.name,
            &self.rival,
            &shown(self.ours.median),
            &shown(self.theirs.median),
            self.unit,
            &ratio,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_in_our_favour() {
        let compared = |better, ours: &[f64], theirs: &[f64]| {
            Comparison::new("yjs", "some", "", better, ours, theirs)
        };
        let faster = compared(Better::Less, &[1.0, 9.0, 2.0], &[3.0, 4.0, 5.0]).expect("runs");
        assert_eq!(faster.ratio, Some(2.0));
        let expected = Figure {
            median: 2.0,
            min: 1.0,
            max: 9.0,
            runs: 3,
        };
        assert_eq!(faster.ours, expected);
        let fewer = compared(Better::More, &[10.0], &[40.0, 20.0]).expect("runs");
        assert_eq!(fewer.ratio, Some(0.3333));
        assert!(fewer.line().ends_with("0.33"), "{}", fewer.line());
        assert_eq!(compared(Better::More, &[], &[1.0]), None);
    }
}
