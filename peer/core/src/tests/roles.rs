//! What modules know of their callers: roles of members, and claims of users of providers.

use serde_json::{Value, json};
use sync_protocol::Role;

use super::harness::{Mesh, compiled};
use crate::{Claims, ErrorKind, MemberChange, Reply, Request, RequestError};

/// Peer 0 owns a town hall, peer 1 writes in it.
fn town_hall(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(2, seed);
    mesh.publish_wasm_and_join(&compiled("town_hall"));
    mesh.pass_ms(3_000);
    mesh
}

fn set_role(mesh: &mut Mesh, member: usize, role: Role) {
    let change = MemberChange::SetRole(mesh.device(member), role);
    let database = "chat".to_owned();
    mesh.ask(0, Request::ChangeMembers { database, change })
        .expect("an owner may");
    mesh.pass_ms(3_000);
}

fn decree(mesh: &mut Mesh, at: usize, text: &str) -> Result<Reply, RequestError> {
    mesh.call(at, "proclaim", &json!([text]).to_string())
}

fn roles(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let rows = mesh.rows(at, "SELECT role FROM sys_role");
    let mut roles: Vec<String> = rows.into_iter().flatten().collect();
    roles.sort_unstable();
    roles
}

fn minutes(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let caller = Claims::of_device(&mesh.device(at));
    let request = Request::Sql {
        database: "chat".to_owned(),
        text: "SELECT text FROM minute".to_owned(),
    };
    match mesh.ask_as(at, caller, request) {
        Ok(Reply::Rows(rows)) => rows.text.into_iter().flatten().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_module_asks_for_the_role_of_its_caller() {
    let mut mesh = town_hall(810);
    decree(&mut mesh, 0, "first").expect("the owner");
    let refused = decree(&mut mesh, 1, "second").expect_err("a writer");
    assert!(refused.message.contains("you are a writer"), "{refused}");
    set_role(&mut mesh, 1, Role::Admin);
    decree(&mut mesh, 1, "third").expect("an admin by now");
    let request = mesh.call_request("proclaim", r#"["fourth"]"#);
    // A user of the owner's peer is not the owner.
    let owner = Claims::of_device(&mesh.device(0));
    let subject = "ann".to_owned();
    let user = Claims { subject, ..owner };
    let refused = mesh.ask_as(0, user, request).expect_err("a user");
    assert!(refused.message.contains("you are none"), "{refused}");
    for at in 0..2 {
        assert_eq!(roles(&mut mesh, at), ["admin", "owner"]);
        let rows = mesh.rows(at, "SELECT text, role FROM decree ORDER BY id");
        assert_eq!(rows, [["first", "owner"], ["third", "admin"]]);
    }
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_call_that_read_a_role_runs_again_when_the_role_was_another() {
    let mut mesh = town_hall(811);
    set_role(&mut mesh, 1, Role::Admin);
    // Both apart: the owner demotes before the admin decrees, and neither knows.
    mesh.cut_link(0, 1);
    mesh.pass_ms(100);
    let change = MemberChange::SetRole(mesh.device(1), Role::Writer);
    let database = "chat".to_owned();
    mesh.ask(0, Request::ChangeMembers { database, change })
        .expect("an owner may");
    mesh.pass_ms(100);
    decree(&mut mesh, 1, "as an admin still").expect("it does not know");
    mesh.heal_link(0, 1);
    mesh.pass_ms(5_000);
    for at in 0..2 {
        assert_eq!(roles(&mut mesh, at), ["owner", "writer"]);
        let decrees = mesh.rows(at, "SELECT text FROM decree");
        assert!(decrees.is_empty(), "{decrees:?}");
    }
    mesh.assert_converged();
}

#[test]
fn filters_show_rows_by_role_and_hide_them_when_it_ends() {
    let mut mesh = town_hall(812);
    for (role, text) in [("admin", "for admins"), ("writer", "for writers")] {
        mesh.call(0, "write_minute", &json!([role, text]).to_string())
            .expect("anybody may");
    }
    mesh.pass_ms(1_000);
    assert_eq!(minutes(&mut mesh, 1), ["for writers"]);
    set_role(&mut mesh, 1, Role::Admin);
    assert_eq!(minutes(&mut mesh, 1), ["for admins"]);
}

#[test]
fn a_module_cannot_write_roles() {
    let mut mesh = town_hall(813);
    let before = roles(&mut mesh, 0);
    for (reducer, arguments) in [
        ("usurp", "[]".to_owned()),
        (
            "banish",
            json!([format!("0x{}", "00".repeat(32))]).to_string(),
        ),
    ] {
        let refused = mesh.call(1, reducer, &arguments).expect_err("it traps");
        assert!(refused.message.contains("the database keeps"), "{refused}");
    }
    let request = Request::Sql {
        database: "chat".to_owned(),
        text: "DELETE FROM sys_role".to_owned(),
    };
    let refused = mesh.ask(0, request).expect_err("not even the owner");
    assert_ne!(refused.kind, ErrorKind::Internal, "{refused}");
    assert_eq!(roles(&mut mesh, 0), before);
}

#[test]
fn whoever_leaves_has_no_role_and_whoever_comes_has_one() {
    let mut mesh = town_hall(814);
    let change = MemberChange::Remove(mesh.device(1));
    let database = "chat".to_owned();
    mesh.ask(0, Request::ChangeMembers { database, change })
        .expect("an owner may");
    mesh.pass_ms(3_000);
    assert_eq!(roles(&mut mesh, 0), ["owner"]);
    let ticket = mesh.invite_as(0, Role::Reader, 1);
    mesh.join(1, &ticket);
    mesh.pass_ms(3_000);
    assert_eq!(roles(&mut mesh, 0), ["owner", "reader"]);
}

#[test]
fn a_module_reads_what_a_token_said_and_every_peer_sees_the_same() {
    let mut mesh = town_hall(815);
    // A user that a device issued: the driver has cut the claims to what is replicated.
    let device = Claims::of_device(&mesh.device(1));
    let payload = json!({ "iss": device.issuer, "sub": "ann", "email": "ann@example.org" });
    let ann = Claims {
        subject: "ann".to_owned(),
        payload: payload.to_string(),
        ..device
    };
    let request = mesh.call_request("visit", "[]");
    mesh.ask_as(1, ann.clone(), request).expect("a visit");
    let nobody = mesh.call(0, "visit", "[]").expect_err("no token");
    assert!(nobody.message.contains("you have no token"), "{nobody}");
    mesh.pass_ms(3_000);
    for at in 0..2 {
        let query = "SELECT issuer, subject, claims, members FROM visitor";
        let rows = mesh.rows(at, query);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0][..2], [ann.issuer.as_str(), "ann"]);
        let claims: Value = serde_json::from_str(&rows[0][2]).expect("JSON");
        assert_eq!(claims, payload);
        assert_eq!(rows[0][3], "2");
    }
    mesh.assert_converged();
}
