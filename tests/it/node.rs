//! Runs files of cases in Node against real peers, and does to the peers what the cases ask for.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, module, run};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
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
