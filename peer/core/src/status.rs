//! What a peer tells about itself.

use store::limits::OVERLAY_COMMITS_MAX;
use sync_protocol::{DatabaseId, Role};

use crate::core::Core;
use crate::error::Stop;
use crate::identity::{did_key, identity_hex, identity_of};
use crate::quotas::Why;
use crate::replica::{Context, Replica};
use crate::reply::{
    CutStatus, DatabaseInfo, DatabaseStatus, HeldInfo, MemberInfo, PeerInfo, RemoteInfo,
};

/// Invocations in the tail at which `status` warns: the finaliser is probably gone.
const TAIL_WARN: u64 = OVERLAY_COMMITS_MAX as u64;

pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Gateway => "gateway",
        Role::Writer => "writer",
        Role::Reader => "reader",
    }
}

impl Replica {
    pub(crate) fn info(&self) -> DatabaseInfo {
        let did = did_key(&self.creator);
        DatabaseInfo {
            database: self.id,
            name: self.name.clone(),
            names: self.names().cloned().collect(),
            module_hash: self.executor.module().hash().to_string(),
            owner_identity: identity_hex(&identity_of(&did, &did)),
            status: self.health.word().to_owned(),
        }
    }

    /// Of which members entries are held back.
    fn held(&self) -> Vec<HeldInfo> {
        let held = self.ration.held_back();
        let info = held.map(|held| HeldInfo {
            member: held.member,
            entries: held.entries as u64,
            bytes: held.bytes as u64,
            why: held.why.to_string(),
            is_ahead: held.why == Why::Ahead,
        });
        info.collect()
    }

    /// The whole status. The state root of a long tail costs time in proportion to its rows.
    pub(crate) fn status(
        &self,
        remotes: Vec<RemoteInfo>,
        ctx: &Context<'_>,
    ) -> Result<DatabaseStatus, Stop> {
        let tail = self
            .executed
            .iter()
            .map(|ran| ran.outcomes.len() as u64)
            .sum();
        let state = self.state()?;
        let spilled_bytes = state.spilled_bytes();
        let warning = if tail > TAIL_WARN || spilled_bytes > 0 {
            Some(format!(
                "{tail} calls are not final, which takes memory and disk: no cut has come; \
                 is the finaliser's peer running?"
            ))
        } else if !self.members.contains_key(&ctx.device) {
            Some("this peer is not a member yet: it reads, but cannot write".to_owned())
        } else {
            None
        };
        Ok(DatabaseStatus {
            database: self.id,
            name: self.name.clone(),
            module_hash: self.executor.module().hash().to_string(),
            upgrade: self.last_upgrade()?,
            cut: CutStatus {
                height: self.cut.height,
                id: self.cut.id(),
                state_root: self.cut.state_root,
            },
            tail,
            overlay_bytes: state.overlay_bytes() as u64,
            spilled_bytes,
            entries: self.log.entries_len()?,
            executions: self.executions,
            held: self.held(),
            pending: (self.dag.pending_len() + self.awaited.len() + self.parked.len()) as u64,
            status: self.health.word().to_owned(),
            detail: self.health.detail().or(warning),
            heads: self.dag.heads(),
            heads_hash: self.dag.heads_hash().to_string(),
            state_root: state.root()?,
            members: self.members.len() as u64,
            peers: remotes,
        })
    }
}

impl Core {
    /// Links to members of `database`, or all links.
    pub(crate) fn remotes(&self, database: Option<&DatabaseId>) -> Vec<RemoteInfo> {
        let replica = database.and_then(|id| self.replicas.get(id));
        self.parts
            .links
            .iter()
            .filter(|remote| replica.is_none_or(|replica| replica.members.contains_key(*remote)))
            .map(|remote| {
                let about = |id: &DatabaseId| database.is_none_or(|wanted| wanted == id);
                let replicas = self.replicas.iter().filter(|(id, _)| about(id));
                let links: Vec<_> = replicas
                    .filter_map(|(_, replica)| replica.links.get(remote))
                    .collect();
                RemoteInfo {
                    id: *remote,
                    address: self
                        .replicas
                        .values()
                        .find_map(|replica| replica.addresses.of(remote).first().cloned()),
                    rtt_ms: None,
                    relayed: None,
                    relay: None,
                    up_s: None,
                    in_sync: links.iter().all(|link| link.conversation.in_sync()),
                    lacks: links.iter().map(|link| link.conversation.lacks()).sum(),
                }
            })
            .collect()
    }

    pub(crate) fn members(&self, replica: &Replica) -> Vec<MemberInfo> {
        let mut held = replica.held();
        replica
            .members
            .iter()
            .map(|(device, role)| {
                let did = did_key(device);
                MemberInfo {
                    id: *device,
                    identity: identity_hex(&identity_of(&did, &did)),
                    role: role_word(*role).to_owned(),
                    this_peer: *device == self.parts.device,
                    connected: self.parts.links.contains(device),
                    addresses: replica.addresses.of(device).to_vec(),
                    held: held
                        .iter()
                        .position(|held| held.member == *device)
                        .map(|at| held.swap_remove(at)),
                }
            })
            .collect()
    }

    pub(crate) fn peer_info(&self) -> PeerInfo {
        let did = did_key(&self.parts.device);
        PeerInfo {
            id: self.parts.device,
            identity: identity_hex(&identity_of(&did, &did)),
            did,
            databases: self.replicas.len() as u64,
            links: self.parts.links.len() as u64,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(crate) fn list(&self) -> Vec<DatabaseInfo> {
        let broken = self.broken.keys().map(|id| DatabaseInfo {
            database: *id,
            name: String::new(),
            names: Vec::new(),
            module_hash: String::new(),
            owner_identity: String::new(),
            status: "stopped".to_owned(),
        });
        self.replicas
            .values()
            .map(Replica::info)
            .chain(broken)
            .collect()
    }
}
