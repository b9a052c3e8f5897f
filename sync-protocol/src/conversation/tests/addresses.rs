//! Where members listen: told to members, each record once and then in rounds.

use std::sync::Arc;

use super::harness::Mesh;
use crate::address::AddressRecord;
use crate::conversation::{Conversation, ConversationEffect, ConversationInput};
use crate::keys::SecretKey;
use crate::limits::EQUALISE_EVERY_MS;
use crate::message::Message;
use crate::message::limits::ADDRESS_RECORDS_PER_MESSAGE_MAX;
use crate::time::Now;

/// Records of `count` devices, sorted by device.
fn records(count: u8, sequence: u64) -> Vec<Arc<AddressRecord>> {
    let sign = |n| AddressRecord::sign(&SecretKey::from_bytes(&[n; 32]), sequence, &[]);
    let mut records: Vec<_> = (100..100 + count).map(|n| Arc::new(sign(n))).collect();
    records.sort_unstable_by_key(|record| record.device);
    records
}

/// The records that messages among these effects tell.
fn told(effects: &[ConversationEffect]) -> Vec<AddressRecord> {
    let mut told = Vec::new();
    for effect in effects {
        if let ConversationEffect::Send(Message::Addresses { records }) = effect {
            assert!(records.len() <= ADDRESS_RECORDS_PER_MESSAGE_MAX);
            told.extend(records.iter().cloned());
        }
    }
    told
}

/// A member with a link to another one.
fn opened(mesh: &mut Mesh) -> (Conversation, Now, Vec<ConversationEffect>) {
    let (now, remote) = (mesh.now(), mesh.device(1));
    let peer = &mut mesh.peers[0];
    let mut link = Conversation::new(remote, peer.database);
    let effects = link.step(now, ConversationInput::Opened, &peer.held);
    (link, now, effects)
}

#[test]
fn a_member_is_told_all_then_what_is_new() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    mesh.peers[0].held.addresses = records(100, 5);
    let (mut link, now, effects) = opened(&mut mesh);
    let mut first = told(&effects);
    first.dedup();
    assert!(first.len() >= 100, "{}", first.len());
    let held = &mut mesh.peers[0].held;
    let again = link.step(now, ConversationInput::AddressesChanged, held);
    assert!(told(&again).is_empty());
    held.addresses[3] = records(100, 6)[3].clone();
    let news = link.step(now, ConversationInput::AddressesChanged, held);
    assert_eq!(told(&news), [AddressRecord::clone(&held.addresses[3])]);
}

#[test]
fn what_came_from_the_remote_is_not_told_back() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (mut link, now, _) = opened(&mut mesh);
    let records = records(3, 5);
    let message = Message::Addresses {
        records: records
            .iter()
            .map(|record| AddressRecord::clone(record))
            .collect(),
    };
    let held = &mut mesh.peers[0].held;
    let heard = link.step(now, ConversationInput::Received(message), held);
    let handed = heard
        .iter()
        .any(|effect| matches!(effect, ConversationEffect::Addresses(all) if all.len() == 3));
    assert!(handed, "{heard:?}");
    held.addresses = records;
    let news = link.step(now, ConversationInput::AddressesChanged, held);
    assert!(told(&news).is_empty());
}

#[test]
fn rounds_tell_all_of_them_again_in_portions() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    mesh.peers[0].held.addresses = records(100, 5);
    let (mut link, mut now, _) = opened(&mut mesh);
    let mut again = std::collections::BTreeSet::new();
    for _ in 0..4 {
        now.tick = now.tick.plus_ms(EQUALISE_EVERY_MS);
        let effects = link.step(now, ConversationInput::Wake, &mesh.peers[0].held);
        let told = told(&effects);
        assert!(told.len() <= ADDRESS_RECORDS_PER_MESSAGE_MAX);
        again.extend(told.into_iter().map(|record| record.device));
    }
    assert_eq!(again.len(), 100);
}

#[test]
fn a_stranger_is_told_nothing_and_heard_of_nothing() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    mesh.peers[0].held.addresses = records(3, 5);
    let (now, database) = (mesh.now(), mesh.peers[0].database);
    let stranger = SecretKey::from_bytes(&[99; 32]).public();
    let mut link = Conversation::new(stranger, database);
    let held = &mesh.peers[0].held;
    let mut effects = link.step(now, ConversationInput::Opened, held);
    let message = Message::Addresses {
        records: vec![AddressRecord::clone(&held.addresses[0])],
    };
    effects.extend(link.step(now, ConversationInput::Received(message), held));
    effects.extend(link.step(now, ConversationInput::AddressesChanged, held));
    assert!(told(&effects).is_empty());
    let handed = effects
        .iter()
        .any(|effect| matches!(effect, ConversationEffect::Addresses(_)));
    assert!(!handed);
}

#[test]
fn a_flood_of_addresses_is_a_fault() {
    let mut mesh = Mesh::new(1, 2, 0, b"");
    let (mut link, now, _) = opened(&mut mesh);
    let held = &mesh.peers[0].held;
    let message = || Message::Addresses {
        records: vec![AddressRecord::clone(&records(1, 5)[0])],
    };
    let cut_off = (0..1_000).any(|_| {
        link.step(now, ConversationInput::Received(message()), held)
            .iter()
            .any(|effect| matches!(effect, ConversationEffect::Misbehaved(_)))
    });
    assert!(cut_off);
}
