//! What is done to a disk so that it passes each crash point, and what is true after a crash there.

use sync_protocol::{BlobHash, StateRoot};

use crate::limits::LOG_CACHE_BYTES;
use crate::tests::crash::filled;
use crate::tests::{
    DATABASE, NOTE, NOTE_AUTHOR, call, chain, cut, index, note, position, rows_of, schema, settle,
    tables,
};
use crate::{
    CrashPoint, Disk, IndexId, Log, MemoryDisk, Migration, OverlayBudget, Range, Schema, State,
    StateOptions, StoreError,
};

const REBUILD: &str = "rebuild";
const LEVEL: IndexId = IndexId(6_001);

/// What is done to a disk so that it passes a point, and what has to be true after a crash there.
pub(super) struct Scene {
    pub(super) on: On,
    pub(super) prepare: fn(&dyn Disk),
    pub(super) work: fn(&dyn Disk) -> Result<(), StoreError>,
    pub(super) check: fn(&dyn Disk),
}

/// Where a scene plays. Only memory knows the points within database files, and can forget what was
/// not synced; only a directory has names that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Memory,
    Directory,
    Both,
}

pub(super) fn scene(point: CrashPoint) -> Scene {
    use CrashPoint as Point;
    let of = |on, prepare, work, check| Scene {
        on,
        prepare,
        work,
        check,
    };
    match point {
        Point::FileNamed | Point::TablesMade => {
            let on = match point {
                Point::FileNamed => On::Both,
                _ => On::Memory,
            };
            of(on, |_| (), make, is_new)
        }
        Point::UnfinishedEmptied => of(On::Memory, leave_unfinished, make, is_new),
        Point::RepairAccepted => of(On::Memory, leave_killed, open_both, is_second),
        Point::PagesWritten => of(On::Memory, first, settle_second, is_first_base),
        Point::HeaderWritten | Point::SumsWritten => {
            of(On::Memory, first, both_second, is_first_or_second)
        }
        Point::CloseSummed => of(On::Memory, first, both_second_and_close, is_second),
        Point::EntriesAppended => of(On::Memory, first, append, has_tail),
        Point::EntriesMerged | Point::JournalCleared => {
            of(On::Memory, first, append_and_read, has_tail)
        }
        Point::CutLogged => of(On::Memory, first, both_second, |disk| {
            assert_eq!(log(disk).last_height().expect("readable"), Some(1));
            let (segment, more) = log(disk).segment(1, 0, usize::MAX).expect("readable");
            assert_eq!((segment.len(), more), (3, false));
            assert_eq!(state(disk).height(), Some(0));
            settle_second(disk).expect("nothing fails now");
            is_second(disk);
        }),
        Point::NoteMade => of(On::Memory, first, note_made, |disk| {
            assert_eq!(noted(disk).as_deref(), Some(&b"why"[..]));
        }),
        Point::NoteDropped => of(
            On::Memory,
            |disk| note_made(disk).expect("nothing fails"),
            |disk| open_log(disk)?.drop_note(REBUILD),
            |disk| assert_eq!(noted(disk), None),
        ),
        Point::Retreated => of(On::Memory, second, retreat, |disk| {
            assert_eq!(noted(disk), Some(vec![]));
            assert_eq!(pledged(disk), [pledge().encoded().to_vec()]);
            let log = log(disk);
            assert_eq!(log.last_height().expect("readable"), Some(0));
            assert_eq!(log.tail().expect("readable").len(), 3);
            assert_eq!(
                state(disk).height(),
                Some(1),
                "the base is ahead of its log"
            );
        }),
        Point::PledgeKept => of(
            On::Memory,
            first,
            |disk| open_log(disk)?.put_pledge(&[pledge()]),
            |disk| {
                assert_eq!(pledged(disk), [pledge().encoded().to_vec()]);
                assert_eq!(log(disk).last_height().expect("readable"), Some(0));
            },
        ),
        Point::PledgeDropped => of(
            On::Memory,
            |disk| retreat_from_second(disk).expect("nothing fails"),
            |disk| open_log(disk)?.drop_pledge(),
            |disk| assert_eq!(pledged(disk), Vec::<Vec<u8>>::new()),
        ),
        Point::CutWritten => of(On::Memory, first, settle_second, is_first_base),
        Point::CutSettled | Point::SpillForgotten => {
            of(On::Memory, first, settle_spilled, is_second_base_unspilled)
        }
        Point::SpillTaken => of(On::Memory, first, settle_spilled, |disk| {
            is_first_base(disk);
            assert_eq!(spilled_len(disk), 0);
        }),
        Point::SpillEmptied => of(On::Both, second, open_spilling, |disk| {
            is_second(disk);
            assert_eq!(spilled_len(disk), 0);
        }),
        Point::SpacesCleared | Point::RowsMoved => of(On::Memory, first, migrate, is_first_base),
        Point::Migrated => of(On::Memory, first, migrate, |disk| {
            let old = open_state(disk, schema());
            assert!(matches!(old, Err(StoreError::TableChanged { .. })));
            let state = open_state(disk, grown()).expect("it opens");
            assert_eq!((state.height(), spilled_len(disk)), (Some(1), 0));
            assert_eq!(state.final_root(), migrated_root());
            assert_eq!(count(&state, NOTE_AUTHOR), rows_of(&state, NOTE).len());
        }),
        Point::IndexesDropped | Point::IndexesBuilt => {
            of(On::Memory, first, reindex, |disk| {
                // The state is told by the old schema first: it must find its own index.
                let state = state(disk);
                assert_eq!(count(&state, NOTE_AUTHOR), rows_of(&state, NOTE).len());
                drop(state);
                reindex(disk).expect("nothing fails now");
                is_reindexed(disk);
            })
        }
        Point::Reindexed => of(On::Memory, first, reindex, |disk| {
            is_reindexed(disk);
        }),
        Point::SpareEmptied | Point::SpareSynced => of(On::Both, first, swap, is_first_base),
        Point::SpareInPlace => of(On::Both, first, swap, |disk| {
            let state = state(disk);
            match state.height() {
                Some(0) => assert_eq!(state.final_root(), roots().0),
                other => assert_eq!((other, state.final_root()), (Some(5), roots().0)),
            }
        }),
        Point::DumpBegun | Point::DumpWritten => of(On::Both, first, dump, |disk| {
            is_first(disk);
            dump(disk).expect("nothing fails now");
        }),
        Point::RemovalNamed => of(
            On::Both,
            first,
            |disk| disk.remove(&DATABASE),
            |disk| {
                assert_eq!(disk.databases().expect("readable"), []);
                make(disk).expect("nothing fails now");
                is_new(disk);
            },
        ),
        Point::LeftoverCleared => of(On::Directory, first, |_| Ok(()), is_first),
        Point::BlobWritten => of(On::Both, half_blob, keep_blob, |disk| {
            assert_eq!(disk.blob(&BlobHash::of(BLOB)).expect("readable"), None);
            is_half_blob(disk);
            keep_blob(disk).expect("nothing fails now");
        }),
        Point::BlobNamed => of(On::Both, half_blob, keep_blob, |disk| {
            let blob = disk.blob(&BlobHash::of(BLOB)).expect("whole, or not there");
            assert_eq!(blob.as_deref(), Some(BLOB), "the process alone ended");
            is_half_blob(disk);
        }),
        Point::PartialCutBack => of(On::Both, half_blob, extend_blob, |disk| {
            assert_eq!(partial(disk).as_deref(), Some(&BLOB[..2]));
            extend_blob(disk).expect("nothing fails now");
        }),
        Point::PartialWritten => of(On::Both, half_blob, extend_blob, |disk| {
            assert_eq!(partial(disk).as_deref(), Some(BLOB));
        }),
        Point::PartialRemoved => of(
            On::Both,
            half_blob,
            |disk| disk.remove_partial(&BlobHash::of(BLOB)),
            |disk| assert!(partial(disk).is_none_or(|bytes| bytes == BLOB[..5])),
        ),
        Point::ArtifactWritten => of(
            On::Directory,
            |_| (),
            keep_artifact,
            |disk| {
                assert_eq!(disk.artifact(&ARTIFACT), None);
                disk.put_artifact(&ARTIFACT, BLOB);
                assert_eq!(disk.artifact(&ARTIFACT).as_deref(), Some(BLOB));
            },
        ),
        Point::ArtifactNamed => of(
            On::Directory,
            |_| (),
            keep_artifact,
            |disk| {
                assert_eq!(disk.artifact(&ARTIFACT).as_deref(), Some(BLOB));
            },
        ),
    }
}

/// What has to be true if the power failed while files were closed, which nobody is told of: all
/// that was done is there.
pub(super) fn check_closed(point: CrashPoint, disk: &dyn Disk) {
    match point {
        CrashPoint::PagesWritten => assert_eq!(base_height(disk), Some(1)),
        CrashPoint::HeaderWritten | CrashPoint::SumsWritten | CrashPoint::CloseSummed => {
            is_second(disk);
        }
        other => panic!("{other:?}: the work went on after the power had failed"),
    }
}

const BLOB: &[u8] = b"a module";
const ARTIFACT: BlobHash = BlobHash([4; 32]);

fn open_log(disk: &dyn Disk) -> Result<Log, StoreError> {
    Log::open(disk.log(&DATABASE)?, LOG_CACHE_BYTES)
}

pub(super) fn log(disk: &dyn Disk) -> Log {
    open_log(disk).expect("it opens")
}

fn open_state(disk: &dyn Disk, schema: Schema) -> Result<State, StoreError> {
    State::open(disk.base(&DATABASE)?, schema, StateOptions::default())
}

fn state(disk: &dyn Disk) -> State {
    open_state(disk, schema()).expect("it opens")
}

fn noted(disk: &dyn Disk) -> Option<Vec<u8>> {
    log(disk).note(REBUILD).expect("readable")
}

fn pledged(disk: &dyn Disk) -> Vec<Vec<u8>> {
    log(disk).pledge().expect("readable")
}

fn pledge() -> sync_protocol::Cut {
    cut(1, &chain(2)[1..])
}

fn count(state: &State, index: IndexId) -> usize {
    let entries = state.scan_index(index, &Range::EVERYTHING);
    entries.expect("known").count()
}

fn make(disk: &dyn Disk) -> Result<(), StoreError> {
    open_log(disk)?;
    open_state(disk, schema()).map(|_| ())
}

fn is_new(disk: &dyn Disk) {
    let log = log(disk);
    assert_eq!(log.entries_len().expect("readable"), 0);
    assert_eq!(log.last_height().expect("readable"), None);
    assert_eq!(state(disk).height(), None);
}

/// A log whose making was interrupted: pages, and no magic number before them.
fn leave_unfinished(disk: &dyn Disk) {
    let file = disk.log(&DATABASE).expect("writable").tables;
    file.set_len(20_000).expect("writable");
    file.sync_data().expect("writable");
}

/// One entry, final at cut 0, and the rows of one call.
fn first(disk: &dyn Disk) {
    let entries = chain(1);
    let mut log = log(disk);
    log.append(&entries).expect("writable");
    log.put_cut(&cut(0, &entries), &entries).expect("writable");
    let mut state = filled(state(disk), 1, 1..40);
    settle(&mut state, 1, 0);
}

fn append(disk: &dyn Disk) -> Result<(), StoreError> {
    open_log(disk)?.append(&chain(4)[1..])
}

fn append_and_read(disk: &dyn Disk) -> Result<(), StoreError> {
    let mut log = open_log(disk)?;
    log.append(&chain(4)[1..])?;
    log.entries_len().map(|_| ())
}

fn has_tail(disk: &dyn Disk) {
    let log = log(disk);
    let encoded: Vec<_> = chain(4)[1..].iter().map(|e| e.encoded().to_vec()).collect();
    assert_eq!(log.tail().expect("readable"), encoded);
    assert_eq!(log.last_height().expect("readable"), Some(0));
}

fn settle_second(disk: &dyn Disk) -> Result<(), StoreError> {
    let mut state = filled(open_state(disk, schema())?, 2, 40..80);
    let settlement = state.plan_settle(Some(&position(2)), Vec::new())?;
    state.settle(settlement, 1)
}

/// Cut 1: three entries, and the rows of another call.
fn both_second(disk: &dyn Disk) -> Result<(), StoreError> {
    append(disk)?;
    let segment = &chain(4)[1..];
    open_log(disk)?.put_cut(&cut(1, segment), segment)?;
    settle_second(disk)
}

/// The same; files are opened once, so that they are closed after the last commit alone.
fn both_second_and_close(disk: &dyn Disk) -> Result<(), StoreError> {
    let segment = &chain(4)[1..];
    let mut log = open_log(disk)?;
    let state = filled(open_state(disk, schema())?, 2, 40..80);
    log.put_cut(&cut(1, segment), segment)?;
    let mut state = state;
    let settlement = state.plan_settle(Some(&position(2)), Vec::new())?;
    state.settle(settlement, 1)
}

fn second(disk: &dyn Disk) {
    first(disk);
    both_second(disk).expect("nothing fails");
}

/// Cut 1 is committed and synced; the files were never closed.
fn leave_killed(disk: &dyn Disk) {
    first(disk);
    let segment = &chain(4)[1..];
    let mut log = log(disk);
    let mut state = filled(state(disk), 2, 40..80);
    log.put_cut(&cut(1, segment), segment).expect("writable");
    settle(&mut state, 2, 1);
    // The runner's crash comes before either is dropped.
    std::mem::forget((log, state));
}

fn open_both(disk: &dyn Disk) -> Result<(), StoreError> {
    open_log(disk)?;
    open_state(disk, schema()).map(|_| ())
}

/// State roots at cuts 0 and 1.
fn roots() -> (StateRoot, StateRoot) {
    let disk = MemoryDisk::new();
    first(&disk);
    let before = state(&disk).final_root();
    settle_second(&disk).expect("nothing fails");
    (before, state(&disk).final_root())
}

fn migrated_root() -> StateRoot {
    let disk = MemoryDisk::new();
    first(&disk);
    migrate(&disk).expect("nothing fails");
    open_state(&disk, grown()).expect("it opens").final_root()
}

fn is_first_log(disk: &dyn Disk) -> bool {
    let log = log(disk);
    let told = (
        log.last_height().expect("readable"),
        log.entries_len().expect("readable"),
        log.tail().expect("readable").len(),
    );
    match told {
        (Some(0), 1, 0) | (Some(0), 4, 3) => true,
        (Some(1), 4, 0) => false,
        other => panic!("no state of the log: {other:?}"),
    }
}

fn base_height(disk: &dyn Disk) -> Option<u64> {
    let state = state(disk);
    let (before, after) = roots();
    let rows = rows_of(&state, NOTE).len();
    assert_eq!(count(&state, NOTE_AUTHOR), rows);
    assert_eq!(state.row_count(NOTE).expect("known"), rows as u64);
    match state.height() {
        Some(0) => assert_eq!((state.final_root(), rows), (before, 39)),
        Some(1) => assert_eq!((state.final_root(), rows), (after, 79)),
        other => panic!("no state of the base: {other:?}"),
    }
    state.height()
}

fn is_first_base(disk: &dyn Disk) {
    assert_eq!(base_height(disk), Some(0));
}

fn is_first(disk: &dyn Disk) {
    assert!(is_first_log(disk));
    is_first_base(disk);
}

fn is_second(disk: &dyn Disk) {
    assert!(!is_first_log(disk));
    assert_eq!(base_height(disk), Some(1));
}

fn is_first_or_second(disk: &dyn Disk) {
    let log_is_first = is_first_log(disk);
    let base_is_first = base_height(disk) == Some(0);
    assert!(base_is_first || !log_is_first, "the base is never ahead");
}

fn note_made(disk: &dyn Disk) -> Result<(), StoreError> {
    open_log(disk)?.put_note(REBUILD, b"why")
}

fn retreat(disk: &dyn Disk) -> Result<(), StoreError> {
    open_log(disk)?.retreat(0, &[pledge()], REBUILD)
}

fn retreat_from_second(disk: &dyn Disk) -> Result<(), StoreError> {
    second(disk);
    retreat(disk)
}

/// A state that keeps one call in memory.
fn spilling(disk: &dyn Disk) -> Result<State, StoreError> {
    let budget = OverlayBudget {
        bytes: usize::MAX,
        commits: 1,
    };
    let file = disk.spill(&DATABASE)?;
    Ok(open_state(disk, schema())?.spilling_to(file, budget))
}

/// The calls of cut 1 and two more, those that were first in the spill.
fn spilled(disk: &dyn Disk) -> Result<State, StoreError> {
    let mut state = filled(spilling(disk)?, 2, 40..80);
    for n in 3..5 {
        state = call(state, n, |call| {
            let text = format!("later {n}");
            call.insert(NOTE, &note(9, &text)).expect("it fits");
        })
        .0;
    }
    state.relieve()?;
    assert!(state.spilled_bytes() > 0, "the tail is too long for memory");
    Ok(state)
}

fn settle_spilled(disk: &dyn Disk) -> Result<(), StoreError> {
    let mut state = spilled(disk)?;
    let settlement = state.plan_settle(Some(&position(2)), Vec::new())?;
    state.settle(settlement, 1)
}

fn open_spilling(disk: &dyn Disk) -> Result<(), StoreError> {
    spilling(disk).map(|_| ())
}

/// Bytes in the spill file as a start leaves it.
fn spilled_len(disk: &dyn Disk) -> u64 {
    let file = disk.spill(&DATABASE).expect("writable");
    file.len().expect("readable")
}

fn is_second_base_unspilled(disk: &dyn Disk) {
    assert_eq!(base_height(disk), Some(1));
    assert_eq!(spilled_len(disk), 0);
}

/// Notes with one more column.
fn grown() -> Schema {
    let mut grown = tables();
    let column = crate::tests::column("level", spacetimedb_sats::AlgebraicType::U8);
    grown[1].columns.push(column);
    Schema::new(grown).expect("it fits")
}

fn migrate(disk: &dyn Disk) -> Result<(), StoreError> {
    let mut state = spilled(disk)?;
    let mut migration = Migration::to(grown());
    migration.append(NOTE, &[7]);
    let settlement = state.plan_migration(Some(&position(4)), Vec::new(), migration)?;
    state.settle(settlement, 1)
}

/// Notes with an index over their text in the place of the one over their author.
fn indexed() -> Schema {
    let mut indexed = tables();
    indexed[1].indexes = vec![index(LEVEL, "note_text", &[1], false)];
    Schema::new(indexed).expect("it fits")
}

fn reindex(disk: &dyn Disk) -> Result<(), StoreError> {
    open_state(disk, indexed()).map(|_| ())
}

fn is_reindexed(disk: &dyn Disk) {
    let state = open_state(disk, indexed()).expect("it opens");
    assert_eq!(count(&state, LEVEL), 39);
    assert_eq!(state.final_root(), roots().0, "entries are no part of it");
}

/// A second base with the rows of the first, at another height, in its place.
fn swap(disk: &dyn Disk) -> Result<(), StoreError> {
    let file = disk.spare_base(&DATABASE)?;
    let mut state = State::open(file, schema(), StateOptions::default())?;
    state = filled(state, 1, 1..40);
    let settlement = state.plan_settle(Some(&position(1)), Vec::new())?;
    state.settle(settlement, 5)?;
    drop(state);
    disk.use_spare_base(&DATABASE)
}

fn dump(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.put_dump(&DATABASE, "dump-1", "rows.txt", "a row")
}

fn half_blob(disk: &dyn Disk) {
    let hash = BlobHash::of(BLOB);
    disk.write_partial(&hash, 0, &BLOB[..5]).expect("writable");
}

fn is_half_blob(disk: &dyn Disk) {
    assert_eq!(partial(disk).as_deref(), Some(&BLOB[..5]));
}

fn partial(disk: &dyn Disk) -> Option<Vec<u8>> {
    disk.partial(&BlobHash::of(BLOB)).expect("readable")
}

/// Writes again from the third byte on.
fn extend_blob(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.write_partial(&BlobHash::of(BLOB), 2, &BLOB[2..])
}

fn keep_blob(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.put_blob(BLOB).map(|_| ())
}

fn keep_artifact(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.put_artifact(&ARTIFACT, BLOB);
    Ok(())
}
