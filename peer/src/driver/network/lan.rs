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
pub(super) fn by_device(found: Vec<(PeerId, Multiaddr)>) -> BTreeMap<DeviceKey, Vec<String>> {
    let mut devices: BTreeMap<DeviceKey, Vec<String>> = BTreeMap::new();
    for (peer, address) in found {
        if let Some(device) = device_of(&peer)
            && let Some(address) = diallable(&address)
            && !is_loopback(&address)
        {
            let addresses = devices.entry(device).or_default();
            if addresses.len() < ADDRESSES_MAX {
                addresses.push(address.to_string());
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
        assert_eq!(
            all,
            BTreeMap::from([(device, expected.map(str::to_owned).to_vec())])
        );
    }
}
