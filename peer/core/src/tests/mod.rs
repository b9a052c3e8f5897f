//! The core as a whole, with the real module and a disk in memory.

mod determinism;
mod finality;
pub(crate) mod harness;
pub(crate) mod made;
mod mesh;
mod network;
mod replay;
mod rogue;
mod upgrades;
