//! Device keys and libp2p's peer ids are the same ed25519 keys in two forms.

use libp2p::identity::{Keypair, PublicKey, ed25519};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use sync_protocol::{DeviceKey, SecretKey};

/// Multihash code of "the digest is the data itself": ids of short keys carry the key.
const IDENTITY_MULTIHASH: u64 = 0x00;

/// The key pair that proves a device to the transport.
///
/// # Errors
/// Never for a key of ours; the library says what it disliked.
pub(crate) fn keypair(secret: &SecretKey) -> Result<Keypair, String> {
    let mut bytes = secret.to_bytes();
    Keypair::ed25519_from_bytes(&mut bytes).map_err(|error| error.to_string())
}

/// The peer id of a device; none if its bytes are not a point on the curve.
pub(crate) fn peer_of(device: &DeviceKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(device.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The device behind a peer id; none for keys that are not ed25519.
pub(crate) fn device_of(peer: &PeerId) -> Option<DeviceKey> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(DeviceKey(key.try_into_ed25519().ok()?.to_bytes()))
}

/// An address without `/p2p/…` at its end, and the device that was named there.
pub(crate) fn split(address: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut bare = address.clone();
    match bare.pop() {
        Some(Protocol::P2p(peer)) => (bare, Some(peer)),
        _ => (address.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_key_goes_there_and_back() {
        let secret = SecretKey::from_bytes(&[9; 32]);
        let device = secret.public();
        let peer = peer_of(&device).expect("a real key");
        assert_eq!(device_of(&peer), Some(device));
        assert_eq!(keypair(&secret).expect("a key").public().to_peer_id(), peer);
    }

    #[test]
    fn ids_that_carry_no_ed25519_key_name_no_device() {
        assert_eq!(device_of(&PeerId::random()), None);
    }

    #[test]
    fn the_peer_id_is_cut_off_an_address() {
        let peer = peer_of(&SecretKey::from_bytes(&[9; 32]).public()).expect("a real key");
        let bare: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("address");
        let full = bare.clone().with(Protocol::P2p(peer));
        assert_eq!(split(&full), (bare.clone(), Some(peer)));
        assert_eq!(split(&bare), (bare, None));
    }
}
