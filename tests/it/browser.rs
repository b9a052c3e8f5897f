//! The chat of `examples/chat` in a browser, as somebody uses it: two pages on two peers, apart and
//! together again. The cases lie in `tests/browser`.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use crate::harness::{Peer, free_port, module, run, tombolo, turn};
use crate::node::{self, CASES_PATIENCE, in_target};
use crate::oidc::{Provider, identity};
use crate::repository::root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How many cases there are at least.
const CASES_MIN: u64 = 12;
/// And of signing in.
const SIGN_IN_CASES_MIN: u64 = 4;
/// What of the example is made again, or installed.
const MADE: [&str; 3] = ["node_modules", "dist", "module_bindings"];

#[test]
fn the_chat_is_right_by_its_types_and_can_be_built() {
    let page = built();
    assert!(page.join("index.html").exists(), "no page was built");
}

#[test]
fn two_people_chat_in_a_browser() {
    let Some(chromium) = on_the_path("chromium") else {
        eprintln!(
            "NOT RUN: there is no program `chromium`; `cargo xtask test` installs it on Debian as \
             root, elsewhere install it by hand"
        );
        return;
    };
    let tests = root().join("tests/browser");
    installed(&tests);
    let page = built();
    let _turn = turn();
    let names = ["a", "b"];
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    peers[0].publish("chat", "chat");
    peers[1].join(&peers[0].invite("chat"));
    let more = [
        ("TOMBOLO_CHROMIUM", chromium),
        ("TOMBOLO_PAGE", page),
        ("TOMBOLO_PICTURES", in_target("browser-tests")),
    ];
    let files = [tests.join("src/chat.test.mjs")];
    node::cases(&files, CASES_MIN, &names, &mut peers, &more);
}

#[test]
fn somebody_signs_in_at_a_provider_in_a_browser() {
    let Some(chromium) = on_the_path("chromium") else {
        eprintln!("NOT RUN: there is no program `chromium`");
        return;
    };
    let tests = root().join("tests/browser");
    installed(&tests);
    let page = built();
    let _turn = turn();
    let port = free_port();
    let provider = Provider::start(&[&format!("http://127.0.0.1:{port}/")]);
    let names = ["a", "b"];
    let mut peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    peers[0].publish("chat", "chat");
    peers[1].join(&peers[0].invite("chat"));
    let add = [
        "issuer",
        "add",
        "chat",
        &provider.issuer,
        "--audience",
        "chat",
    ];
    peers[0].cli(&add).ok();
    let more = [
        ("TOMBOLO_CHROMIUM", chromium),
        ("TOMBOLO_PAGE", page),
        ("TOMBOLO_PAGE_PORT", port.to_string().into()),
        ("TOMBOLO_PICTURES", in_target("browser-tests")),
        ("TOMBOLO_ISSUER", provider.issuer.clone().into()),
        ("TOMBOLO_IDENTITY", identity(&provider.issuer, "ann").into()),
    ];
    let files = [tests.join("src/sign-in.test.mjs")];
    node::cases(&files, SIGN_IN_CASES_MIN, &names, &mut peers, &more);
}

/// Where a program lies.
fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The built page, made from a copy: the example's own folder stays as it is.
fn built() -> PathBuf {
    static ONCE: OnceLock<PathBuf> = OnceLock::new();
    ONCE.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let example = root().join("examples/chat");
    let modules = installed(&example);
    let copy = in_target("browser-tests").join("chat");
    if copy.exists() {
        std::fs::remove_dir_all(&copy).expect("what an earlier run made can be removed");
    }
    copy_folder(&example, &copy);
    std::os::unix::fs::symlink(modules, copy.join("node_modules")).expect("a link can be made");
    let mut bindings = Command::new("npm");
    bindings
        .args(["run", "bindings", "--", "--bin-path"])
        .arg(module("chat"))
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
