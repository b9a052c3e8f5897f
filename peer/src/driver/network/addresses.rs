//! Where other peers were found, and when to try them again. Pure: time is an argument.
//!
//! A *wanted* remote is one the core asked for, or the person with `--dial`: it is tried for
//! ever. Of others it is only remembered where they were, in case they are wanted again.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use sync_protocol::DeviceKey;

use super::diallable::{ADDRESSES_MAX, parse_all};

/// Remotes remembered. Those that are not wanted give way first.
const REMOTES_MAX: usize = 1_024;

/// Milliseconds before the second try.
const RETRY_FIRST_MS: u64 = 1_000;

/// Milliseconds between tries of a wanted remote that has long been away.
const RETRY_MAX_MS: u64 = 15_000;

/// Milliseconds for which a try is taken to be under way if nothing is heard of it.
const TRY_MS: u64 = 20_000;

/// Milliseconds a connection must last for the waits to start over, or two peers that refuse each
/// other at once would try every second.
const LASTING_MS: u64 = 10_000;

/// When something is tried next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Retry {
    failures: u32,
    at_ms: u64,
    /// A try is taken to be under way until `at_ms`, unless its end is heard of.
    trying: bool,
}

impl Retry {
    /// After a failure: 1, 2, 4 … s, a quarter more or less by `jitter`, so that peers cut off
    /// together do not come back together.
    fn failed(&mut self, now_ms: u64, max_ms: u64, jitter: u32) {
        let wait = (RETRY_FIRST_MS << self.failures.min(16)).min(max_ms);
        let wait = wait * 3 / 4 + (wait / 2) * u64::from(jitter) / u64::from(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.trying = false;
        self.at_ms = now_ms + wait;
    }
}

#[derive(Clone, Debug, Default)]
struct Remote {
    /// The one that worked last comes first.
    addresses: Vec<Multiaddr>,
    wanted: bool,
    /// By the person, so that the core does not let go of it.
    pinned: bool,
    retry: Retry,
    connected_ms: Option<u64>,
}

impl Remote {
    /// Whether there is a link to be made, now or later.
    fn is_to_be_tried(&self) -> bool {
        self.wanted && self.connected_ms.is_none() && !self.addresses.is_empty()
    }
}

/// A `--dial` address without a peer id: who answers there is learned.
#[derive(Clone, Debug)]
struct Fixed {
    address: Multiaddr,
    found: Option<DeviceKey>,
    retry: Retry,
}

/// Somebody to try now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// A known device.
    Remote(DeviceKey, Vec<Multiaddr>),
    /// Whoever answers.
    Address(Multiaddr),
}

/// What `addresses.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    listen_ports: BTreeMap<String, u16>,
    #[serde(default)]
    remotes: Vec<StoredRemote>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRemote {
    device_key: String,
    addresses: Vec<String>,
}

/// All known addresses of other peers, and our own chosen ports.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    remotes: BTreeMap<DeviceKey, Remote>,
    fixed: Vec<Fixed>,
    listen_ports: BTreeMap<String, u16>,
    dirty: bool,
}

impl AddressBook {
    /// From `addresses.json`. What cannot be read is left out: it is found again.
    pub(super) fn parse(text: &str) -> Self {
        let stored: Stored = serde_json::from_str(text).unwrap_or_default();
        let mut book = Self {
            listen_ports: stored.listen_ports,
            ..Self::default()
        };
        for remote in stored.remotes.into_iter().take(REMOTES_MAX) {
            if let Ok(device) = remote.device_key.parse() {
                // The core says which of them are still wanted.
                book.hear(device, &parse_all(&remote.addresses));
            }
        }
        book.dirty = false;
        book
    }

    /// The text for `addresses.json` if it has changed since the last time.
    pub(super) fn take_changed(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        let stored = Stored {
            listen_ports: self.listen_ports.clone(),
            remotes: self
                .remotes
                .iter()
                .filter(|(_, remote)| remote.wanted && !remote.addresses.is_empty())
                .map(|(device, remote)| StoredRemote {
                    device_key: device.to_string(),
                    addresses: remote.addresses.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        };
        serde_json::to_string_pretty(&stored).ok()
    }

    /// The port that stood in for port 0 of a listen address last time.
    pub(super) fn listen_port(&self, address: &Multiaddr) -> Option<u16> {
        self.listen_ports.get(&address.to_string()).copied()
    }

    /// Keeps the port that was chosen, so that others find us there after a restart.
    pub(super) fn set_listen_port(&mut self, address: &Multiaddr, port: u16) {
        if self.listen_ports.insert(address.to_string(), port) != Some(port) {
            self.dirty = true;
        }
    }

    /// Keep a link to this remote, from now on.
    pub(super) fn want(&mut self, device: DeviceKey, addresses: &[Multiaddr], now_ms: u64) {
        let news = self.hear(device, addresses);
        if let Some(remote) = self.remotes.get_mut(&device)
            && (!remote.wanted || news)
        {
            remote.wanted = true;
            // An address that was not tried yet is worth a try now, unless one is under way.
            if !remote.retry.trying {
                remote.retry = Retry {
                    at_ms: now_ms,
                    ..Retry::default()
                };
            }
            self.dirty = true;
        }
    }

    /// The person wants a link to this remote, whatever the core thinks of it.
    pub(super) fn pin(&mut self, device: DeviceKey, addresses: &[Multiaddr]) {
        self.want(device, addresses, 0);
        if let Some(remote) = self.remotes.get_mut(&device) {
            remote.pinned = true;
        }
    }

    /// A link to this remote need no longer be kept. True: nobody wants it now.
    pub(super) fn release(&mut self, device: &DeviceKey) -> bool {
        match self.remotes.get_mut(device) {
            Some(remote) if remote.pinned => false,
            Some(remote) => {
                self.dirty |= remote.wanted;
                remote.wanted = false;
                true
            }
            None => true,
        }
    }

    /// Whether a link to this remote is kept.
    pub(super) fn wants(&self, device: &DeviceKey) -> bool {
        self.remotes.get(device).is_some_and(|remote| remote.wanted)
    }

    /// Keep a connection to whoever answers here.
    pub(super) fn want_address(&mut self, address: Multiaddr) {
        if self.fixed.iter().all(|fixed| fixed.address != address) {
            self.fixed.push(Fixed {
                address,
                found: None,
                retry: Retry::default(),
            });
        }
    }

    /// A remote says, or somebody says of it, that it listens here. True: some of it is new.
    pub(super) fn hear(&mut self, device: DeviceKey, addresses: &[Multiaddr]) -> bool {
        if !self.remotes.contains_key(&device) && self.remotes.len() >= REMOTES_MAX {
            let idle = |remote: &Remote| !remote.wanted && remote.connected_ms.is_none();
            let victim = self.remotes.iter().find(|(_, remote)| idle(remote));
            let Some(victim) = victim.map(|(device, _)| *device) else {
                return false;
            };
            self.remotes.remove(&victim);
        }
        let remote = self.remotes.entry(device).or_default();
        let mut news: Vec<Multiaddr> = Vec::new();
        for address in addresses {
            if !remote.addresses.contains(address) && !news.contains(address) {
                news.push(address.clone());
            }
        }
        if news.is_empty() {
            return false;
        }
        // Behind the first, which is the one that worked.
        let at = remote.addresses.len().min(1);
        remote.addresses.splice(at..at, news);
        remote.addresses.truncate(ADDRESSES_MAX);
        self.dirty |= remote.wanted;
        true
    }

    /// A connection is up; `dialled` is the address that worked, if we dialled.
    pub(super) fn connected(
        &mut self,
        device: DeviceKey,
        dialled: Option<&Multiaddr>,
        now_ms: u64,
    ) {
        self.hear(
            device,
            dialled.map(std::slice::from_ref).unwrap_or_default(),
        );
        if let Some(dialled) = dialled {
            for fixed in &mut self.fixed {
                if fixed.address == *dialled {
                    fixed.found = Some(device);
                }
            }
        }
        let Some(remote) = self.remotes.get_mut(&device) else {
            return;
        };
        remote.connected_ms.get_or_insert(now_ms);
        remote.retry.trying = false;
        if let Some(at) = remote
            .addresses
            .iter()
            .position(|address| Some(address) == dialled)
            && at != 0
        {
            remote.addresses[..=at].rotate_right(1);
            self.dirty |= remote.wanted;
        }
    }

    /// The last connection to a remote is gone.
    pub(super) fn disconnected(&mut self, device: DeviceKey, now_ms: u64, jitter: u32) {
        if let Some(remote) = self.remotes.get_mut(&device) {
            let since = remote.connected_ms.take().unwrap_or(now_ms);
            if now_ms.saturating_sub(since) >= LASTING_MS {
                remote.retry.failures = 0;
            }
            remote.retry.failed(now_ms, RETRY_MAX_MS, jitter);
            if !remote.wanted && remote.addresses.is_empty() {
                self.remotes.remove(&device);
            }
        }
        for fixed in &mut self.fixed {
            if fixed.found == Some(device) {
                fixed.retry.failed(now_ms, RETRY_MAX_MS, jitter);
            }
        }
    }

    /// A try of a remote was in vain.
    pub(super) fn failed(&mut self, device: DeviceKey, now_ms: u64, jitter: u32) {
        let Some(remote) = self.remotes.get_mut(&device) else {
            return;
        };
        remote.retry.failed(now_ms, RETRY_MAX_MS, jitter);
    }

    /// A try of an address was in vain.
    pub(super) fn address_failed(&mut self, address: &Multiaddr, now_ms: u64, jitter: u32) {
        for fixed in &mut self.fixed {
            if fixed.address == *address {
                fixed.retry.failed(now_ms, RETRY_MAX_MS, jitter);
            }
        }
    }

    /// Try everybody again at once.
    pub(super) fn start_over(&mut self) {
        let retries = self.remotes.values_mut().map(|remote| &mut remote.retry);
        for retry in retries.chain(self.fixed.iter_mut().map(|fixed| &mut fixed.retry)) {
            *retry = Retry::default();
        }
    }

    /// When somebody is to be tried next, in milliseconds of the same clock; nobody: `None`.
    pub(super) fn next_due(&self) -> Option<u64> {
        let remotes = self
            .remotes
            .values()
            .filter(|remote| remote.is_to_be_tried());
        let fixed = self.fixed.iter().filter(|fixed| !self.is_there(fixed));
        let retries = remotes.map(|remote| &remote.retry);
        retries
            .chain(fixed.map(|fixed| &fixed.retry))
            .map(|retry| retry.at_ms)
            .min()
    }

    /// Whether there is something that [`AddressBook::take_changed`] would give.
    pub(super) fn has_changed(&self) -> bool {
        self.dirty
    }

    /// Whether the one who answers at an address is connected.
    fn is_there(&self, fixed: &Fixed) -> bool {
        fixed
            .found
            .and_then(|device| self.remotes.get(&device))
            .is_some_and(|remote| remote.connected_ms.is_some())
    }

    /// Whom to try now. Each is taken to be under way until something is heard of it.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<Dial> {
        let mut due = Vec::new();
        for (device, remote) in &mut self.remotes {
            if remote.is_to_be_tried() && remote.retry.at_ms <= now_ms {
                remote.retry.at_ms = now_ms + TRY_MS;
                remote.retry.trying = true;
                due.push(Dial::Remote(*device, remote.addresses.clone()));
            }
        }
        for at in 0..self.fixed.len() {
            let there = self.is_there(&self.fixed[at]);
            let fixed = &mut self.fixed[at];
            if !there && fixed.retry.at_ms <= now_ms {
                fixed.retry.at_ms = now_ms + TRY_MS;
                due.push(Dial::Address(fixed.address.clone()));
            }
        }
        due
    }

    /// The addresses known for a remote.
    pub(super) fn addresses(&self, device: &DeviceKey) -> &[Multiaddr] {
        self.remotes
            .get(device)
            .map_or(&[], |remote| remote.addresses.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceKey = DeviceKey([5; 32]);

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}")
            .parse()
            .expect("address")
    }

    #[test]
    fn waits_grow_from_one_second_to_fifteen() {
        let mut retry = Retry::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            retry.failed(0, RETRY_MAX_MS, u32::MAX / 2);
            waits.push((retry.at_ms + 500) / 1_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
        let mut early = Retry::default();
        early.failed(0, RETRY_MAX_MS, 0);
        let mut late = Retry::default();
        late.failed(0, RETRY_MAX_MS, u32::MAX);
        assert_eq!((early.at_ms, late.at_ms), (750, 1_250));
    }

    #[test]
    fn a_wanted_remote_is_tried_until_it_is_there() {
        let mut book = AddressBook::default();
        book.want(DEVICE, &[address(1)], 0);
        assert_eq!(book.take_due(0), [Dial::Remote(DEVICE, vec![address(1)])]);
        assert!(book.take_due(1).is_empty(), "under way");
        book.failed(DEVICE, 100, 0);
        assert!(book.take_due(800).is_empty(), "too early");
        assert_eq!(book.take_due(850).len(), 1);
        book.connected(DEVICE, Some(&address(1)), 900);
        assert!(book.take_due(1_000_000).is_empty(), "connected");
        book.disconnected(DEVICE, 1_000_000, 0);
        assert_eq!(book.take_due(1_000_750).len(), 1, "waits start over");
    }

    #[test]
    fn one_that_hangs_up_at_once_is_tried_less_and_less() {
        let mut book = AddressBook::default();
        book.want(DEVICE, &[address(1)], 0);
        for _ in 0..5 {
            book.connected(DEVICE, None, 0);
            book.disconnected(DEVICE, 1, 0);
        }
        assert!(book.take_due(10_000).is_empty());
        assert_eq!(book.take_due(15_000).len(), 1);
    }

    #[test]
    fn who_answers_at_a_bare_address_is_learned() {
        let mut book = AddressBook::default();
        book.want_address(address(7));
        assert_eq!(book.take_due(0), [Dial::Address(address(7))]);
        book.connected(DEVICE, Some(&address(7)), 10);
        assert!(book.take_due(1_000_000).is_empty());
        book.disconnected(DEVICE, 1_000_000, 0);
        let due = book.take_due(1_001_000);
        assert!(due.contains(&Dial::Address(address(7))), "{due:?}");
    }

    #[test]
    fn the_address_that_worked_comes_first_and_the_list_stays_short() {
        let mut book = AddressBook::default();
        let all: Vec<Multiaddr> = (1..=20).map(address).collect();
        book.want(DEVICE, &all, 0);
        assert_eq!(book.addresses(&DEVICE).len(), ADDRESSES_MAX);
        let last = book.addresses(&DEVICE)[ADDRESSES_MAX - 1].clone();
        book.connected(DEVICE, Some(&last), 0);
        assert_eq!(book.addresses(&DEVICE)[0], last);
    }

    #[test]
    fn whoever_sleeps_until_the_next_try_misses_none() {
        let mut book = AddressBook::default();
        assert_eq!(book.next_due(), None);
        book.hear(DEVICE, &[address(1)]);
        assert_eq!(book.next_due(), None, "nobody wants it");
        book.want(DEVICE, &[], 100);
        book.want_address(address(7));
        let mut tries = 0;
        let mut now = 100;
        while now < 100_000 {
            let due = book.next_due().expect("two are away");
            now = now.max(due);
            assert!(now == 100 || book.take_due(now - 1).is_empty());
            let dials = book.take_due(now);
            assert!(!dials.is_empty());
            tries += dials.len();
            for dial in dials {
                match dial {
                    Dial::Remote(device, _) => book.failed(device, now, 7),
                    Dial::Address(address) => book.address_failed(&address, now, 9),
                }
            }
        }
        assert!(tries > 10);
        book.connected(DEVICE, Some(&address(7)), now);
        assert_eq!(book.next_due(), None, "it is there, at both");
        book.disconnected(DEVICE, now, 0);
        assert!(book.next_due().is_some());
    }

    #[test]
    fn who_is_not_wanted_is_not_dialled() {
        let mut book = AddressBook::default();
        book.hear(DEVICE, &[address(1)]);
        assert!(book.take_due(1_000_000).is_empty());
        book.want(DEVICE, &[], 1_000_000);
        assert_eq!(
            book.take_due(1_000_000).len(),
            1,
            "where it was heard of before"
        );
        assert!(book.release(&DEVICE) && !book.wants(&DEVICE));
        book.failed(DEVICE, 1_000_100, 0);
        assert!(book.take_due(9_000_000).is_empty());
        book.pin(DEVICE, &[]);
        assert!(!book.release(&DEVICE) && book.wants(&DEVICE));
    }

    #[test]
    fn an_address_that_is_new_is_tried_at_once() {
        let mut book = AddressBook::default();
        book.want(DEVICE, &[address(1)], 0);
        for _ in 0..8 {
            book.failed(DEVICE, 0, 0);
        }
        book.want(DEVICE, &[address(1)], 100);
        assert!(book.take_due(100).is_empty(), "nothing new");
        book.want(DEVICE, &[address(2)], 100);
        assert_eq!(book.take_due(100).len(), 1);
        book.want(DEVICE, &[address(3)], 200);
        assert!(book.take_due(200).is_empty(), "a try is under way");
    }

    #[test]
    fn strangers_are_forgotten_and_cannot_push_others_out() {
        let mut book = AddressBook::default();
        book.want(DEVICE, &[address(1)], 0);
        for n in 0..2 * REMOTES_MAX {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            book.hear(DeviceKey(key), &[address(2)]);
        }
        assert_eq!(book.remotes.len(), REMOTES_MAX);
        assert!(!book.addresses(&DEVICE).is_empty());
    }

    #[test]
    fn wanted_remotes_and_ports_survive_a_restart() {
        let mut book = AddressBook::default();
        let listen: Multiaddr = "/ip4/0.0.0.0/tcp/0".parse().expect("address");
        book.want(DEVICE, &[address(1)], 0);
        book.hear(DeviceKey([6; 32]), &[address(2)]);
        book.set_listen_port(&listen, 4_242);
        let text = book.take_changed().expect("changed");
        assert_eq!(book.take_changed(), None);
        let mut again = AddressBook::parse(&text);
        assert_eq!(again.addresses(&DEVICE), [address(1)]);
        assert!(again.addresses(&DeviceKey([6; 32])).is_empty());
        assert_eq!(again.listen_port(&listen), Some(4_242));
        assert_eq!(again.take_changed(), None);
        assert!(AddressBook::parse("garbage").remotes.is_empty());
    }
}
