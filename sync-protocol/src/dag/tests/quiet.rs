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
    pub(in crate::dag) fn check_quiet(&mut self, finals: &dyn Finals) {
        let short = everything(self);
        self.judge_all_again(finals);
        self.sort_out();
        assert_eq!(short, everything(self));
        self.quiet_cuts += 1;
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
    assert_eq!(world.dag.quiet_cuts, 1);
    assert_eq!(world.tail(), running(&[&third, &last]));
    assert_eq!(world.dag.heads(), vec![last.id]);
    let saw = |world: &World, entry: &Arc<Entry>| world.dag.nodes[&entry.id].standing.saw;
    assert_eq!((saw(&world, &third), saw(&world, &last)), (1, 1));
    world.cut(&[&last], rights());
    assert_eq!(world.dag.quiet_cuts, 2);
    assert_eq!(world.dag.heads(), vec![last.id]);
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
    assert_eq!(world.dag.quiet_cuts, 0);
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
    assert_eq!(world.dag.quiet_cuts, 0);
    assert!(world.dag.nodes[&second.id].standing.lapsed);
}
