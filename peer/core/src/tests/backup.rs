//! Backups: taken page by page while calls go on, put back elsewhere, and of no use if anything is missing.

use std::io::Cursor;

use data_encoding::HEXLOWER;
use proptest::prelude::*;
use store::{Disk, MemoryDisk, check_log};
use sync_protocol::{DatabaseId, DeviceKey, Now, Tick};

use super::finality::all_final_and_equal;
use super::harness::{Mesh, modules};
use crate::backup::format::{
    Described, End, HEAD_BYTES, Kind, MAGIC, hasher, put_frame, put_value,
};
use crate::backup::{BackupError, BackupPage, Reader, Restored, restore};
use crate::check::{check_database, replay};
use crate::{Reply, Request};

/// The bytes of `the_format_stays`.
const GOLDEN: &str = "746f6d626f6c6f206261636b75702031014b00000001010101010101010101010101010101010101010101010101\
    01010101010101020202020202020202020202020202020202020202020202020202020202020202046368617404\
    74616c6b042600000003030303030303030303030303030303030303030303030303030303030303036120706172\
    740208000000616e20656e747279030500000061206375740208000000746865207461696c052300000001020155\
    03d945060c9cbdfd7807f2a31e1fc932efa5d6b7fc80b46c9699211dae0115";

const NOW: Now = Now {
    tick: Tick(0),
    wall: 0,
};

/// Two members with `calls` calls, the last of which no cut covers.
fn mesh_with(calls: usize, seed: u64) -> Mesh {
    let mut mesh = Mesh::new(2, seed);
    mesh.publish_and_join();
    for n in 0..calls {
        say(&mut mesh, n % 2, &format!("call {n}"));
        if n % 7 == 6 {
            mesh.pass_ms(1_500);
        }
    }
    mesh
}

fn say(mesh: &mut Mesh, at: usize, text: &str) {
    let arguments = format!(r#"["lobby", "{text}"]"#);
    mesh.call(at, "send_message", &arguments).expect("sent");
}

/// Takes a backup; `between` happens between two pages.
fn back_up(mesh: &mut Mesh, at: usize, mut between: impl FnMut(&mut Mesh, usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut cursor = None;
    for page in 0.. {
        let asked = Request::Backup {
            database: "chat".to_owned(),
            cursor,
        };
        let Ok(Reply::BackedUp(BackupPage {
            bytes: more, next, ..
        })) = mesh.ask(at, asked)
        else {
            panic!("a page of the backup");
        };
        bytes.extend(more);
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
        between(mesh, page);
    }
    bytes
}

fn put_back(bytes: &[u8], disk: &MemoryDisk) -> Result<Restored, BackupError> {
    restore(Reader::open(Cursor::new(bytes))?, disk, &mut |_| {})
}

/// Whether log, module, rows and roots of a restored database are sound; up to which cut it goes.
fn prove(disk: &MemoryDisk, database: DatabaseId) -> u64 {
    let bases = disk.clone();
    let height = replay(
        Box::new(disk.clone()),
        Box::new(bases),
        &modules(),
        database,
        NOW,
    )
    .expect("the history runs");
    let found = check_database(disk, &modules(), database, &mut |_, _, _| {}).expect("it is read");
    assert!(found.is_sound(), "{found:?}");
    height
}

#[test]
fn a_backup_holds_cuts_tail_and_module_and_becomes_the_same_database() {
    let mut mesh = mesh_with(20, 5_001);
    let before = mesh.status(0);
    assert!(before.cut.height > 1 && before.tail > 0, "{before:?}");
    let bytes = back_up(&mut mesh, 0, |_, _| {});
    let summary = Reader::open(Cursor::new(&bytes)).unwrap().verify().unwrap();
    assert_eq!(summary.entries, before.entries);
    assert_eq!((summary.cuts, summary.blobs), (before.cut.height + 1, 1));
    let disk = MemoryDisk::new();
    let restored = put_back(&bytes, &disk).expect("it is whole");
    assert_eq!(restored.summary, summary);
    assert_eq!(restored.about.names, ["chat"]);
    assert_eq!(restored.about.device, mesh.device(0));
    assert_eq!(prove(&disk, restored.about.database), before.cut.height);

    // Somebody else's disk: the key is not in it. A member of before who lost all goes on from it.
    let now = mesh.status(0);
    mesh.crash(1);
    mesh.restore(1, &disk);
    mesh.start(1);
    mesh.settle();
    say(&mut mesh, 1, "after it was restored");
    mesh.pass_ms(20_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    assert!(mesh.status(1).entries > now.entries);
    assert_eq!(mesh.rows(1, "SELECT text FROM message").len(), 21);
}

#[test]
fn what_happens_while_it_is_taken_leaves_it_whole() {
    let mut mesh = Mesh::new(2, 5_002);
    mesh.publish_and_join();
    let long = "x".repeat(4_000);
    for n in 0..700 {
        say(&mut mesh, n % 2, &format!("{long}{n}"));
        if n % 110 == 109 {
            mesh.pass_ms(1_500);
        }
    }
    let mut pages = 0;
    let bytes = back_up(&mut mesh, 0, |mesh, page| {
        pages = page + 1;
        say(mesh, page % 2, "meanwhile");
        mesh.pass_ms(1_500);
    });
    assert!(pages >= 2, "{pages} pages came before the last");
    let disk = MemoryDisk::new();
    let restored = put_back(&bytes, &disk).expect("it is whole");
    prove(&disk, restored.about.database);
}

/// A whole one, byte by byte: what was backed up today has to be read by every later version.
#[test]
fn the_format_stays() {
    let mut bytes = MAGIC.to_vec();
    let described = Described {
        database: DatabaseId([1; 32]),
        device: DeviceKey([2; 32]),
        names: vec!["chat".to_owned(), "talk".to_owned()],
    };
    put_value(&mut bytes, Kind::About, &described);
    put_frame(&mut bytes, Kind::Blob, &[&[3; 32], b"a part"]);
    put_frame(&mut bytes, Kind::Entry, &[b"an entry"]);
    put_frame(&mut bytes, Kind::Cut, &[b"a cut"]);
    put_frame(&mut bytes, Kind::Entry, &[b"the tail"]);
    let hash = *hasher().update(&bytes).finalize().as_bytes();
    let end = End {
        cuts: 1,
        entries: 2,
        blobs: 1,
        hash,
    };
    put_value(&mut bytes, Kind::End, &end);
    assert_eq!(HEXLOWER.encode(&bytes), GOLDEN);
    let summary = Reader::open(Cursor::new(&bytes)).unwrap().verify().unwrap();
    assert_eq!((summary.cuts, summary.entries, summary.blobs), (1, 2, 1));
}

#[test]
fn whoever_is_no_owner_gets_none() {
    let mut mesh = mesh_with(3, 5_003);
    let asked = Request::Backup {
        database: "chat".to_owned(),
        cursor: None,
    };
    let refused = mesh.ask_as_stranger(0, asked).expect_err("refused");
    assert_eq!(refused.kind, crate::ErrorKind::Denied);
}

#[test]
fn a_part_is_told_from_the_whole_and_what_was_changed_from_what_was_written() {
    let mut mesh = mesh_with(9, 5_004);
    let bytes = back_up(&mut mesh, 0, |_, _| {});
    let verify = |bytes: &[u8]| Reader::open(Cursor::new(bytes)).and_then(Reader::verify);
    assert!(verify(&bytes).is_ok());
    assert!(matches!(verify(b""), Err(BackupError::NotABackup)));
    assert!(matches!(
        verify(b"tombolo backup 2"),
        Err(BackupError::NotABackup)
    ));
    for len in (16..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let cut_short = verify(&bytes[..len]);
        assert!(
            matches!(cut_short, Err(BackupError::Incomplete)),
            "{len}: {cut_short:?}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(verify(&longer), Err(BackupError::Damaged(_))));
    for at in (0..bytes.len()).step_by(61) {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert!(verify(&changed).is_err(), "byte {at}");
        assert!(put_back(&changed, &MemoryDisk::new()).is_err(), "byte {at}");
    }
}

#[test]
fn entries_that_nobody_signed_are_found() {
    let mut mesh = mesh_with(9, 5_005);
    let bytes = back_up(&mut mesh, 0, |_, _| {});
    let forged = with_last_entry_spoilt(&bytes);
    let disk = MemoryDisk::new();
    let restored = put_back(&forged, &disk).expect("its sum is right");
    let database = restored.about.database;
    let log = || disk.log(&database);
    let (checked, _) = check_log(&log, &database, "name", &mut |_, _, _| {}).expect("it is read");
    assert!(checked.iter().any(|one| !one.is_sound()), "{checked:?}");
}

/// The same backup with a byte of its last entry's signature changed, and its sum made right again.
fn with_last_entry_spoilt(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let (mut at, mut signature, mut end) = (MAGIC.len(), 0, 0);
    while at < bytes.len() {
        let len = u32::from_le_bytes(bytes[at + 1..at + HEAD_BYTES].try_into().unwrap());
        let next = at + HEAD_BYTES + len as usize;
        match Kind::of(bytes[at]) {
            // Behind the header, which has its length before it.
            Some(Kind::Entry) => {
                let entry = at + HEAD_BYTES;
                let header = u16::from_le_bytes([bytes[entry], bytes[entry + 1]]);
                signature = entry + 2 + usize::from(header);
            }
            Some(Kind::End) => end = at,
            _ => {}
        }
        at = next;
    }
    changed[signature] ^= 1;
    let mut hasher = hasher();
    hasher.update(&changed[..end]);
    let hash = changed.len() - 32;
    changed[hash..].copy_from_slice(hasher.finalize().as_bytes());
    changed
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_harm(tail in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = b"tombolo backup 1".to_vec();
        bytes.extend(tail);
        prop_assert!(Reader::open(Cursor::new(bytes)).and_then(Reader::verify).is_err());
    }
}
