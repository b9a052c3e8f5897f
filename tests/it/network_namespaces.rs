//! Hosts with addresses of their own: network namespaces on one bridge. Needs root, because only
//! root may make them; everybody else is told that these tests were not run.

use crate::devices::{Host, Lan, ip, wait_until_equal};
use crate::harness::{PATIENCE, shared_turn, wait_for};

const BOTH: &[&str] = &[
    "--p2p",
    "/ip4/0.0.0.0/tcp/4001",
    "--p2p",
    "/ip4/0.0.0.0/udp/4001/quic-v1",
];
pub(crate) const BOTH_WITHOUT_MDNS: &[&str] = &[
    "--p2p",
    "/ip4/0.0.0.0/tcp/4001",
    "--p2p",
    "/ip4/0.0.0.0/udp/4001/quic-v1",
    "--no-mdns",
];
const TCP: &[&str] = &["--p2p", "/ip4/0.0.0.0/tcp/4001", "--no-mdns"];
const QUIC: &[&str] = &["--p2p", "/ip4/0.0.0.0/udp/4001/quic-v1", "--no-mdns"];

/// `a` publishes; `b` and `c` join.
fn three(lan: &Lan, arguments: &[&str]) -> [Host; 3] {
    let hosts = ["a", "b", "c"].map(|name| Host::start(lan, name, arguments));
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    hosts
}

#[test]
fn members_find_each_other_in_the_local_network_under_new_addresses() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let [mut a, mut b, mut c] = three(&lan, BOTH);
    b.say("before");
    c.wait_for_message("before");
    for host in [&mut a, &mut b, &mut c] {
        host.stop();
    }
    // The first is gone for good, the others come back elsewhere: nobody can tell them where.
    lan.plug_in("b", 52);
    lan.plug_in("c", 53);
    b.start_again();
    c.start_again();
    b.say("after");
    c.wait_for_message("after");
    b.wait_for_address("/ip4/10.77.0.53/");
    wait_until_equal(&[&b, &c]);
}

#[test]
fn members_find_each_other_by_what_a_third_passed_on() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let [mut a, mut b, mut c] = three(&lan, BOTH_WITHOUT_MDNS);
    wait_until_equal(&[&a, &b, &c]);
    // One moves to where the other cannot meet it, so that only the first can say where it is.
    b.stop();
    lan.plug_in("b", 52);
    lan.block("c", "to 10.77.0.52");
    lan.block("b", "to 10.77.0.3");
    b.start_again();
    b.say("moved");
    c.wait_for_message("moved");
    c.wait_for_member_at("/ip4/10.77.0.52/");
    b.wait_for_member_at("/ip4/10.77.0.3/");
    a.stop();
    for host in [&mut b, &mut c] {
        // The transport's own notes are gone: the members' records are on disk beside the log.
        host.stop();
        std::fs::remove_file(host.data_dir().join("addresses.json")).expect("it was kept");
    }
    lan.unblock("c", "to 10.77.0.52");
    lan.unblock("b", "to 10.77.0.3");
    b.start_again();
    c.start_again();
    c.say("found");
    b.wait_for_message("found");
    wait_until_equal(&[&b, &c]);
}

#[test]
fn when_one_transport_is_lost_the_other_carries_on() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b", "c"]) else {
        return;
    };
    let a = Host::start(&lan, "a", BOTH_WITHOUT_MDNS);
    let b = Host::start(&lan, "b", BOTH_WITHOUT_MDNS);
    a.publish();
    // TCP is blocked: they meet over QUIC.
    lan.block("b", "ipproto tcp");
    b.cli(&["join", &a.invite()]).ok();
    b.wait_for_address("/quic-v1");
    // UDP is blocked: what was linked over QUIC comes back over TCP.
    lan.unblock("b", "ipproto tcp");
    lan.block("a", "ipproto udp");
    lan.block("b", "ipproto udp");
    a.say("over the other one");
    b.wait_for_message("over the other one");
    b.wait_for_address("/tcp/");
    // A peer that only speaks TCP meets one that speaks both.
    let c = Host::start(&lan, "c", TCP);
    c.cli(&["join", &a.invite()]).ok();
    c.wait_for_address("/tcp/");
    wait_until_equal(&[&a, &b, &c]);
}

#[test]
fn a_cable_that_is_pulled_and_put_back_leaves_equal_roots() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b"]) else {
        return;
    };
    let a = Host::start(&lan, "a", QUIC);
    let b = Host::start(&lan, "b", QUIC);
    a.publish();
    b.cli(&["join", &a.invite()]).ok();
    ip(&format!("-n {} link set eth0 down", lan.namespace("b")));
    for round in 0..3 {
        a.say(&format!("a alone {round}"));
        b.say(&format!("b alone {round}"));
    }
    assert_ne!(a.root(), b.root());
    lan.plug_in("b", 2);
    a.wait_for_message("b alone 2");
    b.wait_for_message("a alone 2");
    wait_until_equal(&[&a, &b]);
}

#[test]
fn a_host_that_changes_networks_is_back_without_waiting_for_silence() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a", "b"]) else {
        return;
    };
    let a = Host::start(&lan, "a", BOTH_WITHOUT_MDNS);
    let b = Host::start(&lan, "b", BOTH_WITHOUT_MDNS);
    a.publish();
    b.cli(&["join", &a.invite()]).ok();
    let noticed = "INFO the network changed: members are dialled anew";
    for (number, message) in [(52, "moved once"), (53, "moved twice")] {
        let before = b.output().matches(noticed).count();
        lan.plug_in("b", number);
        b.say(message);
        a.wait_for_message(message);
        assert!(b.output().matches(noticed).count() > before);
        a.wait_for_member_at(&format!("/ip4/10.77.0.{number}/"));
        b.wait_for_address("/ip4/10.77.0.1/");
    }
    // The interface is switched off: the address stays, and nothing leads out.
    ip(&format!("-n {} link set eth0 down", lan.namespace("b")));
    wait_for("b to notice that it is alone", PATIENCE, || {
        let network = b.json(&["network", "--json"]);
        match (network["leads_out"].as_bool(), b.addresses().is_empty()) {
            (Some(false), true) => Ok(()),
            _ => Err(network.to_string()),
        }
    });
    b.say("alone");
    lan.plug_in("b", 53);
    a.wait_for_message("alone");
    assert_eq!(b.json(&["network", "--json"])["leads_out"], true);
    wait_until_equal(&[&a, &b]);
}

#[test]
fn a_host_without_any_network_starts_all_the_same() {
    let _turn = shared_turn();
    let Some(lan) = Lan::new(&["a"]) else {
        return;
    };
    ip(&format!("-n {} link del eth0", lan.namespace("a")));
    let host = Host::start(&lan, "a", BOTH);
    host.publish();
    host.say("alone");
    host.wait_for_message("alone");
    let output = host.output();
    assert!(!output.contains("ERROR"), "{output}");
    assert!(output.matches("local network").count() <= 1, "{output}");
}
