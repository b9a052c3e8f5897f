//! What an upgrade may change. Compares the tables that are here with those of the next module and
//! gives the plan, or every reason against it. Looks at no rows: what only they can tell, the plan
//! asks as [`DataCheck`]s.
//!
//! The rules are SpacetimeDB's, but for one: an enum may grow by variants of any size, because our
//! rows have no fixed width.

use std::collections::BTreeSet;

use module_host::{ModuleDef, ScheduleDef, ViewDef};
use spacetimedb_sats::{AlgebraicType, SumType};
use store::{Column, DataCheck, IndexSchema, TableId, TableSchema};

use super::rows::Numbers;

/// How a database gets from its tables to those of the next module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The module's tables with the numbers they have from then on.
    pub(crate) tables: Vec<TableSchema>,
    pub(crate) numbers: Numbers,
    /// What happens, step by step, for people.
    pub(crate) steps: Vec<String>,
    /// Those of them that clients compiled against the old module do not survive.
    pub(crate) breaking: Vec<String>,
    /// What has to hold for the rows, and what to say if it does not.
    pub(crate) checks: Vec<(DataCheck, String)>,
    /// BSATN of the columns that each table's rows get.
    pub(crate) appended: Vec<(TableId, Vec<u8>)>,
    /// Columns that are no longer numbered.
    pub(crate) ended: Vec<(TableId, u16)>,
}

/// What the module has that is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current<'a> {
    /// Its tables, with their numbers.
    pub(crate) tables: &'a [TableSchema],
    pub(crate) schedules: &'a [ScheduleDef],
    pub(crate) views: &'a [ViewDef],
    /// Its visibility filters, as they were written.
    pub(crate) filters: &'a [String],
}

/// Compares the module's tables that are here, with their numbers, with the next module's; the
/// numbers of what is new count from the cut at `height`.
///
/// # Errors
/// Every reason why not, one sentence each.
pub(crate) fn plan(
    current: Current<'_>,
    numbers: &Numbers,
    next: &ModuleDef,
    height: u64,
) -> Result<Plan, Vec<String>> {
    let mut rules = Rules {
        current,
        next,
        height,
        reasons: Vec::new(),
        plan: Plan {
            tables: Vec::with_capacity(next.tables.len()),
            numbers: numbers.clone(),
            steps: Vec::new(),
            breaking: Vec::new(),
            checks: Vec::new(),
            appended: Vec::new(),
            ended: Vec::new(),
        },
    };
    for table in current.tables {
        if !next.tables.iter().any(|other| other.name == table.name) {
            rules.drop_table(table);
        }
    }
    for table in &next.tables {
        let mut tables = current.tables.iter();
        match tables.find(|other| other.name == table.name) {
            Some(before) => rules.change_table(before, table),
            None => rules.add_table(table),
        }
    }
    rules.views();
    rules.filters();
    if rules.reasons.is_empty() {
        Ok(rules.plan)
    } else {
        Err(rules.reasons)
    }
}

struct Rules<'a> {
    current: Current<'a>,
    next: &'a ModuleDef,
    height: u64,
    reasons: Vec<String>,
    plan: Plan,
}

impl Rules<'_> {
    fn step(&mut self, text: impl Into<String>) {
        self.plan.steps.push(text.into());
    }

    fn breaking_step(&mut self, text: String) {
        self.plan.breaking.push(text.clone());
        self.plan.steps.push(text);
    }

    fn refuse(&mut self, table: &TableSchema, why: impl AsRef<str>) {
        self.reasons
            .push(format!("table {}: {}", table.name, why.as_ref()));
    }

    fn check(&mut self, check: DataCheck, or_else: String) {
        self.plan.checks.push((check, or_else));
    }

    fn drop_table(&mut self, table: &TableSchema) {
        self.breaking_step(format!("table {} is dropped", table.name));
        self.check(
            DataCheck::Empty { table: table.id },
            format!(
                "table {}: it still has rows, and only an empty table can be dropped: delete them first",
                table.name
            ),
        );
        for index in &table.indexes {
            self.plan
                .numbers
                .take_index(table.id, &index.name, self.height);
        }
        self.plan.numbers.take_table(&table.name, self.height);
    }

    fn add_table(&mut self, table: &TableSchema) {
        self.step(format!("table {} is added", table.name));
        let mut table = table.clone();
        table.id = self.plan.numbers.give_table(&table.name, self.height);
        for index in &mut table.indexes {
            index.id = self
                .plan
                .numbers
                .give_index(table.id, &index.name, self.height);
        }
        self.plan.tables.push(table);
    }

    fn change_table(&mut self, before: &TableSchema, after: &TableSchema) {
        if before.event != after.event {
            let (was, is) = if before.event {
                ("held events", "keeps rows")
            } else {
                ("kept rows", "holds events")
            };
            self.refuse(after, format!("it {was}, now it {is}"));
        }
        if before.public != after.public {
            let access = if after.public { "public" } else { "private" };
            self.step(format!("table {} becomes {access}", after.name));
        }
        self.schedule(before.id, after);
        self.columns(before, after);
        self.primary_key(before, after);
        self.constraints(before, after);
        self.numbering(before, after);
        self.indexes(before, after);
    }

    /// Views hold no rows, but clients are compiled against them.
    fn views(&mut self) {
        let columns = |view: &ViewDef| -> Vec<(String, AlgebraicType)> {
            let columns = view.table.columns.iter();
            columns.map(|it| (it.name.clone(), it.ty.clone())).collect()
        };
        for before in self.current.views {
            let name = &before.table.name;
            let mut views = self.next.views.iter();
            match views.find(|after| after.table.name == *name) {
                None => self.breaking_step(format!("view {name} is dropped")),
                Some(after) if columns(before) != columns(after) => {
                    self.breaking_step(format!("view {name} has other columns"));
                }
                Some(_) => {}
            }
        }
        for after in &self.next.views {
            let name = &after.table.name;
            let mut views = self.current.views.iter();
            if !views.any(|before| before.table.name == *name) {
                self.step(format!("view {name} is added"));
            }
        }
    }

    /// Filters change no rows, but what clients see of them. They are compared as texts: what they mean
    /// is not looked at here, so that no peer judges otherwise because it reads SQL otherwise.
    fn filters(&mut self) {
        let before: BTreeSet<&String> = self.current.filters.iter().collect();
        let after: BTreeSet<&String> = self.next.filters.iter().collect();
        for dropped in before.difference(&after) {
            self.breaking_step(format!("visibility filter `{dropped}` is dropped"));
        }
        for added in after.difference(&before) {
            self.breaking_step(format!("visibility filter `{added}` is added"));
        }
    }

    /// When a row is due is noted when it is written: rows that are there already would never be.
    fn schedule(&mut self, id: TableId, table: &TableSchema) {
        let find = |all: &[ScheduleDef]| {
            let schedule = all.iter().find(|schedule| schedule.table == table.name);
            schedule.map(|schedule| (schedule.column, schedule.reducer))
        };
        let name = &table.name;
        let (before, after) = (find(self.current.schedules), find(&self.next.schedules));
        match (before, after) {
            (Some((old, _)), Some((new, _))) if old == new => {}
            (None, None) => {}
            (Some(_), None) => self.step(format!("table {name} schedules nothing any more")),
            (_, Some((_, reducer))) => {
                let reducer = &self.next.reducers[reducer].name;
                self.step(format!("table {name} schedules {reducer}"));
                self.check(
                    DataCheck::Empty { table: id },
                    format!(
                        "table {name}: rows that are there already would never be due: delete them before it schedules {reducer}"
                    ),
                );
            }
        }
    }

    fn columns(&mut self, before: &TableSchema, after: &TableSchema) {
        let place =
            |columns: &[Column], name: &str| columns.iter().position(|column| column.name == name);
        for (old, column) in before.columns.iter().enumerate() {
            let name = &column.name;
            match place(&after.columns, name) {
                None => self.refuse(
                    after,
                    format!("column {name} was removed or renamed; columns stay as they are"),
                ),
                Some(new) if new != old => self.refuse(
                    after,
                    format!(
                        "column {name} moved from place {old} to {new}; new columns go to the end"
                    ),
                ),
                Some(new) => self.column_type(after, column, &after.columns[new]),
            }
        }
        let mut appended = Vec::new();
        for (new, column) in after.columns.iter().enumerate() {
            let name = &column.name;
            if place(&before.columns, name).is_some() {
                continue;
            }
            if new < before.columns.len() {
                self.refuse(
                    after,
                    format!("column {name} was added at place {new}; new columns go to the end"),
                );
                continue;
            }
            let default =
                self.next.defaults.iter().find(|default| {
                    default.table == after.id && usize::from(default.column) == new
                });
            match default {
                None => self.refuse(
                    after,
                    format!(
                        "column {name} was added without a default for the rows that are there: give it `#[default(…)]`"
                    ),
                ),
                Some(default) => {
                    appended.extend_from_slice(&default.value);
                    self.breaking_step(format!("column {name} is added to table {}", after.name));
                }
            }
        }
        if !appended.is_empty() {
            let table = before.id;
            self.check(
                DataCheck::Short { table },
                format!(
                    "table {}: with the new columns a row would have more than {} bytes",
                    after.name,
                    store::limits::ROW_BYTES_MAX
                ),
            );
            self.plan.appended.push((table, appended));
        }
    }

    fn column_type(&mut self, table: &TableSchema, before: &Column, after: &Column) {
        let mut grown = Vec::new();
        if let Err(why) = grows(&before.ty, &after.ty, &mut grown) {
            self.refuse(
                table,
                format!("column {} has another type: {why}", after.name),
            );
        } else if !grown.is_empty() {
            self.step(format!(
                "column {} of table {} may hold {} too",
                after.name,
                table.name,
                grown.join(", ")
            ));
        }
    }

    fn primary_key(&mut self, before: &TableSchema, after: &TableSchema) {
        let name = |table: &TableSchema, place: u16| {
            let column = table.columns.get(usize::from(place));
            column.map_or_else(String::new, |column| column.name.clone())
        };
        match (before.primary_key, after.primary_key) {
            (None, None) => {}
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => {
                let (old, new) = (name(before, old), name(after, new));
                self.refuse(
                    after,
                    format!(
                        "its primary key moves from column {old} to {new}; drop it in one version and add it in the next"
                    ),
                );
            }
            (Some(old), None) => {
                let old = name(before, old);
                self.step(format!("table {} loses its primary key {old}", after.name));
            }
            (None, Some(new)) => {
                let column = name(after, new);
                self.step(format!(
                    "table {} gets the primary key {column}",
                    after.name
                ));
                self.check(
                    DataCheck::Unique {
                        table: before.id,
                        columns: vec![new],
                    },
                    format!(
                        "table {}: two rows share a value of {column}, so it cannot be the primary key",
                        after.name
                    ),
                );
            }
        }
    }

    fn constraints(&mut self, before: &TableSchema, after: &TableSchema) {
        let (old, new) = (unique_columns(before), unique_columns(after));
        // Primary keys have been spoken of.
        let is_key = |table: &TableSchema, columns: &BTreeSet<u16>| {
            table
                .primary_key
                .map(|column| BTreeSet::from([column]))
                .as_ref()
                == Some(columns)
        };
        for columns in new
            .difference(&old)
            .filter(|columns| !is_key(after, columns))
        {
            let names = column_names(after, columns);
            self.step(format!("table {} gets unique {names}", after.name));
            self.check(
                DataCheck::Unique {
                    table: before.id,
                    columns: columns.iter().copied().collect(),
                },
                format!(
                    "table {}: two rows share a value of {names}, so it cannot be unique",
                    after.name
                ),
            );
        }
        for columns in old
            .difference(&new)
            .filter(|columns| !is_key(before, columns))
        {
            let names = column_names(before, columns);
            self.step(format!(
                "{names} of table {} need not be unique",
                after.name
            ));
        }
    }

    fn numbering(&mut self, before: &TableSchema, after: &TableSchema) {
        for column in &after.auto_inc {
            if before.auto_inc.contains(column) {
                continue;
            }
            let name = column_names(after, &BTreeSet::from([*column]));
            self.step(format!("column {name} of table {} is numbered", after.name));
            self.check(
                DataCheck::Unnumbered {
                    table: before.id,
                    column: *column,
                },
                format!(
                    "table {}: rows have numbers above 0 in column {name}, which auto_inc would give out again",
                    after.name
                ),
            );
        }
        for column in &before.auto_inc {
            if !after.auto_inc.contains(column) {
                let name = column_names(before, &BTreeSet::from([*column]));
                self.step(format!(
                    "column {name} of table {} is no longer numbered",
                    after.name
                ));
                self.plan.ended.push((before.id, *column));
            }
        }
    }

    fn indexes(&mut self, before: &TableSchema, after: &TableSchema) {
        let id = before.id;
        let mut table = after.clone();
        table.id = id;
        for index in &before.indexes {
            if !after.indexes.iter().any(|other| is_same(index, other)) {
                if !after.indexes.iter().any(|other| other.name == index.name) {
                    self.step(format!("index {} is dropped", index.name));
                }
                self.plan.numbers.take_index(id, &index.name, self.height);
            }
        }
        for index in &mut table.indexes {
            match before.indexes.iter().find(|other| is_same(index, other)) {
                Some(same) => index.id = same.id,
                None => {
                    let again = before.indexes.iter().any(|other| other.name == index.name);
                    let word = if again { "built anew" } else { "built" };
                    self.step(format!("index {} is {word}", index.name));
                    index.id = self.plan.numbers.give_index(id, &index.name, self.height);
                }
            }
        }
        self.plan.tables.push(table);
    }
}

/// Whether nothing about an index changed that its entries or its uses depend on.
fn is_same(one: &IndexSchema, other: &IndexSchema) -> bool {
    one.name == other.name
        && one.columns == other.columns
        && one.kind == other.kind
        && one.unique == other.unique
}

/// The sets of columns that are unique, the primary key among them.
fn unique_columns(table: &TableSchema) -> BTreeSet<BTreeSet<u16>> {
    let unique = table.indexes.iter().filter(|index| index.unique);
    unique
        .map(|index| index.columns.iter().copied().collect())
        .collect()
}

fn column_names(table: &TableSchema, columns: &BTreeSet<u16>) -> String {
    let name = |place: &u16| {
        let column = table.columns.get(usize::from(*place))?;
        Some(column.name.as_str())
    };
    columns
        .iter()
        .filter_map(name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether every value of `old` is the same value of `new`, byte for byte: enums may have got
/// variants at the end, wherever they are. Those go into `grown`.
fn grows(old: &AlgebraicType, new: &AlgebraicType, grown: &mut Vec<String>) -> Result<(), String> {
    match (old, new) {
        (AlgebraicType::Sum(old), AlgebraicType::Sum(new)) => sum_grows(old, new, grown),
        (AlgebraicType::Product(old), AlgebraicType::Product(new)) => {
            if old.elements.len() != new.elements.len() {
                return Err(format!(
                    "a product of {} fields has {} now",
                    old.elements.len(),
                    new.elements.len()
                ));
            }
            for (old, new) in old.elements.iter().zip(&new.elements) {
                if old.name != new.name {
                    return Err(format!(
                        "field {} is {} now",
                        named(old.name.as_deref()),
                        named(new.name.as_deref())
                    ));
                }
                grows(&old.algebraic_type, &new.algebraic_type, grown)?;
            }
            Ok(())
        }
        (AlgebraicType::Array(old), AlgebraicType::Array(new)) => {
            grows(&old.elem_ty, &new.elem_ty, grown)
        }
        (old, new) if old == new => Ok(()),
        (old, new) => Err(format!("{} is {} now", kind(old), kind(new))),
    }
}

fn sum_grows(old: &SumType, new: &SumType, grown: &mut Vec<String>) -> Result<(), String> {
    if new.variants.len() < old.variants.len() {
        return Err(format!(
            "an enum of {} variants has {} now; variants are only added, at the end",
            old.variants.len(),
            new.variants.len()
        ));
    }
    for (old, new) in old.variants.iter().zip(&new.variants) {
        if old.name != new.name {
            return Err(format!(
                "variant {} is {} now; variants are only added, at the end",
                named(old.name.as_deref()),
                named(new.name.as_deref())
            ));
        }
        grows(&old.algebraic_type, &new.algebraic_type, grown)?;
    }
    let added = new.variants.iter().skip(old.variants.len());
    grown.extend(added.map(|variant| named(variant.name.as_deref()).to_owned()));
    Ok(())
}

fn named(name: Option<&str>) -> &str {
    name.unwrap_or("without a name")
}

/// A type in a word.
fn kind(ty: &AlgebraicType) -> String {
    match ty {
        AlgebraicType::Sum(_) => "an enum".to_owned(),
        AlgebraicType::Product(_) => "a product".to_owned(),
        AlgebraicType::Array(_) => "an array".to_owned(),
        AlgebraicType::Ref(_) => "a reference".to_owned(),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests;
