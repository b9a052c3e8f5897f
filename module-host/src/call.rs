//! One invocation: what goes in, and what it came to.

use sync_protocol::{ConnectionId, Hlc};

/// One invocation of a reducer.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Place of the reducer in [`ModuleDef::reducers`](crate::ModuleDef::reducers).
    pub reducer: usize,
    /// The caller's `Identity`, little-endian, as `Identity::to_byte_array` gives it.
    pub sender: [u8; 32],
    /// The connection the call came over; all zero for none.
    pub connection: ConnectionId,
    /// The invocation's time, microseconds since the Unix epoch: what `ctx.timestamp` says.
    pub time: Hlc,
    /// BSATN of the arguments, one after another.
    pub args: &'a [u8],
    /// The payload of the caller's token (JSON), for `get_jwt`.
    pub claims: Option<&'a str>,
    /// The database's `Identity`, little-endian.
    pub database: [u8; 32],
    /// Units it may use; what the database permits one invocation is the most it gets.
    pub units: u64,
}

/// A view that is to be computed.
#[derive(Clone, Copy, Debug)]
pub struct ViewCall<'a> {
    /// Which one.
    pub view: &'a crate::ViewDef,
    /// For whom: an `Identity`, little-endian. One that is the same for everybody does not look.
    pub sender: [u8; 32],
    /// The database's `Identity`, little-endian.
    pub database: [u8; 32],
    /// Units it may use.
    pub units: u64,
}

/// What a view gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewRows {
    /// BSATN of a list of rows, not checked.
    Rows(Vec<u8>),
    /// A query, whose answer are the rows.
    Query(String),
}

/// What an invocation came to. The same on every peer, texts included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It finished: its changes are to be kept.
    Ok,
    /// The reducer returned an error, with its text.
    Failed(String),
    /// The module broke off (panic, out of memory, misuse of an import); text for people.
    Trapped(String),
    /// It used up its units.
    OutOfUnits,
    /// Its functions called each other too deeply.
    TooDeep,
}

impl Outcome {
    /// Whether the changes are to be kept.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// An outcome, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it came to.
    pub outcome: Outcome,
    /// Units used, never more than were given.
    pub units: u64,
    /// What the module wrote to its console, within
    /// [`CONSOLE_LINES_MAX`](crate::limits::CONSOLE_LINES_MAX) and
    /// [`CONSOLE_BYTES_MAX`](crate::limits::CONSOLE_BYTES_MAX).
    pub console: Vec<ConsoleLine>,
    /// Console lines that went over those bounds.
    pub console_dropped: u32,
}

/// One line of a module's console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleLine {
    /// How much it matters.
    pub level: ConsoleLevel,
    /// The module path that wrote it.
    pub target: Option<String>,
    /// The source file that wrote it.
    pub filename: Option<String>,
    /// The line in that file.
    pub line: Option<u32>,
    /// What it says.
    pub message: String,
}

/// How much a console line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsoleLevel {
    /// An error.
    Error,
    /// A warning.
    Warn,
    /// Ordinary news; also everything of a level that is not known.
    Info,
    /// For debugging.
    Debug,
    /// Every step.
    Trace,
    /// Last words before the module broke off.
    Panic,
}

impl ConsoleLevel {
    /// The level of that number in the module ABI.
    #[must_use]
    pub const fn from_abi(level: u8) -> Self {
        match level {
            0 => Self::Error,
            1 => Self::Warn,
            3 => Self::Debug,
            4 => Self::Trace,
            101 => Self::Panic,
            _ => Self::Info,
        }
    }

    /// The word for it in log files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warn => "Warn",
            Self::Info => "Info",
            Self::Debug => "Debug",
            Self::Trace => "Trace",
            Self::Panic => "Panic",
        }
    }
}
