//! Views: tables that are made when they are asked for, and are no part of the state. Those named `st_…`
//! say how the database is on this peer, and two peers show different rows; others the module
//! computes. They can be asked and followed like any table.

mod calls;
mod computed;
mod tables;

use std::sync::Arc;

use spacetimedb_sats::AlgebraicType;
use store::{Row, State, TableId, TableSchema};
use sync_protocol::DeviceKey;

use crate::core::Core;
use crate::identity::{did_key, identity_of};
use crate::replica::Replica;
use crate::reply::RemoteInfo;
use crate::sql::{Access, Reading, VirtualTables};
use crate::status::role_word;
use crate::system_tables::{self, Fields};

pub(crate) use calls::RecentCalls;
pub(crate) use computed::Computed;

/// The first table number of views; modules' tables have higher ones, replicated system tables lower.
const FIRST_TABLE: u32 = 2_048;

/// Which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Peer,
    Member,
    Invocation,
    Cut,
    Table,
    Column,
    Index,
}

const VIEWS: [View; 7] = [
    View::Peer,
    View::Member,
    View::Invocation,
    View::Cut,
    View::Table,
    View::Column,
    View::Index,
];

impl View {
    const fn name(self) -> &'static str {
        match self {
            Self::Peer => "st_peer",
            Self::Member => "st_member",
            Self::Invocation => "st_invocation",
            Self::Cut => "st_cut",
            Self::Table => "st_table",
            Self::Column => "st_column",
            Self::Index => "st_index",
        }
    }

    /// Its columns, and whether the first one is the primary key.
    fn columns(self) -> (Vec<(&'static str, AlgebraicType)>, bool) {
        use AlgebraicType as Type;
        let text = || Type::String;
        match self {
            Self::Peer => (
                vec![
                    ("device", text()),
                    ("address", Type::option(text())),
                    ("this_peer", Type::Bool),
                    ("connected", Type::Bool),
                    ("in_sync", Type::Bool),
                ],
                true,
            ),
            Self::Member => (
                vec![
                    ("device", text()),
                    ("identity", Type::identity()),
                    ("role", text()),
                ],
                true,
            ),
            Self::Invocation => (
                vec![
                    ("id", text()),
                    ("author", text()),
                    ("caller", Type::identity()),
                    ("reducer", text()),
                    ("timestamp", Type::timestamp()),
                    ("status", text()),
                    ("is_final", Type::Bool),
                    ("error", Type::option(text())),
                ],
                true,
            ),
            Self::Cut => (
                vec![
                    ("height", Type::U64),
                    ("id", text()),
                    ("state_root", text()),
                    ("not_final", Type::U64),
                ],
                true,
            ),
            Self::Table => (
                vec![
                    ("table_id", Type::U32),
                    ("table_name", text()),
                    ("table_type", text()),
                    ("table_access", text()),
                    ("row_count", Type::U64),
                ],
                true,
            ),
            Self::Column => (
                vec![
                    ("table_id", Type::U32),
                    ("col_pos", Type::U16),
                    ("col_name", text()),
                    ("col_type", text()),
                ],
                false,
            ),
            Self::Index => (
                vec![
                    ("index_id", Type::U32),
                    ("table_id", Type::U32),
                    ("index_name", text()),
                    ("index_algorithm", text()),
                    ("columns", text()),
                    ("is_unique", Type::Bool),
                ],
                true,
            ),
        }
    }

    fn schema(self) -> TableSchema {
        let number = VIEWS.iter().position(|view| *view == self);
        let number = FIRST_TABLE + u32::try_from(number.unwrap_or_default()).unwrap_or_default();
        let (columns, keyed) = self.columns();
        let mut schema = system_tables::table(TableId(number), self.name(), &columns, keyed);
        schema.public = true;
        schema
    }
}

/// The schemas of all views: for client code that is written to follow them.
#[must_use]
pub fn schemas() -> Vec<TableSchema> {
    VIEWS.iter().map(|view| view.schema()).collect()
}

/// The schema of the peer's own view of that name.
fn schema_of(name: &str) -> Option<TableSchema> {
    let view = VIEWS.into_iter().find(|view| view.name() == name)?;
    Some(view.schema())
}

/// The views of one database, for one who asks.
pub(crate) struct LocalViews<'a> {
    replica: &'a Replica,
    device: DeviceKey,
    remotes: Vec<RemoteInfo>,
    access: Access,
    /// Views of the module, as far as they are asked for.
    computed: Computed,
}

impl Core {
    /// The views of a database of this peer, beside those of its module.
    pub(crate) fn local_views<'a>(
        &'a self,
        replica: &'a Replica,
        access: Access,
        computed: Computed,
    ) -> LocalViews<'a> {
        LocalViews {
            computed,
            replica,
            device: self.parts.device,
            remotes: self.remotes(Some(&replica.id)),
            access,
        }
    }
}

impl VirtualTables for LocalViews<'_> {
    fn schema(&self, name: &str) -> Option<TableSchema> {
        let of_module = self.replica.view_named(name, self.access.owner);
        match of_module {
            Some(view) => Some(view.table.clone()),
            None => schema_of(name),
        }
    }

    fn table(&self, name: &str) -> Option<(TableSchema, Vec<Row>)> {
        if let Some(computed) = self.computed.get(name) {
            return Some(computed.clone());
        }
        let view = VIEWS.into_iter().find(|view| view.name() == name)?;
        let rows = match view {
            View::Peer => self.peers(),
            View::Member => self.members(),
            View::Invocation => self.invocations(),
            View::Cut => self.cut(),
            View::Table => self.tables(),
            View::Column => self.columns(),
            View::Index => self.indexes(),
        };
        Some((view.schema(), rows.into_iter().map(Arc::from).collect()))
    }
}

impl LocalViews<'_> {
    /// These beside the rows of the database.
    pub(crate) fn reading<'a>(&'a self, state: &'a State) -> Reading<'a> {
        Reading {
            state,
            views: self,
            access: self.access,
            filters: self.replica.executor.filters(),
        }
    }

    /// This device, and the members it is linked to or has heard of.
    fn peers(&self) -> Vec<Vec<u8>> {
        let of_member = |device: &DeviceKey| {
            let this = *device == self.device;
            let link = self.remotes.iter().find(|remote| remote.id == *device);
            let known = self.replica.addresses.of(device).first();
            Fields::default()
                .bytes(device.to_string().as_bytes())
                .option(known.map(String::as_bytes))
                .u8(u8::from(this))
                .u8(u8::from(this || link.is_some()))
                .u8(u8::from(this || link.is_some_and(|link| link.in_sync)))
                .0
        };
        self.replica.members.keys().map(of_member).collect()
    }

    fn members(&self) -> Vec<Vec<u8>> {
        let members = self.replica.members.iter().map(|(device, role)| {
            let did = did_key(device);
            Fields::default()
                .bytes(device.to_string().as_bytes())
                .fixed(&identity_of(&did, &did))
                .bytes(role_word(*role).as_bytes())
                .0
        });
        members.collect()
    }

    /// One row: the newest cut.
    fn cut(&self) -> Vec<Vec<u8>> {
        let cut = &self.replica.cut;
        let calls = |ran: &crate::replica::Executed| ran.outcomes.len() as u64;
        let not_final: u64 = self.replica.executed.iter().map(calls).sum();
        let row = Fields::default()
            .fixed(&cut.height.to_le_bytes())
            .bytes(cut.id().to_string().as_bytes())
            .bytes(cut.state_root.to_string().as_bytes())
            .fixed(&not_final.to_le_bytes());
        vec![row.0]
    }
}
