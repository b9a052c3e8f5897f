//! Decides what a peer does: [`Core::step`] is told what happened and when, and answers with
//! [`Effect`]s for the driver to carry out.
//!
//! The core keeps every database of the peer ([`replica`]): its log, its rows, its module. It
//! batches calls into signed entries, runs sweeps, makes and takes cuts, answers queries, and holds
//! one conversation per connected member. It reads and writes disk through `store` alone. It knows
//! no sockets, no threads, no clock and no dice: time and randomness are arguments, so that a whole
//! mesh of cores runs in one thread from one seed.
//!
//! Words used here: an *entry* is a signed batch of invocations by one author; a *sweep* brings the
//! overlay up to date after entries came in; the *tail* are the entries no cut covers yet.

#![forbid(unsafe_code)]

#[macro_use]
mod planted;

mod addresses;
pub mod backup;
mod batch;
mod birth;
mod bodies;
pub mod check;
mod conduct;
mod conversations;
mod core;
mod dump;
mod effect;
mod error;
mod execute;
mod finality;
mod identity;
mod ingest;
mod input;
mod issuers;
mod joining;
mod leftovers;
mod limits;
pub mod local_views;
mod memory;
mod mesh_time;
mod modules;
mod neighbours;
mod outcome;
mod partials;
mod quotas;
mod rebuild;
mod replica;
mod reply;
mod request;
mod requests;
mod restart;
mod room;
mod schedules;
mod sql;
mod status;
mod subscriptions;
mod sweep;
mod system_tables;
#[cfg(test)]
mod tests;
mod upgrade;
mod values;

pub use crate::core::{Core, CoreOptions};
pub use crate::memory::MemoryBudget;
pub use conduct::CutOff;
pub use effect::{Effect, NoteLevel};
pub use error::OpenError;
pub use identity::{Claims, did_key, identity_hex, identity_of};
pub use input::Input;
pub use issuers::token::{CheckedToken, TokenFault, check_bearer, issuer_named};
pub use modules::Modules;
pub use outcome::CallOutcome;
pub use quotas::{Quotas, Share};
pub use replica::Replay;
pub use reply::{
    Bindings, BlobProgress, BoundUser, Called, CutStatus, DatabaseInfo, DatabaseStatus, ErrorKind,
    FinaliserInfo, HeldInfo, IssuerInfo, JoinProgress, JoinState, MemberInfo, PeerInfo, Published,
    RemoteInfo, Reply, RequestError, SqlRows, UpgradePlan, UpgradeState, UpgradeStatus, Upgraded,
    WriteKind, Written,
};
pub use request::{
    Arguments, ClientId, MemberChange, Request, RequestId, SchemaVersion, SetId, WantedRows,
};
pub use subscriptions::{ChangedRows, RowType, SetChange, TableChange, TableRows, Update};
