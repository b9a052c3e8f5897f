//! One change: who made it, what it had seen, what it does.

use std::fmt;
use std::io::Read as _;

use sha2::{Digest as _, Sha256};

use crate::bytes::Reader;
use crate::error::ChangeError;
use crate::limits::{
    ACTOR_BYTES_MAX, CHANGE_ACTORS_MAX, CHANGE_BYTES_MAX, CHANGE_DEPENDENCIES_MAX, COUNTER_MAX,
    NAME_BYTES_MAX,
};
use crate::ops::{self, Op, OpId};

/// The name of a change: SHA-256 of what is in it, uncompressed. It does not depend on how the change
/// was compressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A change that was read: well-formed and within [`limits`](crate::limits). Whether what it refers to
/// is there, [`Definitions`](crate::Definitions) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    hash: Hash,
    /// Its own first.
    actors: Vec<Box<[u8]>>,
    seq: u64,
    start_op: u32,
    dependencies: Vec<Hash>,
    ops: Vec<Op>,
    predecessors: Vec<OpId>,
    /// The whole chunk, uncompressed.
    bytes: Vec<u8>,
}

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const PLAIN: u8 = 1;
const COMPRESSED: u8 = 2;

impl Change {
    /// Reads the one change that these bytes are.
    ///
    /// # Errors
    /// [`ChangeError`] when they are no change, more than one, or beyond [`limits`](crate::limits).
    pub fn read(bytes: &[u8]) -> Result<Self, ChangeError> {
        let (change, rest) = Self::read_first(bytes)?;
        if rest.is_empty() {
            Ok(change)
        } else {
            Err(Self::more_follows())
        }
    }

    /// Why bytes are not the one change that they begin with.
    pub(crate) const fn more_follows() -> ChangeError {
        ChangeError::Malformed("there is something after the change")
    }

    /// Reads the change at the front of these bytes, and gives what follows it.
    ///
    /// # Errors
    /// As [`Change::read`].
    pub fn read_first(bytes: &[u8]) -> Result<(Self, &[u8]), ChangeError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(ChangeError::Malformed("they do not begin like one"));
        }
        let sum = reader.array::<4>()?;
        let kind = reader.byte()?;
        let contents = reader.prefixed("bytes", CHANGE_BYTES_MAX)?;
        let inflated;
        let contents = match kind {
            PLAIN => contents,
            COMPRESSED => {
                inflated = inflate(contents)?;
                &inflated[..]
            }
            0 => return Err(ChangeError::Malformed("they are a whole document, saved")),
            _ => return Err(ChangeError::Unknown("a kind of chunk")),
        };
        let mut head = vec![PLAIN];
        write_unsigned(&mut head, contents.len());
        let mut hasher = Sha256::new();
        hasher.update(&head);
        hasher.update(contents);
        let hash = Hash(hasher.finalize().into());
        if hash.0[..4] != sum {
            return Err(ChangeError::Sum);
        }
        let mut change = Self::read_contents(contents, hash)?;
        change.bytes = [&MAGIC, &sum[..], &head, contents].concat();
        Ok((change, reader.rest()))
    }

    fn read_contents(contents: &[u8], hash: Hash) -> Result<Self, ChangeError> {
        let mut reader = Reader::new(contents);
        let count = reader.count("dependencies", CHANGE_DEPENDENCIES_MAX)?;
        let mut dependencies = Vec::with_capacity(count);
        for _ in 0..count {
            dependencies.push(Hash(reader.array()?));
        }
        if dependencies.windows(2).any(|two| two[0] >= two[1]) {
            return Err(ChangeError::Malformed("its dependencies are not in order"));
        }
        let actor = |reader: &mut Reader<'_>| -> Result<Box<[u8]>, ChangeError> {
            Ok(reader
                .prefixed("bytes in an actor", ACTOR_BYTES_MAX)?
                .into())
        };
        let own = actor(&mut reader)?;
        if own.is_empty() {
            return Err(ChangeError::Malformed("its actor has no name"));
        }
        let mut actors = vec![own];
        let seq = reader.unsigned()?;
        let start_op = reader.unsigned()?;
        reader.signed()?; // When it was made, as its actor says.
        reader.text("bytes in a message", NAME_BYTES_MAX)?;
        for _ in 0..reader.count("actors", CHANGE_ACTORS_MAX)? {
            actors.push(actor(&mut reader)?);
        }
        let others = &actors[1..];
        if others.windows(2).any(|two| two[0] >= two[1]) || others.contains(&actors[0]) {
            return Err(ChangeError::Malformed("its actors are not in order"));
        }
        if seq == 0 || start_op == 0 {
            return Err(ChangeError::Malformed("a number in it is zero"));
        }
        let (ops, predecessors) = ops::read(&mut reader, actors.len())?;
        if start_op.saturating_add(ops.len() as u64) > COUNTER_MAX {
            return Err(ChangeError::Malformed(
                "a counter of an operation is out of range",
            ));
        }
        Ok(Self {
            hash,
            actors,
            seq,
            // At most COUNTER_MAX, as was just looked at.
            start_op: start_op as u32,
            dependencies,
            ops,
            predecessors,
            bytes: Vec::new(),
        })
    }

    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Who made it: bytes that whoever made it chose.
    #[must_use]
    pub fn actor(&self) -> &[u8] {
        &self.actors[0]
    }

    /// All actors that it names, its own first.
    #[must_use]
    pub fn actors(&self) -> &[Box<[u8]>] {
        &self.actors
    }

    /// Which change of its actor it is, from 1.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The number of its first operation.
    #[must_use]
    pub const fn start_op(&self) -> u32 {
        self.start_op
    }

    /// The highest number that an operation has of those it has seen and its own.
    #[must_use]
    pub fn max_op(&self) -> u32 {
        // Reading bounds both.
        self.start_op - 1 + self.ops.len() as u32
    }

    /// The changes that it directly depends on, ascending.
    #[must_use]
    pub fn dependencies(&self) -> &[Hash] {
        &self.dependencies
    }

    /// What it does.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// What an operation of it takes the place of.
    #[must_use]
    pub fn predecessors(&self, op: &Op) -> &[OpId] {
        let (at, count) = op.predecessors;
        &self.predecessors[at as usize..(at + count) as usize]
    }

    /// The whole change, uncompressed, as libraries of Automerge read it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Undoes the compression of a whole change, within the bound of one.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, ChangeError> {
    let mut contents = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(bytes);
    let read = decoder
        .by_ref()
        .take(CHANGE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut contents);
    if read.is_err() {
        return Err(ChangeError::Malformed("they cannot be decompressed"));
    }
    if contents.len() > CHANGE_BYTES_MAX {
        return Err(ChangeError::TooMany {
            what: "bytes",
            max: CHANGE_BYTES_MAX,
        });
    }
    if !decoder.into_inner().is_empty() {
        return Err(ChangeError::Malformed(
            "there is something after what was compressed",
        ));
    }
    Ok(contents)
}

/// Unsigned LEB128.
fn write_unsigned(out: &mut Vec<u8>, number: usize) {
    let mut number = number;
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
