//! What a call, a cut and a root cost the store: `cargo run --release -p store --example timing`.
//! Figures to read, never to test against.

#![allow(clippy::disallowed_methods, reason = "it exists to look at the clock")]

use std::error::Error;
use std::time::Instant;

use spacetimedb_sats::AlgebraicType;
use store::{
    CallContext, Column, DirDisk, Disk, IndexId, IndexKind, IndexSchema, Range, RowWrite, Schema,
    State, StateOptions, TableId, TableSchema,
};
use sync_protocol::{DatabaseId, Hlc, Position};

const ACCOUNT: TableId = TableId(4_096);
const ACCOUNT_ID: IndexId = IndexId(4_096);
const ROWS: u32 = 100_000;
const HOT: u32 = 1_000;
const CALLS: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let disk = DirDisk::open(dir.path())?;
    let base = disk.base(&DatabaseId([1; 32]))?;
    let mut state = State::open(base, schema()?, StateOptions::default())?;

    let rows = (0..ROWS).map(|id| RowWrite {
        table: ACCOUNT,
        row: row(id, 0),
        delete: false,
    });
    let started = Instant::now();
    let settlement = state.plan_settle(None, rows.collect())?;
    state.settle(settlement, 0)?;
    report("a new row in a cut", started, u64::from(ROWS));

    for (what, range) in [("hot rows", HOT), ("all rows", ROWS)] {
        let started = Instant::now();
        let mut dice = 1_u32;
        for n in 0..CALLS {
            state = transfer(state, n, range, &mut dice)?;
        }
        report(
            &format!("a call over {what}: 2 point reads, 2 updates"),
            started,
            CALLS,
        );
        println!(
            "  overlay: {} versions, {} bytes",
            state.overlay_len(),
            state.overlay_bytes()
        );
        let started = Instant::now();
        let before = state.root()?;
        report("the root", started, 1);
        let started = Instant::now();
        let settlement = state.plan_settle(Some(&position(CALLS - 1)), Vec::new())?;
        let count = settlement.len() as u64;
        assert_eq!(settlement.root, before, "tentative and final agree");
        report("planning a cut, a row", started, count);
        let started = Instant::now();
        let height = state.height().map_or(0, |height| height + 1);
        state.settle(settlement, height)?;
        report("writing it, a row", started, count);
    }
    let started = Instant::now();
    let count = state.rows(ACCOUNT)?.count() as u64;
    report("a scanned row", started, count);
    Ok(())
}

fn transfer(state: State, n: u64, range: u32, dice: &mut u32) -> Result<State, Box<dyn Error>> {
    let context = CallContext {
        position: position(n),
        time: Hlc(1_800_000_000_000_000 + n),
    };
    let mut call = state.begin(context);
    for change in [-1, 1] {
        *dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let id = *dice % range;
        let found = call.scan_range(ACCOUNT_ID, &Range::point(&id.to_le_bytes()))?;
        let amount = found[0]
            .last_chunk::<8>()
            .map_or(0, |bytes| i64::from_le_bytes(*bytes));
        call.update(ACCOUNT, ACCOUNT_ID, &row(id, amount + change))?;
    }
    Ok(call.commit().0)
}

fn position(n: u64) -> Position {
    Position {
        hlc: Hlc(n),
        ..Position::MIN
    }
}

fn row(id: u32, amount: i64) -> Vec<u8> {
    [&id.to_le_bytes()[..], &amount.to_le_bytes()].concat()
}

fn report(what: &str, started: Instant, count: u64) {
    let micros = started.elapsed().as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let each = micros / count.max(1) as f64;
    println!("{each:10.3} µs  {what} ({count})");
}

fn schema() -> Result<Schema, Box<dyn Error>> {
    let column = |name: &str, ty| Column {
        name: name.into(),
        source_name: name.into(),
        ty,
    };
    let index = IndexSchema {
        id: ACCOUNT_ID,
        name: "account_id_idx_btree".to_owned(),
        source_name: "account_id_idx_btree".to_owned(),
        columns: vec![0],
        unique: true,
        kind: IndexKind::BTree,
    };
    let table = TableSchema {
        id: ACCOUNT,
        name: "account".to_owned(),
        source_name: "account".to_owned(),
        columns: vec![
            column("id", AlgebraicType::U32),
            column("amount", AlgebraicType::I64),
        ],
        primary_key: Some(0),
        indexes: vec![index],
        auto_inc: Vec::new(),
        public: false,
        event: false,
    };
    Ok(Schema::new(vec![table])?)
}
