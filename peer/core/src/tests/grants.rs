//! Members that grant what they may not, and speak for whom they may not.

use sync_protocol::{ConnectionId, DeviceKey, Hlc, Role, SecretKey, SystemCall, prove_admission};

use super::forge::{Forgery, outcomes, push};
use super::harness::Mesh;
use crate::{Claims, ErrorKind, Request};

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn invite(ticket: &SecretKey, role: Role, uses: u32, expires: u64) -> SystemCall {
    SystemCall::Invite {
        ticket: ticket.public(),
        role,
        uses,
        expires: Hlc(expires),
    }
}

fn admit(ticket: &SecretKey, database: sync_protocol::DatabaseId, member: DeviceKey) -> SystemCall {
    SystemCall::Admit {
        member,
        ticket: ticket.public(),
        proof: prove_admission(ticket, &database, &member),
    }
}

/// Two peers, the second a writer.
fn pair(seed: u64) -> (Mesh, sync_protocol::DatabaseId) {
    let mut mesh = Mesh::new(2, seed);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    (mesh, id)
}

/// Both peers agree, and still take calls.
fn all_is_well(mesh: &mut Mesh) {
    mesh.call(0, "send_message", r#"["lobby", "zero"]"#)
        .expect("a room");
    mesh.call(1, "send_message", r#"["lobby", "one"]"#)
        .expect("a room");
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(0).status, "ok");
    assert_eq!(mesh.rows(1, "SELECT text FROM message").len(), 2);
}

#[test]
fn a_writer_admits_nobody_with_a_ticket_it_made_itself() {
    let (mut mesh, id) = pair(61);
    let (ticket, friend) = (secret(90), secret(91));
    let forged = Forgery::new(&mesh, id, 1)
        .system(&invite(&ticket, Role::Admin, 5, u64::MAX))
        .system(&admit(&ticket, id, friend.public()))
        .seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    assert!(
        came_out[0].contains("only an owner or admin may invite"),
        "{came_out:?}"
    );
    assert!(
        came_out[1].contains("there is no such ticket"),
        "{came_out:?}"
    );
    // What the friend writes on top of it is kept apart and not run.
    let mut entry = Forgery::new(&mesh, id, 1)
        .by(&friend)
        .named(&mesh, 5, "friend");
    entry.parents = vec![forged.id];
    entry.hlc += 10;
    let entry = entry.seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    let replica = &mesh.core(0).replicas[&id];
    assert!(replica.dag.contains(&entry.id) && !replica.dag.is_clean(&entry.id));
    assert!(!replica.members.contains_key(&friend.public()));
    all_is_well(&mut mesh);
}

#[test]
fn nobody_raises_its_own_role() {
    let (mut mesh, id) = pair(62);
    let (own, given) = (secret(90), secret(92));
    let rogue = mesh.device(1);
    // A real ticket for an admin, meant for somebody else, does not change what a member is.
    let by_owner = Forgery::new(&mesh, id, 0).system(&invite(&given, Role::Admin, 1, u64::MAX));
    let by_owner = by_owner.seal();
    push(&mut mesh, 0, 1, id, &[&by_owner]);
    let mut forged = Forgery::new(&mesh, id, 1)
        .system(&invite(&own, Role::Owner, 1, u64::MAX))
        .system(&admit(&own, id, rogue))
        .system(&admit(&given, id, rogue));
    forged.hlc += 10;
    let forged = forged.seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    assert!(
        came_out[0].contains("only an owner or admin"),
        "{came_out:?}"
    );
    assert!(
        came_out[1].contains("there is no such ticket"),
        "{came_out:?}"
    );
    let role = mesh.core(0).replicas[&id].members[&rogue];
    assert_eq!(role, Role::Writer);
    all_is_well(&mut mesh);
}

#[test]
fn a_ticket_that_is_used_up_or_too_old_admits_nobody_whatever_a_member_says() {
    let (mut mesh, id) = pair(63);
    let (once, old) = (secret(90), secret(92));
    let soon = mesh.now.wall + 1_000_000;
    let tickets = Forgery::new(&mesh, id, 0)
        .system(&invite(&once, Role::Writer, 1, u64::MAX))
        .system(&invite(&old, Role::Writer, 9, soon))
        .seal();
    push(&mut mesh, 1, 0, id, &[&tickets]);
    push(&mut mesh, 0, 1, id, &[&tickets]);
    let friends: Vec<DeviceKey> = (100..103).map(|n| secret(n).public()).collect();
    let mut forged = Forgery::new(&mesh, id, 1)
        .system(&admit(&once, id, friends[0]))
        .system(&admit(&once, id, friends[1]))
        .system(&admit(&old, id, friends[2]));
    forged.hlc = soon + 5_000_000;
    let forged = forged.seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    assert!(came_out[0].starts_with("Ok"), "{came_out:?}");
    assert!(came_out[1].contains("used up"), "{came_out:?}");
    assert!(came_out[2].contains("expired"), "{came_out:?}");
    let members = &mesh.core(0).replicas[&id].members;
    let admitted: Vec<bool> = friends.iter().map(|f| members.contains_key(f)).collect();
    assert_eq!(admitted, [true, false, false]);
    all_is_well(&mut mesh);
}

#[test]
fn an_admission_of_one_device_is_none_of_another() {
    let (mut mesh, id) = pair(64);
    let ticket = secret(90);
    let (friend, stranger) = (secret(91).public(), secret(93).public());
    let tickets = Forgery::new(&mesh, id, 0).system(&invite(&ticket, Role::Writer, 9, u64::MAX));
    let tickets = tickets.seal();
    push(&mut mesh, 0, 1, id, &[&tickets]);
    let SystemCall::Admit { proof, .. } = admit(&ticket, id, friend) else {
        unreachable!("it was made above");
    };
    let stolen = SystemCall::Admit {
        member: stranger,
        ticket: ticket.public(),
        proof,
    };
    let mut forged = Forgery::new(&mesh, id, 1).system(&stolen);
    forged.hlc += 10;
    let forged = forged.seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    assert!(
        came_out[0].contains("not made with the ticket's key"),
        "{came_out:?}"
    );
    assert!(!mesh.core(0).replicas[&id].members.contains_key(&stranger));
    all_is_well(&mut mesh);
}

#[test]
fn what_only_an_owner_may_ask_is_denied_to_a_writer() {
    let (mut mesh, _) = pair(65);
    let invite = Request::Invite {
        database: "chat".to_owned(),
        role: Role::Writer,
        uses: 1,
        expires_in_s: 60,
        dice: [9; 32],
    };
    let error = mesh.ask(1, invite).expect_err("a writer");
    assert_eq!(error.kind, ErrorKind::Denied);
    all_is_well(&mut mesh);
}

#[test]
fn the_zero_connection_and_the_database_itself_are_no_callers() {
    let (mut mesh, id) = pair(66);
    let zero = Forgery::new(&mesh, id, 1)
        .system_on(ConnectionId::ZERO, &SystemCall::ClientConnected)
        .set_name(&mesh, ConnectionId::ZERO, "internal")
        .seal();
    push(&mut mesh, 0, 1, id, &[&zero]);
    let came_out = outcomes(&mesh, 0, id, &zero);
    assert!(came_out[0].contains("never zero"), "{came_out:?}");
    assert!(
        came_out[1].contains("zero is for system calls"),
        "{came_out:?}"
    );
    // Whatever texts make up the caller: it is the author itself, a user that it issued, or nobody.
    for (seq, (issuer, subject)) in [
        (String::new(), String::new()),
        (id.to_string(), id.to_string()),
        ("localhost".to_owned(), id.to_string()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut forged = Forgery::new(&mesh, id, 1);
        forged.caller = Claims {
            issuer,
            subject,
            payload: String::new(),
        };
        forged.epoch = 80 + seq as u64;
        forged.hlc += 10 + seq as u64 * 10;
        let forged = forged.named(&mesh, 30, "database").seal();
        push(&mut mesh, 0, 1, id, &[&forged]);
        for text in outcomes(&mesh, 0, id, &forged) {
            assert!(text.contains("may not speak for this caller"), "{text}");
        }
    }
    let named = mesh.rows(0, "SELECT * FROM user WHERE name = 'database'");
    assert_eq!(named.len(), 0);
    all_is_well(&mut mesh);
}
