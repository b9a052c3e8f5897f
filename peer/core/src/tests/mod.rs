//! The core as a whole, with the real module and a disk in memory.

mod aside;
mod clearing;
mod clocks;
mod determinism;
mod filters;
mod finality;
mod floods;
mod following;
mod forge;
mod forged_upgrades;
mod forks;
mod grants;
pub(crate) mod harness;
mod large;
mod lies;
pub(crate) mod made;
mod members;
mod mesh;
mod network;
mod notes;
mod replay;
mod rogue;
mod schedules;
mod upgrades;
mod views;
mod writes;
