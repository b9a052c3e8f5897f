//! What a peer says to a client.

use std::sync::Arc;

use bytes::Bytes;

use crate::bsatn::{self, Wire};
use crate::error::Malformed;
use crate::rows::BsatnRowList;

/// One thing that a client is told. Cloning one shares rows, values and table names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Who the client is; the first message of every connection.
    InitialConnection {
        /// The identity of the client, little-endian.
        identity: [u8; 32],
        /// The id of the connection, little-endian.
        connection_id: [u8; 16],
        /// The token that was presented, or a new one.
        token: String,
    },
    /// A set of queries is subscribed to.
    SubscribeApplied {
        /// Of the request.
        request_id: u32,
        /// Of the request.
        query_set_id: u32,
        /// All rows of the set.
        rows: QueryRows,
    },
    /// A set of queries is no longer subscribed to.
    UnsubscribeApplied {
        /// Of the request.
        request_id: u32,
        /// Of the request.
        query_set_id: u32,
        /// The rows of the set, if they were asked for.
        rows: Option<QueryRows>,
    },
    /// A set of queries could not be compiled, or can no longer be evaluated.
    SubscriptionError {
        /// Of the request; none if the set was subscribed to already.
        request_id: Option<u32>,
        /// Which set.
        query_set_id: u32,
        /// For people.
        error: String,
    },
    /// Another's transaction changed rows of this client's queries.
    TransactionUpdate(TransactionUpdate),
    /// The rows of a query, or why there are none.
    OneOffQueryResult {
        /// Of the request.
        request_id: u32,
        /// The rows, or the error, for people.
        result: Result<QueryRows, String>,
    },
    /// What became of a call of a reducer.
    ReducerResult {
        /// Of the request.
        request_id: u32,
        /// When the reducer ran, in microseconds since the Unix epoch.
        timestamp: i64,
        /// What came of it.
        result: ReducerOutcome,
    },
    /// What became of a call of a procedure.
    ProcedureResult {
        /// What came of it.
        status: ProcedureStatus,
        /// When the procedure began, in microseconds since the Unix epoch.
        timestamp: i64,
        /// How long it took, in microseconds.
        duration: i64,
        /// Of the request.
        request_id: u32,
    },
}

/// Rows by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRows {
    /// At most one for each table.
    pub tables: Vec<SingleTableRows>,
}

/// Rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleTableRows {
    /// The canonical name of the table.
    pub table: Arc<str>,
    /// Its rows.
    pub rows: BsatnRowList,
}

/// What one transaction changed about the queries of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionUpdate {
    /// The sets that something changed about.
    pub query_sets: Vec<QuerySetUpdate>,
}

/// What changed about one set of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySetUpdate {
    /// Chosen by the client.
    pub query_set_id: u32,
    /// The tables whose rows changed.
    pub tables: Vec<TableUpdate>,
}

/// What changed about one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    /// The canonical name of the table.
    pub table_name: Arc<str>,
    /// The rows that came and went.
    pub rows: Vec<TableUpdateRows>,
}

/// Rows that came and went, or that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableUpdateRows {
    /// Of a table that keeps its rows.
    Persistent {
        /// Rows that came.
        inserts: BsatnRowList,
        /// Rows that went.
        deletes: BsatnRowList,
    },
    /// Of an event table.
    Event {
        /// Rows that happened.
        events: BsatnRowList,
    },
}

/// What came of a call of a reducer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReducerOutcome {
    /// It was committed.
    Ok {
        /// BSATN of what it returned.
        ret_value: Bytes,
        /// What it changed about the caller's queries.
        transaction_update: TransactionUpdate,
    },
    /// It was committed, returned nothing and changed nothing about the caller's queries.
    OkEmpty,
    /// It refused: BSATN of its error, which for most is a string.
    Err(Bytes),
    /// It did not run to its end: a trap, an unknown reducer, arguments that do not fit.
    InternalError(String),
}

/// What came of a call of a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcedureStatus {
    /// BSATN of what it returned.
    Returned(Bytes),
    /// It did not run to its end.
    InternalError(String),
}

impl ServerMessage {
    /// Appends the bytes of the message.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        bsatn::encode(self)
    }

    /// Reads a message that is the whole of the bytes, which is the payload of a frame of v2.
    ///
    /// # Errors
    /// [`Malformed`] if it is none, or something follows it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        bsatn::decode(bytes)
    }
}

sum!(ServerMessage, "a server's message" {
    0 => InitialConnection { identity, connection_id, token },
    1 => SubscribeApplied { request_id, query_set_id, rows },
    2 => UnsubscribeApplied { request_id, query_set_id, rows },
    3 => SubscriptionError { request_id, query_set_id, error },
    4 => TransactionUpdate(update),
    5 => OneOffQueryResult { request_id, result },
    6 => ReducerResult { request_id, timestamp, result },
    7 => ProcedureResult { status, timestamp, duration, request_id },
});

product!(QueryRows { tables });
product!(SingleTableRows { table, rows });
product!(TransactionUpdate { query_sets });
product!(QuerySetUpdate {
    query_set_id,
    tables
});
product!(TableUpdate { table_name, rows });

sum!(TableUpdateRows, "rows of an update" {
    0 => Persistent { inserts, deletes },
    1 => Event { events },
});

sum!(ReducerOutcome, "the outcome of a reducer" {
    0 => Ok { ret_value, transaction_update },
    1 => OkEmpty,
    2 => Err(error),
    3 => InternalError(error),
});

sum!(ProcedureStatus, "the status of a procedure" {
    0 => Returned(value),
    1 => InternalError(error),
});
