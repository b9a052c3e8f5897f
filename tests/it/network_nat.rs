//! Two devices behind routers that translate addresses, and a member that everybody reaches. Needs
//! root, and `nft` for the routers.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them and bounds the wait"
)]

use crate::devices::{Host, ip, prefix, wait_until_equal};
use crate::harness::{PATIENCE, run, shared_turn, wait_for};
use crate::network_namespaces::BOTH_WITHOUT_MDNS;
use serde_json::Value;
use std::process::Command;

/// The networks: `middle` is the switch to which the public member and both routers are plugged.
const NAMESPACES: [&str; 7] = [
    "middle", "public", "spare", "router1", "router2", "home1", "home2",
];

/// How a router chooses the ports under which what is behind it is seen.
#[derive(Clone, Copy)]
enum Ports {
    /// As they are, so that both sides can guess them.
    Kept,
    /// Anew for each place that is spoken to, so that nobody can.
    Random,
}

/// Two homes, each behind a router, and two public hosts. All of it goes away with this value.
struct Homes {
    prefix: String,
}

impl Homes {
    fn new(ports: Ports) -> Option<Homes> {
        let homes = Homes { prefix: prefix()? };
        for name in NAMESPACES {
            let namespace = homes.namespace(name);
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        let middle = homes.namespace("middle");
        ip(&format!("-n {middle} link add br0 type bridge"));
        ip(&format!("-n {middle} link set br0 up"));
        for (name, device, address) in [
            ("public", "eth0", "203.0.113.10/24"),
            ("spare", "eth0", "203.0.113.11/24"),
            ("router1", "wan", "203.0.113.1/24"),
            ("router2", "wan", "203.0.113.2/24"),
        ] {
            homes.plug_in(name, device, address);
        }
        for number in [1, 2] {
            homes.add_home(number, ports);
        }
        Some(homes)
    }

    /// Connects a namespace to the public network.
    fn plug_in(&self, name: &str, device: &str, address: &str) {
        let (middle, namespace) = (self.namespace("middle"), self.namespace(name));
        ip(&format!(
            "-n {middle} link add {name} type veth peer name {device} netns {namespace}"
        ));
        ip(&format!("-n {middle} link set {name} master br0 up"));
        ip(&format!("-n {namespace} addr add {address} dev {device}"));
        ip(&format!("-n {namespace} link set {device} up"));
    }

    fn add_home(&self, number: usize, ports: Ports) {
        let home = self.namespace(&format!("home{number}"));
        let router = self.namespace(&format!("router{number}"));
        ip(&format!(
            "-n {home} link add eth0 type veth peer name lan netns {router}"
        ));
        ip(&format!(
            "-n {router} addr add 192.168.{number}.1/24 dev lan"
        ));
        ip(&format!("-n {router} link set lan up"));
        ip(&format!(
            "-n {home} addr add 192.168.{number}.2/24 dev eth0"
        ));
        ip(&format!("-n {home} link set eth0 up"));
        ip(&format!(
            "-n {home} route add default via 192.168.{number}.1"
        ));
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        self.within(&router, &["sh", "-c", forward]);
        let source = match ports {
            Ports::Kept => "masquerade",
            Ports::Random => "masquerade fully-random",
        };
        // As a router at home: what comes from outside and answers nothing is dropped.
        let rules = format!(
            r#"table ip home {{
                chain out {{
                    type nat hook postrouting priority 100;
                    oifname "wan" {source};
                }}
                chain here {{
                    type filter hook input priority 0; policy accept;
                    iifname "wan" ct state new drop;
                }}
                chain across {{
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept;
                    iifname "lan" accept;
                }}
            }}"#
        );
        self.within(&router, &["nft", &rules]);
    }

    /// Runs a program in a namespace.
    fn within(&self, namespace: &str, words: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).args(words);
        let ended = run(&mut command, PATIENCE);
        assert!(
            ended.status.success(),
            "{words:?}: {} (`cargo xtask test` installs what is needed)",
            ended.stderr
        );
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn start(&self, name: &'static str) -> Host {
        Host::start_in(self.namespace(name), name, BOTH_WITHOUT_MDNS)
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        for name in NAMESPACES {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(name)])
                .status();
        }
    }
}

/// The public host publishes, both homes join.
fn three(homes: &Homes) -> [Host; 3] {
    let hosts = ["public", "home1", "home2"].map(|name| homes.start(name));
    hosts[0].publish();
    for host in &hosts[1..] {
        host.cli(&["join", &hosts[0].invite()]).ok();
    }
    hosts
}

fn id(host: &Host) -> String {
    let all = host.json(&["members", "chat", "--json"]);
    let mut members = all.as_array().expect("a list").iter();
    let this = members.find(|member| member["this_peer"] == true);
    let this = this.unwrap_or_else(|| panic!("no member is this peer: {all}"));
    this["id"].as_str().expect("a key").to_owned()
}

/// What `host` says of its way to `remote`.
fn way(host: &Host, remote: &str) -> Option<Value> {
    let peers = host.json(&["peers", "--json"]);
    let peers = peers.as_array().expect("a list");
    peers.iter().find(|peer| peer["id"] == remote).cloned()
}

/// How many entries `remote` lacks, as far as `host` knows.
fn way_lacks(host: &Host, remote: &str) -> Option<u64> {
    way(host, remote)?["lacks"].as_u64()
}

fn wait_until_reached(host: &Host, remote: &str, how: &str) -> Value {
    let mut found = Value::Null;
    wait_for(&format!("a member to be {how}"), PATIENCE, || {
        match way(host, remote) {
            Some(way) if way["reached"] == how => {
                found = way;
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
    found
}

#[test]
fn two_homes_meet_through_a_member_when_no_other_way_leads_there() {
    let _turn = shared_turn();
    let Some(homes) = Homes::new(Ports::Random) else {
        return;
    };
    let [public, one, two] = three(&homes);
    let (id0, id1, id2) = (id(&public), id(&one), id(&two));
    for (host, remote) in [(&one, &id2), (&two, &id1)] {
        let way = wait_until_reached(host, remote, "relayed");
        assert_eq!(way["relay"], *id0, "{way}");
        let text = host.cli(&["peers"]).ok();
        assert!(text.contains(&format!("through {}", &id0[..8])), "{text}");
    }
    for round in 0..3 {
        one.say(&format!("from one {round}"));
        two.say(&format!("from two {round}"));
    }
    one.wait_for_message("from two 2");
    two.wait_for_message("from one 2");
    wait_until_equal(&[&public, &one, &two]);
    for (host, remote) in [(&one, &id2), (&two, &id1)] {
        wait_until_reached(host, remote, "relayed");
        let way = wait_until_reached(host, &id0, "direct");
        assert!(way["up_s"].is_u64(), "{way}");
        // Equal they are already; that the other has said so comes a moment later.
        wait_for("the relay to lack nothing", PATIENCE, || {
            match way_lacks(host, &id0) {
                Some(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    assert!(!one.output().contains("cut off"), "{}", one.output());
}

#[test]
fn two_homes_whose_routers_keep_ports_meet_directly_in_the_end() {
    let _turn = shared_turn();
    let Some(homes) = Homes::new(Ports::Kept) else {
        return;
    };
    let [mut public, one, two] = three(&homes);
    let (id1, id2) = (id(&one), id(&two));
    // Entries are made while the link moves from the relay to the hole.
    let mut round = 0;
    wait_for("a direct way through both routers", PATIENCE, || {
        one.say(&format!("from one {round}"));
        two.say(&format!("from two {round}"));
        round += 1;
        match (way(&one, &id2), way(&two, &id1)) {
            (Some(there), Some(back))
                if there["reached"] == "direct" && back["reached"] == "direct" =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
    one.wait_for_message(&format!("from two {}", round - 1));
    two.wait_for_message(&format!("from one {}", round - 1));
    wait_until_equal(&[&public, &one, &two]);
    // Whoever relayed is gone: they go on.
    public.stop();
    one.say("without the third");
    two.wait_for_message("without the third");
    two.say("as before");
    one.wait_for_message("as before");
    wait_until_equal(&[&one, &two]);
}

#[test]
fn when_a_relay_is_lost_another_takes_its_place() {
    let _turn = shared_turn();
    let Some(homes) = Homes::new(Ports::Random) else {
        return;
    };
    let [public, one, two] = three(&homes);
    let spare = homes.start("spare");
    spare.cli(&["join", &public.invite()]).ok();
    let relays = [public, spare].map(|host| (id(&host), host));
    let (id1, id2) = (id(&one), id(&two));
    for host in [&one, &two] {
        for (relay, _) in &relays {
            wait_until_reached(host, relay, "direct");
        }
    }
    let first = wait_until_reached(&one, &id2, "relayed");
    let [mut lost, mut other] = relays;
    if first["relay"] == *other.0 {
        std::mem::swap(&mut lost, &mut other);
    }
    assert_eq!(first["relay"], *lost.0, "{first}");
    lost.1.stop();
    one.say("through another");
    two.wait_for_message("through another");
    wait_for("the other relay to stand between", PATIENCE, || {
        match (way(&one, &id2), way(&two, &id1)) {
            (Some(there), Some(back))
                if [&there, &back].iter().all(|way| way["relay"] == *other.0) =>
            {
                Ok(())
            }
            seen => Err(format!("{seen:?}")),
        }
    });
    wait_until_equal(&[&other.1, &one, &two]);
}

#[test]
fn who_goes_home_is_met_through_a_member_there() {
    let _turn = shared_turn();
    let Some(homes) = Homes::new(Ports::Random) else {
        return;
    };
    homes.plug_in("home1", "eth1", "203.0.113.20/24");
    let [public, one, two] = three(&homes);
    let (id0, id1, id2) = (id(&public), id(&one), id(&two));
    for (host, remote) in [(&one, &id2), (&two, &id1), (&public, &id1)] {
        wait_until_reached(host, remote, "direct");
    }
    // From now on only its router leads out, and nobody comes in.
    ip(&format!("-n {} link del eth1", homes.namespace("home1")));
    one.say("at home");
    two.wait_for_message("at home");
    two.say("welcome");
    one.wait_for_message("welcome");
    for (host, remote) in [(&one, &id2), (&two, &id1)] {
        let way = wait_until_reached(host, remote, "relayed");
        assert_eq!(way["relay"], *id0, "{way}");
    }
    wait_until_equal(&[&public, &one, &two]);
}
