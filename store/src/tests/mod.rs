//! Tests of the store as a whole; each file is one promise.

mod amending;
mod appending;
mod aside;
mod bounds;
mod crash;
mod crash_points;
mod disks;
mod emptying;
mod faults;
mod golden;
mod journal;
mod journal_cuts;
mod keys;
mod migrating;
mod model;
mod numbers;
mod reopening;
mod retreat;
mod roots;
mod rows;
mod spilling;

use std::sync::Arc;

use spacetimedb_sats::AlgebraicType;
use sync_protocol::{
    Body, CallName, Caller, ConnectionId, Cut, CutDraft, CutId, CutRef, DatabaseId, DeviceKey,
    Draft, Entry, EntryId, Hlc, Invocation, OrderRoot, Position, SecretKey, StateRoot, Term,
    order_root,
};

use crate::{
    CallContext, Column, Disk, IndexId, IndexKind, IndexSchema, MemoryDisk, Row, RowChange,
    RowWrite, Schema, State, StateOptions, TableId, TableSchema, Transaction,
};

pub(crate) const ACCOUNT: TableId = TableId(4_096);
pub(crate) const ACCOUNT_ID: IndexId = IndexId(4_096);
pub(crate) const ACCOUNT_NAME: IndexId = IndexId(4_097);
pub(crate) const ACCOUNT_TEAM: IndexId = IndexId(4_098);
pub(crate) const NOTE: TableId = TableId(4_097);
pub(crate) const NOTE_AUTHOR: IndexId = IndexId(4_099);
pub(crate) const MESSAGE: TableId = TableId(4_098);
pub(crate) const MESSAGE_ID: IndexId = IndexId(4_100);
pub(crate) const ALARM: TableId = TableId(4_099);
/// Written by cuts alone.
pub(crate) const MEMBER: TableId = TableId(5);
pub(crate) const MEMBER_ROLE: IndexId = IndexId(5);
pub(crate) const DATABASE: DatabaseId = DatabaseId([7; 32]);

pub(crate) fn column(name: &str, ty: AlgebraicType) -> Column {
    Column {
        name: name.to_owned(),
        source_name: name.to_owned(),
        ty,
    }
}

pub(crate) fn index(id: IndexId, name: &str, columns: &[u16], unique: bool) -> IndexSchema {
    IndexSchema {
        id,
        name: name.to_owned(),
        source_name: format!("source_{name}"),
        columns: columns.to_vec(),
        unique,
        kind: IndexKind::BTree,
    }
}

pub(crate) fn table(id: TableId, name: &str, columns: Vec<Column>) -> TableSchema {
    TableSchema {
        id,
        name: name.to_owned(),
        source_name: format!("source_{name}"),
        columns,
        primary_key: None,
        indexes: Vec::new(),
        auto_inc: Vec::new(),
        public: true,
        event: false,
    }
}

/// Tables that have everything: a primary key with a narrow sequence, a unique and a two-column
/// index; rows without a key; a wide sequence; events; rows that cuts write.
pub(crate) fn tables() -> Vec<TableSchema> {
    use AlgebraicType as Type;
    let mut account = table(
        ACCOUNT,
        "account",
        vec![
            column("id", Type::U32),
            column("name", Type::String),
            column("team", Type::U8),
            column("score", Type::I64),
        ],
    );
    account.primary_key = Some(0);
    account.auto_inc = vec![0];
    account.indexes = vec![
        index(ACCOUNT_ID, "account_id", &[0], true),
        index(ACCOUNT_NAME, "account_name", &[1], true),
        index(ACCOUNT_TEAM, "account_team_score", &[2, 3], false),
    ];
    let mut note = table(
        NOTE,
        "note",
        vec![column("author", Type::U8), column("text", Type::String)],
    );
    note.indexes = vec![index(NOTE_AUTHOR, "note_author", &[0], false)];
    let mut message = table(
        MESSAGE,
        "message",
        vec![column("id", Type::U64), column("text", Type::String)],
    );
    message.primary_key = Some(0);
    message.auto_inc = vec![0];
    message.indexes = vec![index(MESSAGE_ID, "message_id", &[0], true)];
    let mut alarm = table(ALARM, "alarm", vec![column("level", Type::U8)]);
    alarm.event = true;
    let mut member = table(
        MEMBER,
        "member",
        vec![column("id", Type::U8), column("role", Type::String)],
    );
    member.primary_key = Some(0);
    member.indexes = vec![index(MEMBER_ROLE, "member_role", &[1], false)];
    vec![account, note, message, alarm, member]
}

pub(crate) fn schema() -> Schema {
    Schema::new(tables()).expect("the tables fit")
}

pub(crate) fn open(disk: &MemoryDisk) -> State {
    let base = disk.base(&DATABASE).expect("memory does not fail");
    State::open(base, schema(), StateOptions::default()).expect("the state opens")
}

/// The position of the `n`-th call.
pub(crate) fn position(n: u64) -> Position {
    Position {
        hlc: Hlc(1_800_000_000_000_000 + n),
        ..Position::MIN
    }
}

pub(crate) fn begin(state: State, n: u64) -> Transaction {
    let position = position(n);
    state.begin(CallContext {
        position,
        time: position.hlc,
    })
}

/// Runs `work` as the `n`-th call.
pub(crate) fn call(
    state: State,
    n: u64,
    work: impl FnOnce(&mut Transaction),
) -> (State, Vec<RowChange>) {
    let mut transaction = begin(state, n);
    work(&mut transaction);
    transaction.commit()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len())
        .expect("short")
        .to_le_bytes()
        .to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn account(id: u32, name: &str, team: u8, score: i64) -> Vec<u8> {
    [
        &id.to_le_bytes()[..],
        &text(name),
        &[team],
        &score.to_le_bytes(),
    ]
    .concat()
}

pub(crate) fn note(author: u8, words: &str) -> Vec<u8> {
    [&[author][..], &text(words)].concat()
}

pub(crate) fn message(id: u64, words: &str) -> Vec<u8> {
    [&id.to_le_bytes()[..], &text(words)].concat()
}

pub(crate) fn write(table: TableId, row: Vec<u8>) -> RowWrite {
    RowWrite {
        table,
        row,
        delete: false,
    }
}

pub(crate) fn rows_of(state: &State, table: TableId) -> Vec<Row> {
    state
        .rows(table)
        .expect("the table exists")
        .map(|row| row.expect("readable"))
        .collect()
}

/// A settlement of everything up to and with call `n`.
pub(crate) fn settle(state: &mut State, n: u64, height: u64) -> StateRoot {
    let settlement = state
        .plan_settle(Some(&position(n)), Vec::new())
        .expect("it can be planned");
    let root = settlement.root;
    state.settle(settlement, height).expect("it can be settled");
    root
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// A chain of entries by one author, the first without parents.
pub(crate) fn chain(length: u64) -> Vec<Arc<Entry>> {
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    for seq in 0..length {
        let parents: Vec<EntryId> = entries.last().map(|entry| entry.id).into_iter().collect();
        // A first entry without parents would be a genesis entry, which has a form of its own.
        let parents = if parents.is_empty() {
            vec![EntryId([1; 32])]
        } else {
            parents
        };
        let draft = Draft {
            database: DATABASE,
            epoch: 5,
            seq,
            parents,
            hlc: Hlc(1_800_000_000_000_000 + 1_000 * seq),
            stride: 0,
            base: CutRef {
                term: Term::FIRST,
                height: 0,
                id: CutId([2; 32]),
            },
        };
        let body = Body {
            names: vec![CallName {
                name: "send".to_owned(),
                arguments_type: [3; 8],
            }],
            callers: vec![Caller {
                issuer: "did:key:zTest".to_owned(),
                subject: "did:key:zTest".to_owned(),
                claims: String::new(),
            }],
            invocations: vec![Invocation {
                name: 0,
                caller: 0,
                connection: ConnectionId::ZERO,
                args: seq.to_le_bytes().to_vec(),
            }],
        };
        entries.push(Arc::new(
            Entry::seal(draft, body, &key(1)).expect("it can be sealed"),
        ));
    }
    entries
}

/// The cut at `height` over `segment`.
pub(crate) fn cut(height: u64, segment: &[Arc<Entry>]) -> Cut {
    let ids: Vec<EntryId> = segment.iter().map(|entry| entry.id).collect();
    let order_root: OrderRoot = order_root(&ids);
    let finalisers: Vec<DeviceKey> = vec![key(1).public()];
    let draft = CutDraft {
        database: DATABASE,
        term: Term::FIRST,
        height,
        parent: CutId([u8::from(height > 0); 32]),
        engine: 1,
        frontier: vec![match ids.last() {
            Some(last) if height > 0 => *last,
            _ => EntryId::from(DATABASE),
        }],
        order_root,
        state_root: StateRoot::ZERO,
        finalisers,
    };
    Cut::seal(draft, &key(1)).expect("it can be sealed")
}
