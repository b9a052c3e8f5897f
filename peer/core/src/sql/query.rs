//! A statement as it was written; no name is looked up yet.

use super::error::Place;
use super::literal::Literal;

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    Query(Box<Query>),
    Write(Box<Write>),
}

/// One `INSERT`, `UPDATE` or `DELETE`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) table: Name,
    pub(super) change: Change,
}

/// What it does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Insert {
        /// `None`: all, in order.
        columns: Option<Vec<Name>>,
        rows: Vec<Vec<Given>>,
    },
    Update {
        set: Vec<(Name, Given)>,
        condition: Option<Condition>,
    },
    Delete {
        condition: Option<Condition>,
    },
}

/// A value for a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Literal(Literal, Place),
    Null(Place),
}

/// One `SELECT`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// Whether the plan is asked for and not the rows.
    pub(super) explain: bool,
    /// The table behind FROM, then those that are joined to it.
    pub(super) tables: Vec<FromTable>,
    pub(super) projection: Projection,
    pub(super) distinct: bool,
    pub(super) condition: Option<Condition>,
    pub(super) group_by: Vec<Name>,
    pub(super) having: Option<Condition>,
    pub(super) order_by: Vec<OrderItem>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

/// A table, and how its rows find those of the tables in front of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FromTable {
    pub(super) table: Name,
    /// What else the table is called in this query.
    pub(super) alias: Option<String>,
    /// Two columns that are equal: one of this table, the other of one in front of it. `None` for
    /// the first table, and in visibility filters for one that is joined as a whole.
    pub(super) on: Option<[Name; 2]>,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    /// The table in front of a column's dot.
    pub(super) qualifier: Option<String>,
    pub(super) text: String,
    pub(super) place: Place,
}

/// What is selected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Projection {
    /// `*`, or `t.*` with the table's name.
    All(Option<Name>),
    /// Columns and aggregates, and what they are called in the answer.
    Items(Vec<(Expression, String)>),
}

/// What has a value in every row or group.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Column(Name),
    Aggregate(Aggregate),
}

impl Expression {
    pub(super) const fn place(&self) -> Place {
        match self {
            Self::Column(name) => name.place,
            Self::Aggregate(aggregate) => aggregate.place,
        }
    }
}

/// A value made of all rows of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aggregate {
    pub(super) function: Function,
    /// `None` for `COUNT(*)`.
    pub(super) of: Option<Name>,
    pub(super) place: Place,
}

/// How it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

impl Function {
    pub(super) const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Avg];

    /// As it is called in SQL.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Min => "MIN",
            Self::Max => "MAX",
            Self::Avg => "AVG",
        }
    }
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderItem {
    pub(super) by: Expression,
    pub(super) descending: bool,
}

/// A condition, with chains of AND and OR made flat.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare {
        left: Operand,
        operator: Operator,
        right: Operand,
    },
    Constant(bool),
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Value(Expression),
    Literal(Literal, Place),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// The operator that says the same with its sides swapped.
    pub(super) const fn swapped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    /// As it is written in SQL.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}
