//! Backups, which come from wherever somebody kept them.

use std::io::Cursor;

use serde::Serialize;

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the whole module is here, its entrances are used"
)]
#[path = "../../../peer/core/src/backup/format.rs"]
mod format;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the whole module is here, its entrances are used"
)]
#[path = "../../../peer/core/src/backup/reading.rs"]
mod reading;

use self::format::{Described, End, Kind, MAGIC};
use self::reading::{BackupError, Reader, Summary};

/// Frames of a backup: what is read of them has bounds, and with the end that belongs there they are whole, and are
/// not whole with a byte less, more, or another one.
pub(crate) fn backup(frames: &[u8]) {
    let mut bytes = [&MAGIC[..], frames].concat();
    let Some(found) = count(&bytes) else {
        return;
    };
    put_end(&mut bytes, found);
    // What is there may end amid a frame, into which the end has gone.
    let Ok(summary) = verify(&bytes) else {
        return;
    };
    assert_eq!(summary, found);
    assert!(verify(&bytes[..bytes.len() - 1]).is_err(), "cut short");
    let longer = [&bytes[..], &[0]].concat();
    assert!(verify(&longer).is_err(), "something follows");
    let at = frames.iter().map(|byte| usize::from(*byte)).sum::<usize>() % bytes.len();
    bytes[at] ^= 1;
    assert!(verify(&bytes).is_err(), "byte {at} is another");
}

fn verify(bytes: &[u8]) -> Result<Summary, BackupError> {
    Reader::open(Cursor::new(bytes))?.verify()
}

/// What is in it before it breaks off.
fn count(bytes: &[u8]) -> Option<Summary> {
    let mut reader = Reader::open(Cursor::new(bytes)).ok()?;
    while let Ok(Some(_)) = reader.next() {}
    Some(reader.found())
}

fn put_end(bytes: &mut Vec<u8>, found: Summary) {
    let mut hasher = format::hasher();
    hasher.update(bytes);
    let Summary {
        cuts,
        entries,
        blobs,
    } = found;
    let hash = *hasher.finalize().as_bytes();
    put(
        bytes,
        Kind::End,
        &End {
            cuts,
            entries,
            blobs,
            hash,
        },
    );
}

fn put<T: Serialize>(bytes: &mut Vec<u8>, kind: Kind, value: &T) {
    format::put_value(bytes, kind, value);
}

/// Frames of a small backup, without what it begins with and its end: what a fuzzer begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let described = Described {
        database: sync_protocol::DatabaseId([1; 32]),
        device: sync_protocol::DeviceKey([2; 32]),
        names: vec!["chat".to_owned(), "talk".to_owned()],
    };
    let mut about = Vec::new();
    put(&mut about, Kind::About, &described);
    let mut whole = about.clone();
    format::put_frame(&mut whole, Kind::Blob, &[&[3; 32], b"first part"]);
    format::put_frame(&mut whole, Kind::Blob, &[&[3; 32], b"second part"]);
    format::put_frame(&mut whole, Kind::Entry, &[b"an entry"]);
    format::put_frame(&mut whole, Kind::Cut, &[b"a cut"]);
    format::put_frame(&mut whole, Kind::Entry, &[b"an entry of the tail"]);
    vec![about, whole]
}
