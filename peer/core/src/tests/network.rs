//! Members that find each other, links that are kept and cut, and whom to push to.

use sync_protocol::limits::EAGER_NEIGHBOURS_MAX;
use sync_protocol::{AddressRecord, DatabaseId, Message, Ticket};

use super::harness::Mesh;
use crate::{CutOff, Input, Reply, Request};

fn cut_off(mesh: &mut Mesh, at: usize) -> Vec<CutOff> {
    match mesh.ask(at, Request::Peers) {
        Ok(Reply::Peers(_, cut_off)) => cut_off,
        other => panic!("peers: {other:?}"),
    }
}

/// Three members that listen, of whom the second and the third have never met.
fn line(seed: u64) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(3, seed);
    mesh.cut_link(1, 2);
    for at in 0..3 {
        mesh.listen(at, &format!("/ip4/10.0.0.{at}/tcp/1"));
    }
    let database = mesh.publish_and_join();
    mesh.pass_ms(2_000);
    (mesh, database)
}

#[test]
fn members_who_never_met_know_where_each_other_listens_also_after_a_restart() {
    let (mut mesh, _) = line(1);
    let (b, c) = (mesh.device(1), mesh.device(2));
    assert_eq!(mesh.dials[&(1, c)], ["/ip4/10.0.0.2/tcp/1"]);
    assert_eq!(mesh.dials[&(2, b)], ["/ip4/10.0.0.1/tcp/1"]);
    for at in 0..3 {
        mesh.crash(at);
    }
    mesh.dials.clear();
    for at in [1, 2] {
        mesh.start(at);
    }
    mesh.settle();
    assert_eq!(mesh.dials[&(1, c)], ["/ip4/10.0.0.2/tcp/1"]);
    assert_eq!(mesh.dials[&(2, b)], ["/ip4/10.0.0.1/tcp/1"]);
}

#[test]
fn a_new_address_reaches_those_who_are_not_linked() {
    let (mut mesh, _) = line(2);
    let c = mesh.device(2);
    mesh.listen(2, "/ip4/10.0.0.77/tcp/1");
    assert_eq!(mesh.dials[&(1, c)], ["/ip4/10.0.0.77/tcp/1"]);
    // Its disk is lost with the number of its last record, and its clock is behind.
    mesh.now.wall -= 1_000_000_000;
    mesh.crash(2);
    mesh.start(2);
    mesh.settle();
    mesh.listen(2, "/ip4/10.0.0.78/tcp/1");
    mesh.pass_ms(1_000);
    assert_eq!(mesh.dials[&(1, c)], ["/ip4/10.0.0.78/tcp/1"]);
}

#[test]
fn records_of_strangers_are_dropped_and_forged_ones_held_against_the_sender() {
    let (mut mesh, database) = line(3);
    mesh.expect_hang_ups();
    let stranger = sync_protocol::SecretKey::from_bytes(&[77; 32]);
    let tell = |record| {
        let records = vec![record];
        Message::Addresses { records }.encode(&database)
    };
    let own = AddressRecord::sign(&stranger, 1, &["/ip4/10.9.9.9/tcp/1".to_owned()]);
    mesh.inject(0, mesh.device(1), tell(own));
    assert!(!mesh.dials.contains_key(&(0, stranger.public())));
    let c = mesh.device(2);
    let lie = |mesh: &Mesh, sequence| AddressRecord {
        device: mesh.device(2),
        ..AddressRecord::sign(
            &mesh.secret(1),
            sequence,
            &["/ip4/10.6.6.6/tcp/1".to_owned()],
        )
    };
    for round in 0..2 {
        assert!(mesh.refusals.is_empty());
        let record = lie(&mesh, u64::MAX - round);
        mesh.inject(0, mesh.device(1), tell(record));
    }
    assert_eq!(mesh.dials[&(0, c)], ["/ip4/10.0.0.2/tcp/1"]);
    assert_eq!(mesh.refusals, [(0, mesh.device(1), 60_000)]);
    let listed = cut_off(&mut mesh, 0);
    assert!(listed[0].why.contains("did not sign"), "{listed:?}");
}

#[test]
fn who_comes_back_and_goes_on_is_refused_longer_each_time() {
    let (mut mesh, _) = line(4);
    mesh.expect_hang_ups();
    let b = mesh.device(1);
    for minutes in [1, 4, 16] {
        mesh.inject(0, b, vec![1, 2, 3]);
        assert_eq!(mesh.refusals.pop(), Some((0, b, minutes * 60_000)));
        mesh.input(0, Input::LinkDown { remote: b });
        mesh.input(0, Input::LinkUp { remote: b });
    }
    let listed = cut_off(&mut mesh, 0);
    assert_eq!((listed[0].remote, listed[0].times), (b, 3));
    assert!(listed[0].why.contains("no message"), "{listed:?}");
    let why = "sent a frame of 4294967295 bytes".to_owned();
    mesh.input(0, Input::Misbehaved { remote: b, why });
    assert_eq!(mesh.refusals.pop(), Some((0, b, 64 * 60_000)));
}

#[test]
fn faults_are_remembered_when_a_link_is_closed_and_opened() {
    let (mut mesh, database) = line(5);
    mesh.expect_hang_ups();
    let b = mesh.device(1);
    // Half of what is too much, on each of two links.
    for _ in 0..2 {
        assert!(mesh.refusals.is_empty());
        let bytes = vec![9; 100];
        mesh.inject(0, b, Message::Cut { bytes }.encode(&database));
        mesh.input(0, Input::LinkDown { remote: b });
        mesh.input(0, Input::LinkUp { remote: b });
    }
    assert_eq!(mesh.refusals, [(0, b, 60_000)]);
}

#[test]
fn a_member_that_is_silent_or_stale_is_never_cut_off() {
    let (mut mesh, _) = line(6);
    mesh.expect_hang_ups();
    // It stays linked, and hears and says nothing.
    mesh.hang(2);
    for round in 0..6 {
        let text = format!(r#"["lobby", "m{round}"]"#);
        mesh.call(0, "send_message", &text).expect("sent");
        mesh.pass_ms(20_000);
    }
    assert!(mesh.refusals.is_empty(), "{:?}", mesh.refusals);
    mesh.start(2);
    mesh.pass_ms(5_000);
    mesh.assert_same(0, 2);
    assert!(mesh.refusals.is_empty(), "{:?}", mesh.refusals);
    assert!(cut_off(&mut mesh, 0).is_empty());
}

#[test]
fn only_members_that_are_noticed_are_dialled() {
    let (mut mesh, _) = line(7);
    let (c, stranger) = (mesh.device(2), sync_protocol::DeviceKey([5; 32]));
    for remote in [c, stranger] {
        let addresses = vec!["/ip4/10.0.7.7/tcp/1".to_owned()];
        mesh.input(1, Input::Noticed { remote, addresses });
    }
    assert_eq!(mesh.dials[&(1, c)], ["/ip4/10.0.7.7/tcp/1"]);
    assert!(!mesh.dials.contains_key(&(1, stranger)));
}

#[test]
fn any_member_that_a_ticket_names_lets_the_joiner_in() {
    let mut mesh = Mesh::new(5, 8);
    for at in 0..5 {
        mesh.listen(at, &format!("/ip4/10.0.0.{at}/tcp/1"));
    }
    mesh.publish_only();
    for at in 1..3 {
        let ticket = mesh.invite(0);
        mesh.join(at, &ticket);
    }
    let ticket = mesh.invite(0);
    let read: Ticket = ticket.parse().expect("a ticket");
    let named: Vec<_> = read.members.iter().map(|member| member.device).collect();
    assert_eq!(named.len(), 3);
    assert_eq!(named[0], mesh.device(0));
    assert_eq!(read.members[0].addresses, ["/ip4/10.0.0.0/tcp/1"]);
    mesh.crash(0);
    mesh.deaf
        .extend([0, if named[1] == mesh.device(1) { 1 } else { 2 }]);
    mesh.join(3, &ticket);
    assert_eq!(mesh.status(3).members, 4);
    mesh.pass_ms(3_000);
    for at in [1, 2] {
        mesh.assert_same(3, at);
    }
    // Spent is spent, whoever is asked.
    let error = mesh.join_error(4, &ticket);
    assert!(error.contains("used up"), "{error}");
}

#[test]
fn a_join_that_nobody_answers_says_so_of_everybody() {
    let mut mesh = Mesh::new(3, 9);
    for at in 0..3 {
        mesh.listen(at, &format!("/ip4/10.0.0.{at}/tcp/1"));
    }
    mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    let ticket = mesh.invite(0);
    mesh.deaf.extend([0, 1]);
    let error = mesh.join_error(2, &ticket);
    assert!(error.contains("none of the 2 members"), "{error}");
    assert_eq!(error.matches("cannot be reached").count(), 2, "{error}");
}

/// More members than eager neighbours, all linked.
fn crowd(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(20, seed);
    mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.pushed.clear();
    mesh
}

#[test]
fn in_a_crowd_everything_spreads_and_pushes_are_bounded() {
    let mut mesh = crowd(10);
    for round in 0..20 {
        let text = format!(r#"["lobby", "m{round}"]"#);
        mesh.call(round, "send_message", &text).expect("sent");
        mesh.pass_ms(1_000);
    }
    mesh.assert_converged();
    for at in 0..20 {
        let to = mesh.pushed.keys().filter(|(from, _)| *from == at).count();
        assert!(to <= EAGER_NEIGHBOURS_MAX, "{at} pushes to {to}");
    }
    // Once doubles are pruned, an entry goes whole about once to each.
    mesh.pushed.clear();
    mesh.call(0, "send_message", r#"["lobby", "measured"]"#)
        .expect("sent");
    mesh.settle();
    let first = mesh.pushed.values().copied().max().expect("pushed");
    let copies = mesh.pushed.values().sum::<usize>() / first;
    assert!(copies <= 2 * 20, "{copies} copies for 19 others");
    mesh.pass_ms(1_000);
    mesh.assert_converged();
}

#[test]
fn eager_neighbours_that_die_are_replaced_and_lose_nothing() {
    let mut mesh = crowd(11);
    mesh.call(0, "send_message", r#"["lobby", "before"]"#)
        .expect("sent");
    mesh.settle();
    let eager: Vec<usize> = mesh
        .pushed
        .keys()
        .filter(|(from, _)| *from == 0)
        .map(|(_, to)| *to)
        .collect();
    assert_eq!(eager.len(), EAGER_NEIGHBOURS_MAX);
    for at in &eager {
        mesh.crash(*at);
    }
    mesh.pushed.clear();
    mesh.call(0, "send_message", r#"["lobby", "after"]"#)
        .expect("sent");
    mesh.settle();
    let promoted = mesh.pushed.keys().filter(|(from, _)| *from == 0).count();
    assert_eq!(
        promoted, EAGER_NEIGHBOURS_MAX,
        "at once, before any question"
    );
    mesh.pass_ms(1_000);
    for at in (1..20).filter(|at| !eager.contains(at)) {
        mesh.assert_same(0, at);
    }
}
