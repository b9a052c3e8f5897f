//! Frames on a stream between two peers.

use futures::executor::block_on;
use futures::io::Cursor;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the whole module is here, its entrances are used"
)]
#[path = "../../../peer/src/driver/network/frames.rs"]
mod frames;

/// Bytes of a frame that the reader accepts.
const BYTES_MAX: usize = 1_000;

/// A stream of frames: what is read is what stood there, and the first that is too long or cut off
/// ends it.
pub(crate) fn frame(bytes: &[u8]) {
    let mut stream = Cursor::new(bytes);
    let mut again = Vec::new();
    while let Ok(frame) = block_on(frames::read(&mut stream, BYTES_MAX)) {
        assert!(frame.len() <= BYTES_MAX);
        frames::put(&mut again, &frame);
    }
    assert!(
        bytes.starts_with(&again),
        "what was read is what stood there"
    );
    let mut rest = &bytes[again.len()..];
    let len = rest
        .split_off(..4)
        .map(|len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]));
    assert!(
        len.is_none_or(|len| len as usize > BYTES_MAX || len as usize > rest.len()),
        "a good frame was refused"
    );
}
