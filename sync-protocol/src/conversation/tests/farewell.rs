//! Who was a member hears how that ended, and nothing else.

use super::harness::Mesh;
use crate::entry::CallName;
use crate::system_call::SystemCall;

/// Three members with a cut behind them.
fn begun(seed: u64) -> Mesh {
    let mut mesh = Mesh::new(seed, 3, 0, b"module");
    mesh.link_all();
    mesh.write(0, vec![1]);
    mesh.run_ms(1_000);
    mesh.cut();
    mesh.run_ms(2_000);
    mesh
}

/// Peer 2 is put out while nobody hears it; then others go on.
fn put_out() -> Mesh {
    let mut mesh = begun(11);
    for other in 0..2 {
        mesh.unlink(2, other);
    }
    mesh.write(2, vec![2]);
    let remove = SystemCall::RemoveMember {
        member: mesh.device(2),
    };
    mesh.write_system(0, &remove);
    mesh.run_ms(1_000);
    mesh.cut();
    mesh.run_ms(2_000);
    mesh.write(1, vec![3]);
    mesh.run_ms(1_000);
    mesh.cut();
    mesh.write(1, vec![4]);
    mesh.run_ms(2_000);
    mesh
}

impl Mesh {
    fn write_system(&mut self, at: usize, call: &SystemCall) {
        let now = self.now();
        let sent = self.peers[at].write_call(now, call.encode(), CallName::system());
        self.launch(at, sent);
    }

    fn heights(&self, at: usize) -> usize {
        self.peers[at].held.history.cuts.len()
    }
}

#[test]
fn who_was_put_out_hears_of_it_and_of_nothing_later() {
    let mut mesh = put_out();
    let ended = mesh.heights(0) - 1;
    mesh.link(2, 1);
    mesh.run_ms(100_000);
    // The birth, the first cut, and the one that put it out.
    assert_eq!(mesh.heights(2), ended);
    let others = &mesh.peers[0].held.log;
    let theirs = &mesh.peers[2].held.log;
    let heard = others.keys().filter(|id| theirs.contains_key(*id)).count();
    assert_eq!(others.len() - heard, 2, "the two entries after it");
    // What it wrote itself went nowhere.
    let own = theirs.keys().filter(|id| !others.contains_key(*id)).count();
    assert_eq!(own, 1);
}

#[test]
fn who_was_put_out_while_it_listened_hears_of_it_too() {
    let mut mesh = begun(12);
    let remove = SystemCall::RemoveMember {
        member: mesh.device(2),
    };
    mesh.write_system(0, &remove);
    mesh.run_ms(1_000);
    mesh.cut();
    mesh.run_ms(1_000);
    let ended = mesh.heights(0);
    mesh.write(1, vec![3]);
    mesh.cut();
    mesh.run_ms(1_000);
    mesh.cut();
    mesh.run_ms(100_000);
    assert!(mesh.heights(0) > ended);
    assert_eq!(mesh.heights(2), ended);
}
