//! The core as a whole, with the real module and a disk in memory.

mod determinism;
mod harness;
mod mesh;
mod replay;
mod rogue;
