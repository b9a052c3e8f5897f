//! Pages: what somebody has open beside a peer, to write in the one document of the world. A page outlives
//! its peer's process, as a browser does: it keeps what it typed until the peer shows it.

use automerge::transaction::{CommitOptions, Transactable as _};
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ObjId, ObjType, ReadDoc as _, Value};
use peer_core::{Reply, Request};

use super::World;
use crate::workload::Planned;

/// Actor of the change that the module begins with.
const FIRST: [u8; 16] = [0; 16];

/// The key of the text.
const TEXT: &str = "text";

/// The change that makes the text: the module has the same bytes.
pub(crate) fn first() -> Change {
    let mut document = AutoCommit::new().with_actor(ActorId::from(&FIRST[..]));
    document
        .put_object(automerge::ROOT, TEXT, ObjType::Text)
        .expect("the root is a map");
    document.commit_with(CommitOptions::default().with_time(0));
    document.get_last_local_change().expect("just made")
}

/// What these changes come to.
pub(crate) fn text_of(changes: Vec<Change>) -> Result<String, String> {
    let mut document = AutoCommit::new();
    document
        .apply_changes(changes)
        .map_err(|error| format!("the document cannot be merged: {error}"))?;
    let found = document.get(automerge::ROOT, TEXT);
    let (_, text) = found.ok().flatten().ok_or("the document has no text")?;
    document.text(&text).map_err(|error| error.to_string())
}

/// A change as SQL shows it.
pub(crate) fn shown_change(hex: &str) -> Result<Change, String> {
    let digits = hex.strip_prefix("0x").unwrap_or(hex).as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    let bytes = bytes.ok_or_else(|| format!("{hex} is no bytes"))?;
    Change::from_bytes(bytes).map_err(|error| format!("{hex} is no change: {error}"))
}

/// What somebody has typed beside one peer.
#[derive(Debug, Default)]
pub(crate) struct Page {
    typed: Vec<Change>,
}

impl World {
    /// Somebody types one character more.
    pub(super) fn keystroke(&mut self, at: usize) -> Option<Planned> {
        let text = self.workload.character();
        let changes = self.type_into(at, &text)?;
        let device = self.nodes[at].device;
        let planned = self
            .workload
            .typing(&self.database, &device, text, &changes);
        Some(planned)
    }

    /// Somebody types this into the document that a peer shows: the changes to send, those before it
    /// included that the peer does not show. Nothing while the peer lacks what was typed on.
    fn type_into(&mut self, at: usize, text: &str) -> Option<Vec<Vec<u8>>> {
        let rows = self.scrawls(at)?;
        let (mut document, object) = self.nodes[at].page.open(&rows, at)?;
        let place = self.workload.dice().index(document.length(&object) + 1);
        document.splice_text(&object, place, 0, text).ok()?;
        document.commit_with(CommitOptions::default().with_time(0))?;
        let page = &mut self.nodes[at].page;
        page.typed.push(document.get_last_local_change()?);
        let shown: Vec<ChangeHash> = rows.iter().map(Change::hash).collect();
        let unsent = page
            .typed
            .iter()
            .filter(|change| !shown.contains(&change.hash()));
        Some(unsent.map(|change| change.raw_bytes().to_vec()).collect())
    }

    /// The changes that a peer shows.
    fn scrawls(&mut self, at: usize) -> Option<Vec<Change>> {
        let request = Request::Sql {
            database: self.database.clone(),
            text: "SELECT bytes FROM scrawl".to_owned(),
        };
        let Some(Ok(Reply::Rows(rows))) = self.ask(at, request) else {
            return None;
        };
        let change = |row: &serde_json::value::RawValue| {
            let [bytes]: [String; 1] = serde_json::from_str(row.get()).ok()?;
            shown_change(&bytes).ok()
        };
        rows.rows.iter().map(|row| change(row)).collect()
    }
}

impl Page {
    /// The document of these rows and of what was typed here. Nothing if a change that was typed here lacks
    /// what it builds on.
    fn open(&self, rows: &[Change], at: usize) -> Option<(AutoCommit, ObjId)> {
        let mut actor = [7; 16];
        actor[0] = u8::try_from(at).ok()?;
        let mut document = AutoCommit::new().with_actor(ActorId::from(&actor[..]));
        let all: Vec<Change> = rows.iter().chain(&self.typed).cloned().collect();
        document.apply_changes(all).ok()?;
        let mut is_there = |change: &Change| document.get_change_by_hash(&change.hash()).is_some();
        if !self.typed.iter().all(&mut is_there) {
            return None;
        }
        let (value, text) = document.get(automerge::ROOT, TEXT).ok()??;
        matches!(value, Value::Object(ObjType::Text)).then_some((document, text))
    }
}
