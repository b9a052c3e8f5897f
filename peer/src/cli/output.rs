//! Printing: tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::process::exit;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// Bars come up when something takes longer than this.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Characters of a cell in a table; longer ones are cut, `--json` has them whole.
const CELL_CHARS_MAX: usize = 120;

/// Characters of a text that stands alone. The longest sentences of ours are well below.
const TEXT_CHARS_MAX: usize = 4_000;

/// Writes to standard output. A reader that has closed it, as `head` does, has had enough: the
/// process ends without a word.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        exit(0);
    }
}

/// Writes one line to standard output.
pub(crate) fn print_line(line: &str) {
    print(&format!("{line}\n"));
}

/// Writes a value as JSON for programs, readable for people.
pub(crate) fn print_json(value: &Value) {
    print_line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A progress bar on a terminal, for what takes over a second; elsewhere none.
pub(crate) fn bar(template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(BAR_AFTER);
    bar
}

/// Asks whoever sits at the terminal.
pub(crate) fn confirmed(question: &str) -> io::Result<bool> {
    let mut to = io::stderr();
    to.write_all(question.as_bytes())?;
    to.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Rows under a header, aligned. Columns of numbers stand to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| shown(cell)).collect())
        .collect();
    let columns = header.len();
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let longest = cells.iter().map(|row| width(&cell(row, column))).max();
            longest.unwrap_or(0).max(width(header[column]))
        })
        .collect();
    let right: Vec<bool> = (0..columns)
        .map(|column| !cells.is_empty() && cells.iter().all(|row| is_number(&cell(row, column))))
        .collect();
    let line = |row: &dyn Fn(usize) -> String| {
        let parts: Vec<String> = (0..columns)
            .map(|column| {
                let text = row(column);
                let pad = " ".repeat(widths[column].saturating_sub(width(&text)));
                if right[column] {
                    format!("{pad}{text}")
                } else {
                    format!("{text}{pad}")
                }
            })
            .collect();
        format!("{}\n", parts.join("  ").trim_end())
    };
    let mut out = line(&|column| header[column].to_owned());
    out.push_str(&line(&|column| "-".repeat(widths[column])));
    for row in &cells {
        out.push_str(&line(&|column| cell(row, column)));
    }
    out
}

/// Other people's text as it may be shown on a terminal: without control characters, which could
/// rewrite the screen, and not longer than a cell.
pub(crate) fn shown(text: &str) -> String {
    printable(text, CELL_CHARS_MAX)
}

/// The same on lines of its own, so that what somebody should do is not cut off.
pub(crate) fn shown_whole(text: &str) -> String {
    printable(text, TEXT_CHARS_MAX)
}

fn printable(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == chars_max {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_control(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Control characters, and those that change the direction of the text around them.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns on a terminal, nearly: wide characters of East Asian scripts count twice.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0x1f300..=0x1faff => 2,
            _ => 1,
        })
        .sum()
}

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.parse::<f64>().is_ok()
}

/// Lines of a name and a value, aligned.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let longest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| {
            let pad = " ".repeat(longest - width(name));
            format!("{name}{pad}  {}\n", shown_whole(value))
        })
        .collect()
}

/// A value as a cell: texts without quotes, nothing as nothing.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Microseconds since the Unix epoch as a date and time in UTC, with milliseconds.
pub(crate) fn utc(us: u64) -> String {
    let (days, rest) = (us / 86_400_000_000, us % 86_400_000_000);
    // Days to a date, counting years from March so that the leap day comes last.
    let day = days + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let ms = rest / 1_000;
    format!(
        "{year:04}-{month:02}-{day_of_month:02} {:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
            .collect()
    }

    #[test]
    fn columns_align_and_numbers_stand_to_the_right() {
        let text = table(
            &["name", "n"],
            &rows(&[&["a", "1"], &["bcdef", "-22.5"], &["ü", "3"]]),
        );
        assert_eq!(
            text,
            "name       n\n-----  -----\na          1\nbcdef  -22.5\nü          3\n"
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(table(&["id", "text"], &[]), "id  text\n--  ----\n");
    }

    #[test]
    fn short_rows_and_wide_characters_do_not_break_it() {
        let text = table(&["a", "b"], &rows(&[&["日本"], &["x", "y"]]));
        assert_eq!(text, "a     b\n----  -\n日本\nx     y\n");
    }

    #[test]
    fn nobody_else_writes_on_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("\u{202e}x"), "\\u{202e}x");
        let long = "x".repeat(CELL_CHARS_MAX + 5);
        assert_eq!(shown(&long).chars().count(), CELL_CHARS_MAX + 1);
        assert_eq!(shown_whole("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(shown_whole(&long), long);
        let endless = "x".repeat(TEXT_CHARS_MAX + 5);
        assert_eq!(shown_whole(&endless).chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn names_and_values_align() {
        let text = pairs(&[("a", "1".into()), ("long", "2".into())]);
        assert_eq!(text, "a     1\nlong  2\n");
        let advice = format!("{} run this", "it is so ".repeat(30));
        assert!(pairs(&[("status", advice)]).ends_with(" run this\n"));
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000");
        assert_eq!(utc(951_782_400_000_000), "2000-02-29 00:00:00.000");
        assert_eq!(utc(1_735_689_599_999_999), "2024-12-31 23:59:59.999");
        assert_eq!(utc(4_107_542_400_000_000), "2100-03-01 00:00:00.000");
    }
}
