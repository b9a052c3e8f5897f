//! The words of protocols v2 and v3.

use axum::body::Bytes;
use axum::extract::ws::Message;
use client_messages::compression::Compression;
use client_messages::v2::{
    self as wire, ClientMessage, ProcedureStatus, QueryRows, QuerySetUpdate, ReducerOutcome,
    ServerMessage, SingleTableRows, TableUpdate, TableUpdateRows, TransactionUpdate, Version,
};
use peer_core::{
    Arguments, Called, ChangedRows, ErrorKind, Reply, Request, RequestError, SetId, TableRows,
    Update, WantedRows,
};

use super::protocol::{self, Asking, NO_PROCEDURES, Place, Protocol, Unspeakable, micros, text_of};
use crate::driver::clock::wall_us;

/// What a client of v2 or v3 says and hears.
#[derive(Debug)]
pub(super) struct V2 {
    pub(super) version: Version,
    pub(super) compression: Compression,
}

/// What a request was, until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Subscribe { request_id: u32, set: u32 },
    Unsubscribe { request_id: u32, set: u32 },
    Query { request_id: u32 },
    Call { request_id: u32 },
}

impl protocol::Asked for Asked {
    fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

impl Protocol for V2 {
    type Question = ClientMessage;
    type Asked = Asked;
    type Answer = ServerMessage;

    fn read(&self, frame: Message) -> Result<Vec<ClientMessage>, String> {
        match frame {
            Message::Binary(frame) => wire::decode_client_frame(self.version, &frame)
                .map_err(|malformed| malformed.to_string()),
            _ => Err("this subprotocol is binary".to_owned()),
        }
    }

    fn hello(&self, place: &Place, token: String) -> ServerMessage {
        ServerMessage::InitialConnection {
            identity: place.identity,
            connection_id: place.connection.0,
            token,
        }
    }

    fn ask(&self, place: &Place, question: ClientMessage) -> Asking<Self> {
        let database = place.database.clone();
        let client = place.client;
        let (asked, request) = match question {
            ClientMessage::Subscribe {
                request_id,
                query_set_id: set,
                query_strings: queries,
            } => {
                let request = Request::Subscribe {
                    database,
                    client,
                    set: SetId::Numbered(set),
                    queries,
                    rows: WantedRows::Whole,
                    events: true,
                };
                (Asked::Subscribe { request_id, set }, request)
            }
            ClientMessage::Unsubscribe {
                request_id,
                query_set_id: set,
                send_dropped_rows,
            } => {
                let request = Request::Unsubscribe {
                    database,
                    client,
                    set: SetId::Numbered(set),
                    rows: match send_dropped_rows {
                        true => WantedRows::Whole,
                        false => WantedRows::Nothing,
                    },
                };
                (Asked::Unsubscribe { request_id, set }, request)
            }
            ClientMessage::OneOffQuery {
                request_id,
                query_string: text,
            } => (
                Asked::Query { request_id },
                Request::Select { database, text },
            ),
            ClientMessage::CallReducer {
                request_id,
                reducer,
                args,
            } => {
                let request = Request::Call {
                    database,
                    reducer,
                    arguments: Arguments::Bsatn(args.into()),
                    connection: place.connection,
                    one_shot: false,
                    client: Some(client),
                };
                (Asked::Call { request_id }, request)
            }
            ClientMessage::CallProcedure { request_id, .. } => {
                return Asking::Nobody(ServerMessage::ProcedureResult {
                    status: ProcedureStatus::InternalError(NO_PROCEDURES.to_owned()),
                    timestamp: micros(wall_us()),
                    duration: 0,
                    request_id,
                });
            }
        };
        Asking::Core { asked, request }
    }

    fn answer(
        &self,
        _place: &Place,
        asked: Asked,
        reply: Result<Reply, RequestError>,
    ) -> Result<ServerMessage, Unspeakable> {
        Ok(answer(asked, reply))
    }

    fn called(
        &self,
        _place: &Place,
        asked: Asked,
        result: Result<Called, RequestError>,
        update: Option<Update>,
    ) -> Result<Option<ServerMessage>, Unspeakable> {
        let Asked::Call { request_id } = asked else {
            return Ok(None);
        };
        Ok(Some(called(request_id, result, update)))
    }

    fn update(&self, update: Update) -> Result<ServerMessage, Unspeakable> {
        Ok(ServerMessage::TransactionUpdate(update_of(update)))
    }

    fn frames(&self, answers: &[ServerMessage]) -> Vec<Message> {
        let frame = |messages: &[ServerMessage]| {
            let frame = wire::encode_server_frame(self.compression, messages);
            Message::Binary(Bytes::from(frame))
        };
        match self.version {
            Version::V3 => vec![frame(answers)],
            Version::V2 => answers.chunks(1).map(frame).collect(),
        }
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
                timestamp: micros(wall_us()),
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
        (Err(error), _) if error.kind == ErrorKind::ReducerFailed => (
            micros(wall_us()),
            ReducerOutcome::Err(bsatn_text(&error.message)),
        ),
        (Err(error), _) => (
            micros(wall_us()),
            ReducerOutcome::InternalError(error.message),
        ),
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
    let sets = update.sets.into_iter().filter_map(|set| {
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
        // Clients of v2 number all of their sets.
        let SetId::Numbered(query_set_id) = set.set else {
            return None;
        };
        Some(QuerySetUpdate {
            query_set_id,
            tables,
        })
    });
    TransactionUpdate {
        query_sets: sets.collect(),
    }
}
