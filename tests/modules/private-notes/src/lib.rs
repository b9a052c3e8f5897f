//! Notes that not everybody sees: visibility filters of every shape that is built. Reducers whose
//! names begin with `put` or `drop` act for anybody, so that a test needs one caller only.

use spacetimedb::{
    Filter, Identity, ReducerContext, Table, client_visibility_filter, reducer, table,
};

/// Something that somebody wrote down.
#[table(accessor = note, public)]
pub struct Note {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub owner: Identity,
    #[index(btree)]
    pub folder: u32,
    pub text: String,
}

/// Somebody may read somebody else's note.
#[table(accessor = share, public)]
pub struct Share {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub note: u64,
    #[index(btree)]
    pub reader: Identity,
    #[index(btree)]
    pub giver: Identity,
}

/// What is said of a note: whoever sees the note sees it.
#[table(accessor = comment, public)]
pub struct Comment {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub note: u64,
    pub text: String,
}

/// People see those of their own team.
#[table(accessor = person, public)]
pub struct Person {
    #[primary_key]
    pub identity: Identity,
    #[index(btree)]
    pub team: u32,
}

/// A team that sees all notes of a folder.
#[table(accessor = desk)]
pub struct Desk {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub team: u32,
    #[index(btree)]
    pub folder: u32,
}

/// Who sees all notes.
#[table(accessor = admin)]
pub struct Admin {
    #[primary_key]
    pub identity: Identity,
}

/// A folder, for everybody if it is open.
#[table(accessor = folder, public)]
pub struct Folder {
    #[primary_key]
    pub id: u32,
    pub open: bool,
    pub name: String,
}

/// Said to one, and gone.
#[table(accessor = whisper, public, event)]
pub struct Whisper {
    #[index(btree)]
    pub to: Identity,
    pub text: String,
}

#[client_visibility_filter]
const OWN_NOTES: Filter = Filter::Sql("SELECT * FROM note WHERE owner = :sender");

#[client_visibility_filter]
const SHARED_NOTES: Filter =
    Filter::Sql("SELECT n.* FROM note n JOIN share s ON s.note = n.id WHERE s.reader = :sender");

#[client_visibility_filter]
const ALL_NOTES: Filter =
    Filter::Sql("SELECT note.* FROM note JOIN admin WHERE admin.identity = :sender");

#[client_visibility_filter]
const NOTES_OF_THE_DESK: Filter = Filter::Sql(
    "SELECT n.* FROM person p JOIN desk d ON p.team = d.team JOIN note n ON n.folder = d.folder \
     WHERE p.identity = :sender",
);

#[client_visibility_filter]
const SHARES_GOT: Filter = Filter::Sql("SELECT * FROM share WHERE reader = :sender");

#[client_visibility_filter]
const SHARES_GIVEN: Filter = Filter::Sql("SELECT * FROM share WHERE giver = :sender");

#[client_visibility_filter]
const COMMENTS: Filter = Filter::Sql("SELECT c.* FROM comment c JOIN note n ON c.note = n.id");

#[client_visibility_filter]
const OWN_TEAM: Filter = Filter::Sql(
    "SELECT q.* FROM person p JOIN person q ON p.team = q.team WHERE p.identity = :sender",
);

#[client_visibility_filter]
const OPEN_FOLDERS: Filter = Filter::Sql("SELECT * FROM folder WHERE open = true");

#[client_visibility_filter]
const OWN_WHISPERS: Filter = Filter::Sql("SELECT * FROM whisper WHERE to = :sender");

/// Writes a note of one's own.
#[reducer]
pub fn write_note(ctx: &ReducerContext, folder: u32, text: String) {
    let owner = ctx.sender();
    ctx.db.note().insert(Note {
        id: 0,
        owner,
        folder,
        text,
    });
}

/// Lets somebody read a note.
#[reducer]
pub fn share_note(ctx: &ReducerContext, note: u64, reader: Identity) -> Result<(), String> {
    let giver = ctx.sender();
    let own = ctx.db.note().id().find(note).filter(|it| it.owner == giver);
    own.ok_or("that is no note of yours")?;
    ctx.db.share().insert(Share {
        id: 0,
        note,
        reader,
        giver,
    });
    Ok(())
}

/// Takes that back.
#[reducer]
pub fn unshare_note(ctx: &ReducerContext, note: u64, reader: Identity) {
    let shares = ctx.db.share().note().filter(note);
    let ids: Vec<u64> = shares
        .filter(|share| share.reader == reader && share.giver == ctx.sender())
        .map(|share| share.id)
        .collect();
    for id in ids {
        ctx.db.share().id().delete(id);
    }
}

/// Says something of a note.
#[reducer]
pub fn comment_on(ctx: &ReducerContext, note: u64, text: String) {
    ctx.db.comment().insert(Comment { id: 0, note, text });
}

/// Whispers to somebody.
#[reducer]
pub fn whisper_to(ctx: &ReducerContext, to: Identity, text: String) {
    ctx.db.whisper().insert(Whisper { to, text });
}

/// Writes a note for somebody, or writes it anew.
#[reducer]
pub fn put_note(ctx: &ReducerContext, id: u64, owner: Identity, folder: u32, text: String) {
    ctx.db.note().id().delete(id);
    ctx.db.note().insert(Note {
        id,
        owner,
        folder,
        text,
    });
}

/// Deletes a note, and what belongs to it only if that is meant.
#[reducer]
pub fn drop_note(ctx: &ReducerContext, id: u64, with_all: bool) -> Result<(), String> {
    if !ctx.db.note().id().delete(id) {
        return Err(format!("there is no note {id}"));
    }
    if with_all {
        ctx.db.share().note().delete(id);
        ctx.db.comment().note().delete(id);
    }
    Ok(())
}

/// Shares a note with somebody, as somebody.
#[reducer]
pub fn put_share(ctx: &ReducerContext, id: u64, note: u64, reader: Identity, giver: Identity) {
    ctx.db.share().id().delete(id);
    ctx.db.share().insert(Share {
        id,
        note,
        reader,
        giver,
    });
}

/// Ends sharing.
#[reducer]
pub fn drop_share(ctx: &ReducerContext, id: u64) -> Result<(), String> {
    match ctx.db.share().id().delete(id) {
        true => Ok(()),
        false => Err(format!("there is no share {id}")),
    }
}

/// Says something of a note, or says it anew.
#[reducer]
pub fn put_comment(ctx: &ReducerContext, id: u64, note: u64, text: String) {
    ctx.db.comment().id().delete(id);
    ctx.db.comment().insert(Comment { id, note, text });
}

/// Puts somebody into a team; into none with 0.
#[reducer]
pub fn put_person(ctx: &ReducerContext, identity: Identity, team: u32) {
    ctx.db.person().identity().delete(identity);
    if team > 0 {
        ctx.db.person().insert(Person { identity, team });
    }
}

/// Gives a folder to a team, or takes it away.
#[reducer]
pub fn put_desk(ctx: &ReducerContext, id: u64, team: u32, folder: u32) {
    ctx.db.desk().id().delete(id);
    if team > 0 {
        ctx.db.desk().insert(Desk { id, team, folder });
    }
}

/// Makes somebody an admin, or one no more.
#[reducer]
pub fn put_admin(ctx: &ReducerContext, identity: Identity, is_one: bool) {
    ctx.db.admin().identity().delete(identity);
    if is_one {
        ctx.db.admin().insert(Admin { identity });
    }
}

/// Opens a folder, or closes it.
#[reducer]
pub fn put_folder(ctx: &ReducerContext, id: u32, open: bool, name: String) {
    ctx.db.folder().id().delete(id);
    ctx.db.folder().insert(Folder { id, open, name });
}
