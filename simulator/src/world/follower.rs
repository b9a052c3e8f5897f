//! Somebody who follows all tables at each peer, and keeps the rows by what the peer says of
//! changes. They have to be those that the peer shows to somebody who asks now.

use std::collections::BTreeMap;

use client_messages::BsatnRowList;
use peer_core::{ChangedRows, ClientId, Reply, Request, SetId, Update, WantedRows};

use super::World;
use crate::checker::{ADDED_TABLE, TABLES};

/// What it calls its queries.
const SET: SetId = SetId::Numbered(7);

/// Rows as BSATN, and how often each is there.
type Rows = BTreeMap<Vec<u8>, i64>;

/// What one client knows.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) client: ClientId,
    tables: BTreeMap<String, Rows>,
}

impl Follower {
    fn apply(&mut self, update: &Update) -> Result<(), String> {
        for set in &update.sets {
            if set.set != SET {
                return Err(format!("tells of set {}, which there is not", set.set));
            }
            for change in &set.tables {
                let rows = self.tables.entry(change.table.to_string()).or_default();
                let ChangedRows::Kept { inserts, deletes } = &change.rows else {
                    return Err("tells of events, which there are not".to_owned());
                };
                // What goes and what comes may be told in any order: only the sum counts.
                for (list, sign) in [(inserts, 1), (deletes, -1)] {
                    for row in list {
                        let count = rows.entry(row.to_vec()).or_default();
                        *count += sign;
                    }
                }
                if rows.values().any(|count| !(0..=1).contains(count)) {
                    return Err(format!(
                        "tells that rows of {} come that are there, or go that are not",
                        change.table
                    ));
                }
                rows.retain(|_, count| *count > 0);
            }
        }
        Ok(())
    }
}

impl World {
    /// Wherever nobody follows, somebody begins to.
    pub(crate) fn follow(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].follower.is_some() || !self.nodes[at].is_member {
                continue;
            }
            self.requests += 1;
            let client = ClientId(self.requests);
            let queries = TABLES.iter().filter(|table| **table != ADDED_TABLE);
            let subscribe = Request::Subscribe {
                rows: WantedRows::Whole,
                events: true,
                database: self.database.clone(),
                client,
                set: SET,
                queries: queries
                    .map(|table| format!("SELECT * FROM {table}"))
                    .collect(),
            };
            if let Some(Ok(Reply::Selected(tables))) = self.ask(at, subscribe) {
                let rows = |list: &BsatnRowList| list.iter().map(|row| (row.to_vec(), 1)).collect();
                let tables = tables.iter();
                let tables = tables.map(|table| (table.table.to_string(), rows(&table.rows)));
                let tables = tables.collect();
                self.nodes[at].follower = Some(Follower { client, tables });
            }
        }
    }

    /// A peer tells its follower something.
    pub(super) fn tell_follower(&mut self, at: usize, client: ClientId, update: &Update) {
        let follower = self.nodes[at].follower.as_mut();
        match follower.filter(|follower| follower.client == client) {
            Some(follower) => {
                if let Err(why) = follower.apply(update) {
                    self.breaks(format!("peer {at} {why}"));
                }
            }
            None => self.breaks(format!("peer {at} tells a client that is gone")),
        }
    }

    /// Whether what the follower knows is what anybody sees who asks now.
    pub(crate) fn check_follower(&mut self, at: usize) -> Result<(), String> {
        let Some(follower) = self.nodes[at].follower.take() else {
            return Ok(());
        };
        for (table, known) in &follower.tables {
            let select = Request::Select {
                database: self.database.clone(),
                text: format!("SELECT * FROM {table}"),
            };
            let Some(Ok(Reply::Selected(now))) = self.ask(at, select) else {
                return Ok(()); // it is down, or its disk is in trouble: the follower is gone
            };
            let rows = now.iter().flat_map(|table| &table.rows);
            let rows: Rows = rows.map(|row| (row.to_vec(), 1)).collect();
            if rows != *known {
                return Err(format!(
                    "who follows {table} knows {} rows that are not the {} that are there",
                    known.len(),
                    rows.len()
                ));
            }
        }
        if self.nodes[at].is_on() {
            self.nodes[at].follower = Some(follower);
        }
        Ok(())
    }
}
