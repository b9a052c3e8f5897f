//! Bounds on what is read from a client.

/// Messages in one frame. A v3 client puts what it has to say at one moment into a frame; a frame of
/// the smallest messages would otherwise hold millions.
pub const MESSAGES_PER_FRAME_MAX: usize = 4_096;

/// Query strings in one frame, over all of its messages. An empty one takes 4 bytes of the frame and
/// 24 of memory.
pub const QUERIES_PER_FRAME_MAX: usize = 65_536;

/// Payloads of at most so many bytes are never compressed.
pub const UNCOMPRESSED_BYTES_MAX: usize = 1_024;

/// Bytes of what is said about a text that is no message, which may repeat parts of the text.
pub const REASON_BYTES_MAX: usize = 200;
