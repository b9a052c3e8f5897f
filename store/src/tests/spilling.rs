//! A tail that is too long for memory: what is moved to the spill file, the file's bytes, and what
//! is left of it.

use sync_protocol::StateRoot;

use super::{
    ACCOUNT, DATABASE, NOTE, account, call, note, open, position, rows_of, schema, settle,
};
use crate::limits::{OVERLAY_BYTES_MAX, OVERLAY_COMMITS_MAX};
use crate::overlay::Row;
use crate::spill_record::{Record, read_newest, read_value, write_newest, write_value};
use crate::versions::Version;
use crate::{DirDisk, Disk, MemoryDisk, OverlayBudget, State, StateOptions, StoreError};

/// The overlay may hold this many calls.
const ROOM: OverlayBudget = OverlayBudget {
    bytes: usize::MAX,
    commits: 8,
};

fn try_open(disk: &dyn Disk, budget: OverlayBudget) -> Result<State, StoreError> {
    let base = disk.base(&DATABASE)?;
    let state = State::open(base, schema(), StateOptions::default())?;
    Ok(state.spilling_to(disk.spill(&DATABASE)?, budget))
}

fn spilling(disk: &MemoryDisk, budget: OverlayBudget) -> State {
    try_open(disk, budget).expect("the state opens")
}

/// Call `n` writes an account of its own and one that all calls write.
fn write(state: State, n: u64) -> State {
    let own = account(u32::try_from(n).expect("small") + 1, &format!("n{n}"), 1, 0);
    let (state, _) = call(state, n, |call| {
        call.insert(ACCOUNT, &own).expect("it fits");
        let hot = account(1, "hot", 2, i64::try_from(n).expect("small"));
        if n == 1 {
            call.insert(ACCOUNT, &hot).expect("it fits");
        } else {
            call.update(ACCOUNT, super::ACCOUNT_ID, &hot)
                .expect("it is there");
        }
    });
    state
}

fn written(mut state: State, calls: std::ops::RangeInclusive<u64>) -> Result<State, StoreError> {
    for n in calls {
        state = write(state, n);
        state.relieve()?;
    }
    Ok(state)
}

/// The root after so many calls in a store that never spills.
fn root_after(calls: u64) -> StateRoot {
    let state = written(open(&MemoryDisk::new()), 1..=calls).expect("memory");
    assert_eq!(state.spilled_bytes(), 0);
    state.root().expect("readable")
}

#[test]
fn nothing_is_spilled_within_the_budget() {
    let disk = MemoryDisk::new();
    let state = written(spilling(&disk, ROOM), 1..=8).expect("memory");
    assert_eq!(state.spilled_bytes(), 0);
    assert_eq!(state.root().expect("readable"), root_after(8));
}

#[test]
fn beyond_the_budget_half_of_it_stays_in_memory() {
    let disk = MemoryDisk::new();
    let before = written(spilling(&disk, ROOM), 1..=8).expect("memory");
    let (bytes, versions) = (before.overlay_bytes(), before.overlay_len());
    let state = written(before, 9..=9).expect("memory");
    assert!(state.spilled_bytes() > 0);
    assert!(state.overlay_bytes() <= bytes / 2 + bytes / 8);
    assert!(state.overlay_len() > versions, "spilled versions count");
    assert_eq!(state.root().expect("readable"), root_after(9));
    let small = OverlayBudget {
        bytes: 0,
        commits: usize::MAX,
    };
    let mut state = state;
    state.set_overlay_budget(small);
    state.relieve().expect("memory");
    assert_eq!(state.overlay_bytes(), 0, "no bytes, no versions");
    assert_eq!(state.root().expect("readable"), root_after(9));
}

#[test]
fn a_late_entry_reaches_far_into_the_spill() {
    for kept in [0, 1, 17, 39] {
        let disk = MemoryDisk::new();
        let mut state = written(spilling(&disk, ROOM), 1..=40).expect("memory");
        state.rewind(&position(kept + 1)).expect("memory");
        assert_eq!(state.root().expect("readable"), root_after(kept));
        assert_eq!(
            state.row_count(ACCOUNT).expect("known"),
            match kept {
                0 => 0,
                kept => kept + 1,
            }
        );
        let state = written(state, kept + 1..=40).expect("memory");
        assert_eq!(state.root().expect("readable"), root_after(40), "{kept}");
    }
}

#[test]
fn cuts_settle_the_spill_in_parts_and_give_the_file_back() {
    let disk = MemoryDisk::new();
    let mut state = written(spilling(&disk, ROOM), 1..=40).expect("memory");
    let spilled = state.spilled_bytes();
    assert_eq!(settle(&mut state, 10, 0), root_after(10));
    assert!(state.spilled_bytes() < spilled);
    assert_eq!(state.root().expect("readable"), root_after(40));
    assert_eq!(settle(&mut state, 38, 1), root_after(38));
    assert_eq!(state.spilled_bytes(), 0);
    assert_eq!(state.root().expect("readable"), root_after(40));
    state = written(state, 41..=60).expect("memory");
    assert!(
        state.spilled_bytes() > 0,
        "a second time works as the first"
    );
    assert_eq!(settle(&mut state, 60, 2), root_after(60));
    assert_eq!((state.spilled_bytes(), state.overlay_len()), (0, 0));
    assert_eq!(state.final_root(), root_after(60));
}

#[test]
fn a_spill_that_fails_costs_nothing_but_the_tail() {
    let mut failed = 0;
    for count in 0.. {
        let disk = MemoryDisk::new();
        let mut state = written(spilling(&disk, ROOM), 1..=8).expect("memory");
        settle(&mut state, 4, 0);
        disk.fail_after(count);
        let done = written(state, 9..=40).and_then(|mut state| {
            state.rewind(&position(12))?;
            let settlement = state.plan_settle(Some(&position(9)), Vec::new())?;
            state.settle(settlement, 1)
        });
        disk.crash();
        let state = spilling(&disk, ROOM);
        if done.is_ok() {
            assert_eq!(state.root().expect("readable"), root_after(9));
            break;
        }
        failed += 1;
        // Once the cut is written only the clearing away of the spill can fail.
        let settled = if state.height() == Some(0) { 4 } else { 9 };
        assert_eq!(state.root().expect("readable"), root_after(settled));
        let state = written(state, settled + 1..=40).expect("it goes on");
        assert_eq!(state.root().expect("readable"), root_after(40));
    }
    assert!(failed > 20, "it failed at {failed} places only");
}

#[test]
fn a_data_directory_spills_too_and_forgets_at_the_next_start() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let disk = DirDisk::open(dir.path()).expect("it opens");
    let state = try_open(&disk, ROOM).expect("the state opens");
    let state = written(state, 1..=8).expect("it can be written");
    let path = dir.path().join(format!("databases/{DATABASE}/spill.redb"));
    let len = || std::fs::metadata(&path).expect("it is there").len();
    assert_eq!(len(), 0, "who spills nothing needs no room");
    let state = written(state, 9..=40).expect("it can be written");
    assert_eq!(state.root().expect("readable"), root_after(40));
    assert!(len() > 0);
    drop(state);
    let mut state = try_open(&disk, ROOM).expect("the state opens");
    assert_eq!(len(), 0);
    assert_eq!(rows_of(&state, ACCOUNT).len(), 0);
    state = written(state, 1..=40).expect("it can be written");
    settle(&mut state, 40, 0);
    assert_eq!(len(), 0, "what nobody needs takes no room");
}

#[test]
fn deletions_are_spilled_as_such() {
    let disk = MemoryDisk::new();
    let none = OverlayBudget {
        bytes: 0,
        commits: 0,
    };
    let (mut state, _) = call(spilling(&disk, none), 1, |call| {
        call.insert(NOTE, &note(1, "kept until the cut"))
            .expect("it fits");
    });
    settle(&mut state, 1, 0);
    let (mut state, _) = call(state, 2, |call| {
        assert_eq!(call.clear(NOTE).expect("small"), 1);
    });
    state.relieve().expect("memory");
    assert_eq!(state.overlay_bytes(), 0);
    assert_eq!(rows_of(&state, NOTE).len(), 0);
    assert_eq!(state.row_count(NOTE).expect("known"), 0);
    settle(&mut state, 2, 1);
    assert_eq!(rows_of(&state, NOTE).len(), 0);
}

#[test]
fn the_files_bytes() {
    let mut buffer = vec![1, 2, 3];
    let keys: [&[u8]; 2] = [&[0, 0, 16, 0, 7], &[0, 0, 16, 1]];
    Record::write(&mut buffer, &position(5), &vec![(3, -2)], keys.into_iter());
    let mut expected = position(5).to_bytes().to_vec();
    expected.extend([1, 0, 3, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    expected.extend([5, 0, 0, 0, 16, 0, 7, 4, 0, 0, 0, 16, 1]);
    assert_eq!(buffer, expected);
    let record = Record::read(&buffer).expect("it was written so");
    assert_eq!(record.position, position(5));
    assert_eq!(record.counts, [(3, -2)]);
    assert_eq!(record.keys, keys);
    for len in 0..buffer.len() {
        // A key may be missing at the end and nobody can tell; nothing else may.
        let whole = len == 74 + 12 || len == 74 + 12 + 7;
        assert_eq!(Record::read(&buffer[..len]).is_ok(), whole, "{len}");
    }

    let row = Row::from([9, 8].as_slice());
    write_value(&mut buffer, Some(&row));
    assert_eq!(buffer, [1, 9, 8]);
    assert_eq!(read_value(&buffer).expect("sound"), Some(row.clone()));
    write_value(&mut buffer, None);
    assert_eq!(buffer, [0]);
    assert_eq!(read_value(&buffer).expect("sound"), None);
    let version = Version {
        commit: 258,
        value: Some(row),
    };
    write_newest(&mut buffer, &version);
    assert_eq!(buffer, [2, 1, 0, 0, 0, 0, 0, 0, 1, 9, 8]);
    let read = read_newest(&buffer).expect("sound");
    assert_eq!((read.commit, read.value), (version.commit, version.value));
    for bytes in [&[][..], &[0, 1], &[2]] {
        assert!(read_value(bytes).is_err(), "{bytes:?}");
    }
    assert!(read_newest(&[1, 2, 3]).is_err());
}

#[test]
fn a_tail_of_small_rows_fits_until_it_is_long() {
    // Two rows a call and their entries: bytes run out first, but not long before calls do, which run
    // out first where a call writes less. Otherwise one of the limits would be idle.
    let state = written(open(&MemoryDisk::new()), 1..=100).expect("memory");
    let per_call = state.overlay_bytes() / 100;
    assert!(per_call * OVERLAY_COMMITS_MAX > OVERLAY_BYTES_MAX / 2);
    assert!(
        per_call * OVERLAY_COMMITS_MAX < OVERLAY_BYTES_MAX * 3,
        "{per_call} bytes a call"
    );
}

#[test]
fn rows_are_read_as_they_were_after_a_call_in_spill_and_memory() {
    let unlimited = OverlayBudget {
        bytes: usize::MAX,
        commits: usize::MAX,
    };
    for budget in [ROOM, unlimited] {
        let mut state = written(spilling(&MemoryDisk::new(), budget), 1..=4).expect("memory");
        settle(&mut state, 2, 1);
        let state = written(state, 5..=20).expect("memory");
        assert_eq!(state.spilled_bytes() > 0, budget.commits == ROOM.commits);
        // Of what is final only the last is known.
        for n in 2..=20 {
            let then = written(open(&MemoryDisk::new()), 1..=n).expect("memory");
            let rows = state.rows_through(ACCOUNT, &position(n)).expect("known");
            let rows: Result<Vec<Row>, _> = rows.collect();
            assert_eq!(rows.expect("memory"), rows_of(&then, ACCOUNT), "{n}");
        }
    }
}
