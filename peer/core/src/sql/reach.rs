//! The index that narrows a table most, for what a condition demands of its rows; and whether its
//! order is the one that is asked for.

use std::ops::Bound;

use store::{IndexId, IndexKind, IndexSchema, Range, TableSchema};

use super::compare::Comparison;
use super::query::Operator;

/// Bytes of known leading values behind which an index still tells the order of what follows: it
/// compares the first [`store::limits::KEY_PREFIX_BYTES`] bytes of a key only.
const ORDERED_PREFIX_BYTES_MAX: usize = 64;

/// Bytes in which two sort keys agree if the index could not tell their rows apart.
pub(super) const ORDERED_BYTES: usize = 256;

// A value's key bytes are at most twice its own.
const _: () =
    assert!(2 * ORDERED_PREFIX_BYTES_MAX + ORDERED_BYTES < store::limits::KEY_PREFIX_BYTES);

/// Where rows of a table come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// All rows of the table.
    Table,
    /// Rows whose indexed columns have these values: BSATN of each, one after the other.
    Point(IndexId, Vec<u8>),
    /// Rows whose leading indexed columns have these values and the next one lies between bounds.
    Range {
        index: IndexId,
        prefix: Vec<u8>,
        prefix_len: u16,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    },
}

impl Source {
    /// The part of an index to read; `None`: all rows of the table.
    pub(super) fn range(&self) -> Option<(IndexId, Range<'_>)> {
        match self {
            Self::Table => None,
            Self::Point(index, values) => Some((*index, Range::point(values))),
            Self::Range {
                index,
                prefix,
                prefix_len,
                start,
                end,
            } => {
                let range = Range::Prefix {
                    prefix,
                    prefix_len: *prefix_len,
                    start: start.as_ref().map(Vec::as_slice),
                    end: end.as_ref().map(Vec::as_slice),
                };
                Some((*index, range))
            }
        }
    }
}

/// A source, and what is good about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) merit: Merit,
    /// Whether rows come in the order that is asked for.
    pub(super) in_order: bool,
}

/// An index by whose first column rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) index: IndexId,
    /// Whether it has no other column.
    pub(super) whole: bool,
    /// Whether it finds one row at most.
    pub(super) one_row: bool,
}

/// The index by which rows with a value of one column are found.
pub(super) fn reach_by(table: &TableSchema, column: usize) -> Option<Reach> {
    let begins = |index: &&IndexSchema| {
        let whole = index.columns.len() == 1;
        let first = index.columns.first().map(|first| usize::from(*first));
        first == Some(column) && (whole || index.kind != IndexKind::Hash)
    };
    let best = table.indexes.iter().filter(begins);
    let best = best.max_by_key(|index| (index.columns.len() == 1, index.unique))?;
    Some(Reach {
        index: best.id,
        whole: best.columns.len() == 1,
        one_row: best.columns.len() == 1 && best.unique,
    })
}

/// The source that narrows most. `order` are the columns by which rows are wanted in ascending
/// order; `few` says that not all rows are wanted, so that an index is worth it for its order alone.
pub(super) fn source(
    table: &TableSchema,
    demands: &[Demand],
    order: Option<&[usize]>,
    few: bool,
) -> Found {
    let in_order = |source: &Source| order.is_some_and(|order| gives(table, source, order));
    let all = Found {
        in_order: in_order(&Source::Table),
        source: Source::Table,
        merit: Merit::default(),
    };
    let narrow = table.indexes.iter();
    let narrow = narrow.filter_map(|index| reach(index, demands));
    let sorts = few && !all.in_order;
    let whole = table.indexes.iter();
    let whole = whole.filter(|index| sorts && index.kind != IndexKind::Hash);
    let whole = whole.map(|index| (Merit::default(), everything(index)));
    let found = narrow.chain(whole).map(|(merit, source)| Found {
        in_order: in_order(&source),
        source,
        merit,
    });
    let useful = found.filter(|found| found.merit > Merit::default() || found.in_order);
    [all]
        .into_iter()
        .chain(useful)
        .max_by_key(|found| (found.merit, found.in_order))
        .unwrap_or_else(|| unreachable!("a table can always be read"))
}

const fn everything(index: &IndexSchema) -> Source {
    Source::Range {
        index: index.id,
        prefix: vec![],
        prefix_len: 0,
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    }
}

/// Whether the rows of a source come in the ascending order of these columns. Columns with one
/// value are not among them.
fn gives(table: &TableSchema, source: &Source, order: &[usize]) -> bool {
    let of_index = |id: IndexId| table.indexes.iter().find(|index| index.id == id);
    let (index, known, prefix_bytes) = match source {
        Source::Table => (None, 0, 0),
        Source::Point(index, values) => (of_index(*index), usize::MAX, values.len()),
        Source::Range {
            index,
            prefix,
            prefix_len,
            ..
        } => (of_index(*index), usize::from(*prefix_len), prefix.len()),
    };
    if prefix_bytes > ORDERED_PREFIX_BYTES_MAX {
        return false;
    }
    let indexed = index.map_or(&[][..], |index| &index.columns);
    let indexed = indexed.iter().skip(known);
    let unique = index.is_some_and(|index| index.unique);
    // Rows that are equal in a whole index come by their own key.
    let key = table.primary_key.filter(|_| !unique);
    let mut given = indexed.chain(&key).map(|column| usize::from(*column));
    let told_apart = unique || table.primary_key.is_some();
    for wanted in order {
        match given.next() {
            Some(column) if column == *wanted => {}
            Some(_) => return false,
            // Of rows that are all different already, no column changes the order.
            None => return told_apart,
        }
    }
    true
}

/// What a condition demands of one column in every row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Demand {
    pub(super) column: usize,
    pub(super) comparison: Comparison,
    pub(super) operator: Operator,
    pub(super) value: Vec<u8>,
}

/// How much an index narrows: compared from the first field on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Merit {
    /// At most one row is left.
    pub(super) one_row: bool,
    /// Columns with a known value.
    pub(super) equal: usize,
    /// Bounds of the next column.
    pub(super) bounds: usize,
}

fn reach(index: &IndexSchema, demands: &[Demand]) -> Option<(Merit, Source)> {
    let equal_to = |column: u16| {
        let mut wanted = demands
            .iter()
            .filter(|demand| demand.column == usize::from(column));
        wanted.find(|demand| demand.operator == Operator::Equal)
    };
    let equal: Vec<_> = index
        .columns
        .iter()
        .map_while(|column| equal_to(*column))
        .collect();
    let prefix: Vec<u8> = equal
        .iter()
        .flat_map(|demand| &demand.value)
        .copied()
        .collect();
    if equal.len() == index.columns.len() {
        let merit = Merit {
            one_row: index.unique,
            equal: equal.len(),
            bounds: 0,
        };
        return Some((merit, Source::Point(index.id, prefix)));
    }
    if index.kind == IndexKind::Hash {
        return None;
    }
    let next = usize::from(index.columns[equal.len()]);
    let mut start: Bound<&Demand> = Bound::Unbounded;
    let mut end: Bound<&Demand> = Bound::Unbounded;
    // The narrowest bounds win; of an equal value, the one that leaves it out.
    for demand in demands.iter().filter(|demand| demand.column == next) {
        match demand.operator {
            Operator::Greater if narrows(&start, demand, true) => start = Bound::Excluded(demand),
            Operator::GreaterOrEqual if narrows(&start, demand, true) => {
                start = Bound::Included(demand);
            }
            Operator::Less if narrows(&end, demand, false) => end = Bound::Excluded(demand),
            Operator::LessOrEqual if narrows(&end, demand, false) => {
                end = Bound::Included(demand);
            }
            _ => {}
        }
    }
    let bounds = [&start, &end]
        .iter()
        .filter(|bound| !matches!(bound, Bound::Unbounded))
        .count();
    if equal.is_empty() && bounds == 0 {
        return None;
    }
    let merit = Merit {
        one_row: false,
        equal: equal.len(),
        bounds,
    };
    let source = Source::Range {
        index: index.id,
        prefix,
        prefix_len: u16::try_from(equal.len()).expect("an index has at most 65,536 columns"),
        start: start.map(|demand| demand.value.clone()),
        end: end.map(|demand| demand.value.clone()),
    };
    Some((merit, source))
}

/// Whether a further demand leaves less than a bound does.
fn narrows(bound: &Bound<&Demand>, demand: &Demand, is_start: bool) -> bool {
    let (known, included) = match bound {
        Bound::Unbounded => return true,
        Bound::Included(known) => (known, true),
        Bound::Excluded(known) => (known, false),
    };
    match demand.comparison.compare(&demand.value, &known.value) {
        Some(std::cmp::Ordering::Equal) => included,
        Some(ordering) => ordering.is_gt() == is_start,
        None => false,
    }
}
