//! From the bytes that somebody published to a module that can be called:
//! check, meter, initialise and snapshot, mark.

mod check;
mod initialise;
mod mark;
mod meter;

pub(crate) use check::{CALL_REDUCER, CALL_VIEW, CALL_VIEW_ANON, Initialisers, MEMORY};
pub(crate) use initialise::{Ending, Guard, instantiate, set_fuel};
pub(crate) use mark::{MARKS, REFUSED, SPILL_BYTES};
pub(crate) use meter::{DEPTH, UNITS};

use crate::engine::HostEngine;
use crate::error::{HostError, PrepareError};
use crate::limits::Limits;

/// A module after all passes.
pub(crate) struct Prepared {
    /// What is compiled and called.
    pub(crate) wasm: Vec<u8>,
    /// Exports of the globals that are set back before a call.
    pub(crate) globals: Vec<String>,
    /// BSATN of `RawModuleDef`.
    pub(crate) description: Vec<u8>,
    /// What to run before every call, if no snapshot could be taken.
    pub(crate) initialisers: Option<Initialisers>,
    /// Pages of 64 KiB that its memory has.
    pub(crate) memory_pages: u32,
    /// Those of them that its image lies in.
    pub(crate) image_pages: u32,
}

/// Takes a published module through all passes.
///
/// # Errors
/// [`PrepareError`] says why it cannot be used.
pub(crate) fn prepare(
    engine: &HostEngine,
    wasm: &[u8],
    limits: &Limits,
) -> Result<Prepared, PrepareError> {
    let facts = check::check(wasm, limits)?;
    let metered = meter::meter(wasm, &facts, limits.call_depth_max)
        .map_err(|error| HostError::Bug(format!("metering: {error}")))?;
    let initialised =
        initialise::initialise(engine, &metered, &facts.initialisers, limits.call_depth_max)?;
    let (calls, initialisers) = match &initialised.snapshot {
        Some(snapshot) => (snapshot, None),
        None => (&metered, Some(facts.initialisers.clone())),
    };
    let marked =
        mark::mark(calls, &facts).map_err(|error| HostError::Bug(format!("marking: {error}")))?;
    Ok(Prepared {
        wasm: marked.wasm,
        globals: marked.globals,
        description: initialised.description,
        initialisers,
        memory_pages: facts.memory_pages_max,
        image_pages: marked.pages_first,
    })
}
