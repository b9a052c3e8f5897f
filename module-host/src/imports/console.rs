//! A module's console. It is for people: no part of the state, and bounded.

use wasmtime::Caller;

use super::guest::{Errno, Guest, Stop};
use super::session::{Session, Timer};
use super::{Answer, answer, plain};
use crate::call::{ConsoleLevel, ConsoleLine};
use crate::limits::{CONSOLE_BYTES_MAX, LOOKUP_BYTES_MAX};
use crate::prices;

/// The line number that stands for none.
const NO_LINE: u32 = u32::MAX;

/// `console_log(level, target…, filename…, line_number, message…)`
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn log(
    caller: Caller<'_, Session>,
    level: u32,
    target: u32,
    target_len: u32,
    filename: u32,
    filename_len: u32,
    line: u32,
    message: u32,
    message_len: u32,
) -> wasmtime::Result<()> {
    plain(caller, |guest| {
        guest.charge(prices::CONSOLE_LINE)?;
        let target = optional_text(guest, target, target_len)?;
        let filename = optional_text(guest, filename, filename_len)?;
        let message = optional_text(guest, message, message_len)?.unwrap_or_default();
        let level = ConsoleLevel::from_abi(u8::try_from(level & 0xFF).unwrap_or(0));
        let line = (line != NO_LINE).then_some(line);
        guest.session().console.push(ConsoleLine {
            level,
            target,
            filename,
            line,
            message,
        });
        Ok(())
    })
}

/// `console_timer_start(name…) -> u32`
pub(super) fn timer_start(
    caller: Caller<'_, Session>,
    name: u32,
    name_len: u32,
) -> wasmtime::Result<u32> {
    plain(caller, |guest| {
        guest.charge(prices::CONSOLE_LINE)?;
        let name = lossy(guest.bytes(name, name_len)?, LOOKUP_BYTES_MAX);
        let units = guest.units();
        match guest.session().timers.open(Timer { name, units }) {
            Some(timer) => Ok(timer),
            None => Stop::misuse("too many console timers are open"),
        }
    })
}

/// `console_timer_end(timer_id) -> u16`
///
/// There is no clock to time with, so the span is told in units, the same on every peer.
pub(super) fn timer_end(caller: Caller<'_, Session>, timer: u32) -> Answer {
    answer(caller, |guest| {
        guest.charge(prices::CONSOLE_LINE)?;
        let left = guest.units();
        let session = guest.session();
        let Some(Timer { name, units }) = session.timers.close(timer) else {
            return Err(Errno::NO_SUCH_CONSOLE_TIMER.into());
        };
        session.console.push(ConsoleLine {
            level: ConsoleLevel::Info,
            target: None,
            filename: None,
            line: None,
            message: format!("Timing span {name:?}: {} units", units.saturating_sub(left)),
        });
        Ok(0)
    })
}

/// A text that may be absent, by a null pointer.
fn optional_text(guest: &mut Guest<'_>, at: u32, len: u32) -> Result<Option<String>, Stop> {
    if at == 0 {
        return Ok(None);
    }
    guest.in_bounds(at, len)?;
    guest.charge(prices::copied(len as usize))?;
    Ok(Some(lossy(guest.bytes(at, len)?, CONSOLE_BYTES_MAX / 2)))
}

/// The text of bytes, cut to a bound.
fn lossy(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned()
}
