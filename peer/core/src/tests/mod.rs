//! The core as a whole, with the real module and a disk in memory.

mod harness;
mod mesh;
mod network;
mod replay;
mod rogue;
