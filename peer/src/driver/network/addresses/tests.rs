use super::super::diallable::ADDRESSES_MAX;
use super::*;

const DEVICE: DeviceKey = DeviceKey([5; 32]);

fn address(port: u16) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{port}")
        .parse()
        .expect("address")
}

#[test]
fn a_wanted_remote_is_tried_until_it_is_there() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    assert_eq!(book.take_due(0), [Dial::Remote(DEVICE, vec![address(1)])]);
    assert!(book.take_due(1).is_empty(), "under way");
    book.failed(DEVICE, 100, 0);
    assert!(book.take_due(800).is_empty(), "too early");
    assert_eq!(book.take_due(850).len(), 1);
    book.connected(DEVICE, Some(&address(1)), true, 900);
    assert!(book.take_due(1_000_000).is_empty(), "connected");
    book.disconnected(DEVICE, 1_000_000, 0);
    assert_eq!(book.take_due(1_000_750).len(), 1, "waits start over");
}

#[test]
fn one_that_hangs_up_at_once_is_tried_less_and_less() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    for _ in 0..5 {
        book.connected(DEVICE, None, true, 0);
        book.disconnected(DEVICE, 1, 0);
    }
    assert!(book.take_due(10_000).is_empty());
    assert_eq!(book.take_due(15_000).len(), 1);
}

#[test]
fn who_answers_at_a_bare_address_is_learned() {
    let mut book = AddressBook::default();
    book.want_address(address(7));
    assert_eq!(book.take_due(0), [Dial::Address(address(7))]);
    book.connected(DEVICE, Some(&address(7)), true, 10);
    assert!(book.take_due(1_000_000).is_empty());
    book.disconnected(DEVICE, 1_000_000, 0);
    let due = book.take_due(1_001_000);
    assert!(due.contains(&Dial::Address(address(7))), "{due:?}");
}

#[test]
fn the_address_that_worked_comes_first_and_the_list_stays_short() {
    let mut book = AddressBook::default();
    let all: Vec<Multiaddr> = (1..=20).map(address).collect();
    book.want(DEVICE, &all, 0);
    assert_eq!(book.addresses(&DEVICE).len(), ADDRESSES_MAX);
    let last = book.addresses(&DEVICE)[ADDRESSES_MAX - 1].clone();
    book.connected(DEVICE, Some(&last), true, 0);
    assert_eq!(book.addresses(&DEVICE)[0], last);
}

#[test]
fn whoever_sleeps_until_the_next_try_misses_none() {
    let mut book = AddressBook::default();
    assert_eq!(book.next_due(), None);
    book.hear(DEVICE, &[address(1)]);
    assert_eq!(book.next_due(), None, "nobody wants it");
    book.want(DEVICE, &[], 100);
    book.want_address(address(7));
    let mut tries = 0;
    let mut now = 100;
    while now < 100_000 {
        let due = book.next_due().expect("two are away");
        now = now.max(due);
        assert!(now == 100 || book.take_due(now - 1).is_empty());
        let dials = book.take_due(now);
        assert!(!dials.is_empty());
        tries += dials.len();
        for dial in dials {
            match dial {
                Dial::Remote(device, _) | Dial::Relayed(device, _) => {
                    book.failed(device, now, 7);
                }
                Dial::Address(address) => book.address_failed(&address, now, 9),
            }
        }
    }
    assert!(tries > 10);
    book.connected(DEVICE, Some(&address(7)), true, now);
    assert_eq!(book.next_due(), None, "it is there, at both");
    book.disconnected(DEVICE, now, 0);
    assert!(book.next_due().is_some());
}

#[test]
fn who_is_not_wanted_is_not_dialled() {
    let mut book = AddressBook::default();
    book.hear(DEVICE, &[address(1)]);
    assert!(book.take_due(1_000_000).is_empty());
    book.want(DEVICE, &[], 1_000_000);
    assert_eq!(
        book.take_due(1_000_000).len(),
        1,
        "where it was heard of before"
    );
    assert!(book.release(&DEVICE) && !book.wants(&DEVICE));
    book.failed(DEVICE, 1_000_100, 0);
    assert!(book.take_due(9_000_000).is_empty());
    book.pin(DEVICE, &[]);
    assert!(!book.release(&DEVICE) && book.wants(&DEVICE));
}

#[test]
fn an_address_that_is_new_is_tried_at_once() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    for _ in 0..8 {
        book.failed(DEVICE, 0, 0);
    }
    book.want(DEVICE, &[address(1)], 100);
    assert!(book.take_due(100).is_empty(), "nothing new");
    book.want(DEVICE, &[address(2)], 100);
    assert_eq!(book.take_due(100).len(), 1);
    book.want(DEVICE, &[address(3)], 200);
    assert!(book.take_due(200).is_empty(), "a try is under way");
}

#[test]
fn strangers_are_forgotten_and_cannot_push_others_out() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    for n in 0..2 * REMOTES_MAX {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        book.hear(DeviceKey(key), &[address(2)]);
    }
    assert_eq!(book.remotes.len(), REMOTES_MAX);
    assert!(!book.addresses(&DEVICE).is_empty());
}

#[test]
fn wanted_remotes_and_ports_survive_a_restart() {
    let mut book = AddressBook::default();
    let listen: Multiaddr = "/ip4/0.0.0.0/tcp/0".parse().expect("address");
    book.want(DEVICE, &[address(1)], 0);
    book.hear(DeviceKey([6; 32]), &[address(2)]);
    book.set_listen_port(&listen, 4_242);
    let text = book.take_changed().expect("changed");
    assert_eq!(book.take_changed(), None);
    let mut again = AddressBook::parse(&text);
    assert_eq!(again.addresses(&DEVICE), [address(1)]);
    assert!(again.addresses(&DeviceKey([6; 32])).is_empty());
    assert_eq!(again.listen_port(&listen), Some(4_242));
    assert_eq!(again.take_changed(), None);
    assert!(AddressBook::parse("garbage").remotes.is_empty());
}

fn through(n: u8) -> Multiaddr {
    let relay = sync_protocol::SecretKey::from_bytes(&[n; 32]).public();
    let relay = super::super::keys::peer_of(&relay).expect("a real key");
    format!("/ip4/192.0.2.9/tcp/1/p2p/{relay}/p2p-circuit")
        .parse()
        .expect("address")
}

#[test]
fn relays_are_tried_after_a_head_start_or_when_the_direct_try_failed() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[through(1), address(1)], 0);
    let direct = Dial::Remote(DEVICE, vec![address(1)]);
    let relayed = Dial::Relayed(DEVICE, vec![through(1)]);
    assert_eq!(book.take_due(0), std::slice::from_ref(&direct));
    assert_eq!(book.next_due(), Some(HEAD_START_MS));
    assert!(book.take_due(HEAD_START_MS - 1).is_empty());
    assert_eq!(book.take_due(HEAD_START_MS), std::slice::from_ref(&relayed));
    assert!(!book.failed(DEVICE, 5_000, 0), "relays were tried already");
    assert_eq!(book.take_due(6_000), [direct]);
    assert!(book.failed(DEVICE, 6_100, 0));
    assert_eq!(book.next_due(), Some(6_100));
    assert_eq!(book.take_due(6_100), [relayed]);
}

#[test]
fn a_relay_that_is_new_is_tried_beside_a_direct_try() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    assert_eq!(book.take_due(0).len(), 1);
    book.want(DEVICE, &[address(1), through(1)], 500);
    assert_eq!(
        book.take_due(500),
        [Dial::Relayed(DEVICE, vec![through(1)])]
    );
    let other = DeviceKey([6; 32]);
    book.want(other, &[through(2)], 600);
    assert_eq!(book.take_due(600), [Dial::Relayed(other, vec![through(2)])]);
}

#[test]
fn whoever_is_met_through_a_relay_is_tried_directly_less_and_less() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1), through(1)], 0);
    book.take_due(0);
    assert!(!book.misses_somebody());
    book.connected(DEVICE, Some(&through(1)), false, 2_000);
    assert!(book.misses_somebody());
    assert_eq!(book.next_due(), Some(2_000 + DIRECT_FIRST_MS));
    let mut now = 2_000;
    for _ in 0..20 {
        now = book.next_due().expect("it is still tried");
        assert_eq!(
            book.take_due(now),
            [Dial::Remote(DEVICE, vec![address(1)])],
            "never through the relay again"
        );
        assert!(!book.failed(DEVICE, now, u32::MAX / 2));
    }
    let last = book.next_due().expect("it is still tried");
    assert!(last - now >= DIRECT_MAX_MS - 1_000, "{}", last - now);
    book.connected(DEVICE, Some(&address(1)), true, last);
    assert_eq!(book.next_due(), None);
    assert!(!book.misses_somebody());
    book.only_relayed(&DEVICE, last + LASTING_MS, 0);
    let soon = book.next_due().expect("it is tried again");
    assert!(soon <= last + LASTING_MS + 1_000, "{}", soon - last);
    book.disconnected(DEVICE, last + 20_000, 0);
    assert_eq!(book.take_due(last + 21_000).len(), 1);
}

#[test]
fn direct_ways_that_are_lost_at_once_are_tried_less_and_less() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1), through(1)], 0);
    book.connected(DEVICE, Some(&through(1)), false, 0);
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..12 {
        let due = book.next_due().expect("it is still tried");
        waits.push(due - now);
        now = due;
        book.take_due(now);
        book.connected(DEVICE, Some(&address(1)), true, now);
        book.only_relayed(&DEVICE, now, u32::MAX / 2);
    }
    assert!(waits.is_sorted_by(|one, next| one == &DIRECT_FIRST_MS || one <= next));
    assert!(waits[11] >= DIRECT_MAX_MS - 1_000, "{waits:?}");
}

#[test]
fn one_that_hangs_up_at_once_through_relays_is_tried_less_and_less() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[through(1)], 0);
    let mut tries = 0;
    let end = 3_600_000;
    let mut now = 0;
    while now < end {
        let dials = book.take_due(now);
        if dials.iter().any(|dial| matches!(dial, Dial::Relayed(..))) {
            tries += 1;
            book.connected(DEVICE, Some(&through(1)), false, now);
            book.disconnected(DEVICE, now, u32::MAX / 2);
        }
        now = book.next_due().map_or(now, |due| due.max(now)) + 250;
    }
    assert!((10..40).contains(&tries), "{tries} in an hour");
}

#[test]
fn who_is_away_costs_its_relay_little() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1), through(1)], 0);
    let mut tries = Vec::new();
    for now in (0..3_600_000).step_by(250) {
        for dial in book.take_due(now) {
            if matches!(dial, Dial::Relayed(..)) {
                tries.push(now);
            }
            book.failed(DEVICE, now, u32::MAX / 2);
        }
    }
    assert!((10..25).contains(&tries.len()), "{tries:?}");
}

#[test]
fn a_remote_known_only_through_a_relay_is_not_tried_while_it_is_met_there() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[through(1)], 0);
    book.connected(DEVICE, None, false, 0);
    assert_eq!(book.next_due(), None);
}

#[test]
fn whoever_was_tried_in_vain_is_missed() {
    let mut book = AddressBook::default();
    book.want(DEVICE, &[address(1)], 0);
    book.connected(DEVICE, None, true, 0);
    book.disconnected(DEVICE, 20_000, 0);
    assert!(!book.misses_somebody(), "it may have been switched off");
    book.failed(DEVICE, 30_000, 0);
    assert!(book.misses_somebody());
    book.release(&DEVICE);
    assert!(!book.misses_somebody(), "nobody wants it");
}
