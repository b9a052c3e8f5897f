//! Tests of whole modules.

mod compiler;
mod golden;
mod modules;
mod refusals;
mod rust;
