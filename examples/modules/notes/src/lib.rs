//! Notes that people write together, also while they are apart: the module of `examples/notes`.
//!
//! A note is an Automerge document with one text, at `/text`. What somebody types becomes a change in the
//! page, and a row of `note_change` here, for everybody who follows the note. Nobody ever sends a whole note.

use spacetimedb::sats::u256;
use spacetimedb::{Identity, ReducerContext, Table, Timestamp, reducer, table};
use tombolo_doc::changes::{self, ChangeRow, Changes, Seen};
use tombolo_doc::{Doc, Document};

/// Longest title and name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Changes that one call may bring: what a page typed while it was offline comes in several calls.
const CHANGES_MAX: usize = 64;

/// Where the text of a note is.
const TEXT: &str = "/text";

/// A note.
#[table(accessor = note, public)]
pub struct Note {
    /// Drawn by the page that makes it, so that it can be written in before anybody else has heard of it.
    #[primary_key]
    pub id: u128,
    pub title: String,
    pub made_by: Identity,
    pub made: Timestamp,
    /// What people set for the note (a colour, whether it is pinned): a document in a column.
    pub settings: Doc,
}

/// Something that somebody typed into a note. One index finds all changes of a note too, by its first column.
#[table(accessor = note_change, public, index(accessor = by_actor, btree(columns = [note, actor, seq])))]
pub struct NoteChange {
    #[primary_key]
    pub hash: u256,
    pub note: u128,
    pub actor: u128,
    pub seq: u32,
    pub start_op: u32,
    pub max_op: u32,
    pub seen: Vec<Seen>,
    pub bytes: Vec<u8>,
    /// Who sent it.
    pub sender: Identity,
}

/// Somebody who looks at a note now.
#[table(accessor = reader, public)]
pub struct Reader {
    #[primary_key]
    pub identity: Identity,
    pub name: String,
    #[index(btree)]
    pub note: u128,
    /// The place of the cursor in the text, in UTF-16 units, as browsers count.
    pub cursor: u32,
    pub since: Timestamp,
}

/// The changes of one note.
struct NoteChanges<'a> {
    ctx: &'a ReducerContext,
    note: u128,
}

impl Changes for NoteChanges<'_> {
    fn named(&self, hash: u256) -> Option<ChangeRow> {
        let row = self.ctx.db.note_change().hash().find(hash)?;
        (row.note == self.note).then(|| change_row(row))
    }

    fn numbered(&self, actor: u128, seq: u32) -> Option<ChangeRow> {
        let found = self
            .ctx
            .db
            .note_change()
            .by_actor()
            .filter((self.note, actor, seq))
            .next();
        found.map(change_row)
    }
}

fn change_row(row: NoteChange) -> ChangeRow {
    ChangeRow {
        hash: row.hash,
        actor: row.actor,
        seq: row.seq,
        start_op: row.start_op,
        max_op: row.max_op,
        seen: row.seen,
        bytes: row.bytes,
    }
}

fn insert(ctx: &ReducerContext, note: u128, change: ChangeRow) -> Result<(), String> {
    let row = NoteChange {
        hash: change.hash,
        note,
        actor: change.actor,
        seq: change.seq,
        start_op: change.start_op,
        max_op: change.max_op,
        seen: change.seen,
        bytes: change.bytes,
        sender: ctx.sender(),
    };
    ctx.db
        .note_change()
        .try_insert(row)
        .map(drop)
        .map_err(|_| "another note has this change already".to_string())
}

/// Makes a note with an empty text.
#[reducer]
pub fn create(ctx: &ReducerContext, id: u128, title: String) -> Result<(), String> {
    check_name(&title, "a title")?;
    if ctx.db.note().id().find(id).is_some() {
        return Err("there is a note with this id".to_string());
    }
    let document = Document::new()?;
    document.act(&id.to_le_bytes())?;
    document.put(TEXT, "\"\"")?;
    let change = document.commit()?;
    if let Some(row) = changes::judge(&change, &NoteChanges { ctx, note: id })? {
        insert(ctx, id, row)?;
    }
    ctx.db.note().insert(Note {
        id,
        title,
        made_by: ctx.sender(),
        made: ctx.timestamp,
        settings: Doc::default(),
    });
    Ok(())
}

/// Adds what somebody typed: changes that their page made, each after those that it builds on. One that is there
/// already is left alone, so a page may send again what it does not know to have arrived.
#[reducer]
pub fn write(ctx: &ReducerContext, note: u128, changes: Vec<Vec<u8>>) -> Result<(), String> {
    find(ctx, note)?;
    if changes.len() > CHANGES_MAX {
        return Err(format!("{CHANGES_MAX} changes at a time are the most"));
    }
    let there = NoteChanges { ctx, note };
    for change in &changes {
        let Some(row) = changes::judge(change, &there)? else {
            continue;
        };
        if !changes::is_by(&row, ctx.sender()) {
            return Err("the actor of the change is none of the one who sends it".to_string());
        }
        insert(ctx, note, row)?;
    }
    Ok(())
}

/// Adds a line at the end of a note, for whoever has no editor: a script, a sensor. This reads the whole note.
#[reducer]
pub fn append(ctx: &ReducerContext, note: u128, line: String) -> Result<(), String> {
    find(ctx, note)?;
    let document = open(ctx, note)?;
    document.act(&note.to_le_bytes())?;
    let end = document.text(TEXT)?.chars().count();
    let end = u32::try_from(end).map_err(|_| "the note is too long".to_string())?;
    document.splice(TEXT, end, 0, &format!("{line}\n"))?;
    let change = document.commit()?;
    if let Some(row) = changes::judge(&change, &NoteChanges { ctx, note })? {
        insert(ctx, note, row)?;
    }
    Ok(())
}

/// Writes a note's text to the log of the database.
#[reducer]
pub fn print(ctx: &ReducerContext, note: u128) -> Result<(), String> {
    let title = find(ctx, note)?.title;
    log::info!("{title}: {}", open(ctx, note)?.text(TEXT)?);
    Ok(())
}

/// Sets something of a note, to a JSON value: others may set other things at the same time.
#[reducer]
pub fn set(ctx: &ReducerContext, note: u128, key: String, json: String) -> Result<(), String> {
    check_name(&key, "a setting")?;
    if key.contains(['/', '~']) {
        return Err("a setting has no / and no ~ in its name".to_string());
    }
    let mut row = find(ctx, note)?;
    let settings = row.settings.open()?;
    settings.act(&note.to_le_bytes())?;
    settings.put(&format!("/{key}"), &json)?;
    row.settings = Doc::of(&settings)?;
    ctx.db.note().id().update(row);
    Ok(())
}

/// Says that the caller looks at a note, under a name, with the cursor at a place.
#[reducer]
pub fn look(ctx: &ReducerContext, note: u128, name: String, cursor: u32) -> Result<(), String> {
    check_name(&name, "a name")?;
    find(ctx, note)?;
    let before = ctx.db.reader().identity().find(ctx.sender());
    let since = before
        .as_ref()
        .filter(|before| before.note == note)
        .map_or(ctx.timestamp, |before| before.since);
    let row = Reader {
        identity: ctx.sender(),
        name,
        note,
        cursor,
        since,
    };
    if before.is_some() {
        ctx.db.reader().identity().update(row);
    } else {
        ctx.db.reader().insert(row);
    }
    Ok(())
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    ctx.db.reader().identity().delete(ctx.sender());
}

fn find(ctx: &ReducerContext, note: u128) -> Result<Note, String> {
    ctx.db
        .note()
        .id()
        .find(note)
        .ok_or_else(|| "there is no such note".to_string())
}

fn open(ctx: &ReducerContext, note: u128) -> Result<Document, String> {
    let rows: Vec<NoteChange> = ctx.db.note_change().by_actor().filter(note).collect();
    Ok(Document::of_changes(
        rows.iter().map(|row| row.bytes.as_slice()),
    )?)
}

fn check_name(name: &str, what: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err(format!("{what} must not be empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{what} is at most {NAME_BYTES_MAX} bytes long"));
    }
    Ok(())
}
