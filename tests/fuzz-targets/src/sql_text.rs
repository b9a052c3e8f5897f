//! SQL as clients send it, over a small database.

use std::cell::OnceCell;

use spacetimedb_sats::AlgebraicType;
use store::{
    CallContext, Column, Disk, IndexId, IndexKind, IndexSchema, MemoryDisk, Row, Schema, State,
    StateOptions, TableId, TableSchema,
};
use sync_protocol::{DatabaseId, Hlc, Position};

use crate::sql::{Access, Filters, Reading, SqlError, SqlResult, VirtualTables};

const ITEM: TableId = TableId(4_096);

/// What is seen of the items: some by themselves, some because of others.
const FILTERS: [&str; 2] = [
    "SELECT * FROM item WHERE sold = true",
    "SELECT i.* FROM item i JOIN item k ON i.score = k.score WHERE k.id = 3",
];

thread_local! {
    static STATE: OnceCell<(State, Filters)> = const { OnceCell::new() };
}

/// A query: answered or refused with a sentence; and the count of what it finds is how many it
/// finds. As a module's visibility filter the same text is refused, or shows some of the rows.
pub(crate) fn sql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    STATE.with(|state| {
        let (state, filters) =
            state.get_or_init(|| (state_with_rows(), Filters::of(&FILTERS.map(str::to_owned))));
        query(state, filters, text);
        filter(state, text);
    });
}

fn ask(state: &State, filters: &Filters, text: &str) -> Result<SqlResult, SqlError> {
    let reading = Reading {
        state,
        views: &NoViews,
        access: access(),
        filters,
    };
    reading.ask(text)
}

fn filter(state: &State, text: &str) {
    let texts = [text.to_owned()];
    let reasons = Filters::check(&texts, state.schema());
    let seen = ask(state, &Filters::of(&texts), "select * from item");
    let seen = seen.expect("the table is there").rows.len();
    assert!(seen <= 6, "no more than there are");
    // All rows are seen by a query without a condition.
    if reasons.is_empty() && text.eq_ignore_ascii_case("select * from item") {
        assert_eq!(seen, 6);
    }
}

fn query(state: &State, filters: &Filters, text: &str) {
    let ask = |text: &str| ask(state, filters, text);
    match ask(text) {
        Ok(answer) => {
            let starts = text.get(..6);
            let is_select = starts.is_some_and(|start| start.eq_ignore_ascii_case("select"));
            // One word more fits, unless the text is as long as it may be.
            if is_select && text.len() < 1_000 {
                ask(&format!("explain {text}")).expect("what can be asked can be explained");
            }
            let types = answer.columns.iter().map(|(_, ty)| ty.clone());
            let whole = crate::types::product(types);
            for row in &answer.rows {
                assert!(crate::types::is_value(&whole, row), "a row that is none");
            }
            let select_all = text
                .get(..8)
                .filter(|start| start.eq_ignore_ascii_case("select *"));
            // What cuts the answer cuts the count too, and one row cannot be sorted by many.
            let lower = text.to_ascii_lowercase();
            let ends = ["limit", "offset", "order"];
            let plain = !ends.iter().any(|end| lower.contains(end));
            if select_all.is_some() && plain {
                let count = format!("select count(*) as n{}", &text[8..]);
                let counted = ask(&count).expect("what can be listed can be counted");
                let expected = (answer.rows.len() as u64).to_le_bytes().to_vec();
                assert_eq!(counted.rows, [expected]);
            }
        }
        Err(error) => {
            assert!(!error.is_ours(), "memory does not fail");
            assert!(!error.to_string().is_empty());
        }
    }
}

fn access() -> Access {
    Access {
        owner: false,
        sender: [3; 32],
    }
}

struct NoViews;

impl VirtualTables for NoViews {
    fn table(&self, _: &str) -> Option<(TableSchema, Vec<Row>)> {
        None
    }
}

fn state_with_rows() -> State {
    let column = |name: &str, ty| Column {
        name: name.to_owned(),
        source_name: name.to_owned(),
        ty,
    };
    let index = |id, name: &str, columns: &[u16], unique| IndexSchema {
        id: IndexId(id),
        name: name.to_owned(),
        source_name: name.to_owned(),
        columns: columns.to_vec(),
        unique,
        kind: IndexKind::BTree,
    };
    let item = TableSchema {
        id: ITEM,
        name: "item".to_owned(),
        source_name: "Item".to_owned(),
        columns: vec![
            column("id", AlgebraicType::U64),
            column("name", AlgebraicType::String),
            column("score", AlgebraicType::I16),
            column("weight", AlgebraicType::F64),
            column("sold", AlgebraicType::Bool),
            column("owner", AlgebraicType::identity()),
            column("at", AlgebraicType::timestamp()),
            column("code", AlgebraicType::bytes()),
            column("note", AlgebraicType::option(AlgebraicType::U8)),
            column("wide", AlgebraicType::I256),
        ],
        primary_key: Some(0),
        indexes: vec![
            index(4_096, "item_id", &[0], true),
            index(4_097, "item_name", &[1], true),
            index(4_098, "item_score_sold", &[2, 4], false),
        ],
        auto_inc: Vec::new(),
        public: true,
        event: false,
    };
    let schema = Schema::new(vec![item]).expect("the table fits");
    let base = MemoryDisk::new()
        .base(&DatabaseId([1; 32]))
        .expect("memory does not fail");
    let state = State::open(base, schema, StateOptions::default()).expect("it opens");
    let position = Position {
        hlc: Hlc(1_000),
        ..Position::MIN
    };
    let time = position.hlc;
    let mut call = state.begin(CallContext { position, time });
    for n in 0..6_u8 {
        let name = ["", "a", "b'c", "é", "%", "a_"][usize::from(n)];
        let row = [
            &u64::from(n).to_le_bytes()[..],
            &u32::try_from(name.len()).expect("short").to_le_bytes(),
            name.as_bytes(),
            &(i16::from(n % 3) - 1).to_le_bytes(),
            &(f64::from(n) / 2.0 - 1.0).to_le_bytes(),
            &[n % 2],
            &[n; 32],
            &(i64::from(n) * 1_000_000).to_le_bytes(),
            &[1, 0, 0, 0, n],
            if n == 0 { &[1] } else { &[0, 7] },
            &[if n == 1 { 0xFF } else { n }; 32],
        ]
        .concat();
        call.insert(ITEM, &row).expect("the row fits");
    }
    call.commit().0
}
