//! The core as a whole, with the real module and a disk in memory.

mod finality;
mod harness;
mod mesh;
mod replay;
mod rogue;
