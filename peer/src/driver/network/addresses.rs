//! Where other peers were found, and when to try them again. Pure: time is an argument.
//!
//! A *wanted* remote is one the core asked for, or the person with `--dial`: it is tried for
//! ever. Of others it is only remembered where they were, in case they are wanted again.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use sync_protocol::DeviceKey;

use super::diallable::{bounded, is_circuit, parse_all};
use super::retry::{RETRY_MAX_MS, Retry};

/// Remotes remembered. Those that are not wanted give way first.
const REMOTES_MAX: usize = 1_024;

/// Milliseconds a connection must last for the waits to start over, or two peers that refuse each
/// other at once would try every second.
const LASTING_MS: u64 = 10_000;

/// Milliseconds that direct addresses are tried before those through relays are tried too: whoever
/// can be reached directly is not to be met through a third.
const HEAD_START_MS: u64 = 1_500;

/// Milliseconds before a remote that was met through a relay is tried directly again: meanwhile
/// both punch holes.
const DIRECT_FIRST_MS: u64 = 10_000;

/// Milliseconds before the second try through relays of a remote that is away.
const RELAYED_FIRST_MS: u64 = 4_000;

/// Milliseconds at most between direct tries of a remote that is met through a relay, and between tries
/// through relays of one that is away: each costs a relay something.
const DIRECT_MAX_MS: u64 = 300_000;

#[derive(Clone, Debug, Default)]
struct Remote {
    /// The one that worked last comes first.
    addresses: Vec<Multiaddr>,
    wanted: bool,
    /// By the person, so that the core does not let go of it.
    pinned: bool,
    retry: Retry,
    /// When it is tried through relays, beside a direct try.
    relayed_at_ms: Option<u64>,
    connected_ms: Option<u64>,
    /// A connection leads there without a relay, and since when one does.
    direct: bool,
    direct_since_ms: u64,
    /// Tries through relays since it was last met, and when the next one may be.
    relayed_tries: u32,
    relayed_not_before_ms: u64,
    /// The last try of its direct addresses was in vain.
    hidden: bool,
}

impl Remote {
    /// Whether there is a link to be made, now or later, or one through a relay to be made direct.
    fn is_to_be_tried(&self) -> bool {
        let mut addresses = self.addresses.iter();
        self.wanted
            && match self.connected_ms {
                None => !self.addresses.is_empty(),
                Some(_) => !self.direct && addresses.any(|address| !is_circuit(address)),
            }
    }

    /// When it is tried next, if it is to be tried.
    fn due_ms(&self) -> u64 {
        let relayed = self.relayed_at_ms.filter(|_| self.connected_ms.is_none());
        relayed.map_or(self.retry.at_ms, |at| at.min(self.retry.at_ms))
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
    /// A known device, directly.
    Remote(DeviceKey, Vec<Multiaddr>),
    /// A known device that is not connected, through relays.
    Relayed(DeviceKey, Vec<Multiaddr>),
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
            // An address that was not tried yet is worth a try now, unless one is under way, beside
            // which only relays are tried.
            if !remote.retry.trying {
                remote.retry = Retry::at(now_ms);
            } else if addresses.iter().any(is_circuit) {
                remote.relayed_at_ms = Some(now_ms);
            }
            remote.relayed_tries = 0;
            remote.relayed_not_before_ms = now_ms;
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
        remote.addresses = bounded(std::mem::take(&mut remote.addresses));
        self.dirty |= remote.wanted;
        true
    }

    /// A connection is up, `direct` or through a relay; `dialled` is the address that worked, if we
    /// dialled.
    pub(super) fn connected(
        &mut self,
        device: DeviceKey,
        dialled: Option<&Multiaddr>,
        direct: bool,
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
        remote.relayed_at_ms = None;
        if !direct {
            if !remote.direct {
                // How often it failed still counts: one that hangs up at once is tried ever less.
                remote.retry.at_ms = now_ms + DIRECT_FIRST_MS;
            }
            return;
        }
        if !remote.direct {
            remote.direct_since_ms = now_ms;
        }
        remote.direct = true;
        remote.hidden = false;
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
            remote.direct = false;
            if now_ms.saturating_sub(since) >= LASTING_MS {
                remote.retry.failures = 0;
                remote.relayed_tries = 0;
                remote.relayed_not_before_ms = now_ms;
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

    /// Of the connections to a remote only such are left that lead through a relay.
    pub(super) fn only_relayed(&mut self, device: &DeviceKey, now_ms: u64, jitter: u32) {
        if let Some(remote) = self.remotes.get_mut(device)
            && std::mem::take(&mut remote.direct)
        {
            if now_ms.saturating_sub(remote.direct_since_ms) >= LASTING_MS {
                remote.retry.failures = 0;
            }
            remote.retry.failed(now_ms, DIRECT_MAX_MS, jitter);
        }
    }

    /// A try of a remote was in vain. True: relays are tried next.
    pub(super) fn failed(&mut self, device: DeviceKey, now_ms: u64, jitter: u32) -> bool {
        let Some(remote) = self.remotes.get_mut(&device) else {
            return false;
        };
        let max_ms = match remote.connected_ms {
            Some(_) => DIRECT_MAX_MS,
            None => RETRY_MAX_MS,
        };
        remote.retry.failed(now_ms, max_ms, jitter);
        remote.hidden = !remote.direct;
        // No need to wait for the rest of the head start.
        let relayed = remote.relayed_at_ms.as_mut();
        relayed.is_some_and(|at| {
            *at = now_ms.min(*at);
            true
        })
    }

    /// Whether a direct try of a remote is under way.
    pub(super) fn is_trying(&self, device: &DeviceKey) -> bool {
        let remote = self.remotes.get(device);
        remote.is_some_and(|remote| remote.retry.trying)
    }

    /// Whether some wanted remote is out of direct reach: tries fail, or it is met through a relay.
    pub(super) fn misses_somebody(&self) -> bool {
        self.remotes.values().any(|remote| {
            let hidden = remote.connected_ms.is_some() || remote.hidden;
            remote.wanted && !remote.direct && hidden
        })
    }

    /// Where wanted remotes may be, one address of each: to see whether any way leads out.
    pub(super) fn wanted_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        let wanted = self.remotes.values().filter(|remote| remote.wanted);
        let known = wanted.filter_map(|remote| remote.addresses.first());
        known.chain(self.fixed.iter().map(|fixed| &fixed.address))
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
        for remote in self.remotes.values_mut() {
            remote.relayed_tries = 0;
            remote.relayed_not_before_ms = 0;
        }
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
        remotes
            .map(Remote::due_ms)
            .chain(fixed.map(|fixed| fixed.retry.at_ms))
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
            if !remote.is_to_be_tried() {
                continue;
            }
            let addresses = remote.addresses.iter().cloned();
            let (circuits, direct): (Vec<_>, Vec<_>) = addresses.partition(is_circuit);
            if remote.retry.at_ms <= now_ms {
                remote.retry.begin(now_ms);
                let wait = if direct.is_empty() { 0 } else { HEAD_START_MS };
                let relayed = remote.connected_ms.is_none()
                    && !circuits.is_empty()
                    && remote.relayed_not_before_ms <= now_ms;
                remote.relayed_at_ms = relayed.then_some(now_ms + wait);
                if !direct.is_empty() {
                    due.push(Dial::Remote(*device, direct));
                }
            }
            if remote.connected_ms.is_none() && remote.relayed_at_ms.is_some_and(|at| at <= now_ms)
            {
                remote.relayed_at_ms = None;
                let pause = (RELAYED_FIRST_MS << remote.relayed_tries.min(8)).min(DIRECT_MAX_MS);
                remote.relayed_not_before_ms = now_ms + pause;
                remote.relayed_tries += 1;
                due.push(Dial::Relayed(*device, circuits));
            }
        }
        for at in 0..self.fixed.len() {
            let there = self.is_there(&self.fixed[at]);
            let fixed = &mut self.fixed[at];
            if !there && fixed.retry.at_ms <= now_ms {
                fixed.retry.begin(now_ms);
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
mod tests;
