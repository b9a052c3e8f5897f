//! Cuts that change nobody's rights: wherever one is taken in the short way, here or in the random sets, what comes out is
//! what judging all anew gives.

use super::*;
use crate::fixtures::system;
use crate::system_call::SystemCall;

/// All that follows from the entries, the rows and the cut.
#[derive(Debug, PartialEq, Eq)]
struct Everything {
    standings: Vec<(EntryId, Standing, bool)>,
    order: Vec<Position>,
    heads: BTreeSet<EntryId>,
    children: BTreeMap<EntryId, usize>,
    indexed: usize,
    hash: crate::ids::HeadsHash,
    places: String,
    changed_from: Option<Position>,
    quarantined: (usize, usize),
}

fn everything(dag: &Dag) -> Everything {
    let standing = |(id, node): (&EntryId, &Node)| (*id, node.standing, node.clean);
    Everything {
        standings: dag.nodes.iter().map(standing).collect(),
        order: dag.clean.order.keys().copied().collect(),
        heads: dag.clean.heads.clone(),
        children: dag.clean.children.clone(),
        indexed: dag.clean.index.len(),
        hash: dag.heads_hash(),
        places: format!("{:?}", dag.equivocations),
        changed_from: dag.changed_from,
        quarantined: dag.quarantine.total(),
    }
}

impl Dag {
    /// Judges all anew after a cut that was taken in the short way: nothing may change by it.
    pub(in crate::dag) fn check_quiet(&mut self, was_plain: bool, finals: &dyn Finals) {
        let (short, all_plain) = (everything(self), self.all_plain);
        self.judge_all_again(finals);
        self.sort_out();
        assert_eq!(short, everything(self));
        self.look_for_plain();
        assert!(self.all_plain || !all_plain);
        self.all_plain = all_plain;
        let (all, unseen) = &mut self.quiet_cuts;
        *all += 1;
        *unseen += usize::from(was_plain);
    }
}

#[test]
fn a_cut_that_changes_no_rights_leaves_the_tail_alone() {
    let mut world = World::new();
    let genesis = Arc::clone(&world.birth.genesis);
    let first = world.write(1, &[&genesis]);
    let second = world.write(2, &[&first]);
    let third = world.write(1, &[&first]);
    let last = world.write(3, &[&second, &third]);
    world.take(&[&first, &second, &third, &last]);
    world.cut(&[&second], rights());
    assert_eq!(world.dag.quiet_cuts, (1, 1));
    assert_eq!(world.tail(), running(&[&third, &last]));
    assert_eq!(world.dag.heads(), vec![last.id]);
    world.cut(&[&last], rights());
    assert_eq!(world.dag.quiet_cuts, (2, 2));
    assert_eq!(world.dag.heads(), vec![last.id]);
}

/// Rights in which the cut at `height` has made somebody a reader.
fn joined_at(height: u64) -> Rights {
    let mut rights = rights();
    let joins = RoleChange {
        from: height,
        role: Some(Role::Reader),
    };
    rights.roles.insert(key(8).public(), vec![joins]);
    rights
}

#[test]
fn how_far_entries_have_seen_is_worked_out_until_it_is_the_last_change_of_rights() {
    let saw = |world: &World, entry: &Arc<Entry>| world.dag.nodes[&entry.id].standing.saw;
    let mut world = World::new();
    let genesis = Arc::clone(&world.birth.genesis);
    let first = world.write(1, &[&genesis]);
    let apart = world.write(2, &[&genesis]);
    let second = world.write(3, &[&first]);
    let third = world.write(1, &[&second, &apart]);
    let late = world.write(0, &[&genesis]);
    world.take(&[&first, &apart, &second, &third]);
    world.cut(&[&first], joined_at(1));
    assert_eq!(world.dag.quiet_cuts, (0, 0));
    assert_eq!((saw(&world, &apart), saw(&world, &second)), (0, 1));
    assert!(!world.dag.all_plain);
    world.cut(&[&second], joined_at(1));
    assert_eq!(world.dag.quiet_cuts, (1, 0), "one has not seen it");
    world.cut(&[&apart], joined_at(1));
    assert_eq!(world.dag.quiet_cuts, (2, 0), "it was there before");
    assert_eq!(saw(&world, &third), 1, "what comes later says nothing new");
    assert!(world.dag.all_plain);
    world.take(&[&late]);
    assert!(!world.dag.all_plain);
    let fourth = world.write(3, &[&third, &late]);
    world.take(&[&fourth]);
    world.cut(&[&late], joined_at(1));
    assert_eq!(world.dag.quiet_cuts, (3, 0));
    world.cut(&[&third], joined_at(1));
    assert_eq!(world.dag.quiet_cuts, (4, 1));
    assert_eq!(world.dag.heads(), vec![fourth.id]);
}

#[test]
fn where_somebody_speaks_of_members_all_is_judged_anew() {
    let mut world = World::new();
    let genesis = Arc::clone(&world.birth.genesis);
    let plain = world.write(1, &[&genesis]);
    let body = system(&[SystemCall::RemoveMember {
        member: key(1).public(),
    }]);
    let removal = world.write_body(0, &[&genesis], body);
    world.take(&[&plain, &removal]);
    world.cut(&[&plain], rights());
    assert_eq!(world.dag.quiet_cuts, (0, 0));
}

#[test]
fn a_cut_that_changes_rights_has_all_judged_anew() {
    let mut world = World::new();
    let genesis = Arc::clone(&world.birth.genesis);
    let first = world.write(1, &[&genesis]);
    let second = world.write(2, &[&first]);
    world.take(&[&first, &second]);
    let mut changed = rights();
    let gone = RoleChange {
        from: 1,
        role: None,
    };
    let known = changed.roles.get_mut(&key(2).public()).unwrap();
    known.push(gone);
    world.cut(&[&first], changed);
    assert_eq!(world.dag.quiet_cuts, (0, 0));
    assert!(world.dag.nodes[&second.id].standing.lapsed);
}
