//! The table that is printed and the file that is written.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::arguments::Options;

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    name: String,
    /// `None`: it could not be measured.
    value: Option<f64>,
    unit: &'static str,
    goal: Option<f64>,
    ok: bool,
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
        let value = rounded(value);
        let ok = match better {
            Better::More => value >= goal,
            Better::Less => value <= goal,
        };
        Self {
            name: name.into(),
            value: Some(value),
            unit,
            goal: Some(goal),
            ok,
        }
    }

    /// A figure that says something about another one.
    pub(crate) fn note(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value: Some(rounded(value)),
            unit,
            goal: None,
            ok: true,
        }
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
            "{:<58} {:>12} {:<10} {:>10}  {verdict}",
            self.name,
            number(self.value),
            self.unit,
            number(self.goal)
        )
    }
}

/// Four digits say what there is to say; the rest is chance.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

fn shown(number: f64) -> String {
    let text = if number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number}")
    };
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (at, digit) in text.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// All figures of one run.
pub(crate) struct Report<'a> {
    options: &'a Options,
    rows: Vec<Row>,
    complete: bool,
}

#[derive(Serialize)]
struct File<'a> {
    rows: &'a [Row],
}

impl<'a> Report<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        println!(
            "{:<58} {:>12} {:<10} {:>10}",
            "what", "value", "unit", "goal"
        );
        Self {
            options,
            rows: vec![],
            complete: true,
        }
    }

    /// Takes one measurement if it is wanted, and prints its figures at once. One that fails is
    /// reported, and the others go on.
    pub(crate) fn measure(
        &mut self,
        name: &str,
        measure: impl FnOnce(&Options) -> anyhow::Result<Vec<Row>>,
    ) {
        if !self.options.wants(name) {
            return;
        }
        let rows = measure(self.options).unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            self.complete = false;
            vec![Row {
                name: name.to_owned(),
                value: None,
                unit: "",
                goal: None,
                ok: false,
            }]
        });
        for row in &rows {
            println!("{}", row.line());
        }
        self.rows.extend(rows);
    }

    /// Writes the file; answers whether everything was measured.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn finish(self, path: &Path) -> anyhow::Result<bool> {
        let text = serde_json::to_string_pretty(&File { rows: &self.rows })?;
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
        assert_eq!(shown(1_234_567.0), "1,234,567");
        assert_eq!(shown(999.5), "999.5");
    }

    #[test]
    fn the_file_has_the_promised_fields() {
        let row = Row::note("p99", 7.0, "ms");
        let json = serde_json::to_value(File { rows: &[row] }).expect("JSON");
        let expected = serde_json::json!(
            {"rows": [{"name": "p99", "value": 7.0, "unit": "ms", "goal": null, "ok": true}]}
        );
        assert_eq!(json, expected);
    }
}
