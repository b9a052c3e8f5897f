//! Checks and prepares a module, says what it describes, and runs one invocation of it in a
//! transaction.
//!
//! A module is somebody else's program. It is run by every peer of a database, and all of them must
//! see the same: so whatever it can observe is the transaction, the arguments and the invocation's
//! own context, and whatever bounds it (units, call depth, memory) is counted inside the module by
//! passes over its code, never measured on the machine it happens to run on.
//!
//! Knows no network, no disk, no clock, no dice and no other peers; rows are reached only through
//! [`store::Transaction`].
//!
//! Words used here: *units* are what running costs, written into the code at publish; *prices* are
//! the units of each instruction and import; the *image* is a module's memory after it was
//! initialised, from which every invocation starts; a *mark* says that a call wrote to a page; an
//! *outcome* is what an invocation came to, the same on every peer, while a [`HostError`] is our own
//! failure and never an outcome.

mod call;
mod def;
mod describe;
mod engine;
mod error;
mod imports;
mod instance;
pub mod limits;
mod module;
mod prepare;
mod prices;

pub use call::{Call, ConsoleLevel, ConsoleLine, Outcome, Report};
pub use def::{ColumnDefault, Lifecycle, ModuleDef, ReducerDef};
pub use engine::{Backend, ENGINE, HostEngine};
pub use error::{HostError, PrepareError};
pub use instance::Runner;
pub use limits::Limits;
pub use module::Module;

#[cfg(test)]
mod tests;
