//! Blobs that come in chunks: bodies of large entries, and modules that were published.

use std::collections::BTreeSet;
use std::sync::Arc;

use sync_protocol::{BlobHash, DeviceKey, EntryId, Now};

use super::{Brought, Link, blame, hang_up};
use crate::error::Stop;
use crate::partials::{Chunk, Taken};
use crate::replica::{Context, Replica};

/// The name under which the beginning of a body lies on disk. An entry's id covers hash and length
/// of its body, so one entry's body is never taken for the beginning of another's.
pub(crate) fn body_name(entry: &EntryId) -> BlobHash {
    BlobHash(entry.0)
}

/// A part of a body, as a remote sent it.
pub(super) struct BodyChunk {
    pub(super) entry: EntryId,
    pub(super) offset: u64,
    pub(super) total: u64,
    pub(super) bytes: Vec<u8>,
}

impl Replica {
    /// Takes in a part of a body; with the last one the entry comes in.
    pub(super) fn bring_body(
        &mut self,
        link: &mut Link,
        chunk: &BodyChunk,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        brought.anything = true;
        let remote = link.conversation.remote();
        let Some(stub) = self.awaited.stub(&chunk.entry) else {
            return Ok(()); // it came from somebody else meanwhile
        };
        let total = u64::from(stub.header.body_len);
        if chunk.total != total {
            self.awaited.distrust(&chunk.entry, &remote);
            blame(
                link,
                "sent a body of another length than its entry says",
                ctx,
            );
            return Ok(());
        }
        let name = body_name(&chunk.entry);
        let piece = Chunk {
            hash: name,
            from: remote,
            offset: chunk.offset,
            total,
            bytes: &chunk.bytes,
        };
        let is_named = |whole: &[u8]| stub.names_body(whole);
        let taken = ctx
            .partials
            .take(&piece, is_named, ctx.now.tick, ctx.disk)?;
        match taken {
            Taken::More => {}
            Taken::Beyond => blame(link, "sent more of a body than there is", ctx),
            Taken::Wrong { by, certain } => {
                for remote in by.iter().filter(|_| certain) {
                    self.awaited.distrust(&chunk.entry, remote);
                }
                self.accuse(
                    link,
                    &by,
                    certain,
                    "sent another body than its entry names",
                    ctx,
                );
            }
            Taken::Whole(body) => self.bring_whole(link, &chunk.entry, &body, brought, ctx)?,
        }
        Ok(())
    }

    /// Takes in a part of a module; with the last one the entries come in that publish it.
    pub(super) fn bring_module(
        &mut self,
        link: &mut Link,
        chunk: &Chunk<'_>,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let Some(total) = self.parked.len_of(&chunk.hash) else {
            return Ok(()); // it came from somebody else meanwhile
        };
        if chunk.total != total {
            blame(
                link,
                "sent a module of another length than was published",
                ctx,
            );
            return Ok(());
        }
        let is_named = |whole: &[u8]| BlobHash::of(whole) == chunk.hash;
        match ctx.partials.take(chunk, is_named, ctx.now.tick, ctx.disk)? {
            Taken::More => {}
            Taken::Beyond => blame(link, "sent more of a module than there is", ctx),
            Taken::Wrong { by, certain } => {
                self.accuse(
                    link,
                    &by,
                    certain,
                    "sent another module than was published",
                    ctx,
                );
            }
            Taken::Whole(module) => {
                ctx.disk.put_blob(&module)?;
                ctx.partials.remove(&chunk.hash, ctx.disk)?;
                let ready = self.parked.arrived(&chunk.hash);
                self.unpark(ready, brought, ctx)?;
            }
        }
        Ok(())
    }

    fn bring_whole(
        &mut self,
        link: &mut Link,
        id: &EntryId,
        body: &[u8],
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let Some((stub, offered_by)) = self.awaited.take(id) else {
            return Ok(());
        };
        match stub.with_body(body) {
            Ok(entry) => {
                let ingested = self.ingest_one(Arc::new(entry), link.conversation.remote(), ctx)?;
                brought.note(ingested, link, ctx);
            }
            Err(error) => {
                // Its author signed it so. Nobody honest can hold it, so nobody honest offers it.
                self.dag.refuse(*id);
                let why = format!("offered an entry that is malformed: {error}");
                self.accuse(link, &offered_by, true, &why, ctx);
            }
        }
        // After the entry is durable.
        ctx.partials.remove(&body_name(id), ctx.disk)?;
        Ok(())
    }

    /// Counts a fault against those whose links are up; `link` is the one that is being handled.
    fn accuse(
        &mut self,
        link: &mut Link,
        remotes: &BTreeSet<DeviceKey>,
        certain: bool,
        why: &str,
        ctx: &mut Context<'_>,
    ) {
        let now = Now {
            tick: ctx.now.tick,
            wall: ctx.own_wall,
        };
        for remote in remotes {
            let link = if *remote == link.conversation.remote() {
                &mut *link
            } else if let Some(other) = self.links.get_mut(remote) {
                other
            } else {
                continue;
            };
            let report = if certain {
                link.conversation.blame(now, why)
            } else {
                link.conversation.suspect(now, why)
            };
            hang_up(link, report, ctx);
        }
    }
}
