//! Clients that follow rows.

use sync_protocol::{DatabaseId, Now};

use crate::core::Core;
use crate::error::refuse;
use crate::local_views::Computed;
use crate::reply::{ErrorKind, Reply, RequestError};
use crate::request::{ClientId, SetId, WantedRows};
use crate::sql::{Access, Reading, SqlError};
use crate::subscriptions::{SubscribeError, Subscriptions, ViewNow, all_tables, select_once};

const GONE: &str = "the database is gone: connect again";

impl Core {
    /// Computes the views of the module that the texts name.
    fn compute_views<'a>(
        &mut self,
        id: DatabaseId,
        texts: impl IntoIterator<Item = &'a str>,
        access: Access,
        now: Now,
    ) -> Result<Computed, RequestError> {
        let computed = self.with(id, now, |replica, _| replica.compute_views(texts, access));
        let gone = || refuse(ErrorKind::Unavailable, GONE);
        computed.ok_or_else(gone)?.map_err(refused)
    }

    /// Answers a query of any kind.
    pub(super) fn ask_rows<T>(
        &mut self,
        (database, now): (&str, Now),
        text: &str,
        access: Access,
        ask: impl FnOnce(&Reading<'_>, &str) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        let id = self.serving(database)?.id;
        let computed = self.compute_views(id, [text], access, now)?;
        let replica = self.serving(database)?;
        let views = self.local_views(replica, access, computed);
        ask(&views.reading(replica.state()?), text)
    }

    pub(super) fn select(
        &mut self,
        at: (&str, Now),
        text: &str,
        access: Access,
    ) -> Result<Reply, RequestError> {
        let ask = |reading: &Reading<'_>, text: &str| select_once(text, reading).map_err(refused);
        let rows = self.ask_rows(at, text, access, ask)?;
        Ok(Reply::Selected(vec![rows]))
    }

    pub(super) fn subscribe(
        &mut self,
        (database, now): (&str, Now),
        follower: (ClientId, SetId),
        queries: &[String],
        (wanted, events): (WantedRows, bool),
        access: Access,
    ) -> Result<Reply, RequestError> {
        let id = self.serving(database)?.id;
        let texts = queries.iter().map(String::as_str);
        let computed = self.compute_views(id, texts, access, now)?;
        let mut subscriptions = self.subscriptions.remove(&id).unwrap_or_default();
        let Some(replica) = self.replicas.get(&id) else {
            return Err(refuse(ErrorKind::Unavailable, GONE));
        };
        let views = self.local_views(replica, access, computed);
        let rows = match replica.state() {
            Ok(state) => {
                let def = replica.executor.module().def();
                let queries = all_tables::expanded(queries, state.schema(), def, events);
                subscriptions
                    .subscribe(follower, &queries, wanted, events, &views.reading(state))
                    .map_err(not_followed)
            }
            Err(_) => Err(refuse(ErrorKind::Unavailable, GONE)),
        };
        self.put_back(id, subscriptions);
        Ok(Reply::Selected(rows?))
    }

    pub(super) fn unsubscribe(
        &mut self,
        database: &str,
        follower: (ClientId, SetId),
        wanted: WantedRows,
    ) -> Result<Reply, RequestError> {
        let id = self.serving(database)?.id;
        let none = || not_followed(SubscribeError::NoSuchSet(follower.1));
        let mut subscriptions = self.subscriptions.remove(&id).ok_or_else(none)?;
        let rows = match self.replicas.get(&id).and_then(|it| it.state.as_ref()) {
            Some(state) => subscriptions
                .unsubscribe(follower, wanted, state)
                .map_err(not_followed),
            None => Err(refuse(ErrorKind::Unavailable, GONE)),
        };
        self.put_back(id, subscriptions);
        Ok(match rows? {
            Some(rows) => Reply::Selected(rows),
            None => Reply::Done,
        })
    }

    /// After what is followed has changed.
    fn put_back(&mut self, id: DatabaseId, subscriptions: Subscriptions) {
        if let Some(state) = self.replicas.get_mut(&id).and_then(|it| it.state.as_mut()) {
            subscriptions.watch(state);
        }
        if !subscriptions.is_empty() {
            self.subscriptions.insert(id, subscriptions);
        }
    }

    /// A client's connection is gone.
    pub(crate) fn client_gone(&mut self, client: ClientId) {
        for (id, subscriptions) in &mut self.subscriptions {
            if subscriptions.forget(client)
                && let Some(state) = self.replicas.get_mut(id).and_then(|it| it.state.as_mut())
            {
                subscriptions.watch(state);
            }
        }
        self.subscriptions
            .retain(|_, subscriptions| !subscriptions.is_empty());
    }

    /// Tells clients what changed since the last input.
    pub(crate) fn tell_clients(&mut self, now: Now) {
        let effects = &mut self.parts.effects;
        for (id, replica) in &mut self.replicas {
            let subscriptions = self.subscriptions.get_mut(id);
            if replica.behind {
                // The next sweep brings back what a cut has taken back.
                subscriptions.into_iter().for_each(|it| it.hold(effects));
                continue;
            }
            let events = std::mem::take(&mut replica.events);
            let Some(subscriptions) = subscriptions else {
                continue;
            };
            let serves = replica.serves();
            let filters = replica.executor.filters();
            match replica.state.as_mut().filter(|_| serves) {
                Some(state) => subscriptions.deliver(state, filters, &events, effects),
                None => subscriptions.drop_all(GONE, effects),
            }
        }
        let gone = self.subscriptions.iter_mut();
        for (_, subscriptions) in gone.filter(|(id, _)| !self.replicas.contains_key(id)) {
            subscriptions.drop_all(GONE, effects);
        }
        self.subscriptions
            .retain(|_, subscriptions| !subscriptions.is_empty());
        self.tell_views(now);
    }

    /// The rows that a followed text asks of a view for, and what they are rows of.
    fn ask_view(
        &mut self,
        (id, now): (DatabaseId, Now),
        text: &str,
        access: Access,
    ) -> Option<Result<ViewNow, SqlError>> {
        let computed = self.with(id, now, |replica, _| replica.compute_views([text], access))?;
        let computed = match computed {
            Ok(computed) => computed,
            Err(error) => return Some(Err(error)),
        };
        let replica = self.replicas.get(&id).filter(|it| it.serves())?;
        let views = self.local_views(replica, access, computed);
        let answer = views.reading(replica.state.as_ref()?).ask(text);
        Some(answer.map(|answer| ViewNow {
            types: answer.columns.into_iter().map(|(_, ty)| ty).collect(),
            rows: answer.rows.into_iter().collect(),
        }))
    }

    /// Tells clients that follow views what is different, if they are to be looked at.
    fn tell_views(&mut self, now: Now) {
        let due = |(id, subscriptions): (&DatabaseId, &Subscriptions)| {
            let due = subscriptions.views_due()?;
            (due <= now.tick).then_some(*id)
        };
        let ids: Vec<DatabaseId> = self.subscriptions.iter().filter_map(due).collect();
        let mut effects = Vec::new();
        for id in ids {
            let Some(mut subscriptions) = self.subscriptions.remove(&id) else {
                continue;
            };
            let ask = |text: &str, access| self.ask_view((id, now), text, access);
            subscriptions.deliver_views(now.tick, ask, &mut effects);
            if !subscriptions.is_empty() {
                self.subscriptions.insert(id, subscriptions);
            }
        }
        self.parts.effects.append(&mut effects);
    }
}

fn refused(error: SqlError) -> RequestError {
    let kind = match error.is_ours() {
        true => ErrorKind::Internal,
        false => ErrorKind::BadRequest,
    };
    refuse(kind, error.to_string())
}

fn not_followed(error: SubscribeError) -> RequestError {
    match error {
        SubscribeError::Sql(error) => refused(error),
        other => refuse(ErrorKind::BadRequest, other.to_string()),
    }
}
