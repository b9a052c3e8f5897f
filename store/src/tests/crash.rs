//! A crash at any write leaves the state before or after, never between.

use sync_protocol::{EntryId, StateRoot};

use super::{
    ACCOUNT, DATABASE, MEMBER, NOTE, account, call, chain, cut, note, open, position, rows_of,
    schema, settle, text, write,
};
use crate::limits::LOG_CACHE_BYTES;
use crate::{Disk, Kept, Log, MemoryDisk, State, StateOptions, StoreError};

/// How a crash treats a write that was not synced, by its number and bytes.
pub(super) type Keep = fn(u64, usize) -> Kept;

/// Bytes that a disk writes as one.
const SECTOR_BYTES: usize = 512;

/// None, all, every second one, all but every second one, the first few, each in part, and a mixture
/// of all: a disk may do any of these.
pub(super) const KEEPS: [Keep; 7] = [
    |_, _| Kept::Nothing,
    |_, _| Kept::Whole,
    |n, _| whole(n % 2 == 0),
    |n, _| whole(n % 2 == 1),
    |n, _| whole(n < 3),
    |n, bytes| torn(n, bytes),
    |n, bytes| match n % 3 {
        0 => Kept::Nothing,
        1 => torn(n, bytes),
        _ => Kept::Whole,
    },
];

fn whole(kept: bool) -> Kept {
    if kept { Kept::Whole } else { Kept::Nothing }
}

/// Some of the write's sectors, or all or nothing where it has but one.
fn torn(n: u64, bytes: usize) -> Kept {
    match bytes / SECTOR_BYTES {
        0 | 1 => whole(n.is_multiple_of(2)),
        sectors => Kept::First((1 + n as usize % (sectors - 1)) * SECTOR_BYTES),
    }
}

/// Runs `work` on a copy of what `prepare` makes, cut off after every possible number of writes,
/// and hands what is left to `check` with whether `work` was done.
pub(super) fn crash_everywhere(
    prepare: impl Fn() -> MemoryDisk,
    work: impl Fn(&MemoryDisk) -> Result<(), StoreError>,
    check: impl Fn(&MemoryDisk, bool),
) {
    let mut cut_off = 0;
    for keep in KEEPS {
        for count in 0.. {
            let disk = prepare();
            disk.fail_after(count);
            let done = work(&disk).is_ok();
            disk.crash_tearing(keep);
            check(&disk, done);
            if done {
                break;
            }
            cut_off += 1;
        }
    }
    assert!(
        cut_off > KEEPS.len() * 3,
        "the work was cut off at several places"
    );
}

pub(super) fn try_open(disk: &MemoryDisk) -> Result<State, StoreError> {
    State::open(disk.base(&DATABASE)?, schema(), StateOptions::default())
}

pub(super) fn open_log(disk: &MemoryDisk) -> Result<Log, StoreError> {
    Log::open(disk.log(&DATABASE)?, LOG_CACHE_BYTES)
}

#[test]
fn making_a_base_and_a_log() {
    crash_everywhere(
        MemoryDisk::new,
        |disk| {
            try_open(disk)?;
            open_log(disk).map(|_| ())
        },
        |disk, _| {
            assert_eq!(open(disk).height(), None);
            assert_eq!(
                open_log(disk)
                    .expect("it opens")
                    .entries_len()
                    .expect("readable"),
                0
            );
        },
    );
}

/// A start after a crash may be cut off by the next one, wherever it is.
#[test]
fn opening_what_a_crash_left() {
    for count in [1, 3, 40] {
        let entries = chain(count);
        let prepare = || {
            let disk = MemoryDisk::new();
            let mut log = open_log(&disk).expect("memory");
            let state = try_open(&disk).expect("memory");
            for entry in &entries {
                log.append(std::slice::from_ref(entry)).expect("memory");
            }
            log.put_cut(&cut(0, &entries[..1]), &entries[..1])
                .expect("memory");
            let mut state = filled(state, 1, 1..40);
            settle(&mut state, 1, 0);
            disk.crash();
            drop((log, state));
            disk
        };
        let work = |disk: &MemoryDisk| {
            try_open(disk)?;
            open_log(disk)?.entries_len().map(|_| ())
        };
        crash_everywhere(prepare, work, |disk, _| {
            let held = open_log(disk).expect("it opens").entries_len();
            assert_eq!(held.expect("readable"), count);
            assert_eq!(try_open(disk).expect("it opens").height(), Some(0));
        });
    }
}

pub(super) fn filled(state: State, n: u64, ids: std::ops::Range<u32>) -> State {
    let (state, _) = call(state, n, |call| {
        for id in ids {
            call.insert(ACCOUNT, &account(id, &format!("n{id}"), 0, 1))
                .expect("it fits");
            call.insert(NOTE, &note(1, &"x".repeat(id as usize)))
                .expect("it fits");
        }
        call.clear(MEMBER).expect("small");
    });
    state
}

#[test]
fn settling() {
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut state = filled(open(&disk), 1, 1..40);
        settle(&mut state, 1, 0);
        disk
    };
    let plan = |state: &State| {
        let member = write(MEMBER, [&[1][..], &text("owner")].concat());
        state.plan_settle(Some(&position(2)), vec![member])
    };
    let settle = |disk: &MemoryDisk| -> Result<(StateRoot, StateRoot), StoreError> {
        let mut state = try_open(disk)?;
        let before = state.final_root();
        state = filled(state, 2, 40..120);
        let (mut state, _) = call(state, 3, |call| {
            call.clear(NOTE).expect("small");
        });
        let settlement = plan(&state)?;
        let after = settlement.root;
        state.settle(settlement, 1)?;
        assert_eq!(rows_of(&state, NOTE), [], "what came later is still above");
        Ok((before, after))
    };
    let (before, after) = settle(&prepare()).expect("nothing fails");
    crash_everywhere(
        prepare,
        |disk| settle(disk).map(|_| ()),
        |disk, done| {
            let state = open(disk);
            let notes = rows_of(&state, NOTE).len();
            let counted = state.row_count(NOTE).expect("known");
            assert_eq!(notes as u64, counted);
            if state.height() == Some(0) {
                assert!(!done, "what was written stays");
                assert_eq!((state.root().expect("readable"), notes), (before, 39));
            } else {
                assert_eq!(state.height(), Some(1));
                assert_eq!((state.root().expect("readable"), notes), (after, 119));
                assert_eq!(rows_of(&state, MEMBER).len(), 1);
            }
        },
    );
}

#[test]
fn appending_and_cutting() {
    let entries = chain(6);
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("it opens");
        log.append(&entries[..2]).expect("nothing fails");
        log.put_cut(&cut(0, &entries[..1]), &entries[..1])
            .expect("nothing fails");
        disk
    };
    let work = |disk: &MemoryDisk| {
        let mut log = open_log(disk)?;
        log.append(&entries[2..4])?;
        // Two of the segment are in the log already, the last is not.
        log.put_cut(&cut(1, &entries[1..5]), &entries[1..5])
    };
    crash_everywhere(prepare, work, |disk, done| {
        let log = open_log(disk).expect("it opens");
        let held = log.entries_len().expect("readable");
        let height = log
            .last_height()
            .expect("readable")
            .expect("the first cut is there");
        let tail = log.tail().expect("readable").len();
        match (held, height, tail) {
            (2, 0, 1) | (4, 0, 3) => assert!(!done, "what was written stays"),
            (5, 1, 0) => {
                let (segment, more) = log.segment(1, 0, usize::MAX).expect("readable");
                let encoded: Vec<Vec<u8>> = entries[1..5]
                    .iter()
                    .map(|entry| entry.encoded().to_vec())
                    .collect();
                assert_eq!((segment, more), (encoded, false));
            }
            other => panic!("neither before nor after: {other:?}"),
        }
    });
}

#[test]
fn a_failed_settlement_stops_the_state() {
    let disk = MemoryDisk::new();
    let mut state = filled(open(&disk), 1, 1..3);
    let settlement = state
        .plan_settle(Some(&position(1)), Vec::new())
        .expect("readable");
    disk.fail_after(0);
    assert!(state.settle(settlement, 0).is_err());
    disk.crash();
    drop(state);
    assert_eq!(open(&disk).height(), None);
}

#[test]
fn a_log_remembers() {
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("it opens");
    let entries = chain(5);
    assert_eq!(log.last_cut().expect("readable"), None);
    log.append(&entries).expect("nothing fails");
    log.append(&entries).expect("they are there already");
    log.append(&[]).expect("nothing to do");
    let (first, second) = (cut(0, &[]), cut(1, &entries[..3]));
    let early = log.put_cut(&second, &entries[..3]);
    assert!(matches!(
        early,
        Err(StoreError::CutOutOfTurn {
            height: 1,
            expected: 0
        })
    ));
    log.put_cut(&first, &[]).expect("nothing fails");
    log.put_cut(&second, &entries[..3]).expect("nothing fails");
    log.put_cut(&second, &entries[..3])
        .expect("it is there already");
    log.put_note("name", b"chat").expect("nothing fails");
    drop(log);
    disk.crash();

    let mut log = open_log(&disk).expect("it opens");
    assert_eq!(log.entries_len().expect("readable"), 5);
    let encoded = |n: usize| entries[n].encoded().to_vec();
    assert_eq!(
        log.entry(&entries[4].id).expect("readable"),
        Some(encoded(4))
    );
    assert!(log.holds(&entries[4].id).expect("readable"));
    assert_eq!(log.entry(&EntryId([9; 32])).expect("readable"), None);
    assert_eq!(log.tail().expect("readable"), [encoded(3), encoded(4)]);
    assert_eq!(
        log.cut(0).expect("readable"),
        Some(first.encoded().to_vec())
    );
    assert_eq!(log.cut_id(1).expect("readable"), Some(second.id()));
    assert_eq!(log.cut_id(2).expect("readable"), None);
    assert_eq!(
        log.last_cut().expect("readable"),
        Some(second.encoded().to_vec())
    );
    let last = log
        .final_entry(&entries[2].id)
        .expect("readable")
        .expect("it is final");
    assert_eq!(
        (last.seq, last.epoch, last.height, last.base_height),
        (2, 5, 1, 0)
    );
    assert_eq!(last.last_time, entries[2].last_time());
    assert_eq!(last.author, entries[2].header.author);
    assert_eq!(log.final_entry(&entries[3].id).expect("readable"), None);
    let small = log.segment(1, 0, 1).expect("readable");
    assert_eq!(
        small,
        (vec![encoded(0)], true),
        "at least one, however small the bound"
    );
    let rest = log.segment(1, 1, 1_000_000).expect("readable");
    assert_eq!(rest, (vec![encoded(1), encoded(2)], false));
    assert_eq!(log.segment(7, 0, 1).expect("readable"), (vec![], false));
    assert_eq!(
        log.note("name").expect("readable").as_deref(),
        Some(&b"chat"[..])
    );
    assert_eq!(log.note("nothing").expect("readable"), None);
    let other = log.put_cut(&cut(1, &entries[..2]), &entries[..2]);
    assert!(matches!(
        other,
        Err(StoreError::CutOutOfTurn {
            height: 1,
            expected: 2
        })
    ));
}
