//! SpacetimeDB's own client library for TypeScript, as npm gives it, against real peers: the cases
//! in `tests/node` run in Node, with client code that `tombolo generate` wrote.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, module, run, tombolo, turn};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long all cases of one test may take.
const CASES_PATIENCE: Duration = Duration::from_secs(600);
/// How long one case may take; and one file, for which Node takes the same number.
const CASE_PATIENCE: Duration = Duration::from_secs(300);
/// How long a peer may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The modules that the cases publish.
const MODULES: [&str; 5] = ["chat", "inventory", "cabinet", "misbehave", "doorkeeper"];

/// Files of cases, and how many cases they have at least.
type Cases = (&'static [&'static str], u64);

const ONE_PEER: Cases = (
    &[
        "callbacks",
        "calling",
        "columns",
        "connecting",
        "crowd",
        "frames",
        "lifecycle",
        "raw",
        "refused",
        "sets",
        "subscribing",
    ],
    138,
);
/// By themselves: afterwards the peer is at another address.
const RESTARTS: Cases = (&["restart"], 3);
const TWO_PEERS: Cases = (&["two_peers"], 7);

#[test]
fn clients_of_one_peer() {
    cases(&["a"], ONE_PEER);
}

#[test]
fn clients_of_a_peer_that_is_started_again() {
    cases(&["a"], RESTARTS);
}

#[test]
fn clients_of_two_peers() {
    cases(&["a", "b"], TWO_PEERS);
}

#[test]
fn the_cases_are_right_by_their_types() {
    let scratch = bundled();
    let modules = node_tests().join("node_modules");
    let config = json!({
        "extends": node_tests().join("tsconfig.json"),
        "compilerOptions": {
            "typeRoots": [modules.join("@types")],
            "paths": {
                "generated/*": [scratch.join("generated/*")],
                "spacetimedb": [modules.join("spacetimedb")],
            },
        },
        "include": [node_tests().join("src")],
    });
    let file = scratch.join("tsconfig.json");
    std::fs::write(&file, config.to_string()).expect("the scratch directory can be written");
    let mut compiler = Command::new("node");
    compiler
        .arg(modules.join("typescript/bin/tsc"))
        .arg("--project")
        .arg(&file);
    let ended = run(&mut compiler, CASES_PATIENCE);
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
}

/// Runs the cases of some files against fresh peers. All have to pass, and at least so many have to
/// be there.
fn cases(names: &[&str], (files, count_min): Cases) {
    let scratch = bundled();
    let _turn = turn();
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    let known: Vec<[&str; 3]> = names
        .iter()
        .zip(&peers)
        .map(|(name, peer)| [name, peer.http(), peer.token()])
        .collect();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=tap", "--test-concurrency=1"])
        .arg(format!("--test-timeout={}", CASE_PATIENCE.as_millis()))
        .args(
            files
                .iter()
                .map(|file| scratch.join(format!("{file}.test.cjs"))),
        )
        .env("TOMBOLO_PEERS", json!(known).to_string())
        .env("TOMBOLO_MODULES", modules_folder())
        .env(
            "TOMBOLO_CONTROL",
            listener
                .local_addr()
                .expect("it is bound")
                .port()
                .to_string(),
        )
        // What a person has set must not decide a test.
        .env_remove("NODE_OPTIONS");
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, names, &mut peers, &done));
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

fn node_tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

fn modules_folder() -> PathBuf {
    let folder = module("chat").parent().map(Path::to_path_buf);
    folder.expect("a module lies in a folder")
}

/// Writes client code for each module and bundles the cases with it and the library, once.
fn bundled() -> PathBuf {
    static ONCE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ONCE.get_or_init(bundle).clone()
}

fn bundle() -> PathBuf {
    let modules = node_tests().join("node_modules");
    assert!(
        modules.exists(),
        "{} is not there: `cargo xtask test` installs it",
        modules.display()
    );
    let target = modules_folder().parent().map(|it| it.join("sdk-tests"));
    let scratch = target.expect("the modules lie in the target folder");
    let generated = scratch.join("generated");
    for name in MODULES {
        let mut generate = Command::new(tombolo());
        generate
            .args(["generate", "--lang", "typescript", "--bin-path"])
            .arg(module(name))
            .arg("--out-dir")
            .arg(generated.join(name));
        run(&mut generate, CASES_PATIENCE).ok();
    }
    let mut esbuild = Command::new(modules.join(".bin/esbuild"));
    esbuild
        .args(sources())
        .args(["--bundle", "--platform=node", "--target=node20"])
        .args(["--format=cjs", "--out-extension:.js=.cjs"])
        // The same file of the library for the cases and for the generated code.
        .arg("--main-fields=module,main")
        .arg("--log-level=warning")
        .arg(format!("--outdir={}", scratch.display()))
        .arg(format!("--alias:generated={}", generated.display()))
        // The generated code lies elsewhere than the packages that it uses.
        .env("NODE_PATH", &modules);
    run(&mut esbuild, CASES_PATIENCE).ok();
    scratch
}

/// All files of cases.
///
/// # Panics
/// When no test runs one of them.
fn sources() -> Vec<PathBuf> {
    let files = std::fs::read_dir(node_tests().join("src")).expect("the cases are there");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("a folder can be read").path())
        .filter(|file| file.to_string_lossy().ends_with(".test.ts"))
        .collect();
    files.sort();
    let mut known: Vec<PathBuf> = [ONE_PEER, RESTARTS, TWO_PEERS]
        .iter()
        .flat_map(|(files, _)| *files)
        .map(|name| node_tests().join(format!("src/{name}.test.ts")))
        .collect();
    known.sort();
    assert_eq!(files, known, "each file of cases is run by a test");
    files
}
