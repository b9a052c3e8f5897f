//! Who may write.

use super::*;
use crate::fixtures::system;
use crate::ids::Signature;
use crate::membership::{TicketRight, prove_admission};
use crate::system_call::SystemCall;

const TICKET: u8 = 200;
const JOINER: usize = 9;

fn invite(role: Role, expires: Hlc) -> SystemCall {
    SystemCall::Invite {
        ticket: key(TICKET).public(),
        role,
        uses: 1,
        expires,
    }
}

fn admit(world: &World) -> SystemCall {
    let member = world.authors[JOINER].public();
    let proof = prove_admission(&key(TICKET), &world.birth.database, &member);
    SystemCall::Admit {
        member,
        ticket: key(TICKET).public(),
        proof,
    }
}

#[test]
fn strangers_and_what_builds_on_them_are_quarantined() {
    let mut world = World::new();
    let stranger = world.write(JOINER, &[]);
    let on_top = world.write(1, &[&stranger]);
    world.take(&[&stranger, &on_top]);
    assert!(world.dag.contains(&stranger.id) && !world.dag.is_clean(&stranger.id));
    assert!(world.dag.contains(&on_top.id) && !world.dag.is_clean(&on_top.id));
    assert_eq!(world.tail(), []);
    assert_eq!(world.dag.heads(), [world.birth.genesis.id]);
    assert_eq!(world.dag.ids(), []);
    assert_eq!(world.dag.take_changed_from(), None);
}

#[test]
fn readers_do_not_write() {
    let mut world = World::new();
    let mut rights = rights();
    let role = RoleChange {
        from: 0,
        role: Some(Role::Reader),
    };
    rights
        .roles
        .insert(world.authors[JOINER].public(), vec![role]);
    world.dag = world.birth.dag(rights);
    let entry = world.write(JOINER, &[]);
    world.take(&[&entry]);
    assert!(!world.dag.is_clean(&entry.id));
}

/// An owner invites, a member admits, the joiner writes: does it count?
fn check_joining(
    counts: bool,
    invited: impl FnOnce(&World) -> SystemCall,
    admitted: impl FnOnce(&World) -> SystemCall,
) {
    let mut world = World::new();
    let call = invited(&world);
    let a = world.write_body(0, &[], system(&[call]));
    let call = admitted(&world);
    let b = world.write_body(2, &[&a], system(&[call]));
    let c = world.write(JOINER, &[&b]);
    let d = world.write(JOINER, &[]);
    world.take(&[&a, &b, &c, &d]);
    assert_eq!(world.dag.is_clean(&c.id), counts);
    assert_eq!(
        world.dag.is_clean(&d.id),
        counts,
        "what an own earlier entry builds on counts"
    );
    let rest: &[&Arc<Entry>] = if counts { &[&a, &b, &c, &d] } else { &[&a, &b] };
    assert_eq!(world.tail(), running(rest));
}

#[test]
fn a_joiner_writes_by_the_grant_it_builds_on() {
    check_joining(true, |_| invite(Role::Writer, NOW), admit);
    check_joining(true, |_| invite(Role::Admin, NOW), admit);
    check_joining(false, |_| invite(Role::Reader, NOW), admit);
    check_joining(false, |_| invite(Role::Writer, BIRTH), admit);
    check_joining(false, |_| SystemCall::ClientConnected, admit);
    let spoilt = |world: &World| match admit(world) {
        SystemCall::Admit { member, ticket, .. } => SystemCall::Admit {
            member,
            ticket,
            proof: Signature([1; 64]),
        },
        other => other,
    };
    check_joining(false, |_| invite(Role::Writer, NOW), spoilt);
    let for_another = |world: &World| match admit(world) {
        SystemCall::Admit { ticket, proof, .. } => SystemCall::Admit {
            member: key(77).public(),
            ticket,
            proof,
        },
        other => other,
    };
    check_joining(false, |_| invite(Role::Writer, NOW), for_another);
}

#[test]
fn only_who_may_invite_invites() {
    let mut world = World::new();
    let a = world.write_body(1, &[], system(&[invite(Role::Writer, NOW)]));
    let call = admit(&world);
    let b = world.write_body(2, &[&a], system(&[call]));
    let c = world.write(JOINER, &[&b]);
    world.take(&[&a, &b, &c]);
    assert!(!world.dag.is_clean(&c.id));
}

#[test]
fn a_grant_counts_for_what_builds_on_it_and_nothing_else() {
    let mut world = World::new();
    let a = world.write_body(0, &[], system(&[invite(Role::Writer, NOW)]));
    let call = admit(&world);
    let b = world.write_body(2, &[&a], system(&[call]));
    let beside = world.write(JOINER, &[&a]);
    world.take(&[&a, &b, &beside]);
    assert!(!world.dag.is_clean(&beside.id));
    // The admission must build on the invitation in the same way.
    let mut world = World::new();
    let a = world.write_body(0, &[], system(&[invite(Role::Writer, NOW)]));
    let call = admit(&world);
    let b = world.write_body(2, &[], system(&[call]));
    let c = world.write(JOINER, &[&a, &b]);
    world.take(&[&a, &b, &c]);
    assert!(!world.dag.is_clean(&c.id));
}

#[test]
fn an_owner_admits_in_one_entry() {
    for order in [[0, 1], [1, 0]] {
        let mut world = World::new();
        let calls = [invite(Role::Writer, NOW), admit(&world)];
        let a = world.write_body(0, &[], system(&order.map(|index| calls[index].clone())));
        let b = world.write(JOINER, &[&a]);
        world.take(&[&a, &b]);
        // Even before its own invitation: who may invite may admit.
        assert!(world.dag.is_clean(&b.id));
    }
}

#[test]
fn a_ticket_in_the_rows_lets_any_member_admit() {
    let check = |expires, role, counts| {
        let mut world = World::new();
        let mut rights = rights();
        let ticket = TicketRight {
            from: 0,
            role,
            expires,
        };
        rights.tickets.insert(key(TICKET).public(), ticket);
        world.dag = world.birth.dag(rights);
        let call = admit(&world);
        let a = world.write_body(3, &[], system(&[call]));
        let b = world.write(JOINER, &[&a]);
        world.take(&[&a, &b]);
        assert_eq!(world.dag.is_clean(&b.id), counts);
    };
    check(NOW, Role::Writer, true);
    check(BIRTH, Role::Writer, false);
    check(NOW, Role::Reader, false);
}

#[test]
fn a_grant_goes_on_counting_when_it_becomes_final() {
    let mut world = World::new();
    let a = world.write_body(0, &[], system(&[invite(Role::Writer, NOW)]));
    let call = admit(&world);
    let b = world.write_body(2, &[&a], system(&[call]));
    let c = world.write(JOINER, &[&b]);
    let beside = world.write(8, &[]);
    world.take(&[&a, &b, &c, &beside]);
    let mut rights = rights();
    let role = RoleChange {
        from: 1,
        role: Some(Role::Writer),
    };
    rights
        .roles
        .insert(world.authors[JOINER].public(), vec![role]);
    // The owner gave key(8) a role in the same cut, but its entry does not build on that.
    rights.roles.insert(world.authors[8].public(), vec![role]);
    world.cut(&[&b], rights.clone());
    assert!(
        world.dag.is_clean(&c.id),
        "it names cut 0, but builds on what cut 1 covers"
    );
    assert!(!world.dag.is_clean(&beside.id));
    // A peer that gets the entries only now comes to the same.
    let mut late = world.birth.dag(rights);
    for entry in [&c, &beside] {
        late.offer(Arc::clone(entry), None, &world.birth);
    }
    assert_eq!(late.heads_hash(), world.dag.heads_hash());
    assert_eq!(late.ids(), world.dag.ids());
}

#[test]
fn who_was_removed_writes_no_more() {
    let mut world = World::new();
    let a = world.write(1, &[]);
    let b = world.write(2, &[]);
    let on_top = world.write(3, &[&b]);
    world.take(&[&a, &b, &on_top]);
    let mut rights = rights();
    let changes = rights.roles.get_mut(&world.authors[2].public()).unwrap();
    changes.push(RoleChange {
        from: 1,
        role: None,
    });
    world.cut(&[&a], rights);
    assert_eq!(
        world.tail(),
        [(b.id, true), (on_top.id, false)],
        "although it was a member at the cut it names; an honest member built on it"
    );
    let unseen = world.write(2, &[]);
    world.take(&[&unseen]);
    assert!(!world.dag.is_clean(&unseen.id));
}
