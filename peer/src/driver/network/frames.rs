//! Frames on a stream: the length as a little-endian `u32`, then that many bytes.

use std::io;

use futures::{AsyncRead, AsyncReadExt};

/// Bytes reserved before any of a frame has arrived: a remote that only announces a long frame
/// costs no more than this.
const RESERVE_BYTES: usize = 64 << 10;

/// Bytes of a frame's length.
pub(super) const PREFIX_BYTES: usize = 4;

/// Appends a frame to a buffer.
///
/// # Panics
/// When a frame of ours is longer than 4 GiB, which its limit forbids.
pub(super) fn put(buffer: &mut Vec<u8>, frame: &[u8]) {
    let len = u32::try_from(frame.len()).expect("frames are bounded far below 4 GiB");
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(frame);
}

/// Reads one frame of at most `bytes_max` bytes.
///
/// # Errors
/// `UnexpectedEof` when the stream ends, `InvalidData` when the frame is too long.
///
/// Dropping the future midway loses the frame: the stream cannot be read on.
pub(super) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let len = u32::from_le_bytes(prefix) as usize;
    if len > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {len} bytes, more than {bytes_max}"),
        ));
    }
    let mut frame = Vec::with_capacity(len.min(RESERVE_BYTES));
    let got = stream.take(len as u64).read_to_end(&mut frame).await?;
    if got < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn frames_follow_each_other() {
        let mut bytes = Vec::new();
        put(&mut bytes, b"");
        put(&mut bytes, b"one");
        put(&mut bytes, &[7; 100_000]);
        let mut stream = Cursor::new(bytes);
        block_on(async {
            assert_eq!(read(&mut stream, 10).await.expect("empty"), b"");
            assert_eq!(read(&mut stream, 10).await.expect("short"), b"one");
            let long = read(&mut stream, 100_000).await.expect("long");
            assert_eq!(long, [7; 100_000]);
            let end = read(&mut stream, 10).await.expect_err("end");
            assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn long_and_broken_frames_are_refused() {
        let mut bytes = Vec::new();
        put(&mut bytes, b"eleven byte");
        let error = block_on(read(&mut Cursor::new(&bytes), 10)).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = block_on(read(&mut Cursor::new(&bytes[..9]), 11)).expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
