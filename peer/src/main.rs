//! `tombolo`: a peer that runs SpacetimeDB modules with no server, and its command line.
//!
//! [`driver`] does what `peer-core` decides: it owns the sockets, the clock, the files beside the
//! databases, and the one thread in which the core runs. [`cli`] is a client of that, over HTTP,
//! like any other client; only `tombolo start` runs a peer in this process.
//!
//! What is absent: the rules of the protocol. Nothing here reads an entry, a cut or a row.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the driver and the command line exist to touch the outside world"
)]

mod cli;
mod driver;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call allocates and frees many small things, on several threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
