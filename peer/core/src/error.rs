//! Why a peer or one of its databases cannot go on.

use store::{DataError, StoreError};
use sync_protocol::DatabaseId;

use crate::reply::{ErrorKind, RequestError};

/// The core could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The module host could not be set up on this machine.
    #[error("the module host cannot start: {0}")]
    Host(#[from] module_host::HostError),
    /// The data directory could not be read.
    #[error("the data directory cannot be read: {0}")]
    Store(#[from] StoreError),
}

/// One database stops here; the others go on. Nothing of it is lost: what was acknowledged is in
/// its log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Its files.
    #[error(
        "its files cannot be read or written: {0}; free space or repair the disk, then restart the peer"
    )]
    Store(#[from] StoreError),
    /// The module host failed on our side, never because of the guest.
    #[error("its module cannot be run: {0}; restart the peer and report this")]
    Host(#[from] module_host::HostError),
    /// A stored thing is not what we wrote.
    #[error("a stored {what} of database {database} is damaged; restore a backup or join again")]
    Damaged {
        /// What.
        what: &'static str,
        /// Whose.
        database: DatabaseId,
    },
    /// The module cannot be prepared here.
    #[error("its module cannot be prepared: {0}")]
    Module(String),
    /// A cut's root and ours differ.
    #[error(
        "after cut {height} this peer's tables differ from those the finaliser certified; \
         it keeps them in `dump-{height}` beside the database's files and serves it no longer: \
         `tombolo rebuild` runs its log again from the start"
    )]
    Diverged {
        /// At which cut.
        height: u64,
    },
    /// Nothing is wrong: its log has changed under it, and it has to be opened again.
    #[error("it is being opened again")]
    Reopen,
}

/// A store error inside a transaction stops the database. Every other data error in our own system
/// tables would mean that we broke their rules ourselves.
impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Store(error) => Self::Store(error),
            other => unreachable!("system tables obey their own schema: {other}"),
        }
    }
}

/// A request error of the given kind.
pub(crate) fn refuse(kind: ErrorKind, message: impl Into<String>) -> RequestError {
    RequestError {
        kind,
        message: message.into(),
    }
}

impl From<Stop> for RequestError {
    fn from(stop: Stop) -> Self {
        refuse(ErrorKind::Internal, format!("the database stopped: {stop}"))
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        refuse(ErrorKind::Internal, format!("the disk failed: {error}"))
    }
}
