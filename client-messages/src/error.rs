//! What is wrong with a frame that came from outside.

/// A frame that is not what it claims to be: the fault of whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The frame ends before the message does, or a length in it exceeds what is left of it.
    #[error("the frame ends too early")]
    CutShort,
    /// Bytes follow where the frame should end.
    #[error("{bytes} bytes too many at the end of the frame")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A number that stands for none of the variants.
    #[error("{what}: no variant has the number {tag}")]
    UnknownTag {
        /// The enum, or the flags.
        what: &'static str,
        /// The number.
        tag: u8,
    },
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A limit of [`limits`](crate::limits) is exceeded.
    #[error("{what}: more than {max} in one frame")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many may be.
        max: usize,
    },
    /// The sizes or offsets of a row list do not divide its data into rows.
    #[error("the rows of a list do not fit its data")]
    RowsMisfit,
    /// A compressed payload that is damaged.
    #[error("a compressed payload is damaged")]
    NotInflatable,
    /// A compressed payload that has more bytes than the reader accepts.
    #[error("a compressed payload has more than {max} bytes")]
    TooLong {
        /// How many it may have.
        max: usize,
    },
    /// A text that is no JSON, or JSON that is no message.
    #[error("no message of v1.json: {reason}")]
    NotAMessage {
        /// What is wrong and where, at most [`REASON_BYTES_MAX`](crate::limits::REASON_BYTES_MAX) bytes of it.
        reason: String,
    },
}
