//! Clients that follow rows.

use crate::core::Core;
use crate::error::refuse;
use crate::identity::Claims;
use crate::reply::{ErrorKind, Reply, RequestError};
use crate::request::ClientId;
use crate::sql::SqlError;
use crate::subscriptions::{SubscribeError, select_once};

const GONE: &str = "the database is gone: connect again";

impl Core {
    pub(super) fn select(
        &self,
        database: &str,
        text: &str,
        caller: &Claims,
        owner: bool,
    ) -> Result<Reply, RequestError> {
        let state = self.serving(database)?.state()?;
        let rows = select_once(text, (caller, owner), state).map_err(refused)?;
        Ok(Reply::Selected(vec![rows]))
    }

    pub(super) fn subscribe(
        &mut self,
        database: &str,
        client: ClientId,
        set: u32,
        queries: &[String],
        who: (&Claims, bool),
    ) -> Result<Reply, RequestError> {
        let id = self.serving(database)?.id;
        let state = self.replicas.get_mut(&id).and_then(|it| it.state.as_mut());
        let state = state.ok_or_else(|| refuse(ErrorKind::Unavailable, GONE))?;
        let subscriptions = self.subscriptions.entry(id).or_default();
        let rows = subscriptions.subscribe(client, set, queries, who, state);
        if subscriptions.is_empty() {
            self.subscriptions.remove(&id);
        }
        Ok(Reply::Selected(rows.map_err(not_followed)?))
    }

    pub(super) fn unsubscribe(
        &mut self,
        database: &str,
        client: ClientId,
        set: u32,
        rows: bool,
    ) -> Result<Reply, RequestError> {
        let id = self.serving(database)?.id;
        let state = self.replicas.get_mut(&id).and_then(|it| it.state.as_mut());
        let state = state.ok_or_else(|| refuse(ErrorKind::Unavailable, GONE))?;
        let none = || not_followed(SubscribeError::NoSuchSet(set));
        let subscriptions = self.subscriptions.get_mut(&id).ok_or_else(none)?;
        let rows = subscriptions.unsubscribe(client, set, rows, state);
        if subscriptions.is_empty() {
            self.subscriptions.remove(&id);
        }
        Ok(match rows.map_err(not_followed)? {
            Some(rows) => Reply::Selected(rows),
            None => Reply::Done,
        })
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
    pub(crate) fn tell_clients(&mut self) {
        let effects = &mut self.parts.effects;
        for (id, replica) in &mut self.replicas {
            let events = std::mem::take(&mut replica.events);
            let Some(subscriptions) = self.subscriptions.get_mut(id) else {
                continue;
            };
            let serves = replica.serves();
            match replica.state.as_mut().filter(|_| serves) {
                Some(state) => subscriptions.deliver(state, &events, effects),
                None => subscriptions.drop_all(GONE, effects),
            }
        }
        let gone = self.subscriptions.iter_mut();
        for (_, subscriptions) in gone.filter(|(id, _)| !self.replicas.contains_key(id)) {
            subscriptions.drop_all(GONE, effects);
        }
        self.subscriptions
            .retain(|_, subscriptions| !subscriptions.is_empty());
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
