//! Size of the one program that is handed to people.

use std::process::Command;

use anyhow::Context;

use crate::arguments::Options;
use crate::places::{scratch, tombolo};
use crate::report::{Better, Row};

const MIB: f64 = (1 << 20) as f64;

pub(crate) fn measure(_options: &Options) -> anyhow::Result<Vec<Row>> {
    let program = tombolo()?;
    let size = std::fs::metadata(&program)
        .context("the program's size")?
        .len();
    let whole = Row::note(
        "size of the release binary, with symbols",
        size as f64 / MIB,
        "MiB",
    );
    let scratch = scratch()?;
    let stripped = scratch.path().join("tombolo");
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&program)
        .status();
    // Not every machine has binutils; what is handed to people is built stripped anyway.
    let Ok(true) = strip.map(|status| status.success()) else {
        return Ok(vec![whole]);
    };
    let size = std::fs::metadata(&stripped)
        .context("the stripped program's size")?
        .len();
    let name = "size of the release binary, stripped";
    Ok(vec![
        Row::new(name, size as f64 / MIB, "MiB", Better::Less, 40.0),
        whole,
    ])
}
