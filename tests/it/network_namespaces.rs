//! Hosts with addresses of their own: network namespaces on one bridge. Needs root, because only
//! root may make them; everybody else is told that these tests were not run.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them and bounds the wait"
)]

use crate::harness::{Ended, PATIENCE, run, tombolo, turn, wait_for};
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tells the namespaces of one test from those of another in the same process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A switch and the hosts at it. All of it goes away with this value.
struct Lan {
    prefix: String,
    hosts: Vec<&'static str>,
}

/// Runs `ip` with these words.
///
/// # Panics
/// When it fails: with root and iproute2, which `cargo xtask test` sees to, it does not.
fn ip(words: &str) {
    let ended = run(Command::new("ip").args(words.split(' ')), PATIENCE);
    assert!(ended.status.success(), "ip {words}: {}", ended.stderr);
}

impl Lan {
    /// A switch and its hosts, `10.77.0.1` and so on; nothing for who is not root.
    fn new(hosts: &[&'static str]) -> Option<Lan> {
        let user = std::fs::metadata("/proc/self")
            .expect("Linux has /proc")
            .uid();
        if user != 0 {
            eprintln!(
                "NOT RUN: only root can make network namespaces, and this is user {user}; run `cargo xtask test` as root"
            );
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lan = Lan {
            prefix: format!("tombolo-{}-{number}-", std::process::id()),
            hosts: hosts.to_vec(),
        };
        let switch = lan.namespace("switch");
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link add br0 type bridge"));
        ip(&format!("-n {switch} link set br0 up"));
        for (at, host) in hosts.iter().enumerate() {
            let namespace = lan.namespace(host);
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!(
                "-n {switch} link add port{at} type veth peer name eth0 netns {namespace}"
            ));
            ip(&format!("-n {switch} link set port{at} master br0 up"));
            lan.plug_in(host, at + 1);
        }
        Some(lan)
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Gives a host the address `10.77.0.<number>` and no other.
    fn plug_in(&self, host: &str, number: usize) {
        let namespace = self.namespace(host);
        ip(&format!("-n {namespace} addr flush dev eth0"));
        ip(&format!(
            "-n {namespace} addr add 10.77.0.{number}/24 dev eth0"
        ));
        ip(&format!("-n {namespace} link set eth0 up"));
        // As on a host with a router: without it the group of mDNS has no way out.
        ip(&format!("-n {namespace} route replace default dev eth0"));
    }

    /// Makes a host refuse to send what the rule names: `ipproto udp`, `to 10.77.0.1`.
    fn block(&self, host: &str, rule: &str) {
        ip(&format!(
            "-n {} rule add {rule} prohibit",
            self.namespace(host)
        ));
    }

    fn unblock(&self, host: &str, rule: &str) {
        ip(&format!(
            "-n {} rule del {rule} prohibit",
            self.namespace(host)
        ));
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in self.hosts.iter().chain(&["switch"]) {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(host)])
                .status();
        }
    }
}

/// A peer on one of the hosts.
struct Host {
    namespace: String,
    data: tempfile::TempDir,
    process: Option<Child>,
}

const BOTH: &[&str] = &["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"];
const TCP: &[&str] = &["/ip4/0.0.0.0/tcp/4001"];
const QUIC: &[&str] = &["/ip4/0.0.0.0/udp/4001/quic-v1"];

impl Host {
    fn start(lan: &Lan, name: &str, p2p: &[&str], mdns: bool) -> Host {
        let mut host = Host {
            namespace: lan.namespace(name),
            data: tempfile::Builder::new()
                .prefix(&format!("tombolo-test-{name}-"))
                .tempdir()
                .expect("a scratch directory can be made"),
            process: None,
        };
        host.start_again(p2p, mdns);
        host
    }

    fn data_dir(&self) -> &Path {
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

    fn start_again(&mut self, p2p: &[&str], mdns: bool) {
        let log = self.data_dir().join("test-output.txt");
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log can be made");
        let mut command = self.command();
        command.args(["start", "--listen", "127.0.0.1:0"]);
        for address in p2p {
            command.args(["--p2p", address]);
        }
        if !mdns {
            command.arg("--no-mdns");
        }
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be copied"))
            .stderr(output);
        self.process = Some(command.spawn().expect("the program starts"));
        wait_for("the peer to answer", PATIENCE, || {
            let ended = self.cli(&["list"]);
            match ended.status.success() {
                true => Ok(()),
                false => Err(format!("{}\n{}", ended.stderr, self.output())),
            }
        });
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn cli(&self, arguments: &[&str]) -> Ended {
        let mut command = self.command();
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir());
        run(&mut command, PATIENCE)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.cli(arguments).ok();
        serde_json::from_str(&text).expect("--json prints JSON")
    }

    fn publish(&self) {
        let wasm = crate::harness::module("chat");
        let wasm = wasm.to_str().expect("a plain path");
        self.cli(&["publish", "chat", "--bin-path", wasm]).ok();
    }

    fn invite(&self) -> String {
        self.cli(&["invite", "chat"]).ok().trim().to_owned()
    }

    fn say(&self, text: &str) {
        self.cli(&["call", "chat", "send_message", "lobby", text])
            .ok();
    }

    fn wait_for_message(&self, text: &str) {
        wait_for(&format!("\"{text}\" to arrive"), PATIENCE, || {
            let rows = self.cli(&["sql", "chat", "SELECT text FROM message"]);
            match rows.stdout.contains(text) {
                true => Ok(()),
                false => Err(format!("there is {}{}", rows.stdout, rows.stderr)),
            }
        });
    }

    /// Where this peer is linked to those it holds to be members.
    fn addresses(&self) -> Vec<String> {
        let peers = self.json(&["peers", "--json"]);
        let peers = peers.as_array().expect("a list");
        peers
            .iter()
            .filter_map(|peer| Some(peer["address"].as_str()?.to_owned()))
            .collect()
    }

    fn wait_for_address(&self, part: &str) {
        wait_for(&format!("a link over {part}"), PATIENCE, || {
            let addresses = self.addresses();
            match addresses.iter().any(|address| address.contains(part)) {
                true => Ok(()),
                false => Err(format!("{addresses:?}")),
            }
        });
    }

    /// Waits until this peer knows that some member listens at `address`, and has it on disk.
    fn wait_for_member_at(&self, address: &str) {
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

    fn root(&self) -> (Value, Value) {
        let status = self.json(&["status", "chat", "--json"]);
        (status["heads_hash"].clone(), status["state_root"].clone())
    }

    fn output(&self) -> String {
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

fn wait_until_equal(hosts: &[&Host]) {
    wait_for("the hosts to be equal", PATIENCE, || {
        let roots: Vec<_> = hosts.iter().map(|host| host.root()).collect();
        match roots.iter().all(|root| *root == roots[0]) {
            true => Ok(()),
            false => Err(format!("{roots:?}")),
        }
    });
}

/// `a` publishes; `b` and `c` join.
fn three(lan: &Lan, mdns: bool) -> [Host; 3] {
    let hosts = ["a", "b", "c"].map(|name| Host::start(lan, name, BOTH, mdns));
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    hosts
}

#[test]
fn members_find_each_other_in_the_local_network_under_new_addresses() {
    let _turn = turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let [mut a, mut b, mut c] = three(&lan, true);
    b.say("before");
    c.wait_for_message("before");
    for host in [&mut a, &mut b, &mut c] {
        host.stop();
    }
    // The first is gone for good, the others come back elsewhere: nobody can tell them where.
    lan.plug_in("b", 52);
    lan.plug_in("c", 53);
    b.start_again(BOTH, true);
    c.start_again(BOTH, true);
    b.say("after");
    c.wait_for_message("after");
    b.wait_for_address("/ip4/10.77.0.53/");
    wait_until_equal(&[&b, &c]);
}

#[test]
fn members_find_each_other_by_what_a_third_passed_on() {
    let _turn = turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let [mut a, mut b, mut c] = three(&lan, false);
    wait_until_equal(&[&a, &b, &c]);
    // One moves to where the other cannot meet it, so that only the first can say where it is.
    b.stop();
    lan.plug_in("b", 52);
    lan.block("c", "to 10.77.0.52");
    lan.block("b", "to 10.77.0.3");
    b.start_again(BOTH, false);
    b.say("moved");
    c.wait_for_message("moved");
    c.wait_for_member_at("/ip4/10.77.0.52/");
    b.wait_for_member_at("/ip4/10.77.0.3/");
    a.stop();
    for host in [&mut b, &mut c] {
        // The transport's own notes are gone: the members' records are on disk beside the log.
        host.stop();
        std::fs::remove_file(host.data_dir().join("addresses.json")).expect("it was kept");
    }
    lan.unblock("c", "to 10.77.0.52");
    lan.unblock("b", "to 10.77.0.3");
    b.start_again(BOTH, false);
    c.start_again(BOTH, false);
    c.say("found");
    b.wait_for_message("found");
    wait_until_equal(&[&b, &c]);
}

#[test]
fn when_one_transport_is_lost_the_other_carries_on() {
    let _turn = turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let a = Host::start(&lan, "a", BOTH, false);
    let b = Host::start(&lan, "b", BOTH, false);
    a.publish();
    // TCP is blocked: they meet over QUIC.
    lan.block("b", "ipproto tcp");
    b.cli(&["join", &a.invite()]).ok();
    b.wait_for_address("/quic-v1");
    // UDP is blocked: what was linked over QUIC comes back over TCP.
    lan.unblock("b", "ipproto tcp");
    lan.block("a", "ipproto udp");
    lan.block("b", "ipproto udp");
    a.say("over the other one");
    b.wait_for_message("over the other one");
    b.wait_for_address("/tcp/");
    // A peer that only speaks TCP meets one that speaks both.
    let c = Host::start(&lan, "c", TCP, false);
    c.cli(&["join", &a.invite()]).ok();
    c.wait_for_address("/tcp/");
    wait_until_equal(&[&a, &b, &c]);
}

#[test]
fn a_cable_that_is_pulled_and_put_back_leaves_equal_roots() {
    let _turn = turn();
    let Some(lan) = Lan::new(&["a", "b"]) else {
        return;
    };
    let a = Host::start(&lan, "a", QUIC, false);
    let b = Host::start(&lan, "b", QUIC, false);
    a.publish();
    b.cli(&["join", &a.invite()]).ok();
    ip(&format!("-n {} link set eth0 down", lan.namespace("b")));
    for round in 0..3 {
        a.say(&format!("a alone {round}"));
        b.say(&format!("b alone {round}"));
    }
    assert_ne!(a.root(), b.root());
    lan.plug_in("b", 2);
    a.wait_for_message("b alone 2");
    b.wait_for_message("a alone 2");
    wait_until_equal(&[&a, &b]);
}

#[test]
fn a_host_without_any_network_starts_all_the_same() {
    let _turn = turn();
    let Some(lan) = Lan::new(&["a"]) else {
        return;
    };
    ip(&format!("-n {} link del eth0", lan.namespace("a")));
    let host = Host::start(&lan, "a", BOTH, true);
    host.publish();
    host.say("alone");
    host.wait_for_message("alone");
    let output = host.output();
    assert!(!output.contains("ERROR"), "{output}");
    assert!(output.matches("local network").count() <= 1, "{output}");
}
