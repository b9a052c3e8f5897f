//! Random entry sets, delivered in random orders: whatever the order, the same comes out, and it is
//! what the model says.

use std::collections::{BTreeMap, BTreeSet};

use super::maker::Maker;
use super::model::Model;
use super::*;
use crate::fixtures::Dice;
use crate::ids::HeadsHash;
use crate::membership::TicketRight;
use crate::system_call::SystemCall;

const SETS: u64 = 256;
const DELIVERIES: u64 = 8;

/// An admin among the members.
fn ranked() -> Rights {
    let mut rights = rights();
    let admin = RoleChange {
        from: 0,
        role: Some(Role::Admin),
    };
    rights.roles.insert(key(1).public(), vec![admin]);
    rights
}

/// Everything that must not depend on the order of delivery.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    heads: Vec<EntryId>,
    hash: HeadsHash,
    tail: Vec<(EntryId, Option<Struck>)>,
    all: Vec<EntryId>,
    chains: Vec<ChainTip>,
}

fn outcome(dag: &Dag) -> Outcome {
    Outcome {
        heads: dag.heads(),
        hash: dag.heads_hash(),
        tail: dag
            .tail(NOW)
            .map(|ordered| (ordered.entry.id, ordered.struck))
            .collect(),
        all: dag.ids(),
        chains: dag.chains(),
    }
}

/// Held-back entries included.
fn whole_tail(dag: &Dag) -> Vec<(Position, Option<Struck>)> {
    let all = dag.tail(Hlc(u64::MAX));
    all.map(|ordered| (ordered.entry.position(0), ordered.struck))
        .collect()
}

fn check_against_model(dag: &Dag, model: &Model<'_>, context: &str) {
    let (tail, heads) = model.clean();
    let found: Vec<(EntryId, Option<Struck>)> = whole_tail(dag)
        .into_iter()
        .map(|(position, struck)| (position.entry, struck))
        .collect();
    assert_eq!(found, tail, "{context}");
    assert_eq!(
        dag.heads(),
        heads.into_iter().collect::<Vec<_>>(),
        "{context}"
    );
}

/// Nothing comes before its cause, and nothing before the told position has changed.
fn check_step(
    dag: &mut Dag,
    before: &[(Position, Option<Struck>)],
    context: &str,
) -> Vec<(Position, Option<Struck>)> {
    let after = whole_tail(dag);
    let mut seen = BTreeSet::new();
    for (position, _) in &after {
        for parent in &dag.get(&position.entry).unwrap().header.parents {
            assert!(seen.contains(parent) || !dag.contains(parent), "{context}");
        }
        seen.insert(position.entry);
    }
    let until = dag.take_changed_from();
    let kept = |tail: &[(Position, Option<Struck>)]| -> Vec<(Position, Option<Struck>)> {
        tail.iter()
            .filter(|(p, _)| until.is_none_or(|until| *p < until))
            .copied()
            .collect()
    };
    assert_eq!(kept(before), kept(&after), "{context}");
    // A position never changes, so what is in both tails is in the same order in both; only those
    // whom a report struck may have left.
    assert!(after.is_sorted());
    after
}

/// How often the random sets came to the places that matter. A set that never gets there proves
/// nothing about them.
#[derive(Debug, Default)]
struct Reached {
    void: usize,
    removed: usize,
    demoted: usize,
    lapsed: usize,
    quarantined: usize,
    granted: usize,
    anchored: usize,
    held_back: usize,
    waited: usize,
    quiet: usize,
    plain: usize,
}

impl Reached {
    fn note(&mut self, dag: &Dag) {
        let tail = whole_tail(dag);
        let is_struck = |author: &DeviceKey| dag.clean.is_struck(author);
        let heads = dag.clean.heads.iter().filter_map(|id| dag.get(id));
        let reach = |it: &mut usize, what: fn(Struck) -> bool| {
            *it += usize::from(tail.iter().any(|(_, struck)| struck.is_some_and(what)));
        };
        reach(&mut self.void, |it| it == Struck::Equivocated);
        reach(&mut self.removed, |it| it == Struck::Removed);
        reach(&mut self.demoted, |it| !it.is_void());
        let lapsed = |node: &Node| node.clean && node.standing.lapsed;
        self.lapsed += usize::from(dag.nodes.values().any(lapsed));
        self.quarantined += usize::from(dag.nodes.values().any(|node| !node.standing.sound));
        self.granted += usize::from(
            dag.nodes
                .values()
                .any(|node| node.clean && node.standing.granted),
        );
        self.anchored += usize::from(heads.into_iter().any(|e| is_struck(&e.header.author)));
        self.held_back += usize::from(tail.len() > dag.tail(NOW).count());
        let (quiet, plain) = dag.quiet_cuts;
        self.quiet += usize::from(quiet > plain);
        self.plain += usize::from(plain > 0);
    }

    /// Rights lapse with cuts only. Some of these are quiet, and some of those find a plain tail.
    fn check(&self, with_cuts: bool) {
        let Self {
            void,
            removed,
            demoted,
            lapsed,
            quarantined,
            granted,
            anchored,
            held_back,
            waited,
            quiet,
            plain,
        } = *self;
        let reached = [
            void,
            removed,
            demoted,
            quarantined,
            granted,
            anchored,
            held_back,
            waited,
            lapsed.max(usize::from(!with_cuts) * 5),
            quiet.max(usize::from(!with_cuts) * 5),
            plain.max(usize::from(!with_cuts) * 5),
        ];
        assert!(reached.into_iter().min() >= Some(5), "{self:?}");
    }
}

#[test]
fn the_order_of_delivery_does_not_matter() {
    let mut reached = Reached::default();
    for seed in 0..SETS {
        let mut maker = Maker::new(Birth::new(), seed);
        for _ in 0..40 {
            maker.step();
        }
        let rights = ranked();
        let model = Model::of(&maker.birth, &rights, maker.entries.iter());
        let mut first: Option<Outcome> = None;
        for delivery in 0..DELIVERIES {
            let context = format!("seed {seed}, delivery {delivery}");
            let mut order = maker.entries.clone();
            Dice(seed ^ (delivery << 32)).shuffle(&mut order);
            let mut dag = maker.birth.dag(rights.clone());
            let mut before = Vec::new();
            // One delivery checks the signatures, they are what takes most of the time.
            let from = (delivery == 0).then(|| key(100).public());
            for (number, entry) in order.iter().enumerate() {
                dag.offer(Arc::clone(entry), from, &maker.birth);
                if number % 5 == 0 {
                    dag.offer(Arc::clone(&order[number / 2]), from, &maker.birth);
                }
                before = check_step(&mut dag, &before, &context);
                reached.waited += usize::from(dag.pending_len() > 0);
                if delivery == 1 {
                    let known = Model::of(&maker.birth, &rights, order[..=number].iter());
                    check_against_model(&dag, &known, &context);
                }
            }
            assert_eq!(
                (dag.pending_len(), dag.len()),
                (0, maker.entries.len()),
                "{context}"
            );
            check_against_model(&dag, &model, &context);
            reached.note(&dag);
            let found = outcome(&dag);
            assert_eq!(
                first.get_or_insert_with(|| outcome(&dag)),
                &found,
                "{context}"
            );
        }
    }
    reached.check(false);
}

/// What the rows would state after a segment.
fn rights_after(
    rights: &Rights,
    segment: &[Ordered],
    bodies: &BTreeMap<EntryId, Arc<Entry>>,
    height: u64,
) -> Rights {
    let before = rights;
    let mut rights = rights.clone();
    let from = height;
    let mut roles: BTreeMap<DeviceKey, Role> = before
        .roles
        .keys()
        .filter_map(|device| Some((*device, before.role_at(device, height)?)))
        .collect();
    let mut admitted: BTreeSet<DeviceKey> = BTreeSet::new();
    for Ordered { entry, struck } in segment {
        let entry = &bodies[&entry.id];
        let author = entry.header.author;
        for (_, call) in entry.system_calls() {
            if let SystemCall::Admit { member, .. } = call {
                admitted.insert(member);
            }
            let mut rank = roles.get(&author).copied();
            match struck {
                Some(Struck::Demoted(role)) => rank = rank.map(|rank| rank.lesser(*role)),
                Some(_) => continue,
                None => {}
            }
            let outranks = |role: Option<Role>| {
                role.is_some_and(|role| rank.is_some_and(|rank| rank.outranks(role)))
            };
            match call {
                SystemCall::Invite {
                    ticket,
                    role,
                    expires,
                    ..
                } => {
                    let ticket_right = TicketRight {
                        from,
                        role,
                        expires,
                    };
                    rights.tickets.insert(ticket, ticket_right);
                }
                SystemCall::Admit { member, ticket, .. } if rank.is_some() => {
                    if let Some(row) = rights.tickets.get(&ticket) {
                        roles.entry(member).or_insert(row.role);
                    }
                }
                SystemCall::ReportEquivocation(proof) => {
                    rights.frozen.insert(proof.author(), from);
                }
                SystemCall::RemoveMember { member }
                    if member == author || outranks(roles.get(&member).copied()) =>
                {
                    roles.remove(&member);
                }
                SystemCall::SetRole { member, role }
                    if outranks(roles.get(&member).copied()) && outranks(Some(role)) =>
                {
                    roles.insert(member, role);
                }
                SystemCall::TransferOwnership { to }
                    if rank == Some(Role::Owner) && roles.contains_key(&to) && to != author =>
                {
                    roles.insert(to, Role::Owner);
                    roles.insert(author, Role::Admin);
                }
                _ => {}
            }
        }
    }
    let known = before.roles.keys().chain(roles.keys()).copied();
    for device in known.chain(admitted).collect::<BTreeSet<_>>() {
        let role = roles.get(&device).copied();
        let mut change = |role| {
            let changes = rights.roles.entry(device).or_default();
            changes.push(RoleChange { from, role });
        };
        if before.role_at(&device, height) != role {
            change(role);
        } else if role.is_none() {
            // It could write for those who had heard of its admission, whatever came of that.
            change(Some(Role::Writer));
            change(None);
        }
    }
    rights
}

/// A peer of the test: its view, what is final for it, and the order it has come to.
struct Peer {
    dag: Dag,
    birth: Birth,
    rights: Rights,
    order: Vec<EntryId>,
    next: usize,
    delivery: Vec<Arc<Entry>>,
    bodies: BTreeMap<EntryId, Arc<Entry>>,
}

impl Peer {
    fn new(birth: &Birth) -> Self {
        let (rights, birth) = (ranked(), birth.clone());
        let dag = birth.dag(rights.clone());
        Self {
            dag,
            birth,
            rights,
            order: Vec::new(),
            next: 0,
            delivery: Vec::new(),
            bodies: BTreeMap::new(),
        }
    }

    fn receive(&mut self, entry: &Arc<Entry>) {
        self.bodies.insert(entry.id, Arc::clone(entry));
        self.dag.offer(Arc::clone(entry), None, &self.birth);
    }

    /// Takes a cut, if all that it covers is here.
    fn take(&mut self, cut: &Cut) -> bool {
        let Ok(segment) = self.dag.segment(&cut.frontier, &self.birth) else {
            return false;
        };
        let ids: Vec<EntryId> = segment.iter().map(|ordered| ordered.entry.id).collect();
        assert_eq!(crate::cut::order_root(&ids), cut.order_root);
        self.birth.cover(cut, &segment);
        self.rights = rights_after(&self.rights, &segment, &self.bodies, cut.height);
        self.dag.advance(cut, &self.rights, &self.birth);
        self.order.extend(ids);
        true
    }
}

#[test]
fn cuts_keep_a_final_prefix_and_lose_nothing() {
    let mut reached = Reached::default();
    for seed in 0..SETS {
        let mut finaliser = Peer::new(&Birth::new());
        let mut maker = Maker::new(finaliser.birth.clone(), seed ^ 0xC07);
        let mut peers: Vec<Peer> = (0..3).map(|_| Peer::new(&finaliser.birth)).collect();
        let mut cuts = Vec::new();
        for round in 0..4_u64 {
            for _ in 0..15 {
                maker.step();
            }
            // The finaliser has got some of it; what it then covers is final for all.
            let mut arrived = maker.entries.clone();
            maker.dice.shuffle(&mut arrived);
            let some = maker.dice.below(arrived.len()) + 1;
            for entry in &arrived[..some] {
                finaliser.receive(entry);
            }
            let frontier = finaliser.dag.heads();
            let segment = finaliser.dag.segment(&frontier, &finaliser.birth).unwrap();
            reached.note(&finaliser.dag);
            if !segment.is_empty() {
                let cut = finaliser.birth.next_cut(frontier, &segment);
                assert!(finaliser.take(&cut), "seed {seed}");
                maker.birth = finaliser.birth.clone();
                cuts.push(cut);
            }
            for (number, peer) in (0_u64..).zip(&mut peers) {
                peer.delivery.clone_from(&maker.entries);
                Dice(seed ^ (number << 32) ^ (round << 40)).shuffle(&mut peer.delivery);
                let some = Dice(seed ^ number ^ round).below(peer.delivery.len());
                for entry in peer.delivery.split_off(some) {
                    peer.receive(&entry);
                }
                // A peer that lags behind takes a cut when it can, not when it is made.
                reached.waited += usize::from(peer.dag.pending_len() > 0);
                if peer.next < cuts.len() && peer.take(&cuts[peer.next]) {
                    peer.next += 1;
                }
            }
        }
        let context = format!("seed {seed}");
        for entry in maker.entries.clone() {
            finaliser.receive(&entry);
        }
        for peer in &mut peers {
            for entry in maker.entries.clone() {
                peer.receive(&entry);
            }
            while peer.next < cuts.len() {
                assert!(peer.take(&cuts[peer.next]), "{context}");
                peer.next += 1;
            }
            assert_eq!(peer.order, finaliser.order, "{context}");
            assert_eq!(outcome(&peer.dag), outcome(&finaliser.dag), "{context}");
            assert_eq!(peer.dag.pending_len(), 0, "{context}");
            let model = Model::of(&peer.birth, &peer.rights, maker.entries.iter());
            check_against_model(&peer.dag, &model, &context);
            // Final or held, every entry is somewhere, and only once.
            let held: Vec<&Arc<Entry>> = maker
                .entries
                .iter()
                .filter(|entry| peer.dag.contains(&entry.id))
                .collect();
            let cut_off: BTreeSet<EntryId> = peer.order.iter().copied().collect();
            assert_eq!(held.len() + cut_off.len(), maker.entries.len(), "{context}");
            assert!(
                held.iter().all(|entry| !cut_off.contains(&entry.id)),
                "{context}"
            );
            // A peer that starts now, from its log, comes to the same.
            let mut fresh = peer.birth.dag(peer.rights.clone());
            for entry in &maker.entries {
                fresh.offer(Arc::clone(entry), None, &peer.birth);
            }
            assert_eq!(outcome(&fresh), outcome(&peer.dag), "{context}");
        }
    }
    reached.check(true);
}
