//! Why a change is refused, and why a document is not edited: sentences for people.

use crate::change::Hash;

/// Why a change is refused. The same for the same bytes on every peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The bytes are no change at all.
    #[error("these bytes are no Automerge change: {0}")]
    Malformed(&'static str),
    /// The bytes do not have the sum that they name.
    #[error("the change was damaged: its bytes do not have the sum that it names")]
    Sum,
    /// There is more of something than [`limits`](crate::limits) allow.
    #[error("the change has more {what} than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A column or an action that this version does not know.
    #[error("the change uses something of Automerge that this version does not know: {0}")]
    Unknown(&'static str),
    /// It depends on a change that is not there.
    #[error("the change depends on {0}, which is not there")]
    Missing(Hash),
    /// Its number is not the one after its actor's last.
    #[error("the change is number {is} of its actor, after number {last} of it")]
    Sequence {
        /// The number it has.
        is: u64,
        /// The number of the actor's last change that it has seen.
        last: u64,
    },
    /// There is another change with its number, of the same actor.
    #[error("the actor of the change has made another change with the number {0}")]
    Forked(u64),
    /// Its operations are not numbered after those that it has seen.
    #[error("the change numbers its operations from {is} on, having seen {seen}")]
    Counter {
        /// Where it begins.
        is: u64,
        /// The highest that it has seen.
        seen: u64,
    },
    /// An operation refers to what is not there, or to what is something else.
    #[error("operation {at} of the change refers to {what}")]
    Reference {
        /// Which operation of the change, from 0.
        at: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Why a document did not do what was asked of it. It is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A change was refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Who asked did not want to pay for it.
    #[error("the changes cost more than was left")]
    Unpaid,
    /// There is more of something than [`limits`](crate::limits) allow.
    #[error("the document has more {what} than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A path that is no JSON pointer.
    #[error("{0:?} is no path: a path is empty or begins with a slash, as in /lists/0/title")]
    Path(String),
    /// Nothing is at a path.
    #[error("nothing is at {0:?}")]
    Nothing(String),
    /// Something else than expected is at a path.
    #[error("at {path:?} is {is}, not {expected}")]
    Kind {
        /// Where.
        path: String,
        /// What is there.
        is: &'static str,
        /// What would have to be.
        expected: &'static str,
    },
    /// A place beyond the end of a list or a text.
    #[error("{path:?} has {len}, so there is no place {at}")]
    Place {
        /// Which list or text.
        path: String,
        /// How many elements or characters it has.
        len: usize,
        /// The place asked for.
        at: usize,
    },
    /// A value that is no JSON, or that no document holds.
    #[error("{0}")]
    Value(String),
    /// An edit before anybody said whose it is.
    #[error("nobody said in whose name the document is edited")]
    Nameless,
    /// The library refused, for a reason of its own.
    #[error("Automerge: {0}")]
    Library(String),
}
