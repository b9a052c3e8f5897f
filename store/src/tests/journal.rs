//! What the journal keeps, byte for byte and through crashes.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use redb::TableDefinition;
use sync_protocol::Entry;

use super::crash::{crash_everywhere, open_log};
use super::{DATABASE, chain, cut};
use crate::limits::LOG_CACHE_BYTES;
use crate::log::frames::{Found, entries_frame, read_frames};
use crate::log::journal::{HALF_BYTES, JOURNAL_BYTES};
use crate::{Aside, Disk, Kept, Log, MemoryDisk, StoreError, backend};

/// What is in the journal's file.
fn file(disk: &MemoryDisk) -> Vec<u8> {
    let file = disk.log(&DATABASE).expect("memory").journal;
    let mut bytes = vec![0; file.len().expect("memory") as usize];
    file.read(0, &mut bytes).expect("memory");
    bytes
}

/// The power fails while a log is open; as it is opened again.
fn kill(disk: &MemoryDisk, log: Log) -> Log {
    disk.crash();
    drop(log);
    open_log(disk).expect("it opens")
}

fn read(bytes: &[u8]) -> Option<usize> {
    let mut found = Found::default();
    read_frames(bytes, &mut found).ok()?;
    assert!(found.cuts.is_empty());
    Some(found.entries.len())
}

#[test]
fn a_frame() {
    let entries = chain(2);
    let frame = entries_frame(&entries);
    let hex: String = frame[..36]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "b153b730cee7f62c9f78e54af3e1cc6d7e0200000000000000000000000000003b010000"
    );
    assert_eq!(frame.len(), 704);
    assert_eq!(
        &frame[36..36 + entries[0].encoded().len()],
        &**entries[0].encoded()
    );
}

#[test]
fn what_was_cut_off_ends_the_frames_and_what_was_spoilt_before_the_end_is_noticed() {
    let entries = chain(4);
    let (first, second) = (entries_frame(&entries[..3]), entries_frame(&entries[3..]));
    let whole = [&first[..], &second, &[0; 128]].concat();
    assert_eq!(read(&whole), Some(4));
    for sectors in 0..second.len().div_ceil(512) {
        let mut torn = whole.clone();
        torn[first.len() + sectors * 512..].fill(0);
        assert_eq!(read(&torn), Some(3), "{sectors} sectors of the last frame");
    }
    for at in 0..whole.len() {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 0x10;
        let is_last_body = at >= first.len() + 32 && at < first.len() + second.len();
        let is_behind = at >= first.len() + second.len() + 32;
        match read(&spoilt) {
            // As if the power had failed while it was written.
            Some(3) => assert!(is_last_body, "byte {at}"),
            Some(4) => assert!(is_behind, "byte {at}"),
            None => assert!(!is_last_body && !is_behind, "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn bytes_that_are_no_frames_are_refused_or_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        zeros in 0_usize..80,
    ) {
        let padded = [vec![0; zeros], bytes].concat();
        prop_assert!(read(&padded).is_none_or(|entries| entries == 0));
    }

    /// Appends of any size, cuts and reading between them, then the power fails: all is there, once.
    #[test]
    fn whatever_was_appended_is_there_after_a_crash(
        steps in prop::collection::vec((0_u8..8, 1_usize..250), 1..12),
        keeps in any::<u64>(),
        looks in 0_u32..5,
    ) {
        static ENTRIES: LazyLock<Vec<Arc<Entry>>> = LazyLock::new(|| chain(1_500));
        let entries = &*ENTRIES;
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        log.set_aside(match looks {
            0 => Aside::Never,
            looks => Aside::AtLook(looks),
        });
        let (mut appended, mut cuts, mut covered) = (0, 0, 0);
        for (step, count) in steps {
            match step {
                0 => drop(log.merged().expect("memory")),
                1 if appended > covered => {
                    let to = covered + (appended - covered).min(count);
                    let segment = &entries[covered..to];
                    let stubs = segment.iter().map(|entry| &**entry.stub());
                    log.put_cut_of_tail(&cut(cuts, segment), stubs).expect("memory");
                    (cuts, covered) = (cuts + 1, to);
                }
                _ => {
                    let to = (appended + count).min(entries.len());
                    log.append(&entries[appended..to]).expect("memory");
                    appended = to;
                }
            }
            for (n, entry) in entries.iter().enumerate() {
                prop_assert_eq!(log.holds(&entry.id).expect("memory"), n < appended);
                let kept = log.final_entry(&entry.id).expect("memory");
                prop_assert_eq!(kept.is_some(), n < covered);
                prop_assert!(kept.is_none_or(|kept| kept.seq == entry.header.seq));
            }
            prop_assert_eq!(log.last_height().expect("memory"), cuts.checked_sub(1));
        }
        disk.crash_tearing(|n, _| match (keeps >> (n % 64)) & 1 {
            0 => Kept::Nothing,
            _ => Kept::Whole,
        });
        drop(log);
        for _ in 0..2 {
            let log = open_log(&disk).expect("it opens");
            prop_assert_eq!(log.entries_len().expect("memory"), appended as u64);
            let tail: Vec<_> = entries[covered..appended].iter().map(|entry| entry.encoded().to_vec()).collect();
            prop_assert_eq!(log.tail().expect("memory"), tail);
            prop_assert_eq!(log.last_height().expect("memory"), cuts.checked_sub(1));
            let mut order = Vec::new();
            for height in 0..cuts {
                order.extend(log.segment(height, 0, usize::MAX).expect("memory").0);
            }
            let expected: Vec<_> = entries[..covered].iter().map(|entry| entry.encoded().to_vec()).collect();
            prop_assert_eq!(order, expected);
        }
    }
}

#[test]
fn what_is_too_much_for_the_journal_comes_into_the_tables() {
    let entries = chain(2_000);
    let bytes = |entries: &[Arc<Entry>]| -> usize {
        entries.iter().map(|entry| entry.encoded().len()).sum()
    };
    assert!(bytes(&entries[10..]) > JOURNAL_BYTES);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries[..10]).expect("memory");
    assert!(file(&disk).iter().any(|byte| *byte != 0));
    log.append(&entries[10..]).expect("memory");
    assert_eq!(file(&disk), vec![0; JOURNAL_BYTES], "nothing is left of it");
    let log = kill(&disk, log);
    assert_eq!(log.tail().expect("memory").len(), 2_000);
}

#[test]
fn one_entry_after_the_other_until_it_is_full() {
    let entries = chain(1_000);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    let before = disk.operations();
    for entry in &entries {
        log.append(std::slice::from_ref(entry)).expect("memory");
        assert!(log.holds(&entries[0].id).expect("memory"));
    }
    let each = (disk.operations() - before) as f64 / entries.len() as f64;
    assert!(each < 2.5, "{each} writes and syncs for an entry");
    let log = kill(&disk, log);
    assert_eq!(log.tail().expect("memory").len(), 1_000);
}

#[test]
fn the_power_fails_while_a_full_journal_comes_into_the_tables() {
    let entries = chain(1_400);
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        log.append(&entries[..500]).expect("memory");
        disk.crash();
        drop(log);
        disk
    };
    let work = |disk: &MemoryDisk| -> Result<(), StoreError> {
        let mut log = open_log(disk)?;
        log.append(&entries[500..700])?;
        log.append(&entries[700..])
    };
    crash_everywhere(prepare, work, |disk, done| {
        let log = open_log(disk).expect("it opens");
        let held = log.entries_len().expect("memory");
        assert_eq!(log.tail().expect("memory").len() as u64, held);
        assert!(
            [500, 700, 1_400].contains(&held) && (!done || held == 1_400),
            "{held}"
        );
    });
}

/// A disk may write the sectors of one write in any order: whatever it has done of clearing the journal, what it
/// leaves is read.
#[test]
fn the_power_fails_amid_the_zeros() {
    let entries = chain(40);
    for erased in [1, 3, 7] {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        for entry in &entries {
            log.append(std::slice::from_ref(entry)).expect("memory");
        }
        // The next write clears it; each other sector of the rest reaches the disk.
        let full = file(&disk);
        drop(log.merged().expect("memory"));
        disk.crash();
        drop(log);
        let journal = disk.log(&DATABASE).expect("memory").journal;
        for (n, sector) in full
            .chunks(512)
            .enumerate()
            .filter(|(n, _)| n % (erased + 1) != 0)
        {
            journal.write(512 * n as u64, sector).expect("memory");
        }
        journal.sync_data().expect("memory");
        let log = open_log(&disk).expect("it opens");
        assert_eq!(log.tail().expect("memory").len(), 40);
        assert_eq!(file(&disk), vec![0; JOURNAL_BYTES]);
    }
}

/// The first header goes first, and durably: until then all frames are whole.
#[test]
fn the_first_header_is_cleared_before_all_else() {
    let entries = chain(40);
    let prepare = || {
        let disk = MemoryDisk::new();
        let mut log = open_log(&disk).expect("memory");
        for entry in &entries {
            log.append(std::slice::from_ref(entry)).expect("memory");
        }
        disk.crash();
        drop(log);
        disk
    };
    let full = file(&prepare());
    let header_went_alone = Cell::new(false);
    crash_everywhere(
        prepare,
        |disk| open_log(disk).map(drop),
        |disk, _| {
            let left = file(disk);
            assert!(left == full || left[..64] == [0; 64]);
            if left[..64] == [0; 64] && left[64..] == full[64..] {
                header_went_alone.set(true);
            }
            let log = open_log(disk).expect("it opens");
            assert_eq!(log.entries_len().expect("memory"), 40);
        },
    );
    assert!(header_went_alone.get());
}

/// Bytes that an entry brings must never be taken for a frame, wherever they come to lie: nothing of what was
/// written before is left when the next frame is.
#[test]
fn nothing_old_lies_behind_a_frame() {
    let entries = chain(600);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    for part in entries[..500].chunks(7) {
        log.append(part).expect("memory");
    }
    log.put_note("name", b"chat").expect("memory");
    assert_eq!(file(&disk), vec![0; JOURNAL_BYTES]);
    log.append(&entries[500..]).expect("memory");
    let frame = entries_frame(&entries[500..]);
    let written = file(&disk);
    assert_eq!(written[..frame.len()], frame);
    assert!(written[frame.len()..].iter().all(|byte| *byte == 0));
    drop(log);
    assert_eq!(file(&disk), vec![0; JOURNAL_BYTES], "it was closed");
}

/// Writes another format into a log that is closed.
fn say_format(disk: &MemoryDisk, format: u32) {
    const NOTES: TableDefinition<'static, &'static str, &'static [u8]> =
        TableDefinition::new("notes");
    let tables = disk.log(&DATABASE).expect("memory").tables;
    let db = backend::open("log.redb", tables.into(), LOG_CACHE_BYTES).expect("it opens");
    let write = db.begin_write().expect("memory");
    let mut notes = write.open_table(NOTES).expect("it is there");
    notes
        .insert("tombolo:format", format.to_le_bytes().as_slice())
        .expect("memory");
    drop(notes);
    write.commit().expect("memory");
}

#[test]
fn logs_of_the_formats_before_are_taken_over_and_one_of_a_later_one_refused() {
    let entries = chain(5);
    let journal = |disk: &MemoryDisk| disk.log(&DATABASE).expect("memory").journal;
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries[..2]).expect("memory");
    drop(log);
    // The first had no journal.
    say_format(&disk, 1);
    journal(&disk).set_len(0).expect("memory");
    let mut log = open_log(&disk).expect("it is taken over");
    assert_eq!(log.tail().expect("memory").len(), 2);
    log.append(&entries[2..4]).expect("memory");
    disk.crash();
    drop(log);
    // The second one's was half as long.
    say_format(&disk, 2);
    let half = journal(&disk);
    half.set_len(HALF_BYTES as u64).expect("memory");
    half.sync_data().expect("memory");
    crash_everywhere(
        || disk.backup(),
        |disk| open_log(disk).map(drop),
        |disk, _| {
            let log = open_log(disk).expect("it is taken over");
            assert_eq!(log.tail().expect("memory").len(), 4);
        },
    );
    let mut log = open_log(&disk).expect("it is taken over");
    log.append(&entries[4..]).expect("memory");
    let log = kill(&disk, log);
    assert_eq!(log.tail().expect("memory").len(), 5);
    drop(log);
    say_format(&disk, 4);
    let refused = open_log(&disk).err();
    assert!(
        matches!(
            refused,
            Some(StoreError::Format {
                found: 4,
                known: 3,
                ..
            })
        ),
        "{refused:?}"
    );
}
