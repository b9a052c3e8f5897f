//! Joining a database with a ticket: ask a member for admission, fetch genesis, cut 0 and module,
//! then go on as any replica that is behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Disk, StoreError};
use sync_protocol::{
    BlobHash, Cut, DatabaseId, DeviceKey, Entry, Genesis, Hlc, JoinAnswer, JoinRequest, Now,
    SystemCall, Tick, Ticket, TicketMember,
};

use crate::batch::{Group, ReplyTo, Waiting};
use crate::birth;
use crate::conversations::Link;
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::error::refuse;
use crate::partials::{Chunk, Partials, Taken};
use crate::replica::OwnChain;
use crate::reply::{BlobProgress, ErrorKind, JoinProgress, JoinState};
use crate::request::RequestId;
use crate::system_tables::{self, TicketRow};

/// Genesis and cut 0 of a database whose module is still missing.
pub(crate) struct Birth {
    pub(crate) entry: Arc<Entry>,
    pub(crate) genesis: Genesis,
    pub(crate) cut: Cut,
}

/// One join, from asking to usable.
pub(crate) struct Joining {
    pub(crate) state: JoinState,
    pub(crate) error: Option<String>,
    pub(crate) birth: Option<Birth>,
    /// The module, once all of it is here and it is the one that was named.
    pub(crate) module: Option<Vec<u8>>,
    pub(crate) links: BTreeMap<DeviceKey, Link>,
    /// Whom the ticket names; they are asked one after the other.
    members: Vec<TicketMember>,
    /// Why those who were asked did not admit: one reason for each.
    refusals: Vec<String>,
    /// The encoded request.
    request: Vec<u8>,
}

impl Joining {
    fn asking(ticket: &Ticket, device: &DeviceKey) -> Self {
        Self {
            state: JoinState::Asking,
            error: None,
            birth: None,
            module: None,
            links: BTreeMap::new(),
            members: ticket.members.clone(),
            refusals: Vec::new(),
            request: ticket.request(device).encode(),
        }
    }

    /// The members that this join needs a connection to.
    pub(crate) fn asking_of(&self) -> &[TicketMember] {
        match self.state {
            JoinState::Asking | JoinState::Fetching => &self.members,
            JoinState::Done | JoinState::Failed => &[],
        }
    }

    /// The effect that asks the next member, if one is left.
    fn ask_next(&self, join: RequestId) -> Option<Effect> {
        let member = self.members.get(self.refusals.len())?;
        Some(Effect::JoinAsk {
            join,
            remote: member.device,
            addresses: member.addresses.clone(),
            bytes: self.request.clone(),
        })
    }

    /// Why nobody admitted, for the person who joins.
    fn refused(&self) -> String {
        match self.refusals.as_slice() {
            [only] => only.clone(),
            all => {
                let reasons = self.members.iter().zip(all);
                let reasons: Vec<String> = reasons
                    .map(|(member, why)| format!("{}: {why}", member.device.short()))
                    .collect();
                format!(
                    "none of the {} members that the ticket names let this peer in; {}",
                    all.len(),
                    reasons.join("; ")
                )
            }
        }
    }

    fn fail(&mut self, why: impl Into<String>) {
        self.state = JoinState::Failed;
        self.error = Some(why.into());
        self.links.clear();
    }

    pub(crate) fn wake(&self) -> Option<Tick> {
        self.links.values().filter_map(|link| link.wake).min()
    }

    /// The module and its bytes, while it is missing.
    pub(crate) fn wanted_blob(&self) -> Option<(BlobHash, u64)> {
        let birth = self.birth.as_ref().filter(|_| self.module.is_none())?;
        Some((birth.genesis.module, birth.genesis.module_len.into()))
    }

    /// Takes the genesis and cut 0. An error is the remote's fault.
    pub(crate) fn take_birth(
        &mut self,
        id: &DatabaseId,
        cut: &[u8],
        entries: &[Vec<u8>],
        engine_max: u32,
    ) -> Result<(), String> {
        if self.birth.is_some() {
            return Ok(());
        }
        let cut = Cut::open(cut).map_err(|error| format!("cut 0 is malformed: {error}"))?;
        let [entry] = entries else {
            return Err("segment 0 is not one entry".to_owned());
        };
        let entry =
            Entry::open(entry).map_err(|error| format!("the genesis is malformed: {error}"))?;
        let genesis = birth::genesis_of(&entry, id)
            .ok_or("the genesis is not that of the ticket's database")?;
        if entry.verify().is_err() || !birth::certifies_birth(&cut, &genesis, &entry) {
            return Err("the genesis or cut 0 is not properly signed".to_owned());
        }
        if genesis.engine > engine_max {
            self.fail(format!(
                "the database runs on engine {}, which this version does not know: update tombolo",
                genesis.engine
            ));
            return Ok(());
        }
        self.birth = Some(Birth {
            entry: Arc::new(entry),
            genesis,
            cut,
        });
        Ok(())
    }

    /// Takes a piece of the module. Gives back whose fault it is if something is wrong with it.
    pub(crate) fn take_chunk(
        &mut self,
        piece: &ModulePiece<'_>,
        partials: &mut Partials,
        disk: &dyn Disk,
        now: Tick,
    ) -> Result<Vec<(DeviceKey, String)>, StoreError> {
        let Some((hash, total)) = self.wanted_blob().filter(|(hash, _)| hash == piece.hash) else {
            return Ok(Vec::new()); // it came from somebody else meanwhile
        };
        if piece.total != total {
            let why = "sent a module of another length than its genesis says".to_owned();
            return Ok(vec![(piece.from, why)]);
        }
        let chunk = Chunk {
            hash,
            from: piece.from,
            offset: piece.offset,
            total,
            bytes: piece.bytes,
        };
        let is_named = |whole: &[u8]| BlobHash::of(whole) == hash;
        let at_fault = |by: DeviceKey, why: &str| (by, why.to_owned());
        Ok(match partials.take(&chunk, is_named, now, disk)? {
            Taken::More => Vec::new(),
            Taken::Beyond => vec![at_fault(piece.from, "sent more of a module than there is")],
            // Who may be innocent is asked again, and then alone.
            Taken::Wrong { by, certain } => by
                .into_iter()
                .filter(|_| certain)
                .map(|by| at_fault(by, "sent another module than the genesis names"))
                .collect(),
            Taken::Whole(module) => {
                self.module = Some(module);
                Vec::new()
            }
        })
    }
}

/// A piece of a module, as a remote sent it.
pub(crate) struct ModulePiece<'a> {
    pub(crate) hash: &'a BlobHash,
    pub(crate) from: DeviceKey,
    pub(crate) offset: u64,
    pub(crate) total: u64,
    pub(crate) bytes: &'a [u8],
}

/// The encoded answer to a joiner.
pub(crate) fn answer(result: Result<(), String>) -> Vec<u8> {
    match result {
        Ok(()) => JoinAnswer::Admitted,
        Err(why) => JoinAnswer::refused(&why),
    }
    .encode()
}

impl Core {
    /// Starts a join. An error is for the person who holds the ticket.
    pub(crate) fn start_join(&mut self, ticket: &str, id: RequestId) -> Result<DatabaseId, String> {
        let ticket: Ticket = ticket.trim().parse().map_err(|error| format!("{error}"))?;
        let database = ticket.database;
        let is_member = self
            .replicas
            .get(&database)
            .is_some_and(|replica| replica.members.contains_key(&self.parts.device));
        if is_member {
            let mut done = Joining::asking(&ticket, &self.parts.device);
            done.state = JoinState::Done;
            self.joins.insert(database, done);
            return Ok(database);
        }
        let joining = Joining::asking(&ticket, &self.parts.device);
        self.parts.effects.extend(joining.ask_next(id));
        self.parts.links_stale = true;
        self.joins.insert(database, joining);
        self.asked.insert(id, database);
        Ok(database)
    }

    /// A member answered, or could not be reached.
    pub(crate) fn join_answered(
        &mut self,
        now: Now,
        join: RequestId,
        result: Result<Vec<u8>, String>,
    ) {
        let Some(database) = self.asked.remove(&join) else {
            return;
        };
        let Some(joining) = self.joins.get_mut(&database) else {
            return;
        };
        let answer = result.and_then(|bytes| {
            JoinAnswer::decode(&bytes).map_err(|error| format!("the member's answer is {error}"))
        });
        match answer {
            Ok(JoinAnswer::Admitted) => joining.state = JoinState::Fetching,
            Ok(JoinAnswer::Refused(why)) => {
                joining.refusals.push(format!("the member refused: {why}"));
            }
            Err(why) => joining.refusals.push(why),
        }
        if joining.state == JoinState::Asking {
            match joining.ask_next(join) {
                Some(ask) => {
                    self.asked.insert(join, database);
                    self.parts.effects.push(ask);
                    return;
                }
                None => {
                    let why = joining.refused();
                    joining.fail(why);
                }
            }
        }
        self.parts.links_stale = true;
        for remote in self.parts.links.clone() {
            self.open_link(now, remote, database);
        }
        self.settle_down(now);
    }

    /// Somebody asks us for admission.
    pub(crate) fn join_asked(&mut self, now: Now, id: RequestId, remote: DeviceKey, bytes: &[u8]) {
        let refused = self.admit(now, id, remote, bytes).err();
        if let Some(why) = refused {
            self.parts.effects.push(Effect::JoinAnswer {
                id,
                bytes: answer(Err(why)),
            });
        }
    }

    fn admit(
        &mut self,
        now: Now,
        id: RequestId,
        remote: DeviceKey,
        bytes: &[u8],
    ) -> Result<(), String> {
        let request = JoinRequest::decode(bytes).map_err(|error| error.to_string())?;
        request
            .verify(&remote)
            .map_err(|_| "the request was not signed with a ticket's key".to_owned())?;
        // A stranger learns nothing about databases whose tickets it does not hold.
        let unknown = || "this peer knows no such ticket".to_owned();
        let replica = self.replicas.get(&request.database).ok_or_else(unknown)?;
        if !replica.serves() {
            return Err("the database is out of service here: ask another member".to_owned());
        }
        let row = replica
            .ticket(&request.ticket)
            .map_err(|stop| stop.to_string())?
            .ok_or_else(unknown)?;
        if replica.members.contains_key(&remote) {
            self.parts.effects.push(Effect::JoinAnswer {
                id,
                bytes: answer(Ok(())),
            });
            return Ok(());
        }
        if !replica.may_write(&self.parts.device) {
            return Err("this peer may only read the database: ask another member".to_owned());
        }
        check_ticket(&row, replica.time_at(self.parts.mesh.now(now.tick)))?;
        let call = Waiting::system(
            Arc::clone(&self.parts.own_claims),
            &SystemCall::Admit {
                member: remote,
                ticket: request.ticket,
                proof: request.proof,
            },
            sync_protocol::ConnectionId::ZERO,
        );
        self.with(request.database, now, |replica, ctx| {
            replica.enqueue(Group::single(call, ReplyTo::Joiner(id)), ctx)
        })
        .ok_or_else(|| "the database stopped: ask another member".to_owned())
    }

    /// Brings joins forward: to life when the module is here, to done when the database is usable.
    pub(crate) fn go_on_joining(&mut self, now: Now) {
        let ids: Vec<DatabaseId> = self.joins.keys().copied().collect();
        for id in ids {
            if self.joins[&id].state != JoinState::Fetching {
                continue;
            }
            if let Some(replica) = self.replicas.get(&id) {
                let usable = replica.members.contains_key(&self.parts.device)
                    && !replica.dirty
                    && replica
                        .links
                        .values()
                        .any(|link| link.conversation.in_sync());
                if usable && let Some(joining) = self.joins.get_mut(&id) {
                    joining.state = JoinState::Done;
                }
            } else {
                self.come_alive(now, id);
            }
        }
    }

    fn come_alive(&mut self, now: Now, id: DatabaseId) {
        let Some(joining) = self.joins.get_mut(&id) else {
            return;
        };
        let Some(wasm) = joining.module.take() else {
            return;
        };
        let Some(birth) = joining.birth.take() else {
            return;
        };
        let modules = self.parts.modules.clone();
        let own = OwnChain::starting(self.parts.epoch);
        let name = self.free_name(&birth.genesis.name);
        let mut ctx = self.parts.context(now);
        let stored = ctx.disk.put_blob(&wasm);
        let stored = stored.and_then(|hash| ctx.partials.remove(&hash, ctx.disk));
        let adopted = stored.map_err(Into::into).and_then(|()| {
            let module = modules
                .prepare(&wasm, &birth.genesis.options, ctx.disk)
                .map_err(|error| refuse(ErrorKind::Internal, error.to_string()))?;
            birth::adopt(module, birth.entry, birth.genesis, birth.cut, own, &mut ctx)
        });
        let Some(joining) = self.joins.get_mut(&id) else {
            return;
        };
        match adopted {
            Ok(mut replica) => {
                joining.links.clear();
                replica.name = name;
                self.broken.remove(&id);
                self.replicas.insert(id, replica);
                self.keep_name(now, id);
                for remote in self.parts.links.clone() {
                    self.open_link(now, remote, id);
                }
            }
            Err(error) => {
                self.parts
                    .note(NoteLevel::Error, format!("joining {id} failed: {error}"));
                if let Some(joining) = self.joins.get_mut(&id) {
                    joining.fail(error.message);
                }
            }
        }
    }

    /// How the join of `id` goes, if there is one.
    pub(crate) fn join_progress(&self, id: &DatabaseId) -> Option<JoinProgress> {
        let joining = self.joins.get(id)?;
        let replica = self.replicas.get(id);
        let total = joining
            .birth
            .as_ref()
            .map(|birth| u64::from(birth.genesis.module_len))
            .or_else(|| replica.map(|replica| u64::from(replica.genesis.module_len)))
            .unwrap_or(0);
        let have = joining
            .wanted_blob()
            .map_or(total, |(hash, _)| self.parts.partials.len(&hash));
        Some(JoinProgress {
            database: *id,
            name: replica.map(|replica| replica.name.clone()),
            state: joining.state,
            module: BlobProgress {
                have: replica.map_or(have, |_| total),
                total,
            },
            height: replica.map_or(0, |replica| replica.cut.height),
            entries: replica.map_or(0, |replica| replica.log.entries_len().unwrap_or(0)),
            error: joining.error.clone(),
        })
    }
}

/// Says early, to the joiner, what execution would say to nobody.
fn check_ticket(row: &TicketRow, now: Hlc) -> Result<(), String> {
    if row.uses_left == 0 {
        return Err("the ticket has been used up or revoked: ask for a new one".to_owned());
    }
    if now > row.expires {
        return Err("the ticket has expired: ask for a new one".to_owned());
    }
    Ok(())
}

impl crate::replica::Replica {
    /// A ticket's row in the visible state.
    pub(crate) fn ticket(
        &self,
        ticket: &DeviceKey,
    ) -> Result<Option<TicketRow>, crate::error::Stop> {
        for row in self.state()?.rows(system_tables::TICKET)? {
            let row = TicketRow::read(&row?);
            if row.ticket == *ticket {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
