//! Cuts in the journal: what they cover takes its place in the tables later, and nobody sees a difference.

use std::sync::Arc;

use sync_protocol::Entry;

use super::crash::{crash_everywhere, open_log};
use super::{DATABASE, chain, cut};
use crate::log::frames::{Found, cut_frame, read_frames};
use crate::log::journal::HALF_BYTES;
use crate::log::logged_cut::LoggedCut;
use crate::{Aside, Disk, Log, MemoryDisk, StoreError};

fn put(log: &mut Log, height: u64, segment: &[Arc<Entry>]) -> Result<(), StoreError> {
    let stubs = segment.iter().map(|entry| &**entry.stub());
    log.put_cut_of_tail(&cut(height, segment), stubs)
}

/// What is asked of a log about a cut.
fn seen(log: &Log, height: u64, segment: &[Arc<Entry>]) -> String {
    let finals = segment.iter().map(|entry| log.final_entry(&entry.id));
    let finals: Result<Vec<_>, _> = finals.collect();
    let facts = (
        log.last_height(),
        log.last_cut(),
        log.cut(height),
        log.cut_id(height),
        finals,
    );
    format!("{facts:?}")
}

#[test]
fn a_frame_of_a_cut() {
    let entries = chain(2);
    let (cut, stubs) = (
        cut(7, &entries),
        entries.iter().map(|entry| &**entry.stub()),
    );
    let frame = cut_frame(&LoggedCut::new(&cut, stubs));
    let body = cut.encoded().len() + 4 + 64;
    assert_eq!(
        frame[16..20],
        u32::try_from(body).expect("short").to_le_bytes()
    );
    assert_eq!(frame[20..32], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&frame[36..36 + cut.encoded().len()], &**cut.encoded());
    assert_eq!(frame[32 + body - 32..32 + body], entries[1].id.0);
    let mut found = Found::default();
    read_frames(&frame, &mut found).expect("it is one");
    let (read, covers) = found.cuts.pop().expect("it is one");
    assert_eq!(read.id(), cut.id());
    assert_eq!(
        covers,
        entries.iter().map(|entry| entry.id).collect::<Vec<_>>()
    );
}

#[test]
fn a_cut_is_seen_alike_before_and_after_it_has_come_into_the_tables() {
    let entries = chain(30);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    put(&mut log, 0, &[]).expect("memory");
    log.append(&entries).expect("memory");
    put(&mut log, 1, &entries[..10]).expect("memory");
    put(&mut log, 1, &entries[..10]).expect("it is there");
    put(&mut log, 2, &entries[10..20]).expect("memory");
    assert!(matches!(
        put(&mut log, 9, &[]),
        Err(StoreError::CutOutOfTurn {
            height: 9,
            expected: 3
        })
    ));
    let before: Vec<_> = (0..3).map(|height| seen(&log, height, &entries)).collect();
    drop(log.merged().expect("memory"));
    let after: Vec<_> = (0..3).map(|height| seen(&log, height, &entries)).collect();
    assert_eq!(before, after);
    assert_eq!(log.tail().expect("memory").len(), 10);
    let (segment, more) = log.segment(2, 0, usize::MAX).expect("memory");
    assert_eq!((segment.len(), more), (10, false));
    drop(log);
    let log = open_log(&disk).expect("it opens");
    let opened: Vec<_> = (0..3).map(|height| seen(&log, height, &entries)).collect();
    assert_eq!(opened, after);
}

/// Both halves hold entries and cuts; the power fails at each write, those of a merge aside too.
#[test]
fn the_power_fails_while_cuts_are_in_both_halves() {
    let entries = chain(1_400);
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        log.append(&entries[..300]).expect("memory");
        put(&mut log, 0, &entries[..200]).expect("memory");
        log.append(&entries[300..500]).expect("memory");
        disk.crash();
        drop(log);
        disk
    };
    for aside in [Aside::Never, Aside::AtLook(2), Aside::AtLook(9)] {
        let work = |disk: &MemoryDisk| -> Result<(), StoreError> {
            let mut log = open_log(disk)?;
            log.set_aside(aside);
            log.append(&entries[500..1_200])?;
            put(&mut log, 1, &entries[200..800])?;
            // These are too many for what is left of the half.
            log.append(&entries[1_200..])?;
            put(&mut log, 2, &entries[800..1_300])?;
            let turned = disk.log(&DATABASE)?.journal;
            let mut second = [0; 64];
            turned.read(HALF_BYTES as u64, &mut second).expect("memory");
            assert_ne!(second, [0; 64], "the second half is written to");
            Ok(())
        };
        crash_everywhere(prepare, work, |disk, done| {
            let log = open_log(disk).expect("it opens");
            let held = log.entries_len().expect("memory");
            let cuts = log
                .last_height()
                .expect("memory")
                .expect("one was prepared");
            let covered = [200, 800, 1_300][cuts as usize];
            assert_eq!(log.tail().expect("memory").len() as u64, held - covered);
            let (segment, _) = log.segment(cuts, 0, usize::MAX).expect("memory");
            assert!(!segment.is_empty());
            assert!(!done || (held, cuts) == (1_400, 2), "{held} {cuts}");
        });
    }
}

/// What was taken back does not come again from the journal.
#[test]
fn the_power_fails_while_a_log_goes_back() {
    let entries = chain(40);
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        put(&mut log, 0, &[]).expect("memory");
        log.append(&entries).expect("memory");
        put(&mut log, 1, &entries[..20]).expect("memory");
        put(&mut log, 2, &entries[20..30]).expect("memory");
        disk.crash();
        drop(log);
        disk
    };
    let work = |disk: &MemoryDisk| -> Result<(), StoreError> {
        let mut log = open_log(disk)?;
        log.append(&entries[39..])?;
        log.retreat(0, &[], "again")?;
        put(&mut log, 1, &entries[..5])
    };
    crash_everywhere(prepare, work, |disk, done| {
        let log = open_log(disk).expect("it opens");
        let last = log.last_height().expect("memory");
        let tail = log.tail().expect("memory").len();
        let is_back = log.note("again").expect("memory").is_some();
        let expected: &[_] = match is_back {
            true => &[(Some(0), 40), (Some(1), 35)],
            false => &[(Some(2), 10)],
        };
        assert!(expected.contains(&(last, tail)), "{last:?} {tail}");
        assert!(!done || (last, tail) == (Some(1), 35));
    });
}

#[test]
fn a_cut_too_long_for_the_journal_comes_into_the_tables() {
    let entries = chain(8_300);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries).expect("memory");
    put(&mut log, 0, &entries).expect("memory");
    let mut file = vec![0; 64];
    let journal = disk.log(&DATABASE).expect("memory").journal;
    let len = journal.len().expect("memory").min(64) as usize;
    journal.read(0, &mut file[..len]).expect("memory");
    assert_eq!(file, [0; 64]);
    disk.crash();
    drop(log);
    let log = open_log(&disk).expect("it opens");
    assert_eq!(log.last_height().expect("memory"), Some(0));
    assert!(log.tail().expect("memory").is_empty());
}

#[test]
fn a_cut_over_what_is_not_there_is_damage() {
    let entries = chain(3);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries[..2]).expect("memory");
    put(&mut log, 0, &entries).expect("it is looked at later");
    let error = log.merged().err().expect("it is looked at now");
    assert!(error.to_string().contains("is missing"), "{error}");
    assert!(
        log.append(&entries[2..]).is_err(),
        "nothing is written any more"
    );
}
