//! What clients follow. A query is kept once, however many clients have it; after each input the
//! rows that are different are shown to the queries they may concern, and what a client gets is made
//! once for all who get it. Whatever was taken back and done again meanwhile does not show: clients
//! see states that were visible, and nothing between (ORDERING 8).
//!
//! Cost of a change: the queries of its table that ask for a value it has, or for no value. A query
//! whose rows the module's visibility filters show because of other tables is one of theirs too.

pub(crate) mod all_tables;
mod deliver;
mod rows;
mod views;

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use store::{Schema, State, TableId, TableSchema};

use crate::effect::Effect;
use crate::request::{ClientId, SetId, WantedRows};
use crate::sql::{Access, Reading, Selection, SqlError, followed_view};
use views::Views;

pub(crate) use views::ViewNow;

pub use rows::{ChangedRows, RowType, SetChange, TableChange, TableRows, Update};

/// Queries that one client can follow at a time.
const QUERIES_MAX: usize = 1_024;

/// A query as its clients wrote it, for whom it means the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    text: Arc<str>,
    owner: bool,
    /// What `:sender` stands for, where it is used: in the text, or in what the module's filters say
    /// of its tables.
    sender: Option<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct QueryId(u64);

/// Clients and what they call the sets that have a query.
type Followers = BTreeSet<(ClientId, SetId)>;

#[derive(Debug)]
struct Query {
    written: Written,
    table: Arc<str>,
    selection: Selection,
    /// Clients and their sets that have it; a set has it once.
    followers: Followers,
}

/// The queries of one table, alone or joined with another one.
#[derive(Debug, Default)]
struct OfTable {
    /// Those that ask for one value of a column, or for one of some, by column and value.
    points: BTreeMap<usize, BTreeMap<Vec<u8>, BTreeSet<QueryId>>>,
    /// All others.
    rest: BTreeSet<QueryId>,
    /// Cells that the queries have to see, at most.
    cells_len: usize,
}

/// Why a set of queries is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// A query cannot be answered.
    #[error("{0}")]
    Sql(#[from] SqlError),
    /// The number is in use.
    #[error(
        "query set {0} is in use on this connection: unsubscribe it first, or take another number"
    )]
    SetInUse(SetId),
    /// The number is not in use.
    #[error("there is no query set {0} on this connection")]
    NoSuchSet(SetId),
    /// The client's protocol has no words for events.
    #[error(
        "`{0}` asks of a table of events, which clients of this protocol cannot be told: take a \
         client of SpacetimeDB 2"
    )]
    Events(String),
    /// The client follows too much.
    #[error("a connection can follow {QUERIES_MAX} queries: unsubscribe some first")]
    TooMany,
}

/// What the clients of one database follow.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    queries: BTreeMap<QueryId, Query>,
    by_text: BTreeMap<Written, QueryId>,
    tables: BTreeMap<TableId, OfTable>,
    clients: BTreeMap<ClientId, BTreeMap<SetId, Vec<QueryId>>>,
    /// Queries of views of this peer.
    views: Views,
    /// Answers to calls whose rows cannot be seen yet.
    held: Vec<Effect>,
    next: u64,
    /// The tables that the queries are tied to.
    schema: Option<Arc<Schema>>,
}

impl Subscriptions {
    /// Whether nobody follows anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Follows queries from now on, and gives the rows they ask for now. The tables have to be watched
    /// afterwards, also when it fails: what [`SetId::Unnumbered`] had before is gone in any case.
    pub(crate) fn subscribe(
        &mut self,
        (client, set): (ClientId, SetId),
        texts: &[String],
        wanted: WantedRows,
        events: bool,
        here: &Reading<'_>,
    ) -> Result<Vec<TableRows>, SubscribeError> {
        if set == SetId::Unnumbered {
            self.drop_set((client, set));
        }
        let sets = self.clients.get(&client);
        if sets.is_some_and(|sets| sets.contains_key(&set)) {
            return Err(SubscribeError::SetInUse(set));
        }
        let state = here.state;
        let held = sets.map_or(0, |sets| sets.values().map(Vec::len).sum());
        if held + texts.len() > QUERIES_MAX {
            return Err(SubscribeError::TooMany);
        }
        let mut tied = BTreeMap::new();
        let mut rows = Vec::new();
        for text in texts.iter() {
            let (written, asked) = tie(text, here)?;
            if !events && matches!(&asked, Asked::Rows(selection) if selection.event) {
                return Err(SubscribeError::Events(text.clone()));
            }
            let known = self.by_text.get(&written);
            let sets = known.map_or(0, |id| self.sets_with(*id, client));
            if let Entry::Vacant(first) = tied.entry(written) {
                if let Some(with_rows) = has_rows(wanted, sets > 0) {
                    rows.push(match &asked {
                        Asked::Rows(selection) => rows_of(selection, state, with_rows)?,
                        Asked::View(view) => views::rows_of(text, view, here, with_rows)?,
                    });
                }
                first.insert(asked);
            }
        }
        let follower = (client, set);
        let mut ids = Vec::new();
        for (written, asked) in tied {
            ids.push(match asked {
                Asked::Rows(selection) => self.follow(follower, written, *selection),
                Asked::View(view) => self.follow_view(follower, written, &view, here)?,
            });
        }
        self.clients.entry(client).or_default().insert(set, ids);
        self.schema = Some(Arc::clone(state.schema()));
        Ok(rows)
    }

    /// Follows the set no more, also when it fails; gives the rows that its queries ask for, if they
    /// are wanted. The tables have to be watched afterwards.
    pub(crate) fn unsubscribe(
        &mut self,
        (client, set): (ClientId, SetId),
        wanted: WantedRows,
        state: &State,
    ) -> Result<Option<Vec<TableRows>>, SubscribeError> {
        let sets = self.clients.get(&client);
        let ids = sets
            .and_then(|sets| sets.get(&set))
            .ok_or(SubscribeError::NoSuchSet(set))?;
        let rows = self.rows_of_set(client, ids, wanted, state);
        self.drop_set((client, set));
        Ok((wanted != WantedRows::Nothing).then_some(rows?))
    }

    /// The rows that the queries of a set ask for.
    fn rows_of_set(
        &self,
        client: ClientId,
        ids: &[QueryId],
        wanted: WantedRows,
        state: &State,
    ) -> Result<Vec<TableRows>, SqlError> {
        let mut rows = Vec::new();
        for id in ids {
            let Some(with_rows) = has_rows(wanted, self.sets_with(*id, client) > 1) else {
                continue;
            };
            match self.queries.get(id) {
                Some(query) => rows.push(rows_of(&query.selection, state, with_rows)?),
                None => rows.extend(self.views.shown(*id, with_rows)),
            }
        }
        Ok(rows)
    }

    /// How many sets of a client have a query.
    fn sets_with(&self, id: QueryId, client: ClientId) -> usize {
        let followers = match self.queries.get(&id) {
            Some(query) => Some(&query.followers),
            None => self.views.followers(id),
        };
        let from = (client, SetId::Unnumbered);
        let to = (client, SetId::Numbered(u32::MAX));
        followers.map_or(0, |followers| followers.range(from..=to).count())
    }

    /// Follows a set no more, if there is one.
    fn drop_set(&mut self, (client, set): (ClientId, SetId)) {
        let sets = self.clients.get_mut(&client);
        for id in sets.and_then(|sets| sets.remove(&set)).unwrap_or_default() {
            self.unfollow(id, (client, set));
        }
        self.clients.retain(|_, sets| !sets.is_empty());
    }

    /// A client is gone. True if it had followed something.
    pub(crate) fn forget(&mut self, client: ClientId) -> bool {
        let Some(sets) = self.clients.remove(&client) else {
            return false;
        };
        for (set, ids) in sets {
            for id in ids {
                self.unfollow(id, (client, set));
            }
        }
        true
    }

    /// Lets the state remember what changes in the tables that are followed.
    pub(crate) fn watch(&self, state: &mut State) {
        state.watch(self.tables.keys().copied().collect());
    }

    fn follow(
        &mut self,
        follower: (ClientId, SetId),
        written: Written,
        selection: Selection,
    ) -> QueryId {
        let id = match self.by_text.get(&written) {
            Some(id) => *id,
            None => {
                self.next += 1;
                let id = QueryId(self.next);
                self.by_text.insert(written.clone(), id);
                for table in selection.tables() {
                    let of_table = self.tables.entry(table).or_default();
                    of_table.insert(id, table, &selection);
                }
                let query = Query {
                    written,
                    table: selection.name.as_str().into(),
                    selection,
                    followers: Followers::new(),
                };
                self.queries.insert(id, query);
                id
            }
        };
        if let Some(query) = self.queries.get_mut(&id) {
            query.followers.insert(follower);
        }
        id
    }

    fn follow_view(
        &mut self,
        follower: (ClientId, SetId),
        written: Written,
        view: &TableSchema,
        here: &Reading<'_>,
    ) -> Result<QueryId, SqlError> {
        let id = match self.by_text.get(&written) {
            Some(id) => *id,
            None => {
                self.next += 1;
                let id = QueryId(self.next);
                self.views.insert(id, written.clone(), view, here)?;
                self.by_text.insert(written, id);
                id
            }
        };
        self.views.follow(id, follower);
        Ok(id)
    }

    fn unfollow(&mut self, id: QueryId, follower: (ClientId, SetId)) {
        let Some(query) = self.queries.get_mut(&id) else {
            if let Some(written) = self.views.unfollow(id, follower) {
                self.by_text.remove(&written);
            }
            return;
        };
        query.followers.remove(&follower);
        if !query.followers.is_empty() {
            return;
        }
        if let Some(query) = self.queries.remove(&id) {
            self.by_text.remove(&query.written);
            for table in query.selection.tables() {
                if let Some(of_table) = self.tables.get_mut(&table) {
                    of_table.remove(id, table, &query.selection);
                    if of_table.is_empty() {
                        self.tables.remove(&table);
                    }
                }
            }
        }
    }
}

impl OfTable {
    fn insert(&mut self, id: QueryId, table: TableId, selection: &Selection) {
        self.cells_len = self.cells_len.max(selection.cells_len(table));
        let Some(points) = selection.points(table) else {
            self.rest.insert(id);
            return;
        };
        for (column, value) in points {
            let values = self.points.entry(column).or_default();
            values.entry(value).or_default().insert(id);
        }
    }

    fn remove(&mut self, id: QueryId, table: TableId, selection: &Selection) {
        let Some(points) = selection.points(table) else {
            self.rest.remove(&id);
            return;
        };
        for (column, value) in points {
            let Some(values) = self.points.get_mut(&column) else {
                continue;
            };
            if let Some(ids) = values.get_mut(&value) {
                ids.remove(&id);
                if ids.is_empty() {
                    values.remove(&value);
                }
            }
            if values.is_empty() {
                self.points.remove(&column);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.points.is_empty() && self.rest.is_empty()
    }

    /// The queries that may want a row with these cells.
    fn candidates<'a>(&'a self, cells: &'a [&[u8]]) -> impl Iterator<Item = QueryId> + 'a {
        let points = self.points.iter();
        let asked = points.filter_map(|(column, values)| values.get(*cells.get(*column)?));
        asked.flatten().chain(&self.rest).copied()
    }
}

/// What a text asks for.
enum Asked {
    Rows(Box<Selection>),
    /// Rows of a view of this peer.
    View(TableSchema),
}

/// Answers a query once, in the words of a subscription.
pub(crate) fn select_once(text: &str, here: &Reading<'_>) -> Result<TableRows, SqlError> {
    Ok(match tie(text, here)? {
        (_, Asked::Rows(selection)) => rows_of(&selection, here.state, true)?,
        (_, Asked::View(view)) => views::rows_of(text, &view, here, true)?,
    })
}

fn tie(text: &str, here: &Reading<'_>) -> Result<(Written, Asked), SqlError> {
    let Access { owner, sender } = here.access;
    let schema = here.state.schema();
    let view = followed_view(text, |name| match schema.table_by_name(name) {
        Some(_) => None,
        None => here.views.schema(name),
    })?;
    // A text that has these letters elsewhere is kept once for each caller, and that is all.
    let (asked, is_personal) = match view {
        Some(view) => (Asked::View(view), true),
        None => {
            let selection = Selection::new(text, schema, here.access, here.filters)?;
            let is_personal = selection.is_personal();
            (Asked::Rows(Box::new(selection)), is_personal)
        }
    };
    let written = Written {
        text: text.into(),
        owner,
        sender: is_personal.then_some(sender),
    };
    Ok((written, asked))
}

/// Whether a query is in an answer with its rows or without; `None`: not at all.
fn has_rows(wanted: WantedRows, is_shared: bool) -> Option<bool> {
    match wanted {
        WantedRows::Nothing => None,
        WantedRows::Whole => Some(true),
        WantedRows::Unshared => Some(!is_shared),
    }
}

fn rows_of(selection: &Selection, state: &State, with_rows: bool) -> Result<TableRows, SqlError> {
    let rows = match with_rows {
        true => selection.rows(state)?,
        false => Vec::new(),
    };
    Ok(TableRows {
        table: selection.name.as_str().into(),
        table_id: selection.table.0,
        row_type: RowType(Arc::clone(&selection.shown)),
        rows: rows.iter().collect(),
    })
}
