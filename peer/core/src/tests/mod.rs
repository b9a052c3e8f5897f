//! The core as a whole, with the real module and a disk in memory.

pub(crate) mod harness;
mod large;
pub(crate) mod made;
mod mesh;
mod network;
mod replay;
mod rogue;
mod upgrades;
