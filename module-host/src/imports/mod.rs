//! Everything that a module may import: what it can do to the world, complete.
//!
//! Pointers and lengths are 32 bits; smaller numbers of the ABI travel in 32 bits too. An import
//! answers with 0, with an error number, or with -1 where it emptied what it read from; misuse ends
//! the call instead. The texts of the conventions are those of `spacetimedb-bindings-sys`.

mod bytes;
mod caller;
mod console;
mod documents;
mod guest;
pub(crate) mod session;
mod tables;

use wasmparser::ValType::{self, I32, I64};
use wasmtime::{Caller, Engine, Linker};

pub(crate) use guest::Stop;
use guest::{Guest, Refusal};
use session::Session;

/// What an import with a status returns to the module.
type Answer = wasmtime::Result<i32>;

/// The major version of the module ABI that is offered.
pub(crate) const ABI_MAJOR: u32 = 10;

/// The newest minor version of it that is offered.
pub(crate) const ABI_MINOR: u32 = 5;

/// Runs an import that answers with a status.
fn answer(
    caller: Caller<'_, Session>,
    work: impl FnOnce(&mut Guest<'_>) -> Result<i32, Refusal>,
) -> Answer {
    match Guest::visit(caller, work) {
        Ok(status) => Ok(status),
        Err(Refusal::Errno(errno)) => Ok(i32::from(errno.0)),
        Err(Refusal::Stop(stop)) => Err(stop.into()),
    }
}

/// Runs an import that has no error numbers.
fn plain<T>(
    caller: Caller<'_, Session>,
    work: impl FnOnce(&mut Guest<'_>) -> Result<T, Stop>,
) -> wasmtime::Result<T> {
    match Guest::visit(caller, |guest| Ok(work(guest)?)) {
        Ok(result) => Ok(result),
        Err(Refusal::Stop(stop)) => Err(stop.into()),
        // Nothing above makes one.
        Err(Refusal::Errno(errno)) => Err(Stop::Misuse(format!("error {}", errno.0)).into()),
    }
}

/// One import: where it is found, and its type.
pub(crate) struct Import {
    /// The import module, which tells the ABI's version.
    pub(crate) module: &'static str,
    /// The function.
    pub(crate) name: &'static str,
    /// Types of its parameters.
    pub(crate) params: &'static [ValType],
    /// Types of its results.
    pub(crate) results: &'static [ValType],
}

const fn import(
    module: &'static str,
    name: &'static str,
    params: &'static [ValType],
    results: &'static [ValType],
) -> Import {
    Import {
        module,
        name,
        params,
        results,
    }
}

const V0: &str = "spacetime_10.0";
const V1: &str = "spacetime_10.1";
const V2: &str = "spacetime_10.2";
const V3: &str = "spacetime_10.3";
const V4: &str = "spacetime_10.4";
const V5: &str = "spacetime_10.5";

/// Known, and refused: every peer that replays the call would fire it again.
pub(crate) const REFUSED: (&str, &str) = (V0, "volatile_nonatomic_schedule_immediate");

/// Everything that is offered of the module ABI.
pub(crate) const OFFERED: &[Import] = &[
    import(V0, "table_id_from_name", &[I32; 3], &[I32]),
    import(V0, "index_id_from_name", &[I32; 3], &[I32]),
    import(V0, "datastore_table_row_count", &[I32; 2], &[I32]),
    import(V0, "datastore_table_scan_bsatn", &[I32; 2], &[I32]),
    import(V0, "datastore_index_scan_range_bsatn", &[I32; 9], &[I32]),
    import(V0, "datastore_btree_scan_bsatn", &[I32; 9], &[I32]),
    import(
        V0,
        "datastore_delete_by_index_scan_range_bsatn",
        &[I32; 9],
        &[I32],
    ),
    import(
        V0,
        "datastore_delete_by_btree_scan_bsatn",
        &[I32; 9],
        &[I32],
    ),
    import(V0, "datastore_delete_all_by_eq_bsatn", &[I32; 4], &[I32]),
    import(V0, "row_iter_bsatn_advance", &[I32; 3], &[I32]),
    import(V0, "row_iter_bsatn_close", &[I32; 1], &[I32]),
    import(V0, "datastore_insert_bsatn", &[I32; 3], &[I32]),
    import(V0, "datastore_update_bsatn", &[I32; 4], &[I32]),
    import(V0, "bytes_sink_write", &[I32; 3], &[I32]),
    import(V0, "bytes_source_read", &[I32; 3], &[I32]),
    import(V0, "console_log", &[I32; 8], &[]),
    import(V0, "console_timer_start", &[I32; 2], &[I32]),
    import(V0, "console_timer_end", &[I32; 1], &[I32]),
    import(V0, "identity", &[I32; 1], &[]),
    import(V1, "bytes_source_remaining_length", &[I32; 2], &[I32]),
    import(V2, "get_jwt", &[I32; 2], &[I32]),
    import(V3, "procedure_sleep_until", &[I64; 1], &[I64]),
    import(V3, "procedure_start_mut_tx", &[I32; 1], &[I32]),
    import(V3, "procedure_commit_mut_tx", &[], &[I32]),
    import(V3, "procedure_abort_mut_tx", &[], &[I32]),
    import(V3, "procedure_http_request", &[I32; 5], &[I32]),
    import(V4, "datastore_index_scan_point_bsatn", &[I32; 4], &[I32]),
    import(
        V4,
        "datastore_delete_by_index_scan_point_bsatn",
        &[I32; 4],
        &[I32],
    ),
    import(V5, "datastore_clear", &[I32; 2], &[I32]),
];

/// Everything that is offered: the module ABI of SpacetimeDB, and what is our own.
pub(crate) fn offered() -> impl Iterator<Item = &'static Import> {
    OFFERED.iter().chain(documents::OFFERED)
}

/// The code of everything that is offered.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Session>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(V0, "table_id_from_name", tables::table_id)?;
    linker.func_wrap(V0, "index_id_from_name", tables::index_id)?;
    linker.func_wrap(V0, "datastore_table_row_count", tables::row_count)?;
    linker.func_wrap(V0, "datastore_table_scan_bsatn", tables::scan)?;
    linker.func_wrap(V0, "datastore_index_scan_range_bsatn", tables::scan_range)?;
    linker.func_wrap(V0, "datastore_btree_scan_bsatn", tables::scan_range)?;
    linker.func_wrap(
        V0,
        "datastore_delete_by_index_scan_range_bsatn",
        tables::delete_range,
    )?;
    linker.func_wrap(
        V0,
        "datastore_delete_by_btree_scan_bsatn",
        tables::delete_range,
    )?;
    linker.func_wrap(
        V0,
        "datastore_delete_all_by_eq_bsatn",
        tables::delete_all_by_eq,
    )?;
    linker.func_wrap(V0, "row_iter_bsatn_advance", tables::advance)?;
    linker.func_wrap(V0, "row_iter_bsatn_close", tables::close)?;
    linker.func_wrap(V0, "datastore_insert_bsatn", tables::insert)?;
    linker.func_wrap(V0, "datastore_update_bsatn", tables::update)?;
    linker.func_wrap(V0, "bytes_sink_write", bytes::sink_write)?;
    linker.func_wrap(V0, "bytes_source_read", bytes::source_read)?;
    linker.func_wrap(V0, "console_log", console::log)?;
    linker.func_wrap(V0, "console_timer_start", console::timer_start)?;
    linker.func_wrap(V0, "console_timer_end", console::timer_end)?;
    linker.func_wrap(V0, "identity", caller::identity)?;
    linker.func_wrap(V1, "bytes_source_remaining_length", bytes::source_remaining)?;
    linker.func_wrap(V2, "get_jwt", caller::get_jwt)?;
    linker.func_wrap(V3, "procedure_sleep_until", caller::procedure_sleep_until)?;
    linker.func_wrap(V3, "procedure_start_mut_tx", caller::procedure_start)?;
    linker.func_wrap(V3, "procedure_commit_mut_tx", caller::procedure_end)?;
    linker.func_wrap(V3, "procedure_abort_mut_tx", caller::procedure_end)?;
    linker.func_wrap(V3, "procedure_http_request", caller::procedure_http)?;
    linker.func_wrap(V4, "datastore_index_scan_point_bsatn", tables::scan_point)?;
    linker.func_wrap(
        V4,
        "datastore_delete_by_index_scan_point_bsatn",
        tables::delete_point,
    )?;
    linker.func_wrap(V5, "datastore_clear", tables::clear)?;
    documents::link(&mut linker)?;
    Ok(linker)
}
