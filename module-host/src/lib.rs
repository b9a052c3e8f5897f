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
//!
//! Without the feature `run` only [`describe`] is left, and nothing of wasmtime is compiled.

#[cfg(feature = "run")]
#[macro_use]
mod planted;

#[cfg(feature = "run")]
mod artifact;
mod call;
mod def;
mod describe;
#[cfg(feature = "run")]
mod engine;
mod error;
#[cfg(feature = "run")]
mod imports;
#[cfg(feature = "run")]
mod instance;
pub mod limits;
#[cfg(feature = "run")]
mod module;
#[cfg(feature = "run")]
mod prepare;
#[cfg(feature = "run")]
mod prices;
mod reasons;
mod roles;

#[cfg(feature = "run")]
pub use artifact::{ArtifactKey, Artifacts};
pub use call::{Call, ConsoleLevel, ConsoleLine, Outcome, Report, ViewCall, ViewRows};
pub use def::{ColumnDefault, Lifecycle, ModuleDef, ReducerDef, ScheduleDef, ViewDef};
pub use describe::{Names, decode, describe};
#[cfg(feature = "run")]
pub use engine::{Backend, ENGINE, HostEngine};
pub use error::{HostError, PrepareError};
#[cfg(feature = "run")]
pub use instance::Runner;
pub use limits::Limits;
#[cfg(feature = "run")]
pub use module::Module;
pub use roles::{ROLE, ROLE_IDENTITY, role_schema};

#[cfg(all(test, feature = "run"))]
mod tests;
