//! The words of protocol v1, in either of its forms: what clients of SpacetimeDB 1.x say and hear.
//!
//! Queries have numbers, alone or in sets, or none (the legacy way, where subscribing again replaces
//! all that was subscribed before). A client counts how often it was told of a row, by query; so what
//! several of its sets have in common it is told once.

mod form;
mod update;

use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::Message;
use client_messages::compression::Compression;
use client_messages::v1::{
    ClientMessage, OneOffTable, ProcedureStatus, ReducerCallInfo, ServerMessage, TransactionUpdate,
    UpdateStatus,
};
use peer_core::{Called, Reply, Request, RequestError, SetId, TableRows, Update, WantedRows};

use super::protocol::{self, Asking, NO_PROCEDURES, Place, Protocol, Unspeakable, micros, text_of};
use super::translator::KEPT_BYTES;
use crate::driver::clock::wall_us;
use form::Form;
use update::{Rows, changed};

/// What a client of v1 says and hears.
#[derive(Debug)]
pub(super) struct V1<F> {
    compression: Compression,
    form: PhantomData<fn() -> F>,
}

impl<F> V1<F> {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            form: PhantomData,
        }
    }
}

/// What a request was, until it is answered.
#[derive(Debug)]
pub(super) struct Asked<F: Form> {
    what: What<F>,
    /// When it was read, in microseconds since the Unix epoch.
    at: u64,
}

#[derive(Debug)]
enum What<F: Form> {
    /// Instead of all that was subscribed in this way.
    Legacy {
        request_id: u32,
    },
    Subscribe(Numbers),
    Unsubscribe(Numbers),
    Query {
        message_id: Bytes,
    },
    Call {
        call: ReducerCallInfo<F>,
        no_success_notify: bool,
    },
}

/// What a client calls a request and its queries.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    request_id: u32,
    query_id: u32,
    form: Asks,
}

/// In which form the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// For one query: rows of one table, if there is one.
    ForOne,
    /// For a set of them.
    ForSet,
}

impl<F: Form> protocol::Asked for Asked<F> {
    fn is_call(&self) -> bool {
        matches!(self.what, What::Call { .. })
    }

    fn weight(&self) -> usize {
        // The answer to a call repeats its arguments.
        match &self.what {
            What::Call { call, .. } => 1 + F::value_bytes(&call.args) / KEPT_BYTES,
            What::Query { message_id } => 1 + message_id.len() / KEPT_BYTES,
            _ => 1,
        }
    }
}

impl<F: Form> Protocol for V1<F> {
    type Question = ClientMessage<F>;
    type Asked = Asked<F>;
    type Answer = ServerMessage<F>;

    fn read(&self, frame: Message) -> Result<Vec<ClientMessage<F>>, String> {
        F::read(frame).map(|message| vec![message])
    }

    fn hello(&self, place: &Place, token: String) -> ServerMessage<F> {
        ServerMessage::IdentityToken {
            identity: place.identity,
            token,
            connection_id: place.connection.0,
        }
    }

    fn ask(&self, place: &Place, question: ClientMessage<F>) -> Asking<Self> {
        let database = place.database.clone();
        let client = place.client;
        let subscribe = |queries, numbers: Numbers| {
            let request = Request::Subscribe {
                database: place.database.clone(),
                client,
                set: SetId::Numbered(numbers.query_id),
                queries,
                rows: WantedRows::Unshared,
                events: false,
            };
            (What::Subscribe(numbers), request)
        };
        let unsubscribe = |numbers: Numbers| {
            let request = Request::Unsubscribe {
                database: place.database.clone(),
                client,
                set: SetId::Numbered(numbers.query_id),
                rows: WantedRows::Unshared,
            };
            (What::Unsubscribe(numbers), request)
        };
        let numbers = |request_id, query_id, form| Numbers {
            request_id,
            query_id,
            form,
        };
        let (what, request) = match question {
            ClientMessage::Subscribe {
                query_strings: queries,
                request_id,
            } => {
                let request = Request::Subscribe {
                    database,
                    client,
                    set: SetId::Unnumbered,
                    queries,
                    rows: WantedRows::Whole,
                    events: false,
                };
                (What::Legacy { request_id }, request)
            }
            ClientMessage::SubscribeSingle {
                query,
                request_id,
                query_id,
            } => subscribe(vec![query], numbers(request_id, query_id, Asks::ForOne)),
            ClientMessage::SubscribeMulti {
                query_strings,
                request_id,
                query_id,
            } => subscribe(query_strings, numbers(request_id, query_id, Asks::ForSet)),
            ClientMessage::Unsubscribe {
                request_id,
                query_id,
            } => unsubscribe(numbers(request_id, query_id, Asks::ForOne)),
            ClientMessage::UnsubscribeMulti {
                request_id,
                query_id,
            } => unsubscribe(numbers(request_id, query_id, Asks::ForSet)),
            ClientMessage::OneOffQuery {
                message_id,
                query_string: text,
            } => (
                What::Query { message_id },
                Request::Select { database, text },
            ),
            ClientMessage::CallReducer {
                reducer,
                args,
                request_id,
                no_success_notify,
            } => {
                let request = Request::Call {
                    database,
                    reducer: reducer.clone(),
                    arguments: F::arguments(&args),
                    connection: place.connection,
                    one_shot: false,
                    client: Some(client),
                };
                let call = ReducerCallInfo {
                    reducer_name: reducer.into(),
                    // Reducers are called by name, and no library looks at this.
                    reducer_id: 0,
                    args,
                    request_id,
                };
                let what = What::Call {
                    call,
                    no_success_notify,
                };
                (what, request)
            }
            ClientMessage::CallProcedure { request_id, .. } => {
                return Asking::Nobody(ServerMessage::ProcedureResult {
                    status: ProcedureStatus::InternalError(NO_PROCEDURES.to_owned()),
                    timestamp: micros(wall_us()),
                    total_host_execution_duration: 0,
                    request_id,
                });
            }
        };
        let at = wall_us();
        Asking::Core {
            asked: Asked { what, at },
            request,
        }
    }

    fn answer(
        &self,
        place: &Place,
        asked: Asked<F>,
        reply: Result<Reply, RequestError>,
    ) -> Result<ServerMessage<F>, Unspeakable> {
        let compression = self.compression;
        let took = asked.took();
        Ok(match asked.what {
            What::Legacy { request_id } => match reply {
                Ok(Reply::Selected(rows)) => ServerMessage::InitialSubscription {
                    database_update: Rows::Came.of_tables(compression, &rows)?,
                    request_id,
                    total_host_execution_duration: micros(took),
                },
                other => not_subscribed(took, request_id, None, other),
            },
            What::Subscribe(numbers) => match reply {
                Ok(Reply::Selected(rows)) => {
                    subscribed(Rows::Came, compression, took, numbers, &rows)?
                }
                other => not_subscribed(took, numbers.request_id, Some(numbers.query_id), other),
            },
            What::Unsubscribe(numbers) => match reply {
                Ok(Reply::Selected(rows)) => {
                    subscribed(Rows::Went, compression, took, numbers, &rows)?
                }
                other => not_subscribed(took, numbers.request_id, Some(numbers.query_id), other),
            },
            What::Query { message_id } => {
                let (error, tables) = match reply {
                    Ok(Reply::Selected(tables)) => (None, tables),
                    other => (Some(text_of(other)), Vec::new()),
                };
                let tables = tables.iter().map(|table| {
                    Ok(OneOffTable {
                        table_name: Arc::clone(&table.table),
                        rows: F::rows(&table.row_type, &table.rows)?,
                    })
                });
                ServerMessage::OneOffQueryResponse {
                    message_id,
                    error,
                    tables: tables.collect::<Result<_, _>>()?,
                    total_host_execution_duration: micros(took),
                }
            }
            // It never got as far as an entry.
            What::Call { call, .. } => {
                let status = UpdateStatus::Failed(text_of(reply));
                transaction(place, call, status, micros(wall_us()), took)
            }
        })
    }

    fn called(
        &self,
        place: &Place,
        asked: Asked<F>,
        result: Result<Called, RequestError>,
        update: Option<Update>,
    ) -> Result<Option<ServerMessage<F>>, Unspeakable> {
        let took = asked.took();
        let What::Call {
            call,
            no_success_notify,
        } = asked.what
        else {
            return Ok(None);
        };
        if no_success_notify && result.is_ok() && update.is_none() {
            return Ok(None);
        }
        let (status, timestamp) = match result {
            Ok(called) => {
                let changed = changed(self.compression, &update.unwrap_or_default())?;
                (UpdateStatus::Committed(changed), micros(called.timestamp))
            }
            Err(error) => (UpdateStatus::Failed(error.message), micros(wall_us())),
        };
        Ok(Some(transaction(place, call, status, timestamp, took)))
    }

    fn update(&self, update: Update) -> Result<ServerMessage<F>, Unspeakable> {
        Ok(ServerMessage::TransactionUpdateLight {
            request_id: 0,
            update: changed(self.compression, &update)?,
        })
    }

    fn frames(&self, answers: &[ServerMessage<F>]) -> Vec<Message> {
        let frame = |message| F::frame(self.compression, message);
        answers.iter().map(frame).collect()
    }
}

impl<F: Form> Asked<F> {
    /// Microseconds since it was read.
    fn took(&self) -> u64 {
        wall_us().saturating_sub(self.at)
    }
}

/// What a subscription brings, or its end takes away.
fn subscribed<F: Form>(
    what: Rows,
    compression: Compression,
    total_host_execution_duration_micros: u64,
    numbers: Numbers,
    rows: &[TableRows],
) -> Result<ServerMessage<F>, Unspeakable> {
    let Numbers {
        request_id,
        query_id,
        form,
    } = numbers;
    let one = match form {
        Asks::ForOne => what.of_one_table(compression, rows)?,
        Asks::ForSet => None,
    };
    if let Some(rows) = one {
        return Ok(match what {
            Rows::Came => ServerMessage::SubscribeApplied {
                request_id,
                total_host_execution_duration_micros,
                query_id,
                rows,
            },
            Rows::Went => ServerMessage::UnsubscribeApplied {
                request_id,
                total_host_execution_duration_micros,
                query_id,
                rows,
            },
        });
    }
    let update = what.of_tables(compression, rows)?;
    Ok(match what {
        Rows::Came => ServerMessage::SubscribeMultiApplied {
            request_id,
            total_host_execution_duration_micros,
            query_id,
            update,
        },
        Rows::Went => ServerMessage::UnsubscribeMultiApplied {
            request_id,
            total_host_execution_duration_micros,
            query_id,
            update,
        },
    })
}

fn not_subscribed<F: Form>(
    took: u64,
    request_id: u32,
    query_id: Option<u32>,
    reply: Result<Reply, RequestError>,
) -> ServerMessage<F> {
    ServerMessage::SubscriptionError {
        total_host_execution_duration_micros: took,
        request_id: Some(request_id),
        query_id,
        table_id: None,
        error: text_of(reply),
    }
}

/// What the caller of a reducer hears.
fn transaction<F: Form>(
    place: &Place,
    reducer_call: ReducerCallInfo<F>,
    status: UpdateStatus<F>,
    timestamp: i64,
    took: u64,
) -> ServerMessage<F> {
    ServerMessage::TransactionUpdate(TransactionUpdate {
        status,
        timestamp,
        caller_identity: place.identity,
        caller_connection_id: place.connection.0,
        reducer_call,
        energy_quanta_used: 0,
        total_host_execution_duration: micros(took),
    })
}
