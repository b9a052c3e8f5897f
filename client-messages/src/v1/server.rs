//! What a peer says to a client.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::json::fields;
use super::{Bsatn, DatabaseUpdate, Format, TableUpdate, TextFormat};
use crate::bsatn::{self, Wire};
use crate::compression::{self, Compression};
use crate::error::Malformed;

/// One thing that a client is told. Cloning one shares rows, values and table names.
///
/// What is called `total_host_execution_duration` is the time from the request to the answer, in
/// microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub enum ServerMessage<F: Format> {
    /// A legacy subscription is there.
    InitialSubscription {
        /// All rows of the queries.
        database_update: DatabaseUpdate<F>,
        /// Of the request.
        request_id: u32,
        /// How long it took.
        #[serde(with = "fields::duration")]
        total_host_execution_duration: i64,
    },
    /// A reducer was called, by this client or with consequences for its queries.
    TransactionUpdate(TransactionUpdate<F>),
    /// A transaction changed rows of this client's queries, without saying more.
    TransactionUpdateLight {
        /// Of the call, if it was this client's.
        request_id: u32,
        /// The rows.
        update: DatabaseUpdate<F>,
    },
    /// Who the client is; the first message of every connection.
    IdentityToken {
        /// The identity of the client, little-endian.
        #[serde(with = "fields::identity")]
        identity: [u8; 32],
        /// The token that was presented, or a new one.
        token: String,
        /// The id of the connection, little-endian.
        #[serde(with = "fields::connection_id")]
        connection_id: [u8; 16],
    },
    /// The rows of a query, or why there are none.
    OneOffQueryResponse {
        /// Of the request.
        #[serde(with = "fields::bytes")]
        message_id: Bytes,
        /// For people.
        #[serde(with = "fields::option")]
        error: Option<String>,
        /// The rows, if there is no error.
        tables: Vec<OneOffTable<F>>,
        /// How long it took.
        #[serde(with = "fields::duration")]
        total_host_execution_duration: i64,
    },
    /// A query is subscribed to.
    SubscribeApplied {
        /// Of the request.
        request_id: u32,
        /// How long it took.
        total_host_execution_duration_micros: u64,
        /// Of the request.
        #[serde(with = "fields::query_id")]
        query_id: u32,
        /// All rows of the query.
        rows: SubscribeRows<F>,
    },
    /// A query is no longer subscribed to.
    UnsubscribeApplied {
        /// Of the request.
        request_id: u32,
        /// How long it took.
        total_host_execution_duration_micros: u64,
        /// Of the request.
        #[serde(with = "fields::query_id")]
        query_id: u32,
        /// Rows that only this query had.
        rows: SubscribeRows<F>,
    },
    /// A subscription could not be compiled, or can no longer be evaluated.
    SubscriptionError {
        /// How long it took.
        total_host_execution_duration_micros: u64,
        /// Of the request; none if it was subscribed to already.
        #[serde(with = "fields::option")]
        request_id: Option<u32>,
        /// Of the request; none if all subscriptions are dropped.
        #[serde(with = "fields::option")]
        query_id: Option<u32>,
        /// The table whose rows are dropped; none if all are.
        #[serde(with = "fields::option")]
        table_id: Option<u32>,
        /// For people.
        error: String,
    },
    /// A set of queries is subscribed to.
    SubscribeMultiApplied {
        /// Of the request.
        request_id: u32,
        /// How long it took.
        total_host_execution_duration_micros: u64,
        /// Of the request.
        #[serde(with = "fields::query_id")]
        query_id: u32,
        /// The rows of those queries that this connection lacked.
        update: DatabaseUpdate<F>,
    },
    /// A set of queries is no longer subscribed to.
    UnsubscribeMultiApplied {
        /// Of the request.
        request_id: u32,
        /// How long it took.
        total_host_execution_duration_micros: u64,
        /// Of the request.
        #[serde(with = "fields::query_id")]
        query_id: u32,
        /// Rows that only these queries had.
        update: DatabaseUpdate<F>,
    },
    /// What became of a call of a procedure.
    ProcedureResult {
        /// What came of it.
        status: ProcedureStatus<F>,
        /// When the procedure began, in microseconds since the Unix epoch.
        #[serde(with = "fields::timestamp")]
        timestamp: i64,
        /// How long it took.
        #[serde(with = "fields::duration")]
        total_host_execution_duration: i64,
        /// Of the request.
        request_id: u32,
    },
}

/// What became of a call of a reducer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct TransactionUpdate<F: Format> {
    /// What came of it.
    pub status: UpdateStatus<F>,
    /// When the reducer ran, in microseconds since the Unix epoch.
    #[serde(with = "fields::timestamp")]
    pub timestamp: i64,
    /// Who called it, little-endian.
    #[serde(with = "fields::identity")]
    pub caller_identity: [u8; 32],
    /// From which connection, little-endian; zeros for none.
    #[serde(with = "fields::connection_id")]
    pub caller_connection_id: [u8; 16],
    /// What was called.
    pub reducer_call: ReducerCallInfo<F>,
    /// What it cost.
    #[serde(with = "fields::energy")]
    pub energy_quanta_used: u128,
    /// How long it took, in microseconds.
    #[serde(with = "fields::duration")]
    pub total_host_execution_duration: i64,
}

/// What came of a call of a reducer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub enum UpdateStatus<F: Format> {
    /// It was committed, and changed these of the client's rows.
    Committed(DatabaseUpdate<F>),
    /// It refused, or did not run to its end; for people.
    Failed(String),
    /// It was stopped because its energy was used up.
    #[serde(with = "fields::unit")]
    OutOfEnergy,
}

/// A call of a reducer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct ReducerCallInfo<F: Format> {
    /// The name of the reducer.
    pub reducer_name: Arc<str>,
    /// The number of the reducer.
    pub reducer_id: u32,
    /// The product of its arguments.
    pub args: F::Value,
    /// Of the request, if this client made it.
    pub request_id: u32,
}

/// Rows of one table that a query has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct OneOffTable<F: Format> {
    /// The canonical name of the table.
    pub table_name: Arc<str>,
    /// Its rows.
    pub rows: F::Rows,
}

/// Rows of one table that a subscription brings or takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub struct SubscribeRows<F: Format> {
    /// The number of the table.
    pub table_id: u32,
    /// The canonical name of the table.
    pub table_name: Arc<str>,
    /// The rows.
    pub table_rows: TableUpdate<F>,
}

/// What came of a call of a procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "F: TextFormat", deserialize = "F: TextFormat"))]
pub enum ProcedureStatus<F: Format> {
    /// What it returned.
    Returned(F::Value),
    /// It was stopped because its energy was used up.
    #[serde(with = "fields::unit")]
    OutOfEnergy,
    /// It did not run to its end; for people.
    InternalError(String),
}

impl ServerMessage<Bsatn> {
    /// Appends the bytes of the message.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    /// The bytes of the message.
    pub fn encode(&self) -> Vec<u8> {
        bsatn::encode(self)
    }

    /// Reads the payload of a frame, as [`open_frame`](compression::open_frame) returns it.
    ///
    /// # Errors
    /// [`Malformed`] if it is no message, or something follows it.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        bsatn::decode(payload)
    }
}

/// The frame of a message.
pub fn encode_server_frame(compression: Compression, message: &ServerMessage<Bsatn>) -> Vec<u8> {
    let mut frame = compression::begin();
    message.put(&mut frame);
    compression::finish(compression, frame)
}

sum!(ServerMessage<Bsatn>, "a server's message" {
    0 => InitialSubscription { database_update, request_id, total_host_execution_duration },
    1 => TransactionUpdate(update),
    2 => TransactionUpdateLight { request_id, update },
    3 => IdentityToken { identity, token, connection_id },
    4 => OneOffQueryResponse { message_id, error, tables, total_host_execution_duration },
    5 => SubscribeApplied {
        request_id, total_host_execution_duration_micros, query_id, rows,
    },
    6 => UnsubscribeApplied {
        request_id, total_host_execution_duration_micros, query_id, rows,
    },
    7 => SubscriptionError {
        total_host_execution_duration_micros, request_id, query_id, table_id, error,
    },
    8 => SubscribeMultiApplied {
        request_id, total_host_execution_duration_micros, query_id, update,
    },
    9 => UnsubscribeMultiApplied {
        request_id, total_host_execution_duration_micros, query_id, update,
    },
    10 => ProcedureResult { status, timestamp, total_host_execution_duration, request_id },
});

product!(TransactionUpdate<Bsatn> {
    status,
    timestamp,
    caller_identity,
    caller_connection_id,
    reducer_call,
    energy_quanta_used,
    total_host_execution_duration,
});
product!(ReducerCallInfo<Bsatn> { reducer_name, reducer_id, args, request_id });
product!(OneOffTable<Bsatn> { table_name, rows });
product!(SubscribeRows<Bsatn> { table_id, table_name, table_rows });

sum!(UpdateStatus<Bsatn>, "the status of a transaction" {
    0 => Committed(update),
    1 => Failed(error),
    2 => OutOfEnergy,
});

sum!(ProcedureStatus<Bsatn>, "the status of a procedure" {
    0 => Returned(value),
    1 => OutOfEnergy,
    2 => InternalError(error),
});
