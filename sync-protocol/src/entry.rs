//! An entry: a batch of invocations by one author, hash-linked and signed once.
//!
//! On disk and between peers it is `header_len: u16 LE ‖ header ‖ signature (64) ‖ body`.

mod body;
mod header;
#[cfg(test)]
mod tests;
mod travel;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

pub use body::{Body, CallName, Caller, Invocation};
pub(crate) use header::known_format;
pub use header::{FORMAT, Header, SignedHeader};
pub use travel::{Travelled, body_of, travelling};

use crate::cut::CutRef;
use crate::error::{Malformed, within};
use crate::ids::{DatabaseId, EntryId, Signature};
use crate::keys::{BadSignature, SecretKey};
use crate::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::order::Position;
use crate::system_call::{Genesis, SystemCall};
use crate::time::Hlc;

const SIGNATURE_BYTES: usize = 64;
const LEN_BYTES: usize = 2;

/// Bytes of the largest entry.
pub const ENTRY_BYTES_MAX: usize = LEN_BYTES + HEADER_BYTES_MAX + SIGNATURE_BYTES + BODY_BYTES_MAX;

/// What an author decides about the header of its next entry; the rest follows from the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The database; for a genesis the nonce.
    pub database: DatabaseId,
    /// The author's epoch, drawn when its process started.
    pub epoch: u64,
    /// One more than that of its previous entry of this epoch, or 0.
    pub seq: u64,
    /// What it builds on, in any order.
    pub parents: Vec<EntryId>,
    /// Later than the last time of each parent.
    pub hlc: Hlc,
    /// `2^stride` is at least the number of members.
    pub stride: u8,
    /// The newest cut the author knows.
    pub base: CutRef,
}

/// Why an author cannot seal what it drafted: its own limit, named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this entry cannot be made: {0}")]
pub struct SealError(#[from] pub Malformed);

/// An entry without its body: what has to be in memory of an entry in the tail.
#[derive(Clone, PartialEq, Eq)]
pub struct Stub {
    /// Hash of the header.
    pub id: EntryId,
    /// The signed statement.
    pub header: Header,
    /// Signature of the id. Checked by [`Stub::verify`], not by [`Entry::open`].
    pub signature: Signature,
    /// Bytes of the whole entry, as stored and sent.
    pub bytes: usize,
}

/// An entry whose encoding is canonical and whose body is the one its header names. Immutable.
#[derive(Clone)]
pub struct Entry {
    stub: Arc<Stub>,
    /// What is called.
    pub body: Body,
    encoded: Arc<[u8]>,
}

impl Entry {
    /// Makes and signs an entry.
    ///
    /// # Errors
    /// [`SealError`] if the result would break a limit of the format; then nothing was signed.
    pub fn seal(draft: Draft, body: Body, key: &SecretKey) -> Result<Self, SealError> {
        body.check()?;
        let body_bytes = body.encode();
        within("body bytes", body_bytes.len(), BODY_BYTES_MAX)?;
        let mut parents = draft.parents;
        parents.sort_unstable();
        let header = Header {
            format: FORMAT,
            database: draft.database,
            author: key.public(),
            epoch: draft.epoch,
            seq: draft.seq,
            parents,
            hlc: draft.hlc,
            stride: draft.stride,
            base: draft.base,
            body_root: body::root_of(&body_bytes),
            body_len: u32::try_from(body_bytes.len()).expect("the body's limit is below 4 GiB"),
            invocations: u16::try_from(body.invocations.len())
                .expect("the limit of invocations is below 2^16"),
        };
        header.check()?;
        genesis_fits(&header, &body)?;
        let header_bytes = header.encode();
        let id = header::id_of(&header_bytes);
        let signature = key.sign(header::SIGNATURE_CONTEXT, &id.0);
        let len = u16::try_from(header_bytes.len()).expect("the header's limit is below 2^16");
        let encoded = [
            &len.to_le_bytes(),
            header_bytes.as_slice(),
            &signature.0,
            &body_bytes,
        ]
        .concat();
        Ok(Self::of_parts(id, header, signature, body, &encoded))
    }

    fn of_parts(
        id: EntryId,
        header: Header,
        signature: Signature,
        body: Body,
        encoded: &[u8],
    ) -> Self {
        let stub = Stub {
            id,
            header,
            signature,
            bytes: encoded.len(),
        };
        Self {
            stub: Arc::new(stub),
            body,
            encoded: encoded.into(),
        }
    }

    /// Makes a database's first entry: its id is the database's identity.
    ///
    /// # Errors
    /// [`SealError`] if the genesis breaks a limit.
    pub fn genesis(
        nonce: [u8; 32],
        epoch: u64,
        hlc: Hlc,
        caller: Caller,
        genesis: Genesis,
        key: &SecretKey,
    ) -> Result<Self, SealError> {
        genesis.check()?;
        let draft = Draft {
            database: DatabaseId(nonce),
            epoch,
            seq: 0,
            parents: Vec::new(),
            hlc,
            stride: 0,
            base: CutRef::NONE,
        };
        let call = Invocation {
            name: 0,
            caller: 0,
            connection: crate::ids::ConnectionId::ZERO,
            args: SystemCall::Genesis(genesis).encode(),
        };
        let body = Body {
            names: vec![CallName::system()],
            callers: vec![caller],
            invocations: vec![call],
        };
        Self::seal(draft, body, key)
    }

    /// Reads an entry: canonical encoding, limits, body and header fit each other. The signature
    /// is not checked, see [`Entry::verify`].
    ///
    /// # Errors
    /// [`Malformed`], the sender's fault except for a format of the future.
    pub fn open(bytes: &[u8]) -> Result<Self, Malformed> {
        within("entry bytes", bytes.len(), ENTRY_BYTES_MAX)?;
        let short = Malformed::Undecodable { what: "entry" };
        let (len, rest) = bytes
            .split_first_chunk::<LEN_BYTES>()
            .ok_or(short.clone())?;
        let len = usize::from(u16::from_le_bytes(*len));
        within("header bytes", len, HEADER_BYTES_MAX)?;
        let (header_bytes, rest) = rest.split_at_checked(len).ok_or(short.clone())?;
        let header = Header::decode(header_bytes)?;
        let (signature, body_bytes) = rest.split_first_chunk::<SIGNATURE_BYTES>().ok_or(short)?;
        // The cheap comparisons come first: the body may be large.
        if header.body_len as usize != body_bytes.len() {
            return Err(Malformed::Mismatch {
                what: "the length of the body",
            });
        }
        if header.body_root != body::root_of(body_bytes) {
            return Err(Malformed::Mismatch {
                what: "the hash of the body",
            });
        }
        let body = Body::decode(body_bytes)?;
        if usize::from(header.invocations) != body.invocations.len() {
            return Err(Malformed::Mismatch {
                what: "the number of invocations",
            });
        }
        genesis_fits(&header, &body)?;
        let id = header::id_of(header_bytes);
        let signature = Signature(*signature);
        Ok(Self::of_parts(id, header, signature, body, bytes))
    }

    /// The entry without its body, which lives on when the body is dropped.
    #[must_use]
    pub fn stub(&self) -> &Arc<Stub> {
        &self.stub
    }

    /// The bytes as stored and sent.
    #[must_use]
    pub fn encoded(&self) -> &Arc<[u8]> {
        &self.encoded
    }

    /// Every system call that decodes, with its index.
    pub fn system_calls(&self) -> impl Iterator<Item = (u16, SystemCall)> + '_ {
        self.body.system_calls()
    }
}

/// An entry of which it is known that its author signed it: no other can be made.
#[derive(Clone, Debug)]
pub struct VerifiedEntry(Arc<Entry>);

impl VerifiedEntry {
    /// Checks the signature. Needs nothing but the entry, so many can be checked at once.
    ///
    /// # Errors
    /// As [`Stub::verify`].
    pub fn check(entry: Arc<Entry>) -> Result<Self, BadSignature> {
        entry.verify()?;
        Ok(Self(entry))
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.0
    }
}

impl Deref for Entry {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

impl Stub {
    /// Whether the author signed it.
    ///
    /// # Errors
    /// [`BadSignature`] if not. The id does not cover the signature, so another copy of the same
    /// entry may still be good.
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.header
            .author
            .verify(header::SIGNATURE_CONTEXT, &self.id.0, &self.signature)
    }

    /// The database it belongs to.
    #[must_use]
    pub fn database(&self) -> DatabaseId {
        if self.is_genesis() {
            self.id.into()
        } else {
            self.header.database
        }
    }

    /// Time of the last invocation: what builds on this entry is later than it.
    #[must_use]
    pub fn last_time(&self) -> Hlc {
        self.header.last_time()
    }

    /// Time of an invocation: its `ctx.timestamp`.
    #[must_use]
    pub fn time_of(&self, index: u16) -> Hlc {
        self.header.hlc.at_index(index, self.header.stride)
    }

    /// Place of an invocation in the one order.
    #[must_use]
    pub fn position(&self, index: u16) -> Position {
        let Header { hlc, author, .. } = self.header;
        Position {
            hlc,
            author,
            entry: self.id,
            index,
        }
    }

    /// Whether it is its database's first entry.
    #[must_use]
    pub fn is_genesis(&self) -> bool {
        self.header.is_genesis()
    }

    /// The header with its signature, for a proof.
    #[must_use]
    pub fn signed_header(&self) -> SignedHeader {
        SignedHeader {
            header: self.header.clone(),
            signature: self.signature,
        }
    }
}

impl PartialEq for Entry {
    /// Byte for byte, signature included.
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Entry {}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.stub, f)
    }
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header {
            author,
            seq,
            hlc,
            invocations,
            ..
        } = &self.header;
        write!(
            f,
            "Entry({} by {} seq {seq} at {} with {invocations})",
            self.id.short(),
            author.short(),
            hlc.0
        )
    }
}

/// A genesis call stands alone in the genesis entry, and nowhere else.
fn genesis_fits(header: &Header, body: &Body) -> Result<(), Malformed> {
    let mut calls = body.system_calls();
    let fits = if header.is_genesis() {
        body.invocations.len() == 1 && matches!(calls.next(), Some((0, SystemCall::Genesis(_))))
    } else {
        !calls.any(|(_, call)| matches!(call, SystemCall::Genesis(_)))
    };
    if fits {
        Ok(())
    } else {
        Err(Malformed::Mismatch {
            what: "the place of the genesis call",
        })
    }
}
