//! The greenhouse of `examples/mesh`: its own programs as processes, on three peers that are cut apart while
//! both sides want the same job.

use crate::client::Called;
use crate::harness::{
    LONG_PATIENCE, PATIENCE, Peer, run, tombolo, turn, wait_for, wait_until_equal,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const DATABASE: &str = "greenhouse";

/// The example's program. `cargo xtask test` builds it beside the one under test.
fn program() -> PathBuf {
    let program = tombolo().with_file_name("greenhouse");
    assert!(
        program.exists(),
        "{} is not there: `cargo xtask test` builds it",
        program.display()
    );
    program
}

fn command(arguments: &[&str], peer: &Peer) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(peer.data_dir())
        .env_remove("GREENHOUSE_STATE");
    command
}

/// A sensor or an actuator: a process that ends with the test.
struct Device {
    name: String,
    child: Child,
    folder: PathBuf,
}

impl Device {
    /// Starts one, and waits until it is registered.
    fn start(folder: &Path, arguments: &[&str], peer: &Peer) -> Device {
        let name = arguments[1].to_owned();
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join(format!("{name}.txt")))
            .expect("the output can be kept");
        let child = command(arguments, peer)
            .arg("--state")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be copied"))
            .stderr(output)
            .spawn()
            .expect("the program starts");
        let device = Device {
            name,
            child,
            folder: folder.to_path_buf(),
        };
        device.says(" at http://");
        device
    }

    /// All that it printed, in all its lives.
    fn output(&self) -> String {
        let file = self.folder.join(format!("{}.txt", self.name));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// Waits until it has printed this.
    fn says(&self, text: &str) {
        wait_for(&format!("{} to say {text:?}", self.name), PATIENCE, || {
            let output = self.output();
            match output.contains(text) {
                true => Ok(()),
                false => Err(output),
            }
        });
    }

    /// Its identity, from the file in which it keeps its token.
    fn identity(&self) -> String {
        let file = self.folder.join(format!("{}.token", self.name));
        let kept = std::fs::read_to_string(file).expect("it keeps its token");
        let kept: Value = serde_json::from_str(&kept).expect("it keeps JSON");
        kept["identity"].as_str().expect("an identity").to_owned()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.output());
        }
    }
}

/// A greenhouse on the first peer, joined by the others.
fn greenhouse(names: &[&str]) -> Vec<Peer> {
    let peers: Vec<Peer> = names.iter().map(|name| Peer::start(name)).collect();
    peers[0].publish(DATABASE, DATABASE);
    for peer in &peers[1..] {
        peer.join(&peers[0].invite(DATABASE));
    }
    peers
}

fn ok(peer: &Peer, reducer: &str, arguments: Value) {
    let called = peer.call(DATABASE, reducer, &arguments);
    assert_eq!(called, Called::Ok, "{reducer} {arguments}");
}

/// The reducer fails with a text that contains `why`.
fn fails(peer: &Peer, reducer: &str, arguments: Value, why: &str) {
    match peer.call(DATABASE, reducer, &arguments) {
        Called::Failed(text) => assert!(text.contains(why), "{reducer}: {text}"),
        other => panic!("{reducer} {arguments}: {other:?}"),
    }
}

/// What `greenhouse watch --json` shows at this peer.
fn watched(peer: &Peer) -> Value {
    let shown = run(&mut command(&["watch", "--json"], peer), PATIENCE).ok();
    serde_json::from_str(&shown).expect("--json prints JSON")
}

/// Asks for a job and waits until all peers know of it. Gives its number.
fn job(peers: &[Peer], task: &str, seconds: u32) -> u64 {
    ok(&peers[0], "add_job", json!([task, seconds]));
    let sql = format!("SELECT number FROM job WHERE task = '{task}'");
    let numbers = peers.iter().map(|peer| {
        wait_for("the job to arrive", PATIENCE, || {
            let rows = peer.sql(DATABASE, &sql);
            rows.first()
                .and_then(|row| row[0].as_u64())
                .ok_or_else(|| format!("{}: no job", peer.name()))
        })
    });
    let numbers: BTreeSet<u64> = numbers.collect();
    assert_eq!(numbers.len(), 1, "one number everywhere: {numbers:?}");
    numbers.into_iter().next().expect("there is one")
}

/// Who has this job, as this peer sees it.
fn claimer(peer: &Peer, job: u64) -> Option<String> {
    let sql = format!("SELECT actuator FROM claim WHERE job = {job}");
    let rows = peer.sql(DATABASE, &sql);
    assert!(rows.len() <= 1, "a job has two claims: {rows:?}");
    let identity = rows.first()?[0][0].as_str().expect("an identity");
    Some(identity.trim_start_matches("0x").to_owned())
}

fn wait_for_claimer(peer: &Peer, job: u64, by: &Device) {
    let who = by.identity();
    wait_for(
        &format!("{} to have the job", by.name),
        PATIENCE,
        || match claimer(peer, job) {
            Some(claimer) if claimer == who => Ok(()),
            other => Err(format!("at {}: {other:?}", peer.name())),
        },
    );
}

/// All readings of one device, as this peer sees them.
fn readings(peer: &Peer, of: &Device) -> BTreeSet<String> {
    let sql = format!(
        "SELECT at, value FROM reading WHERE device = 0x{}",
        of.identity()
    );
    let rows = peer.sql(DATABASE, &sql);
    rows.iter().map(Value::to_string).collect()
}

fn wait_for_more_readings(peer: &Peer, of: &Device) {
    let before = readings(peer, of).len();
    wait_for("more readings", PATIENCE, || {
        match readings(peer, of).len() {
            count if count >= before + 3 => Ok(()),
            count => Err(format!("{count} at {}", peer.name())),
        }
    });
}

#[test]
fn both_sides_of_a_cut_want_one_job_and_one_gets_it() {
    let _turn = turn();
    let peers = greenhouse(&["a", "b", "c"]);
    let (a, b, c) = (&peers[0], &peers[1], &peers[2]);
    let folder = tempfile::tempdir().expect("a scratch directory can be made");
    let folder = folder.path();
    let sensor = |name, kind, peer| {
        let well = [
            "sensor", name, "--kind", kind, "--every", "100", "--upset", "0",
        ];
        Device::start(folder, &well, peer)
    };
    let roof = sensor("roof", "temperature", a);
    let soil = sensor("soil", "humidity", b);
    let door = sensor("door", "temperature", c);
    let wanted = job(&peers, "open the roof", 1);

    c.cli(&["network", "off"]).ok();
    let pump = Device::start(folder, &["actuator", "pump"], a);
    let vent = Device::start(folder, &["actuator", "vent"], c);
    for (peer, actuator) in [(a, &pump), (c, &vent)] {
        actuator.says(&format!("job {wanted}: claimed"));
        actuator.says(&format!("job {wanted}: done"));
        let sql = format!("SELECT actuator FROM finished WHERE job = {wanted}");
        let done = peer.sql(DATABASE, &sql);
        assert_eq!(done, [json!([[format!("0x{}", actuator.identity())]])]);
    }
    wait_for_more_readings(a, &roof);
    wait_for_more_readings(b, &soil);
    wait_for_more_readings(c, &door);
    let apart = [(&roof, readings(a, &roof)), (&door, readings(c, &door))];
    assert!(
        readings(c, &roof).len() < apart[0].1.len() && readings(a, &door).len() < apart[1].1.len(),
        "they are apart"
    );

    c.cli(&["network", "on"]).ok();
    // Both devices hear what became of their work: it is one's, and void for the other.
    let verdicts = [&pump, &vent].map(|actuator| {
        wait_for("the verdict", LONG_PATIENCE, || {
            let output = actuator.output();
            let won = output.contains(&format!("job {wanted}: final, this device did it"));
            let lost = output.contains(&format!("job {wanted}: void, somebody else was first"));
            match won != lost {
                true => Ok(won),
                false => Err(output),
            }
        })
    });
    assert_ne!(verdicts[0], verdicts[1], "exactly one has won");
    let winner = if verdicts[0] { &pump } else { &vent };
    for peer in &peers {
        let done = peer.sql(DATABASE, "SELECT job, actuator FROM finished");
        let expected = json!([wanted, [format!("0x{}", winner.identity())]]);
        assert_eq!(done, [expected], "at {}", peer.name());
        assert_eq!(peer.count(DATABASE, "job"), 0);
        assert_eq!(peer.count(DATABASE, "claim"), 0);
        for (device, written) in &apart {
            let there = readings(peer, device);
            let lost: Vec<_> = written.difference(&there).collect();
            assert!(lost.is_empty(), "{}: lost {lost:?}", peer.name());
        }
    }

    // A smaller window: what is older goes on all peers, and what is measured now is there.
    fails(c, "set_window", json!([5]), "only an owner or admin");
    let newest = "SELECT MAX(at) AS newest FROM reading";
    let newest = a.sql(DATABASE, newest)[0][0][0].as_i64();
    let newest = newest.expect("there are readings");
    ok(a, "set_window", json!([5]));
    for peer in &peers {
        wait_for("old readings to go", LONG_PATIENCE, || {
            let old = format!("reading WHERE at <= {newest}");
            match (peer.count(DATABASE, &old), peer.count(DATABASE, "reading")) {
                (0, 1..) => Ok(()),
                counts => Err(format!("{}: old and all are {counts:?}", peer.name())),
            }
        });
    }
    drop((roof, soil, door, pump, vent));
    wait_until_equal(&[a, b, c], DATABASE);
    let shown: Vec<Value> = peers.iter().map(watched).collect();
    for one in &shown {
        assert_eq!(one["devices"], shown[0]["devices"]);
        assert_eq!(one["finished"], shown[0]["finished"]);
        assert_eq!(one["links"].as_array().map(Vec::len), Some(2), "{one}");
        let reached = one["links"][0]["reached"].as_str();
        assert!(matches!(reached, Some("TCP" | "QUIC")), "{one}");
    }
}

#[test]
fn whoever_must_be_sure_does_nothing_in_vain() {
    let _turn = turn();
    let peers = greenhouse(&["a", "b"]);
    let folder = tempfile::tempdir().expect("a scratch directory can be made");
    let folder = folder.path();
    let wanted = job(&peers, "open the roof", 1);
    peers[1].cli(&["network", "off"]).ok();
    // The first peer is the finaliser: what is claimed there becomes final, there only.
    let pump = Device::start(folder, &["actuator", "pump", "--sure"], &peers[0]);
    let vent = Device::start(folder, &["actuator", "vent", "--sure"], &peers[1]);
    vent.says(&format!("job {wanted}: claimed, not final yet"));
    pump.says(&format!("job {wanted}: final, this device did it"));
    assert_eq!(claimer(&peers[1], wanted), Some(vent.identity()));
    peers[1].cli(&["network", "on"]).ok();
    vent.says(&format!("job {wanted}: lost"));
    let begun = format!("job {wanted}: open the roof");
    assert!(pump.output().contains(&begun), "{}", pump.output());
    assert!(!vent.output().contains(&begun), "{}", vent.output());
    drop((pump, vent));
    wait_until_equal(&[&peers[0], &peers[1]], DATABASE);
}

#[test]
fn alarms_are_seen_to_once_and_the_job_of_one_that_vanished_is_free_again() {
    let _turn = turn();
    let peers = greenhouse(&["a", "b"]);
    let (a, b) = (&peers[0], &peers[1]);
    let folder = tempfile::tempdir().expect("a scratch directory can be made");
    let folder = folder.path();
    fails(a, "record", json!([20.0]), "register it first");
    let hot = [
        "sensor", "roof", "--every", "50", "--upset", "100", "--count", "4",
    ];
    let roof = Device::start(folder, &hot, b);
    roof.says("roof: 4 readings written");
    let alarm = wait_for("the alarm", PATIENCE, || {
        let alarms = watched(a)["alarms"].take();
        match alarms[0]["device_name"] == "roof" && alarms[0]["over"].is_null() {
            true => Ok(alarms[0].clone()),
            false => Err(alarms.to_string()),
        }
    });
    let which = json!([[format!("0x{}", roof.identity())], [alarm["raised"]]]);
    let another = json!([which[0], [0]]);
    fails(a, "acknowledge", another, "there is no such alarm any more");
    ok(a, "acknowledge", which.clone());
    wait_for("the other to hear of it", PATIENCE, || {
        let alarm = watched(b)["alarms"][0].take();
        match alarm["acknowledged_by"].is_null() {
            true => Err(alarm.to_string()),
            false => Ok(()),
        }
    });
    fails(b, "acknowledge", which, "has acknowledged it already");
    let text = run(&mut command(&["watch", "--once"], b), PATIENCE).ok();
    assert!(
        text.contains("roof") && text.contains("acknowledged by c200"),
        "{text}"
    );

    // It works for minutes, and is killed in the middle of it.
    ok(a, "set_away", json!([5]));
    let long = job(&peers, "water everything", 600);
    let pump = Device::start(folder, &["actuator", "pump"], b);
    wait_for_claimer(a, long, &pump);
    fails(a, "finish_job", json!([long]), "pump has it");
    fails(a, "cancel_job", json!([long]), "is being done by pump");
    drop(pump);
    let vent = Device::start(folder, &["actuator", "vent"], a);
    wait_for_claimer(b, long, &vent);
    // It comes back, and is told whose the job is.
    let pump = Device::start(folder, &["actuator", "pump"], b);
    fails(b, "give_up_job", json!([long]), "vent has it");
    let forgotten = json!([[format!("0x{}", pump.identity())]]);
    fails(b, "forget", forgotten, "only an owner or admin");
    drop((pump, vent, roof));
    wait_until_equal(&[a, b], DATABASE);
}

#[test]
fn a_job_stays_with_one_that_was_only_out_of_reach() {
    let _turn = turn();
    let peers = greenhouse(&["a", "b"]);
    let (a, b) = (&peers[0], &peers[1]);
    let folder = tempfile::tempdir().expect("a scratch directory can be made");
    let folder = folder.path();
    ok(a, "set_away", json!([5]));
    let long = job(&peers, "water everything", 600);
    // The first peer is the finaliser.
    let pump = Device::start(folder, &["actuator", "pump"], a);
    wait_for_claimer(b, long, &pump);
    b.cli(&["network", "off"]).ok();
    // To this side the pump is silent, so its job is free after a while.
    let vent = Device::start(folder, &["actuator", "vent"], b);
    wait_for_claimer(b, long, &vent);
    assert_eq!(claimer(a, long), Some(pump.identity()));
    b.cli(&["network", "on"]).ok();
    vent.says(&format!("job {long}: lost: pump has it"));
    wait_for_claimer(b, long, &pump);
    assert!(!pump.output().contains("lost"), "{}", pump.output());
    drop((pump, vent));
    wait_until_equal(&[a, b], DATABASE);
}
