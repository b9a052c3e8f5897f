//! Answers the queries of [`super::answers`] as slowly and as plainly as can be: all pairs of rows,
//! lists, no index. Shares no code with what it judges.

use std::cmp::Ordering;

use super::answers::{Asked, Fold, Item, Table, Wish};

/// A value of the made-up tables.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Whole(i128),
    Float(f64),
    Text(String),
    Maybe(Option<u8>),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl Value {
    /// As an index orders values of one column: NaN above all numbers.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            // Some comes before none.
            (Self::Maybe(one), Self::Maybe(other)) => match (one, other) {
                (Some(one), Some(other)) => one.cmp(other),
                (one, other) => one.is_none().cmp(&other.is_none()),
            },
            _ => unreachable!("values of one column"),
        }
    }

    /// As a condition compares them.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            _ => Some(self.order(other)),
        }
    }
}

/// Rows of the answer, each behind what it is sorted by.
pub(super) type Answer = Vec<(Vec<Value>, Vec<Value>)>;

/// All rows that are asked for, sorted, before OFFSET and LIMIT.
pub(super) fn answer(tables: &[Table], asked: &Asked) -> Answer {
    let mut rows: Vec<Vec<&Vec<Value>>> = vec![vec![]];
    for (at, join) in asked.tables.iter().enumerate() {
        let mut longer = vec![];
        for row in &rows {
            for next in &tables[join.table].rows {
                let mut row = row.clone();
                row.push(next);
                let fits = join.on.is_none_or(|(column, (other, of_other))| {
                    let equal = row[at][column].compare(&row[other][of_other]);
                    equal == Some(Ordering::Equal)
                });
                if fits {
                    longer.push(row);
                }
            }
        }
        rows = longer;
    }
    let value = |row: &[&Vec<Value>], item: &Item| match item {
        Item::Column(table, column) => row[*table][*column].clone(),
        Item::Fold(..) => unreachable!("only in groups"),
    };
    rows.retain(|row| holds(&asked.wish, &|item| value(row, item)));
    let mut answer: Answer = vec![];
    match &asked.group_by {
        None => {
            for row in &rows {
                let all = |items: &[Item]| items.iter().map(|item| value(row, item)).collect();
                answer.push((all(&asked.sorted_by()), all(&asked.shown)));
            }
        }
        Some(by) => {
            let mut groups: Vec<Vec<&Vec<&Vec<Value>>>> = vec![];
            for row in &rows {
                let same = |group: &&mut Vec<&Vec<&Vec<Value>>>| {
                    by.iter()
                        .all(|item| value(group[0], item) == value(row, item))
                };
                match groups.iter_mut().find(same) {
                    Some(group) => group.push(row),
                    None => groups.push(vec![row]),
                }
            }
            if groups.is_empty() && by.is_empty() {
                groups.push(vec![]);
            }
            for group in groups {
                let told = |item: &Item| match item {
                    Item::Column(..) => Some(value(group[0], item)),
                    Item::Fold(fold, column) => {
                        let of = |row: &&Vec<&Vec<Value>>| column.map(|(t, c)| row[t][c].clone());
                        fold_values(*fold, group.len(), group.iter().filter_map(of).collect())
                    }
                };
                // All that is told of a group has to be there, of HAVING and ORDER BY too.
                let (mut everything, sorted_by) = (asked.shown.clone(), asked.sorted_by());
                everything.extend(sorted_by.clone());
                asked
                    .having
                    .visit(&mut |item| everything.push(item.clone()));
                if everything.iter().any(|item| told(item).is_none()) {
                    continue;
                }
                let told = |item: &Item| told(item).expect("just seen");
                if holds(&asked.having, &told) {
                    let all = |items: &[Item]| items.iter().map(told).collect();
                    answer.push((all(&sorted_by), all(&asked.shown)));
                }
            }
        }
    }
    if asked.distinct {
        let mut once: Answer = vec![];
        for row in answer {
            if !once.iter().any(|known| known.1 == row.1) {
                once.push(row);
            }
        }
        answer = once;
    }
    answer.sort_by(|(one, _), (other, _)| asked.compare_keys(one, other));
    answer
}

fn fold_values(fold: Fold, rows: usize, values: Vec<Value>) -> Option<Value> {
    let whole = |value: &Value| match value {
        Value::Whole(whole) => *whole,
        _ => unreachable!("a whole number"),
    };
    let float = |value: &Value| match value {
        Value::Whole(whole) => *whole as f64,
        Value::Float(float) => *float,
        _ => unreachable!("a number"),
    };
    match fold {
        Fold::Count => {
            let some = values.iter();
            let some = some.filter(|value| !matches!(value, Value::Maybe(None)));
            Some(Value::Whole(match values.is_empty() {
                true => rows,
                false => some.count(),
            } as i128))
        }
        Fold::SumWhole => Some(Value::Whole(values.iter().map(whole).sum())),
        // Quarters of small numbers: every sum is exact. An empty sum of floats is -0 to Rust.
        Fold::SumFloat => Some(Value::Float(0.0 + values.iter().map(float).sum::<f64>())),
        Fold::Avg if values.is_empty() => None,
        Fold::Avg => {
            let sum = 0.0 + values.iter().map(float).sum::<f64>();
            Some(Value::Float(sum / values.len() as f64))
        }
        Fold::Min => values.into_iter().min_by(Value::order),
        Fold::Max => values.into_iter().max_by(Value::order),
    }
}

fn holds(wish: &Wish, value: &impl Fn(&Item) -> Value) -> bool {
    let meets = |operator: &str, ordering: Option<Ordering>| match operator {
        "=" => ordering == Some(Ordering::Equal),
        "<>" => ordering != Some(Ordering::Equal),
        "<" => ordering == Some(Ordering::Less),
        _ => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    };
    match wish {
        Wish::Always => true,
        Wish::Literal(item, operator, literal) => meets(operator, value(item).compare(literal)),
        Wish::Pair(one, operator, other) => meets(operator, value(one).compare(&value(other))),
        Wish::All(parts) => parts.iter().all(|part| holds(part, value)),
        Wish::Any(parts) => parts.iter().any(|part| holds(part, value)),
    }
}
