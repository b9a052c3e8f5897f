//! Queries over a table with indexes, and over the same rows in a table without: both must answer
//! what a plain filter over the rows answers. This file holds the tables.

mod answers;
mod asking;
mod errors;
mod examples;
mod filters;
mod groups;
mod joins;
mod naive;
mod plans;
mod random;
mod writes;

use spacetimedb_sats::AlgebraicType;
use store::{
    CallContext, Column, Disk, IndexId, IndexKind, IndexSchema, MemoryDisk, Row, Schema, State,
    StateOptions, TableId, TableSchema,
};
use sync_protocol::{DatabaseId, DeviceKey, EntryId, Hlc, Position};

use super::error::SqlError;
use super::{Access, Filters, Reading, SqlResult, VirtualTables};

const INDEXED: TableId = TableId(4096);
const BARE: TableId = TableId(4097);
const SECRET: TableId = TableId(4098);

/// A row of the tables, as a program would hold it.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    id: u64,
    name: String,
    shelf: u32,
    score: i16,
    weight: f64,
    sold: bool,
    owner: [u8; 32],
    at: i64,
    code: Vec<u8>,
    note: Option<u8>,
}

impl Item {
    fn bsatn(&self) -> Vec<u8> {
        let sized = |bytes: &[u8]| {
            let len = u32::try_from(bytes.len()).expect("short");
            [&len.to_le_bytes(), bytes].concat()
        };
        [
            &self.id.to_le_bytes()[..],
            &sized(self.name.as_bytes()),
            &self.shelf.to_le_bytes(),
            &self.score.to_le_bytes(),
            &self.weight.to_le_bytes(),
            &[u8::from(self.sold)],
            &self.owner,
            &self.at.to_le_bytes(),
            &sized(&self.code),
            &self.note.map_or(vec![1], |note| vec![0, note]),
        ]
        .concat()
    }
}

fn columns() -> Vec<Column> {
    let column = |name: &str, source_name: &str, ty| Column {
        name: name.to_owned(),
        source_name: source_name.to_owned(),
        ty,
    };
    vec![
        column("id", "id", AlgebraicType::U64),
        column("name", "name", AlgebraicType::String),
        column("shelf_no", "shelfNo", AlgebraicType::U32),
        column("score", "score", AlgebraicType::I16),
        column("weight", "weight", AlgebraicType::F64),
        column("sold", "sold", AlgebraicType::Bool),
        column("owner", "owner", AlgebraicType::identity()),
        column("at", "at", AlgebraicType::timestamp()),
        column("code", "code", AlgebraicType::bytes()),
        column("note", "note", AlgebraicType::option(AlgebraicType::U8)),
    ]
}

fn schema() -> Schema {
    let table = |id, name: &str, public, indexes| TableSchema {
        id,
        name: name.to_owned(),
        source_name: format!("{name}Source"),
        columns: columns(),
        primary_key: Some(0),
        indexes,
        auto_inc: vec![],
        public,
        event: false,
    };
    let mut next = 4096;
    let mut index = |columns: &[u16], unique, kind| {
        let id = IndexId(next);
        next += 1;
        let name = format!("index_{}", id.0);
        IndexSchema {
            id,
            source_name: name.clone(),
            name,
            columns: columns.to_vec(),
            unique,
            kind,
        }
    };
    let indexed = vec![
        index(&[0], true, IndexKind::BTree),
        index(&[2, 3], false, IndexKind::BTree),
        index(&[1], false, IndexKind::Hash),
        index(&[6], false, IndexKind::BTree),
        index(&[4], false, IndexKind::BTree),
        index(&[5, 7, 0], true, IndexKind::BTree),
    ];
    let bare = vec![index(&[0], true, IndexKind::BTree)];
    let secret = vec![index(&[0], true, IndexKind::BTree)];
    Schema::new(vec![
        table(INDEXED, "item", true, indexed),
        table(BARE, "bare", true, bare),
        table(SECRET, "secret", false, secret),
    ])
    .expect("a sound schema")
}

fn state(items: &[Item]) -> State {
    let database = DatabaseId([1; 32]);
    let backend = MemoryDisk::default()
        .base(&database)
        .expect("a disk in memory");
    let state = State::open(backend, schema(), StateOptions::default()).expect("an empty base");
    let time = Hlc(1);
    let position = Position {
        hlc: time,
        author: DeviceKey([2; 32]),
        entry: EntryId([3; 32]),
        index: 0,
    };
    let mut transaction = state.begin(CallContext { position, time });
    for item in items {
        for table in [INDEXED, BARE, SECRET] {
            transaction
                .insert(table, &item.bsatn())
                .expect("distinct ids");
        }
    }
    transaction.commit().0
}

struct Views(Vec<(TableSchema, Vec<Row>)>);

impl VirtualTables for Views {
    fn table(&self, name: &str) -> Option<(TableSchema, Vec<Row>)> {
        self.0.iter().find(|(table, _)| table.name == name).cloned()
    }
}

fn ask_as(state: &State, access: Access, text: &str) -> Result<SqlResult, SqlError> {
    ask_beside(state, &Views(vec![]), access, text)
}

/// The same where this peer makes views.
fn ask_beside(
    state: &State,
    views: &Views,
    access: Access,
    text: &str,
) -> Result<SqlResult, SqlError> {
    let reading = Reading {
        state,
        views,
        access,
        filters: &Filters::default(),
    };
    reading.ask(text)
}

const STRANGER: Access = Access {
    owner: false,
    sender: [9; 32],
};

fn ask(state: &State, text: &str) -> Result<SqlResult, SqlError> {
    ask_as(state, STRANGER, text)
}

fn some_items() -> Vec<Item> {
    (1..=5_u8)
        .map(|n| Item {
            id: n.into(),
            name: format!("it's {n}"),
            shelf: u32::from(n % 2),
            score: 10 - 5 * i16::from(n),
            weight: f64::from(n) / 2.0,
            sold: n == 3,
            owner: if n == 4 { STRANGER.sender } else { [n; 32] },
            at: i64::from(n) * 1_000_000,
            code: vec![n; n.into()],
            note: (n != 2).then_some(n),
        })
        .collect()
}

fn ids(answer: &SqlResult) -> Vec<u64> {
    let id = |row: &Vec<u8>| u64::from_le_bytes(row[..8].try_into().expect("an id comes first"));
    let mut ids: Vec<_> = answer.rows.iter().map(id).collect();
    ids.sort_unstable();
    ids
}
