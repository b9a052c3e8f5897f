//! A directory and memory keep the same promises.

use std::fs;

use sync_protocol::{BlobHash, DatabaseId};

use super::{ACCOUNT, account, call, chain, rows_of, schema, settle};
use crate::limits::LOG_CACHE_BYTES;
use crate::{DirDisk, Disk, Log, MemoryDisk, State, StateOptions, StoreError};

const ONE: DatabaseId = DatabaseId([1; 32]);
const TWO: DatabaseId = DatabaseId([2; 32]);

fn keeps_its_promises(disk: &dyn Disk) {
    assert_eq!(disk.databases().expect("readable"), []);
    let entries = chain(3);
    for database in [TWO, ONE] {
        let mut log =
            Log::open(disk.log(&database).expect("writable"), LOG_CACHE_BYTES).expect("it opens");
        log.append(&entries).expect("writable");
        let base = disk.base(&database).expect("writable");
        let state = State::open(base, schema(), StateOptions::default()).expect("it opens");
        let (mut state, _) = call(state, 1, |call| {
            call.insert(ACCOUNT, &account(1, "a", 0, 5))
                .expect("it fits");
        });
        settle(&mut state, 1, 0);
    }
    assert_eq!(disk.databases().expect("readable"), [ONE, TWO]);
    let log = Log::open(disk.log(&ONE).expect("readable"), LOG_CACHE_BYTES).expect("it opens");
    assert_eq!(log.entries_len().expect("readable"), 3);
    let base = disk.base(&ONE).expect("readable");
    let state = State::open(base, schema(), StateOptions::default()).expect("it opens");
    assert_eq!(rows_of(&state, ACCOUNT).len(), 1);
    drop((log, state));
    let spare = disk.spare_base(&ONE).expect("writable");
    drop(State::open(spare, schema(), StateOptions::default()).expect("it opens"));
    let base = disk.base(&ONE).expect("readable");
    let state = State::open(base, schema(), StateOptions::default()).expect("it opens");
    assert_eq!(rows_of(&state, ACCOUNT).len(), 1, "the first is untouched");
    drop(state);
    // Made a second time it is empty again.
    drop(disk.spare_base(&ONE).expect("writable"));
    let spare = disk.spare_base(&ONE).expect("writable");
    assert_eq!(spare.len().expect("readable"), 0);
    drop(State::open(spare, schema(), StateOptions::default()).expect("it opens"));
    disk.use_spare_base(&ONE).expect("writable");
    let base = disk.base(&ONE).expect("readable");
    let state = State::open(base, schema(), StateOptions::default()).expect("it opens");
    assert_eq!(
        rows_of(&state, ACCOUNT).len(),
        0,
        "the second took its place"
    );
    drop(state);
    assert!(disk.use_spare_base(&ONE).is_err(), "there is none any more");
    for text in ["one", "two"] {
        disk.put_dump(&ONE, "dump-7", "rows.txt", text)
            .expect("writable");
    }
    disk.remove(&ONE).expect("writable");
    disk.remove(&ONE).expect("gone already");
    assert_eq!(disk.databases().expect("readable"), [TWO]);

    let blob = b"a module".repeat(1_000);
    let hash = disk.put_blob(&blob).expect("writable");
    assert_eq!(hash, BlobHash::of(&blob));
    assert_eq!(disk.put_blob(&blob).expect("it is there"), hash);
    assert_eq!(disk.blob(&hash).expect("readable"), Some(blob.clone()));
    assert_eq!(disk.blob_len(&hash).expect("readable"), Some(8_000));
    let part = |offset, len| disk.blob_part(&hash, offset, len).expect("readable");
    assert_eq!(part(7_990, 4), Some(blob[7_990..7_994].to_vec()));
    assert_eq!(part(7_990, 100), Some(blob[7_990..].to_vec()));
    assert_eq!(part(9_000, 100), Some(vec![]));
    let nowhere = BlobHash::of(b"something else");
    assert_eq!(disk.blob(&nowhere).expect("readable"), None);
    assert_eq!(disk.blob_len(&nowhere).expect("readable"), None);
    assert_eq!(disk.blob_part(&nowhere, 0, 1).expect("readable"), None);
    keeps_partial_blobs(disk);
}

fn keeps_partial_blobs(disk: &dyn Disk) {
    let (one, two) = (BlobHash([3; 32]), BlobHash([2; 32]));
    assert_eq!(disk.partials().expect("readable"), []);
    assert_eq!(disk.partial(&one).expect("readable"), None);
    disk.write_partial(&one, 0, b"abc").expect("writable");
    disk.write_partial(&one, 3, b"def").expect("writable");
    disk.write_partial(&two, 0, b"x").expect("writable");
    assert!(
        disk.write_partial(&one, 7, b"h").is_err(),
        "a gap must fail, not invent zeros"
    );
    assert_eq!(disk.partials().expect("readable"), [(two, 1), (one, 6)]);
    let partial = disk.partial(&one).expect("readable");
    assert_eq!(partial.as_deref(), Some(&b"abcdef"[..]));
    disk.write_partial(&one, 2, b"C").expect("writable");
    let partial = disk.partial(&one).expect("readable");
    assert_eq!(partial.as_deref(), Some(&b"abC"[..]), "the rest is cut off");
    assert_eq!(disk.blob(&one).expect("readable"), None, "not a blob yet");
    disk.remove_partial(&one).expect("writable");
    disk.remove_partial(&one).expect("gone already");
    assert_eq!(disk.partials().expect("readable"), [(two, 1)]);
    disk.remove_partial(&two).expect("writable");
}

fn backend_keeps_its_promises(disk: &dyn Disk) {
    let file = disk.base(&ONE).expect("writable");
    assert_eq!(file.len().expect("readable"), 0);
    file.set_len(8).expect("writable");
    file.write(2, b"abc").expect("writable");
    let mut bytes = [9; 8];
    file.read(0, &mut bytes).expect("readable");
    assert_eq!(&bytes, b"\0\0abc\0\0\0");
    assert!(
        file.read(7, &mut [0; 2]).is_err(),
        "past the end must fail, not invent zeros"
    );
    file.set_len(4).expect("writable");
    file.set_len(6).expect("writable");
    file.read(0, &mut bytes[..6]).expect("readable");
    assert_eq!(
        &bytes[..6],
        b"\0\0ab\0\0",
        "what was cut off is zero when it comes back"
    );
    file.sync_data().expect("writable");
}

#[test]
fn memory() {
    keeps_its_promises(&MemoryDisk::new());
    backend_keeps_its_promises(&MemoryDisk::new());
}

#[test]
fn directory() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    keeps_its_promises(&DirDisk::open(dir.path()).expect("writable"));
    keeps_after_opening_again(dir.path());
    let dir = tempfile::tempdir().expect("a scratch directory");
    backend_keeps_its_promises(&DirDisk::open(dir.path()).expect("writable"));
}

fn keeps_after_opening_again(dir: &std::path::Path) {
    let blobs = dir.join("blobs");
    let hash = BlobHash::of(&b"a module".repeat(1_000));
    let whole = blobs.join(hash.to_string());
    fs::write(blobs.join("unfinished-blob"), b"half").expect("writable");
    fs::create_dir(dir.join("databases/unfinished-x")).expect("writable");
    fs::write(dir.join("databases/unfinished-x/log.redb"), b"").expect("writable");
    fs::create_dir(dir.join("databases/somebody-elses")).expect("writable");
    let disk = DirDisk::open(dir).expect("writable");
    assert_eq!(disk.databases().expect("readable"), [TWO]);
    assert!(
        !blobs.join("unfinished-blob").exists(),
        "what a crash left is cleared away"
    );
    assert!(!dir.join("databases/unfinished-x").exists());
    assert!(
        dir.join("databases/somebody-elses").exists(),
        "what is not ours stays"
    );
    fs::write(&whole, b"damaged").expect("writable");
    assert!(matches!(disk.blob(&hash), Err(StoreError::Damaged { .. })));
    disk.put_blob(&b"a module".repeat(1_000)).expect("writable");
    assert!(
        matches!(disk.blob(&hash), Ok(Some(_))),
        "a damaged blob is written again"
    );
}

#[test]
fn a_file_that_is_none_is_refused_politely() {
    let disk = MemoryDisk::new();
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let log = disk.log(&ONE).expect("writable");
    for file in [log.tables, disk.base(&ONE).expect("writable")] {
        file.set_len(garbage.len() as u64).expect("writable");
        file.write(0, &garbage).expect("writable");
    }
    assert!(Log::open(disk.log(&ONE).expect("readable"), LOG_CACHE_BYTES).is_err());
    let base = disk.base(&ONE).expect("readable");
    assert!(State::open(base, schema(), StateOptions::default()).is_err());
    // A log is no base, and a base is no log.
    drop(Log::open(disk.log(&TWO).expect("writable"), LOG_CACHE_BYTES).expect("it opens"));
    let base = disk.log(&TWO).expect("readable").tables;
    assert!(State::open(base, schema(), StateOptions::default()).is_err());
}
