//! Going back to an earlier cut: in one step, and without losing an entry.

use super::{DATABASE, chain, cut};
use crate::{Disk, Log, MemoryDisk, StoreError};

const NOTE: &str = "rebuild";

fn open_log(disk: &MemoryDisk) -> Result<Log, StoreError> {
    Log::open(disk.log(&DATABASE)?, crate::limits::LOG_CACHE_BYTES)
}

/// Two entries final at cut 1, two at cut 2, one in the tail.
fn written(disk: &MemoryDisk) -> Log {
    let entries = chain(5);
    let mut log = open_log(disk).expect("it opens");
    log.append(&entries).expect("writable");
    log.put_cut(&cut(0, &[]), &[]).expect("writable");
    log.put_cut(&cut(1, &entries[..2]), &entries[..2])
        .expect("writable");
    log.put_cut(&cut(2, &entries[2..4]), &entries[2..4])
        .expect("writable");
    log
}

fn check(log: &Log, went_back: bool) {
    let entries = chain(5);
    let encoded = |range: std::ops::Range<usize>| -> Vec<Vec<u8>> {
        let of = entries[range].iter();
        of.map(|entry| entry.encoded().to_vec()).collect()
    };
    let pledged = cut(2, &entries[2..3]);
    let (height, tail, pledge) = if went_back {
        (1, encoded(2..5), vec![pledged.encoded().to_vec()])
    } else {
        (2, encoded(4..5), vec![])
    };
    assert_eq!(log.last_height().expect("readable"), Some(height));
    assert_eq!(log.tail().expect("readable"), tail);
    assert_eq!(log.pledge().expect("readable"), pledge);
    assert_eq!(log.note(NOTE).expect("readable").is_some(), went_back);
    assert_eq!(log.entries_len().expect("readable"), 5);
    let (segment, _) = log.segment(1, 0, 1_000_000).expect("readable");
    assert_eq!(segment, encoded(0..2));
    let (segment, _) = log.segment(2, 0, 1_000_000).expect("readable");
    assert_eq!(segment.is_empty(), went_back);
    let last = log.final_entry(&entries[3].id).expect("readable");
    assert_eq!(last.is_none(), went_back);
}

#[test]
fn what_later_cuts_covered_is_in_the_tail_again_wherever_the_power_fails() {
    let pledged = cut(2, &chain(5)[2..3]);
    let mut went_back = Vec::new();
    for fails_after in 0.. {
        let disk = MemoryDisk::new();
        let mut log = written(&disk);
        disk.fail_after(fails_after);
        let retreated = log.retreat(1, std::slice::from_ref(&pledged), NOTE);
        drop(log);
        disk.crash();
        let log = open_log(&disk).expect("it opens");
        let back = log.last_height().expect("readable") == Some(1);
        check(&log, back);
        went_back.push(back);
        if retreated.is_ok() {
            assert!(back, "what it said it did, it did");
            break;
        }
    }
    assert!(went_back.is_sorted() && !went_back[0] && went_back.len() > 2);
}

#[test]
fn the_log_goes_on_from_where_it_went_back_to() {
    let disk = MemoryDisk::new();
    let entries = chain(5);
    let mut log = written(&disk);
    log.retreat(1, &[], NOTE).expect("writable");
    let early = log.put_cut(&cut(3, &[]), &[]);
    assert!(matches!(
        early,
        Err(StoreError::CutOutOfTurn { expected: 2, .. })
    ));
    log.put_cut(&cut(2, &entries[2..3]), &entries[2..3])
        .expect("writable");
    assert_eq!(log.tail().expect("readable").len(), 2);
    log.drop_pledge().expect("writable");
    log.drop_note(NOTE).expect("writable");
    log.drop_note(NOTE).expect("it is gone already");
    assert_eq!(log.note(NOTE).expect("readable"), None);
    assert!(log.pledge().expect("readable").is_empty());
}
