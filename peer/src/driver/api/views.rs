//! What the core answers, as JSON for clients: ids in hex, names as the documentation has them.
//! Written out by hand, so that a field renamed in the core does not change what programs read.

use peer_core::{
    Called, CutOff, DatabaseInfo, DatabaseStatus, JoinProgress, JoinState, MemberInfo, PeerInfo,
    RemoteInfo,
};
use serde_json::{Value, json};

/// Where a call ended up.
pub(super) fn called(called: &Called) -> Value {
    json!({
        "entry": called.entry.to_string(),
        "index": called.index,
        "timestamp": called.timestamp,
        "units": called.units,
    })
}

/// A database in a list.
pub(super) fn database(info: &DatabaseInfo) -> Value {
    json!({
        "database": info.database.to_string(),
        "name": info.name,
        "module_hash": info.module_hash,
        "owner_identity": info.owner_identity,
        "status": info.status,
    })
}

/// How a database stands.
pub(super) fn status(status: &DatabaseStatus) -> Value {
    let heads: Vec<String> = status.heads.iter().map(ToString::to_string).collect();
    json!({
        "database": status.database.to_string(),
        "name": status.name,
        "module_hash": status.module_hash,
        "cut": {
            "height": status.cut.height,
            "id": status.cut.id.to_string(),
            "state_root": status.cut.state_root.to_string(),
        },
        "tail": status.tail,
        "entries": status.entries,
        "executions": status.executions,
        "pending": status.pending,
        "status": status.status,
        "detail": status.detail,
        "heads": heads,
        "heads_hash": status.heads_hash,
        "state_root": status.state_root.to_string(),
        "members": status.members,
        "peers": status.peers.iter().map(remote).collect::<Vec<_>>(),
    })
}

/// A connected remote.
pub(super) fn remote(remote: &RemoteInfo) -> Value {
    json!({
        "id": remote.id.to_string(),
        "address": remote.address,
        "rtt_ms": remote.rtt_ms,
        "in_sync": remote.in_sync,
    })
}

/// A remote that is kept outside.
pub(super) fn cut_off(cut_off: &CutOff) -> Value {
    json!({
        "id": cut_off.remote.to_string(),
        "address": null,
        "rtt_ms": null,
        "in_sync": false,
        "cut_off": {
            "why": cut_off.why,
            "times": cut_off.times,
            "left_s": cut_off.left_ms.div_ceil(1_000),
        },
    })
}

/// A member.
pub(super) fn member(member: &MemberInfo) -> Value {
    json!({
        "id": member.id.to_string(),
        "identity": member.identity,
        "role": member.role,
        "this_peer": member.this_peer,
        "connected": member.connected,
    })
}

/// This peer, as the core knows it.
pub(super) fn peer(info: &PeerInfo) -> Value {
    json!({
        "id": info.id.to_string(),
        "did": info.did,
        "identity": info.identity,
        "databases": info.databases,
        "links": info.links,
        "version": info.version,
    })
}

/// How a join goes.
pub(super) fn joining(progress: &JoinProgress) -> Value {
    let state = match progress.state {
        JoinState::Asking => "asking",
        JoinState::Fetching => "fetching",
        JoinState::Done => "done",
        JoinState::Failed => "failed",
    };
    json!({
        "database": progress.database.to_string(),
        "name": progress.name,
        "state": state,
        "module": { "have": progress.module.have, "total": progress.module.total },
        "height": progress.height,
        "entries": progress.entries,
        "error": progress.error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::EntryId;

    #[test]
    fn ids_are_hex() {
        let value = called(&Called {
            entry: EntryId([0xab; 32]),
            index: 1,
            timestamp: 2,
            units: 3,
        });
        assert_eq!(value["entry"], json!("ab".repeat(32)));
    }
}
