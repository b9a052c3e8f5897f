//! Several runs of one measurement: their median, the least and the most.

use anyhow::ensure;

use crate::figures::median;
use crate::report::Row;

/// One row for each that the runs have: with a median, its runs may differ.
///
/// # Errors
/// If the runs do not have the same rows: then they measured different things.
pub(crate) fn medians(runs: Vec<Vec<Row>>) -> anyhow::Result<Vec<Row>> {
    let Some(first) = runs.first() else {
        return Ok(Vec::new());
    };
    let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    let expected = names(first);
    for rows in &runs {
        ensure!(
            names(rows) == expected,
            "two runs have different figures: {expected:?}, {:?}",
            names(rows)
        );
    }
    let mut rows = first.clone();
    for (at, row) in rows.iter_mut().enumerate() {
        let values: Vec<f64> = runs.iter().filter_map(|rows| rows[at].value).collect();
        if let Some(middle) = median(&values) {
            row.set(middle, least(&values), most(&values));
        }
    }
    Ok(rows)
}

/// The least of some figures.
pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The most of some figures.
pub(crate) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Better;

    fn run(rate: f64, ms: f64) -> Vec<Row> {
        vec![
            Row::new("rate", rate, "calls/s", Better::More, 100.0),
            Row::note("p99", ms, "ms"),
        ]
    }

    #[test]
    fn each_row_has_its_own_median_and_is_judged_by_it() {
        let rows = medians(vec![run(90.0, 7.0), run(130.0, 5.0), run(110.0, 9.0)]).expect("alike");
        let all: Vec<_> = rows
            .iter()
            .map(|row| (row.value, row.min, row.max, row.ok))
            .collect();
        let expected = [
            (Some(110.0), Some(90.0), Some(130.0), true),
            (Some(7.0), Some(5.0), Some(9.0), true),
        ];
        assert_eq!(all, expected);
        let missed = medians(vec![run(90.0, 1.0), run(130.0, 1.0), run(80.0, 1.0)]).expect("alike");
        assert_eq!((missed[0].value, missed[0].ok), (Some(90.0), false));
    }

    #[test]
    fn one_run_is_its_own_median() {
        let rows = medians(vec![run(90.0, 7.0)]).expect("alike");
        assert_eq!((rows[0].value, rows[0].max), (Some(90.0), Some(90.0)));
        assert!(medians(vec![]).expect("nothing").is_empty());
    }

    #[test]
    fn runs_that_measured_something_else_are_refused() {
        let fewer = run(1.0, 1.0).into_iter().take(1).collect();
        assert!(medians(vec![run(1.0, 1.0), fewer]).is_err());
    }
}
