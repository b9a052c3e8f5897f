//! Answers clients. Whatever changes something becomes a call in a batch and is answered when its
//! entry is durable and has run; everything else is answered at once from the visible state.

mod calls;
pub(crate) mod databases;
mod finality;
mod following;
mod issuers;
mod members;
mod query;
mod upgrades;

use std::sync::Arc;

use sync_protocol::{
    ConnectionId, DatabaseId, Hlc, Now, Role, SecretKey, SystemCall, TICKET_MEMBERS_MAX, Ticket,
    TicketMember,
};

use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::error::refuse;
use crate::identity::Claims;
use crate::replica::Replica;
use crate::reply::{ErrorKind, Reply, RequestError};
use crate::request::{Request, RequestId};
use crate::sql::Access;
use query::schema;

/// Purpose of a ticket's one-time key.
const TICKET_CONTEXT: &str = "tombolo ticket key 1";

/// The longest a ticket can live, in seconds: a year.
const TICKET_SECONDS_MAX: u64 = 366 * 24 * 3_600;

/// An answer now, or one that comes with an entry's outcome.
enum Answer {
    Now(Reply),
    Later,
}

impl Core {
    pub(crate) fn request(
        &mut self,
        now: Now,
        id: RequestId,
        caller: Arc<Claims>,
        owner: bool,
        request: Request,
    ) {
        self.bring_up(now);
        let reply = match self.answer(now, id, caller, owner, request) {
            Ok(Answer::Later) => return,
            Ok(Answer::Now(reply)) => Ok(reply),
            Err(error) => Err(error),
        };
        self.parts.effects.push(Effect::Reply { id, reply });
    }

    /// Nobody is to see what a cut has taken back and no sweep has brought back yet.
    fn bring_up(&mut self, now: Now) {
        let behind = self.replicas.values().filter(|replica| replica.behind);
        let behind: Vec<DatabaseId> = behind.map(|replica| replica.id).collect();
        for id in &behind {
            self.with(*id, now, |replica, ctx| replica.sweep(ctx));
        }
        // Or who begins to follow now would hear once more of what the first answer shows.
        if !behind.is_empty() {
            self.tell_clients(now);
        }
    }

    fn answer(
        &mut self,
        now: Now,
        id: RequestId,
        caller: Arc<Claims>,
        owner: bool,
        request: Request,
    ) -> Result<Answer, RequestError> {
        if !owner && only_for_owner(&request) {
            return Err(refuse(
                ErrorKind::Denied,
                "only the owner of this peer may do that: use the token in <data-dir>/owner.token",
            ));
        }
        match request {
            Request::Call {
                database,
                reducer,
                arguments,
                connection,
                one_shot,
                client,
            } => self.call(
                now, id, caller, &database, reducer, arguments, connection, one_shot, client,
            ),
            Request::Connect {
                database,
                connection,
            } => self.client(
                now,
                id,
                caller,
                &database,
                connection,
                SystemCall::ClientConnected,
            ),
            Request::Disconnect {
                database,
                connection,
            } => self.client(
                now,
                id,
                caller,
                &database,
                connection,
                SystemCall::ClientDisconnected,
            ),
            Request::Invite {
                database,
                role,
                uses,
                expires_in_s,
                dice,
            } => self.invite(now, &database, role, uses, expires_in_s, &dice),
            Request::Publish {
                name,
                wasm,
                sequential_auto_inc,
                break_clients,
                clear,
                dice,
            } => match self.parts.need_room(now).map(|()| self.find_id(&name))? {
                Ok(database) => self.upgrade(now, id, database, &wasm, (break_clients, clear)),
                Err(_) => self.publish(now, &name, &wasm, sequential_auto_inc, dice),
            },
            Request::MoveFinaliser { database, to } => self.move_finaliser(now, id, &database, to),
            Request::ChangeMembers { database, change } => {
                self.change_members(now, id, &database, change)
            }
            Request::TrustIssuer { database, rules } => {
                self.trust_issuer(now, id, &database, rules)
            }
            Request::DistrustIssuer { database, issuer } => {
                self.distrust_issuer(now, id, &database, issuer)
            }
            Request::SetIssuerKeys {
                database,
                issuer,
                keys,
            } => self.set_issuer_keys(now, id, &database, issuer, keys),
            Request::Bind { database, token } => self.bind(now, id, &database, token),
            Request::Unbind {
                database,
                device,
                issuer,
                subject,
            } => self.unbind(now, id, &database, device, (issuer, subject)),
            Request::Sql { database, text } => self.sql(now, id, &database, &text, &caller, owner),
            other => self.ask(now, id, &caller, owner, other).map(Answer::Now),
        }
    }

    /// Questions: nothing of a database changes.
    fn ask(
        &mut self,
        now: Now,
        id: RequestId,
        caller: &Claims,
        owner: bool,
        request: Request,
    ) -> Result<Reply, RequestError> {
        let access = Access {
            owner,
            sender: caller.identity(),
        };
        Ok(match request {
            Request::Select { database, text } => self.select((&database, now), &text, access)?,
            Request::Subscribe {
                database,
                client,
                set,
                queries,
                rows,
                events,
            } => {
                let how = (rows, events);
                self.subscribe((&database, now), (client, set), &queries, how, access)?
            }
            Request::Unsubscribe {
                database,
                client,
                set,
                rows,
            } => self.unsubscribe(&database, (client, set), rows)?,
            Request::Schema { database, version } => {
                Reply::Schema(schema(self.find(&database)?, version)?)
            }
            Request::List => Reply::Databases(self.list()),
            Request::Resolve { database } => Reply::Database(self.find(&database)?.info()),
            Request::Status { database } => self.status(now, database.as_deref())?,
            Request::Members { database } => Reply::Members(self.members(self.find(&database)?)),
            Request::Peers => {
                Reply::Peers(self.remotes(None), self.parts.conduct.cut_off_now(now.tick))
            }
            Request::Peer => Reply::Peer(self.peer_info()),
            Request::PrePublish { database, wasm } => {
                Reply::UpgradePlan(self.pre_publish(now, &database, &wasm)?)
            }
            Request::AddName { database, name } => self.add_name(now, &database, name)?,
            Request::SetNames { database, names } => self.set_names(now, &database, names)?,
            Request::Delete { database } => self.delete(&database)?,
            Request::Finaliser { database } => {
                Reply::Finaliser(Box::new(self.finaliser(&database)?))
            }
            Request::Recover {
                database,
                key,
                to,
                pick,
                force,
            } => self.recover(now, &database, &key, to, pick.as_ref(), force)?,
            Request::Rebuild { database } => self.rebuild(now, &database)?,
            Request::Dump { database, height } => self.dump(now, &database, height)?,
            Request::Backup { database, cursor } => self.back_up(&database, cursor)?,
            Request::Issuers { database } => Reply::Issuers(self.issuers(database.as_deref())?),
            Request::IssuersNamed { database, issuer } => {
                Reply::Issuers(self.issuers_named(database.as_deref(), &issuer)?)
            }
            Request::Bindings { database } => Reply::Bindings(self.bindings(&database)?),
            Request::Join { ticket } => {
                let database = self
                    .start_join(&ticket, id)
                    .map_err(|why| refuse(ErrorKind::BadRequest, why))?;
                self.joining(&database)?
            }
            Request::JoinProgress { database } => {
                let database = database
                    .parse()
                    .map_err(|error| refuse(ErrorKind::BadRequest, format!("{error}")))?;
                self.joining(&database)?
            }
            Request::Call { .. }
            | Request::Connect { .. }
            | Request::Disconnect { .. }
            | Request::Invite { .. }
            | Request::MoveFinaliser { .. }
            | Request::ChangeMembers { .. }
            | Request::Publish { .. }
            | Request::TrustIssuer { .. }
            | Request::DistrustIssuer { .. }
            | Request::SetIssuerKeys { .. }
            | Request::Bind { .. }
            | Request::Unbind { .. }
            | Request::Sql { .. } => unreachable!("answered before"),
        })
    }

    fn joining(&self, database: &DatabaseId) -> Result<Reply, RequestError> {
        self.join_progress(database)
            .map(Reply::Joining)
            .ok_or_else(|| refuse(ErrorKind::NotFound, "this database is not being joined"))
    }

    /// The replica that a name or identity means.
    pub(crate) fn find(&self, text: &str) -> Result<&Replica, RequestError> {
        let id = self.find_id(text)?;
        Ok(&self.replicas[&id])
    }

    fn find_id(&self, text: &str) -> Result<DatabaseId, RequestError> {
        let by_identity = text
            .trim_start_matches("0x")
            .parse::<DatabaseId>()
            .ok()
            .filter(|id| self.replicas.contains_key(id));
        let by_name = || {
            self.replicas
                .values()
                .find(|replica| replica.names().any(|name| name == text))
                .map(|replica| replica.id)
        };
        by_identity.or_else(by_name).ok_or_else(|| {
            let stopped = text
                .parse()
                .ok()
                .and_then(|id: DatabaseId| self.broken.get(&id));
            match stopped {
                Some(why) => refuse(
                    ErrorKind::Unavailable,
                    format!("the database could not be opened: {why}"),
                ),
                None => refuse(
                    ErrorKind::NotFound,
                    format!("there is no database `{text}` on this peer; `tombolo list` shows those it has"),
                ),
            }
        })
    }

    /// The same, refused if the database cannot answer.
    fn serving(&self, text: &str) -> Result<&Replica, RequestError> {
        let replica = self.find(text)?;
        if replica.serves() {
            return Ok(replica);
        }
        Err(refuse(
            ErrorKind::Unavailable,
            replica.health.detail().unwrap_or_default(),
        ))
    }

    /// The same, refused if it cannot take calls of this device.
    fn writable(&self, text: &str) -> Result<DatabaseId, RequestError> {
        let replica = self.serving(text)?;
        if !replica.health.takes_calls() {
            return Err(refuse(
                ErrorKind::Unavailable,
                replica.health.detail().unwrap_or_default(),
            ));
        }
        if replica.may_write(&self.parts.device) {
            return Ok(replica.id);
        }
        let role = replica.members.get(&self.parts.device);
        if role.is_some_and(|role| role.may_write()) {
            return Err(refuse(
                ErrorKind::Unavailable,
                "this peer's right to write is not final yet: try again in a moment",
            ));
        }
        let why = match role.is_some() {
            true => "this peer may only read the database: ask the owner for another role",
            false if replica.rights.roles.contains_key(&self.parts.device) => {
                "this peer is no member of the database any more: ask a member for a new ticket"
            }
            false => "this peer is not a member of the database yet",
        };
        Err(refuse(ErrorKind::Denied, why))
    }

    fn invite(
        &mut self,
        now: Now,
        database: &str,
        role: Role,
        uses: u32,
        expires_in_s: u64,
        dice: &[u8; 32],
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        let own_role = self.replicas[&database].members.get(&self.parts.device);
        if !own_role.is_some_and(|role| role.may_invite()) {
            return Err(refuse(
                ErrorKind::Denied,
                "only an owner or admin of the database may invite",
            ));
        }
        if !own_role.is_some_and(|own| own.outranks(role)) && role != Role::Owner {
            return Err(refuse(
                ErrorKind::Denied,
                "only the owner of the database may invite admins",
            ));
        }
        if uses == 0
            || role == Role::Owner
            || expires_in_s == 0
            || expires_in_s > TICKET_SECONDS_MAX
        {
            return Err(refuse(
                ErrorKind::BadRequest,
                "a ticket needs a role other than owner, at least one use, and a life of at most a year",
            ));
        }
        let mut secret = blake3::Hasher::new_derive_key(TICKET_CONTEXT);
        secret.update(dice);
        let key = SecretKey::from_bytes(secret.finalize().as_bytes());
        // As admissions are stamped, or a ticket of a database that is ahead would have expired.
        let time = self.replicas[&database].time_at(self.parts.mesh.now(now.tick));
        let call = SystemCall::Invite {
            ticket: key.public(),
            role,
            uses,
            expires: Hlc(time.0 + expires_in_s * 1_000_000),
        };
        let waiting = Waiting::system(
            Arc::clone(&self.parts.own_claims),
            &call,
            ConnectionId::ZERO,
        );
        // The ticket is told at once: it is the row that follows that makes it good, and that row
        // is durable before anything leaves this peer.
        self.submit(now, database, Group::single(waiting, ReplyTo::Nobody))?;
        self.with(database, now, |replica, ctx| {
            replica.flush(ctx)?;
            replica.sweep(ctx)?;
            replica.converse(ctx)
        });
        let ticket = Ticket {
            database,
            members: self.ticket_members(&self.replicas[&database]),
            key,
        };
        Ok(Answer::Now(Reply::Ticket(ticket.to_string())))
    }

    /// Whom a ticket names: this peer, then members that can admit and are linked right now, since
    /// these are likely to be there when it is used and to hold its row.
    fn ticket_members(&self, replica: &Replica) -> Vec<TicketMember> {
        let own = self.parts.own_record.as_ref();
        let own = own.map_or(&[][..], |record| record.addresses.as_slice());
        let mut members = vec![TicketMember::new(self.parts.device, own)];
        let others = replica
            .links
            .keys()
            .filter(|device| replica.may_write(device) && !replica.addresses.of(device).is_empty());
        members.extend(
            others
                .take(TICKET_MEMBERS_MAX - 1)
                .map(|device| TicketMember::new(*device, replica.addresses.of(device))),
        );
        members
    }

    fn status(&mut self, now: Now, database: Option<&str>) -> Result<Reply, RequestError> {
        let ids = match database {
            Some(text) => vec![self.find_id(text)?],
            None => self.replica_ids(),
        };
        let mut all = Vec::new();
        for id in ids {
            let remotes = self.remotes(Some(&id));
            let replica = &self.replicas[&id];
            if replica.state.is_none() {
                return Err(refuse(
                    ErrorKind::Unavailable,
                    replica.health.detail().unwrap_or_default(),
                ));
            }
            let ctx = self.parts.context(now);
            all.push(replica.status(remotes, &ctx)?);
        }
        Ok(Reply::Status(all))
    }
}

impl Replica {
    /// Whether it can be read.
    pub(crate) fn serves(&self) -> bool {
        use crate::replica::Health;
        self.state.is_some() && !matches!(self.health, Health::Diverged(_) | Health::Stopped(_))
    }

    /// Tells everybody who waits that there will be no outcome.
    pub(crate) fn fail_waiting(&mut self, why: &str, effects: &mut Vec<Effect>) {
        let (_, batched) = self.batch.take();
        let sealed = std::mem::take(&mut self.expected).into_values().flatten();
        for expected in batched.into_iter().chain(sealed) {
            fail(expected.reply, why, effects);
        }
        for publisher in self.publishers.drain(..) {
            effects.push(Effect::Reply {
                id: publisher.id,
                reply: Err(refuse(ErrorKind::Internal, why)),
            });
        }
        effects.push(Effect::Note {
            level: NoteLevel::Info,
            text: format!("database {}: {why}", self.id.short()),
        });
    }
}

/// Tells one that waits that there will be no outcome.
pub(crate) fn fail(reply: ReplyTo, why: &str, effects: &mut Vec<Effect>) {
    match reply {
        ReplyTo::Nobody => {}
        ReplyTo::Client(client, id) => effects.push(Effect::Told {
            client,
            id,
            result: Err(refuse(ErrorKind::Internal, why)),
            update: None,
        }),
        ReplyTo::Call(id) | ReplyTo::Done(id) | ReplyTo::Write(id, _) | ReplyTo::Publish(id) => {
            effects.push(Effect::Reply {
                id,
                reply: Err(refuse(ErrorKind::Internal, why)),
            });
        }
        ReplyTo::Joiner(id) => effects.push(Effect::JoinAnswer {
            id,
            bytes: crate::joining::answer(Err(why.to_owned())),
        }),
    }
}

fn only_for_owner(request: &Request) -> bool {
    matches!(
        request,
        Request::Publish { .. }
            | Request::PrePublish { .. }
            | Request::AddName { .. }
            | Request::SetNames { .. }
            | Request::Delete { .. }
            | Request::Invite { .. }
            | Request::Join { .. }
            | Request::JoinProgress { .. }
            | Request::Members { .. }
            | Request::MoveFinaliser { .. }
            | Request::ChangeMembers { .. }
            | Request::Recover { .. }
            | Request::Rebuild { .. }
            | Request::Dump { .. }
            | Request::Backup { .. }
            | Request::TrustIssuer { .. }
            | Request::DistrustIssuer { .. }
            | Request::SetIssuerKeys { .. }
            | Request::Issuers { .. }
            | Request::Bindings { .. }
            | Request::Bind { .. }
            | Request::Unbind { .. }
            | Request::Peers
    )
}
