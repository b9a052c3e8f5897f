//! Two kinds of failure: a module that cannot be used, and a peer that cannot run it.

use store::StoreError;

/// The peer could not do its part: its disk failed, or a belief of ours was wrong. Never an outcome:
/// other peers would come to another. Whoever gets it stops the database and reports.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The store failed while the module was using it.
    #[error("the store failed while a reducer was running")]
    Store(#[from] StoreError),
    /// A backstop was reached before the limit it stands behind: metering or call depth is wrong.
    #[error(
        "the module reached a backstop ({backstop}) before its limit; this is a fault of the module host"
    )]
    Backstop {
        /// Which one.
        backstop: &'static str,
    },
    /// The machine could not give what an instance needs, for example address space.
    #[error("cannot make an instance of the module: {0}")]
    Instance(String),
    /// The engine that compiles modules could not be set up on this machine.
    #[error("cannot set up the module engine: {0}")]
    Engine(String),
    /// Something that cannot happen did.
    #[error("fault of the module host: {0}")]
    Bug(String),
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// More bytes than [`MODULE_BYTES_MAX`](crate::limits::MODULE_BYTES_MAX).
    #[error("the module has {bytes} bytes, the most is {max}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// Not WebAssembly, or with a proposal that two peers might run differently.
    #[error("not a valid WebAssembly module: {0}")]
    Malformed(String),
    /// Sound WebAssembly, but not something that this peer runs. Every reason is listed.
    #[error("the module is refused:\n{}", list(.0))]
    Refused(Vec<String>),
    /// The module broke off before it could be called.
    #[error("the module failed while it was initialised, in `{export}`: {why}")]
    Initialise {
        /// The export that was running.
        export: String,
        /// What happened.
        why: String,
    },
    /// The peer could not do its part; says nothing about the module.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn list(reasons: &[String]) -> String {
    reasons
        .iter()
        .map(|reason| format!("- {reason}"))
        .collect::<Vec<_>>()
        .join("\n")
}
