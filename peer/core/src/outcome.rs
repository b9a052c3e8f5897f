//! What became of an invocation. Outcomes are the same on every peer; their texts are for people
//! and are no part of the state.

use crate::reply::{ErrorKind, RequestError};

/// What became of one invocation at its position. It may change while the invocation is in the
/// tail, when an earlier entry arrives late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It ran and its changes hold; metering units used.
    Ok {
        /// Units.
        units: u64,
    },
    /// The reducer returned an error: nothing it did is kept.
    Failed(String),
    /// The guest trapped or used up a budget: nothing it did is kept.
    Trapped(String),
    /// It was not run: the author or caller may not, or there is no such reducer here.
    Refused(String),
    /// It was not run: its author equivocated.
    Void,
}

impl CallOutcome {
    /// Whether its changes hold.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }

    /// The error a caller hears, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<RequestError> {
        let (kind, message) = match self {
            Self::Ok { .. } => return None,
            Self::Failed(text) => (ErrorKind::ReducerFailed, text.clone()),
            Self::Trapped(text) => (ErrorKind::Trapped, text.clone()),
            Self::Refused(text) => (ErrorKind::Denied, text.clone()),
            Self::Void => (
                ErrorKind::Denied,
                "this device signed two histories: what was not final is void; \
                 leave the database and join it again"
                    .to_owned(),
            ),
        };
        Some(RequestError { kind, message })
    }
}
