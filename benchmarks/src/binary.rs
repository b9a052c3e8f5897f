//! Size of the one program that is handed to people.

use std::process::Command;

use anyhow::Context;

use crate::arguments::Options;
use crate::places::{scratch, tombolo};
use crate::report::{Better, Row};

const MIB: f64 = (1 << 20) as f64;

pub(crate) fn measure(_options: &Options) -> anyhow::Result<Vec<Row>> {
    let program = tombolo()?;
    let scratch = scratch()?;
    let stripped = scratch.path().join("tombolo");
    // What `cargo xtask bench` builds is stripped already, and then this changes nothing.
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&program)
        .status();
    // Not every machine has binutils.
    let measured = match strip {
        Ok(status) if status.success() => stripped,
        _ => program,
    };
    let size = std::fs::metadata(measured)
        .context("the program's size")?
        .len();
    Ok(vec![Row::new(
        "size of the program, stripped",
        size as f64 / MIB,
        "MiB",
        Better::Less,
        40.0,
    )])
}
