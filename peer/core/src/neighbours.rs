//! Which members to keep links to, and which of those are told fresh entries whole. Pure, and the
//! same for the same members: nobody measures, so nobody can make himself look near.
//!
//! Members stand on a ring, in the order of a hash that differs from database to database. A peer
//! keeps links to the members 1, 2, 4, 8 … places away, both ways. So everybody is linked to the
//! next one round the ring, which makes the graph connected, and everybody is a few steps from
//! everybody else. Those who cannot be reached are left out, and the ring closes without them.

use std::collections::BTreeSet;

use sync_protocol::limits::EAGER_NEIGHBOURS_MAX;
use sync_protocol::{DatabaseId, DeviceKey};

/// Other members up to which everybody is linked to everybody: a link costs little, and a mesh
/// that is whole never has to be mended.
pub(crate) const ALL_LINKED_MAX: usize = 24;

/// Links that a peer asks for in one database, however many members it has: twice the doublings
/// of the most members that can be told apart in time.
pub(crate) const LINKS_PER_DATABASE_MAX: usize = 2 * sync_protocol::limits::STRIDE_MAX as usize;

const _: () = assert!(ALL_LINKED_MAX <= LINKS_PER_DATABASE_MAX);
const _: () = assert!(EAGER_NEIGHBOURS_MAX <= ALL_LINKED_MAX);

/// Purpose of the hash that places a member.
const PLACE_CONTEXT: &str = "tombolo ring place 1";

/// The others, in the order in which one who goes round the ring from `own` meets them.
fn ring(
    database: &DatabaseId,
    own: &DeviceKey,
    others: impl Iterator<Item = DeviceKey>,
) -> Vec<DeviceKey> {
    let place = |device: &DeviceKey| {
        let mut hasher = blake3::Hasher::new_derive_key(PLACE_CONTEXT);
        hasher.update(database.as_bytes());
        hasher.update(device.as_bytes());
        *hasher.finalize().as_bytes()
    };
    let mut placed: Vec<([u8; 32], DeviceKey)> = others
        .filter(|device| device != own)
        .map(|device| (place(&device), device))
        .collect();
    placed.sort_unstable();
    let own_place = place(own);
    let first = placed.partition_point(|(place, _)| *place < own_place);
    placed.rotate_left(first);
    placed.into_iter().map(|(_, device)| device).collect()
}

/// The members 1, 2, 4 … places away on a ring of which `ring` is all but the one in the middle;
/// the nearest first, alternately after and before.
fn doubling(ring: &[DeviceKey]) -> impl Iterator<Item = DeviceKey> + '_ {
    let members = ring.len() + 1;
    std::iter::successors(Some(1), |distance| Some(2 * distance))
        .take_while(move |distance| *distance <= members / 2)
        .flat_map(move |distance| [ring[distance - 1], ring[ring.len() - distance]])
}

/// Whom `own` keeps links to, among the `members` of a database. Those that are `away` count only
/// while there are so few members that all are linked anyway.
pub(crate) fn links(
    database: &DatabaseId,
    own: &DeviceKey,
    members: impl Iterator<Item = DeviceKey> + Clone,
    is_away: impl Fn(&DeviceKey) -> bool,
) -> BTreeSet<DeviceKey> {
    let others = members.filter(|member| member != own);
    if others.clone().count() <= ALL_LINKED_MAX {
        return others.collect();
    }
    let here = ring(database, own, others.filter(|member| !is_away(member)));
    if here.len() <= ALL_LINKED_MAX {
        return here.into_iter().collect();
    }
    doubling(&here).take(LINKS_PER_DATABASE_MAX).collect()
}

/// Who among those with a link is told fresh entries whole.
pub(crate) fn eager(
    database: &DatabaseId,
    own: &DeviceKey,
    linked: &BTreeSet<DeviceKey>,
) -> BTreeSet<DeviceKey> {
    let ring = ring(database, own, linked.iter().copied());
    let mut eager = BTreeSet::new();
    // Where doublings are too few, the nearest that are left fill up the number.
    for device in doubling(&ring).chain(ring.iter().copied()) {
        if eager.len() == EAGER_NEIGHBOURS_MAX {
            break;
        }
        eager.insert(device);
    }
    eager
}

/// Members with a link, and those chosen among them.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    linked: BTreeSet<DeviceKey>,
    eager: BTreeSet<DeviceKey>,
}

impl Neighbours {
    /// Whether fresh entries go whole to this one.
    pub(crate) fn is_eager(&self, device: &DeviceKey) -> bool {
        self.eager.contains(device)
    }

    /// Chooses anew if links or members have changed. Gives back who was chosen now, and who no
    /// longer is.
    pub(crate) fn choose(
        &mut self,
        database: &DatabaseId,
        own: &DeviceKey,
        linked: BTreeSet<DeviceKey>,
    ) -> (Vec<DeviceKey>, Vec<DeviceKey>) {
        if linked == self.linked {
            return (Vec::new(), Vec::new());
        }
        let eager = eager(database, own, &linked);
        let promoted = eager.difference(&self.eager).copied().collect();
        let demoted = self.eager.difference(&eager).copied().collect();
        *self = Self { linked, eager };
        (promoted, demoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const DATABASE: DatabaseId = DatabaseId([0xDB; 32]);

    fn device(n: usize) -> DeviceKey {
        let mut key = DeviceKey::ZERO;
        key.0[..8].copy_from_slice(&n.to_le_bytes());
        key
    }

    /// The links that each of `count` members asks for when all know that `away` are away.
    fn graph(count: usize, away: &BTreeSet<DeviceKey>) -> BTreeMap<DeviceKey, BTreeSet<DeviceKey>> {
        let members: Vec<DeviceKey> = (0..count).map(device).collect();
        members
            .iter()
            .filter(|own| !away.contains(own))
            .map(|own| {
                let members = members.iter().copied();
                (
                    *own,
                    links(&DATABASE, own, members, |other| away.contains(other)),
                )
            })
            .collect()
    }

    /// How many steps the farthest member is from the first; none if one cannot be reached.
    fn reach(graph: &BTreeMap<DeviceKey, BTreeSet<DeviceKey>>) -> Option<usize> {
        let first = *graph.keys().next()?;
        let mut reached = BTreeSet::from([first]);
        let mut edge = reached.clone();
        let mut steps = 0;
        while reached.len() < graph.len() {
            // A link serves both ways, whoever asked for it.
            let next: BTreeSet<DeviceKey> = graph
                .iter()
                .filter(|(own, _)| !reached.contains(own))
                .filter(|(own, theirs)| {
                    edge.iter()
                        .any(|at| theirs.contains(at) || graph[at].contains(own))
                })
                .map(|(own, _)| *own)
                .collect();
            if next.is_empty() {
                return None;
            }
            reached.extend(next.iter().copied());
            edge = next;
            steps += 1;
        }
        Some(steps)
    }

    #[test]
    fn a_hundred_members_keep_twelve_links_and_are_four_steps_apart() {
        let graph = graph(100, &BTreeSet::new());
        assert!(graph.values().all(|links| links.len() == 12));
        assert!(
            reach(&graph).is_some_and(|steps| steps <= 4),
            "{:?}",
            reach(&graph)
        );
        for (own, links) in &graph {
            assert!(
                links.iter().all(|other| graph[other].contains(own)),
                "both ask for it"
            );
        }
    }

    #[test]
    fn few_members_are_all_linked_and_very_many_stay_within_the_bound() {
        let few = graph(ALL_LINKED_MAX + 1, &BTreeSet::from([device(3)]));
        assert!(few.values().all(|links| links.len() == ALL_LINKED_MAX));
        let members = (0..60_000).map(device);
        let many = links(&DATABASE, &device(0), members, |_| false);
        assert!(
            (24..=LINKS_PER_DATABASE_MAX).contains(&many.len()),
            "{}",
            many.len()
        );
    }

    #[test]
    fn a_lost_neighbour_is_replaced_and_the_others_mostly_stay() {
        let linked: BTreeSet<DeviceKey> = (1..=20).map(device).collect();
        let mut neighbours = Neighbours::default();
        let (promoted, demoted) = neighbours.choose(&DATABASE, &device(0), linked.clone());
        assert_eq!((promoted.len(), demoted.len()), (EAGER_NEIGHBOURS_MAX, 0));
        let (promoted, _) = neighbours.choose(&DATABASE, &device(0), linked.clone());
        assert!(promoted.is_empty(), "nothing has changed");
        for lost in neighbours.eager.clone() {
            let mut fewer = linked.clone();
            fewer.remove(&lost);
            let left = eager(&DATABASE, &device(0), &fewer);
            assert_eq!(left.len(), EAGER_NEIGHBOURS_MAX);
            assert!(!left.contains(&lost));
        }
    }

    #[test]
    fn up_to_eight_are_all_eager() {
        for count in 0..=EAGER_NEIGHBOURS_MAX {
            let linked: BTreeSet<DeviceKey> = (1..=count).map(device).collect();
            assert_eq!(eager(&DATABASE, &device(0), &linked), linked);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whoever is away, the others stay connected once they know.
        #[test]
        fn the_graph_stays_connected(count in 2_usize..150, away in proptest::collection::btree_set(0_usize..150, 0..100)) {
            let away: BTreeSet<DeviceKey> = away.into_iter().filter(|n| *n < count).map(device).collect();
            let graph = graph(count, &away);
            if !graph.is_empty() {
                prop_assert!(reach(&graph).is_some());
            }
            prop_assert!(graph.values().all(|links| links.len() <= LINKS_PER_DATABASE_MAX));
        }

        /// What is pushed whole reaches all, even where nobody tells ids.
        #[test]
        fn eager_links_alone_connect_everybody(count in 2_usize..60) {
            let members: BTreeSet<DeviceKey> = (0..count).map(device).collect();
            let graph: BTreeMap<DeviceKey, BTreeSet<DeviceKey>> = members
                .iter()
                .map(|own| {
                    let others = members.iter().copied().filter(|other| other != own).collect();
                    (*own, eager(&DATABASE, own, &others))
                })
                .collect();
            prop_assert!(reach(&graph).is_some());
            prop_assert!(graph.values().all(|eager| eager.len() <= EAGER_NEIGHBOURS_MAX));
        }
    }
}
