//! Draws tables and queries.

use proptest::prelude::*;
use proptest::sample::Index;
use spacetimedb_sats::AlgebraicType;
use store::IndexKind;

use super::answers::{Asked, COLUMNS, Fold, Item, Joined, Table, Wish};
use super::naive::Value;

/// Small domains, so that rows meet; strings whose difference an index cannot see.
fn any_value(column: usize) -> BoxedStrategy<Value> {
    let long = |end: &str| Value::Text(format!("{}{end}", "x".repeat(600)));
    match column {
        0 => (0..10_i128).prop_map(Value::Whole).boxed(),
        1 => (0..4_i128).prop_map(Value::Whole).boxed(),
        2 => (-2..3_i128).prop_map(Value::Whole).boxed(),
        3 => prop::sample::select(vec![-1.5, 0.0, 0.25, 2.0, f64::NAN])
            .prop_map(Value::Float)
            .boxed(),
        4 => prop_oneof![
            4 => "[ab]{0,2}".prop_map(Value::Text),
            1 => prop::sample::select(vec![long(""), long("a"), long("b"), long("c")]),
        ]
        .boxed(),
        _ => prop::option::of(0..3_u8).prop_map(Value::Maybe).boxed(),
    }
}

pub(super) fn any_table() -> impl Strategy<Value = Table> {
    let row: Vec<_> = (0..COLUMNS.len()).map(any_value).collect();
    let rows = prop::collection::vec(row, 0..9).prop_map(|rows| {
        let mut kept: Vec<Vec<Value>> = vec![];
        for row in rows {
            if kept.iter().all(|known| known[0] != row[0]) {
                kept.push(row);
            }
        }
        kept
    });
    let columns = prop::sample::subsequence(vec![1, 2, 3, 4, 5_u16], 1..4).prop_shuffle();
    let kind = prop::sample::select(vec![IndexKind::BTree, IndexKind::BTree, IndexKind::Hash]);
    let indexes = prop::collection::vec((columns, kind), 0..4);
    (rows, indexes).prop_map(|(rows, indexes)| Table { rows, indexes })
}

fn any_wish(items: Vec<(Item, AlgebraicType)>) -> BoxedStrategy<Wish> {
    let items: Vec<_> = items
        .into_iter()
        .filter(|(_, ty)| !ty.is_option())
        .collect();
    if items.is_empty() {
        return Just(Wish::Always).boxed();
    }
    let operator = || prop::sample::select(vec!["=", "=", "=", "<>", "<", ">="]);
    let like = |ty: &AlgebraicType| match ty {
        AlgebraicType::I16 | AlgebraicType::I128 => any_value(2),
        AlgebraicType::F64 => prop::sample::select(vec![-1.5, 0.0, 0.25, 2.0])
            .prop_map(Value::Float)
            .boxed(),
        AlgebraicType::String => any_value(4),
        _ => any_value(1),
    };
    let literal = prop::sample::select(items.clone()).prop_flat_map(move |(item, ty)| {
        (Just(item), operator(), like(&ty))
            .prop_map(|(item, operator, value)| Wish::Literal(item, operator, value))
    });
    let pair = (
        prop::sample::select(items.clone()),
        operator(),
        any::<Index>(),
    )
        .prop_map(move |((one, ty), operator, other)| {
            let same = items.iter().filter(|(_, other)| *other == ty);
            let same: Vec<_> = same.collect();
            Wish::Pair(one, operator, other.get(&same).0.clone())
        });
    let leaf = prop_oneof![1 => Just(Wish::Always), 6 => literal, 1 => pair];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(Wish::All),
            1 => prop::collection::vec(inner, 1..3).prop_map(Wish::Any),
        ]
    })
    .boxed()
}

fn any_joins() -> impl Strategy<Value = Vec<Joined>> {
    let join = (0..3_usize, 0..5_usize, any::<Index>(), any::<bool>());
    (0..3_usize, prop::collection::vec(join, 0..3)).prop_map(|(first, joins)| {
        let mut tables = vec![Joined {
            table: first,
            on: None,
        }];
        for (table, column, other, by_id) in joins {
            let column = if by_id { 0 } else { column };
            let other = other.index(tables.len());
            tables.push(Joined {
                table,
                on: Some((column, (other, column))),
            });
        }
        tables
    })
}

fn any_fold(columns: Vec<Item>) -> impl Strategy<Value = Item> {
    let kinds = vec!["count", "some", "sum", "avg", "min", "max"];
    (prop::sample::select(kinds), prop::sample::select(columns)).prop_map(|(kind, column)| {
        let Item::Column(table, at) = column else {
            unreachable!("columns only");
        };
        let number = at < 4;
        match kind {
            "some" => Item::Fold(Fold::Count, Some((table, at))),
            "sum" if at == 3 => Item::Fold(Fold::SumFloat, Some((table, at))),
            "sum" if number => Item::Fold(Fold::SumWhole, Some((table, at))),
            "avg" if number => Item::Fold(Fold::Avg, Some((table, at))),
            "min" => Item::Fold(Fold::Min, Some((table, at))),
            "max" => Item::Fold(Fold::Max, Some((table, at))),
            _ => Item::Fold(Fold::Count, None),
        }
    })
}

/// What may be shown, what it is grouped by, and whether it is groups.
fn any_shown(columns: Vec<Item>) -> impl Strategy<Value = (Vec<Item>, Option<Vec<Item>>)> {
    let some = prop::collection::vec(prop::sample::select(columns.clone()), 1..4);
    let by = prop::collection::vec(prop::sample::select(columns.clone()), 0..3);
    let folds = prop::collection::vec(any_fold(columns), 1..4);
    prop_oneof![
        some.prop_map(|shown| (shown, None)),
        (by, folds).prop_map(|(by, folds)| {
            let shown = by.iter().cloned().chain(folds).collect();
            (shown, Some(by))
        }),
    ]
}

pub(super) fn any_asked() -> impl Strategy<Value = Asked> {
    let joined = any_joins().prop_flat_map(|tables| {
        let columns: Vec<Item> = (0..tables.len())
            .flat_map(|table| (0..COLUMNS.len()).map(move |column| Item::Column(table, column)))
            .collect();
        let typed = |items: &[Item]| {
            let items = items.iter();
            items.map(|item| (item.clone(), item.ty())).collect()
        };
        let wish = any_wish(typed(&columns));
        let rest = any_shown(columns.clone()).prop_flat_map(move |(shown, group_by)| {
            let sortable = match group_by {
                None => columns.clone(),
                Some(_) => shown.clone(),
            };
            let having = match group_by {
                None => Just(Wish::Always).boxed(),
                Some(_) => any_wish(typed(&shown)),
            };
            let order = (prop::sample::select(sortable), any::<bool>());
            let order = prop::collection::vec(order, 0..4);
            (Just(shown), Just(group_by), having, order)
        });
        (Just(tables), wish, rest)
    });
    let ends = (
        prop::bool::weighted(0.2),
        prop::option::of(0..6_u64),
        prop_oneof![2 => Just(0), 1 => 0..4_u64],
    );
    (joined, ends).prop_map(
        |((tables, wish, (shown, group_by, having, mut order)), (distinct, limit, offset))| {
            if distinct {
                order.retain(|(item, _)| shown.contains(item));
            }
            Asked {
                tables,
                wish,
                shown,
                group_by,
                having,
                distinct,
                order,
                limit,
                offset,
            }
        },
    )
}
