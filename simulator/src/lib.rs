//! Runs many peer cores on a made-up network, disk and clock, all from one seed.
//!
//! First everything hurts: messages are lost, doubled and late, links break, the network parts,
//! peers lose power amid a write, clocks are wrong; and all the while people call reducers that
//! conflict. Then the world heals, and a judge who knows only what clients asked and were told looks
//! at what is left: nothing that was confirmed may be lost or there twice, and all peers must show
//! the same.
//!
//! The cores are the real ones, on the real store and the real module host. Not known here: sockets,
//! threads, the time. The same seed gives the same run, to the last byte of every message; its trace
//! hash says so.
//!
//! Reading order: `seed`, `faults`, `network`, `clock`, `disk`, `node`; `workload`, `checker`;
//! `world`, `run`, `trace`.

#![forbid(unsafe_code)]

mod checker;
mod clock;
mod disk;
mod faults;
mod network;
mod node;
mod run;
mod seed;
#[cfg(test)]
mod tests;
mod trace;
mod workload;
mod world;

pub use faults::{Faults, Topology};
pub use run::{Plan, Plant, Report, Verdict, run};
pub use seed::{Dice, Seed};
pub use trace::Trace;
pub use world::Counts;

/// The module that all worlds run.
const CHAT: &[u8] = include_bytes!("../../peer/assets/chat.wasm");
