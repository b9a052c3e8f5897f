//! Which role may what: every verb by every role, and by a client that has no peer of its own.

use sync_protocol::{DeviceKey, Role};

use super::harness::{Mesh, compiled};
use super::provider::{ISSUER, keys, rules};
use crate::{Claims, ErrorKind, MemberChange, Request};

const ROLES: [Role; 5] = [
    Role::Owner,
    Role::Admin,
    Role::Gateway,
    Role::Writer,
    Role::Reader,
];

/// The member that everything is done to: a writer.
const OTHER: usize = ROLES.len();

/// Peers 0 to 4 hold the five roles, peer 5 writes.
fn one_of_each(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(OTHER + 1, seed);
    mesh.publish_wasm(&compiled("town_hall"));
    let others = ROLES[1..].iter().chain([&Role::Writer]);
    for (at, role) in (1..).zip(others) {
        let ticket = mesh.invite_as(0, *role, 1);
        mesh.join(at, &ticket);
    }
    mesh.pass_ms(5_000);
    mesh
}

fn chat() -> String {
    "chat".to_owned()
}

fn sql(text: &str) -> Request {
    Request::Sql {
        database: chat(),
        text: text.to_owned(),
    }
}

fn change(change: MemberChange) -> Request {
    Request::ChangeMembers {
        database: chat(),
        change,
    }
}

fn invite(role: Role, dice: u8) -> Request {
    Request::Invite {
        database: chat(),
        role,
        uses: 1,
        expires_in_s: 3_600,
        dice: [dice; 32],
    }
}

fn trust() -> Request {
    Request::TrustIssuer {
        database: chat(),
        rules: rules(),
    }
}

/// What cannot be done twice.
const LASTING: [&str; 5] = [
    "publish",
    "make an admin",
    "hand over",
    "remove",
    "move finality",
];

/// What is tried, which roles may, and whether a client without the owner's token may.
fn verbs(mesh: &mut Mesh, at: usize) -> Vec<(&'static str, Request, &'static [Role], bool)> {
    use Role::{Admin, Gateway, Owner, Writer};
    let other: DeviceKey = mesh.device(OTHER);
    let dice = u8::try_from(at).expect("few");
    let call = mesh.call_request("write_minute", r#"["writer", "a line"]"#);
    let market = Request::Publish {
        name: chat(),
        wasm: compiled("market"),
        sequential_auto_inc: false,
        break_clients: false,
        clear: false,
        dice: [1; 32],
    };
    let set_keys = Request::SetIssuerKeys {
        database: chat(),
        issuer: ISSUER.to_owned(),
        keys: keys(),
    };
    let move_finaliser = Request::MoveFinaliser {
        database: chat(),
        to: mesh.device(0),
    };
    vec![
        ("call", call, &[Owner, Admin, Gateway, Writer], true),
        ("read", sql("SELECT * FROM decree"), &ROLES, true),
        (
            "read what is private",
            sql("SELECT * FROM purse"),
            &ROLES,
            false,
        ),
        (
            "write by SQL",
            sql("DELETE FROM minute WHERE id = 0"),
            &[Owner],
            false,
        ),
        ("publish", market, &[Owner], false),
        (
            "invite a writer",
            invite(Writer, dice),
            &[Owner, Admin],
            false,
        ),
        (
            "invite an admin",
            invite(Admin, 100 + dice),
            &[Owner],
            false,
        ),
        (
            "demote",
            change(MemberChange::SetRole(other, Role::Reader)),
            &[Owner, Admin],
            false,
        ),
        (
            "promote",
            change(MemberChange::SetRole(other, Writer)),
            &[Owner, Admin],
            false,
        ),
        (
            "make an admin",
            change(MemberChange::SetRole(other, Admin)),
            &[Owner],
            false,
        ),
        (
            "hand over",
            change(MemberChange::SetRole(other, Owner)),
            &[Owner],
            false,
        ),
        (
            "remove",
            change(MemberChange::Remove(other)),
            &[Owner, Admin],
            false,
        ),
        (
            "see who is a member",
            Request::Members { database: chat() },
            &ROLES,
            false,
        ),
        ("trust an issuer", trust(), &[Owner], false),
        (
            "set an issuer's keys",
            set_keys,
            &[Owner, Admin, Gateway],
            false,
        ),
        ("move finality", move_finaliser, &[Owner], false),
    ]
}

#[test]
fn every_role_may_what_the_table_says_and_no_more() {
    let mut mesh = one_of_each(900);
    mesh.ask(0, trust()).expect("an owner may");
    mesh.pass_ms(1_000);
    for (at, role) in ROLES.into_iter().enumerate().rev() {
        for (name, request, allowed, _) in verbs(&mut mesh, at) {
            if allowed.contains(&role) && LASTING.contains(&name) {
                continue; // there is a test for each of these, and nothing would be as before
            }
            match mesh.ask(at, request) {
                Ok(_) => assert!(allowed.contains(&role), "{role:?} may {name}"),
                Err(error) => {
                    let denied = matches!(error.kind, ErrorKind::Denied | ErrorKind::NotOwner);
                    assert!(denied, "{role:?}: {name}: {error}");
                    assert!(!allowed.contains(&role), "{role:?} may not {name}: {error}");
                    assert!(!error.message.contains(". "), "one sentence: {error}");
                }
            }
            mesh.pass_ms(1_000);
        }
    }
    mesh.assert_converged();
}

#[test]
fn a_client_without_the_owners_token_calls_and_reads_and_no_more() {
    let mut mesh = one_of_each(901);
    for (name, request, _, may) in verbs(&mut mesh, 0) {
        let owner = Claims::of_device(&mesh.device(0));
        let subject = "ann".to_owned();
        let done = mesh.ask_as(0, Claims { subject, ..owner }, request);
        match done {
            Ok(_) => assert!(may, "a client may {name}"),
            Err(error) => {
                assert!(!may, "a client may not {name}: {error}");
                // Of what is private it is not even said that it is there.
                let hidden = name.contains("private");
                let kind = [ErrorKind::Denied, ErrorKind::BadRequest][usize::from(hidden)];
                assert_eq!(error.kind, kind, "{name}: {error}");
            }
        }
    }
}
