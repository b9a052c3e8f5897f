//! Members in the local network, by mDNS. It only ever says that a peer is there and where it
//! listens: no database, no name. Whoever is noticed is nobody before the handshake.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId, mdns};
use sync_protocol::DeviceKey;

use super::diallable::{ADDRESSES_MAX, diallable, is_loopback};
use super::keys::device_of;

/// Names remembered of the local network. Anybody in it can make them up, and libp2p keeps each
/// for as long as it says.
pub(super) const NOTICED_MAX: usize = 1_024;

/// Who is in the local network now, and where. Anybody there may say so of anybody: who answers has
/// to show its key.
#[derive(Debug, Default)]
pub(super) struct Noticed(BTreeMap<DeviceKey, Vec<Multiaddr>>);

impl Noticed {
    /// Remembers what was found. What is too much is left out.
    pub(super) fn found(&mut self, found: &BTreeMap<DeviceKey, Vec<Multiaddr>>) {
        for (device, addresses) in found {
            if self.0.len() >= NOTICED_MAX && !self.0.contains_key(device) {
                continue;
            }
            let known = self.0.entry(*device).or_default();
            for address in addresses {
                if known.len() < ADDRESSES_MAX && !known.contains(address) {
                    known.push(address.clone());
                }
            }
        }
    }

    /// Forgets what is no longer announced.
    pub(super) fn expired(&mut self, gone: Vec<(PeerId, Multiaddr)>) {
        for (device, addresses) in by_device(gone) {
            if let Some(known) = self.0.get_mut(&device) {
                known.retain(|address| !addresses.contains(address));
                if known.is_empty() {
                    self.0.remove(&device);
                }
            }
        }
    }

    /// `addresses`, and behind them those where this device is noticed.
    pub(super) fn and(&self, addresses: Vec<Multiaddr>, device: &DeviceKey) -> Vec<Multiaddr> {
        let mut all = addresses;
        for address in self.0.get(device).into_iter().flatten() {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }
}

/// What looks around in the local network; nothing if that is switched off or not possible here.
pub(super) fn behaviour(on: bool, local: PeerId) -> Option<mdns::tokio::Behaviour> {
    if !on {
        return None;
    }
    match mdns::tokio::Behaviour::new(mdns::Config::default(), local) {
        Ok(behaviour) => Some(behaviour),
        Err(error) => {
            tracing::warn!(
                "members in the local network are not looked for: {error}; --no-mdns says so in advance"
            );
            None
        }
    }
}

/// What was found, device by device, as far as it can be dialled.
pub(super) fn by_device(found: Vec<(PeerId, Multiaddr)>) -> BTreeMap<DeviceKey, Vec<Multiaddr>> {
    let mut devices: BTreeMap<DeviceKey, Vec<Multiaddr>> = BTreeMap::new();
    for (peer, address) in found {
        if let Some(device) = device_of(&peer)
            && let Some(address) = diallable(&address)
            && !is_loopback(&address)
        {
            let addresses = devices.entry(device).or_default();
            if addresses.len() < ADDRESSES_MAX {
                addresses.push(address);
            }
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::super::keys::peer_of;
    use super::*;
    use sync_protocol::SecretKey;

    #[test]
    fn only_devices_with_an_address_of_the_network_are_noticed() {
        let device = SecretKey::from_bytes(&[1; 32]).public();
        let peer = peer_of(&device).expect("a real key");
        let found = |peer, text: &str| (peer, text.parse::<Multiaddr>().expect("address"));
        let all = by_device(vec![
            found(peer, "/ip4/10.0.0.1/tcp/1"),
            found(peer, &format!("/ip4/10.0.0.1/udp/2/quic-v1/p2p/{peer}")),
            found(peer, "/ip4/127.0.0.1/tcp/1"),
            found(peer, "/dns4/a/tcp/1"),
            found(PeerId::random(), "/ip4/10.0.0.2/tcp/1"),
        ]);
        let expected = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/udp/2/quic-v1"];
        let expected = expected.map(|text| text.parse().expect("address"));
        assert_eq!(all, BTreeMap::from([(device, expected.to_vec())]));
    }

    #[test]
    fn whoever_is_noticed_is_found_by_its_key_until_it_is_gone() {
        let device = SecretKey::from_bytes(&[1; 32]).public();
        let peer = peer_of(&device).expect("a real key");
        let address = |text: &str| text.parse::<Multiaddr>().expect("address");
        let (old, new) = (
            address("/ip4/10.0.0.1/tcp/1"),
            address("/ip4/10.0.0.9/tcp/1"),
        );
        let mut noticed = Noticed::default();
        noticed.found(&by_device(vec![(peer, new.clone())]));
        noticed.found(&by_device(vec![(peer, new.clone())]));
        let both = vec![old.clone(), new.clone()];
        assert_eq!(noticed.and(vec![old.clone()], &device), both);
        assert_eq!(noticed.and(both.clone(), &device), both);
        let other = SecretKey::from_bytes(&[2; 32]).public();
        assert_eq!(noticed.and(Vec::new(), &other), []);
        noticed.expired(vec![(peer, new)]);
        assert_eq!(noticed.and(vec![old.clone()], &device), [old]);
    }

    #[test]
    fn a_crowd_that_is_made_up_costs_no_more_than_its_bound() {
        let address = |port: usize| format!("/ip4/10.0.0.1/tcp/{port}").parse::<Multiaddr>();
        let many = (1..=2 * ADDRESSES_MAX).map(|port| address(port).expect("address"));
        let many: Vec<Multiaddr> = many.collect();
        let mut noticed = Noticed::default();
        for number in 0..u16::try_from(NOTICED_MAX + 8).expect("a small number") {
            let mut key = [7; 32];
            key[..2].copy_from_slice(&number.to_le_bytes());
            let device = SecretKey::from_bytes(&key).public();
            let found = BTreeMap::from([(device, many.clone())]);
            noticed.found(&found);
        }
        assert_eq!(noticed.0.len(), NOTICED_MAX);
        let longest = noticed.0.values().map(Vec::len).max();
        assert_eq!(longest, Some(ADDRESSES_MAX));
    }
}
