//! Sources that a module reads from and the sink that it writes to.

use wasmtime::Caller;

use super::Answer;
use super::answer;
use super::guest::{Errno, slice_mut};
use super::session::{FIRST_HANDLE, Session};
use crate::prices;

/// What reading returns when it emptied what it read from; the handle is gone.
pub(super) const EXHAUSTED: i32 = -1;

/// `bytes_source_read(source, buffer_ptr, buffer_len_ptr) -> i16`
pub(super) fn source_read(
    caller: Caller<'_, Session>,
    source: u32,
    at: u32,
    len_at: u32,
) -> Answer {
    answer(caller, |guest| {
        let capacity = guest.u32_at(len_at)?;
        guest.in_bounds(at, capacity)?;
        let Some(open) = guest.session().sources.get_mut(source) else {
            return Err(Errno::NO_SUCH_BYTES.into());
        };
        let len = (open.bytes.len() - open.read).min(capacity as usize);
        guest.charge(prices::copied(len))?;
        // At most the capacity, which came as 32 bits.
        let len = len as u32;
        guest.mark(at, len)?;
        let (memory, session) = guest.memory_and_session();
        let to = slice_mut(memory, at, len)?;
        let Some(open) = session.sources.get_mut(source) else {
            return Err(Errno::NO_SUCH_BYTES.into());
        };
        let end = open.read + len as usize;
        to.copy_from_slice(&open.bytes[open.read..end]);
        open.read = end;
        let emptied = end == open.bytes.len();
        if emptied {
            session.sources.close(source);
        }
        guest.write_u32(len_at, len)?;
        Ok(if emptied { EXHAUSTED } else { 0 })
    })
}

/// `bytes_source_remaining_length(source, out) -> i16`
pub(super) fn source_remaining(caller: Caller<'_, Session>, source: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        let Some(open) = guest.session().sources.get_mut(source) else {
            return Err(Errno::NO_SUCH_BYTES.into());
        };
        let rest = u32::try_from(open.bytes.len() - open.read).unwrap_or(u32::MAX);
        guest.write_u32(out, rest)?;
        Ok(0)
    })
}

/// `bytes_sink_write(sink, buffer_ptr, buffer_len_ptr) -> u16`
///
/// Error texts are for people: what goes over their bound is taken and dropped, so that a reducer
/// that failed is not made to panic. A description that is too long is refused.
pub(super) fn sink_write(caller: Caller<'_, Session>, sink: u32, at: u32, len_at: u32) -> Answer {
    answer(caller, |guest| {
        let len = guest.u32_at(len_at)?;
        guest.in_bounds(at, len)?;
        if sink != FIRST_HANDLE || !guest.session().sink_is_open {
            return Err(Errno::NO_SUCH_BYTES.into());
        }
        guest.charge(prices::copied(len as usize))?;
        let (bytes, session) = guest.bytes_and_session(at, len)?;
        let room = session.sink_bytes_max - session.sink.len();
        let in_call = session.transaction.is_some();
        if room == 0 && !bytes.is_empty() && !in_call {
            return Err(Errno::NO_SPACE.into());
        }
        let kept = bytes.len().min(room);
        session.sink.extend_from_slice(&bytes[..kept]);
        let taken = if in_call { len } else { kept as u32 };
        guest.write_u32(len_at, taken)?;
        Ok(0)
    })
}
