//! Runs real peers: processes with data directories of their own, on loopback, on ports that the
//! system chooses.
//!
//! One test uses processes at a time ([`turn`]): deadlines then mean the same on a small machine. Those
//! that mostly wait share theirs ([`shared_turn`]).
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them and bounds the wait"
)]

use crate::client::Client;
use serde_json::Value;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// How long anything may take that should take moments. Generous: it is there so that a test
/// ends, not to measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long peers may take to become equal after thousands of calls.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(240);

static TURN: RwLock<()> = RwLock::new(());

/// Held by a test that runs processes.
pub(crate) fn turn() -> RwLockWriteGuard<'static, ()> {
    // A test that failed while it held the turn has said so itself.
    TURN.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test whose processes wait most of the time: several such run side by side, and no other.
pub(crate) fn shared_turn() -> RwLockReadGuard<'static, ()> {
    TURN.read().unwrap_or_else(PoisonError::into_inner)
}

/// Asks `condition` again and again until it gives something.
///
/// # Panics
/// When it gave nothing for `patience`, with `what` and with the last reason it gave.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match condition() {
            Ok(found) => return found,
            Err(reason) => {
                assert!(
                    Instant::now() < deadline,
                    "waited {patience:?} for {what}: {reason}"
                );
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The program under test. `cargo xtask test` builds it beside the tests.
pub(crate) fn tombolo() -> PathBuf {
    let this = std::env::current_exe().expect("a test knows its own path");
    let folder = this
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/release/deps");
    let program = folder.join("tombolo");
    assert!(
        program.exists(),
        "{} is not there: `cargo xtask test` builds it",
        program.display()
    );
    program
}

/// A compiled example module.
pub(crate) fn module(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows its own path");
    let target = this
        .ancestors()
        .nth(3)
        .expect("tests lie in target/release/deps");
    let module = target.join("wasm").join(format!("{name}.wasm"));
    assert!(
        module.exists(),
        "{} is not there: `cargo xtask wasm` builds it",
        module.display()
    );
    module
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its standard output.
    ///
    /// # Panics
    /// When it did not end with status 0.
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// What it said on standard error.
    ///
    /// # Panics
    /// When it ended with status 0.
    pub(crate) fn failed(self) -> String {
        assert!(!self.status.success(), "{self:?}");
        self.stderr
    }
}

/// Runs `command` to its end with nothing on standard input.
///
/// # Panics
/// When it takes longer than `patience`; it is killed then.
pub(crate) fn run(command: &mut Command, patience: Duration) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let status = wait_or_kill(&mut child, patience);
    let stdout = stdout.join().expect("reading does not panic");
    let stderr = stderr.join().expect("reading does not panic");
    let Some(status) = status else {
        panic!("{command:?} did not end in {patience:?}\n{stdout}\n{stderr}");
    };
    Ended {
        status,
        stdout,
        stderr,
    }
}

/// Reads to the end beside the test, so that a full pipe never stops the child.
fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait_or_kill(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One peer: a process, or for a while none, on its own data directory.
pub(crate) struct Peer {
    name: String,
    data: tempfile::TempDir,
    /// Given to `--p2p` again at each start, so that others find it where it was.
    p2p: Vec<String>,
    /// Whether it interprets modules.
    interpreter: bool,
    /// Where clients reach it, and what else `start` is told.
    listen: String,
    arguments: Vec<String>,
    /// What its log shows, if not what it shows by itself.
    log: Option<&'static str>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    client: Client,
}

impl Deref for Peer {
    type Target = Client;

    /// The HTTP side of a peer that runs.
    fn deref(&self) -> &Client {
        &self.running.as_ref().expect("the peer runs").client
    }
}

impl Peer {
    /// Starts a peer on a fresh data directory and waits until it answers.
    pub(crate) fn start(name: &str) -> Peer {
        let mut peer = Peer::new(name);
        peer.start_again();
        peer
    }

    /// The same, of a peer that interprets modules instead of compiling them.
    pub(crate) fn start_interpreting(name: &str) -> Peer {
        let mut peer = Peer::new(name);
        peer.interpreter = true;
        peer.start_again();
        peer
    }

    /// The same, without TCP.
    pub(crate) fn start_quic_only(name: &str) -> Peer {
        let mut peer = Peer::new(name);
        peer.p2p.retain(|address| address.ends_with("/quic-v1"));
        peer.start_again();
        peer
    }

    /// A data directory with no process on it yet.
    pub(crate) fn new(name: &str) -> Peer {
        Peer {
            name: name.to_string(),
            data: tempfile::Builder::new()
                .prefix(&format!("tombolo-test-{name}-"))
                .tempdir()
                .expect("a scratch directory can be made"),
            p2p: vec![
                format!("/ip4/127.0.0.1/tcp/{}", free_port()),
                format!("/ip4/127.0.0.1/udp/{}/quic-v1", free_udp_port()),
            ],
            interpreter: false,
            listen: "127.0.0.1:0".to_string(),
            arguments: Vec::new(),
            log: None,
            running: None,
        }
    }

    /// What a test calls it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens for clients, and what else `start` is told, from the next start on.
    pub(crate) fn told(&mut self, listen: &str, arguments: &[&str]) {
        self.listen = listen.to_string();
        self.arguments = arguments.iter().map(|one| (*one).to_string()).collect();
    }

    /// Lets it log everything that it can say, from the next start on.
    pub(crate) fn log_everything(&mut self) {
        self.log = Some("trace");
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The command that starts this peer.
    pub(crate) fn start_command(&self) -> Command {
        let mut command = Command::new(tombolo());
        command
            .args(["start", "--listen", &self.listen, "--no-mdns"])
            .args(&self.arguments)
            .arg("--data-dir")
            .arg(self.data_dir());
        if self.interpreter {
            command.arg("--interpreter");
        }
        for address in &self.p2p {
            command.args(["--p2p", address]);
        }
        clean_environment(&mut command);
        if let Some(log) = self.log {
            command.env("TOMBOLO_LOG", log);
        }
        command
    }

    /// Starts the process on the data directory as it is, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let log = self.data_dir().join("test-output.txt");
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log can be made");
        let mut child = self
            .start_command()
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be copied"))
            .stderr(output)
            .spawn()
            .expect("the program starts");
        let name = self.name.clone();
        let data = self.data_dir().to_path_buf();
        let client = wait_for(&format!("{name} to answer"), PATIENCE, || {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{name} ended at once with {status}:\n{said}");
            }
            let read = |file: &str| {
                std::fs::read_to_string(data.join(file)).map_err(|error| format!("{file}: {error}"))
            };
            let run: Value =
                serde_json::from_str(&read("run.json")?).map_err(|error| error.to_string())?;
            // A peer that was killed leaves its run.json behind.
            if run["pid"].as_u64() != Some(u64::from(child.id())) {
                return Err("run.json is of another process".to_string());
            }
            let http = run["http"].as_str().ok_or("run.json has no http")?;
            let client = Client::new(http, read("owner.token")?.trim());
            // A client without TLS cannot ask; the peer listens before it writes run.json.
            if !http.starts_with("https:") {
                client.request("GET", "/v1/ping", None)?;
            }
            Ok(client)
        });
        self.running = Some(Running { child, client });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().expect("a child can be killed");
        running.child.wait().expect("a child can be waited for");
    }

    /// Ctrl-C: sends SIGINT and gives how it ended, or nothing if it did not in `patience`.
    pub(crate) fn interrupt(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut running = self.running.take().expect("it runs");
        let sent = Command::new("kill")
            .args(["-INT", &running.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(
            sent.success(),
            "the process was gone before it was interrupted"
        );
        wait_or_kill(&mut running.child, patience)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| matches!(running.child.try_wait(), Ok(None)))
    }

    /// Bytes of memory that the process has now, as Linux counts them.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let running = self.running.as_ref().expect("it runs");
        memory_bytes(running.child.id(), "VmRSS")
    }

    /// Runs one verb of the command line against this peer.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(tombolo());
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir());
        clean_environment(&mut command);
        run(&mut command, PATIENCE)
    }

    /// Publishes an example module under `name` and gives the database's identity.
    pub(crate) fn publish(&self, name: &str, module_name: &str) -> String {
        let wasm = module(module_name);
        let wasm = wasm.to_str().expect("a plain path");
        let answer = self
            .cli(&["publish", name, "--bin-path", wasm, "--json"])
            .ok();
        let answer: Value = serde_json::from_str(&answer).expect("--json prints JSON");
        answer["database_identity"]
            .as_str()
            .expect("publish tells the identity")
            .to_string()
    }

    /// A ticket for `database`.
    pub(crate) fn invite(&self, database: &str) -> String {
        let ticket = self.cli(&["invite", database]).ok();
        let ticket = ticket.trim_end_matches('\n').to_string();
        assert!(
            ticket.starts_with("tombolo1") && !ticket.contains(char::is_whitespace),
            "standard output is the ticket and nothing else: {ticket:?}"
        );
        ticket
    }

    /// Joins with a ticket; the database is usable when this returns.
    pub(crate) fn join(&self, ticket: &str) {
        self.cli(&["join", ticket]).ok();
    }

    /// What the process printed so far, all its lives long.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("test-output.txt")).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!(
                "--- the last lines of {} ---\n{}",
                self.name,
                tail.join("\n")
            );
        }
    }
}

/// Bytes of memory of a process by the name that Linux gives them: `VmRSS` now, `VmHWM` at most.
pub(crate) fn memory_bytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.expect("a process that runs has a status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.strip_prefix(':'));
    let kibibytes = kibibytes.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("it says how much") * 1_024
}

/// Waits until all of `peers` hold the same entries and the same tables.
///
/// # Panics
/// When they do not in time, or one of them stopped serving the database.
pub(crate) fn wait_until_equal(peers: &[&Peer], database: &str) {
    let mut before = None;
    wait_for("the peers to be equal", LONG_PATIENCE, || {
        let mut states = Vec::new();
        for peer in peers {
            let status = peer.try_status(database)?;
            assert_eq!(status["status"], "ok", "{}: {status}", peer.name);
            states.push(["heads_hash", "state_root", "entries"].map(|what| status[what].clone()));
        }
        let first = states[0].clone();
        assert!(
            !first.contains(&Value::Null),
            "the status lacks something: {first:?}"
        );
        if states.iter().any(|state| *state != first) {
            before = None;
            return Err(format!("{states:?}"));
        }
        // Twice the same, so that nothing was on its way.
        if before.as_ref() == Some(&first) {
            return Ok(());
        }
        before = Some(first);
        Err("equal once".to_string())
    });
}

/// A port of loopback that nobody listened on a moment ago, that no other test is given, and that the
/// system gives to nobody who asks for any.
pub(crate) fn free_port() -> u16 {
    next_port(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// The same of UDP.
fn free_udp_port() -> u16 {
    next_port(|port| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok())
}

fn next_port(is_free: impl Fn(u16) -> bool) -> u16 {
    // Below those that Linux gives out by itself.
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two processes that test begin elsewhere.
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    let ports = (0..COUNT).map(|_| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        FIRST + (begin + step) % COUNT
    });
    ports
        .into_iter()
        .find(|port| is_free(*port))
        .expect("loopback has a free port")
}

/// The next number of SplitMix64.
pub(crate) fn draw(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *dice;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a person has set must not decide a test.
fn clean_environment(command: &mut Command) {
    for name in [
        "TOMBOLO_DATA_DIR",
        "TOMBOLO_INTERPRETER",
        "TOMBOLO_LOG",
        "TOMBOLO_RECOVERY_KEY",
        "TOMBOLO_SERVER",
        "TOMBOLO_TOKEN",
    ] {
        command.env_remove(name);
    }
}
