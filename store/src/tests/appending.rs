//! Entries whose writing is begun and waited for later.

use super::crash::{crash_everywhere, open_log};
use super::{chain, cut};
use crate::{Aside, Log, MemoryDisk, StoreError};

/// A log whose entries are written so.
fn open_aside(disk: &MemoryDisk, aside: Aside) -> Log {
    let mut log = open_log(disk).expect("it opens");
    log.set_aside(aside);
    log
}

#[test]
fn what_is_begun_is_durable_once_it_is_settled() {
    let entries = chain(40);
    for aside in [Aside::Never, Aside::Thread, Aside::AtLook(3)] {
        let disk = MemoryDisk::new();
        let mut log = open_aside(&disk, aside);
        log.begin_append(entries[..20].to_vec()).expect("begun");
        // The second waits for the first; one entry comes once more.
        log.begin_append(entries[19..].to_vec()).expect("begun");
        log.begin_append(Vec::new()).expect("nothing to do");
        log.settle().expect("written");
        disk.crash();
        drop(log);
        let log = open_log(&disk).expect("it opens");
        assert_eq!(log.entries_len().expect("readable"), 40, "{aside:?}");
        assert_eq!(log.tail().expect("readable").len(), 40, "{aside:?}");
    }
}

#[test]
fn whatever_is_asked_waits_for_what_is_begun() {
    let entries = chain(20);
    for aside in [Aside::Thread, Aside::AtLook(9)] {
        let disk = MemoryDisk::new();
        let mut log = open_aside(&disk, aside);
        log.put_cut(&cut(0, &[]), &[]).expect("written");
        log.begin_append(entries[..16].to_vec()).expect("begun");
        assert!(log.holds(&entries[15].id).expect("readable"));
        log.begin_append(entries[16..].to_vec()).expect("begun");
        let segment = entries.iter().map(|entry| &**entry.stub());
        log.put_cut_of_tail(&cut(1, &entries), segment)
            .expect("all are there");
        assert_eq!(log.last_height().expect("readable"), Some(1));
    }
}

#[test]
fn what_appending_cannot_change_is_asked_without_waiting() {
    let entries = chain(20);
    let disk = MemoryDisk::new();
    let mut log = open_aside(&disk, Aside::AtLook(9));
    log.append(&entries[..1]).expect("written");
    let first = [entries[0].clone()];
    log.put_cut(&cut(0, &first), &first).expect("written");
    log.put_note("name", b"chat").expect("written");
    log.begin_append(entries[1..10].to_vec()).expect("begun");
    log.begin_append(entries[10..].to_vec()).expect("begun");
    assert_eq!(log.last_height().expect("readable"), Some(0));
    let covered = |at: usize| log.final_entry(&entries[at].id).expect("readable");
    assert!(covered(0).is_some() && covered(1).is_none());
    assert!(log.note("name").expect("readable").is_some());
    // Nobody has waited for anything so far, so none of it has been written.
    disk.fail_after(0);
    assert!(log.cut_id(0).expect("still readable").is_some());
    assert!(log.settle().is_err());
}

#[test]
fn what_nobody_waited_for_is_there_or_not() {
    let entries = chain(20);
    let disk = MemoryDisk::new();
    let mut log = open_aside(&disk, Aside::AtLook(1));
    log.append(&entries[..2]).expect("written");
    log.begin_append(entries[2..].to_vec()).expect("begun");
    drop(log);
    let log = open_log(&disk).expect("it opens");
    assert_eq!(log.entries_len().expect("readable"), 2);
    drop(log);

    // A thread has the file open: it ends before another can open it.
    let mut log = open_aside(&disk, Aside::Thread);
    log.begin_append(entries[2..].to_vec()).expect("begun");
    drop(log);
    let log = open_log(&disk).expect("it opens");
    assert_eq!(log.entries_len().expect("readable"), 20);
}

#[test]
fn what_could_not_be_written_is_said_until_the_log_is_opened_again() {
    let entries = chain(20);
    for aside in [Aside::Thread, Aside::AtLook(1)] {
        let disk = MemoryDisk::new();
        let mut log = open_aside(&disk, aside);
        log.append(&entries[..1]).expect("written");
        disk.fail_after(0);
        log.begin_append(entries[1..].to_vec()).expect("begun");
        assert!(log.holds(&entries[0].id).is_err(), "{aside:?}");
        disk.crash();
        let again = [
            log.settle(),
            log.append(&entries[1..]),
            log.begin_append(entries[1..].to_vec()),
            log.put_note("name", b"chat"),
        ];
        for told in again {
            assert!(
                matches!(told, Err(StoreError::NotAppended { .. })),
                "{aside:?}: {told:?}"
            );
        }
        drop(log);
        let mut log = open_log(&disk).expect("it opens");
        assert_eq!(log.entries_len().expect("readable"), 1);
        log.append(&entries[1..]).expect("the power is back");
    }
}

#[test]
fn a_crash_leaves_all_of_what_was_begun_or_nothing() {
    let entries = chain(8);
    let work = |disk: &MemoryDisk| {
        let mut log = open_log(disk)?;
        log.set_aside(Aside::AtLook(1));
        log.begin_append(entries[..3].to_vec())?;
        log.begin_append(entries[3..].to_vec())?;
        log.settle()
    };
    crash_everywhere(MemoryDisk::new, work, |disk, done| {
        let log = open_log(disk).expect("it opens");
        let held = log.entries_len().expect("readable");
        assert_eq!(log.tail().expect("readable").len() as u64, held);
        assert!([0, 3, 8].contains(&held));
        assert!(!done || held == 8);
    });
}
