//! Looks for bytes that break a decoder: builds the programs of `fuzz` and runs each for a while.
#![allow(
    clippy::disallowed_methods,
    reason = "a chore tells how long each of its stages took"
)]

use crate::command::{Chore, cargo, cargo_meanwhile, program};
use crate::places;
use anyhow::{Context, bail};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What libFuzzer needs to see where an input leads, what it is compared with and what it allocates;
/// and the checks of a debug build, because an overflow that goes unnoticed is a bug too.
const INSTRUMENTED: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Zsanitizer=address",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Seconds for each target, unless somebody asks for more: together about two minutes.
pub(crate) const SECONDS: u32 = 12;

/// Targets that run at once: the machines of CI have two cores.
const AT_ONCE: usize = 2;

/// Bytes of an input. Longer ones reach nothing that these do not.
const INPUT_BYTES_MAX: u32 = 4_096;

/// MiB that a target may hold in all, AddressSanitizer's own included.
const MEMORY_MIB_MAX: u32 = 1_024;

/// MiB of one allocation. Inputs are small, so whoever allocates so much believed a number in one.
const ALLOCATION_MIB_MAX: u32 = 32;

/// Seconds for one input.
const INPUT_SECONDS_MAX: u32 = 10;

/// What somebody asked for.
pub(crate) struct Asked {
    pub(crate) seconds: u32,
    pub(crate) target: Option<String>,
    pub(crate) replay: Option<PathBuf>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            target: None,
            replay: None,
        }
    }
}

/// What became of one target.
struct Found {
    target: String,
    executions: u64,
    coverage: u64,
    new_inputs: u64,
    corpus: u64,
    status: ExitStatus,
    log: PathBuf,
    /// What broke it, if something did.
    broken_by: Option<PathBuf>,
}

/// Builds all targets, runs those that were asked for, prints a table and writes
/// `target/fuzz/latest.json`.
///
/// # Errors
/// When something broke a target, with the line that shows it again.
pub(crate) fn run(asked: &Asked) -> anyhow::Result<()> {
    let all = targets()?;
    let chosen: Vec<String> = match &asked.target {
        Some(target) if !all.contains(target) => {
            bail!("no target is called {target}; there are {}", all.join(", "))
        }
        Some(target) => vec![target.clone()],
        None => all,
    };
    let built = build(cargo([]))?;
    if let Some(file) = &asked.replay {
        return program(built.join(&chosen[0]))
            .args(limits())
            .args([std::path::absolute(file)?])
            .run();
    }
    let start = Instant::now();
    let mut found = run_all(&built, chosen, asked.seconds)?;
    found.sort_by(|a, b| a.target.cmp(&b.target));
    print_table(&found);
    eprintln!(
        "{} executions in {} s",
        found.iter().map(|found| found.executions).sum::<u64>(),
        start.elapsed().as_secs()
    );
    write_json(&found, asked.seconds)?;
    let broken: Vec<String> = found.iter().filter_map(complaint).collect();
    if broken.is_empty() {
        return Ok(());
    }
    bail!("{}", broken.join("\n"))
}

/// The targets, as `fuzz/Cargo.toml` names them.
fn targets() -> anyhow::Result<Vec<String>> {
    let manifest = places::fuzz().join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let programs = text.split("[[bin]]").skip(1);
    let names = programs.filter_map(|program| {
        let rest = program.split_once("name = \"")?.1;
        Some(rest.split_once('"')?.0.to_string())
    });
    Ok(names.collect())
}

fn folder() -> PathBuf {
    places::target().join("fuzz")
}

/// Builds every target while something else goes on, which is to go first.
///
/// # Errors
/// When it does not compile.
pub(crate) fn build_meanwhile() -> anyhow::Result<()> {
    build(cargo_meanwhile()).map(drop)
}

/// Builds every target and says where the programs are.
fn build(cargo: Chore) -> anyhow::Result<PathBuf> {
    let target_dir = folder().join("build");
    let host = host()?;
    cargo
        .args(["build", "--release", "--locked", "--target", host.as_str()])
        // Sanitizers are there in every compiler, but only for those who ask like this.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", INSTRUMENTED.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .args(["--target-dir".as_ref(), target_dir.as_os_str()])
        .args([
            "--manifest-path".as_ref(),
            places::fuzz().join("Cargo.toml").as_os_str(),
        ])
        .run()?;
    Ok(target_dir.join(host).join("release"))
}

fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = program(rustc)
        .args(["-vV"])
        .output()
        .context("rustc does not say its version")?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_string)
        .context("rustc does not say what machine this is")
}

fn limits() -> Vec<String> {
    vec![
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        format!("-malloc_limit_mb={ALLOCATION_MIB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
    ]
}

fn run_all(built: &Path, targets: Vec<String>, seconds: u32) -> anyhow::Result<Vec<Found>> {
    let waiting = Mutex::new(VecDeque::from(targets));
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let work = || {
        let mut found = Vec::new();
        while let Some(target) = next() {
            found.push(run_one(built, &target, seconds)?);
        }
        anyhow::Ok(found)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let found = worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker broke off"))?;
            all.extend(found?);
        }
        Ok(all)
    })
}

/// Runs one target from its committed corpus and from what earlier runs here found.
fn run_one(built: &Path, target: &str, seconds: u32) -> anyhow::Result<Found> {
    let known = folder().join("corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    let logs = folder().join("logs");
    for folder in [&known, &artifacts, &logs] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = logs.join(format!("{target}.log"));
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    eprintln!("{target}: {seconds} s, log in {}", log.display());
    let status = Command::new(built.join(target))
        .args(limits())
        .arg(format!("-max_total_time={seconds}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(&known)
        .arg(places::corpus(target))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start the fuzzer {target}"))?;
    let text = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let stat = |name: &str| number_after(&text, &format!("stat::{name}:"));
    let broken_by = text
        .split("Test unit written to ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .map(|file| PathBuf::from(file.trim()));
    Ok(Found {
        target: target.to_string(),
        executions: stat("number_of_executed_units"),
        coverage: number_after(&text, " cov:"),
        new_inputs: stat("new_units_added"),
        corpus: number_after(&text, " corp:"),
        status,
        log,
        broken_by,
    })
}

/// The number after the last place where `label` stands.
fn number_after(text: &str, label: &str) -> u64 {
    let rest = text.rsplit_once(label).map_or("", |(_, rest)| rest);
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

fn print_table(found: &[Found]) {
    eprintln!(
        "\n{:14} {:>12} {:>9} {:>8} {:>11}  outcome",
        "target", "executions", "coverage", "corpus", "new inputs"
    );
    for one in found {
        let Found {
            target,
            executions,
            coverage,
            new_inputs,
            corpus,
            ..
        } = one;
        let outcome = match one.status.success() {
            true => "nothing broke it",
            false => "BROKEN",
        };
        eprintln!(
            "{target:14} {executions:>12} {coverage:>9} {corpus:>8} {new_inputs:>11}  {outcome}"
        );
    }
}

fn write_json(found: &[Found], seconds: u32) -> anyhow::Result<()> {
    let rows: Vec<String> = found
        .iter()
        .map(|one| {
            format!(
                "    {{ \"target\": \"{}\", \"executions\": {}, \"coverage\": {}, \"corpus\": {}, \
                 \"new_inputs\": {}, \"broken\": {} }}",
                one.target,
                one.executions,
                one.coverage,
                one.corpus,
                one.new_inputs,
                !one.status.success()
            )
        })
        .collect();
    let json = format!(
        "{{\n  \"seconds\": {seconds},\n  \"targets\": [\n{}\n  ]\n}}\n",
        rows.join(",\n")
    );
    let file = folder().join("latest.json");
    std::fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("written to {}", file.display());
    Ok(())
}

/// What broke a target and how to see it again.
fn complaint(found: &Found) -> Option<String> {
    if found.status.success() {
        return None;
    }
    let target = &found.target;
    let log = std::fs::read(&found.log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let why = log
        .lines()
        .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: "))
        .take(3)
        .collect::<Vec<_>>()
        .join("\n    ");
    let again = match &found.broken_by {
        Some(file) => format!(
            "again: cargo xtask fuzz --target {target} --replay {}",
            file.display()
        ),
        None => format!("see {}", found.log.display()),
    };
    Some(format!("{target} broke:\n    {why}\n  {again}"))
}
