//! Every named crash point is passed, and a crash exactly there leaves what its description says.

mod scenes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use scenes::{On, Scene, check_closed, scene};

use super::crash::KEEPS;
use super::{DATABASE, chain};
use crate::{CrashPoint, CrashWatch, DirDisk, MemoryDisk, StoreError};

/// Passes of one point at which a crash is tried.
const PASSES_MAX: u64 = 12;

/// A memory disk as the scene's work finds it.
fn set(scene: &Scene) -> MemoryDisk {
    let disk = MemoryDisk::new();
    (scene.prepare)(&disk);
    // Whoever has a file open still was killed.
    disk.crash();
    disk
}

fn passes_in(counts: &BTreeMap<CrashPoint, u64>, point: CrashPoint) -> u64 {
    counts.get(&point).copied().unwrap_or(0)
}

/// Crashes at each pass of `point`, in each way a disk may lose what was not synced.
fn play_in_memory(point: CrashPoint, scene: &Scene) {
    let disk = set(scene);
    let before = passes_in(&disk.passed(), point);
    (scene.work)(&disk).expect("nothing fails");
    let passes = passes_in(&disk.passed(), point) - before;
    assert!(passes > 0, "{point:?} is not passed in its scene");
    for nth in 1..=passes.min(PASSES_MAX) {
        for keep in KEEPS {
            let disk = set(scene);
            disk.crash_at(point, nth);
            let done = (scene.work)(&disk).is_ok();
            assert_eq!(disk.crashed_at(), Some(point), "{nth} of {passes}");
            disk.crash_tearing(keep);
            if done {
                check_closed(point, &disk);
            } else {
                (scene.check)(&disk);
            }
        }
    }
}

/// The same in a directory, where the process alone ends. Opening belongs to the work.
fn play_in_directory(point: CrashPoint, scene: &Scene) {
    let prepared = || {
        let dir = tempfile::tempdir().expect("a scratch directory");
        (scene.prepare)(&DirDisk::open(dir.path()).expect("writable"));
        if point == CrashPoint::LeftoverCleared {
            leave_leftovers(dir.path());
        }
        dir
    };
    let work = |dir: &Path, watch: &CrashWatch| -> Result<(), StoreError> {
        (scene.work)(&DirDisk::open_watched(dir, Some(watch.clone()))?)
    };
    let watch = CrashWatch::default();
    work(prepared().path(), &watch).expect("nothing fails");
    let passes = passes_in(&watch.passed(), point);
    assert!(passes > 0, "{point:?} is not passed in its scene");
    for nth in 1..=passes.min(PASSES_MAX) {
        let dir = prepared();
        let watch = CrashWatch::default();
        watch.crash_at(point, nth);
        // An artifact is no more than an attempt, so nobody hears that it failed.
        let _ = work(dir.path(), &watch);
        assert_eq!(watch.crashed_at(), Some(point), "{nth} of {passes}");
        (scene.check)(&DirDisk::open(dir.path()).expect("it opens"));
        assert_eq!(unfinished(dir.path()), Vec::<String>::new(), "{point:?}");
    }
}

/// One unfinished thing of each kind.
fn leave_leftovers(dir: &Path) {
    fs::create_dir(dir.join("databases/unfinished-x")).expect("writable");
    fs::write(dir.join("databases/unfinished-x/log.redb"), b"").expect("writable");
    fs::write(dir.join("blobs/unfinished-blob"), b"half").expect("writable");
    let spare = format!("databases/{DATABASE}/unfinished-base.redb");
    fs::write(dir.join(spare), b"half").expect("writable");
}

/// What is unfinished in a directory, wherever it lies.
fn unfinished(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for child in fs::read_dir(dir).expect("readable") {
        let path = child.expect("readable").path();
        if path.is_dir() {
            found.extend(unfinished(&path));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        found.extend(
            name.filter(|name| name.starts_with("unfinished-"))
                .map(str::to_owned),
        );
    }
    found
}

#[test]
fn a_crash_at_each_point_leaves_what_it_promises_in_memory() {
    for point in CrashPoint::ALL {
        let scene = scene(*point);
        if scene.on != On::Directory {
            play_in_memory(*point, &scene);
        }
    }
}

#[test]
fn a_crash_at_each_point_leaves_what_it_promises_in_a_directory() {
    for point in CrashPoint::ALL {
        let scene = scene(*point);
        if scene.on != On::Memory {
            play_in_directory(*point, &scene);
        }
    }
}

#[test]
fn a_point_is_armed_until_the_next_crash() {
    let disk = MemoryDisk::new();
    disk.crash_at(CrashPoint::EntriesAppended, 2);
    let mut log = scenes::log(&disk);
    log.append(&chain(1)).expect("the first time passes");
    assert_eq!(disk.crashed_at(), None);
    assert!(log.append(&chain(2)).is_err());
    assert!(log.put_note("name", b"a").is_err(), "the power stays off");
    assert_eq!(disk.crashed_at(), Some(CrashPoint::EntriesAppended));
    drop(log);
    disk.crash();
    let mut log = scenes::log(&disk);
    assert_eq!(log.entries_len().expect("readable"), 2, "it was durable");
    log.append(&chain(3)).expect("the power is back");
    disk.crash_at(CrashPoint::EntriesAppended, 1);
    drop(log);
    disk.crash();
    let mut log = scenes::log(&disk);
    log.append(&chain(4)).expect("a crash disarms");
    assert_eq!(disk.crashed_at(), None);
}

#[test]
fn the_table_of_the_document_is_the_list() {
    let page = include_str!("../../../docs/DISK.md");
    let rows = page.lines().filter_map(|line| {
        let cell = line.strip_prefix("| `")?.split('`').next()?;
        let named =
            cell.chars().all(char::is_alphanumeric) && !cell.starts_with(char::is_lowercase);
        named.then(|| cell.to_owned())
    });
    let expected: Vec<String> = CrashPoint::ALL.iter().map(|p| format!("{p:?}")).collect();
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    let different: BTreeSet<_> = CrashPoint::ALL.iter().collect();
    assert_eq!(different.len(), CrashPoint::ALL.len());
}
