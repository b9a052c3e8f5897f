//! A local network: a switch and hosts at it, each a network namespace with an address of its own.

use super::report::tell;
use super::wire::{Trouble, Wire};
use crate::harness::{PATIENCE, run};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells the namespaces of one test from those of another in the same process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A switch and the hosts at it. All of it goes away with this value.
pub(crate) struct Lan {
    prefix: String,
    hosts: Vec<&'static str>,
    /// What carries the frames, if it is not the kernel's switch.
    wire: Option<Wire>,
}

/// What the names of namespaces begin with for one more test; nothing for who is not root.
pub(crate) fn prefix() -> Option<String> {
    let user = std::fs::metadata("/proc/self")
        .expect("Linux has /proc")
        .uid();
    if user != 0 {
        tell(&format!(
            "NOT RUN: only root can make network namespaces, and this is user {user}; run `cargo xtask test` as root\n"
        ));
        return None;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(format!("tombolo-{}-{number}-", std::process::id()))
}

/// Runs `ip` with these words.
///
/// # Panics
/// When it fails: with root and iproute2, which `cargo xtask test` sees to, it does not.
pub(crate) fn ip(words: &str) {
    let ended = run(Command::new("ip").args(words.split(' ')), PATIENCE);
    assert!(ended.status.success(), "ip {words}: {}", ended.stderr);
}

impl Lan {
    /// A switch and its hosts, `10.77.0.1` and so on; nothing for who is not root.
    pub(crate) fn new(hosts: &[&'static str]) -> Option<Lan> {
        let lan = Lan::unconnected(hosts)?;
        let switch = lan.switch();
        for bridge in ["br0", "br1"] {
            ip(&format!("-n {switch} link add {bridge} type bridge"));
            ip(&format!("-n {switch} link set {bridge} up"));
        }
        for at in 0..hosts.len() {
            ip(&format!("-n {switch} link set port{at} master br0"));
        }
        Some(lan)
    }

    /// The same, on links that can be made as bad as one likes.
    pub(super) fn with_bad_links(hosts: &[&'static str]) -> Option<Lan> {
        let mut lan = Lan::unconnected(hosts)?;
        let switch = lan.switch();
        for (at, host) in hosts.iter().enumerate() {
            // Whole segments cost as much as they are long; without this one frame has up to 64 KiB.
            let host = lan.namespace(host);
            ip(&format!("-n {host} link set eth0 gso_max_segs 1"));
            let words = format!(
                "-n {switch} link add link port{at} name tap{at} type macvtap mode passthru"
            );
            let ended = run(Command::new("ip").args(words.split(' ')), PATIENCE);
            if ended.stderr.contains("Unknown device type") {
                tell("NOT RUN: this kernel has no macvtap, with which links are made bad\n");
                return None;
            }
            assert!(ended.status.success(), "ip {words}: {}", ended.stderr);
            ip(&format!(
                "-n {switch} link set tap{at} up promisc on allmulticast on"
            ));
        }
        lan.wire = Some(Wire::new(&switch, hosts.len()));
        Some(lan)
    }

    /// Hosts whose cables end in the namespace of the switch.
    fn unconnected(hosts: &[&'static str]) -> Option<Lan> {
        let lan = Lan {
            prefix: prefix()?,
            hosts: hosts.to_vec(),
            wire: None,
        };
        let switch = lan.switch();
        ip(&format!("netns add {switch}"));
        for (at, host) in hosts.iter().enumerate() {
            let namespace = lan.namespace(host);
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!(
                "-n {switch} link add port{at} type veth peer name eth0 netns {namespace}"
            ));
            ip(&format!("-n {switch} link set port{at} up"));
            lan.plug_in(host, at + 1);
        }
        Some(lan)
    }

    fn switch(&self) -> String {
        self.namespace("switch")
    }

    pub(crate) fn namespace(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Gives a host the address `10.77.0.<number>` and no other.
    pub(crate) fn plug_in(&self, host: &str, number: usize) {
        let namespace = self.namespace(host);
        ip(&format!("-n {namespace} addr flush dev eth0"));
        ip(&format!(
            "-n {namespace} addr add 10.77.0.{number}/24 dev eth0"
        ));
        ip(&format!("-n {namespace} link set eth0 up"));
        // As on a host with a router: without it the group of mDNS has no way out.
        ip(&format!("-n {namespace} route replace default dev eth0"));
    }

    /// Pulls the cable of a host: nothing goes in or out, not even a goodbye.
    pub(crate) fn unplug(&self, host: &str) {
        ip(&format!("-n {} link set eth0 down", self.namespace(host)));
    }

    /// Makes a host refuse to send what the rule names: `ipproto udp`, `to 10.77.0.1`.
    pub(crate) fn block(&self, host: &str, rule: &str) {
        ip(&format!(
            "-n {} rule add {rule} prohibit",
            self.namespace(host)
        ));
    }

    pub(crate) fn unblock(&self, host: &str, rule: &str) {
        ip(&format!(
            "-n {} rule del {rule} prohibit",
            self.namespace(host)
        ));
    }

    /// Puts the cables of these hosts into another switch, and then back. No host notices but by what
    /// it no longer hears.
    pub(super) fn part(&self, hosts: &[&'static str]) {
        self.cables(hosts, "br1");
    }

    /// See [`Self::part`].
    pub(super) fn join_up(&self, hosts: &[&'static str]) {
        self.cables(hosts, "br0");
    }

    fn cables(&self, hosts: &[&'static str], bridge: &str) {
        let switch = self.switch();
        for (at, host) in self.hosts.iter().enumerate() {
            if hosts.contains(host) {
                ip(&format!("-n {switch} link set port{at} master {bridge}"));
            }
        }
    }

    /// What happens to frames from now on.
    pub(super) fn set_trouble(&self, trouble: Trouble) {
        let wire = self.wire.as_ref().expect("made with bad links");
        wire.set_trouble(trouble);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        drop(self.wire.take());
        for host in self.hosts.iter().chain(&["switch"]) {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(host)])
                .status();
        }
    }
}

/// Does `work` on a thread that is on this host: sockets that it opens are the host's.
///
/// # Panics
/// When the namespace is gone, or `work` panics.
pub(super) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(namespace);
            work()
        });
        thread.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves this thread to a host, for good.
///
/// # Panics
/// When the namespace is gone.
pub(super) fn enter(namespace: &str) {
    let namespace = File::open(format!("/var/run/netns/{namespace}")).expect("the host is there");
    setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
}
