//! Members that are put out, demoted, leave, and hand the database over.

use sync_protocol::{ConnectionId, DeviceKey, Role, SystemCall, Ticket, prove_admission};

use super::forge::{Forgery, outcomes, push};
use super::harness::Mesh;
use crate::{Claims, ErrorKind, MemberChange, Reply, Request, RequestError};

fn change(mesh: &mut Mesh, at: usize, change: MemberChange) -> Result<Reply, RequestError> {
    let database = "chat".to_owned();
    mesh.ask(at, Request::ChangeMembers { database, change })
}

fn remove(mesh: &mut Mesh, at: usize, member: usize) -> Result<Reply, RequestError> {
    let member = mesh.device(member);
    change(mesh, at, MemberChange::Remove(member))
}

fn set_role(mesh: &mut Mesh, at: usize, member: usize, role: Role) -> Result<Reply, RequestError> {
    let member = mesh.device(member);
    change(mesh, at, MemberChange::SetRole(member, role))
}

fn say(mesh: &mut Mesh, at: usize, text: &str) -> Result<Reply, RequestError> {
    mesh.call(at, "send_message", &format!(r#"["lobby", "{text}"]"#))
}

fn texts(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let rows = mesh.rows(at, "SELECT text FROM message");
    let mut texts: Vec<String> = rows.into_iter().flatten().collect();
    texts.sort_unstable();
    texts
}

fn role_of(mesh: &mut Mesh, at: usize, member: usize) -> Option<String> {
    let device = mesh.device(member);
    let query = format!("SELECT role FROM st_member WHERE device = '{device}'");
    mesh.rows(at, &query).into_iter().flatten().next()
}

#[test]
fn who_was_invited_by_a_role_that_is_not_final_writes_once_it_is() {
    let mut mesh = Mesh::new(3, 640);
    mesh.publish_only();
    let ticket = mesh.invite_as(0, Role::Writer, 1);
    mesh.join(1, &ticket);
    mesh.pass_ms(5_000);
    set_role(&mut mesh, 0, 1, Role::Admin).expect("an owner may");
    assert_eq!(role_of(&mut mesh, 1, 1).as_deref(), Some("admin"));
    // Nothing becomes final from here on.
    mesh.cut_link(0, 1);
    mesh.cut_link(0, 2);
    let ticket = mesh.invite_as(1, Role::Writer, 1);
    mesh.join(2, &ticket);
    assert_eq!(role_of(&mut mesh, 2, 2).as_deref(), Some("writer"));
    let error = say(&mut mesh, 2, "too soon").expect_err("nobody could know yet that it may");
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    back(&mut mesh, 0, 3);
    say(&mut mesh, 2, "in time").expect("it is final");
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert_eq!(texts(&mut mesh, at), ["in time"], "peer {at}");
    }
    mesh.assert_converged();
}

fn denied(reply: Result<Reply, RequestError>) -> String {
    let error = reply.expect_err("it is refused");
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    error.message
}

fn alone(mesh: &mut Mesh, at: usize, peers: usize) {
    for other in (0..peers).filter(|other| *other != at) {
        mesh.cut_link(at, other);
    }
    mesh.settle();
}

fn back(mesh: &mut Mesh, at: usize, peers: usize) {
    for other in (0..peers).filter(|other| *other != at) {
        mesh.heal_link(at, other);
    }
    mesh.pass_ms(5_000);
}

/// Three peers; who is put out and comes back may wait for answers in vain.
fn three(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(3, seed);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    mesh
}

#[test]
fn a_stolen_device_is_put_out_and_what_it_wrote_alone_never_runs() {
    let mut mesh = three(301);
    say(&mut mesh, 2, "before").expect("a member");
    mesh.pass_ms(3_000);
    alone(&mut mesh, 2, 3);
    say(&mut mesh, 2, "stolen").expect("nobody has told it");
    remove(&mut mesh, 0, 2).expect("the owner may");
    say(&mut mesh, 1, "meanwhile").expect("a member");
    mesh.pass_ms(3_000);
    assert_eq!(texts(&mut mesh, 2), ["before", "stolen"]);
    back(&mut mesh, 2, 3);
    for at in 0..3 {
        assert_eq!(texts(&mut mesh, at)[0], "before", "peer {at}");
        let stolen = texts(&mut mesh, at).contains(&"stolen".to_owned());
        assert!(!stolen, "peer {at}");
    }
    mesh.assert_same(0, 1);
    assert_eq!(texts(&mut mesh, 1), ["before", "meanwhile"]);
    // It hears of it, and says so.
    let why = denied(say(&mut mesh, 2, "more"));
    assert!(why.contains("no member of the database any more"), "{why}");
    let shown = "SELECT status, error FROM st_invocation WHERE reducer = 'send_message'";
    let rows = mesh.rows(2, shown);
    let void = rows.iter().find(|row| row[0] == "void");
    assert!(
        void.is_some_and(|row| row[1].contains("removed from the database")),
        "{rows:?}"
    );
    // And what others say from now on it does not hear.
    say(&mut mesh, 1, "secret").expect("a member");
    mesh.pass_ms(35_000);
    assert!(!texts(&mut mesh, 2).contains(&"secret".to_owned()));
    assert!(texts(&mut mesh, 0).contains(&"secret".to_owned()));
}

#[test]
fn what_is_dated_back_before_a_removal_never_runs() {
    let mut mesh = three(302);
    let id = mesh.core(0).replicas.keys().next().copied().expect("one");
    let old = Forgery::new(&mesh, id, 2);
    mesh.pass_ms(2_000);
    remove(&mut mesh, 0, 2).expect("the owner may");
    // Old parents, an old base, an old time: before the removal in the order.
    let tail = old.named(&mesh, 5, "back dated").seal();
    push(&mut mesh, 1, 2, id, &[&tail]);
    mesh.pass_ms(3_000);
    let mut second = Forgery::new(&mesh, id, 2);
    second.epoch = 78;
    let second = second.named(&mesh, 6, "after").seal();
    push(&mut mesh, 1, 2, id, &[&second]);
    mesh.pass_ms(3_000);
    for at in 0..2 {
        let named = "SELECT name FROM user WHERE name = 'back dated' OR name = 'after'";
        assert!(mesh.rows(at, named).is_empty(), "peer {at}");
    }
    mesh.assert_same(0, 1);
}

#[test]
fn an_honest_call_on_top_of_a_removed_members_stays() {
    let mut mesh = three(303);
    // Peer 1 hears what peer 2 says, the owner does not.
    mesh.cut_link(0, 1);
    mesh.cut_link(0, 2);
    mesh.settle();
    say(&mut mesh, 2, "theirs").expect("a member");
    mesh.settle();
    say(&mut mesh, 1, "on top").expect("a member");
    remove(&mut mesh, 0, 2).expect("the owner may");
    mesh.pass_ms(3_000);
    mesh.heal_link(0, 1);
    mesh.pass_ms(4_000);
    mesh.assert_same(0, 1);
    assert_eq!(texts(&mut mesh, 0), ["on top"]);
    assert_eq!(mesh.status(0).tail, 0, "all of it is final");
}

#[test]
fn a_reader_writes_nothing_until_it_may_again() {
    let mut mesh = three(304);
    alone(&mut mesh, 2, 3);
    say(&mut mesh, 2, "unheard").expect("nobody has told it");
    set_role(&mut mesh, 0, 2, Role::Reader).expect("the owner may");
    back(&mut mesh, 2, 3);
    mesh.assert_converged();
    assert!(texts(&mut mesh, 0).is_empty());
    assert_eq!(role_of(&mut mesh, 2, 2).as_deref(), Some("reader"));
    let why = denied(say(&mut mesh, 2, "no"));
    assert!(why.contains("may only read"), "{why}");
    set_role(&mut mesh, 0, 2, Role::Writer).expect("the owner may");
    mesh.pass_ms(3_000);
    say(&mut mesh, 2, "again").expect("it may");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    assert_eq!(texts(&mut mesh, 0), ["again"]);
}

#[test]
fn admins_rule_over_those_below_and_nobody_else() {
    let mut mesh = Mesh::new(4, 305);
    mesh.publish_only();
    let admins = mesh.invite_as(0, Role::Admin, 2);
    mesh.join(1, &admins);
    mesh.join(2, &admins);
    let ticket = mesh.invite(1);
    mesh.join(3, &ticket);
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    denied(remove(&mut mesh, 1, 2));
    denied(remove(&mut mesh, 1, 0));
    denied(set_role(&mut mesh, 1, 2, Role::Reader));
    denied(set_role(&mut mesh, 1, 3, Role::Admin));
    denied(set_role(&mut mesh, 1, 1, Role::Owner));
    denied(set_role(&mut mesh, 0, 0, Role::Reader));
    denied(remove(&mut mesh, 3, 1));
    let error = mesh.ask(
        1,
        Request::Invite {
            database: "chat".to_owned(),
            role: Role::Admin,
            uses: 1,
            expires_in_s: 60,
            dice: [1; 32],
        },
    );
    assert!(denied(error).contains("only the owner"));
    set_role(&mut mesh, 1, 3, Role::Gateway).expect("an admin may");
    mesh.pass_ms(3_000);
    assert_eq!(role_of(&mut mesh, 0, 3).as_deref(), Some("gateway"));
    remove(&mut mesh, 1, 3).expect("an admin may");
    mesh.pass_ms(3_000);
    assert_eq!(role_of(&mut mesh, 0, 3), None);
    remove(&mut mesh, 0, 2).expect("the owner may");
    mesh.pass_ms(3_000);
    assert_eq!(role_of(&mut mesh, 1, 2), None);
    mesh.assert_same(0, 1);
}

#[test]
fn what_a_members_key_signs_against_the_ranks_comes_to_nothing() {
    let mut mesh = three(306);
    let id = mesh.core(0).replicas.keys().next().copied().expect("one");
    let (owner, own) = (mesh.device(0), mesh.device(2));
    let forged = Forgery::new(&mesh, id, 2)
        .system(&SystemCall::RemoveMember { member: owner })
        .system(&SystemCall::SetRole {
            member: own,
            role: Role::Admin,
        })
        .system(&SystemCall::TransferOwnership { to: own })
        .system(&SystemCall::RevokeTicket { ticket: own })
        .seal();
    push(&mut mesh, 0, 2, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    for (outcome, why) in came_out.iter().zip([
        "only an owner may remove admins",
        "only an owner may make or demote admins",
        "only an owner may hand the database over",
        "only an owner or admin may revoke a ticket",
    ]) {
        assert!(outcome.contains(why), "{came_out:?}");
    }
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 1);
    assert_eq!(role_of(&mut mesh, 1, 0).as_deref(), Some("owner"));
    assert_eq!(role_of(&mut mesh, 1, 2).as_deref(), Some("writer"));
}

#[test]
fn who_leaves_is_gone_and_comes_back_with_a_new_ticket_only() {
    let mut mesh = three(307);
    let why = denied(remove(&mut mesh, 0, 0));
    assert!(why.contains("hand the database over first"), "{why}");
    let ticket = mesh.invite_as(0, Role::Writer, 1);
    remove(&mut mesh, 2, 2).expect("anybody may leave");
    mesh.pass_ms(4_000);
    assert_eq!(role_of(&mut mesh, 0, 2), None);
    denied(say(&mut mesh, 2, "not any more"));
    mesh.join(2, &ticket);
    mesh.pass_ms(35_000);
    say(&mut mesh, 2, "again").expect("a member");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
    assert_eq!(texts(&mut mesh, 0), ["again"]);
}

#[test]
fn a_revoked_ticket_admits_nobody() {
    let mut mesh = Mesh::new(3, 308);
    let id = mesh.publish_only();
    let first = mesh.invite(0);
    mesh.join(1, &first);
    let text = mesh.invite_as(0, Role::Writer, 5);
    let ticket: Ticket = text.parse().expect("a ticket");
    let key = ticket.key.public();
    denied(change(&mut mesh, 1, MemberChange::RevokeTicket(key)));
    let unknown = MemberChange::RevokeTicket(DeviceKey([7; 32]));
    let error = change(&mut mesh, 0, unknown).expect_err("there is none");
    assert_eq!(error.kind, ErrorKind::BadRequest);
    change(&mut mesh, 0, MemberChange::RevokeTicket(key)).expect("the owner may");
    let why = mesh.join_error(2, &text);
    assert!(why.contains("used up or revoked"), "{why}");
    // Nor does it when a member says so against better knowledge.
    let joiner = mesh.device(2);
    let admit = SystemCall::Admit {
        member: joiner,
        ticket: key,
        proof: prove_admission(&ticket.key, &id, &joiner),
    };
    let forged = Forgery::new(&mesh, id, 1).system(&admit).seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    assert!(outcomes(&mesh, 0, id, &forged)[0].contains("used up or revoked"));
    // What such a device wrote goes with it, but not who built on it.
    let mut entry = Forgery::new(&mesh, id, 2).named(&mesh, 5, "guest");
    entry.parents = vec![forged.id];
    entry.hlc += 10;
    let entry = entry.seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    say(&mut mesh, 0, "on top").expect("the owner");
    mesh.pass_ms(4_000);
    assert_eq!(texts(&mut mesh, 1), ["on top"]);
    let named = "SELECT name FROM user WHERE name = 'guest'";
    assert!(mesh.rows(0, named).is_empty());
    mesh.assert_same(0, 1);
}

#[test]
fn a_database_is_handed_over_with_all_that_an_owner_may() {
    let mut mesh = three(309);
    denied(set_role(&mut mesh, 1, 2, Role::Owner));
    set_role(&mut mesh, 0, 1, Role::Owner).expect("the owner may");
    mesh.pass_ms(3_000);
    assert_eq!(role_of(&mut mesh, 2, 1).as_deref(), Some("owner"));
    assert_eq!(role_of(&mut mesh, 2, 0).as_deref(), Some("admin"));
    denied(remove(&mut mesh, 0, 1));
    let delete = "DELETE FROM message WHERE text = 'x'";
    let sql = |text: &str| Request::Sql {
        database: "chat".to_owned(),
        text: text.to_owned(),
    };
    denied(mesh.ask(0, sql(delete)));
    mesh.ask(1, sql(delete)).expect("the new owner may");
    // The finaliser was the old owner's peer, and goes with it: the new one takes over.
    remove(&mut mesh, 1, 0).expect("the owner may");
    mesh.pass_ms(4_000);
    let request = Request::Finaliser {
        database: "chat".to_owned(),
    };
    let Ok(Reply::Finaliser(info)) = mesh.ask(1, request) else {
        panic!("no finaliser");
    };
    assert_eq!(info.finalisers, [mesh.device(1)]);
    say(&mut mesh, 2, "goes on").expect("a member");
    mesh.pass_ms(4_000);
    mesh.assert_same(1, 2);
    assert_eq!(mesh.status(2).tail, 0);
}

#[test]
fn clients_of_a_device_that_is_put_out_are_gone() {
    let mut mesh = Mesh::new(2, 310);
    let market = super::harness::compiled("market");
    mesh.publish_wasm_and_join(&market);
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    let caller = Claims::of_device(&mesh.device(1));
    let identity = format!("0x{}", crate::identity_hex(&caller.identity()));
    let connect = Request::Connect {
        database: "chat".to_owned(),
        connection: ConnectionId([9; 16]),
    };
    mesh.ask(1, connect).expect("somebody comes");
    mesh.pass_ms(3_000);
    let left = "SELECT * FROM visitor";
    let visits = |mesh: &mut Mesh| {
        let rows = mesh.rows(0, left).into_iter();
        let mut own = rows.filter(|row| row[0].contains(identity.trim_start_matches("0x")));
        own.next().map(|row| (row[1].clone(), row[2].clone()))
    };
    assert_eq!(visits(&mut mesh), Some(("1".to_owned(), "0".to_owned())));
    remove(&mut mesh, 0, 1).expect("the owner may");
    mesh.pass_ms(5_000);
    assert_eq!(visits(&mut mesh), Some(("1".to_owned(), "1".to_owned())));
}

/// What a cut makes of rights is read off the rows as they were at its end: nothing is taken back for it.
#[test]
fn a_cut_over_a_change_of_rights_runs_nothing_again() {
    let mut mesh = three(119);
    mesh.pass_ms(3_000);
    set_role(&mut mesh, 0, 2, Role::Reader).expect("the owner may");
    mesh.pass_ms(600);
    for at in [0, 1, 0] {
        say(&mut mesh, at, "later").expect("a writer");
    }
    mesh.settle();
    let before: Vec<_> = (0..3).map(|at| mesh.status(at)).collect();
    mesh.pass_ms(700);
    for (at, before) in before.iter().enumerate() {
        let after = mesh.status(at);
        assert_eq!(after.cut.height, before.cut.height + 1, "peer {at}");
        assert!(after.tail > 0, "peer {at}: what came later is not covered");
        assert_eq!(after.executions, before.executions, "peer {at}");
    }
    mesh.pass_ms(3_000);
    let roots: Vec<_> = (0..3).map(|at| mesh.status(at).state_root).collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
    assert_eq!(role_of(&mut mesh, 1, 2), Some("reader".to_owned()));
}
