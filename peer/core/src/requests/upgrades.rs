//! A publish under the name of a database that is there: checked here, so that its author hears
//! every reason at once, and judged at the cut that covers it.

use std::sync::Arc;

use module_host::Module;
use sync_protocol::{BlobHash, ConnectionId, DatabaseId, NewModule, Now, Role, SystemCall};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::refuse;
use crate::reply::{ErrorKind, Published, Reply, RequestError, UpgradePlan};
use crate::request::RequestId;
use crate::upgrade::check_filters;

impl Core {
    /// Publishes another module of a database. Answered when a cut has judged it.
    pub(super) fn upgrade(
        &mut self,
        now: Now,
        id: RequestId,
        database: DatabaseId,
        wasm: &[u8],
        (break_clients, clear): (bool, bool),
    ) -> Result<Answer, RequestError> {
        let module = self.next_module(now, database, wasm)?;
        let replica = &self.replicas[&database];
        if !clear && replica.executor.module().hash() == module.hash() {
            return Ok(Answer::Now(Reply::Published(Published {
                database,
                name: replica.name.clone(),
                created: false,
                recovery_key: None,
                upgraded: None,
            })));
        }
        let plan = match clear {
            false => replica.plan_upgrade(&module, break_clients)?,
            true => {
                let time = replica.time_at(self.parts.mesh.now(now.tick));
                replica.plan_clear(&module, &self.parts.device, time)?
            }
        };
        if !plan.reasons.is_empty() {
            return Err(refuse(ErrorKind::BadRequest, plan.reasons.join("\n")));
        }
        let new_module = NewModule {
            module: self.parts.disk.put_blob(wasm)?,
            module_len: module_len(wasm)?,
            engine: replica.cut.engine,
            break_clients,
            clear,
        };
        let call = Waiting::system(
            Arc::clone(&self.parts.own_claims),
            &SystemCall::Publish(new_module),
            ConnectionId::ZERO,
        );
        self.submit(now, database, Group::single(call, ReplyTo::Publish(id)))
    }

    /// What a publish would do, whatever it breaks.
    pub(super) fn pre_publish(
        &mut self,
        now: Now,
        database: &str,
        wasm: &[u8],
    ) -> Result<UpgradePlan, RequestError> {
        let database = self.find_id(database)?;
        let module = self.next_module(now, database, wasm)?;
        Ok(self.replicas[&database].plan_upgrade(&module, true)?)
    }

    /// A prepared module for a database of ours that takes calls.
    fn next_module(
        &mut self,
        now: Now,
        database: DatabaseId,
        wasm: &[u8],
    ) -> Result<Module, RequestError> {
        let replica = &self.replicas[&database];
        if replica.members.get(&self.parts.device) != Some(&Role::Owner) {
            return Err(refuse(
                ErrorKind::NotOwner,
                "only a peer that owns the database may publish its module",
            ));
        }
        self.writable(&database.to_string())?;
        module_len(wasm)?;
        let options = self.replicas[&database].genesis.options;
        let ctx = self.parts.context(now);
        let module = ctx
            .modules
            .prepare(wasm, &options, ctx.disk)
            .map_err(|error| refuse(ErrorKind::BadRequest, error.to_string()))?;
        check_filters(&module)?;
        Ok(module)
    }
}

fn module_len(wasm: &[u8]) -> Result<u32, RequestError> {
    let max = sync_protocol::limits::MODULE_BYTES_MAX;
    u32::try_from(wasm.len())
        .ok()
        .filter(|len| *len as usize <= max)
        .ok_or_else(|| {
            refuse(
                ErrorKind::BadRequest,
                format!(
                    "the module {} has {} bytes, at most {max} are allowed",
                    BlobHash::of(wasm),
                    wasm.len()
                ),
            )
        })
}
