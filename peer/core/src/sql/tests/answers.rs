//! Random queries over random tables with random indexes: joined, grouped, sorted, cut. The answers
//! are those of [`super::naive`].

use std::cmp::Ordering;

use proptest::prelude::*;
use spacetimedb_sats::AlgebraicType;
use store::{
    CallContext, Column, Disk, IndexId, IndexKind, IndexSchema, MemoryDisk, Schema, State,
    StateOptions, TableId, TableSchema,
};
use sync_protocol::{DatabaseId, Hlc, Position};

use super::ask;
use super::asking::{any_asked, any_table};
use super::naive::{Value, answer};

/// The columns of every table; the first is its primary key.
pub(super) const COLUMNS: [(&str, AlgebraicType); 6] = [
    ("id", AlgebraicType::U64),
    ("k", AlgebraicType::U32),
    ("n", AlgebraicType::I16),
    ("w", AlgebraicType::F64),
    ("s", AlgebraicType::String),
    ("o", AlgebraicType::U8), // an option of it
];

fn type_of(column: usize) -> AlgebraicType {
    match column {
        5 => AlgebraicType::option(AlgebraicType::U8),
        _ => COLUMNS[column].1.clone(),
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Vec<Value>>,
    pub(super) indexes: Vec<(Vec<u16>, IndexKind)>,
}

/// A column of one of the query's tables, or a value made of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Column(usize, usize),
    Fold(Fold, Option<(usize, usize)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fold {
    Count,
    SumWhole,
    SumFloat,
    Avg,
    Min,
    Max,
}

#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) table: usize,
    /// An own column, and one of a table before that it equals.
    pub(super) on: Option<(usize, (usize, usize))>,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Always,
    Literal(Item, &'static str, Value),
    Pair(Item, &'static str, Item),
    All(Vec<Wish>),
    Any(Vec<Wish>),
}

impl Wish {
    pub(super) fn visit(&self, see: &mut dyn FnMut(&Item)) {
        match self {
            Self::Always => {}
            Self::Literal(item, ..) => see(item),
            Self::Pair(one, _, other) => [one, other].into_iter().for_each(see),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(see)),
        }
    }

    fn text(&self) -> String {
        let chain = |parts: &[Self], between: &str| {
            let parts: Vec<_> = parts.iter().map(Self::text).collect();
            format!("({})", parts.join(between))
        };
        match self {
            Self::Always => "true".to_owned(),
            Self::Literal(item, operator, value) => {
                let literal = match value {
                    Value::Whole(whole) => whole.to_string(),
                    Value::Float(float) => format!("{float:?}"),
                    Value::Text(text) => format!("'{text}'"),
                    Value::Maybe(_) => unreachable!("not compared"),
                };
                format!("{} {operator} {literal}", item.text())
            }
            Self::Pair(one, operator, other) => {
                format!("{} {operator} {}", one.text(), other.text())
            }
            Self::All(parts) => chain(parts, " AND "),
            Self::Any(parts) => chain(parts, " OR "),
        }
    }
}

impl Item {
    fn text(&self) -> String {
        let column = |(table, column): (usize, usize)| format!("t{table}.{}", COLUMNS[column].0);
        match self {
            Self::Column(table, of) => column((*table, *of)),
            Self::Fold(fold, of) => {
                let of = of.map_or_else(|| "*".to_owned(), column);
                let name = match fold {
                    Fold::Count => "COUNT",
                    Fold::SumWhole | Fold::SumFloat => "SUM",
                    Fold::Avg => "AVG",
                    Fold::Min => "MIN",
                    Fold::Max => "MAX",
                };
                format!("{name}({of})")
            }
        }
    }

    pub(super) fn ty(&self) -> AlgebraicType {
        match *self {
            Self::Column(_, column) => type_of(column),
            Self::Fold(Fold::Min | Fold::Max, Some((_, column))) => type_of(column),
            Self::Fold(Fold::SumWhole, Some((_, 2))) => AlgebraicType::I128,
            Self::Fold(Fold::SumWhole, _) => AlgebraicType::U128,
            Self::Fold(Fold::SumFloat | Fold::Avg, _) => AlgebraicType::F64,
            Self::Fold(..) => AlgebraicType::U64,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) tables: Vec<Joined>,
    pub(super) wish: Wish,
    pub(super) shown: Vec<Item>,
    /// `None`: no groups. An empty list: one group.
    pub(super) group_by: Option<Vec<Item>>,
    pub(super) having: Wish,
    pub(super) distinct: bool,
    /// What to sort by, and whether descending.
    pub(super) order: Vec<(Item, bool)>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

impl Asked {
    pub(super) fn sorted_by(&self) -> Vec<Item> {
        self.order.iter().map(|(item, _)| item.clone()).collect()
    }

    pub(super) fn compare_keys(&self, one: &[Value], other: &[Value]) -> Ordering {
        let pairs = one.iter().zip(other).zip(&self.order);
        let orders = pairs.map(|((one, other), (_, descending))| match descending {
            true => other.order(one),
            false => one.order(other),
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }

    fn text(&self) -> String {
        let list = |items: &[Item]| {
            let items: Vec<_> = items.iter().map(Item::text).collect();
            items.join(", ")
        };
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let shown = self.shown.iter().enumerate();
        let shown: Vec<_> = shown
            .map(|(at, item)| match at {
                // Some are named, and ORDER BY below takes the name.
                0 => format!("{} AS first", item.text()),
                _ => item.text(),
            })
            .collect();
        let mut text = format!("SELECT {distinct}{} FROM", shown.join(", "));
        for (at, joined) in self.tables.iter().enumerate() {
            match joined.on {
                None => text += &format!(" table{} AS t{at}", joined.table),
                Some((own, (other, of_other))) => {
                    let (own, of_other) = (COLUMNS[own].0, COLUMNS[of_other].0);
                    text += &format!(
                        " JOIN table{} t{at} ON t{at}.{own} = t{other}.{of_other}",
                        joined.table
                    );
                }
            }
        }
        text += &format!(" WHERE {}", self.wish.text());
        if let Some(by) = self.group_by.as_ref().filter(|by| !by.is_empty()) {
            text += &format!(" GROUP BY {}", list(by));
        }
        if self.group_by.is_some() {
            text += &format!(" HAVING {}", self.having.text());
        }
        if !self.order.is_empty() {
            let order = self.order.iter().map(|(item, descending)| {
                let by = match *item == self.shown[0] {
                    true => "first".to_owned(),
                    false => item.text(),
                };
                format!("{by}{}", if *descending { " DESC" } else { "" })
            });
            text += &format!(" ORDER BY {}", order.collect::<Vec<_>>().join(", "));
        }
        if let Some(limit) = self.limit {
            text += &format!(" LIMIT {limit}");
        }
        if self.offset > 0 {
            text += &format!(" OFFSET {}", self.offset);
        }
        text
    }
}

fn bsatn(ty: &AlgebraicType, value: &Value) -> Vec<u8> {
    match value {
        Value::Whole(whole) => {
            let width = match ty {
                AlgebraicType::U8 => 1,
                AlgebraicType::I16 => 2,
                AlgebraicType::U32 => 4,
                AlgebraicType::U64 => 8,
                _ => 16,
            };
            whole.to_le_bytes()[..width].to_vec()
        }
        Value::Float(float) => float.to_le_bytes().to_vec(),
        Value::Text(text) => {
            let len = u32::try_from(text.len()).expect("short");
            [&len.to_le_bytes(), text.as_bytes()].concat()
        }
        Value::Maybe(maybe) => maybe.map_or(vec![1], |some| vec![0, some]),
    }
}

fn state_of(tables: &[Table]) -> State {
    let mut number = 4_096;
    let schemas = tables.iter().zip(4_096..).map(|(table, id)| {
        let mut index = |columns: &[u16], unique, kind| {
            number += 1;
            let name = format!("index_{number}");
            IndexSchema {
                id: IndexId(number),
                source_name: name.clone(),
                name,
                columns: columns.to_vec(),
                unique,
                kind,
            }
        };
        let mut indexes = vec![index(&[0], true, IndexKind::BTree)];
        let further = table.indexes.iter();
        indexes.extend(further.map(|(columns, kind)| index(columns, false, *kind)));
        let name = format!("table{}", id - 4_096);
        TableSchema {
            id: TableId(id),
            source_name: name.clone(),
            name,
            columns: (0..COLUMNS.len())
                .map(|at| Column {
                    name: COLUMNS[at].0.to_owned(),
                    source_name: COLUMNS[at].0.to_owned(),
                    ty: type_of(at),
                })
                .collect(),
            primary_key: Some(0),
            indexes,
            auto_inc: vec![],
            public: true,
            event: false,
        }
    });
    let schema = Schema::new(schemas.collect()).expect("a sound schema");
    let base = MemoryDisk::default();
    let base = base.base(&DatabaseId([1; 32])).expect("a disk in memory");
    let state = State::open(base, schema, StateOptions::default()).expect("an empty base");
    let position = Position {
        hlc: Hlc(1),
        ..Position::MIN
    };
    let time = position.hlc;
    let mut transaction = state.begin(CallContext { position, time });
    for (table, id) in tables.iter().zip(4_096..) {
        for row in &table.rows {
            let cells = row.iter().enumerate();
            let cells: Vec<_> = cells
                .map(|(at, value)| bsatn(&type_of(at), value))
                .collect();
            let row = cells.concat();
            transaction.insert(TableId(id), &row).expect("distinct ids");
        }
    }
    transaction.commit().0
}

/// Rows with equal keys may come in any order, so which of them a limit leaves is free.
fn check(tables: &[Table], asked: &Asked) -> Result<(), TestCaseError> {
    let expected = answer(tables, asked);
    let text = asked.text();
    let state = state_of(tables);
    let got =
        ask(&state, &text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
    let types: Vec<_> = asked.shown.iter().map(Item::ty).collect();
    let names: Vec<_> = got.columns.iter().map(|(_, ty)| ty.clone()).collect();
    prop_assert_eq!(&names, &types, "{}", text);
    let offset = usize::try_from(asked.offset).expect("small");
    let limit = asked
        .limit
        .map_or(usize::MAX, |limit| usize::try_from(limit).expect("small"));
    let left = expected.len().saturating_sub(offset).min(limit);
    prop_assert_eq!(got.rows.len(), left, "{}", text);
    let mut start = 0;
    while start < expected.len() {
        let same = |row: &&(Vec<Value>, Vec<Value>)| {
            asked.compare_keys(&row.0, &expected[start].0).is_eq()
        };
        let end = start + expected[start..].iter().take_while(same).count();
        let mut equals: Vec<Vec<u8>> = expected[start..end]
            .iter()
            .map(|(_, row)| {
                let cells = row.iter().zip(&types).map(|(value, ty)| bsatn(ty, value));
                cells.collect::<Vec<_>>().concat()
            })
            .collect();
        for at in start.max(offset)..end.min(offset + left) {
            let row = &got.rows[at - offset];
            let known = equals.iter().position(|known| known == row);
            prop_assert!(known.is_some(), "{}: row {} is {:?}", text, at, row);
            equals.remove(known.expect("just seen"));
        }
        start = end;
    }
    let explained = ask(&state, &format!("EXPLAIN {text}"));
    prop_assert!(explained.is_ok(), "{}", text);
    Ok(())
}

/// An index compares the first 480 bytes of a key: what is behind them it brings in no order.
#[test]
fn an_index_over_long_strings_gives_their_order_all_the_same() {
    let rows = (0..9_u8).map(|n| {
        let id = i128::from(n);
        let end = char::from(b'a' + n * 5 % 9);
        let text = match n {
            8 => "short".to_owned(),
            _ => format!("{}{end}", "x".repeat(600)),
        };
        vec![
            Value::Whole(id),
            Value::Whole(0),
            Value::Whole(0),
            Value::Float(0.0),
            Value::Text(text),
            Value::Maybe(None),
        ]
    });
    let table = Table {
        rows: rows.collect(),
        indexes: vec![(vec![4], IndexKind::BTree)],
    };
    let state = state_of(&[table]);
    let ids = |rows: Vec<Vec<u8>>| rows.iter().map(|row| row[0]).collect::<Vec<_>>();
    let asked = |text: &str| ask(&state, text).expect(text).rows;
    let text = "SELECT id FROM table0 ORDER BY s LIMIT 7";
    let plan = asked(&format!("EXPLAIN {text}")).concat();
    assert!(String::from_utf8_lossy(&plan).contains("in order of s already"));
    // Their ends are a f b g c h d i, so of the long ones every second id comes first.
    assert_eq!(ids(asked(text)), [8, 0, 2, 4, 6, 1, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn queries_answer_what_a_naive_evaluator_answers(
        tables in prop::collection::vec(any_table(), 3),
        asked in prop::collection::vec(any_asked(), 1..6),
    ) {
        for asked in asked {
            check(&tables, &asked)?;
        }
    }
}
