//! Everything that touches the outside world for the core: one thread for it, sockets to other
//! peers, HTTP for clients, with TLS or without, the clock, dice, tokens, and the data directory.
//!
//! The driver decides nothing about entries, rows or members. It checks who a caller is (the
//! core decides what he may do), keeps what arrives within bounds, and carries out effects.
//!
//! Words used here: a *link* is a usable sync stream to one remote; the *mailbox* is the bounded
//! queue in front of the core's thread.

pub(crate) mod api;
pub(crate) mod clients;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod core_thread;
pub(crate) mod data_dir;
pub(crate) mod https;
pub(crate) mod issuers;
pub(crate) mod machine_memory;
pub(crate) mod network;
pub(crate) mod open_files;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod tokens;
