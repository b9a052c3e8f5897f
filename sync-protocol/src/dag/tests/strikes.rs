//! What revocations do to what they have not seen.

use super::*;
use crate::fixtures::system;
use crate::limits::{PENDING_ENTRIES_MAX, REVOCATIONS_MAX};
use crate::membership::{TicketRight, prove_admission};
use crate::system_call::SystemCall;

const OWNER: usize = 0;
const ADMIN: usize = 1;
const OTHER_ADMIN: usize = 2;
const WRITER: usize = 3;
const HONEST: usize = 4;
const JOINER: usize = 9;
const TICKET: u8 = 200;

fn role(role: Role) -> Vec<RoleChange> {
    let role = Some(role);
    vec![RoleChange { from: 0, role }]
}

fn ranked() -> Rights {
    let mut rights = rights();
    for admin in [1, 2] {
        rights.roles.insert(key(admin).public(), role(Role::Admin));
    }
    rights
}

fn world() -> World {
    let mut world = World::new();
    world.dag = world.birth.dag(ranked());
    world
}

impl World {
    fn key_of(&self, author: usize) -> DeviceKey {
        self.authors[author].public()
    }

    fn remove(&mut self, by: usize, member: usize, parents: &[&Arc<Entry>]) -> Arc<Entry> {
        let member = self.key_of(member);
        self.write_body(by, parents, system(&[SystemCall::RemoveMember { member }]))
    }

    fn set_role(
        &mut self,
        by: usize,
        (member, role): (usize, Role),
        parents: &[&Arc<Entry>],
    ) -> Arc<Entry> {
        let member = self.key_of(member);
        let call = SystemCall::SetRole { member, role };
        self.write_body(by, parents, system(&[call]))
    }

    fn struck(&self, entry: &Arc<Entry>) -> Option<Struck> {
        let tail: Vec<Ordered> = self.dag.tail(NOW).collect();
        let found = tail.iter().find(|ordered| ordered.entry.id == entry.id);
        found.expect("it is in the tail").struck
    }

    /// The rows after a removal that the next cut covers.
    fn without(&self, member: usize) -> Rights {
        let mut rights = ranked();
        let changes = rights.roles.get_mut(&self.key_of(member));
        let from = self.birth.cut.height + 1;
        changes
            .expect("a member")
            .push(RoleChange { from, role: None });
        rights
    }
}

#[test]
fn what_a_removal_has_seen_stands_and_the_rest_is_struck() {
    let mut world = world();
    let seen = world.write(WRITER, &[]);
    let back_dated = world.write(WRITER, &[]);
    let removal = world.remove(OWNER, WRITER, &[&seen]);
    let on_top = world.write(HONEST, &[&back_dated]);
    world.take(&[&seen, &back_dated, &on_top]);
    assert_eq!(world.struck(&back_dated), None);
    world.dag.take_changed_from();
    world.take(&[&removal]);
    assert_eq!(world.struck(&seen), None);
    assert_eq!(world.struck(&back_dated), Some(Struck::Removed));
    assert_eq!(world.struck(&on_top), None);
    let changed = world.dag.take_changed_from();
    assert!(changed.is_some_and(|from| from <= back_dated.position(0)));
    // It goes on, in the same chain and in another, and dates back as far as it can.
    let next = world.write(WRITER, &[]);
    world.authors[WRITER].previous = None;
    world.authors[WRITER].epoch += 1;
    world.authors[WRITER].seq = 0;
    let other = world.write(WRITER, &[]);
    world.take(&[&next, &other]);
    assert_eq!(world.struck(&next), Some(Struck::Removed));
    assert_eq!(world.struck(&other), Some(Struck::Removed));
}

#[test]
fn what_is_final_stands_and_the_rest_never_runs() {
    let mut world = world();
    let first = world.write(WRITER, &[]);
    let second = world.write(WRITER, &[]);
    let on_top = world.write(HONEST, &[&second]);
    let removal = world.remove(OWNER, WRITER, &[]);
    world.take(&[&first, &second, &on_top, &removal]);
    assert_eq!(world.struck(&first), Some(Struck::Removed));
    // The finaliser covers the first before it hears of the removal.
    world.cut(&[&first], ranked());
    assert_eq!(world.struck(&second), Some(Struck::Removed));
    let rights = world.without(WRITER);
    world.cut(&[&removal], rights.clone());
    assert_eq!(world.struck(&second), Some(Struck::Removed));
    assert_eq!(world.struck(&on_top), None, "its author is honest");
    assert_eq!(world.dag.heads(), ids(&[&removal, &on_top]));
    // A peer that hears of all only now comes to the same.
    let mut late = world.birth.dag(rights);
    for entry in [&second, &on_top] {
        late.offer(Arc::clone(entry), Some(key(100).public()), &world.birth);
    }
    assert_eq!(late.heads_hash(), world.dag.heads_hash());
    // Nobody else builds on what comes now: it is kept for them, and for nothing else.
    let third = world.write(WRITER, &[]);
    world.take(&[&third]);
    assert!(!world.dag.is_clean(&third.id));
    let segment = world.dag.segment(&[on_top.id], &world.birth).unwrap();
    let struck: Vec<_> = segment.iter().map(|ordered| ordered.struck).collect();
    assert_eq!(struck, [Some(Struck::Removed), None]);
}

#[test]
fn a_segment_is_struck_by_its_own_revocations() {
    let mut world = world();
    let entry = world.write(WRITER, &[]);
    let removal = world.remove(OWNER, WRITER, &[]);
    world.take(&[&entry, &removal]);
    let struck = |frontier: &[&Arc<Entry>]| -> Vec<Option<Struck>> {
        let frontier: Vec<EntryId> = frontier.iter().map(|entry| entry.id).collect();
        let segment = world.dag.segment(&frontier, &world.birth).unwrap();
        segment.iter().map(|ordered| ordered.struck).collect()
    };
    assert_eq!(struck(&[&entry]), [None]);
    let both: BTreeSet<_> = struck(&[&entry, &removal]).into_iter().collect();
    assert_eq!(both, BTreeSet::from([None, Some(Struck::Removed)]));
}

#[test]
fn whoever_is_above_wins_a_duel() {
    let mut world = world();
    let theirs = world.write(WRITER, &[]);
    let duel = world.remove(ADMIN, WRITER, &[]);
    world.take(&[&theirs, &duel]);
    assert_eq!(world.struck(&theirs), Some(Struck::Removed));
    let above = world.set_role(OWNER, (ADMIN, Role::Writer), &[]);
    world.take(&[&above]);
    assert_eq!(world.struck(&duel), Some(Struck::Demoted(Role::Writer)));
    assert_eq!(world.struck(&theirs), None, "no admin any more says so");
    // Not with the owner's words before it either.
    let later = world.remove(ADMIN, WRITER, &[&above]);
    world.take(&[&later]);
    assert_eq!(world.struck(&theirs), None);
}

#[test]
fn equals_and_those_below_strike_nobody() {
    for (by, member) in [
        (ADMIN, OTHER_ADMIN),
        (ADMIN, OWNER),
        (OTHER_ADMIN, ADMIN),
        (WRITER, HONEST),
        (WRITER, ADMIN),
        (JOINER, WRITER),
    ] {
        let mut world = world();
        let entry = world.write(member, &[]);
        let removal = world.remove(by, member, &[]);
        world.take(&[&entry, &removal]);
        assert_eq!(world.struck(&entry), None, "{by} removes {member}");
    }
}

#[test]
fn a_demotion_leaves_what_the_lower_role_may_do() {
    let mut world = world();
    let seen = world.write(ADMIN, &[]);
    let unseen = world.write(ADMIN, &[]);
    let demotion = world.set_role(OWNER, (ADMIN, Role::Reader), &[&seen]);
    let promotion = world.set_role(OWNER, (WRITER, Role::Admin), &[]);
    let theirs = world.write(WRITER, &[]);
    world.take(&[&seen, &unseen, &demotion, &promotion, &theirs]);
    assert_eq!(world.struck(&seen), None);
    assert_eq!(world.struck(&unseen), Some(Struck::Demoted(Role::Reader)));
    assert_eq!(world.struck(&theirs), None);
    // An admin makes no admins, so this takes nothing away.
    let mut world = self::world();
    let entry = world.write(WRITER, &[]);
    let raised = world.set_role(ADMIN, (WRITER, Role::Admin), &[]);
    world.take(&[&entry, &raised]);
    assert_eq!(world.struck(&entry), None);
}

#[test]
fn who_leaves_and_who_hands_over_revoke_nothing_afterwards() {
    for hands_over in [true, false] {
        let mut world = world();
        let victim = world.write(ADMIN, &[]);
        let to = world.key_of(WRITER);
        let call = match hands_over {
            true => SystemCall::TransferOwnership { to },
            false => SystemCall::RemoveMember {
                member: world.key_of(OWNER),
            },
        };
        let first = world.write_body(OWNER, &[], system(&[call]));
        let second = world.remove(OWNER, ADMIN, &[]);
        world.take(&[&victim, &first, &second]);
        assert_eq!(world.struck(&victim), None);
        assert_eq!(world.struck(&first), None);
    }
}

#[test]
fn who_comes_back_is_struck_no_more() {
    let mut world = world();
    let before = world.write(WRITER, &[]);
    let removal = world.remove(OWNER, WRITER, &[]);
    let member = world.key_of(WRITER);
    let ticket = key(TICKET).public();
    let proof = prove_admission(&key(TICKET), &world.birth.database, &member);
    let admit = SystemCall::Admit {
        member,
        ticket,
        proof,
    };
    let admission = world.write_body(OWNER, &[&removal], system(&[admit]));
    let after = world.write(WRITER, &[&admission]);
    world.take(&[&before, &removal, &admission, &after]);
    assert_eq!(world.struck(&before), Some(Struck::Removed));
    assert_eq!(world.struck(&after), None);
    // The same once both are final, in one cut after the other.
    let mut rights = world.without(WRITER);
    world.cut(&[&removal], rights.clone());
    let changes = rights.roles.get_mut(&member).expect("known");
    changes.push(RoleChange {
        from: 2,
        role: Some(Role::Writer),
    });
    world.cut(&[&admission], rights);
    // `after` has its earlier entry among its ancestors, so that has a place.
    assert_eq!(world.struck(&before), Some(Struck::Removed));
    assert_eq!(world.struck(&after), None);
}

#[test]
fn so_many_revocations_of_an_author_strike() {
    let mut world = world();
    let victim = world.write(WRITER, &[]);
    world.take(&[&victim]);
    let member = world.key_of(HONEST);
    for _ in 0..REVOCATIONS_MAX {
        let call = SystemCall::RemoveMember { member };
        let entry = world.write_body(ADMIN, &[], system(&[call]));
        world.take(&[&entry]);
    }
    let one_more = world.remove(ADMIN, WRITER, &[]);
    world.take(&[&one_more]);
    assert_eq!(world.struck(&victim), None);
    // Others have their own.
    let by_another = world.remove(OTHER_ADMIN, WRITER, &[]);
    world.take(&[&by_another]);
    assert_eq!(world.struck(&victim), Some(Struck::Removed));
}

#[test]
fn who_was_removed_fills_no_room() {
    let mut world = world();
    let removal = world.remove(OWNER, WRITER, &[]);
    world.take(&[&removal]);
    let rights = world.without(WRITER);
    world.cut(&[&removal], rights);
    let author = Some(world.key_of(WRITER));
    for number in 0..=PENDING_ENTRIES_MAX {
        let entry = world.write(WRITER, &[]);
        let offered = world.dag.offer(entry, author, &world.birth);
        match number < PENDING_ENTRIES_MAX {
            true => assert!(matches!(offered, Offered::Accepted(_))),
            false => assert_eq!(offered, Offered::Full),
        }
    }
    assert_eq!(world.dag.heads(), [removal.id]);
}

/// The joiner's ticket is in the rows; whoever admitted it is removed unseen.
#[test]
fn whom_a_removed_member_admitted_stays_only_for_those_who_built_on_it() {
    let mut world = world();
    let mut rights = ranked();
    let ticket = key(TICKET).public();
    let ticket_right = TicketRight {
        from: 0,
        role: Role::Writer,
        expires: NOW,
    };
    rights.tickets.insert(ticket, ticket_right);
    world.dag = world.birth.dag(rights.clone());
    let member = world.key_of(JOINER);
    let proof = prove_admission(&key(TICKET), &world.birth.database, &member);
    let admit = SystemCall::Admit {
        member,
        ticket,
        proof,
    };
    let admission = world.write_body(WRITER, &[], system(&[admit]));
    let joined = world.write(JOINER, &[&admission]);
    let alone = world.write(JOINER, &[]);
    let on_top = world.write(HONEST, &[&joined]);
    let removal = world.remove(OWNER, WRITER, &[]);
    world.take(&[&admission, &joined, &alone, &on_top, &removal]);
    assert_eq!(world.struck(&admission), Some(Struck::Removed));
    let mut after = world.without(WRITER);
    after.tickets = rights.tickets;
    world.cut(&[&removal], after);
    assert_eq!(world.struck(&joined), Some(Struck::Removed));
    assert_eq!(world.struck(&on_top), None);
    assert!(!world.dag.is_clean(&alone.id));
}
