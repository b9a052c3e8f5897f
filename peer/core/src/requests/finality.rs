//! Who makes things final: show, hand over, recover.

use std::sync::Arc;

use sync_protocol::{ConnectionId, DatabaseId, DeviceKey, Now, Role, SecretKey, SystemCall};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::refuse;
use crate::finality::recovery::{Recovered, Recovery};
use crate::reply::{ErrorKind, FinaliserInfo, Reply, RequestError};
use crate::request::RequestId;

impl Core {
    pub(super) fn finaliser(&self, database: &str) -> Result<FinaliserInfo, RequestError> {
        let replica = self.find(database)?;
        Ok(replica.finaliser_info(&self.parts.device, |device| {
            self.parts.links.contains(device)
        }))
    }

    /// Says early, to the person who asks, what execution would say; then asks for the move in the
    /// one order.
    pub(super) fn move_finaliser(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        to: DeviceKey,
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        let replica = &self.replicas[&database];
        if replica.members.get(&self.parts.device) != Some(&Role::Owner) {
            return Err(refuse(
                ErrorKind::Denied,
                "only an owner of the database may move finality, from the owner's own peer",
            ));
        }
        match replica.members.get(&to) {
            None => {
                return Err(refuse(
                    ErrorKind::BadRequest,
                    format!("{to} is not a member of the database; `tombolo members` shows who is"),
                ));
            }
            Some(role) if !role.may_write() => {
                return Err(refuse(
                    ErrorKind::BadRequest,
                    format!("{to} is a reader, and a finaliser has to be able to write"),
                ));
            }
            Some(_) => {}
        }
        let call = Waiting::system(
            Arc::clone(&self.parts.own_claims),
            &SystemCall::MoveFinaliser { to },
            ConnectionId::ZERO,
        );
        self.submit(now, database, Group::single(call, ReplyTo::Done(id)))
    }

    pub(super) fn recover(
        &mut self,
        now: Now,
        database: &str,
        key: &SecretKey,
        to: Option<DeviceKey>,
        pick: Option<&(u64, String)>,
        force: bool,
    ) -> Result<Reply, RequestError> {
        let id = self.find_id(database)?;
        let device = self.parts.device;
        let finalisers = &self.replicas[&id].cut.finalisers;
        let finaliser_is_up = finalisers
            .iter()
            .any(|one| *one == device || self.parts.links.contains(one));
        let recovery = Recovery {
            key,
            to: to.unwrap_or(device),
            pick: pick.map(|(height, id)| (*height, id.as_str())),
            force,
            finaliser_is_up,
        };
        let before = self.replicas[&id].cut.term;
        let recovered = self.with_any(id, now, |replica, ctx| replica.recover(&recovery, ctx));
        if let Some(recovered) = recovered {
            let recovered = recovered?;
            self.settle_down(now);
            return Ok(Reply::Recovered(recovered == Recovered::Done));
        }
        // It was opened again on the way.
        match self.replicas.get(&id) {
            Some(replica) if replica.cut.term != before => Ok(Reply::Recovered(true)),
            Some(replica) if !replica.contest.pledge.is_empty() => Ok(Reply::Recovered(false)),
            _ => Err(refuse(
                ErrorKind::Internal,
                "the database stopped; see `tombolo status`",
            )),
        }
    }

    /// The database that a name or identity means, even one that could not be opened.
    pub(crate) fn find_or_broken(&self, text: &str) -> Result<DatabaseId, RequestError> {
        self.find_id(text).or_else(|error| {
            let broken = text.trim_start_matches("0x").parse().ok();
            broken
                .filter(|id| self.broken.contains_key(id))
                .ok_or(error)
        })
    }
}
