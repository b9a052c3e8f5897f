//! A table compiled for the hot path: how to walk a row, where its key and index keys come from.

use spacetimedb_sats::AlgebraicType;

use crate::error::SchemaError;
use crate::key::{SPACE_BYTES, Space, seal_part};
use crate::layout::{BadType, Layout, Malformed};
use crate::limits::{COLUMNS_MAX, ID_MAX, INDEXES_MAX};
use crate::schema::{IndexId, IndexKind, TableId, TableSchema};

/// Context of the fingerprints that tell whether stored rows and entries fit a schema.
const FINGERPRINT_CONTEXT: &str = "tombolo table layout 1";

#[derive(Debug)]
pub(crate) struct TablePlan {
    pub(crate) id: TableId,
    pub(crate) name: String,
    /// Place in the schema's list: counts are kept by it.
    pub(crate) slot: usize,
    pub(crate) event: bool,
    columns: Box<[Layout]>,
    /// Where each column begins, and the end, where every row has them at the same places and
    /// every pattern of so many bytes is a row.
    plain_ends: Option<Box<[u32]>>,
    primary_key: Option<usize>,
    pub(crate) indexes: Box<[IndexPlan]>,
    pub(crate) auto_inc: Box<[AutoInc]>,
}

#[derive(Debug)]
pub(crate) struct IndexPlan {
    pub(crate) id: IndexId,
    pub(crate) name: String,
    pub(crate) columns: Box<[usize]>,
    /// Declared, or over the primary key alone.
    pub(crate) unique: bool,
    pub(crate) kind: IndexKind,
    /// Over the primary key alone: the rows themselves are its entries and nothing is stored.
    pub(crate) is_row_key: bool,
    /// Whether two values whose bytes differ may be the same to it.
    floats: bool,
}

/// A column that numbers its rows.
#[derive(Debug)]
pub(crate) struct AutoInc {
    pub(crate) column: usize,
    pub(crate) name: String,
    /// Bytes of the integer.
    pub(crate) width: usize,
    pub(crate) signed: bool,
    /// How it is seen which numbers are taken.
    pub(crate) taken: Taken,
}

/// How a numbered column shows which numbers are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// It is the primary key.
    RowKey,
    /// A unique index over it alone, by its place.
    Index(usize),
    /// Nothing says that two rows may not share a number.
    Never,
}

/// A walked row: its bytes and where its columns begin.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    pub(crate) row: &'a [u8],
    ends: &'a [u32],
}

impl<'a> Cells<'a> {
    /// BSATN of one column.
    pub(crate) fn cell(&self, column: usize) -> &'a [u8] {
        &self.row[self.ends[column] as usize..self.ends[column + 1] as usize]
    }

    /// Place of a column in the row.
    pub(crate) fn start(&self, column: usize) -> usize {
        self.ends[column] as usize
    }
}

impl TablePlan {
    pub(crate) fn compile(table: &TableSchema, slot: usize) -> Result<Self, SchemaError> {
        bounded("columns", table, table.columns.len(), COLUMNS_MAX)?;
        bounded("indexes", table, table.indexes.len(), INDEXES_MAX)?;
        if table.id.0 >= ID_MAX {
            return Err(SchemaError::IdTooLarge(table.id.0));
        }
        let columns = compile_columns(table)?;
        let primary_key = match table.primary_key {
            Some(column) => Some(place("the primary key", table, column)?),
            None => None,
        };
        let indexes = compile_indexes(table, &columns, primary_key)?;
        let auto_inc = compile_auto_inc(table, &indexes)?;
        Ok(Self {
            id: table.id,
            name: table.name.clone(),
            slot,
            event: table.event,
            plain_ends: plain_ends(&columns),
            columns,
            primary_key,
            indexes,
            auto_inc,
        })
    }

    /// Whether rows of both have the same primary key, or both have none.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        self.primary_key == other.primary_key
    }

    /// Whether a column is a signed integer.
    pub(crate) fn is_signed(&self, column: usize) -> bool {
        matches!(self.columns[column], Layout::Signed(_))
    }

    pub(crate) fn column(&self, column: usize) -> &Layout {
        &self.columns[column]
    }

    /// Walks a whole row, checking every byte. `ends` is scratch space.
    pub(crate) fn cells<'a>(
        &'a self,
        row: &'a [u8],
        ends: &'a mut Vec<u32>,
    ) -> Result<Cells<'a>, Malformed> {
        if let Some(plain) = &self.plain_ends {
            let expected = plain.last().map_or(0, |end| *end as usize);
            return match row.len().cmp(&expected) {
                std::cmp::Ordering::Equal => Ok(Cells { row, ends: plain }),
                std::cmp::Ordering::Less => Err("the row ends too early"),
                std::cmp::Ordering::Greater => Err("bytes are left over after the row"),
            };
        }
        let mut rest = row;
        self.walk(row.len(), &mut rest, ends)?;
        if rest.is_empty() {
            Ok(Cells { row, ends })
        } else {
            Err("bytes are left over after the row")
        }
    }

    /// Where the columns of a row begin, and the end: what a walk wrote into `walked`, or what
    /// holds for every row.
    pub(crate) fn ends<'a>(&'a self, walked: &'a [u32]) -> &'a [u32] {
        self.plain_ends.as_deref().unwrap_or(walked)
    }

    /// Steps over one row at the front of `input`, which is `from` bytes from its end.
    fn walk(&self, from: usize, input: &mut &[u8], ends: &mut Vec<u32>) -> Result<(), Malformed> {
        if u32::try_from(from).is_err() {
            return Err("the row is too long");
        }
        ends.clear();
        ends.push(0);
        for column in &self.columns {
            column.check(input)?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the row's length fits, see above"
            )]
            ends.push((from - input.len()) as u32);
        }
        Ok(())
    }

    /// Takes one row off the front of `input`.
    pub(crate) fn take_row<'a>(
        &self,
        input: &mut &'a [u8],
        ends: &mut Vec<u32>,
    ) -> Result<&'a [u8], Malformed> {
        let whole = *input;
        self.walk(whole.len(), input, ends)?;
        Ok(&whole[..whole.len() - input.len()])
    }

    /// Writes the stored key of a row into `key`.
    pub(crate) fn row_key(&self, cells: &Cells<'_>, key: &mut Vec<u8>) -> Result<(), Malformed> {
        key.clear();
        key.extend_from_slice(&Space::Rows(self.id).bytes());
        match self.primary_key {
            Some(column) => self.columns[column].encode(&mut cells.cell(column), key)?,
            None => {
                let mut row = cells.row;
                self.columns
                    .iter()
                    .try_for_each(|column| column.encode_exact(&mut row, key))?;
            }
        }
        seal_part(key, SPACE_BYTES);
        Ok(())
    }

    /// Writes the stored key of a row's entry in an index into `key`. Entries of an index that is
    /// not unique end in the row's own key, `row_key`.
    pub(crate) fn entry_key(
        &self,
        index: &IndexPlan,
        cells: &Cells<'_>,
        row_key: &[u8],
        key: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        key.clear();
        key.extend_from_slice(&Space::Index(index.id).bytes());
        for column in &index.columns {
            self.columns[*column].encode(&mut cells.cell(*column), key)?;
        }
        seal_part(key, SPACE_BYTES);
        if !index.unique {
            key.extend_from_slice(&row_key[SPACE_BYTES..]);
        }
        Ok(())
    }

    /// Whether two rows have the same value in an index.
    pub(crate) fn same_in(&self, index: &IndexPlan, a: &Cells<'_>, b: &Cells<'_>) -> bool {
        index.columns.iter().all(|column| {
            let (a, b) = (a.cell(*column), b.cell(*column));
            a == b || (index.floats && self.columns[*column].same_key(a, b))
        })
    }

    /// The space in which an index's entries lie.
    pub(crate) fn index_space(&self, index: &IndexPlan) -> Space {
        if index.is_row_key {
            Space::Rows(self.id)
        } else {
            Space::Index(index.id)
        }
    }

    /// The indexes that have entries of their own.
    pub(crate) fn stored_indexes(&self) -> impl Iterator<Item = &IndexPlan> {
        self.indexes.iter().filter(|index| !index.is_row_key)
    }

    /// What the bytes of stored rows and their keys depend on.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut described = Vec::new();
        self.columns
            .iter()
            .for_each(|column| column.describe(&mut described));
        // No layout begins with these two bytes, so the columns end here for any reader.
        described.extend_from_slice(&[0xFF, u8::from(self.event)]);
        described.extend_from_slice(&self.primary_key.map_or(u32::MAX, as_u32).to_le_bytes());
        fingerprint(&described)
    }

    /// What the bytes of an index's entries depend on, beside the table's columns.
    pub(crate) fn index_fingerprint(&self, index: &IndexPlan) -> [u8; 32] {
        let mut described = self.id.0.to_le_bytes().to_vec();
        described.push(u8::from(index.unique));
        for column in &index.columns {
            described.extend_from_slice(&as_u32(*column).to_le_bytes());
        }
        fingerprint(&described)
    }
}

fn as_u32(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn fingerprint(described: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(FINGERPRINT_CONTEXT);
    hasher.update(described);
    *hasher.finalize().as_bytes()
}

fn bounded(what: &str, table: &TableSchema, count: usize, max: usize) -> Result<(), SchemaError> {
    if count <= max {
        return Ok(());
    }
    Err(SchemaError::TooMany {
        what: format!("{what} of table {}", table.name),
        count,
        max,
    })
}

fn place(what: &str, table: &TableSchema, column: u16) -> Result<usize, SchemaError> {
    if usize::from(column) < table.columns.len() {
        return Ok(usize::from(column));
    }
    Err(SchemaError::BadColumn {
        what: what.to_owned(),
        table: table.name.clone(),
        column,
    })
}

fn compile_columns(table: &TableSchema) -> Result<Box<[Layout]>, SchemaError> {
    let mut nodes = 0;
    table
        .columns
        .iter()
        .map(|column| {
            Layout::compile(&column.ty, &mut nodes).map_err(|bad| {
                let (table, column) = (table.name.clone(), column.name.clone());
                match bad {
                    BadType::Unresolved => SchemaError::Unresolved { table, column },
                    BadType::TooLarge => SchemaError::TypeTooLarge { table, column },
                }
            })
        })
        .collect()
}

fn compile_indexes(
    table: &TableSchema,
    layouts: &[Layout],
    primary_key: Option<usize>,
) -> Result<Box<[IndexPlan]>, SchemaError> {
    let compile = |index: &crate::schema::IndexSchema| {
        if index.id.0 >= ID_MAX {
            return Err(SchemaError::IdTooLarge(index.id.0));
        }
        if index.columns.is_empty() {
            return Err(SchemaError::NoColumns(index.name.clone()));
        }
        let what = format!("index {}", index.name);
        let mut columns = Vec::with_capacity(index.columns.len());
        for column in &index.columns {
            let found = place(&what, table, *column)?;
            if columns.contains(&found) {
                let (table, column) = (table.name.clone(), *column);
                return Err(SchemaError::BadColumn {
                    what,
                    table,
                    column,
                });
            }
            columns.push(found);
        }
        let is_row_key = primary_key.is_some_and(|key| columns == [key]);
        let floats = columns.iter().any(|column| layouts[*column].has_float());
        Ok(IndexPlan {
            id: index.id,
            name: index.name.clone(),
            columns: columns.into(),
            unique: index.unique || is_row_key,
            kind: index.kind,
            is_row_key,
            floats,
        })
    };
    table.indexes.iter().map(compile).collect()
}

fn compile_auto_inc(
    table: &TableSchema,
    indexes: &[IndexPlan],
) -> Result<Box<[AutoInc]>, SchemaError> {
    let mut compiled: Vec<AutoInc> = Vec::with_capacity(table.auto_inc.len());
    for column in &table.auto_inc {
        let found = place("auto_inc", table, *column)?;
        // Given-out numbers are written back in column order, so the list must be in it.
        if compiled.last().is_some_and(|last| last.column >= found) {
            let (what, table) = ("auto_inc".to_owned(), table.name.clone());
            return Err(SchemaError::BadColumn {
                what,
                table,
                column: *column,
            });
        }
        let schema = &table.columns[found];
        let (width, signed) = integer(&schema.ty).ok_or_else(|| SchemaError::AutoIncType {
            table: table.name.clone(),
            column: schema.name.clone(),
        })?;
        let alone = |index: &IndexPlan| index.unique && *index.columns == [found];
        let taken = if table.primary_key == Some(*column) {
            Taken::RowKey
        } else {
            indexes
                .iter()
                .position(alone)
                .map_or(Taken::Never, Taken::Index)
        };
        let name = schema.name.clone();
        compiled.push(AutoInc {
            column: found,
            name,
            width,
            signed,
            taken,
        });
    }
    Ok(compiled.into())
}

fn integer(ty: &AlgebraicType) -> Option<(usize, bool)> {
    Some(match ty {
        AlgebraicType::U8 => (1, false),
        AlgebraicType::U16 => (2, false),
        AlgebraicType::U32 => (4, false),
        AlgebraicType::U64 => (8, false),
        AlgebraicType::U128 => (16, false),
        AlgebraicType::U256 => (32, false),
        AlgebraicType::I8 => (1, true),
        AlgebraicType::I16 => (2, true),
        AlgebraicType::I32 => (4, true),
        AlgebraicType::I64 => (8, true),
        AlgebraicType::I128 => (16, true),
        AlgebraicType::I256 => (32, true),
        _ => return None,
    })
}

fn plain_ends(columns: &[Layout]) -> Option<Box<[u32]>> {
    let mut ends = vec![0];
    let mut end = 0_u32;
    for column in columns {
        end = end.checked_add(u32::try_from(column.plain()?).ok()?)?;
        ends.push(end);
    }
    Some(ends.into())
}
