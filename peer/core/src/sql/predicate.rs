//! A condition tied to a table's columns: says whether a row is wanted.

use std::cmp::Ordering;

use super::compare::Comparison;
use super::query::Operator;

/// A condition over the cells of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Constant(bool),
    /// A column and a literal, which is BSATN of the column's type.
    Literal {
        column: usize,
        comparison: Comparison,
        operator: Operator,
        value: Vec<u8>,
    },
    /// Two columns of one type.
    Columns {
        left: usize,
        comparison: Comparison,
        operator: Operator,
        right: usize,
    },
}

impl Predicate {
    /// Whether a row fulfils it; the cells are those up to [`Predicate::cells_len`].
    pub(super) fn holds(&self, cells: &[&[u8]]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(cells)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(cells)),
            Self::Constant(value) => *value,
            Self::Literal {
                column,
                comparison,
                operator,
                value,
            } => operator.accepts(comparison.compare(cells[*column], value)),
            Self::Columns {
                left,
                comparison,
                operator,
                right,
            } => operator.accepts(comparison.compare(cells[*left], cells[*right])),
        }
    }

    /// The parts that all have to hold.
    pub(super) fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            Self::Constant(true) => vec![],
            other => vec![other],
        }
    }

    /// Shows each cell that it looks at, by its place.
    pub(super) fn visit(&self, see: &mut impl FnMut(usize)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.visit(see);
                }
            }
            Self::Constant(_) => {}
            Self::Literal { column, .. } => see(*column),
            Self::Columns { left, right, .. } => {
                see(*left);
                see(*right);
            }
        }
    }

    /// The same of cells that stand `by` places further on.
    pub(super) fn moved(mut self, by: usize) -> Self {
        match &mut self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    *part = std::mem::replace(part, Self::Constant(true)).moved(by);
                }
            }
            Self::Constant(_) => {}
            Self::Literal { column, .. } => *column += by,
            Self::Columns { left, right, .. } => {
                *left += by;
                *right += by;
            }
        }
        self
    }

    /// How many cells of a row it looks at, counted from the first.
    pub(super) fn cells_len(&self) -> usize {
        let mut len = 0;
        self.visit(&mut |cell| len = len.max(cell + 1));
        len
    }
}

impl Operator {
    /// `None` stands for values that cannot be ordered, which are only not equal.
    fn accepts(self, ordering: Option<Ordering>) -> bool {
        let Some(ordering) = ordering else {
            return self == Self::NotEqual;
        };
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}
