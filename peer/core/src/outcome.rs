//! What became of an invocation. Outcomes are the same on every peer; their texts are for people
//! and are no part of the state.

use sync_protocol::Struck;

use crate::limits::KEPT_TEXT_BYTES_MAX;
use crate::reply::{ErrorKind, RequestError};

/// What became of one invocation at its position. It may change while the invocation is in the
/// tail, when an earlier entry arrives late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It ran and its changes hold; metering units used.
    Ok {
        /// Units.
        units: u64,
        /// Rows that a statement of SQL concerned; 0 of every other call.
        rows: u64,
    },
    /// The reducer returned an error: nothing it did is kept.
    Failed(String),
    /// The guest trapped or used up a budget: nothing it did is kept.
    Trapped(String),
    /// It was not run: the author or caller may not, or there is no such reducer here.
    Refused(String),
    /// It was not run: its author equivocated, or was removed before it was final.
    Void(Struck),
}

impl CallOutcome {
    /// Whether its changes hold.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }

    /// Cuts a text that is too long to be kept for every call of a tail.
    pub(crate) fn shorten(&mut self) {
        match self {
            Self::Failed(text) | Self::Trapped(text) | Self::Refused(text) => {
                text.truncate(text.floor_char_boundary(KEPT_TEXT_BYTES_MAX));
                text.shrink_to_fit();
            }
            Self::Ok { .. } | Self::Void(_) => {}
        }
    }

    /// The error a caller hears, if there is one.
    #[must_use]
    pub fn error(&self) -> Option<RequestError> {
        let (kind, message) = match self {
            Self::Ok { .. } => return None,
            Self::Failed(text) => (ErrorKind::ReducerFailed, text.clone()),
            Self::Trapped(text) => (ErrorKind::Trapped, text.clone()),
            Self::Refused(text) => (ErrorKind::Denied, text.clone()),
            Self::Void(Struck::Equivocated) => (
                ErrorKind::Denied,
                "this device signed two histories: what was not final is void; \
                 leave the database and join it again"
                    .to_owned(),
            ),
            Self::Void(_) => (
                ErrorKind::Denied,
                "this device was removed from the database before the call was final: it is void; \
                 ask a member for a new ticket"
                    .to_owned(),
            ),
        };
        Some(RequestError { kind, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut outcome = CallOutcome::Failed(format!("a{}", "é".repeat(300)));
        outcome.shorten();
        assert_eq!(
            outcome,
            CallOutcome::Failed(format!("a{}", "é".repeat(127)))
        );
        let mut outcome = CallOutcome::Trapped("short".to_owned());
        outcome.shorten();
        assert_eq!(outcome, CallOutcome::Trapped("short".to_owned()));
    }
}
