//! A document in memory: a set of changes that were judged, and what the library makes of them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::CommitOptions;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ReadDoc as _, TextEncoding, Value};

use crate::change::{Change, Hash};
use crate::definitions::Definitions;
use crate::error::{ChangeError, DocumentError};
use crate::json::{self, library};
use crate::limits::{ACTOR_BYTES_MAX, ANSWER_BYTES_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_OPS_MAX};
use crate::path::{Path, place};

/// A document. Places in a text count characters (Unicode scalar values).
///
/// What is asked of it reads what was merged and what was edited. Edits become a change with
/// [`Document::commit`]; before the first one, [`Document::act_as`] says whose.
pub struct Document {
    pub(crate) library: AutoCommit,
    definitions: Definitions,
    /// In the order they came.
    order: Vec<Hash>,
    /// Whose edits these are; none before somebody said so.
    pub(crate) acts: bool,
    time_s: i64,
    /// The library broke off amid something: what it holds is not to be trusted.
    pub(crate) broken: bool,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("changes", &self.order.len())
            .finish_non_exhaustive()
    }
}

/// What is at a path.
pub(crate) struct At {
    pub(crate) id: ObjId,
    pub(crate) kind: Kind,
}

/// An object, or a value as JSON.
pub(crate) enum Kind {
    Object(ObjType),
    Scalar(automerge::ScalarValue),
}

impl Kind {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Object(ObjType::Map | ObjType::Table) => "a map",
            Self::Object(ObjType::List) => "a list",
            Self::Object(ObjType::Text) => "a text",
            Self::Scalar(automerge::ScalarValue::Counter(_)) => "a counter",
            Self::Scalar(_) => "a value",
        }
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty document: a map without keys.
    #[must_use]
    pub fn new() -> Self {
        let library = AutoCommit::new_with_encoding(TextEncoding::UnicodeCodePoint);
        Self {
            // The library draws an actor of its own; nothing is ever done in its name.
            library: library.with_actor(ActorId::from(&[0][..])),
            definitions: Definitions::default(),
            order: Vec::new(),
            acts: false,
            time_s: 0,
            broken: false,
        }
    }

    /// Merges changes that stand one after another, in any order; those that are there already are left
    /// alone. Gives how many were new.
    ///
    /// # Errors
    /// [`DocumentError`] when one of them is refused, depends on one that is neither there nor among
    /// them, or would make the document too large. Then none was merged.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<usize, DocumentError> {
        self.merge_paying(bytes, |_| true)
    }

    /// The same, paying for it: see [`read_all`].
    ///
    /// # Errors
    /// As [`Document::merge`], and [`DocumentError::Unpaid`] when `pay` says no.
    pub fn merge_paying(
        &mut self,
        bytes: &[u8],
        pay: impl FnMut(usize) -> bool,
    ) -> Result<usize, DocumentError> {
        self.whole()?;
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(too_many("bytes", DOCUMENT_BYTES_MAX));
        }
        self.commit_pending()?;
        let fresh = self.read_fresh(bytes, pay)?;
        let fresh = self.in_order(fresh)?;
        let mut changes = Vec::with_capacity(fresh.len());
        let before = self.order.len();
        for change in fresh {
            if let Err(error) = self.take(change, &mut changes) {
                for hash in self.order.drain(before..).rev() {
                    self.definitions.remove(&hash);
                }
                return Err(error);
            }
        }
        let applied = self.guarded(|doc| doc.apply_changes(changes).map_err(library));
        // What was judged is merged: if it is not, nobody knows what is there now.
        self.broken |= applied.is_err();
        applied.map(|()| self.order.len() - before)
    }

    /// Judges a change, takes it in, and adds it to what the library is to merge.
    fn take(
        &mut self,
        change: Change,
        changes: &mut Vec<automerge::Change>,
    ) -> Result<(), DocumentError> {
        let theirs = automerge::Change::from_bytes(change.bytes().to_vec())
            .map_err(|error| DocumentError::Library(error.to_string()))?;
        let hash = change.hash();
        self.definitions.add(change)?;
        self.order.push(hash);
        changes.push(theirs);
        check_size(&self.definitions)
    }

    /// The changes in these bytes that are not there yet.
    fn read_fresh(
        &self,
        bytes: &[u8],
        pay: impl FnMut(usize) -> bool,
    ) -> Result<Vec<Change>, DocumentError> {
        let mut changes = read_all(bytes, pay)?;
        changes.retain(|change| !self.definitions.contains(&change.hash()));
        Ok(changes)
    }

    /// The changes, each once and after all that it depends on; as they came where that leaves a choice.
    fn in_order(&self, changes: Vec<Change>) -> Result<Vec<Change>, ChangeError> {
        let all: BTreeSet<Hash> = changes.iter().map(Change::hash).collect();
        let mut waiting: BTreeMap<Hash, Vec<Change>> = BTreeMap::new();
        let mut there: BTreeSet<Hash> = BTreeSet::new();
        let mut ordered = Vec::with_capacity(changes.len());
        let mut missing_of = None;
        for change in changes {
            let mut ready = vec![change];
            while let Some(change) = ready.pop() {
                if there.contains(&change.hash()) {
                    continue;
                }
                let missing = change
                    .dependencies()
                    .iter()
                    .find(|hash| !there.contains(hash) && !self.definitions.contains(hash));
                if let Some(missing) = missing {
                    if !all.contains(missing) {
                        missing_of.get_or_insert(*missing);
                    }
                    waiting.entry(*missing).or_default().push(change);
                    continue;
                }
                there.insert(change.hash());
                let freed = waiting.remove(&change.hash()).unwrap_or_default();
                ready.extend(freed.into_iter().rev());
                ordered.push(change);
            }
        }
        match (missing_of, waiting.keys().next()) {
            (Some(missing), _) => Err(ChangeError::Missing(missing)),
            // Only changes that name each other, which no hash allows.
            (None, Some(missing)) => Err(ChangeError::Missing(*missing)),
            (None, None) => Ok(ordered),
        }
    }

    /// Says in whose name edits are made from now on, and at which time, in seconds since the Unix epoch.
    /// The bytes must be nobody else's, and none that this actor has made changes with of which this
    /// document knows nothing.
    ///
    /// # Errors
    /// [`DocumentError`] when the name is empty or too long.
    pub fn act_as(&mut self, actor: &[u8], time_s: i64) -> Result<(), DocumentError> {
        self.commit_pending()?;
        if actor.is_empty() || actor.len() > ACTOR_BYTES_MAX {
            return Err(too_many("bytes in an actor", ACTOR_BYTES_MAX));
        }
        self.library.set_actor(ActorId::from(actor));
        self.acts = true;
        self.time_s = time_s;
        Ok(())
    }

    /// Makes one change of all edits since the last, and gives its bytes: none if nothing was edited.
    ///
    /// # Errors
    /// [`DocumentError`] when the change or the document would be too large. Then this document does nothing any more:
    /// it is to be opened anew, without the edits.
    pub fn commit(&mut self) -> Result<Vec<u8>, DocumentError> {
        self.whole()?;
        let time_s = self.time_s;
        let made = self.guarded(|library| {
            let options = CommitOptions::default().with_time(time_s);
            let made = library.commit_with(options).map(|_| ());
            Ok(made.and_then(|()| library.get_last_local_change()))
        })?;
        let Some(made) = made else {
            return Ok(Vec::new());
        };
        let bytes = made.raw_bytes().to_vec();
        let taken = Change::read(&bytes)
            .map_err(DocumentError::from)
            .and_then(|change| {
                let hash = change.hash();
                self.definitions.add(change)?;
                check_size(&self.definitions)?;
                Ok(hash)
            });
        match taken {
            Ok(hash) => self.order.push(hash),
            // The library has it already, and nobody else will.
            Err(error) => {
                self.broken = true;
                return Err(error);
            }
        }
        Ok(bytes)
    }

    fn commit_pending(&mut self) -> Result<(), DocumentError> {
        use automerge::transaction::Transactable as _;
        if self.library.pending_ops() > 0 {
            self.commit()?;
        }
        Ok(())
    }

    /// All changes, one after another, uncompressed: each after those that it depends on.
    ///
    /// # Errors
    /// As [`Document::commit`], which it begins with.
    pub fn changes(&mut self) -> Result<Vec<u8>, DocumentError> {
        self.commit_pending()?;
        let mut bytes = Vec::with_capacity(self.definitions.bytes());
        for hash in &self.order {
            if let Some(change) = self.definitions.get(hash) {
                bytes.extend_from_slice(change.bytes());
            }
        }
        Ok(bytes)
    }

    /// The changes that no other change depends on, ascending: two documents with the same heads are
    /// the same.
    ///
    /// # Errors
    /// As [`Document::commit`], which it begins with.
    pub fn heads(&mut self) -> Result<Vec<Hash>, DocumentError> {
        self.commit_pending()?;
        let mut heads: Vec<Hash> = self
            .library
            .get_heads()
            .iter()
            .map(|hash| Hash(hash.0))
            .collect();
        heads.sort_unstable();
        Ok(heads)
    }

    /// What is at a path, as JSON: texts are strings, counters and timestamps (milliseconds) numbers,
    /// bytes lists of numbers.
    ///
    /// # Errors
    /// [`DocumentError`] when nothing is there, or too much.
    pub fn json(&self, path: &str) -> Result<String, DocumentError> {
        self.whole()?;
        let at = self.at(&Path::parse(path)?.0)?;
        match &at.kind {
            Kind::Object(kind) => json::write(&self.library, &at.id, *kind),
            Kind::Scalar(value) => Ok(json::write_scalar(value)),
        }
    }

    /// The text at a path.
    ///
    /// # Errors
    /// [`DocumentError`] when nothing is there, or something else.
    pub fn text(&self, path: &str) -> Result<String, DocumentError> {
        self.whole()?;
        let steps = Path::parse(path)?.0;
        let at = self.at(&steps)?;
        match at.kind {
            Kind::Object(ObjType::Text) => {
                let text = self.library.text(&at.id).map_err(library)?;
                if text.len() > ANSWER_BYTES_MAX {
                    return Err(too_many("bytes of text", ANSWER_BYTES_MAX));
                }
                Ok(text)
            }
            Kind::Scalar(automerge::ScalarValue::Str(text)) => Ok(text.to_string()),
            kind => Err(wrong_kind(&steps, &kind, "a text")),
        }
    }

    /// Operations of all its changes: what merging and asking costs is in proportion.
    #[must_use]
    pub const fn ops(&self) -> usize {
        self.definitions.ops()
    }

    /// Walks along a path.
    pub(crate) fn at(&self, steps: &[String]) -> Result<At, DocumentError> {
        let mut at = At {
            id: automerge::ROOT,
            kind: Kind::Object(ObjType::Map),
        };
        for (depth, step) in steps.iter().enumerate() {
            let nothing = || DocumentError::Nothing(Path::show(&steps[..=depth]));
            let found = match &at.kind {
                Kind::Object(ObjType::Map | ObjType::Table) => {
                    self.library.get(&at.id, step.as_str())
                }
                Kind::Object(ObjType::List) => {
                    let index = place(step).ok_or_else(nothing)?;
                    self.library.get(&at.id, index)
                }
                kind => return Err(wrong_kind(&steps[..depth], kind, "a map or a list")),
            };
            let (value, id) = found.map_err(library)?.ok_or_else(nothing)?;
            let kind = match value {
                Value::Object(kind) => Kind::Object(kind),
                Value::Scalar(value) => Kind::Scalar(value.into_owned()),
            };
            at = At { id, kind };
        }
        Ok(at)
    }

    /// Fails if the library broke off before.
    pub(crate) fn whole(&self) -> Result<(), DocumentError> {
        if self.broken {
            return Err(DocumentError::Library(
                "it broke off before, or a change was too large: open the document anew".to_owned(),
            ));
        }
        Ok(())
    }

    /// Lets the library do something. What was judged does not make it break off, as far as is known; if
    /// it does, the call gets an error, and this document none of what follows.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut AutoCommit) -> Result<T, DocumentError>,
    ) -> Result<T, DocumentError> {
        let library = &mut self.library;
        match catch_unwind(AssertUnwindSafe(|| work(library))) {
            Ok(done) => done,
            Err(_) => {
                self.broken = true;
                Err(DocumentError::Library("it broke off".to_owned()))
            }
        }
    }
}

/// Reads changes that stand one after another, at most as many as a document may have. `pay` is asked after
/// each whether it is to go on, and hears how many operations it has: that is not known before.
///
/// # Errors
/// [`DocumentError`] when one of them is none, when they are too many, or when `pay` says no.
pub fn read_all(
    bytes: &[u8],
    pay: impl FnMut(usize) -> bool,
) -> Result<Vec<Change>, DocumentError> {
    read_each(bytes, Change::read_first, pay)
}

/// The same, with what reads the first change of some bytes and gives what follows it.
pub(crate) fn read_each<'b, C: Borrow<Change>>(
    bytes: &'b [u8],
    mut read_first: impl FnMut(&'b [u8]) -> Result<(C, &'b [u8]), ChangeError>,
    mut pay: impl FnMut(usize) -> bool,
) -> Result<Vec<C>, DocumentError> {
    let mut changes: Vec<C> = Vec::new();
    let (mut rest, mut inflated, mut ops) = (bytes, 0, 0);
    while !rest.is_empty() {
        let (read, after) = read_first(rest)?;
        rest = after;
        let change = read.borrow();
        if !pay(change.ops().len()) {
            return Err(DocumentError::Unpaid);
        }
        inflated += change.bytes().len();
        ops += change.ops().len();
        if inflated > DOCUMENT_BYTES_MAX {
            return Err(too_many("bytes", DOCUMENT_BYTES_MAX));
        }
        if ops > DOCUMENT_OPS_MAX {
            return Err(too_many("operations", DOCUMENT_OPS_MAX));
        }
        changes.push(read);
    }
    Ok(changes)
}

pub(crate) const fn too_many(what: &'static str, max: usize) -> DocumentError {
    DocumentError::TooMany { what, max }
}

pub(crate) fn wrong_kind(steps: &[String], is: &Kind, expected: &'static str) -> DocumentError {
    DocumentError::Kind {
        path: Path::show(steps),
        is: is.word(),
        expected,
    }
}

fn check_size(definitions: &Definitions) -> Result<(), DocumentError> {
    if definitions.bytes() > DOCUMENT_BYTES_MAX {
        return Err(too_many("bytes", DOCUMENT_BYTES_MAX));
    }
    if definitions.ops() > DOCUMENT_OPS_MAX {
        return Err(too_many("operations", DOCUMENT_OPS_MAX));
    }
    Ok(())
}
