//! Two histories that are both certified, and cuts that certify what cannot be: finality stops, a
//! recovery ends it.

use sync_protocol::{CutDraft, OrderRoot, SecretKey};

use super::finality::{
    all_final_and_equal, key_of, recover, recover_with, say, separate, texts, unite,
};
use super::forge::{Forgery, forged_cut, push, show_cut};
use super::harness::Mesh;

/// Peer 0 made one history with peer 1, and, from an older copy of its data directory, another one
/// with peer 2.
fn forked(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(3, seed);
    mesh.publish_and_join();
    mesh.pass_ms(2_500);
    let backup = mesh.backup(0);
    separate(&mut mesh, 2, &[0, 1]);
    say(&mut mesh, 1, "first history");
    mesh.pass_ms(2_500);
    assert_eq!(mesh.status(1).tail, 0);
    mesh.restore(0, &backup);
    mesh.cut_link(0, 1);
    mesh.heal_link(0, 2);
    mesh.start(0);
    mesh.settle();
    say(&mut mesh, 2, "second history");
    // One of two others is not most of them: it goes on alone after ten seconds.
    mesh.pass_ms(13_500);
    assert_eq!(mesh.status(2).tail, 0);
    assert_eq!(mesh.status(1).cut.height, mesh.status(2).cut.height);
    unite(&mut mesh, 1, &[0, 2]);
    mesh.pass_ms(4_000);
    for at in 0..3 {
        let status = mesh.status(at);
        assert_eq!(status.status, "forked", "peer {at}");
        let detail = status.detail.expect("explained");
        assert!(detail.contains("finaliser recover"), "{detail}");
    }
    mesh
}

#[test]
fn a_fork_stops_finality_but_not_the_calls_and_a_recovery_ends_it() {
    let mut mesh = forked(107);
    let heights: Vec<u64> = (0..3).map(|at| mesh.status(at).cut.height).collect();
    for at in 0..3 {
        say(&mut mesh, at, &format!("meanwhile {at}"));
    }
    mesh.pass_ms(3_000);
    for (at, height) in heights.into_iter().enumerate() {
        assert_eq!(mesh.status(at).cut.height, height, "finality stands still");
        for other in 0..3 {
            let text = format!("meanwhile {other}");
            assert!(texts(&mut mesh, at).contains(&text), "peer {at} has {text}");
        }
    }
    // It is remembered.
    mesh.crash(1);
    mesh.start(1);
    mesh.settle();
    assert_eq!(mesh.status(1).status, "forked");
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    mesh.pass_ms(8_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    for at in 0..3 {
        assert_eq!(texts(&mut mesh, at).len(), 5, "peer {at}");
    }
}

#[test]
fn the_other_side_of_a_fork_can_be_picked() {
    let mut mesh = forked(108);
    let other = mesh.status(2).cut;
    let key = key_of(&mesh.recovery_key);
    let pick = Some((other.height, other.id.to_string()));
    let asked = recover_with(&mut mesh, 1, key.clone(), None, pick.clone());
    assert_eq!(asked, Ok(false), "it has to go over first");
    mesh.pass_ms(6_000);
    assert_eq!(recover_with(&mut mesh, 1, key, None, pick), Ok(true));
    mesh.pass_ms(8_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    for at in 0..3 {
        assert_eq!(texts(&mut mesh, at), ["first history", "second history"]);
    }
}

#[test]
fn a_certified_cut_that_breaks_the_rules_is_shown_to_all_and_stops_finality() {
    let check = |seed, change: fn(&mut CutDraft)| {
        let mut mesh = Mesh::new(3, seed);
        let database = mesh.publish_and_join();
        mesh.pass_ms(2_500);
        mesh.expect_hang_ups();
        // The finaliser is not there to make a better one.
        separate(&mut mesh, 0, &[1, 2]);
        let called = say(&mut mesh, 2, "covered wrongly");
        let bad = forged_cut(&mut mesh, 1, database, called.entry, change);
        show_cut(&mut mesh, 1, 2, database, &bad);
        mesh.pass_ms(1_000);
        for at in 1..3 {
            let status = mesh.status(at);
            assert_eq!(status.status, "forked", "peer {at}");
            let detail = status.detail.expect("explained");
            assert!(detail.contains("breaks the rules"), "{detail}");
        }
        assert_eq!(recover(&mut mesh, 2), Ok(true));
        mesh.pass_ms(3_000);
        all_final_and_equal(&mut mesh, &[1, 2]);
        unite(&mut mesh, 0, &[1, 2]);
        mesh.pass_ms(6_000);
        all_final_and_equal(&mut mesh, &[0, 1, 2]);
    };
    check(111, |draft| draft.order_root = OrderRoot([9; 32]));
    check(112, |draft| {
        draft.finalisers = vec![SecretKey::from_bytes(&[5; 32]).public()];
    });
}

/// A finaliser and a member that lie together: the entry that the cut covers breaks the rules.
#[test]
fn a_certified_cut_over_an_invalid_entry_is_shown_to_all_and_stops_finality() {
    let mut mesh = Mesh::new(3, 113);
    let database = mesh.publish_and_join();
    mesh.pass_ms(2_500);
    mesh.expect_hang_ups();
    separate(&mut mesh, 0, &[1, 2]);
    let mut before_its_parents = Forgery::new(&mesh, database, 2);
    before_its_parents.hlc = 1;
    let invalid = before_its_parents.named(&mesh, 7, "too early").seal();
    let bad = forged_cut(&mut mesh, 1, database, invalid.id, |_| {});
    show_cut(&mut mesh, 1, 2, database, &bad);
    let waits = mesh.status(1);
    assert_eq!(waits.status, "ok", "it may be that the entry is only late");
    assert_eq!(waits.cut.height + 1, bad.height);
    push(&mut mesh, 1, 2, database, &[&invalid]);
    mesh.pass_ms(1_000);
    let status = mesh.status(1);
    assert_eq!(status.status, "forked");
    let detail = status.detail.expect("explained");
    assert!(detail.contains("breaks the rules"), "{detail}");
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    mesh.pass_ms(70_000);
    all_final_and_equal(&mut mesh, &[1, 2]);
    unite(&mut mesh, 0, &[1, 2]);
    mesh.pass_ms(6_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
}
