//! Publishing past all checks: by who may not, of modules that nobody has, with spoilt signatures.

use sync_protocol::{BlobHash, DatabaseId, Entry, Message, NewModule, SystemCall};

use super::forge::{Forgery, push};
use super::harness::Mesh;
use super::upgrades::{first, hash, second, started};
use crate::reply::UpgradeState;

/// An entry by a peer's key that publishes a module.
fn publish(mesh: &Mesh, id: DatabaseId, author: usize, module: &[u8]) -> Entry {
    let call = SystemCall::Publish(NewModule {
        module: BlobHash::of(module),
        module_len: u32::try_from(module.len()).expect("small"),
        engine: mesh.core(0).replicas[&id].cut.engine,
        break_clients: true,
        clear: false,
    });
    Forgery::new(mesh, id, author).system(&call).seal()
}

#[test]
fn a_writer_who_publishes_changes_nothing_and_makes_nobody_fetch() {
    let mut mesh = started(3, 3, 11);
    let id = *mesh.core(0).replicas.keys().next().expect("one database");
    let forged = publish(&mesh, id, 1, &second());
    push(&mut mesh, 0, 1, id, &[&forged]);
    push(&mut mesh, 2, 1, id, &[&forged]);
    assert_eq!(mesh.core(0).replicas[&id].parked.len(), 0);
    mesh.pass_ms(5_000);
    for at in [0, 2] {
        let status = mesh.status(at);
        assert_eq!((status.module_hash, status.upgrade), (hash(&first()), None));
        assert_eq!(
            (status.tail, status.pending),
            (0, 0),
            "it is final, and did nothing"
        );
    }
    mesh.assert_same(0, 2);
}

#[test]
fn an_entry_whose_module_nobody_has_waits_and_holds_nobody_up() {
    let mut mesh = started(3, 3, 12);
    let id = *mesh.core(0).replicas.keys().next().expect("one database");
    // The owner's key signs it, but its module is nowhere.
    let forged = publish(&mesh, id, 0, b"nowhere");
    for (to, from) in [(1, 0), (1, 2), (2, 0), (2, 0)] {
        push(&mut mesh, to, from, id, &[&forged]);
    }
    for at in [1, 2] {
        assert_eq!(
            mesh.core(at).replicas[&id].parked.len(),
            1,
            "peer {at} keeps one copy"
        );
        assert_eq!(mesh.status(at).pending, 1);
    }
    mesh.call(1, "put_tag", r#"["meanwhile"]"#)
        .expect("it fits");
    mesh.pass_ms(70_000);
    mesh.assert_converged();
    assert_eq!(mesh.status(0).tail, 0, "finality goes on");
    // Once somebody has the bytes, all judge: they are no module.
    let blob = mesh
        .core(0)
        .parts
        .disk
        .put_blob(b"nowhere")
        .expect("memory");
    assert_eq!(blob, BlobHash::of(b"nowhere"));
    push(&mut mesh, 0, 1, id, &[&forged]);
    mesh.pass_ms(70_000);
    mesh.assert_converged();
    for at in 0..3 {
        let status = mesh.status(at);
        assert_eq!((status.tail, status.pending), (0, 0), "peer {at}");
        let upgrade = status.upgrade.expect("it was judged");
        assert_eq!(upgrade.state, UpgradeState::Refused, "peer {at}");
        assert!(upgrade.reasons[0].contains("WebAssembly"), "{upgrade:?}");
    }
}

#[test]
fn a_forged_entry_makes_nobody_fetch() {
    let mut mesh = started(2, 2, 13);
    let id = *mesh.core(0).replicas.keys().next().expect("one database");
    let forged = publish(&mesh, id, 0, b"nowhere");
    let mut bytes = forged.encoded().to_vec();
    // The signature follows the header.
    let header_len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    bytes[2 + header_len] ^= 1;
    let message = Message::Push {
        entries: vec![bytes],
        forwarded: false,
    };
    mesh.expect_hang_ups();
    mesh.inject(1, mesh.device(0), message.encode(&id));
    assert_eq!(mesh.core(1).replicas[&id].parked.len(), 0);
}
