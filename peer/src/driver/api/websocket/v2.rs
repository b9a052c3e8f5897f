//! The words of protocols v2 and v3: a client's messages as requests to the core, and what the core
//! tells as messages to the client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use client_messages::v2::{
    ClientMessage, ProcedureStatus, QueryRows, QuerySetUpdate, ReducerOutcome, ServerMessage,
    SingleTableRows, TableUpdate, TableUpdateRows, TransactionUpdate,
};
use peer_core::{
    Arguments, Called, ChangedRows, ClientId, ErrorKind, Reply, Request, RequestError, TableRows,
    Update,
};
use sync_protocol::ConnectionId;
use tokio::sync::Semaphore;

use crate::driver::clients::Told;
use crate::driver::clock::wall_us;

/// Requests of one client whose answers are awaited. Then its next message is not read.
const OPEN_MAX: usize = 8_192;

/// All that calls can hold.
const ALL_CALLS: u32 = OPEN_MAX as u32;

/// What a procedure is answered.
const NO_PROCEDURES: &str = "this peer does not run procedures";

/// What a request was, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Subscribe { request_id: u32, set: u32 },
    Unsubscribe { request_id: u32, set: u32 },
    Query { request_id: u32 },
    Call { request_id: u32 },
}

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Asking {
    /// To the core, under a number.
    Core { ticket: u64, request: Request },
    /// Nowhere: this is the answer.
    Nobody(ServerMessage),
}

/// What is open on one connection.
#[derive(Debug)]
pub(super) struct Translator {
    connection: ConnectionId,
    client: ClientId,
    database: String,
    room: Semaphore,
    /// What calls hold until they are answered. Whatever else is asked waits until nobody holds any:
    /// it is answered after the calls before it, and from a state that has them.
    calls: Semaphore,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    asked: BTreeMap<u64, Asked>,
    /// Answers to calls that failed sooner than an earlier one is answered.
    early: BTreeMap<u64, ServerMessage>,
}

impl Translator {
    pub(super) fn new(connection: ConnectionId, client: ClientId, database: &str) -> Self {
        Self {
            connection,
            client,
            database: database.to_owned(),
            room: Semaphore::new(OPEN_MAX),
            calls: Semaphore::new(OPEN_MAX),
            open: Mutex::default(),
        }
    }

    /// What a message asks of the core. Waits while too much is open.
    pub(super) async fn ask(&self, message: ClientMessage) -> Asking {
        let (asked, request) = match message {
            ClientMessage::Subscribe {
                request_id,
                query_set_id: set,
                query_strings: queries,
            } => {
                let request = Request::Subscribe {
                    database: self.database.clone(),
                    client: self.client,
                    set,
                    queries,
                };
                (Asked::Subscribe { request_id, set }, request)
            }
            ClientMessage::Unsubscribe {
                request_id,
                query_set_id: set,
                send_dropped_rows: rows,
            } => {
                let request = Request::Unsubscribe {
                    database: self.database.clone(),
                    client: self.client,
                    set,
                    rows,
                };
                (Asked::Unsubscribe { request_id, set }, request)
            }
            ClientMessage::OneOffQuery {
                request_id,
                query_string: text,
            } => {
                let database = self.database.clone();
                (
                    Asked::Query { request_id },
                    Request::Select { database, text },
                )
            }
            ClientMessage::CallReducer {
                request_id,
                reducer,
                args,
            } => {
                let request = Request::Call {
                    database: self.database.clone(),
                    reducer,
                    arguments: Arguments::Bsatn(args.into()),
                    connection: self.connection,
                    one_shot: false,
                    client: Some(self.client),
                };
                (Asked::Call { request_id }, request)
            }
            ClientMessage::CallProcedure { request_id, .. } => {
                return Asking::Nobody(ServerMessage::ProcedureResult {
                    status: ProcedureStatus::InternalError(NO_PROCEDURES.to_owned()),
                    timestamp: now_us(),
                    duration: 0,
                    request_id,
                });
            }
        };
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
        if matches!(asked, Asked::Call { .. }) {
            if let Ok(permit) = self.calls.acquire().await {
                permit.forget();
            }
        } else {
            drop(self.calls.acquire_many(ALL_CALLS).await);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.next += 1;
        let ticket = open.next;
        open.asked.insert(ticket, asked);
        Asking::Core { ticket, request }
    }

    fn close(&self, ticket: u64) -> Option<Asked> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = open.asked.remove(&ticket)?;
        self.room.add_permits(1);
        if matches!(asked, Asked::Call { .. }) {
            self.calls.add_permits(1);
        }
        Some(asked)
    }

    /// Keeps what answers a call until all before it are answered. It changed nothing, so nothing
    /// that the client hears meanwhile depends on it.
    fn keep(&self, ticket: u64, message: ServerMessage) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.early.insert(ticket, message);
    }

    /// Gives out the answers whose turn it is now.
    fn give_out(&self, messages: &mut Vec<ServerMessage>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(early) = open.early.first_entry().map(|entry| *entry.key())
            && open.asked.keys().next().is_none_or(|first| early < *first)
        {
            messages.extend(open.early.remove(&early));
        }
    }

    /// The messages that say what a client is told.
    pub(super) fn tell(&self, told: Told, messages: &mut Vec<ServerMessage>) {
        match told {
            Told::Update(update) => {
                messages.push(ServerMessage::TransactionUpdate(update_of(update)));
            }
            Told::Called {
                ticket,
                result,
                update,
            } => {
                if let Some(Asked::Call { request_id }) = self.close(ticket) {
                    messages.push(called(request_id, result, update));
                }
            }
            Told::Answer { ticket, reply } => match self.close(ticket) {
                Some(asked @ Asked::Call { .. }) => self.keep(ticket, answer(asked, reply)),
                Some(asked) => messages.push(answer(asked, reply)),
                None => {}
            },
        }
        self.give_out(messages);
    }
}

fn answer(asked: Asked, reply: Result<Reply, RequestError>) -> ServerMessage {
    match asked {
        Asked::Subscribe { request_id, set } => match reply {
            Ok(Reply::Selected(rows)) => ServerMessage::SubscribeApplied {
                request_id,
                query_set_id: set,
                rows: rows_of(rows),
            },
            other => not_subscribed(request_id, set, other),
        },
        Asked::Unsubscribe { request_id, set } => match reply {
            Ok(Reply::Selected(rows)) => ServerMessage::UnsubscribeApplied {
                request_id,
                query_set_id: set,
                rows: Some(rows_of(rows)),
            },
            Ok(Reply::Done) => ServerMessage::UnsubscribeApplied {
                request_id,
                query_set_id: set,
                rows: None,
            },
            other => not_subscribed(request_id, set, other),
        },
        Asked::Query { request_id } => ServerMessage::OneOffQueryResult {
            request_id,
            result: match reply {
                Ok(Reply::Selected(rows)) => Ok(rows_of(rows)),
                other => Err(text_of(other)),
            },
        },
        // It never got as far as an entry.
        Asked::Call { request_id } => match reply {
            Err(error) => called(request_id, Err(error), None),
            other => ServerMessage::ReducerResult {
                request_id,
                timestamp: now_us(),
                result: ReducerOutcome::InternalError(text_of(other)),
            },
        },
    }
}

fn not_subscribed(
    request_id: u32,
    query_set_id: u32,
    reply: Result<Reply, RequestError>,
) -> ServerMessage {
    ServerMessage::SubscriptionError {
        request_id: Some(request_id),
        query_set_id,
        error: text_of(reply),
    }
}

fn text_of(reply: Result<Reply, RequestError>) -> String {
    match reply {
        Err(error) => error.message,
        Ok(_) => "the peer gave an unexpected answer; please report this".to_owned(),
    }
}

fn called(
    request_id: u32,
    result: Result<Called, RequestError>,
    update: Option<Update>,
) -> ServerMessage {
    let (timestamp, result) = match (result, update) {
        (Ok(called), None) => (micros(called.timestamp), ReducerOutcome::OkEmpty),
        (Ok(called), Some(update)) => (
            micros(called.timestamp),
            ReducerOutcome::Ok {
                ret_value: Bytes::new(),
                transaction_update: update_of(update),
            },
        ),
        (Err(error), _) if error.kind == ErrorKind::ReducerFailed => {
            (now_us(), ReducerOutcome::Err(bsatn_text(&error.message)))
        }
        (Err(error), _) => (now_us(), ReducerOutcome::InternalError(error.message)),
    };
    ServerMessage::ReducerResult {
        request_id,
        timestamp,
        result,
    }
}

/// A reducer's error is a string for most modules: its length, and its bytes.
fn bsatn_text(text: &str) -> Bytes {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), text.as_bytes()].concat().into()
}

fn micros(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn now_us() -> i64 {
    micros(wall_us())
}

/// Rows by table: two queries of one table give one list.
fn rows_of(rows: Vec<TableRows>) -> QueryRows {
    let mut tables: Vec<SingleTableRows> = Vec::new();
    for TableRows { table, rows, .. } in rows {
        match tables.iter_mut().find(|known| known.table == table) {
            Some(known) => known.rows = known.rows.iter().chain(&rows).collect(),
            None => tables.push(SingleTableRows { table, rows }),
        }
    }
    QueryRows { tables }
}

fn update_of(update: Update) -> TransactionUpdate {
    let sets = update.sets.into_iter().map(|set| {
        let mut tables: Vec<TableUpdate> = Vec::new();
        for change in set.tables {
            let rows = match &change.rows {
                ChangedRows::Kept { inserts, deletes } => TableUpdateRows::Persistent {
                    inserts: inserts.clone(),
                    deletes: deletes.clone(),
                },
                ChangedRows::Events(events) => TableUpdateRows::Event {
                    events: events.clone(),
                },
            };
            let known = tables
                .iter_mut()
                .find(|known| known.table_name == change.table);
            match known {
                Some(known) => known.rows.push(rows),
                None => tables.push(TableUpdate {
                    table_name: change.table.clone(),
                    rows: vec![rows],
                }),
            }
        }
        QuerySetUpdate {
            query_set_id: set.set,
            tables,
        }
    });
    TransactionUpdate {
        query_sets: sets.collect(),
    }
}
