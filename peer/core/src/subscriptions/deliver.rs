//! From changed rows to what each client hears of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Row, RowChange, State, TableId, Watched};
use sync_protocol::Tick;

use super::views::ViewNow;
use super::{ChangedRows, QueryId, RowType, SetChange, Subscriptions, TableChange, Update};
use crate::effect::Effect;
use crate::execute::Event;
use crate::request::{ClientId, SetId};
use crate::sql::{Access, Changes, Filters, RowCounts, Selection, SqlError};

/// What a client is told whose rows cannot be followed any further.
const READ_AGAIN: &str = "the database was opened anew: connect again";
const TABLES_CHANGED: &str =
    "the module was replaced by one that shows other tables or other rows: connect again";
const TOO_MUCH: &str =
    "what the module shows of these tables changed by more than can be told at once: connect again";

/// Updates by client, and clients who cannot be told what changed.
type Told = (BTreeMap<ClientId, Update>, BTreeSet<ClientId>);

/// Rows that a query wants and did not, or the other way round.
#[derive(Debug, Default)]
struct Delta {
    inserts: Vec<Row>,
    deletes: Vec<Row>,
    /// Of a table of events, and then nothing else.
    events: Vec<Row>,
}

/// What a row did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Came,
    Went,
    Happened,
}

/// What changes mean to queries.
#[derive(Debug, Default)]
struct Seen {
    deltas: BTreeMap<QueryId, Delta>,
    /// Rows that may matter to queries over two tables.
    joins: BTreeMap<QueryId, Vec<(TableId, Row, i64)>>,
    /// Rows that may matter to queries whose rows are seen because of others.
    filtered: BTreeMap<QueryId, Vec<(TableId, Row)>>,
    /// Events that these may ask for.
    events: BTreeMap<QueryId, Vec<Row>>,
}

impl Subscriptions {
    /// Tells the clients what changed since the last time. `effects` are those of this input: a
    /// client that hears in them how a call of its own went hears with it what changed.
    pub(crate) fn deliver(
        &mut self,
        state: &mut State,
        filters: &Filters,
        events: &[Event],
        effects: &mut Vec<Effect>,
    ) {
        effects.splice(0..0, std::mem::take(&mut self.held));
        if self.tables.is_empty() {
            return; // views alone, or nothing
        }
        if !state.is_watched() {
            return self.drop_all(READ_AGAIN, effects);
        }
        let taken = state.take_changes();
        self.tie_again(state, filters, effects);
        let updates = match taken {
            Ok(Watched {
                changes,
                lost: false,
            }) => self.updates(&changes, events, state),
            _ => return self.drop_all(READ_AGAIN, effects),
        };
        let Ok((updates, lost)) = updates else {
            return self.drop_all(READ_AGAIN, effects);
        };
        if !lost.is_empty() {
            self.let_go(lost, TOO_MUCH, effects);
            self.watch(state);
        }
        for (client, update) in updates {
            if self.clients.contains_key(&client) {
                tell(client, update, effects);
            }
        }
    }

    /// Keeps answers to calls that went well until their rows can be seen.
    pub(crate) fn hold(&mut self, effects: &mut Vec<Effect>) {
        let is_ours = |effect: &mut Effect| match effect {
            Effect::Told { client, result, .. } => {
                result.is_ok() && self.clients.contains_key(client)
            }
            _ => false,
        };
        self.held.extend(effects.extract_if(.., is_ours));
    }

    /// When the views of this peer that clients follow are to be looked at.
    pub(crate) fn views_due(&self) -> Option<Tick> {
        self.views.due()
    }

    /// Tells the clients what is different in the views that they follow.
    pub(crate) fn deliver_views(
        &mut self,
        now: Tick,
        ask: impl FnMut(&str, Access) -> Option<Result<ViewNow, SqlError>>,
        effects: &mut Vec<Effect>,
    ) {
        let lost = self.views.deliver(now, ask, effects);
        self.let_go(lost, TABLES_CHANGED, effects);
    }

    /// Lets go of all clients, with the reason.
    pub(crate) fn drop_all(&mut self, why: &str, effects: &mut Vec<Effect>) {
        let clients = std::mem::take(self).clients.into_keys();
        effects.extend(clients.map(|client| Effect::DropClient {
            client,
            why: why.to_owned(),
        }));
    }

    /// After another module took over: lets go of clients whose rows mean something else now.
    fn tie_again(&mut self, state: &mut State, filters: &Filters, effects: &mut Vec<Effect>) {
        let schema = state.schema();
        let is_same = |known: &Arc<_>| Arc::ptr_eq(known, schema);
        if self.schema.as_ref().is_none_or(is_same) {
            return;
        }
        self.schema = Some(Arc::clone(schema));
        let mut followers = BTreeSet::new();
        for query in self.queries.values_mut() {
            match query.selection.tied_to(schema, filters) {
                Some(selection) => query.selection = selection,
                None => followers.extend(query.followers.iter().map(|(client, _)| *client)),
            }
        }
        self.let_go(followers, TABLES_CHANGED, effects);
        self.watch(state);
    }

    /// Lets go of some clients, with the reason.
    fn let_go(&mut self, clients: BTreeSet<ClientId>, why: &str, effects: &mut Vec<Effect>) {
        for client in clients {
            self.forget(client);
            effects.push(Effect::DropClient {
                client,
                why: why.to_owned(),
            });
        }
    }

    /// What each client is told, and who cannot be told.
    fn updates(
        &self,
        changes: &[RowChange],
        events: &[Event],
        state: &State,
    ) -> Result<Told, SqlError> {
        let mut seen = Seen::default();
        for change in changes {
            self.show(change.table, change.old.as_ref(), Sign::Went, &mut seen);
            self.show(change.table, change.new.as_ref(), Sign::Came, &mut seen);
        }
        for event in events {
            self.show(event.table, Some(&event.row), Sign::Happened, &mut seen);
        }
        let mut deltas = seen.deltas;
        for (id, changed) in seen.joins {
            let counts = self.queries[&id]
                .selection
                .joined_changes(&changed, state)?;
            if let Some(delta) = counted(&counts) {
                deltas.insert(id, delta);
            }
        }
        let mut lost = BTreeSet::new();
        if !seen.filtered.is_empty() {
            let changes = Changes::of(changes);
            for (id, touched) in seen.filtered {
                let selection = &self.queries[&id].selection;
                match selection.seen_changes(&touched, &changes, state) {
                    Ok(counts) => deltas.extend(counted(&counts).map(|delta| (id, delta))),
                    Err(SqlError::JoinTooLong) => {
                        let followers = self.queries[&id].followers.iter();
                        lost.extend(followers.map(|(client, _)| *client));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        for (id, happened) in seen.events {
            for event in happened {
                if self.queries[&id].selection.hears_of(&event, state)? {
                    deltas.entry(id).or_default().events.push(event);
                }
            }
        }
        let mut updates: BTreeMap<ClientId, BTreeMap<SetId, Vec<Arc<TableChange>>>> =
            BTreeMap::new();
        for (id, delta) in deltas {
            let query = &self.queries[&id];
            let change = Arc::new(TableChange {
                table: Arc::clone(&query.table),
                table_id: query.selection.table.0,
                row_type: RowType(Arc::clone(&query.selection.shown)),
                rows: match delta.events.is_empty() {
                    true => ChangedRows::Kept {
                        inserts: delta.inserts.iter().collect(),
                        deletes: delta.deletes.iter().collect(),
                    },
                    false => ChangedRows::Events(delta.events.iter().collect()),
                },
            });
            for (client, set) in &query.followers {
                let sets = updates.entry(*client).or_default();
                sets.entry(*set).or_default().push(Arc::clone(&change));
            }
        }
        let update = |sets: BTreeMap<SetId, Vec<Arc<TableChange>>>| {
            let sets = sets.into_iter();
            let sets = sets.map(|(set, tables)| SetChange { set, tables });
            Update {
                sets: sets.collect(),
            }
        };
        let updates = updates.into_iter();
        let updates = updates.map(|(client, sets)| (client, update(sets)));
        Ok((updates.collect(), lost))
    }

    /// Shows a row to the queries that may want it.
    fn show(&self, table: TableId, row: Option<&Row>, sign: Sign, seen: &mut Seen) {
        let Some((of_table, row)) = self.tables.get(&table).zip(row) else {
            return;
        };
        // All queries of a table know its columns.
        let Some(selection) = self.some_selection(of_table) else {
            return;
        };
        let Ok(cells) = selection.cells(table, row, of_table.cells_len) else {
            return;
        };
        let mut told = BTreeSet::new();
        for id in of_table.candidates(&cells) {
            let selection = &self.queries[&id].selection;
            let row = || Arc::clone(row);
            if selection.is_filtered() {
                match sign {
                    Sign::Came | Sign::Went => {
                        seen.filtered.entry(id).or_default().push((table, row()));
                    }
                    // An event has one of several values that it is asked for by, or several.
                    Sign::Happened if table == selection.table && told.insert(id) => {
                        seen.events.entry(id).or_default().push(row());
                    }
                    Sign::Happened => {}
                }
            } else if selection.is_join() {
                let sign = match sign {
                    Sign::Came => 1,
                    Sign::Went => -1,
                    Sign::Happened => continue,
                };
                seen.joins.entry(id).or_default().push((table, row(), sign));
            } else if selection.wants(&cells) {
                let delta = seen.deltas.entry(id).or_default();
                match sign {
                    Sign::Came => delta.inserts.push(row()),
                    Sign::Went => delta.deletes.push(row()),
                    Sign::Happened => delta.events.push(row()),
                }
            }
        }
    }

    fn some_selection(&self, of_table: &super::OfTable) -> Option<&Selection> {
        let points = of_table.points.values().flat_map(|values| values.values());
        let id = of_table.rest.first().or_else(|| points.flatten().next())?;
        Some(&self.queries.get(id)?.selection)
    }
}

/// Rows as often as they are counted; `None` if there are none.
fn counted(counts: &RowCounts) -> Option<Delta> {
    let mut delta = Delta::default();
    for (row, count) in counts {
        let list = match *count > 0 {
            true => &mut delta.inserts,
            false => &mut delta.deletes,
        };
        list.extend((0..count.unsigned_abs()).map(|_| Arc::clone(row)));
    }
    (!counts.is_empty()).then_some(delta)
}

/// With the first call of the client's own that went well, or by itself.
fn tell(client: ClientId, update: Update, effects: &mut Vec<Effect>) {
    for effect in effects.iter_mut() {
        if let Effect::Told {
            client: caller,
            result: Ok(_),
            update: with,
            ..
        } = effect
            && *caller == client
            && with.is_none()
        {
            *with = Some(update);
            return;
        }
    }
    effects.push(Effect::Update { client, update });
}
