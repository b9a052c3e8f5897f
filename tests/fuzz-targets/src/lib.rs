//! What has to be true of every decoder, whatever bytes it is given: one function a target, which
//! panics when it is not.
//!
//! Two callers: the programs of `fuzz`, which look for bytes that break a target, and the test of
//! this package, which gives each target every file of `tests/corpus/<target>` with plain
//! `cargo test`. Nothing here knows wasmtime or libp2p, so that a fuzzer is built in minutes; the
//! modules of `peer/core` and `peer` that read bytes and text are compiled from their own files.

#![forbid(unsafe_code)]
// Their own tests run where they are at home.
#![cfg(not(test))]

mod arguments;
mod backups;
mod changes;
mod clients;
mod description;
mod frame;
mod protocol;
mod rows;
mod sql_text;
mod types;

#[allow(
    dead_code,
    unused_imports,
    reason = "the whole module is here, its entrances are used"
)]
#[path = "../../../peer/core/src/sql/mod.rs"]
mod sql;
#[allow(
    dead_code,
    unused_imports,
    reason = "the whole module is here, its entrances are used"
)]
#[path = "../../../peer/core/src/values/mod.rs"]
mod values;

/// Takes any bytes; panics if something that has to be true of them is not.
pub type Target = fn(&[u8]);

/// All targets by name. A program of `fuzz` and a folder of `tests/corpus` for each.
pub const TARGETS: &[(&str, Target)] = &[
    ("arguments", arguments::arguments),
    ("backup", backups::backup),
    ("body", protocol::body),
    ("change", changes::change),
    ("client_v1", clients::client_v1),
    ("client_v1_json", clients::client_v1_json),
    ("client_v2", clients::client_v2),
    ("cut", protocol::cut),
    ("description", description::description),
    ("entry", protocol::entry),
    ("equivocation", protocol::equivocation),
    ("frame", frame::frame),
    ("header", protocol::header),
    ("index_order", rows::index_order),
    ("join", protocol::join),
    ("message", protocol::message),
    ("row", rows::row),
    ("sql", sql_text::sql),
    ("system_call", protocol::system_call),
    ("ticket", protocol::ticket),
];

pub use backups::seeds as backup_seeds;
pub use changes::seeds as change_seeds;

/// Runs one target.
///
/// # Panics
/// If there is no such target, or what it holds to be true is not.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(other, _)| *other == name)
        .unwrap_or_else(|| panic!("no target is called {name}"));
    target(bytes);
}
