//! Runs many peer cores on a made-up network, disk and clock, all from one seed.
//!
//! First everything hurts: messages are lost, doubled and late, links break, the network parts,
//! peers lose power amid a write, disks are full, clocks are wrong, a member lies; and all the while
//! people call reducers that conflict. Then the world heals, and a judge who knows only what clients
//! asked and were told, and which entries lie on the disks, looks at what is left: nothing that was
//! acknowledged may be lost or there twice, and all peers must show what the calls give in the one
//! order.
//!
//! The cores are the real ones, on the real store and the real module host. Not known here: sockets,
//! threads, the time. The same seed gives the same run, to the last byte of every message; its trace
//! hash says so.
//!
//! Reading order: `seed`, `faults`, `plan`; `network`, `clock`, `disk`, `node`; `market`,
//! `workload`, `checker`; `world`, `run`, `trace`; `shrink`, `campaign`.

#![forbid(unsafe_code)]

mod campaign;
mod checker;
mod clock;
mod disk;
mod faults;
mod market;
mod network;
mod node;
mod plan;
mod run;
mod seed;
mod shrink;
#[cfg(test)]
mod tests;
mod trace;
mod workload;
mod world;

pub use campaign::{Campaign, Totals};
pub use faults::{Fault, Faults, Lies, NoSuchFault, Topology};
pub use market::Market;
pub use plan::{PEERS_MAX, Plan};
pub use run::{Report, Verdict, run, run_on};
pub use seed::{Dice, Seed};
pub use shrink::shrink;
pub use trace::Trace;
pub use world::Counts;
