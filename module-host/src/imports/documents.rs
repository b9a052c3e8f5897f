//! Documents that people write together: what a module may do with Automerge's changes, natively.
//!
//! Nothing of it is hidden from the module or kept beyond the call: a document is opened empty, filled
//! with changes that the module has from its tables or arguments, and gone with the call. Whatever
//! these imports give is a function of what the call was given, so it is the same on every peer.
//!
//! An import answers with 0 and the number of a byte source that holds its result (0 for none), or with
//! [`REFUSED`] and a source that holds the reason, for people. A document that is not open ends the call.

use documents::{Change, Document, DocumentError};
use wasmparser::ValType::{I32, I64};
use wasmtime::{Caller, Linker};

use super::guest::{Errno, Guest, Refusal, Stop};
use super::session::{Session, Source};
use super::{Answer, Import, answer, import};
use crate::prices;

/// The version of these imports.
const V1: &str = "tombolo_1.0";

/// What an import answers that did not do what it was asked to.
pub(crate) const REFUSED: i32 = 1;

/// Everything that is offered beside the module ABI of SpacetimeDB.
pub(crate) const OFFERED: &[Import] = &[
    import(V1, "document_open", &[I32; 1], &[I32]),
    import(V1, "document_close", &[I32; 1], &[]),
    import(V1, "document_merge", &[I32; 4], &[I32]),
    import(V1, "document_act", &[I32; 4], &[I32]),
    import(V1, "document_put", &[I32; 6], &[I32]),
    import(V1, "document_insert", &[I32; 6], &[I32]),
    import(
        V1,
        "document_put_counter",
        &[I32, I32, I32, I64, I32],
        &[I32],
    ),
    import(V1, "document_increment", &[I32, I32, I32, I64, I32], &[I32]),
    import(V1, "document_delete", &[I32; 4], &[I32]),
    import(V1, "document_splice", &[I32; 8], &[I32]),
    import(V1, "document_commit", &[I32; 2], &[I32]),
    import(V1, "document_changes", &[I32; 2], &[I32]),
    import(V1, "document_heads", &[I32; 2], &[I32]),
    import(V1, "document_json", &[I32; 4], &[I32]),
    import(V1, "document_text", &[I32; 4], &[I32]),
    import(V1, "change_read", &[I32; 3], &[I32]),
    import(V1, "change_check", &[I32; 6], &[I32]),
];

/// Adds their code.
pub(super) fn link(linker: &mut Linker<Session>) -> wasmtime::Result<()> {
    linker.func_wrap(V1, "document_open", open)?;
    linker.func_wrap(V1, "document_close", close)?;
    linker.func_wrap(V1, "document_merge", merge)?;
    linker.func_wrap(V1, "document_act", act)?;
    linker.func_wrap(V1, "document_put", put)?;
    linker.func_wrap(V1, "document_insert", insert)?;
    linker.func_wrap(V1, "document_put_counter", put_counter)?;
    linker.func_wrap(V1, "document_increment", increment)?;
    linker.func_wrap(V1, "document_delete", delete)?;
    linker.func_wrap(V1, "document_splice", splice)?;
    linker.func_wrap(V1, "document_commit", commit)?;
    linker.func_wrap(V1, "document_changes", changes)?;
    linker.func_wrap(V1, "document_heads", heads)?;
    linker.func_wrap(V1, "document_json", json)?;
    linker.func_wrap(V1, "document_text", text)?;
    linker.func_wrap(V1, "change_read", change_read)?;
    linker.func_wrap(V1, "change_check", change_check)?;
    Ok(())
}

/// `document_open(out) -> u16`: an empty document; its number to `out`.
fn open(caller: Caller<'_, Session>, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        in_a_call(guest)?;
        guest.charge(prices::DOCUMENT)?;
        let Some(handle) = guest.session().documents.open(Document::new()) else {
            return Stop::misuse("too many documents are open");
        };
        guest.write_u32(out, handle)?;
        Ok(0)
    })
}

/// `document_close(document)`
fn close(caller: Caller<'_, Session>, handle: u32) -> wasmtime::Result<()> {
    super::plain(caller, |guest| {
        let closed = guest.session().documents.close(handle);
        closed.map(drop).ok_or_else(not_open)
    })
}

/// `document_merge(document, changes, changes_len, out) -> u16`: merges changes that stand one after
/// another, in any order; the result is how many were new, 32 bits.
fn merge(caller: Caller<'_, Session>, handle: u32, at: u32, len: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.in_bounds(at, len)?;
        guest.charge(prices::document_bytes(len as usize))?;
        let (bytes, session) = guest.bytes_and_session(at, len)?;
        let (given, owed) = (session.given, &mut session.owed);
        let document = session.documents.get_mut(handle).ok_or_else(not_open)?;
        let there = prices::DOCUMENT_OP_THERE * document.ops() as u64;
        *owed = owed.saturating_add(there);
        let merged = document.merge_paying(bytes, |ops| {
            *owed = owed.saturating_add(prices::document_change(ops));
            *owed <= given
        });
        let count = merged.map(|new| {
            u32::try_from(new)
                .unwrap_or(u32::MAX)
                .to_le_bytes()
                .to_vec()
        });
        give(guest, out, count)
    })
}

/// `document_act(document, salt, salt_len, out) -> u16`: edits that follow are made in the name of this
/// call, at its time. What is in the salt tells documents apart that the call has open or makes.
///
/// The actor is derived from the call: who calls, from where, when, in which database, the changes that the
/// document has, and the salt. So it is the same on every peer, and nobody else's.
fn act(caller: Caller<'_, Session>, handle: u32, salt: u32, salt_len: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.in_bounds(salt, salt_len)?;
        guest.charge(prices::document_bytes(salt_len as usize))?;
        let (salt, session) = guest.bytes_and_session(salt, salt_len)?;
        let document = session.documents.get_mut(handle).ok_or_else(not_open)?;
        let Some((sender, time)) = session.caller.author else {
            return Stop::misuse("a view edits no document");
        };
        let mut hasher = blake3::Hasher::new_derive_key("tombolo document actor 1");
        hasher.update(&session.caller.database.unwrap_or_default());
        hasher.update(&sender);
        hasher.update(&session.caller.connection.map(|id| id.0).unwrap_or_default());
        hasher.update(&time.0.to_le_bytes());
        let seconds = i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
        let done = document.heads().and_then(|heads| {
            for head in heads {
                hasher.update(&head.0);
            }
            hasher.update(salt);
            let mut actor = [0; 16];
            hasher.finalize_xof().fill(&mut actor);
            document.act_as(&actor, seconds)
        });
        give(guest, out, done.map(|()| Vec::new()))
    })
}

/// Edits a document at a path, with a value, for a price by what it holds, what comes in and what is taken out.
fn edit(
    caller: Caller<'_, Session>,
    handle: u32,
    path: (u32, u32),
    value: (u32, u32),
    deleted: u32,
    out: u32,
    work: impl FnOnce(&mut Document, &str, &str) -> Result<(), DocumentError>,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.charge(prices::copied(path.1 as usize) + prices::copied(value.1 as usize))?;
        let path = guest.text(path.0, path.1)?.to_owned();
        let value = guest.text(value.0, value.1)?.to_owned();
        let ops = document(guest, handle)?.ops() as u64;
        guest.charge(prices::DOCUMENT + prices::DOCUMENT_OP_SOUGHT * ops)?;
        // A byte says an operation at most; and no more are taken out than a change may have.
        let deleted = (deleted as usize).min(documents::limits::CHANGE_OPS_MAX);
        guest.charge(prices::document_change(value.len() + deleted))?;
        let done = work(document(guest, handle)?, &path, &value);
        give(guest, out, done.map(|()| Vec::new()))
    })
}

/// `document_put(document, path, path_len, json, json_len, out) -> u16`
fn put(
    caller: Caller<'_, Session>,
    handle: u32,
    path: u32,
    path_len: u32,
    json: u32,
    json_len: u32,
    out: u32,
) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (json, json_len),
        0,
        out,
        Document::put,
    )
}

/// `document_insert(document, path, path_len, json, json_len, out) -> u16`
fn insert(
    caller: Caller<'_, Session>,
    handle: u32,
    path: u32,
    path_len: u32,
    json: u32,
    json_len: u32,
    out: u32,
) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (json, json_len),
        0,
        out,
        Document::insert,
    )
}

/// `document_put_counter(document, path, path_len, start: i64, out) -> u16`
fn put_counter(
    caller: Caller<'_, Session>,
    handle: u32,
    path: u32,
    path_len: u32,
    start: i64,
    out: u32,
) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (path, 0),
        0,
        out,
        |document, path, _| document.put_counter(path, start),
    )
}

/// `document_increment(document, path, path_len, by: i64, out) -> u16`
fn increment(
    caller: Caller<'_, Session>,
    handle: u32,
    path: u32,
    path_len: u32,
    by: i64,
    out: u32,
) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (path, 0),
        0,
        out,
        |document, path, _| document.increment(path, by),
    )
}

/// `document_delete(document, path, path_len, out) -> u16`
fn delete(caller: Caller<'_, Session>, handle: u32, path: u32, path_len: u32, out: u32) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (path, 0),
        0,
        out,
        |document, path, _| document.delete(path),
    )
}

/// `document_splice(document, path, path_len, at, delete, text, text_len, out) -> u16`: places count
/// characters (Unicode scalar values).
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
fn splice(
    caller: Caller<'_, Session>,
    handle: u32,
    path: u32,
    path_len: u32,
    at: u32,
    delete: u32,
    text: u32,
    text_len: u32,
    out: u32,
) -> Answer {
    edit(
        caller,
        handle,
        (path, path_len),
        (text, text_len),
        delete,
        out,
        |document, path, text| document.splice(path, at as usize, delete as usize, text),
    )
}

/// Asks a document something, for a price by what it holds.
fn ask(
    caller: Caller<'_, Session>,
    handle: u32,
    out: u32,
    work: impl FnOnce(&mut Document) -> Result<Vec<u8>, DocumentError>,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        let ops = document(guest, handle)?.ops() as u64;
        guest.charge(prices::DOCUMENT + prices::DOCUMENT_OP_SOUGHT * ops)?;
        let given = work(document(guest, handle)?);
        give(guest, out, given)
    })
}

/// `document_commit(document, out) -> u16`: the change that the edits since the last make.
fn commit(caller: Caller<'_, Session>, handle: u32, out: u32) -> Answer {
    ask(caller, handle, out, Document::commit)
}

/// `document_changes(document, out) -> u16`: all changes, one after another.
fn changes(caller: Caller<'_, Session>, handle: u32, out: u32) -> Answer {
    ask(caller, handle, out, Document::changes)
}

/// `document_heads(document, out) -> u16`: names of changes, 32 bytes each.
fn heads(caller: Caller<'_, Session>, handle: u32, out: u32) -> Answer {
    ask(caller, handle, out, |document| {
        let heads = document.heads()?;
        Ok(heads.iter().flat_map(|head| head.0).collect())
    })
}

/// Asks a document what is at a path.
fn look(
    caller: Caller<'_, Session>,
    handle: u32,
    path: (u32, u32),
    out: u32,
    work: impl FnOnce(&mut Document, &str) -> Result<String, DocumentError>,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.charge(prices::copied(path.1 as usize))?;
        let path = guest.text(path.0, path.1)?.to_owned();
        let ops = document(guest, handle)?.ops() as u64;
        guest.charge(prices::DOCUMENT + prices::DOCUMENT_OP_SOUGHT * ops)?;
        let found = work(document(guest, handle)?, &path);
        give(guest, out, found.map(String::into_bytes))
    })
}

/// `document_json(document, path, path_len, out) -> u16`
fn json(caller: Caller<'_, Session>, handle: u32, path: u32, path_len: u32, out: u32) -> Answer {
    look(caller, handle, (path, path_len), out, |document, path| {
        document.json(path)
    })
}

/// `document_text(document, path, path_len, out) -> u16`
fn text(caller: Caller<'_, Session>, handle: u32, path: u32, path_len: u32, out: u32) -> Answer {
    look(caller, handle, (path, path_len), out, |document, path| {
        document.text(path)
    })
}

/// `change_read(change, change_len, out) -> u16`: what a change says of itself, as [`facts`] lays it out.
fn change_read(caller: Caller<'_, Session>, at: u32, len: u32, out: u32) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.charge(prices::document_bytes(len as usize))?;
        let (bytes, session) = guest.bytes_and_session(at, len)?;
        let read = session.recent_changes.read(bytes);
        if let Ok(change) = &read {
            guest.charge(prices::DOCUMENT_OP_READ * change.ops().len() as u64)?;
        }
        let given = read
            .map(|change| facts(&change))
            .map_err(DocumentError::from);
        give(guest, out, given)
    })
}

/// `change_check(change, change_len, others, others_len, seen, out) -> u16`: judges a change beside the
/// ones that hold what it needs, which stand one after another.
fn change_check(
    caller: Caller<'_, Session>,
    at: u32,
    len: u32,
    others: u32,
    others_len: u32,
    seen: u32,
    out: u32,
) -> Answer {
    answer(caller, |guest| {
        guest.in_bounds(out, 4)?;
        guest.in_bounds(at, len)?;
        guest.in_bounds(others, others_len)?;
        guest.charge(prices::document_bytes(len as usize))?;
        guest.charge(prices::document_bytes(others_len as usize))?;
        let (bytes, session) = guest.bytes_and_session(at, len)?;
        let change = match session.recent_changes.read(bytes) {
            Ok(change) => change,
            Err(error) => return give(guest, out, Err(error.into())),
        };
        guest.charge(prices::DOCUMENT_OP_READ * change.ops().len() as u64)?;
        let (bytes, session) = guest.bytes_and_session(others, others_len)?;
        let (given, owed) = (session.given, &mut session.owed);
        let others = session.recent_changes.read_all(bytes, |ops| {
            *owed = owed.saturating_add(prices::DOCUMENT_OP_READ * ops as u64);
            *owed <= given
        });
        let judged = others.and_then(|others| Ok(change.check(&others, seen)?));
        give(guest, out, judged.map(|()| Vec::new()))
    })
}

/// What a change says of itself, as BSATN; names of changes are numbers whose first byte is the highest. `hash: U256`, `actor: Array<U8>`, `seq: U64`, `start_op: U32`,
/// `max_op: U32`, `dependencies: Array<U256>`, `needs: Array<{ actor: Array<U8>, first: U32, last: U32 }>`.
fn facts(change: &Change) -> Vec<u8> {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::new();
    let actor = |out: &mut Vec<u8>, actor: &[u8]| {
        out.extend(count(actor.len()));
        out.extend(actor);
    };
    let name = |hash: documents::Hash| hash.0.into_iter().rev();
    out.extend(name(change.hash()));
    actor(&mut out, change.actor());
    out.extend(change.seq().to_le_bytes());
    out.extend(change.start_op().to_le_bytes());
    out.extend(change.max_op().to_le_bytes());
    out.extend(count(change.dependencies().len()));
    for dependency in change.dependencies() {
        out.extend(name(*dependency));
    }
    let needs = change.needs();
    out.extend(count(needs.len()));
    for need in needs {
        actor(&mut out, need.actor);
        out.extend(need.first.to_le_bytes());
        out.extend(need.last.to_le_bytes());
    }
    out
}

/// Gives a result, or the reason why there is none.
fn give(
    guest: &mut Guest<'_>,
    out: u32,
    result: Result<Vec<u8>, DocumentError>,
) -> Result<i32, Refusal> {
    let (status, bytes) = match result {
        Ok(bytes) => (0, bytes),
        Err(DocumentError::Unpaid) => return Err(Stop::OutOfUnits.into()),
        Err(error) => (REFUSED, error.to_string().into_bytes()),
    };
    guest.charge(prices::copied(bytes.len()))?;
    let source = if bytes.is_empty() {
        0
    } else {
        match guest.session().sources.open(Source { bytes, read: 0 }) {
            Some(source) => source,
            None => return Stop::misuse("too many byte sources are open"),
        }
    };
    guest.write_u32(out, source)?;
    Ok(status)
}

fn document<'g>(guest: &'g mut Guest<'_>, handle: u32) -> Result<&'g mut Document, Stop> {
    guest
        .session()
        .documents
        .get_mut(handle)
        .ok_or_else(not_open)
}

fn not_open() -> Stop {
    Stop::Misuse("a document that is not open".to_owned())
}

/// Documents are of calls and views: a module is initialised once for all databases.
fn in_a_call(guest: &mut Guest<'_>) -> Result<(), Refusal> {
    if guest.session().transaction.is_none() {
        return Err(Errno::NOT_IN_TRANSACTION.into());
    }
    Ok(())
}
