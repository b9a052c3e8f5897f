//! The pages of `examples/chat` and `examples/notes` in a browser, as somebody uses them: two pages on two
//! peers, apart and together again. The cases lie in `tests/browser`.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, free_port, module, run, tombolo, turn};
use crate::node::{self, CASES_PATIENCE, in_target};
use crate::oidc::{Provider, identity};
use crate::repository::root;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// How many cases of the chat there are at least.
const CHAT_CASES_MIN: u64 = 12;
/// And of signing in.
const SIGN_IN_CASES_MIN: u64 = 4;
/// And of the notes.
const NOTES_CASES_MIN: u64 = 13;
/// What of an example is made again, or installed.
const MADE: [&str; 3] = ["node_modules", "dist", "module_bindings"];

#[test]
fn the_chat_is_right_by_its_types_and_can_be_built() {
    let page = built("chat");
    assert!(page.join("index.html").exists(), "no page was built");
}

#[test]
fn the_notes_are_right_by_their_types_and_can_be_built() {
    let page = built("notes");
    assert!(page.join("index.html").exists(), "no page was built");
}

#[test]
fn two_people_chat_in_a_browser() {
    drive("chat", "chat.test.mjs", CHAT_CASES_MIN, |_| Vec::new());
}

#[test]
fn two_people_write_into_one_note_in_a_browser() {
    drive("notes", "notes.test.mjs", NOTES_CASES_MIN, |_| Vec::new());
}

#[test]
fn somebody_signs_in_at_a_provider_in_a_browser() {
    let port = free_port();
    let mut provider = None;
    drive("chat", "sign-in.test.mjs", SIGN_IN_CASES_MIN, |peer| {
        let provider = provider.insert(Provider::start(&[&format!("http://127.0.0.1:{port}/")]));
        let issuer = &provider.issuer;
        peer.cli(&["issuer", "add", "chat", issuer, "--audience", "chat"])
            .ok();
        vec![
            ("TOMBOLO_PAGE_PORT", port.to_string().into()),
            ("TOMBOLO_ISSUER", issuer.into()),
            ("TOMBOLO_IDENTITY", identity(issuer, "ann").into()),
        ]
    });
}

/// Runs a file of cases on the page of an example, with two peers that have its module. `prepare` does with the
/// first of them what the cases need besides, and says what to set in their environment.
fn drive(
    example: &str,
    cases: &str,
    count_min: u64,
    prepare: impl FnOnce(&Peer) -> Vec<(&'static str, PathBuf)>,
) {
    let Some(chromium) = on_the_path("chromium") else {
        eprintln!(
            "NOT RUN: there is no program `chromium`; `cargo xtask test` installs it on Debian as \
             root, elsewhere install it by hand"
        );
        return;
    };
    let tests = root().join("tests/browser");
    installed(&tests);
    let page = built(example);
    let _turn = turn();
    let names = ["a", "b"];
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    peers[0].publish(example, example);
    peers[1].join(&peers[0].invite(example));
    let mut more = prepare(&peers[0]);
    more.extend([
        ("TOMBOLO_CHROMIUM", chromium),
        ("TOMBOLO_DATABASE", example.into()),
        ("TOMBOLO_PAGE", page),
        ("TOMBOLO_PICTURES", in_target("browser-tests")),
    ]);
    let files = [tests.join("src").join(cases)];
    node::cases(&files, count_min, &names, &mut peers, &more);
}

/// Where a program lies.
fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The built page of an example, made from a copy: the example's own folder stays as it is.
fn built(example: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("no example failed to be built");
    built
        .entry(example.to_string())
        .or_insert_with(|| build(example))
        .clone()
}

fn build(name: &str) -> PathBuf {
    let example = root().join("examples").join(name);
    let modules = installed(&example);
    let copy = in_target("browser-tests").join(name);
    if copy.exists() {
        std::fs::remove_dir_all(&copy).expect("what an earlier run made can be removed");
    }
    copy_folder(&example, &copy);
    std::os::unix::fs::symlink(modules, copy.join("node_modules")).expect("a link can be made");
    let mut bindings = Command::new("npm");
    bindings
        .args(["run", "bindings", "--", "--bin-path"])
        .arg(module(name))
        .env("TOMBOLO", tombolo())
        .current_dir(&copy);
    run(&mut bindings, CASES_PATIENCE).ok();
    let mut build = Command::new("npm");
    build.args(["run", "build"]).current_dir(&copy);
    run(&mut build, CASES_PATIENCE).ok();
    copy.join("dist")
}

/// The packages of a folder.
///
/// # Panics
/// When they are not there.
fn installed(folder: &Path) -> PathBuf {
    let modules = folder.join("node_modules");
    assert!(
        modules.exists(),
        "{} is not there: `cargo xtask test` installs it",
        modules.display()
    );
    modules
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target folder can be written");
    for entry in std::fs::read_dir(from).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).expect("a file can be copied");
        }
    }
}
