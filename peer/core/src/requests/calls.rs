//! Calls of clients: checked as far as the caller can be told at once, and put into the batch.

use std::sync::Arc;

use module_host::ReducerDef;
use sync_protocol::{ConnectionId, DatabaseId, Now, SystemCall};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::refuse;
use crate::identity::Claims;
use crate::reply::{ErrorKind, Reply, RequestError};
use crate::request::{Arguments, ClientId, RequestId};
use crate::values::{self, Reader, type_name};

impl Core {
    #[expect(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) fn call(
        &mut self,
        now: Now,
        id: RequestId,
        caller: Arc<Claims>,
        database: &str,
        name: String,
        arguments: Arguments,
        connection: ConnectionId,
        one_shot: bool,
        client: Option<ClientId>,
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        let caller = self.speaking(database, caller)?;
        let replica = &self.replicas[&database];
        let def = replica.executor.module().def();
        let Some((_, reducer)) = def.reducer_by_name(&name) else {
            return Err(refuse(
                ErrorKind::NotFound,
                format!(
                    "the module has no reducer `{name}`; `tombolo describe` shows those it has"
                ),
            ));
        };
        if reducer.lifecycle.is_some() || !reducer.client_callable {
            return Err(refuse(
                ErrorKind::BadRequest,
                format!(
                    "`{}` is called by the database itself, not by clients",
                    reducer.name
                ),
            ));
        }
        let args = match arguments {
            Arguments::Json(json) => values::arguments_from_json(&reducer.params, &json)
                .map_err(|error| refuse(ErrorKind::BadRequest, error.to_string()))?,
            Arguments::Bsatn(bytes) => {
                check_arguments(reducer, &bytes)?;
                bytes
            }
        };
        if args.len() > sync_protocol::limits::ARGUMENTS_BYTES_MAX {
            return Err(refuse(
                ErrorKind::BadRequest,
                format!(
                    "the arguments have {} bytes, at most {} are allowed",
                    args.len(),
                    sync_protocol::limits::ARGUMENTS_BYTES_MAX
                ),
            ));
        }
        let call = Waiting {
            caller: Arc::clone(&caller),
            name,
            arguments_type: reducer.arguments_type,
            args,
            connection,
            carries_proof: false,
        };
        let reply = match client {
            Some(client) => ReplyTo::Client(client, id),
            None => ReplyTo::Call(id),
        };
        let group = if one_shot && replica.executor.has_clients() {
            let system = |call| Waiting::system(Arc::clone(&caller), &call, connection);
            Group {
                invocations: vec![
                    system(SystemCall::ClientConnected),
                    call,
                    system(SystemCall::ClientDisconnected),
                ],
                subject: 1,
                connect: Some(0),
                reply,
            }
        } else {
            Group::single(call, reply)
        };
        self.submit(now, database, group)
    }

    /// A client that stays connected or leaves.
    pub(super) fn client(
        &mut self,
        now: Now,
        id: RequestId,
        caller: Arc<Claims>,
        database: &str,
        connection: ConnectionId,
        call: SystemCall,
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        if !self.replicas[&database].executor.has_clients() {
            return Ok(Answer::Now(Reply::Done));
        }
        let caller = match self.speaking(database, caller) {
            Ok(caller) => caller,
            // Who may not be spoken for any more can still be said to be gone.
            Err(_) if call == SystemCall::ClientDisconnected => Arc::clone(&self.parts.own_claims),
            Err(why) => return Err(why),
        };
        let waiting = Waiting::system(caller, &call, connection);
        self.submit(now, database, Group::single(waiting, ReplyTo::Done(id)))
    }

    pub(super) fn submit(
        &mut self,
        now: Now,
        database: DatabaseId,
        group: Group,
    ) -> Result<Answer, RequestError> {
        self.parts.need_room(now)?;
        let taken = self.with(database, now, |replica, ctx| {
            if let Some(ahead_us) = replica.ahead_of_time(ctx) {
                return Ok(Err(clock_was_ahead(ahead_us)));
            }
            replica.enqueue(group, ctx).map(Ok)
        });
        match taken {
            Some(taken) => taken.map(|()| Answer::Later),
            None => Err(refuse(
                ErrorKind::Internal,
                "the database stopped; see `tombolo status`",
            )),
        }
    }
}

/// Whether the bytes are what the reducer takes: a guest that cannot read them traps, which says
/// nothing to anybody.
fn check_arguments(reducer: &ReducerDef, bytes: &[u8]) -> Result<(), RequestError> {
    let mut reader = Reader::new(bytes);
    for (at, (name, ty)) in reducer.params.iter().enumerate() {
        reader.value(ty).map_err(|error| {
            let text = format!(
                "argument {} of `{}`, `{name}`, is no {}: {error}",
                at + 1,
                reducer.name,
                type_name(ty)
            );
            refuse(ErrorKind::BadRequest, text)
        })?;
    }
    reader.finish().map_err(|error| {
        let text = format!("the arguments of `{}` are too long: {error}", reducer.name);
        refuse(ErrorKind::BadRequest, text)
    })
}

/// What a peer writes comes after what it wrote before.
fn clock_was_ahead(ahead_us: u64) -> RequestError {
    refuse(
        ErrorKind::Unavailable,
        format!(
            "this peer's clock was {} s ahead of the other members' when it last wrote, so a call \
             made now would run only then: set its clock, and restart the peer",
            ahead_us / 1_000_000
        ),
    )
}
