//! A saved run beside this one.

use std::fmt;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::figures::{rounded, shown};
use crate::report::{Better, Row};

/// The file of an earlier run.
#[derive(Debug, Deserialize)]
pub(crate) struct Saved {
    #[serde(default)]
    pub(crate) quick: bool,
    rows: Vec<SavedRow>,
}

#[derive(Debug, Deserialize)]
struct SavedRow {
    /// Not in files of older runs.
    #[serde(default)]
    measurement: Option<String>,
    name: String,
    value: Option<f64>,
    unit: String,
}

impl Saved {
    /// # Errors
    /// If there is no such file, or it is not a run's.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading {}, to compare with it", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not a run of the benchmarks", path.display()))
    }

    /// What it had for a row, which in its measurement comes after these.
    pub(crate) fn beside(&self, earlier: &[Row], row: &Row) -> Beside {
        // Rows that explain the one above them may have the same name.
        let number = earlier
            .iter()
            .filter(|other| other.name == row.name)
            .count();
        let saved = self.find(row, number).and_then(|saved| saved.value);
        let ratio = saved.zip(row.value);
        let ratio = ratio.and_then(|(saved, now)| ratio_of(row.better, now, saved));
        Beside {
            saved,
            ratio,
            better: row.better,
        }
    }

    /// The `number`-th row of its measurement that has the name of `row`.
    fn find(&self, row: &Row, number: usize) -> Option<&SavedRow> {
        let same = |saved: &&SavedRow| saved.name == row.name && saved.unit == row.unit;
        let of_measurement =
            |saved: &&SavedRow| saved.measurement.as_ref() == Some(&row.measurement);
        let mut known = self.rows.iter().filter(of_measurement);
        if known.next().is_some() {
            let mut named = self.rows.iter().filter(of_measurement).filter(same);
            return named.nth(number);
        }
        // An older file: only a name that it has once says which row is meant.
        let mut named = self.rows.iter().filter(same);
        let first = named.next().filter(|saved| saved.measurement.is_none());
        first.filter(|_| number == 0 && named.next().is_none())
    }
}

/// How many times as good it is now: above 1 is better, whether more is better or less. Where nothing
/// is better, how many times as much it is. `None` where that means nothing.
pub(crate) fn ratio_of(better: Option<Better>, now: f64, saved: f64) -> Option<f64> {
    let ratio = match better {
        Some(Better::Less) => saved / now,
        Some(Better::More) | None => now / saved,
    };
    ratio.is_finite().then_some(ratio)
}

/// What stands beside a figure.
#[derive(Debug, PartialEq)]
pub(crate) struct Beside {
    saved: Option<f64>,
    ratio: Option<f64>,
    better: Option<Better>,
}

impl fmt::Display for Beside {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let saved = self.saved.map_or_else(|| "-".to_owned(), shown);
        let Some(ratio) = self.ratio else {
            return write!(out, " {saved:>12} {:>8}", "-");
        };
        let verdict = match self.better {
            None => "",
            Some(_) if shown_ratio(ratio) == shown_ratio(1.0) => "",
            Some(_) if ratio > 1.0 => "better",
            Some(_) => "worse",
        };
        write!(out, " {saved:>12} {:>8} {verdict}", shown_ratio(ratio))
    }
}

/// Two digits behind the point while they matter.
pub(crate) fn shown_ratio(ratio: f64) -> String {
    if ratio < 100.0 {
        format!("{ratio:.2}")
    } else {
        shown(rounded(ratio.round()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(rows: serde_json::Value) -> Saved {
        serde_json::from_value(serde_json::json!({ "rows": rows })).expect("a run")
    }

    fn row(measurement: &str, name: &str, value: f64, unit: &'static str) -> Row {
        let mut row = Row::note(name, value, unit);
        measurement.clone_into(&mut row.measurement);
        row
    }

    #[test]
    fn above_one_is_better_either_way() {
        assert_eq!(ratio_of(Some(Better::More), 30.0, 20.0), Some(1.5));
        assert_eq!(ratio_of(Some(Better::Less), 20.0, 30.0), Some(1.5));
        assert_eq!(ratio_of(Some(Better::Less), 30.0, 15.0), Some(0.5));
        assert_eq!(ratio_of(None, 30.0, 15.0), Some(2.0));
        assert_eq!(ratio_of(Some(Better::More), 30.0, 0.0), None);
        assert_eq!(ratio_of(Some(Better::Less), 0.0, 3.0), None);
        assert_eq!(ratio_of(None, 0.0, 0.0), None);
    }

    #[test]
    fn a_figure_stands_beside_its_own() {
        let saved = saved(serde_json::json!([
            {"measurement": "rows", "name": "of it anonymous", "value": 10.0, "unit": "MiB"},
            {"measurement": "memory", "name": "of it anonymous", "value": 20.0, "unit": "MiB"},
            {"measurement": "memory", "name": "of it anonymous", "value": 30.0, "unit": "MiB"},
        ]));
        let first = row("memory", "of it anonymous", 10.0, "MiB");
        let second = row("memory", "of it anonymous", 60.0, "MiB");
        let text = saved.beside(&[], &first).to_string();
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["20", "2.00", "better"]
        );
        let text = saved.beside(&[first], &second).to_string();
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>(),
            ["30", "0.50", "worse"]
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let saved = saved(serde_json::json!([
            {"measurement": "calls", "name": "rate", "value": null, "unit": "calls/s"},
            {"measurement": "calls", "name": "time", "value": 5.0, "unit": "s"},
        ]));
        for row in [
            row("calls", "rate", 5.0, "calls/s"),
            row("calls", "new", 5.0, "calls/s"),
            // Another unit is another figure.
            row("calls", "time", 5.0, "ms"),
            row("late", "time", 5.0, "s"),
        ] {
            let text = saved.beside(&[], &row).to_string();
            assert_eq!(
                text.split_whitespace().collect::<Vec<_>>(),
                ["-", "-"],
                "{row:?}"
            );
        }
    }

    #[test]
    fn older_files_compare_where_names_are_clear() {
        let saved = saved(serde_json::json!([
            {"name": "rate", "value": 5.0, "unit": "calls/s", "goal": null, "ok": true},
            {"name": "of it anonymous", "value": 1.0, "unit": "MiB", "goal": null, "ok": true},
            {"name": "of it anonymous", "value": 2.0, "unit": "MiB", "goal": null, "ok": true},
        ]));
        let beside = saved.beside(&[], &row("calls", "rate", 5.0, "calls/s"));
        assert_eq!((beside.saved, beside.ratio), (Some(5.0), Some(1.0)));
        assert!(beside.to_string().trim_end().ends_with("1.00"), "{beside}");
        let unclear = saved.beside(&[], &row("rows", "of it anonymous", 5.0, "MiB"));
        assert_eq!(unclear.saved, None);
    }
}
