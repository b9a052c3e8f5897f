//! Documents that people write together: `examples/modules/notes` on real peers, written in with Automerge's own
//! library as apps do.

use crate::client::Called;
use crate::harness::{PATIENCE, Peer, turn, wait_for, wait_until_equal};
use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ObjId, ReadDoc as _, TextEncoding, Value as Automerged};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

const NOTE: u64 = 7;

/// Keystrokes that become one change, as an editor sends them every now and then.
const KEYS_A_CHANGE: usize = 5;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Somebody with a copy of the note.
struct Writer<'a> {
    peer: &'a Peer,
    copy: AutoCommit,
    text: ObjId,
    calls: u64,
}

impl<'a> Writer<'a> {
    /// Loads the note. `session` tells pages of one person apart.
    fn new(peer: &'a Peer, session: u8) -> Self {
        let identity = identity(peer);
        let actor = [&identity[24..], &[session; 8]].concat();
        let mut copy = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit)
            .with_actor(ActorId::from(actor));
        copy.apply_changes(changes(peer))
            .expect("accepted changes merge");
        let (_, text) = copy
            .get(automerge::ROOT, "text")
            .expect("readable")
            .expect("a text");
        Self {
            peer,
            copy,
            text,
            calls: 0,
        }
    }

    fn text(&self) -> String {
        self.copy.text(&self.text).expect("a text")
    }

    /// Types at a place, a keystroke at a time.
    fn types(&mut self, at: usize, text: &str) {
        let mut at = at;
        for (number, key) in text.chars().enumerate() {
            self.copy
                .splice_text(&self.text, at, 0, &key.to_string())
                .expect("a place");
            at += key.len_utf16();
            if (number + 1) % KEYS_A_CHANGE == 0 {
                self.send();
            }
        }
        self.send();
    }

    /// Sends what was typed since the last time.
    fn send(&mut self) {
        if self.copy.commit().is_none() {
            return;
        }
        let mut change = self.copy.get_last_local_change().expect("just made");
        let called = write(self.peer, &[change.bytes().into_owned()]);
        assert_eq!(called, Called::Ok);
        self.calls += 1;
    }

    /// Merges what the own peer has.
    fn hears(&mut self) {
        self.copy
            .apply_changes(changes(self.peer))
            .expect("accepted changes merge");
    }
}

fn write(peer: &Peer, changes: &[Vec<u8>]) -> Called {
    let changes: Vec<String> = changes.iter().map(|change| hex(change)).collect();
    peer.call("notes", "write", &json!([NOTE, changes]))
}

/// Who the module takes this peer's command line and tests for: whoever makes a note.
fn identity(peer: &Peer) -> Vec<u8> {
    static LAST: AtomicU64 = AtomicU64::new(1_000);
    let id = LAST.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        peer.call("notes", "create", &json!([id, "whose?"])),
        Called::Ok
    );
    let rows = peer.sql(
        "notes",
        &format!("SELECT made_by FROM note WHERE id = {id}"),
    );
    let text = rows[0].to_string();
    let digits = text
        .split("0x")
        .nth(1)
        .expect("an identity")
        .get(..64)
        .expect("64 digits");
    data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .expect("hex")
}

fn changes(peer: &Peer) -> Vec<automerge::Change> {
    let rows = peer.sql(
        "notes",
        &format!("SELECT bytes FROM note_change WHERE note = {NOTE}"),
    );
    let read = |row: &Value| {
        let bytes = match &row[0] {
            Value::String(text) => data_encoding::HEXLOWER
                .decode(text.trim_start_matches("0x").as_bytes())
                .expect("hex"),
            other => serde_json::from_value(other.clone()).expect("bytes"),
        };
        automerge::Change::from_bytes(bytes).expect("what was accepted is a change")
    };
    rows.iter().map(read).collect()
}

fn executions(peer: &Peer) -> u64 {
    let status = peer.cli(&["status", "notes", "--json"]).ok();
    let status: Value = serde_json::from_str(&status).expect("--json prints JSON");
    let found = status
        .pointer("/0/executions")
        .or_else(|| status.get("executions"));
    found
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no executions in {status}"))
}

#[test]
fn two_people_type_into_one_paragraph_while_they_are_apart() {
    let _turn = turn();
    let [a, b] = ["notes-a", "notes-b"].map(Peer::start);
    a.publish("notes", "notes");
    b.join(&a.invite("notes"));
    assert_eq!(
        a.call("notes", "create", &json!([NOTE, "Greenhouse"])),
        Called::Ok
    );
    wait_until_equal(&[&a, &b], "notes");
    let mut ada = Writer::new(&a, 1);
    ada.types(0, "The tomatoes are ripe.");
    wait_until_equal(&[&a, &b], "notes");
    let mut bob = Writer::new(&b, 2);
    wait_until_equal(&[&a, &b], "notes");
    ada.hears();
    assert_eq!(ada.text(), bob.text());

    b.cli(&["network", "off"]).ok();
    let before = [&a, &b].map(executions);
    let sent = [ada.calls, bob.calls];
    let place = "The tomatoes".len();
    ada.types(place, " in the second row, which ada has watered,");
    bob.types(place, " and the cucumbers that bob planted in May");
    let end = bob.text().trim_end().encode_utf16().count();
    bob.types(end, " Bring a basket.");
    let end = ada.text().find(" are").expect("it was there");
    // Somebody deletes what somebody else may be writing beside.
    ada.copy
        .splice_text(&ada.text, end, 4, "")
        .expect("it was there");
    ada.send();
    let apart = [&a, &b].map(executions);
    b.cli(&["network", "on"]).ok();
    wait_until_equal(&[&a, &b], "notes");
    ada.hears();
    bob.hears();
    assert_eq!(ada.text(), bob.text());
    let text = ada.text();
    for words in [
        " in the second row, which ada has watered,",
        " and the cucumbers that bob planted in May",
        " Bring a basket.",
    ] {
        assert_eq!(text.matches(words).count(), 1, "{words:?} in {text:?}");
    }
    assert!(!text.contains(" are"), "{text:?}");
    // Each call ran once on each peer, with its connecting and disconnecting. What is behind the last one that came
    // late may have run again: for so little it is not asked what it read.
    let made = [ada.calls - sent[0], bob.calls - sent[1]];
    let counts = [before, apart, [&a, &b].map(executions)];
    for (at, peer) in [&a, &b].into_iter().enumerate() {
        let (own, others) = (3 * made[at], 3 * made[1 - at]);
        let said = format!("{}: {counts:?} {made:?}", peer.name());
        assert_eq!(counts[1][at] - counts[0][at], own, "{said}");
        let healing = counts[2][at] - counts[1][at];
        assert!((others..=others + 3).contains(&healing), "{said}");
    }
    // The module sees the same text.
    assert_eq!(a.call("notes", "print", &json!([NOTE])), Called::Ok);
    let line = text.lines().next().expect("a line").trim();
    wait_for("the text in the log", PATIENCE, || {
        let logs = a.cli(&["logs", "notes"]).ok();
        if logs.contains(line) {
            Ok(())
        } else {
            Err(logs)
        }
    });
}

#[test]
fn settings_in_a_column_keep_what_both_set() {
    let _turn = turn();
    let [a, b] = ["settings-a", "settings-b"].map(Peer::start);
    a.publish("notes", "notes");
    b.join(&a.invite("notes"));
    assert_eq!(
        a.call("notes", "create", &json!([NOTE, "Greenhouse"])),
        Called::Ok
    );
    wait_until_equal(&[&a, &b], "notes");
    b.cli(&["network", "off"]).ok();
    assert_eq!(
        a.call("notes", "set", &json!([NOTE, "colour", "\"green\""])),
        Called::Ok
    );
    assert_eq!(
        b.call("notes", "set", &json!([NOTE, "pinned", "true"])),
        Called::Ok
    );
    b.cli(&["network", "on"]).ok();
    wait_until_equal(&[&a, &b], "notes");
    for peer in [&a, &b] {
        let rows = peer.sql("notes", "SELECT settings FROM note");
        let text = rows[0][0][0]
            .as_str()
            .expect("bytes as hex")
            .trim_start_matches("0x");
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .expect("hex");
        let mut settings = AutoCommit::new();
        settings
            .load_incremental(&bytes)
            .expect("the column is what libraries load");
        let (pinned, _) = settings
            .get(automerge::ROOT, "pinned")
            .expect("readable")
            .expect("set by b");
        assert_eq!(pinned, Automerged::from(true));
        let (_, colour) = settings
            .get(automerge::ROOT, "colour")
            .expect("readable")
            .expect("set by a");
        assert_eq!(settings.text(&colour).expect("a text"), "green");
    }
}

#[test]
fn what_is_no_honest_change_is_refused_with_a_reason() {
    let _turn = turn();
    let a = Peer::start("notes-hostile");
    a.publish("notes", "notes");
    assert_eq!(
        a.call("notes", "create", &json!([NOTE, "Greenhouse"])),
        Called::Ok
    );
    let fails = |changes: &[Vec<u8>], why: &str| match write(&a, changes) {
        Called::Failed(text) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?} instead of {why:?}"),
    };
    let mut honest = Writer::new(&a, 1);
    honest.types(0, "words");
    let rows = a.count("notes", "note_change");

    fails(&[b"hello".to_vec()], "these bytes are no Automerge change");
    let (base, of_text) = (honest.copy.clone(), honest.text.clone());
    let somebody = |actor: &[u8], at: usize| {
        let mut copy = base.clone().with_actor(ActorId::from(actor));
        copy.splice_text(&of_text, at, 1, "x").expect("a place");
        copy.commit();
        copy.get_last_local_change().expect("just made")
    };
    fails(
        &[somebody(&[5; 16], 0).raw_bytes().to_vec()],
        "is none of the one who sends it",
    );
    fails(
        &[somebody(&[5; 17], 0).raw_bytes().to_vec()],
        "has not 16 bytes",
    );
    // A second change with a number that was given away.
    let own = honest.copy.get_actor().to_bytes().to_vec();
    let first = honest.copy.get_changes(&[])[0].hash();
    let mut earlier = honest.copy.fork_at(&[first]).expect("a state");
    earlier.set_actor(ActorId::from(own));
    earlier
        .splice_text(&honest.text, 0, 0, "other words")
        .expect("a place");
    earlier.commit();
    let fork = earlier.get_last_local_change().expect("just made");
    fails(
        &[fork.raw_bytes().to_vec()],
        "another change with the number 1",
    );
    // One that builds on what nobody has.
    let mut ahead = honest.copy.clone();
    ahead
        .splice_text(&honest.text, 0, 0, "kept back")
        .expect("a place");
    ahead.commit();
    ahead
        .splice_text(&honest.text, 0, 0, "sent")
        .expect("a place");
    ahead.commit();
    let sent = ahead.get_last_local_change().expect("just made");
    fails(&[sent.raw_bytes().to_vec()], "which is not there");
    // One that writes into what was never made.
    let mut expanded = somebody(&own_actor(&honest), 0).decode();
    for op in &mut expanded.operations {
        op.obj =
            automerge::legacy::ObjectId::Id(automerge::legacy::OpId::new(999, &expanded.actor_id));
    }
    let nowhere = automerge::Change::from(expanded);
    fails(
        &[nowhere.raw_bytes().to_vec()],
        "refers to an object that it has not seen",
    );
    // A good one beside a bad one goes with it, and is taken alone.
    let good = somebody(&own_actor(&honest), 0).raw_bytes().to_vec();
    fails(&[good.clone(), b"hello".to_vec()], "no Automerge change");
    assert_eq!(
        a.count("notes", "note_change"),
        rows,
        "nothing of it was kept"
    );
    assert_eq!(write(&a, std::slice::from_ref(&good)), Called::Ok);
    assert_eq!(
        write(&a, &[good]),
        Called::Ok,
        "a second time it is there already"
    );
    assert_eq!(a.count("notes", "note_change"), rows + 1);
}

fn own_actor(writer: &Writer<'_>) -> Vec<u8> {
    writer.copy.get_actor().to_bytes().to_vec()
}
