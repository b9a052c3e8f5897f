//! Members that write more than their share: they wait, the others go on, and in the end all is the
//! same everywhere.

use proptest::prelude::*;
use sync_protocol::{ConnectionId, DatabaseId, Entry, EntryId};

use super::forge::{Forgery, push};
use super::harness::{Dice, Mesh};
use crate::{Quotas, Share};

/// So little that a test gets there: twenty entries at once, and as many a second.
fn small() -> Quotas {
    Quotas {
        entries: Share {
            at_once: 20,
            per_second: 20,
        },
        ..Quotas::default()
    }
}

/// Peers with these quotas, one after the other; the last one is the flooder, and nothing is said to
/// it or by it but what the test says.
fn with_flooder(peers: usize, seed: u64, quotas: Vec<Quotas>) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(peers, seed);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.expect_hang_ups();
    mesh.quotas = quotas;
    for at in 0..peers - 1 {
        mesh.crash(at);
        mesh.start(at);
    }
    mesh.pass_ms(15_000);
    let flooder = peers - 1;
    mesh.tamper = Some(Box::new(move |from, to, frame| {
        (from != flooder && to != flooder).then_some(frame)
    }));
    (mesh, id)
}

/// A chain of valid entries by peer `author`, of `calls` calls each.
fn chain(
    mesh: &Mesh,
    id: DatabaseId,
    author: usize,
    epoch: u64,
    len: u64,
    calls: u64,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let connection = u8::try_from(epoch % 250).expect("small") + 1;
    for seq in 0..len {
        let mut forged = Forgery::new(mesh, id, author);
        forged.epoch = epoch;
        forged.seq = seq;
        // Causality: each is later than the calls of the one before.
        forged.hlc += seq * (calls + 2);
        if let Some(previous) = entries.last() {
            forged.parents = vec![previous.id];
            forged.base = previous.header.base;
        }
        let mut forged = match seq {
            0 => forged.named(mesh, connection, "flood"),
            _ => forged,
        };
        for _ in 0..calls {
            forged = forged.set_name(mesh, ConnectionId([connection; 16]), "flood");
        }
        entries.push(forged.seal());
    }
    entries
}

fn flood(mesh: &mut Mesh, to: &[usize], from: usize, id: DatabaseId, entries: &[Entry]) {
    for to in to {
        for some in entries.chunks(100) {
            push(mesh, *to, from, id, &some.iter().collect::<Vec<_>>());
        }
    }
}

fn held(mesh: &Mesh, at: usize, id: DatabaseId) -> usize {
    mesh.core(at).replicas[&id].dag.held_len()
}

fn has_run(mesh: &Mesh, at: usize, id: DatabaseId, entries: &[Entry]) -> usize {
    let replica = &mesh.core(at).replicas[&id];
    let tail = replica.executed.iter().map(|ran| ran.entry.id);
    let ran: std::collections::BTreeSet<EntryId> = tail.collect();
    let is_final = |id: &EntryId| {
        let covered = replica.log.final_entry(id);
        covered.expect("readable").is_some()
    };
    entries
        .iter()
        .filter(|entry| ran.contains(&entry.id) || is_final(&entry.id))
        .count()
}

fn says(mesh: &mut Mesh, at: usize, text: &str) {
    let arguments = format!(r#"["lobby", "{text}"]"#);
    mesh.call(at, "send_message", &arguments).expect("a room");
}

fn is_there(mesh: &mut Mesh, at: usize, text: &str) -> bool {
    let query = format!("SELECT * FROM message WHERE text = '{text}'");
    !mesh.rows(at, &query).is_empty()
}

#[test]
fn who_writes_more_than_its_share_waits_and_nobody_else() {
    let (mut mesh, id) = with_flooder(3, 401, vec![small()]);
    let entries = chain(&mesh, id, 2, 7, 300, 1);
    flood(&mut mesh, &[0, 1], 2, id, &entries);
    assert_eq!(has_run(&mesh, 0, id, &entries), 20);
    assert_eq!(held(&mesh, 0, id), 280);
    for at in 0..2 {
        says(&mut mesh, at, &format!("by {at}"));
    }
    for at in 0..2 {
        assert!(is_there(&mut mesh, at, "by 0") && is_there(&mut mesh, at, "by 1"));
    }
    mesh.pass_ms(3_000);
    let told = mesh.status(1).held.clone();
    assert_eq!((told.len(), told[0].member), (1, mesh.device(2)));
    assert!(
        told[0].entries > 150 && told[0].why.contains("more entries"),
        "{told:?}"
    );
    assert_eq!(mesh.status(1).tail, 0, "what others wrote is final");
    let ran = has_run(&mesh, 1, id, &entries);
    assert!((60..=90).contains(&ran), "{ran} after three seconds");
    mesh.pass_ms(14_000);
    assert_eq!(has_run(&mesh, 0, id, &entries), 300);
    assert!(mesh.status(0).held.is_empty() && mesh.status(1).held.is_empty());
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).tail, 0);
    let said = mesh.said.iter().filter(|(at, _)| *at == 0);
    let said = said.filter(|(_, text)| text.contains("held back"));
    assert_eq!(said.count(), 1, "once in an episode");
}

#[test]
fn calls_that_use_up_their_units_wait_in_the_middle_of_a_sweep() {
    let quotas = Quotas {
        units: Share {
            at_once: 300_000,
            per_second: 1_500_000,
        },
        ..Quotas::default()
    };
    let (mut mesh, id) = with_flooder(3, 402, vec![quotas]);
    let entries = chain(&mesh, id, 2, 7, 60, 40);
    // All of it in one message, so that one sweep meets all of it.
    for at in 0..2 {
        push(&mut mesh, at, 2, id, &entries.iter().collect::<Vec<_>>());
    }
    let ran = has_run(&mesh, 0, id, &entries);
    assert!((1..30).contains(&ran), "{ran}");
    assert_eq!(ran + held(&mesh, 0, id), 60);
    assert!(mesh.status(0).held[0].why.contains("processor"));
    for at in 0..2 {
        says(&mut mesh, at, &format!("by {at}"));
        assert!(is_there(&mut mesh, at, &format!("by {at}")));
    }
    mesh.pass_ms(120_000);
    assert_eq!(has_run(&mesh, 0, id, &entries), 60);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).tail, 0);
}

#[test]
fn ten_thousand_calls_of_who_was_offline_come_through_at_once() {
    let mut mesh = Mesh::new(2, 403);
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    mesh.cut_link(0, 1);
    mesh.settle();
    for n in 0..10_000 {
        mesh.call(1, "set_name", &format!(r#"["name {}"]"#, n % 10))
            .expect("free");
        if n % 1_000 == 0 {
            mesh.pass_ms(1_000);
        }
    }
    mesh.heal_link(0, 1);
    mesh.pass_ms(5_000);
    assert_eq!(held(&mesh, 0, id), 0);
    mesh.assert_same(0, 1);
    mesh.pass_ms(3_000);
    assert_eq!((mesh.status(0).tail, mesh.status(1).tail), (0, 0));
}

#[test]
fn a_backlog_over_the_share_comes_through_in_its_time() {
    let mut mesh = Mesh::new(2, 404);
    mesh.quotas = vec![small()];
    let id = mesh.publish_and_join();
    mesh.pass_ms(3_000);
    for at in 0..2 {
        mesh.crash(at);
        mesh.start(at);
    }
    mesh.pass_ms(12_000);
    mesh.cut_link(0, 1);
    mesh.settle();
    for n in 0..200 {
        mesh.call(1, "set_name", &format!(r#"["name {}"]"#, n % 10))
            .expect("free");
    }
    mesh.heal_link(0, 1);
    mesh.pass_ms(2_500);
    assert!(held(&mesh, 0, id) > 50, "{}", held(&mesh, 0, id));
    assert_eq!(held(&mesh, 1, id), 0, "nobody waits for itself");
    mesh.pass_ms(12_000);
    assert_eq!(held(&mesh, 0, id), 0);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).tail, 0);
}

#[test]
fn who_is_told_something_else_by_a_flooder_is_not_held_up_with_it() {
    let (mut mesh, id) = with_flooder(4, 405, vec![small()]);
    for round in 0..4 {
        for at in 0..3_usize {
            let epoch = 10 * round + at as u64;
            let entries = chain(&mesh, id, 3, epoch, 100, 1);
            flood(&mut mesh, &[at], 3, id, &entries);
        }
        for at in 0..3 {
            says(&mut mesh, at, &format!("{round} by {at}"));
        }
        mesh.pass_ms(1_500);
        for at in 0..3 {
            for by in 0..3 {
                assert!(
                    is_there(&mut mesh, at, &format!("{round} by {by}")),
                    "what {by} said in round {round} is not at {at}"
                );
            }
        }
    }
    assert!((0..3).all(|at| held(&mesh, at, id) > 0));
    mesh.pass_ms(90_000);
    for at in 1..3 {
        mesh.assert_same(0, at);
        assert_eq!((held(&mesh, at, id), mesh.status(at).tail), (0, 0));
    }
}

#[test]
fn a_restart_forgets_what_was_used_up_and_comes_to_the_same() {
    let (mut mesh, id) = with_flooder(3, 406, vec![small()]);
    let entries = chain(&mesh, id, 2, 7, 200, 1);
    flood(&mut mesh, &[0, 1], 2, id, &entries);
    assert!(held(&mesh, 1, id) > 150);
    mesh.crash(1);
    mesh.start(1);
    assert_eq!(held(&mesh, 1, id), 0, "what is in its own log runs");
    assert_eq!(has_run(&mesh, 1, id, &entries), 200);
    assert!(held(&mesh, 0, id) > 150);
    mesh.pass_ms(30_000);
    mesh.assert_same(0, 1);
    assert_eq!((mesh.status(0).tail, mesh.status(1).tail), (0, 0));
}

#[test]
fn a_start_comes_to_an_end_whatever_was_held_back() {
    let quotas = Quotas {
        units: Share {
            at_once: 200_000,
            per_second: 2_000_000,
        },
        start_units: 400_000,
        ..small()
    };
    let (mut mesh, id) = with_flooder(3, 407, vec![quotas]);
    let entries = chain(&mesh, id, 2, 7, 80, 40);
    flood(&mut mesh, &[0, 1], 2, id, &entries);
    says(&mut mesh, 1, "mine");
    mesh.crash(1);
    mesh.start(1);
    let ran = has_run(&mesh, 1, id, &entries);
    assert!((1..60).contains(&ran) && held(&mesh, 1, id) > 0, "{ran}");
    assert!(is_there(&mut mesh, 1, "mine"));
    mesh.pass_ms(200_000);
    mesh.assert_same(0, 1);
    assert_eq!((held(&mesh, 1, id), mesh.status(1).tail), (0, 0));
}

#[test]
fn beyond_a_bound_no_more_is_taken_in_and_it_may_come_again() {
    let quotas = Quotas {
        held_entries_max: 100,
        ..small()
    };
    let (mut mesh, id) = with_flooder(3, 408, vec![quotas]);
    mesh.cut_link(0, 1);
    mesh.settle();
    let entries = chain(&mesh, id, 2, 7, 600, 1);
    flood(&mut mesh, &[0], 2, id, &entries);
    // As many as are held, those that ran, and what one message brought beyond.
    let here = mesh.core(0).replicas[&id].dag.len();
    assert!((120..=220).contains(&here), "{here}");
    says(&mut mesh, 0, "we go on");
    mesh.heal_link(0, 1);
    for _ in 0..20 {
        mesh.pass_ms(3_000);
        flood(&mut mesh, &[0], 2, id, &entries);
    }
    mesh.pass_ms(5_000);
    assert_eq!(has_run(&mesh, 0, id, &entries), 600);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).tail, 0);
}

#[test]
fn what_is_final_takes_nobodys_share() {
    let mut mesh = Mesh::new(3, 409);
    let id = mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    mesh.pass_ms(3_000);
    for n in 0..300 {
        mesh.call(1, "set_name", &format!(r#"["name {}"]"#, n % 10))
            .expect("free");
    }
    mesh.pass_ms(5_000);
    assert_eq!(mesh.status(0).tail, 0);
    mesh.quotas = vec![small()];
    mesh.crash(2);
    mesh.start(2);
    let ticket = mesh.invite(0);
    mesh.join(2, &ticket);
    mesh.pass_ms(3_000);
    mesh.assert_same(0, 2);
    assert_eq!(held(&mesh, 2, id), 0);
    says(&mut mesh, 1, "and I still may");
    assert!(is_there(&mut mesh, 2, "and I still may"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Peers with other shares, which hear of the same in other orders and portions.
    #[test]
    fn whatever_is_held_back_where_all_come_to_the_same(seed: u64) {
        let mut dice = Dice(seed);
        let mut share = |most: u64| Share {
            at_once: 1 + dice.below(most),
            per_second: most / 2 + dice.below(most),
        };
        let mut quotas = || Quotas {
            entries: share(40),
            bytes: share(20_000),
            units: share(2_000_000),
            start_units: 3_000_000,
            held_entries_max: 40 + usize::try_from(share(300).at_once).expect("small"),
            ..Quotas::default()
        };
        let quotas = vec![quotas(), quotas(), quotas()];
        let (mut mesh, id) = with_flooder(4, 410, quotas);
        for round in 0..3_u64 {
            let mut all: Vec<Entry> = Vec::new();
            for number in 0..3 {
                let len = 1 + dice.below(40);
                let calls = 1 + dice.below(4);
                all.extend(chain(&mesh, id, 3, 10 * round + number, len, calls));
            }
            for at in 0..3 {
                let mut some: Vec<&Entry> = all.iter().filter(|_| dice.below(4) > 0).collect();
                for n in (1..some.len()).rev() {
                    if dice.below(3) == 0 {
                        some.swap(n, usize::try_from(dice.below(n as u64 + 1)).expect("small"));
                    }
                }
                for part in some.chunks(30) {
                    push(&mut mesh, at, 3, id, part);
                    if dice.below(4) == 0 {
                        says(&mut mesh, at, "meanwhile");
                    }
                    mesh.pass_ms(50 * dice.below(6));
                }
                if dice.below(6) == 0 {
                    mesh.crash(at);
                    mesh.start(at);
                }
            }
            // The flooder sees to it that all of it is somewhere.
            push(&mut mesh, usize::try_from(dice.below(3)).expect("small"), 3, id, &all.iter().collect::<Vec<_>>());
        }
        mesh.pass_ms(180_000);
        for at in 0..3 {
            let status = mesh.status(at);
            prop_assert_eq!((held(&mesh, at, id), status.tail), (0, 0), "peer {}: {:?}", at, status);
        }
        mesh.assert_same(0, 1);
        mesh.assert_same(0, 2);
    }
}
