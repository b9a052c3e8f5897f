//! What the core answers, as JSON for clients: ids in hex, names as the documentation has them.
//! Written out by hand, so that a field renamed in the core does not change what programs read.

use peer_core::{
    Called, CutOff, DatabaseInfo, DatabaseStatus, HeldInfo, JoinProgress, JoinState, MemberInfo,
    PeerInfo, RemoteInfo, UpgradePlan, UpgradeState, UpgradeStatus,
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
        "upgrade": status.upgrade.as_ref().map(upgrade),
        "cut": {
            "height": status.cut.height,
            "id": status.cut.id.to_string(),
            "state_root": status.cut.state_root.to_string(),
        },
        "tail": status.tail,
        "overlay_bytes": status.overlay_bytes,
        "spilled_bytes": status.spilled_bytes,
        "entries": status.entries,
        "executions": status.executions,
        "pending": status.pending,
        "held": status.held.iter().map(held).collect::<Vec<_>>(),
        "status": status.status,
        "detail": status.detail,
        "heads": heads,
        "heads_hash": status.heads_hash,
        "state_root": status.state_root.to_string(),
        "members": status.members,
        "peers": status.peers.iter().map(remote).collect::<Vec<_>>(),
    })
}

/// What is held back of a member.
fn held(held: &HeldInfo) -> Value {
    json!({
        "member": held.member.to_string(),
        "entries": held.entries,
        "bytes": held.bytes,
        "why": held.why,
    })
}

/// How the latest upgrade stands.
fn upgrade(upgrade: &UpgradeStatus) -> Value {
    let state = match upgrade.state {
        UpgradeState::Waiting => "waiting",
        UpgradeState::Effective => "effective",
        UpgradeState::Refused => "refused",
        UpgradeState::Unchanged => "unchanged",
    };
    json!({
        "module_hash": upgrade.module_hash,
        "state": state,
        "height": upgrade.height,
        "reasons": upgrade.reasons,
    })
}

/// What a publish would do, in SpacetimeDB's shape, and its parts beside it.
pub(super) fn upgrade_plan(plan: &UpgradePlan) -> Value {
    if !plan.reasons.is_empty() {
        return json!({
            "ManualMigrate": { "reason": plan.reasons.join("\n"), "reasons": plan.reasons },
        });
    }
    json!({
        "AutoMigrate": {
            "migrate_plan": plan.steps.join("\n"),
            "break_clients": !plan.breaking.is_empty(),
            "steps": plan.steps,
            "breaking": plan.breaking,
        },
    })
}

/// A connected remote.
pub(super) fn remote(remote: &RemoteInfo) -> Value {
    json!({
        "id": remote.id.to_string(),
        "address": remote.address,
        "reached": remote.relayed.map(|relayed| if relayed { "relayed" } else { "direct" }),
        "relay": remote.relay.map(|relay| relay.to_string()),
        "rtt_ms": remote.rtt_ms,
        "up_s": remote.up_s,
        "in_sync": remote.in_sync,
        "lacks": remote.lacks,
    })
}

/// A remote that is kept outside.
pub(super) fn cut_off(cut_off: &CutOff) -> Value {
    json!({
        "id": cut_off.remote.to_string(),
        "address": null,
        "reached": null,
        "relay": null,
        "rtt_ms": null,
        "up_s": null,
        "in_sync": false,
        "lacks": null,
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
        "addresses": member.addresses,
        "held": member.held.as_ref().map(held),
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
    fn a_plan_says_what_breaks_or_why_not() {
        let plan = upgrade_plan(&UpgradePlan {
            steps: vec!["a".into(), "b".into()],
            breaking: vec!["b".into()],
            reasons: vec![],
        });
        assert_eq!(plan["AutoMigrate"]["migrate_plan"], json!("a\nb"));
        assert_eq!(plan["AutoMigrate"]["break_clients"], json!(true));
        let refused = upgrade_plan(&UpgradePlan {
            reasons: vec!["c".into(), "d".into()],
            ..UpgradePlan::default()
        });
        assert_eq!(refused["ManualMigrate"]["reason"], json!("c\nd"));
    }

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
