//! Views that clients follow. They are made anew, not told by changes: a few times a second
//! at most, and what is told is the difference to what was told before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spacetimedb_sats::AlgebraicType;
use store::TableSchema;
use sync_protocol::Tick;

use super::{
    ChangedRows, Followers, QueryId, RowType, SetChange, TableChange, TableRows, Update, Written,
};
use crate::effect::Effect;
use crate::limits::VIEWS_EVERY_MS;
use crate::request::{ClientId, SetId};
use crate::sql::{Access, Reading, SqlError, columns_of};

/// What a text asks of a view for now.
pub(crate) struct ViewNow {
    pub(crate) types: Vec<AlgebraicType>,
    pub(crate) rows: BTreeSet<Vec<u8>>,
}

#[derive(Debug)]
struct FollowedView {
    written: Written,
    name: Arc<str>,
    table_id: u32,
    access: Access,
    /// If the types in it change, what was told means nothing.
    row_type: RowType,
    followers: Followers,
    /// What the followers were told last.
    shown: BTreeSet<Vec<u8>>,
}

/// All of one database.
#[derive(Debug, Default)]
pub(super) struct Views {
    followed: BTreeMap<QueryId, FollowedView>,
    looked_at: Option<Tick>,
}

impl Views {
    pub(super) fn insert(
        &mut self,
        id: QueryId,
        written: Written,
        view: &TableSchema,
        here: &Reading<'_>,
    ) -> Result<(), SqlError> {
        let followed = FollowedView {
            row_type: RowType(columns_of(view)),
            shown: rows(&written.text, here)?.into_iter().collect(),
            written,
            name: view.name.as_str().into(),
            table_id: view.id.0,
            access: here.access,
            followers: Followers::new(),
        };
        self.followed.insert(id, followed);
        Ok(())
    }

    pub(super) fn follow(&mut self, id: QueryId, follower: (ClientId, SetId)) {
        if let Some(view) = self.followed.get_mut(&id) {
            view.followers.insert(follower);
        }
    }

    /// Gives the text of a query that nobody follows any more.
    pub(super) fn unfollow(&mut self, id: QueryId, follower: (ClientId, SetId)) -> Option<Written> {
        let view = self.followed.get_mut(&id)?;
        view.followers.remove(&follower);
        if !view.followers.is_empty() {
            return None;
        }
        self.followed.remove(&id).map(|view| view.written)
    }

    /// Who follows a query.
    pub(super) fn followers(&self, id: QueryId) -> Option<&Followers> {
        Some(&self.followed.get(&id)?.followers)
    }

    /// What the followers of a query were told last, or only what that would be rows of.
    pub(super) fn shown(&self, id: QueryId, with_rows: bool) -> Option<TableRows> {
        let view = self.followed.get(&id)?;
        let rows = with_rows.then_some(&view.shown);
        Some(TableRows {
            table: Arc::clone(&view.name),
            table_id: view.table_id,
            row_type: view.row_type.clone(),
            rows: rows.into_iter().flatten().collect(),
        })
    }

    /// When the views are to be looked at again; `None` if nobody follows one.
    pub(super) fn due(&self) -> Option<Tick> {
        let looked_at = (!self.followed.is_empty()).then_some(self.looked_at)?;
        Some(looked_at.map_or(Tick(0), |at| at.plus_ms(VIEWS_EVERY_MS)))
    }

    /// Tells the followers what is different now. Gives those whose view is no more what it was.
    ///
    /// A view that fails stays as it was told last. `ask` gives `None` where the database is out of
    /// service.
    pub(super) fn deliver(
        &mut self,
        now: Tick,
        mut ask: impl FnMut(&str, Access) -> Option<Result<ViewNow, SqlError>>,
        effects: &mut Vec<Effect>,
    ) -> BTreeSet<ClientId> {
        self.looked_at = Some(now);
        let mut lost = BTreeSet::new();
        let mut updates: BTreeMap<ClientId, BTreeMap<SetId, Vec<Arc<TableChange>>>> =
            BTreeMap::new();
        for view in self.followed.values_mut() {
            let (types, rows) = match ask(&view.written.text, view.access) {
                Some(Ok(ViewNow { types, rows })) => (types, rows),
                Some(Err(SqlError::View { .. })) | None => continue,
                Some(Err(_)) => (Vec::new(), BTreeSet::new()),
            };
            if !types.iter().eq(view.row_type.0.iter().map(|(_, ty)| ty)) {
                lost.extend(view.followers.iter().map(|(client, _)| *client));
                continue;
            }
            if rows == view.shown {
                continue;
            }
            let change = Arc::new(TableChange {
                table: Arc::clone(&view.name),
                table_id: view.table_id,
                row_type: view.row_type.clone(),
                rows: ChangedRows::Kept {
                    inserts: rows.difference(&view.shown).collect(),
                    deletes: view.shown.difference(&rows).collect(),
                },
            });
            view.shown = rows;
            for (client, set) in &view.followers {
                let sets = updates.entry(*client).or_default();
                sets.entry(*set).or_default().push(Arc::clone(&change));
            }
        }
        effects.extend(updates.into_iter().map(|(client, sets)| {
            let sets = sets.into_iter();
            let sets = sets.map(|(set, tables)| SetChange { set, tables });
            let sets = sets.collect();
            Effect::Update {
                client,
                update: Update { sets },
            }
        }));
        lost
    }
}

/// The rows that a text asks of a view for, now; or only what they would be rows of.
pub(super) fn rows_of(
    text: &str,
    view: &TableSchema,
    here: &Reading<'_>,
    with_rows: bool,
) -> Result<TableRows, SqlError> {
    let rows = match with_rows {
        true => rows(text, here)?,
        false => Vec::new(),
    };
    Ok(TableRows {
        table: view.name.as_str().into(),
        table_id: view.id.0,
        row_type: RowType(columns_of(view)),
        rows: rows.iter().collect(),
    })
}

fn rows(text: &str, here: &Reading<'_>) -> Result<Vec<Vec<u8>>, SqlError> {
    Ok(here.ask(text)?.rows)
}
