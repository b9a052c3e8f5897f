//! Where a device listens, said by that device: a record that members pass on to members, so that
//! two of them find each other when everybody whom both have met is gone.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{DeviceKey, Signature, hash};
use crate::keys::{BadSignature, SecretKey};
use crate::message::limits::{ADDRESS_BYTES_MAX, ADDRESSES_PER_PEER_MAX};

/// Purpose of the hash that is signed.
const HASH_CONTEXT: &str = "tombolo addresses 1";

/// Purpose of the signature.
const SIGNATURE_CONTEXT: &str = "tombolo addresses signature 1";

/// Where one device listens. Only its signature makes it true: whoever reads one checks it with
/// [`AddressRecord::verify`] before it counts.
///
/// Of two records of one device the one that [supersedes](AddressRecord::supersedes) the other is
/// kept, so that all members end with the same one, in whatever order records reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// Whose addresses.
    pub device: DeviceKey,
    /// Which of the device's records is newer: the time it was made, in microseconds since the
    /// Unix epoch, or one more than that of the record before if the clock went back.
    pub sequence: u64,
    /// Where it listens (multiaddr texts), the best first. Empty: nowhere.
    #[serde(deserialize_with = "codec::at_most::<_, _, ADDRESSES_PER_PEER_MAX>")]
    pub addresses: Vec<String>,
    /// By the device, over all of the above.
    pub signature: Signature,
}

impl AddressRecord {
    /// The record of the device with this key. Addresses over the bounds are left out.
    #[must_use]
    pub fn sign(key: &SecretKey, sequence: u64, addresses: &[String]) -> Self {
        let device = key.public();
        let addresses = fitting(addresses);
        let digest = digest(&device, sequence, &addresses);
        Self {
            device,
            sequence,
            signature: key.sign(SIGNATURE_CONTEXT, &digest),
            addresses,
        }
    }

    /// Whether the device signed it.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub fn verify(&self) -> Result<(), BadSignature> {
        let digest = digest(&self.device, self.sequence, &self.addresses);
        self.device
            .verify(SIGNATURE_CONTEXT, &digest, &self.signature)
    }

    /// Whether this one takes the place of `other`, a record of the same device. Two that a device
    /// made with one number are told apart by their content, the same on every peer.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |record: &Self| {
            let digest = digest(&record.device, record.sequence, &record.addresses);
            (record.sequence, digest)
        };
        rank(self) > rank(other)
    }

    /// Whether its list and its addresses are within the bounds.
    #[must_use]
    pub fn within_bounds(&self) -> bool {
        addresses_within_bounds(&self.addresses)
    }
}

/// What is signed: all fields but the signature, as they are encoded.
fn digest(device: &DeviceKey, sequence: u64, addresses: &[String]) -> [u8; 32] {
    hash(HASH_CONTEXT, &codec::encode(&(device, sequence, addresses)))
}

/// The addresses that may be told: not too long, not too many.
fn fitting(addresses: &[String]) -> Vec<String> {
    let short = addresses
        .iter()
        .filter(|address| address.len() <= ADDRESS_BYTES_MAX);
    short.take(ADDRESSES_PER_PEER_MAX).cloned().collect()
}

/// Whether a list of one device's addresses is within the bounds.
pub(crate) fn addresses_within_bounds(addresses: &[String]) -> bool {
    addresses.len() <= ADDRESSES_PER_PEER_MAX
        && addresses
            .iter()
            .all(|address| address.len() <= ADDRESS_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::hex;
    use proptest::prelude::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[1; 32])
    }

    fn record(sequence: u64, address: &str) -> AddressRecord {
        AddressRecord::sign(&key(), sequence, &[address.to_owned()])
    }

    #[test]
    fn golden_record() {
        let record = record(300, "/ip4/10.0.0.1/udp/4001/quic-v1");
        assert_eq!(record.verify(), Ok(()));
        let bytes = codec::encode(&record);
        assert_eq!(hex(&bytes), GOLDEN);
        let read: AddressRecord = codec::decode("record", &bytes, bytes.len()).expect("canonical");
        assert_eq!(read, record);
    }

    const GOLDEN: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5cac0201\
        1e2f6970342f31302e302e302e312f7564702f343030312f717569632d7631d0a80b3e539bf381f6be3b4\
        553a0157197e6619902badc830b9cdde83a56572dde869e6d320a2aa6de1d663e4518e80a61142375843e\
        165815f9e835e7f2d002";

    #[test]
    fn nobody_else_can_make_or_change_one() {
        let honest = record(300, "/ip4/10.0.0.1/tcp/1");
        let of_another = AddressRecord {
            device: SecretKey::from_bytes(&[2; 32]).public(),
            ..honest.clone()
        };
        let later = AddressRecord {
            sequence: 301,
            ..honest.clone()
        };
        let elsewhere = AddressRecord {
            addresses: vec!["/ip4/10.0.0.2/tcp/1".to_owned()],
            ..honest.clone()
        };
        for forged in [of_another, later, elsewhere] {
            assert!(forged.verify().is_err(), "{forged:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_when_it_is_made() {
        let mut all = vec!["a".repeat(ADDRESS_BYTES_MAX + 1)];
        all.extend((0..2 * ADDRESSES_PER_PEER_MAX).map(|n| n.to_string()));
        let record = AddressRecord::sign(&key(), 1, &all);
        assert!(record.within_bounds());
        assert_eq!(record.addresses, all[1..=ADDRESSES_PER_PEER_MAX]);
        assert_eq!(record.verify(), Ok(()));
    }

    proptest! {
        /// Merging is the same whatever comes first, and an old record never comes back.
        #[test]
        fn the_newest_wins_in_every_order(
            mut made in proptest::collection::vec((0_u64..4, 0_u8..3), 1..8)
        ) {
            let merge = |made: &[(u64, u8)]| {
                let mut kept: Option<AddressRecord> = None;
                for (sequence, address) in made {
                    let record = record(*sequence, &address.to_string());
                    if kept.as_ref().is_none_or(|kept| record.supersedes(kept)) {
                        kept = Some(record);
                    }
                }
                kept.expect("at least one")
            };
            let newest = merge(&made);
            prop_assert!(made.iter().all(|(sequence, _)| *sequence <= newest.sequence));
            made.reverse();
            prop_assert_eq!(merge(&made), newest);
        }
    }
}
