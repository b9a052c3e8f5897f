//! The table that is printed and the file that is written.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::arguments::Options;
use crate::compare::Saved;
use crate::figures::{rounded, shown};
use crate::runs;

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    More,
    Less,
}

impl Better {
    /// What is better of figures in this unit; `None` if the unit does not tell.
    fn of_unit(unit: &str) -> Option<Self> {
        match unit {
            "ns" | "µs" | "ms" | "s" | "bytes" | "MiB" => Some(Self::Less),
            unit if unit.ends_with("/s") => Some(Self::More),
            _ => None,
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The measurement that it is of.
    pub(crate) measurement: String,
    pub(crate) name: String,
    /// The median of the runs. `None`: it could not be measured.
    pub(crate) value: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<f64>,
    pub(crate) ok: bool,
    pub(crate) better: Option<Better>,
    /// The least of the runs.
    pub(crate) min: Option<f64>,
    /// The most of the runs.
    pub(crate) max: Option<f64>,
}

impl Row {
    /// A figure with a goal.
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        better: Better,
        goal: f64,
    ) -> Self {
        let mut row = Self::note(name, value, unit);
        row.better = Some(better);
        row.goal = Some(goal);
        row.set(value, value, value);
        row
    }

    /// A figure that says something about another one.
    pub(crate) fn note(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let mut row = Self::missing(name);
        row.unit = unit;
        row.better = Better::of_unit(unit);
        row.set(value, value, value);
        row
    }

    /// What could not be measured.
    fn missing(name: impl Into<String>) -> Self {
        Self {
            measurement: String::new(),
            name: name.into(),
            value: None,
            unit: "",
            goal: None,
            ok: false,
            better: None,
            min: None,
            max: None,
        }
    }

    /// Sets what the runs came to, and judges it.
    pub(crate) fn set(&mut self, value: f64, min: f64, max: f64) {
        let value = rounded(value);
        self.ok = match (self.better, self.goal) {
            (Some(Better::More), Some(goal)) => value >= goal,
            (Some(Better::Less), Some(goal)) => value <= goal,
            (None, _) | (_, None) => true,
        };
        self.value = Some(value);
        self.min = Some(rounded(min));
        self.max = Some(rounded(max));
    }

    fn line(&self) -> String {
        let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), shown);
        let verdict = match (self.value, self.goal, self.ok) {
            (None, ..) => "not measured",
            (_, None, _) => "",
            (.., true) => "ok",
            (.., false) => "missed",
        };
        format!(
            "{:<58} {:>12} {:<10} {:>10}  {verdict:<12}",
            self.name,
            number(self.value),
            self.unit,
            number(self.goal)
        )
    }
}

/// All figures of one run.
pub(crate) struct Report<'a> {
    options: &'a Options,
    saved: Option<Saved>,
    rows: Vec<Row>,
    complete: bool,
}

#[derive(Serialize)]
struct File<'a> {
    quick: bool,
    runs: usize,
    rows: &'a [Row],
}

impl<'a> Report<'a> {
    /// # Errors
    /// If there is a run to compare with, and it cannot be read.
    pub(crate) fn new(options: &'a Options) -> anyhow::Result<Self> {
        let saved = options.compare.as_deref().map(Saved::read).transpose()?;
        if saved
            .as_ref()
            .is_some_and(|saved| saved.quick != options.quick)
        {
            eprintln!("one of the two runs is with --quick, the other is not: they do not compare");
        }
        let beside = match saved {
            Some(_) => format!("{:<12} {:>12} {:>8}", "", "saved", "ratio"),
            None => String::new(),
        };
        let heading = format!(
            "{:<58} {:>12} {:<10} {:>10}  {beside}",
            "what", "value", "unit", "goal"
        );
        println!("{}", heading.trim_end());
        Ok(Self {
            options,
            saved,
            rows: vec![],
            complete: true,
        })
    }

    /// Takes one measurement as often as is wanted, and prints its figures at once. One that fails is
    /// reported, and the others go on.
    pub(crate) fn measure(
        &mut self,
        name: &str,
        measure: impl Fn(&Options) -> anyhow::Result<Vec<Row>>,
    ) {
        if !self.options.wants(name) {
            return;
        }
        let runs = self.options.runs.unwrap_or(1);
        let taken: anyhow::Result<_> = (0..runs).map(|_| measure(self.options)).collect();
        let mut rows = taken.and_then(runs::medians).unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            self.complete = false;
            vec![Row::missing(name)]
        });
        for row in &mut rows {
            name.clone_into(&mut row.measurement);
        }
        for (at, row) in rows.iter().enumerate() {
            let beside = match &self.saved {
                Some(saved) => saved.beside(&rows[..at], row).to_string(),
                None => String::new(),
            };
            println!("{}", format!("{}{beside}", row.line()).trim_end());
        }
        self.rows.extend(rows);
    }

    /// Writes the file; answers whether everything was measured.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn finish(self, path: &Path) -> anyhow::Result<bool> {
        let text = serde_json::to_string_pretty(&File {
            quick: self.options.quick,
            runs: self.options.runs.unwrap_or(1),
            rows: &self.rows,
        })?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        let missed = self
            .rows
            .iter()
            .filter(|row| row.value.is_some() && !row.ok)
            .count();
        println!("\n{missed} goals missed; written to {}", path.display());
        Ok(self.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_judged() {
        let row = Row::new("calls", 41_234.567, "calls/s", Better::More, 25_000.0);
        assert_eq!((row.value, row.ok), (Some(41_230.0), true));
        assert!(row.line().contains("41,230"), "{}", row.line());
        let row = Row::new("latency", 0.012_345, "ms", Better::Less, 0.01);
        assert_eq!((row.value, row.ok), (Some(0.012_35), false));
    }

    #[test]
    fn a_unit_tells_what_is_better_where_it_can() {
        for (unit, better) in [
            ("ms", Some(Better::Less)),
            ("MiB", Some(Better::Less)),
            ("calls/s", Some(Better::More)),
            ("calls", None),
            ("", None),
        ] {
            assert_eq!(Row::note("some", 1.0, unit).better, better, "{unit}");
        }
    }

    #[test]
    fn the_file_has_the_promised_fields() {
        let row = Row::note("p99", 7.0, "ms");
        let file = File {
            quick: true,
            runs: 1,
            rows: &[row],
        };
        let json = serde_json::to_value(file).expect("JSON");
        let expected = serde_json::json!({"quick": true, "runs": 1, "rows": [{
            "measurement": "", "name": "p99", "value": 7.0, "unit": "ms", "goal": null, "ok": true,
            "better": "less", "min": 7.0, "max": 7.0,
        }]});
        assert_eq!(json, expected);
    }
}
