//! Calls with large arguments: their bodies travel in chunks, and nothing waits for them.

use std::cell::Cell;
use std::rc::Rc;

use sync_protocol::limits::ARGUMENTS_BYTES_MAX;
use sync_protocol::message::Answer;
use sync_protocol::{DatabaseId, Message};

use super::harness::{Dice, Mesh};
use crate::Request;

/// The largest call of chat that succeeds: it trims what it is told.
fn say_at_length(mesh: &mut Mesh, text: &str) -> Request {
    let spaces = " ".repeat(ARGUMENTS_BYTES_MAX - 1_000);
    mesh.call_request("send_message", &format!(r#"["lobby", "{text}{spaces}"]"#))
}

fn said(mesh: &mut Mesh, at: usize) -> usize {
    mesh.rows(at, "SELECT text FROM message").len()
}

/// Bytes of a chunk of a blob, if the frame carries one.
fn chunk_in(frame: &[u8]) -> Option<(DatabaseId, u32, u64, Vec<u8>)> {
    match Message::decode(frame) {
        Ok((
            id,
            Message::Answer {
                request,
                answer: Answer::Blob { total, bytes },
            },
        )) => Some((id, request, total, bytes)),
        _ => None,
    }
}

#[test]
fn a_call_with_a_mebibyte_of_arguments_shows_on_every_peer_and_becomes_final() {
    let mut mesh = Mesh::new(3, 41);
    mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    let request = say_at_length(&mut mesh, "long");
    mesh.ask(0, request).expect("within the limits");
    mesh.pass_ms(500);
    assert_eq!(said(&mut mesh, 1), 1);
    mesh.pass_ms(4_000);
    mesh.assert_same(0, 1);
    assert_eq!(mesh.status(1).tail, 0, "it is final");
    // Who joins later reads it from the history.
    let ticket = mesh.invite(0);
    mesh.join(2, &ticket);
    mesh.pass_ms(5_000);
    assert_eq!(said(&mut mesh, 2), 1);
    mesh.assert_converged();
}

#[test]
fn large_calls_on_both_sides_arrive_over_a_link_that_loses_messages() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut mesh = Mesh::new(2, 42 + seed);
        mesh.publish_and_join();
        mesh.expect_hang_ups();
        let mut dice = Dice(seed);
        mesh.tamper = Some(Box::new(move |_, _, frame| {
            (dice.below(100) >= 30).then_some(frame)
        }));
        for at in 0..2 {
            let request = say_at_length(&mut mesh, "long");
            mesh.ask(at, request).expect("within the limits");
            mesh.call(at, "send_message", r#"["lobby", "short"]"#)
                .expect("a room");
        }
        mesh.pass_ms(60_000);
        mesh.tamper = None;
        mesh.pass_ms(35_000);
        mesh.assert_same(0, 1);
        assert_eq!(said(&mut mesh, 1), 4);
    }
}

#[test]
fn half_a_body_survives_a_power_cut_and_comes_from_another_peer() {
    for chunks_before in 0..4 {
        let mut mesh = Mesh::new(3, 46);
        mesh.publish_and_join();
        mesh.cut_link(0, 2);
        mesh.cut_link(1, 2);
        mesh.settle();
        let request = say_at_length(&mut mesh, "long");
        mesh.ask(0, request).expect("within the limits");
        mesh.pass_ms(500);
        let passed = Rc::new(Cell::new((0, 0)));
        let counter = Rc::clone(&passed);
        mesh.tamper = Some(Box::new(move |_, to, frame| {
            if let Some((.., bytes)) = chunk_in(&frame)
                && to == 2
            {
                let (chunks, bytes_before) = counter.get();
                if chunks == chunks_before {
                    return None;
                }
                counter.set((chunks + 1, bytes_before + bytes.len()));
            }
            Some(frame)
        }));
        mesh.heal_link(0, 2);
        mesh.pass_ms(2_000);
        let (chunks, bytes_before) = passed.get();
        assert_eq!(chunks, chunks_before);
        mesh.crash(2);
        mesh.cut_link(0, 2);
        let passed = Rc::new(Cell::new(0));
        let counter = Rc::clone(&passed);
        mesh.tamper = Some(Box::new(move |from, to, frame| {
            if let Some((.., bytes)) = chunk_in(&frame)
                && (from, to) == (1, 2)
            {
                counter.set(counter.get() + bytes.len());
            }
            Some(frame)
        }));
        mesh.start(2);
        mesh.heal_link(1, 2);
        mesh.pass_ms(2_000);
        assert_eq!(said(&mut mesh, 2), 1);
        let rest = ARGUMENTS_BYTES_MAX - bytes_before;
        let fetched = passed.get();
        assert!(
            fetched <= rest,
            "{fetched} bytes after {chunks_before} chunks"
        );
        assert!(fetched + 2_000 > rest, "and not fewer than were missing");
    }
}

#[test]
fn a_peer_that_sends_another_body_is_cut_off_and_an_honest_one_is_asked() {
    let mut mesh = Mesh::new(3, 50);
    mesh.publish_and_join();
    mesh.expect_hang_ups();
    // Whatever peer 1 sends of a body is spoilt, and peer 0 says nothing of bodies until it has
    // been found out.
    let liar_first = Rc::new(Cell::new(true));
    let only_liar = Rc::clone(&liar_first);
    mesh.tamper = Some(Box::new(move |from, to, frame| {
        let Some((id, request, total, mut bytes)) = chunk_in(&frame) else {
            return Some(frame);
        };
        match (from, to) {
            (0, 2) => (!only_liar.get()).then_some(frame),
            (1, 2) => {
                bytes[0] ^= 1;
                let answer = Answer::Blob { total, bytes };
                Some(Message::Answer { request, answer }.encode(&id))
            }
            _ => Some(frame),
        }
    }));
    for n in 0..3 {
        let request = say_at_length(&mut mesh, &format!("long {n}"));
        mesh.ask(0, request).expect("within the limits");
    }
    mesh.pass_ms(20_000);
    let liar = mesh.device(1);
    let found_out = |mesh: &Mesh| {
        let by_two = mesh.hang_ups.iter().filter(|(at, ..)| *at == 2);
        by_two.clone().any(|(_, remote, _)| *remote == liar)
    };
    assert!(found_out(&mesh), "{:?}", mesh.hang_ups);
    liar_first.set(false);
    mesh.pass_ms(65_000);
    assert_eq!(said(&mut mesh, 2), 3);
    mesh.assert_same(0, 2);
}

/// Chat with a custom section that makes it longer than a chunk.
fn padded_chat(bytes: u32) -> Vec<u8> {
    let mut leb = Vec::new();
    let mut left = bytes;
    while left >= 0x80 {
        leb.push((left & 0x7f | 0x80).to_le_bytes()[0]);
        left >>= 7;
    }
    leb.push(left.to_le_bytes()[0]);
    let name = [3, b'p', b'a', b'd'];
    let pad = vec![0; bytes as usize - name.len()];
    [super::harness::CHAT, &[0], &leb, &name, &pad].concat()
}

#[test]
fn the_beginning_of_a_module_survives_a_power_cut() {
    let mut mesh = Mesh::new(2, 51);
    let module = padded_chat(700_000);
    let len = module.len();
    let publish = Request::Publish {
        name: "chat".to_owned(),
        wasm: module,
        sequential_auto_inc: false,
        break_clients: false,
        clear: false,
        dice: [7; 32],
    };
    mesh.ask(0, publish).expect("it is chat still");
    let ticket = mesh.invite_as(0, sync_protocol::Role::Writer, 2);
    let first = Rc::new(Cell::new(0));
    let counter = Rc::clone(&first);
    mesh.tamper = Some(Box::new(move |_, to, frame| {
        if let Some((.., bytes)) = chunk_in(&frame)
            && to == 1
        {
            if counter.get() > 0 {
                return None;
            }
            counter.set(bytes.len());
        }
        Some(frame)
    }));
    let join = Request::Join {
        ticket: ticket.clone(),
    };
    mesh.ask(1, join).expect("a ticket");
    mesh.pass_ms(500);
    mesh.crash(1);
    let rest = Rc::new(Cell::new(0));
    let counter = Rc::clone(&rest);
    mesh.tamper = Some(Box::new(move |_, to, frame| {
        if let Some((.., bytes)) = chunk_in(&frame)
            && to == 1
        {
            counter.set(counter.get() + bytes.len());
        }
        Some(frame)
    }));
    mesh.start(1);
    mesh.join(1, &ticket);
    assert!((1..len).contains(&first.get()), "{}", first.get());
    assert_eq!(rest.get(), len - first.get());
    let partials = mesh.partials(1);
    assert_eq!(partials, 0, "nothing half is left behind");
}
