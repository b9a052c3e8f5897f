//! The core as a whole, with the real module and a disk in memory.

mod harness;
mod large;
mod mesh;
mod replay;
mod rogue;
