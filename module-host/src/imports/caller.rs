//! What a module may know of its caller and of the database, and the imports of procedures, which
//! answer a reducer with an error.

use wasmtime::Caller;

use super::guest::{Errno, Guest, Refusal, Stop};
use super::session::{Session, Source};
use super::{Answer, answer, plain};
use crate::prices;

/// `identity(out)`
pub(super) fn identity(caller: Caller<'_, Session>, out: u32) -> wasmtime::Result<()> {
    plain(caller, |guest| match guest.session().caller.database {
        Some(identity) => guest.write(out, &identity),
        // A module is initialised once for all databases that use it.
        None => Stop::misuse("`identity` was asked for before any call"),
    })
}

/// `get_jwt(connection_id_ptr, source_out) -> u16`
///
/// Answers for the call's own connection only: what other clients present is known to the peers
/// they are connected to, and a reducer must see the same everywhere.
pub(super) fn get_jwt(caller: Caller<'_, Session>, connection: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        let mut asked = [0; 16];
        asked.copy_from_slice(guest.bytes(connection, 16)?);
        guest.in_bounds(out, 4)?;
        let session = guest.session();
        if session.transaction.is_none() {
            return Err(Errno::NOT_IN_TRANSACTION.into());
        }
        let own = session.caller.connection.is_some_and(|own| own.0 == asked);
        let claims = session
            .caller
            .claims
            .as_ref()
            .filter(|claims| own && !claims.is_empty());
        let source = match claims.map(|claims| claims.clone().into_bytes()) {
            None => 0,
            Some(bytes) => {
                guest.charge(prices::copied(bytes.len()))?;
                match guest.session().sources.open(Source { bytes, read: 0 }) {
                    Some(source) => source,
                    None => return Stop::misuse("too many byte sources are open"),
                }
            }
        };
        guest.write_u32(out, source)?;
        Ok(0)
    })
}

/// `procedure_sleep_until(wake_at) -> i64`
pub(super) fn procedure_sleep_until(
    caller: Caller<'_, Session>,
    _wake_at: u64,
) -> wasmtime::Result<u64> {
    plain(caller, |_| Stop::misuse("only a procedure can sleep"))
}

/// `procedure_start_mut_tx(out) -> u16`
pub(super) fn procedure_start(caller: Caller<'_, Session>, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 8)?;
        only_a_procedure(guest, "start a transaction")
    })
}

/// `procedure_commit_mut_tx() -> u16` and `procedure_abort_mut_tx() -> u16`
pub(super) fn procedure_end(caller: Caller<'_, Session>) -> Answer {
    answer(caller, |_| Err(Errno::TRANSACTION_NOT_ANONYMOUS.into()))
}

/// `procedure_http_request(request_ptr, request_len, body_ptr, body_len, out) -> u16`
pub(super) fn procedure_http(
    caller: Caller<'_, Session>,
    request: u32,
    request_len: u32,
    body: u32,
    body_len: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(request, request_len)?;
        guest.in_bounds(body, body_len)?;
        guest.in_bounds(out, 4)?;
        only_a_procedure(guest, "make an HTTP request")
    })
}

/// A reducer is in a transaction, which nothing may hold up. While a module is initialised there is
/// none, but nothing to wait for either.
fn only_a_procedure(guest: &mut Guest<'_>, what: &str) -> Result<i32, Refusal> {
    if guest.session().transaction.is_some() {
        return Err(Errno::WOULD_BLOCK_TRANSACTION.into());
    }
    Stop::misuse(format!("only a procedure can {what}"))
}
