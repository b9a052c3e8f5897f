//! Runs files of cases in Node against real peers, and does to the peers what the cases ask for.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, module, run};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long all cases of one test may take.
pub(crate) const CASES_PATIENCE: Duration = Duration::from_secs(600);
/// How long one case may take; and one file, for which Node takes the same number.
const CASE_PATIENCE: Duration = Duration::from_secs(300);
/// How long a peer may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the cases of some files. All have to pass, and at least so many have to be there. `more` is
/// set in their environment, beside what tells where the peers are.
pub(crate) fn cases(
    files: &[PathBuf],
    count_min: u64,
    names: &[&str],
    peers: &mut [Peer],
    more: &[(&str, PathBuf)],
) {
    let known: Vec<[&str; 3]> = names
        .iter()
        .zip(&*peers)
        .map(|(name, peer)| [name, peer.http(), peer.token()])
        .collect();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=tap", "--test-concurrency=1"])
        .arg(format!("--test-timeout={}", CASE_PATIENCE.as_millis()))
        .args(files)
        .env("TOMBOLO_PEERS", json!(known).to_string())
        .env(
            "TOMBOLO_CONTROL",
            listener
                .local_addr()
                .expect("it is bound")
                .port()
                .to_string(),
        )
        .envs(more.iter().map(|(name, value)| (name, value)))
        // What a person has set must not decide a test.
        .env_remove("NODE_OPTIONS");
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, names, peers, &done));
        let _at_the_end = SetAtEnd(&done);
        run(&mut node, CASES_PATIENCE)
    });
    let report = format!("{}\n{}", ended.stdout, ended.stderr);
    let passed = summed(&ended.stdout, "pass");
    let others: u64 = ["fail", "cancelled", "skipped", "todo"]
        .iter()
        .map(|what| summed(&ended.stdout, what))
        .sum();
    println!("{passed} cases passed, {others} did not");
    assert!(
        ended.status.success() && others == 0 && passed >= count_min,
        "{passed} cases passed, of at least {count_min}; {others} did not\n{report}"
    );
}

/// A folder beside this package's tests.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The packages that are installed in `tests/node`: tools for the cases of all libraries among them.
pub(crate) fn packages() -> PathBuf {
    let packages = folder("node").join("node_modules");
    assert!(
        packages.exists(),
        "{} is not there: `cargo xtask test` installs it",
        packages.display()
    );
    packages
}

/// Bundles files of cases with what they import, into a folder of the target folder.
pub(crate) fn bundle(files: &[PathBuf], into: &Path, more: &[String]) {
    let packages = packages();
    let mut esbuild = Command::new(packages.join(".bin/esbuild"));
    esbuild
        .args(files)
        .args(["--bundle", "--platform=node", "--target=node20"])
        .args(["--format=cjs", "--out-extension:.js=.cjs"])
        // The same file of a library for the cases and for generated code.
        .arg("--main-fields=module,main")
        .arg("--log-level=warning")
        .arg(format!("--outdir={}", into.display()))
        .args(more)
        // Generated code lies elsewhere than the packages that it uses.
        .env("NODE_PATH", &packages);
    run(&mut esbuild, CASES_PATIENCE).ok();
}

/// Checks the types of the cases in a folder. `paths` say where to find what they import besides.
pub(crate) fn check_types(sources: &Path, scratch: &Path, paths: &Value) {
    let packages = packages();
    let config = json!({
        "extends": folder("node").join("tsconfig.json"),
        "compilerOptions": { "typeRoots": [packages.join("@types")], "paths": paths },
        "include": [sources],
    });
    let file = scratch.join("tsconfig.json");
    std::fs::create_dir_all(scratch).expect("the target folder can be written");
    std::fs::write(&file, config.to_string()).expect("the scratch directory can be written");
    let mut compiler = Command::new("node");
    compiler
        .arg(packages.join("typescript/bin/tsc"))
        .arg("--project")
        .arg(&file);
    let ended = run(&mut compiler, CASES_PATIENCE);
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
}

/// All files of cases in a folder.
///
/// # Panics
/// When no test runs one of them.
pub(crate) fn sources(sources: &Path, known: &[&str]) -> Vec<PathBuf> {
    let files = std::fs::read_dir(sources).expect("the cases are there");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("a folder can be read").path())
        .filter(|file| file.to_string_lossy().ends_with(".test.ts"))
        .collect();
    files.sort();
    let known = known.iter();
    let mut known: Vec<PathBuf> = known
        .map(|name| sources.join(format!("{name}.test.ts")))
        .collect();
    known.sort();
    assert_eq!(files, known, "each file of cases is run by a test");
    files
}

/// Where the compiled modules lie.
pub(crate) fn modules_folder() -> PathBuf {
    let folder = module("chat").parent().map(std::path::Path::to_path_buf);
    folder.expect("a module lies in a folder")
}

/// A folder of the target folder.
pub(crate) fn in_target(name: &str) -> PathBuf {
    let target = modules_folder().parent().map(|it| it.join(name));
    target.expect("the modules lie in the target folder")
}

/// Sets it also when a test ends by a panic.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The number behind `# what` in the summary of a report.
fn summed(report: &str, what: &str) -> u64 {
    let line = format!("# {what} ");
    let number = report
        .lines()
        .rev()
        .find_map(|text| text.strip_prefix(&line));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.unwrap_or_else(|| panic!("no summary of \"{what}\" in\n{report}"))
}

/// Does to the peers what the cases ask for, one line of words for each asking.
fn serve(listener: &TcpListener, names: &[&str], peers: &mut [Peer], done: &AtomicBool) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be asked without waiting");
    while !done.load(Ordering::Acquire) {
        match listener.accept() {
            // A case that went away does not need its answer.
            Ok((stream, _)) => drop(obey(stream, names, peers)),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn obey(mut stream: TcpStream, names: &[&str], peers: &mut [Peer]) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let words: Vec<String> = serde_json::from_str(&line)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (ok, text) = match words.as_slice() {
        [what, name, arguments @ ..] => match names.iter().position(|known| known == name) {
            Some(index) => act(&mut peers[index], what, arguments),
            None => (false, format!("there is no peer {name}")),
        },
        _ => (false, "a word and a peer's name are needed".to_string()),
    };
    stream.write_all(json!([ok, text]).to_string().as_bytes())
}

fn act(peer: &mut Peer, what: &str, arguments: &[&str]) -> (bool, String) {
    match what {
        "cli" => {
            let ended = peer.cli(arguments);
            match ended.status.success() {
                true => (true, ended.stdout),
                false => (false, ended.stderr),
            }
        }
        "stop" => match peer.interrupt(STOP_PATIENCE) {
            Some(status) => (status.success(), status.to_string()),
            None => (false, "it does not stop".to_string()),
        },
        "start" => {
            peer.start_again();
            (true, peer.http().to_string())
        }
        _ => (false, format!("nobody can {what} a peer")),
    }
}
