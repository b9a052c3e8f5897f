//! A device: one host, and the peer that runs on it.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them and bounds the wait"
)]

use super::lan::{Lan, inside};
use crate::client::Client;
use crate::harness::{Ended, PATIENCE, memory_bytes, run, tombolo, wait_for};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A peer on one of the hosts.
pub(crate) struct Host {
    name: &'static str,
    namespace: String,
    data: tempfile::TempDir,
    /// What `start` is told, beside where the data is and where clients reach it.
    arguments: Vec<String>,
    process: Option<Child>,
    /// Most memory that a process of this host had which is no more, in bytes.
    most_memory: u64,
}

impl Host {
    /// Starts a peer with these arguments on a fresh data directory, and waits until it answers.
    pub(crate) fn start(lan: &Lan, name: &'static str, arguments: &[&str]) -> Host {
        Host::start_in(lan.namespace(name), name, arguments)
    }

    /// The same, in this network namespace.
    pub(crate) fn start_in(namespace: String, name: &'static str, arguments: &[&str]) -> Host {
        let mut host = Host {
            name,
            namespace,
            data: tempfile::Builder::new()
                .prefix(&format!("tombolo-test-{name}-"))
                .tempdir()
                .expect("a scratch directory can be made"),
            arguments: Vec::new(),
            process: None,
            most_memory: 0,
        };
        host.told(arguments);
        host.start_again();
        host
    }

    /// What `start` is told from the next start on.
    pub(crate) fn told(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The program, run on this host.
    fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(tombolo());
        for name in ["TOMBOLO_DATA_DIR", "TOMBOLO_TOKEN", "TOMBOLO_SERVER"] {
            command.env_remove(name);
        }
        command
    }

    /// Starts the process on the data directory as it is, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        let log = self.data_dir().join("test-output.txt");
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be made");
        let mut command = self.command();
        command
            .args(["start", "--listen", "127.0.0.1:0"])
            .args(&self.arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be copied"))
            .stderr(output);
        let process = command.spawn().expect("the program starts");
        let id = process.id();
        self.process = Some(process);
        wait_for("the peer to answer", PATIENCE, || {
            let process = self.process.as_mut().expect("it was started");
            if let Ok(Some(status)) = process.try_wait() {
                panic!("it ended at once with {status}");
            }
            let client = self.door().client(Some(id))?;
            inside(&self.namespace, || client.request("GET", "/v1/ping", None)).map(drop)
        });
    }

    /// `kill -9`.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            if let Ok(None) = process.try_wait() {
                self.most_memory = self.most_memory.max(memory_bytes(process.id(), "VmHWM"));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Bytes of memory: now, and at most so far.
    pub(super) fn memory(&self) -> (u64, u64) {
        let process = self.process.as_ref().expect("it runs").id();
        let most = memory_bytes(process, "VmHWM").max(self.most_memory);
        (memory_bytes(process, "VmRSS"), most)
    }

    /// Where whoever calls finds this peer, also after it was started again.
    pub(super) fn door(&self) -> Door {
        Door {
            name: self.name,
            namespace: self.namespace.clone(),
            data: self.data_dir().to_path_buf(),
        }
    }

    /// Rows of a query.
    pub(super) fn sql(&self, text: &str) -> Vec<Value> {
        let client = self.door().client(None).expect("it runs");
        inside(&self.namespace, || client.sql("chat", text))
    }

    /// What `tombolo status chat --json` shows.
    pub(super) fn status(&self) -> Result<Value, String> {
        let client = self.door().client(None)?;
        inside(&self.namespace, || client.try_status("chat"))
    }

    /// Runs one verb of the command line against this peer.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Ended {
        self.cli_within(arguments, PATIENCE)
    }

    /// The same, of what may take longer.
    pub(super) fn cli_within(&self, arguments: &[&str], patience: Duration) -> Ended {
        let mut command = self.command();
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir());
        run(&mut command, patience)
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.cli(arguments).ok();
        serde_json::from_str(&text).expect("--json prints JSON")
    }

    pub(crate) fn publish(&self) {
        let wasm = crate::harness::module("chat");
        let wasm = wasm.to_str().expect("a plain path");
        self.cli(&["publish", "chat", "--bin-path", wasm]).ok();
    }

    pub(crate) fn invite(&self) -> String {
        self.cli(&["invite", "chat"]).ok().trim().to_owned()
    }

    pub(crate) fn say(&self, text: &str) {
        self.cli(&["call", "chat", "send_message", "lobby", text])
            .ok();
    }

    pub(crate) fn wait_for_message(&self, text: &str) {
        wait_for(&format!("\"{text}\" to arrive"), PATIENCE, || {
            let rows = self.cli(&["sql", "chat", "SELECT text FROM message"]);
            match rows.stdout.contains(text) {
                true => Ok(()),
                false => Err(format!("there is {}{}", rows.stdout, rows.stderr)),
            }
        });
    }

    /// Where this peer is linked to those it holds to be members.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let peers = self.json(&["peers", "--json"]);
        let peers = peers.as_array().expect("a list");
        peers
            .iter()
            .filter_map(|peer| Some(peer["address"].as_str()?.to_owned()))
            .collect()
    }

    pub(crate) fn wait_for_address(&self, part: &str) {
        wait_for(&format!("a link over {part}"), PATIENCE, || {
            let addresses = self.addresses();
            match addresses.iter().any(|address| address.contains(part)) {
                true => Ok(()),
                false => Err(format!("{addresses:?}")),
            }
        });
    }

    /// Waits until this peer is linked to so many others.
    pub(super) fn wait_for_links(&self, count: usize) {
        wait_for(&format!("{count} links"), PATIENCE, || {
            match self.addresses().len() {
                there if there == count => Ok(()),
                there => Err(format!("{} has {there}", self.name)),
            }
        });
    }

    /// Waits until this peer and so many others have said to each other where they stand.
    pub(super) fn wait_until_in_sync(&self, count: usize) {
        wait_for(&format!("to be in sync with {count}"), PATIENCE, || {
            let status = self.status()?;
            let peers = status["peers"].as_array().ok_or("no peers")?;
            let in_sync = peers.iter().filter(|peer| peer["in_sync"] == true);
            match in_sync.count() {
                there if there == count => Ok(()),
                _ => Err(format!("{}: {peers:?}", self.name)),
            }
        });
    }

    /// Waits until this peer knows that some member listens at `address`, and has it on disk.
    pub(crate) fn wait_for_member_at(&self, address: &str) {
        wait_for(&format!("a member at {address}"), PATIENCE, || {
            let members = self.json(&["members", "chat", "--json"]).to_string();
            match members.contains(address) {
                true => Ok(()),
                false => Err(members),
            }
        });
        // Records that come in a burst are written together, a tenth of a second after the first.
        std::thread::sleep(Duration::from_millis(500));
    }

    pub(crate) fn root(&self) -> (Value, Value) {
        let status = self.status().expect("the peer tells its status");
        (status["heads_hash"].clone(), status["state_root"].clone())
    }

    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("test-output.txt")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.namespace, self.output());
        }
    }
}

/// How a thread that calls a peer reaches it.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) namespace: String,
    data: PathBuf,
}

impl Door {
    /// A client of the process that runs now, whose connections must be opened inside the namespace.
    ///
    /// # Errors
    /// When there is no such process, or it is not this one.
    pub(super) fn client(&self, process: Option<u32>) -> Result<Client, String> {
        let read = |file: &str| {
            std::fs::read_to_string(self.data.join(file))
                .map_err(|error| format!("{file}: {error}"))
        };
        let run: Value =
            serde_json::from_str(&read("run.json")?).map_err(|error| error.to_string())?;
        // A peer that was killed leaves its run.json behind.
        if process.is_some() && run["pid"].as_u64() != process.map(u64::from) {
            return Err("run.json is of another process".to_owned());
        }
        let http = run["http"].as_str().ok_or("run.json has no http")?;
        Ok(Client::new(http, read("owner.token")?.trim()))
    }
}

/// Waits until these hosts hold the same entries and the same tables.
///
/// # Panics
/// When they do not in `patience`, or one of them stopped serving the database.
pub(crate) fn wait_until_equal_within(hosts: &[&Host], patience: Duration) {
    wait_for("the hosts to be equal", patience, || {
        let mut states = Vec::new();
        for host in hosts {
            let status = host.status()?;
            assert_eq!(status["status"], "ok", "{}: {status}", host.name);
            states.push(["heads_hash", "state_root", "entries"].map(|what| status[what].clone()));
        }
        let first = &states[0];
        assert!(!first.contains(&Value::Null), "something lacks: {first:?}");
        match states.iter().all(|state| state == first) {
            true => Ok(()),
            false => Err(format!("{states:?}")),
        }
    });
}

/// The same, of what should take moments.
pub(crate) fn wait_until_equal(hosts: &[&Host]) {
    wait_until_equal_within(hosts, PATIENCE);
}
