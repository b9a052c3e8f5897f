//! One import's view of the module that called it: memory, units and the session, with every
//! pointer checked and every write marked.

use store::DataError;
use wasmtime::Caller;

use super::session::{Reach, Session};
use crate::error::HostError;
use crate::limits::{MARK_GROUP_BYTES, MARK_PAGE_BYTES, MARKED, PAGE_MARKS_AT};
use crate::prices;

/// Why an import ends the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The module handed over what no sound module does; the text is for its author.
    #[error("{0}")]
    Misuse(String),
    /// The price of the import was more than what was left.
    #[error("out of units")]
    OutOfUnits,
    /// Our own failure; the session holds it.
    #[error("the host failed")]
    Fault,
}

impl Stop {
    /// Ends the call because of what the module did.
    pub(crate) fn misuse<T, E: From<Self>>(why: impl Into<String>) -> Result<T, E> {
        Err(Self::Misuse(why.into()).into())
    }
}

/// A number that an import returns instead of a result; those of `spacetimedb-primitives`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u16);

macro_rules! errnos {
    ($($name:ident),*) => {
        impl Errno {
            $(pub(crate) const $name: Self = Self(spacetimedb_primitives::errno::$name.get());)*
        }
    };
}

errnos!(
    NOT_IN_TRANSACTION,
    BSATN_DECODE_ERROR,
    NO_SUCH_TABLE,
    NO_SUCH_INDEX,
    NO_SUCH_ITER,
    NO_SUCH_CONSOLE_TIMER,
    NO_SUCH_BYTES,
    NO_SPACE,
    WRONG_INDEX_ALGO,
    BUFFER_TOO_SMALL,
    UNIQUE_ALREADY_EXISTS,
    INDEX_NOT_UNIQUE,
    NO_SUCH_ROW,
    AUTO_INC_OVERFLOW,
    WOULD_BLOCK_TRANSACTION,
    TRANSACTION_NOT_ANONYMOUS,
    TRANSACTION_IS_READ_ONLY
);

/// How an import ends when it does not give what it was asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// With an error number: the module goes on.
    Errno(Errno),
    /// With the end of the call.
    Stop(Stop),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// The module that called an import.
pub(crate) struct Guest<'a> {
    caller: Caller<'a, Session>,
    reach: Reach,
}

impl<'a> Guest<'a> {
    /// Takes over from the caller and does the import's work.
    pub(crate) fn visit<T>(
        caller: Caller<'a, Session>,
        work: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(reach) = caller.data().reach else {
            // Only a start function runs before there is an instance to reach into.
            return Stop::misuse("an import was called while the module was being instantiated");
        };
        let mut guest = Self { caller, reach };
        guest.charge(prices::IMPORT)?;
        work(&mut guest)
    }

    /// Takes a price from the call's units. What the module's own code took is not looked at: that costs
    /// as much as a small import. So a call whose code and imports use up its units together goes on
    /// until one of them has, and comes to the same: nothing of it is kept.
    pub(crate) fn charge(&mut self, price: u64) -> Result<(), Stop> {
        let session = self.caller.data_mut();
        session.owed = session.owed.saturating_add(price);
        if session.owed > session.given {
            Err(Stop::OutOfUnits)
        } else {
            Ok(())
        }
    }

    /// Units left.
    pub(crate) fn units(&mut self) -> u64 {
        let by_code = self.reach.units.get(&mut self.caller).i64().unwrap_or(0);
        u64::try_from(self.session().left_of(by_code)).unwrap_or(0)
    }

    /// Keeps our own failure and says that the call ends.
    pub(crate) fn fault(&mut self, fault: HostError) -> Stop {
        self.session().fault = Some(fault);
        Stop::Fault
    }

    /// The invocation's state.
    pub(crate) fn session(&mut self) -> &mut Session {
        self.caller.data_mut()
    }

    /// What the store refused, as the module hears it.
    pub(crate) fn refused(&mut self, error: DataError) -> Refusal {
        Refusal::Errno(match error {
            DataError::NoSuchTable(_) => Errno::NO_SUCH_TABLE,
            DataError::NoSuchIndex(_) => Errno::NO_SUCH_INDEX,
            DataError::Decode(_) => Errno::BSATN_DECODE_ERROR,
            DataError::UniqueAlreadyExists { .. } => Errno::UNIQUE_ALREADY_EXISTS,
            DataError::IndexNotUnique(_) => Errno::INDEX_NOT_UNIQUE,
            DataError::NoSuchRow => Errno::NO_SUCH_ROW,
            DataError::AutoIncOverflow { .. } => Errno::AUTO_INC_OVERFLOW,
            DataError::WrongIndexAlgo(_) => Errno::WRONG_INDEX_ALGO,
            // The ABI has no number for a limit: the call ends, with the limit in its text.
            DataError::RowTooLarge { .. }
            | DataError::ScanTooLarge
            | DataError::TransactionTooLarge => {
                return Refusal::Stop(Stop::Misuse(error.to_string()));
            }
            DataError::Store(error) => return Refusal::Stop(self.fault(HostError::Store(error))),
        })
    }

    /// The bytes at a pointer.
    pub(crate) fn bytes(&mut self, at: u32, len: u32) -> Result<&[u8], Stop> {
        slice(self.reach.memory.data(&self.caller), at, len)
    }

    /// The bytes at a pointer, and the session beside them: rows go to the store uncopied.
    pub(crate) fn bytes_and_session(
        &mut self,
        at: u32,
        len: u32,
    ) -> Result<(&[u8], &mut Session), Stop> {
        let (memory, session) = self.reach.memory.data_and_store_mut(&mut self.caller);
        Ok((slice(memory, at, len)?, session))
    }

    /// All of memory, and the session beside it.
    pub(crate) fn memory_and_session(&mut self) -> (&mut [u8], &mut Session) {
        self.reach.memory.data_and_store_mut(&mut self.caller)
    }

    /// A little-endian number at a pointer.
    pub(crate) fn u32_at(&mut self, at: u32) -> Result<u32, Stop> {
        let bytes = self.bytes(at, 4)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// A text at a pointer, which must be UTF-8.
    pub(crate) fn text(&mut self, at: u32, len: u32) -> Result<&str, Stop> {
        match std::str::from_utf8(self.bytes(at, len)?) {
            Ok(text) => Ok(text),
            Err(_) => Stop::misuse("a name is not UTF-8"),
        }
    }

    /// Writes to memory.
    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Stop> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.writable(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes a little-endian number to memory.
    pub(crate) fn write_u32(&mut self, at: u32, number: u32) -> Result<(), Stop> {
        self.write(at, &number.to_le_bytes())
    }

    /// Bytes of memory that will be written, marked as such.
    pub(crate) fn writable(&mut self, at: u32, len: u32) -> Result<&mut [u8], Stop> {
        self.mark(at, len)?;
        slice_mut(self.reach.memory.data_mut(&mut self.caller), at, len)
    }

    /// Whether so many bytes at a pointer are in memory. Imports ask this of every pointer before
    /// they do anything: a bad one ends the call, whatever else is wrong.
    pub(crate) fn in_bounds(&mut self, at: u32, len: u32) -> Result<(), Stop> {
        self.bytes(at, len).map(drop)
    }

    /// Marks bytes of memory that are written through [`Guest::memory_and_session`].
    pub(crate) fn mark(&mut self, at: u32, len: u32) -> Result<(), Stop> {
        slice(self.reach.memory.data(&self.caller), at, len)?;
        if let Some(marks) = self.reach.marks
            && len > 0
        {
            let (first, last) = (at as usize, at as usize + len as usize - 1);
            let marks = marks.data_mut(&mut self.caller);
            marks[first / MARK_GROUP_BYTES..=last / MARK_GROUP_BYTES].fill(MARKED);
            let pages = &mut marks[PAGE_MARKS_AT..];
            pages[first / MARK_PAGE_BYTES..=last / MARK_PAGE_BYTES].fill(MARKED);
        }
        Ok(())
    }
}

/// The bytes at a pointer. A null pointer is refused even for no bytes, as the ABI has it.
pub(crate) fn slice(memory: &[u8], at: u32, len: u32) -> Result<&[u8], Stop> {
    let range = range(memory.len(), at, len)?;
    Ok(&memory[range])
}

/// The same, to write to.
pub(crate) fn slice_mut(memory: &mut [u8], at: u32, len: u32) -> Result<&mut [u8], Stop> {
    let range = range(memory.len(), at, len)?;
    Ok(&mut memory[range])
}

fn range(memory_len: usize, at: u32, len: u32) -> Result<std::ops::Range<usize>, Stop> {
    if at == 0 {
        return Stop::misuse("a null pointer was handed to an import");
    }
    let end = at as usize + len as usize;
    if end > memory_len {
        return Stop::misuse(format!(
            "an import was handed {len} bytes at {at}: out of memory"
        ));
    }
    Ok(at as usize..end)
}
