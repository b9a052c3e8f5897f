//! The module host as a whole, with modules written by hand.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod abi;
mod artifacts;
mod bounds;
mod columns;
mod conventions;
mod descriptions;
mod determinism;
mod documents;
mod fixture;
mod hostile;
mod initialising;
mod isolation;
mod metering;
mod model;
mod real_module;
mod reasons;
mod refusals;
mod script;
mod semantics;
mod too_much;
mod views;
