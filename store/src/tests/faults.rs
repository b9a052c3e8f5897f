//! A disk that is full, cannot be read, was cut short or holds flipped bits: an error or a repair,
//! never a wrong row, never a panic.

use super::crash::{filled, open_log, try_open};
use super::{
    ACCOUNT, ACCOUNT_NAME, ACCOUNT_TEAM, DATABASE, MEMBER, MESSAGE, NOTE, NOTE_AUTHOR, chain, cut,
    position, settle,
};
use crate::{Disk, DiskFile, MemoryDisk, Range, StoreError};

/// Everything that a database says of itself, both files together.
fn told(disk: &MemoryDisk) -> Result<Vec<String>, StoreError> {
    let mut told = told_by_log(disk)?;
    told.extend(told_by_base(disk)?);
    Ok(told)
}

fn told_by_log(disk: &MemoryDisk) -> Result<Vec<String>, StoreError> {
    let log = open_log(disk)?;
    let mut told = vec![format!("{} entries", log.entries_len()?)];
    for entry in chain(12) {
        let entry = (
            log.holds(&entry.id)?,
            log.entry(&entry.id)?,
            log.final_entry(&entry.id)?,
        );
        told.push(format!("{entry:?}"));
    }
    told.push(format!("{:?}", log.tail()?));
    told.push(format!("{:?} {:?}", log.last_height()?, log.last_cut()?));
    for height in 0..3 {
        told.push(format!("{:?} {:?}", log.cut_id(height)?, log.cut(height)?));
        told.push(format!("{:?}", log.segment(height, 0, usize::MAX)?));
    }
    told.push(format!("{:?}", log.note("name")?));
    Ok(told)
}

fn told_by_base(disk: &MemoryDisk) -> Result<Vec<String>, StoreError> {
    let state = try_open(disk)?;
    let store = |error: crate::DataError| match error {
        crate::DataError::Store(error) => error,
        other => panic!("no fault of a disk: {other}"),
    };
    let mut told = vec![format!("{:?} {:?}", state.height(), state.root()?)];
    for table in [ACCOUNT, NOTE, MESSAGE, MEMBER] {
        let rows = state.rows(table).map_err(store)?;
        told.push(format!("{:?}", rows.collect::<Result<Vec<_>, _>>()?));
        told.push(format!("{}", state.row_count(table).map_err(store)?));
    }
    for index in [ACCOUNT_NAME, ACCOUNT_TEAM, NOTE_AUTHOR] {
        let rows = state.scan_index(index, &Range::EVERYTHING).map_err(store)?;
        told.push(format!("{:?}", rows.collect::<Result<Vec<_>, _>>()?));
    }
    Ok(told)
}

/// A database with entries, cuts and rows, as it was after each commit: what the log and the base
/// say then.
struct History {
    disk: MemoryDisk,
    log: Vec<Vec<String>>,
    base: Vec<Vec<String>>,
}

/// `clean`: the files were closed; else the process was killed with everything synced.
fn history(clean: bool) -> History {
    let entries = chain(12);
    let disk = MemoryDisk::new();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries[..5]).expect("memory");
    log.put_cut(&cut(0, &entries[..1]), &entries[..1])
        .expect("memory");
    log.put_note("name", b"chat").expect("memory");
    log.put_cut(&cut(1, &entries[1..8]), &entries[1..8])
        .expect("memory");
    let mut state = filled(try_open(&disk).expect("memory"), 1, 1..60);
    settle(&mut state, 1, 0);
    drop((log, state));
    let mut history = History {
        log: vec![told_by_log(&disk).expect("sound")],
        base: vec![told_by_base(&disk).expect("sound")],
        disk,
    };
    let disk = history.disk.clone();
    let mut log = open_log(&disk).expect("memory");
    log.append(&entries[8..]).expect("memory");
    let mut state = filled(try_open(&disk).expect("memory"), 2, 60..150);
    settle(&mut state, 2, 1);
    if !clean {
        // Whatever dropping would write comes too late.
        disk.crash();
    }
    drop((log, state));
    let copy = copied(&disk);
    history.log.push(told_by_log(&copy).expect("sound"));
    history.base.push(told_by_base(&copy).expect("sound"));
    history
}

/// A file of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Tables,
    Journal,
    Base,
}

const FILES: [File; 3] = [File::Tables, File::Journal, File::Base];

fn open(disk: &MemoryDisk, file: File) -> Box<dyn DiskFile> {
    match file {
        File::Tables => disk.log(&DATABASE).expect("memory").tables,
        File::Journal => disk.log(&DATABASE).expect("memory").journal,
        File::Base => disk.base(&DATABASE).expect("memory"),
    }
}

fn bytes_of(disk: &MemoryDisk, file: File) -> Vec<u8> {
    let file = open(disk, file);
    let mut bytes = vec![0; file.len().expect("memory") as usize];
    file.read(0, &mut bytes).expect("memory");
    bytes
}

fn put_bytes(disk: &MemoryDisk, file: File, bytes: &[u8]) {
    let file = open(disk, file);
    file.set_len(0).expect("memory");
    file.set_len(bytes.len() as u64).expect("memory");
    file.write(0, bytes).expect("memory");
    file.sync_data().expect("memory");
}

fn copied(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for file in FILES {
        put_bytes(&copy, file, &bytes_of(disk, file));
    }
    copy
}

/// What became of a damaged file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Became {
    Refused,
    Same,
    /// As before the newest commit.
    Older,
}

/// Puts damaged bytes in the place of one file and looks what it says.
fn became(history: &History, file: File, bytes: &[u8], what: &str) -> Became {
    let disk = copied(&history.disk);
    put_bytes(&disk, file, bytes);
    let (found, known) = match file {
        File::Base => (told_by_base(&disk), &history.base),
        _ => (told_by_log(&disk), &history.log),
    };
    match found {
        Err(_) => Became::Refused,
        Ok(told) if told == known[1] => Became::Same,
        Ok(told) if told == known[0] => Became::Older,
        Ok(told) => panic!("{what}: something that never was: {told:?}"),
    }
}

/// SplitMix64: damage is drawn from a fixed seed.
fn draw(seed: &mut u64) -> usize {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) as usize
}

#[test]
fn flipped_bits() {
    for clean in [true, false] {
        let history = history(clean);
        for file in FILES {
            let sound = bytes_of(&history.disk, file);
            let mut seed = 7;
            let mut places: Vec<usize> = (0..200)
                .map(|_| draw(&mut seed) % (8 * sound.len()))
                .collect();
            // Pages that hold something are where it hurts; the header is where it hurts most.
            let used: Vec<usize> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
            // What was closed has nothing in its journal.
            assert_eq!(used.is_empty(), clean && file == File::Journal);
            if !used.is_empty() {
                places.extend(
                    (0..200).map(|_| 8 * used[draw(&mut seed) % used.len()] + draw(&mut seed) % 8),
                );
            }
            // The header of a journal's first frame.
            places.extend(0..32 * 8);
            places.extend((0..320 * 8).step_by(3).map(|bit| 8 * 4_096 + bit));
            let mut refused = 0;
            for place in places {
                let mut bytes = sound.clone();
                bytes[place / 8] ^= 1 << (place % 8);
                let what = format!("clean {clean}, {file:?}, bit {place}");
                match became(&history, file, &bytes, &what) {
                    Became::Refused => refused += 1,
                    Became::Same => {}
                    // Looks like a commit that the power cut off: only possible after a crash.
                    Became::Older => assert!(!clean, "{what}: the newest commit is gone silently"),
                }
            }
            assert!(refused > 80, "only {refused} flips were noticed");
        }
    }
}

#[test]
fn files_cut_short() {
    for clean in [true, false] {
        let history = history(clean);
        for file in FILES {
            let sound = bytes_of(&history.disk, file);
            let pages = (0..sound.len()).step_by(4_096);
            let odd = [1, 511, 4_095, 4_097, 4_416, 8_191, 70_001, sound.len() - 1];
            for len in pages.chain(odd).filter(|len| *len < sound.len()) {
                let what = format!("clean {clean}, {file:?}, {len} of {}", sound.len());
                let bytes = &sound[..len];
                if len == 0 {
                    continue;
                }
                match became(&history, file, bytes, &what) {
                    Became::Refused => {}
                    // A file may have been made longer for a commit that never came.
                    Became::Same => {
                        assert!(
                            !clean || file == File::Journal,
                            "{what}: nothing was missing"
                        );
                    }
                    Became::Older => assert!(!clean, "{what}: cut short and not noticed"),
                }
            }
        }
    }
}

#[test]
fn whole_pages_lost_or_swapped() {
    for clean in [true, false] {
        let history = history(clean);
        for file in FILES {
            let sound = bytes_of(&history.disk, file);
            for page in 0..sound.len() / 4_096 {
                let at = page * 4_096;
                let mut zeroed = sound.clone();
                zeroed[at..at + 4_096].fill(0);
                let mut swapped = sound.clone();
                let other = (at + 4_096) % sound.len();
                let copy = sound[other..other + 4_096].to_vec();
                swapped[at..at + 4_096].copy_from_slice(&copy);
                for (bytes, how) in [(zeroed, "zeroed"), (swapped, "swapped")] {
                    let what = format!("clean {clean}, {file:?}, page {page} {how}");
                    let became = became(&history, file, &bytes, &what);
                    assert!(!clean || became != Became::Older, "{what}");
                }
            }
        }
    }
}

#[test]
fn reads_that_fail() {
    let history = history(true);
    for count in 0.. {
        let disk = copied(&history.disk);
        disk.fail_reads_after(Some(count));
        let told = told(&disk);
        disk.fail_reads_after(None);
        match told {
            Ok(told) => {
                assert_eq!(
                    told,
                    [history.log[1].clone(), history.base[1].clone()].concat()
                );
                assert!(count > 10, "there was something to read");
                break;
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let again = super::faults::told(&disk).expect("it can be read again");
        assert_eq!(
            again,
            [history.log[1].clone(), history.base[1].clone()].concat()
        );
    }
}

/// Fills the disk after every possible number of writes of `work`, makes room again, and hands what
/// is left to `check`: once as it is, once after a crash.
fn full_everywhere(
    work: impl Fn(&MemoryDisk) -> Result<(), StoreError>,
    check: impl Fn(&MemoryDisk, bool),
) {
    let history = history(true);
    for crash in [false, true] {
        for count in 0.. {
            let disk = copied(&history.disk);
            disk.fill_after(count);
            let done = work(&disk).is_ok();
            if crash {
                disk.crash();
            }
            disk.make_room();
            check(&disk, done);
            // And it goes on.
            work(&disk).expect("there is room again");
            check(&disk, true);
            if done {
                assert!(count > 3, "the disk was full at several places");
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_while_appending() {
    let entries = chain(16);
    let work = |disk: &MemoryDisk| {
        let mut log = open_log(disk)?;
        log.append(&entries[12..14])?;
        log.put_note("name", b"other")?;
        log.put_cut(&cut(2, &entries[8..15]), &entries[8..15])
    };
    full_everywhere(work, |disk, done| {
        let log = open_log(disk).expect("it opens");
        let held = log.entries_len().expect("readable");
        let height = log.last_height().expect("readable");
        match (held, height) {
            (12 | 14, Some(1)) => assert!(!done, "what was written stays"),
            (15, Some(2)) => {}
            other => panic!("neither before nor after: {other:?}"),
        }
        for entry in &entries[..usize::try_from(held).expect("few")] {
            let found = log
                .entry(&entry.id)
                .expect("readable")
                .expect("it is there");
            assert_eq!(*found, **entry.encoded());
        }
    });
}

#[test]
fn a_full_disk_while_settling() {
    let work = |disk: &MemoryDisk| -> Result<(), StoreError> {
        let state = try_open(disk)?;
        if state.height() == Some(2) {
            return Ok(());
        }
        let mut state = filled(state, 3, 150..300);
        let settlement = state.plan_settle(Some(&position(3)), Vec::new())?;
        state.settle(settlement, 2)
    };
    full_everywhere(work, |disk, done| {
        let told = told_by_base(disk).expect("it opens");
        let height = try_open(disk).expect("it opens").height();
        match height {
            Some(1) => assert!(!done && told[4] == "149", "what was written stays"),
            Some(2) => assert_eq!(told[4], "299"),
            other => panic!("neither before nor after: {other:?}"),
        }
    });
}
