//! Four people type one text on four peers that are apart, then these become equal; and the same with
//! Automerge's library alone.

use anyhow::Context as _;
use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, Change, ObjId, ObjType, ReadDoc as _};
use peer_core::Claims;

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::Mesh;
use crate::places::module;
use crate::report::{Better, Row};
use crate::resident::Grown;

const WRITERS: usize = 4;

/// Keystrokes that an editor gathers into one change.
const KEYS_A_CHANGE: usize = 10;

/// Calls that wait for their answers at the same time.
const IN_FLIGHT: usize = 16;

/// The note that all write in.
const NOTE: u128 = 7;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let keys = usize::try_from(options.amount(25_000))?;
    let mut mesh = Mesh::new(WRITERS)?;
    mesh.publish(module("notes")?)?;
    let title = "text";
    let arguments = [
        &NOTE.to_le_bytes()[..],
        &(title.len() as u32).to_le_bytes(),
        title.as_bytes(),
    ]
    .concat();
    mesh.call_all(0, &[("create", arguments)])?;
    let mut writers = Writers::new(&mesh)?;
    mesh.call_all(0, &[("write", write(&[&writers.first]))])?;
    mesh.converge()?;
    mesh.part();
    let disk_before = mesh.disk_bytes(0)?;

    let mut alone = Grown::from_here()?;
    let start = instant();
    let typed: Vec<Vec<Change>> = (0..WRITERS)
        .map(|at| writers.types(at, keys))
        .collect::<anyhow::Result<_>>()?;
    let typing_s = start.elapsed().as_secs_f64();
    alone.look()?;

    let mut peers = Grown::from_here()?;
    let start = instant();
    for (at, changes) in typed.iter().enumerate() {
        for calls in changes.chunks(IN_FLIGHT) {
            let calls: Vec<_> = calls
                .iter()
                .map(|change| ("write", write(&[change])))
                .collect();
            mesh.call_all(at, &calls)?;
        }
    }
    let keeping_s = start.elapsed().as_secs_f64();

    let sent_before = mesh.sent_bytes();
    let executed = |mesh: &mut Mesh| -> anyhow::Result<u64> {
        (0..WRITERS).map(|at| Ok(mesh.status(at)?.executions)).sum()
    };
    let before = executed(&mut mesh)?;
    let start = instant();
    mesh.meet();
    mesh.converge()?;
    let equal_s = start.elapsed().as_secs_f64();
    peers.look()?;
    let again = executed(&mut mesh)? - before;
    mesh.wait_until_final()?;
    let sent = mesh.sent_bytes() - sent_before;
    let disk = mesh.disk_bytes(0)?.saturating_sub(disk_before);

    alone.go_on()?;
    let start = instant();
    writers.merge(&typed)?;
    let merging_s = start.elapsed().as_secs_f64();
    alone.look()?;
    let text = writers.text()?;
    let all = WRITERS * keys;
    anyhow::ensure!(
        text.chars().count() == all,
        "{} characters of {all}",
        text.chars().count()
    );
    let saved = writers.copies[0].save().len();

    let made: usize = typed.iter().map(Vec::len).sum();
    // Each change has to run once on each of the peers that did not make it.
    let repeated = again.saturating_sub((made * (WRITERS - 1)) as u64) as f64 / made as f64;
    let alone_s = typing_s + merging_s;
    let together_s = alone_s + keeping_s + equal_s;
    Ok(vec![
        Row::note(
            format!("{all} keystrokes by {WRITERS} writers, typed and merged by Automerge alone"),
            alone_s,
            "s",
        ),
        Row::note("of it merging, on all four", merging_s, "s"),
        Row::note(
            format!("the changes judged, signed and on disk, {made} calls"),
            keeping_s,
            "s",
        ),
        Row::note("then all four peers equal", equal_s, "s"),
        Row::new(
            "all of it, to Automerge alone",
            together_s / alone_s,
            "×",
            Better::Less,
            2.0,
        ),
        Row::note("re-executions for each call", repeated, "runs/call"),
        Row::note(
            "bytes between the peers, for each keystroke and each peer that hears it",
            sent as f64 / (all * (WRITERS - 1)) as f64,
            "bytes",
        ),
        Row::note(
            "bytes on the disk of a peer, for each keystroke",
            disk as f64 / all as f64,
            "bytes",
        ),
        Row::note(
            "the same as Automerge saves the document",
            saved as f64 / all as f64,
            "bytes",
        ),
        Row::note(
            "memory that a peer takes for it at the most, in the mean of all four",
            peers.mib / WRITERS as f64,
            "MiB",
        ),
        Row::note(
            "memory that a copy of Automerge's alone takes for it at the most",
            alone.mib / WRITERS as f64,
            "MiB",
        ),
    ])
}

/// Arguments of `write`.
fn write(changes: &[&Change]) -> Vec<u8> {
    let count = |len: usize| (len as u32).to_le_bytes();
    let mut arguments = NOTE.to_le_bytes().to_vec();
    arguments.extend(count(changes.len()));
    for change in changes {
        arguments.extend(count(change.raw_bytes().len()));
        arguments.extend(change.raw_bytes());
    }
    arguments
}

/// Four people, each with a copy.
struct Writers {
    copies: Vec<AutoCommit>,
    text: ObjId,
    /// The change that made the text.
    first: Change,
}

impl Writers {
    fn new(mesh: &Mesh) -> anyhow::Result<Self> {
        let actor = |at: usize| {
            let mut actor = Claims::of_device(&mesh.device(at)).identity()[..8].to_vec();
            // As people write an identity, its last digits.
            actor.reverse();
            actor.extend([1; 8]);
            ActorId::from(actor)
        };
        let mut first = AutoCommit::new().with_actor(actor(0));
        let text = first.put_object(automerge::ROOT, "body", ObjType::Text)?;
        first.commit();
        let made = first.get_last_local_change().context("a change was made")?;
        let copies = (0..WRITERS)
            .map(|at| first.fork().with_actor(actor(at)))
            .collect();
        Ok(Self {
            copies,
            text,
            first: made,
        })
    }

    /// Somebody types, a key at a time, here and there.
    fn types(&mut self, at: usize, keys: usize) -> anyhow::Result<Vec<Change>> {
        let copy = &mut self.copies[at];
        let mut changes = Vec::with_capacity(keys / KEYS_A_CHANGE + 1);
        let mut place = 0;
        for key in 0..keys {
            // A new sentence somewhere else, every now and then.
            if key % 80 == 0 {
                place = key * 7 / 11;
            }
            copy.splice_text(&self.text, place, 0, if key % 6 == 5 { " " } else { "a" })?;
            place += 1;
            if (key + 1) % KEYS_A_CHANGE == 0 || key + 1 == keys {
                copy.commit();
                changes.push(copy.get_last_local_change().context("a change was made")?);
            }
        }
        Ok(changes)
    }

    /// Each merges what the others typed.
    fn merge(&mut self, typed: &[Vec<Change>]) -> anyhow::Result<()> {
        for (at, copy) in self.copies.iter_mut().enumerate() {
            let others = typed.iter().enumerate().filter(|(other, _)| *other != at);
            let changes: Vec<Change> = others.flat_map(|(_, changes)| changes.clone()).collect();
            copy.apply_changes(changes)?;
        }
        Ok(())
    }

    /// What all of them read.
    fn text(&mut self) -> anyhow::Result<String> {
        let text = self.copies[0].text(&self.text)?;
        for copy in &self.copies[1..] {
            anyhow::ensure!(copy.text(&self.text)? == text, "two copies differ");
        }
        Ok(text)
    }
}
