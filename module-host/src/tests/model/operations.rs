//! Random operations. They say what they want by small numbers, which get their meaning when the
//! tables and their rows are known: so a case can be made smaller without falling apart.

use proptest::prelude::*;

/// Which table or index is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// One that exists.
    Known(usize),
    /// A number that nothing has.
    Unknown(u32),
}

/// A row to be.
#[derive(Clone, Debug)]
pub(super) struct RowDraft {
    pub(super) like: Like,
    /// Seeds of the values of columns, by place.
    pub(super) seeds: Vec<u32>,
    /// Whether columns that number themselves are to do so.
    pub(super) numbered: bool,
    pub(super) damage: Damage,
}

/// What a row begins with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Like {
    /// Nothing: all of its values are its own.
    New,
    /// A row that is there, as it is.
    Held(usize),
    /// A row that is there, but for one column.
    HeldBut(usize, usize),
}

/// What is done to bytes before they are handed over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    None,
    /// So many bytes are missing at the end.
    Short(usize),
    /// One byte follows.
    Long(u8),
    /// One byte is another.
    Flipped(usize, u8),
}

/// A part of an index.
#[derive(Clone, Debug)]
pub(super) struct RangeDraft {
    pub(super) like: Like,
    pub(super) seeds: Vec<u32>,
    /// Columns before the one that is bounded.
    pub(super) prefix: usize,
    pub(super) start: BoundDraft,
    pub(super) end: BoundDraft,
    pub(super) damage: Damage,
}

/// Where a column begins or ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum BoundDraft {
    /// At the value that the range's row has.
    Included,
    Excluded,
    /// At a value of its own.
    IncludedOther(u32),
    ExcludedOther(u32),
    Unbounded,
    /// Bytes that are no bound.
    Broken(u8),
}

/// How much room a row iterator is given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    Nothing,
    /// One byte less than the next row takes.
    TooLittle,
    /// So many rows exactly.
    Rows(usize),
    /// So many rows and a bit.
    RowsAndMore(usize),
    Plenty,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(Which, RowDraft),
    /// Several rows.
    InsertAll(Which, Vec<RowDraft>),
    /// The same row again and again.
    InsertMany(Which, RowDraft, usize),
    /// By the index of that place in the table, or by one of all.
    Update(Which, Result<usize, Which>, RowDraft),
    DeleteAllByEq(Which, Vec<RowDraft>, Damage),
    Clear(Which),
    Count(Which),
    Scan(Which),
    ScanPoint(Which, RangeDraft),
    DeletePoint(Which, RangeDraft),
    /// Whether by the older name of the import.
    ScanRange(Which, RangeDraft, bool),
    DeleteRange(Which, RangeDraft, bool),
    /// One of the iterators opened so far, or one that never was.
    Advance(usize, Room),
    Close(usize),
    /// Whether by the name that clients see.
    FindTable(Which, bool),
    FindIndex(Which, bool),
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Failed,
    /// With a status that means nothing.
    Status,
    Aborted,
    NullPointer,
    OutOfMemory,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) ops: Vec<Op>,
    pub(super) end: End,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Call(Call),
    /// A call that comes before so many of those executed: they are executed again.
    Late(usize, Call),
    /// So many of the last calls are taken back for good.
    Rewind(usize),
    /// A cut over so many of the oldest calls.
    Settle(usize),
    /// The machine loses power: what no cut covers is executed again.
    Restart,
}

/// Small ones most often, so that they meet.
fn seed() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0_u32..4, 3 => 0_u32..16, 1 => 0_u32..64]
}

fn seeds() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(seed(), 6)
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        30 => (0_usize..16).prop_map(Which::Known),
        1 => prop::sample::select(vec![0, 1, 4_095, 5_000, 1 << 30, u32::MAX])
            .prop_map(Which::Unknown),
    ]
}

fn like() -> impl Strategy<Value = Like> {
    prop_oneof![
        3 => Just(Like::New),
        2 => (0_usize..20).prop_map(Like::Held),
        3 => ((0_usize..20), (0_usize..6)).prop_map(|(row, column)| Like::HeldBut(row, column)),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        20 => Just(Damage::None),
        1 => (1_usize..5).prop_map(Damage::Short),
        1 => any::<u8>().prop_map(Damage::Long),
        1 => ((0_usize..64), (1_u8..)).prop_map(|(place, bits)| Damage::Flipped(place, bits)),
    ]
}

fn row() -> impl Strategy<Value = RowDraft> {
    let numbered = prop::bool::weighted(0.4);
    (like(), seeds(), numbered, damage()).prop_map(|(like, seeds, numbered, damage)| RowDraft {
        like,
        seeds,
        numbered,
        damage,
    })
}

fn bound() -> impl Strategy<Value = BoundDraft> {
    prop_oneof![
        6 => Just(BoundDraft::Included),
        4 => Just(BoundDraft::Excluded),
        4 => Just(BoundDraft::Unbounded),
        3 => seed().prop_map(BoundDraft::IncludedOther),
        3 => seed().prop_map(BoundDraft::ExcludedOther),
        1 => (2_u8..6).prop_map(BoundDraft::Broken),
    ]
}

fn range() -> impl Strategy<Value = RangeDraft> {
    let prefix = prop_oneof![3 => Just(0_usize), 2 => Just(1), 1 => 2_usize..5];
    (like(), seeds(), prefix, bound(), bound(), damage()).prop_map(
        |(like, seeds, prefix, start, end, damage)| RangeDraft {
            like,
            seeds,
            prefix,
            start,
            end,
            damage,
        },
    )
}

fn room() -> impl Strategy<Value = Room> {
    prop_oneof![
        1 => Just(Room::Nothing),
        3 => Just(Room::TooLittle),
        4 => (1_usize..4).prop_map(Room::Rows),
        2 => (1_usize..4).prop_map(Room::RowsAndMore),
        4 => Just(Room::Plenty),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let by = || {
        prop_oneof![
            6 => (0_usize..4).prop_map(Ok),
            1 => which().prop_map(Err),
        ]
    };
    let rows = || prop::collection::vec(row(), 0..4);
    prop_oneof![
        14 => (which(), row()).prop_map(|(table, row)| Op::Insert(table, row)),
        6 => (which(), prop::collection::vec(row(), 2..6))
            .prop_map(|(table, rows)| Op::InsertAll(table, rows)),
        1 => (which(), row(), 2_usize..140)
            .prop_map(|(table, row, times)| Op::InsertMany(table, row, times)),
        8 => (which(), by(), row()).prop_map(|(table, by, row)| Op::Update(table, by, row)),
        4 => (which(), rows(), damage())
            .prop_map(|(table, rows, damage)| Op::DeleteAllByEq(table, rows, damage)),
        1 => which().prop_map(Op::Clear),
        2 => which().prop_map(Op::Count),
        4 => which().prop_map(Op::Scan),
        4 => (which(), range()).prop_map(|(index, range)| Op::ScanPoint(index, range)),
        2 => (which(), range()).prop_map(|(index, range)| Op::DeletePoint(index, range)),
        8 => (which(), range(), any::<bool>())
            .prop_map(|(index, range, old)| Op::ScanRange(index, range, old)),
        3 => (which(), range(), any::<bool>())
            .prop_map(|(index, range, old)| Op::DeleteRange(index, range, old)),
        12 => (0_usize..6, room()).prop_map(|(iterator, room)| Op::Advance(iterator, room)),
        2 => (0_usize..6).prop_map(Op::Close),
        1 => (which(), any::<bool>()).prop_map(|(table, seen)| Op::FindTable(table, seen)),
        1 => (which(), any::<bool>()).prop_map(|(index, seen)| Op::FindIndex(index, seen)),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let end = prop_oneof![
        12 => Just(End::Finished),
        1 => Just(End::Failed),
        1 => Just(End::Status),
        1 => Just(End::Aborted),
        1 => Just(End::NullPointer),
        1 => Just(End::OutOfMemory),
    ];
    (prop::collection::vec(op(), 0..16), end).prop_map(|(ops, end)| Call { ops, end })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => call().prop_map(Step::Call),
        2 => (1_usize..4, call()).prop_map(|(before, call)| Step::Late(before, call)),
        1 => (1_usize..4).prop_map(Step::Rewind),
        3 => (0_usize..5).prop_map(Step::Settle),
        1 => Just(Step::Restart),
    ]
}

/// Any history of a database.
pub(super) fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..10)
}
