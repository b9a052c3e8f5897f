//! How an entry travels between peers: whole, or, if it is large, as a *stub*, its header and
//! signature alone. The body of a stub is asked for in chunks.
//!
//! A stub says all that is needed to decide whether its body is worth fetching: who signed, how
//! long it is, and its hash. The hash is of the whole body, so a wrong chunk shows when all are
//! here: at most 4 MiB were fetched in vain then.

use super::{Entry, Header, LEN_BYTES, SIGNATURE_BYTES, SignedHeader, body};
use crate::error::{Malformed, within};
use crate::ids::{EntryId, Signature};
use crate::limits::{GOSSIP_ENTRY_BYTES_MAX, HEADER_BYTES_MAX};

/// An entry as a remote sends it.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Travelled {
    /// All of it.
    Whole(Entry),
    /// A large one without its body.
    Stub(SignedHeader),
}

impl Travelled {
    /// Reads what a remote sent. Of a stub the signature is not checked, see
    /// [`SignedHeader::verify`]; nor is that of an entry.
    ///
    /// # Errors
    /// [`Malformed`], the sender's fault except for a format of the future. A large entry that
    /// comes whole is refused, and so is a small one without its body.
    pub fn open(bytes: &[u8]) -> Result<Self, Malformed> {
        within(
            "bytes of an entry in a message",
            bytes.len(),
            GOSSIP_ENTRY_BYTES_MAX,
        )?;
        let (header, signature, body) = split(bytes)?;
        if !body.is_empty() {
            return Entry::open(bytes).map(Self::Whole);
        }
        let header = Header::decode(header)?;
        let whole = bytes.len() + header.body_len as usize;
        if whole <= GOSSIP_ENTRY_BYTES_MAX || header.is_genesis() {
            return Err(Malformed::Mismatch {
                what: "an entry without a body and its size",
            });
        }
        Ok(Self::Stub(SignedHeader { header, signature }))
    }
}

impl SignedHeader {
    /// The id of the entry.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.header.id()
    }

    /// Whether these are the bytes of the body.
    #[must_use]
    pub fn names_body(&self, bytes: &[u8]) -> bool {
        self.header.body_len as usize == bytes.len()
            && self.header.body_root == body::root_of(bytes)
    }

    /// The entry, with its body.
    ///
    /// # Errors
    /// [`Malformed`] if the body is not the one that is named, which is the fault of who sent it,
    /// or if it is and breaks a rule, which is the author's.
    pub fn with_body(&self, body: &[u8]) -> Result<Entry, Malformed> {
        let header = self.header.encode();
        let len = u16::try_from(header.len()).map_err(|_| Malformed::OverLimit {
            what: "header bytes",
            found: header.len() as u64,
            max: HEADER_BYTES_MAX as u64,
        })?;
        let bytes = [
            &len.to_le_bytes(),
            header.as_slice(),
            &self.signature.0,
            body,
        ]
        .concat();
        Entry::open(&bytes)
    }
}

/// What of an encoded entry is put into messages: all of it, or its stub.
///
/// # Panics
/// If the bytes are no entry: they are of our own store.
#[must_use]
pub fn travelling(encoded: &[u8]) -> &[u8] {
    if encoded.len() <= GOSSIP_ENTRY_BYTES_MAX {
        return encoded;
    }
    &encoded[..encoded.len() - body_of(encoded).len()]
}

/// The body of an encoded entry.
///
/// # Panics
/// If the bytes are no entry: they are of our own store.
#[must_use]
pub fn body_of(encoded: &[u8]) -> &[u8] {
    let (_, _, body) = split(encoded).expect("an entry of our own store");
    body
}

/// Header, signature and body, by their lengths alone.
fn split(bytes: &[u8]) -> Result<(&[u8], Signature, &[u8]), Malformed> {
    let short = Malformed::Undecodable { what: "entry" };
    let (len, rest) = bytes
        .split_first_chunk::<LEN_BYTES>()
        .ok_or(short.clone())?;
    let len = usize::from(u16::from_le_bytes(*len));
    within("header bytes", len, HEADER_BYTES_MAX)?;
    let (header, rest) = rest.split_at_checked(len).ok_or(short.clone())?;
    let (signature, body) = rest.split_first_chunk::<SIGNATURE_BYTES>().ok_or(short)?;
    Ok((header, Signature(*signature), body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Draft;
    use crate::fixtures::{calls, key};
    use crate::ids::{CutId, DatabaseId};
    use crate::{CutRef, Hlc};

    fn entry_with_args(len: usize) -> Entry {
        let draft = Draft {
            database: DatabaseId([1; 32]),
            epoch: 1,
            seq: 0,
            parents: vec![EntryId([3; 32])],
            hlc: Hlc(1_767_225_600_000_000),
            stride: 2,
            base: CutRef {
                term: crate::cut::Term::FIRST,
                height: 5,
                id: CutId([4; 32]),
            },
        };
        let mut body = calls(1);
        body.invocations[0].args = vec![7; len];
        Entry::seal(draft, body, &key(1)).expect("within the limits")
    }

    fn stub_of(entry: &Entry) -> Vec<u8> {
        travelling(entry.encoded()).to_vec()
    }

    #[test]
    fn small_entries_travel_whole_and_large_ones_as_a_stub() {
        let small = entry_with_args(40_000);
        assert_eq!(travelling(small.encoded()), &small.encoded()[..]);
        assert_eq!(
            Travelled::open(small.encoded()),
            Ok(Travelled::Whole(small.clone()))
        );
        let large = entry_with_args(100_000);
        let stub = stub_of(&large);
        assert!(stub.len() < 400);
        let Ok(Travelled::Stub(stub)) = Travelled::open(&stub) else {
            panic!("a stub");
        };
        assert_eq!(stub.id(), large.id);
        stub.verify().expect("signed by its author");
        let body = body_of(large.encoded());
        assert!(stub.names_body(body));
        assert_eq!(stub.with_body(body), Ok(large));
    }

    #[test]
    fn an_entry_travels_as_its_size_says() {
        let small = entry_with_args(40_000);
        let body = body_of(small.encoded()).len();
        let bare = &small.encoded()[..small.encoded().len() - body];
        assert!(matches!(
            Travelled::open(bare),
            Err(Malformed::Mismatch { .. })
        ));
        let large = entry_with_args(100_000);
        assert!(matches!(
            Travelled::open(large.encoded()),
            Err(Malformed::OverLimit { .. })
        ));
    }

    #[test]
    fn a_spoilt_stub_is_refused_or_not_signed() {
        let large = entry_with_args(100_000);
        let stub = stub_of(&large);
        for len in 0..stub.len() {
            assert!(Travelled::open(&stub[..len]).is_err(), "cut to {len}");
        }
        for at in 0..stub.len() {
            for bit in 0..8 {
                let mut spoilt = stub.clone();
                spoilt[at] ^= 1 << bit;
                let signed = match Travelled::open(&spoilt) {
                    Ok(Travelled::Stub(stub)) => stub.verify().is_ok(),
                    Ok(Travelled::Whole(entry)) => entry.verify().is_ok(),
                    Err(_) => false,
                };
                assert!(!signed, "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn another_body_is_refused() {
        let large = entry_with_args(100_000);
        let stub = large.signed_header();
        let body = body_of(large.encoded());
        for wrong in [&body[1..], &[body, &[0]].concat(), &vec![0; body.len()]] {
            assert!(!stub.names_body(wrong));
            assert!(stub.with_body(wrong).is_err());
        }
    }
}
