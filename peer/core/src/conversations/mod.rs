//! Talks to members: hands each conversation what happened, carries out what it decides.

mod blobs;
mod history;
mod links;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_protocol::{
    AddressRecord, ConnectionId, Conversation, ConversationEffect, ConversationInput, Cut,
    DeviceKey, Entry, EntryId, Now, SystemCall, Tick,
};

use crate::addresses::TakenRecord;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::finality::TakenCut;
use crate::identity::Claims;
use crate::ingest::Ingested;
use crate::partials::Chunk;
use crate::replica::{Context, Replica};
use blobs::BodyChunk;
pub(crate) use blobs::body_name;
pub(crate) use history::Answered;
use history::Page;
use view::View;

/// A conversation with one remote, and when it wants to be woken.
pub(crate) struct Link {
    pub(crate) conversation: Conversation,
    pub(crate) wake: Option<Tick>,
}

/// What the effects of one step brought in.
#[derive(Default)]
struct Brought {
    anything: bool,
    /// Final history, which is taken in later.
    history: Vec<Page>,
    missing: Vec<EntryId>,
    cut_missing: bool,
    apart: bool,
}

impl Brought {
    fn as_input(&self) -> ConversationInput<'_> {
        ConversationInput::Ingested {
            missing: &self.missing,
            cut_missing: self.cut_missing,
            apart: self.apart,
        }
    }

    /// Entries were taken in: what is missing, and whether the remote broke a rule.
    fn note(&mut self, ingested: Ingested, link: &mut Link, ctx: &mut Context<'_>) {
        self.missing.extend(ingested.missing);
        self.cut_missing |= ingested.cut_missing;
        if ingested.refused {
            link.conversation.leave_tail();
        }
        if let Some(why) = ingested.fault {
            blame(link, &why, ctx);
        }
    }
}

impl Replica {
    /// Starts talking to a remote whose link is up.
    pub(crate) fn open_link(
        &mut self,
        remote: DeviceKey,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let mut conversation = Conversation::new(remote, self.id);
        conversation.set_neighbour(self.neighbours.is_eager(&remote));
        let faults = ctx.conduct.faults(&remote, ctx.now.tick);
        conversation.remember_faults(ctx.now, faults);
        self.links.insert(
            remote,
            Link {
                conversation,
                wake: None,
            },
        );
        self.tell(remote, ConversationInput::Opened, ctx)
    }

    /// The link is gone. Gives back the faults of the remote that are not forgiven yet.
    pub(crate) fn close_link(&mut self, remote: &DeviceKey) -> u32 {
        let link = self.links.remove(remote);
        self.dag.forget_remote(remote);
        self.awaited.forget_remote(remote);
        link.map_or(0, |link| link.conversation.faults())
    }

    /// Chooses again whom fresh entries go to whole, if links or members have changed: who takes
    /// the place of one that is gone is pushed to from the next entry on.
    fn choose_neighbours(&mut self, ctx: &Context<'_>) {
        let linked = self
            .links
            .keys()
            .filter(|remote| self.members.contains_key(remote))
            .copied()
            .collect();
        let (promoted, demoted) = self.neighbours.choose(&self.id, &ctx.device, linked);
        for remote in promoted {
            if let Some(link) = self.links.get_mut(&remote) {
                link.conversation.promote();
            }
        }
        for remote in demoted {
            if let Some(link) = self.links.get_mut(&remote) {
                link.conversation.set_neighbour(false);
            }
        }
    }

    /// Hands one conversation an input and carries out what it decides, until it has no more.
    pub(crate) fn tell(
        &mut self,
        remote: DeviceKey,
        input: ConversationInput<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let Some(mut link) = self.links.remove(&remote) else {
            return Ok(());
        };
        let now = Now {
            tick: ctx.now.tick,
            wall: ctx.own_wall,
        };
        let mut effects = link.conversation.step(now, input, &self.view(remote, ctx));
        loop {
            let mut brought = Brought::default();
            for effect in effects {
                self.carry_out(&mut link, effect, &mut brought, ctx)?;
            }
            self.keep_history(remote, std::mem::take(&mut brought.history));
            if !brought.anything {
                break;
            }
            effects = link
                .conversation
                .step(now, brought.as_input(), &self.view(remote, ctx));
        }
        self.links.insert(remote, link);
        Ok(())
    }

    fn view<'a>(&'a self, remote: DeviceKey, ctx: &'a Context<'_>) -> View<'a> {
        View {
            replica: self,
            remote,
            disk: ctx.disk,
            is_short_of_room: ctx.is_short_of_room,
            partials: ctx.partials,
        }
    }

    fn carry_out(
        &mut self,
        link: &mut Link,
        effect: ConversationEffect,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let remote = link.conversation.remote();
        match effect {
            ConversationEffect::Send(message) => ctx.effects.push(Effect::Send {
                remote,
                bytes: message.encode(&self.id),
            }),
            ConversationEffect::Entries(entries) => {
                self.bring_entries(link, entries, false, brought, ctx)?;
            }
            ConversationEffect::Segment {
                cut,
                entries,
                complete,
                ..
            } => brought.history.push(Page {
                cut,
                entries,
                is_last: complete,
            }),
            ConversationEffect::Cut(cut) => self.bring_cut(link, &cut, brought, ctx)?,
            ConversationEffect::Branch(cuts) => self.bring_branch(link, &cuts, brought, ctx)?,
            ConversationEffect::BlobChunk {
                hash,
                offset,
                total,
                bytes,
            } => {
                brought.anything = true;
                let chunk = Chunk {
                    hash,
                    from: remote,
                    offset,
                    total,
                    bytes: &bytes,
                };
                self.bring_module(link, &chunk, brought, ctx)?;
            }
            ConversationEffect::BodyChunk {
                entry,
                offset,
                total,
                bytes,
            } => {
                let chunk = BodyChunk {
                    entry,
                    offset,
                    total,
                    bytes,
                };
                self.bring_body(link, &chunk, brought, ctx)?;
            }
            ConversationEffect::Proof(proof) => {
                if self.dag.learn_equivocation(proof).is_err() {
                    blame(link, "sent a proof that proves nothing", ctx);
                }
            }
            ConversationEffect::Addresses(records) => self.take_addresses(link, records, ctx),
            ConversationEffect::InSync => {}
            ConversationEffect::Misbehaved(why) => ctx.hang_up(remote, why),
            ConversationEffect::Silent(why) => {
                ctx.effects.push(Effect::CloseLink { remote, why });
            }
            ConversationEffect::WakeAt(tick) => link.wake = Some(tick),
        }
        Ok(())
    }

    /// Takes records of members; those of others are laid aside unread.
    fn take_addresses(
        &mut self,
        link: &mut Link,
        records: Vec<AddressRecord>,
        ctx: &mut Context<'_>,
    ) {
        for record in records {
            if !self.members.contains_key(&record.device) {
                self.addresses.set_aside(record);
                continue;
            }
            let taken = self.addresses.take(record, &ctx.device);
            if taken == TakenRecord::Forged {
                blame(
                    link,
                    "sent an address record that its device did not sign",
                    ctx,
                );
            }
        }
    }

    fn bring_entries(
        &mut self,
        link: &mut Link,
        entries: Vec<Vec<u8>>,
        is_history: bool,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        brought.anything = true;
        let ingested = self.ingest(entries, link.conversation.remote(), is_history, ctx)?;
        if ingested.newer > 0 && !std::mem::replace(&mut self.newer_noted, true) {
            ctx.effects.push(Effect::Note {
                level: NoteLevel::Warn,
                text: format!(
                    "database {} has entries of a format that this version does not know: update tombolo",
                    self.id.short()
                ),
            });
        }
        brought.note(ingested, link, ctx);
        Ok(())
    }

    /// Entries whose modules are here now are taken in as if they had just come.
    fn unpark(
        &mut self,
        ready: Vec<(Arc<Entry>, DeviceKey)>,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        for (entry, from) in ready {
            let ingested = self.ingest_one(entry, from, ctx)?;
            brought.missing.extend(ingested.missing);
            brought.cut_missing |= ingested.cut_missing;
        }
        Ok(())
    }

    fn bring_cut(
        &mut self,
        link: &mut Link,
        bytes: &[u8],
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        brought.anything = true;
        let cut = match Cut::open(bytes) {
            Ok(cut) => cut,
            Err(error) => {
                blame(link, &format!("sent a cut that is malformed: {error}"), ctx);
                return Ok(());
            }
        };
        match self.take_cut(cut, ctx)? {
            TakenCut::Taken => self.fresh_cut = Some(self.cut.encoded().to_vec()),
            TakenCut::Known => {}
            TakenCut::Missing(missing) => brought.missing.extend(missing),
            TakenCut::Gap => brought.cut_missing = true,
            TakenCut::Apart => brought.apart = true,
            TakenCut::Bad(why) => blame(link, &format!("sent {why}"), ctx),
        }
        Ok(())
    }

    fn bring_branch(
        &mut self,
        link: &mut Link,
        cuts: &[Vec<u8>],
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        brought.anything = true;
        let opened: Result<Vec<Cut>, _> = cuts.iter().map(|bytes| Cut::open(bytes)).collect();
        let fault = match opened {
            Ok(cuts) => self.take_branch(cuts, ctx)?.err(),
            Err(error) => Some(format!("a branch that is malformed: {error}")),
        };
        if let Some(why) = fault {
            blame(link, &format!("sent {why}"), ctx);
        }
        Ok(())
    }

    /// Tells all members what is new here: entries, a cut, and evidence against authors.
    pub(crate) fn converse(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        self.choose_neighbours(ctx);
        self.report_equivocations(ctx)?;
        for fault in self.dag.take_faults() {
            if let Some(link) = fault.remote.and_then(|remote| self.links.get_mut(&remote)) {
                blame(link, &format!("sent an invalid entry: {}", fault.why), ctx);
            }
        }
        let mut batches: BTreeMap<Option<DeviceKey>, Vec<Arc<Entry>>> = BTreeMap::new();
        for (entry, from) in std::mem::take(&mut self.fresh) {
            // What a cut has covered meanwhile is pulled by whoever lacks the cut.
            if self.dag.is_clean(&entry.id) {
                batches.entry(from).or_default().push(entry);
            }
        }
        let cut = self.fresh_cut.take();
        let addresses = self.addresses.take_untold();
        let remotes: Vec<DeviceKey> = self.links.keys().copied().collect();
        for remote in remotes {
            if addresses {
                self.tell(remote, ConversationInput::AddressesChanged, ctx)?;
            }
            for (from, entries) in &batches {
                let input = ConversationInput::Fresh {
                    entries,
                    from: *from,
                };
                self.tell(remote, input, ctx)?;
            }
            if let Some(bytes) = &cut {
                self.tell(remote, ConversationInput::FreshCut { bytes }, ctx)?;
            }
            let is_due = |link: &Link| link.wake.is_some_and(|due| due <= ctx.now.tick);
            if self.links.get(&remote).is_some_and(is_due) {
                self.tell(remote, ConversationInput::Wake, ctx)?;
            }
        }
        Ok(())
    }

    /// Publishes evidence as a system call, so that it counts in the one order.
    fn report_equivocations(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
        for proof in self.dag.take_equivocations() {
            let author = proof.author();
            ctx.effects.push(Effect::Note {
                level: NoteLevel::Warn,
                text: format!(
                    "member {author} of database {} signed two histories: what is not final of it is void",
                    self.id.short()
                ),
            });
            if author == ctx.device || !self.may_write(&ctx.device) {
                continue;
            }
            let call = Waiting::system(
                Claims::of_device(&ctx.device),
                &SystemCall::ReportEquivocation(Box::new(proof)),
                ConnectionId::ZERO,
            );
            self.enqueue(Group::single(call, ReplyTo::Nobody), ctx)?;
        }
        Ok(())
    }

    /// When this replica wants to be woken.
    pub(crate) fn wake(&self, ctx: &Context<'_>) -> Option<Tick> {
        let held_back = self.next_due.map(|due| {
            let ahead = due.0.saturating_sub(self.time(ctx).0);
            Tick(ctx.now.tick.0.saturating_add(ahead))
        });
        self.links
            .values()
            .filter_map(|link| link.wake)
            .chain(self.batch.due())
            .chain(self.cut_due(ctx))
            .chain(self.aside_due(ctx))
            .chain(self.publishers_due())
            .chain(self.leftovers_due())
            .chain(self.firing.wake())
            .chain(held_back)
            .chain(self.addresses.save_due())
            .chain(self.ration.release_at())
            .chain(self.history_due(ctx))
            .min()
    }
}

fn blame(link: &mut Link, why: &str, ctx: &mut Context<'_>) {
    let now = Now {
        tick: ctx.now.tick,
        wall: ctx.own_wall,
    };
    let report = link.conversation.blame(now, why);
    hang_up(link, report, ctx);
}

/// Cuts the remote off if its conversation says so.
fn hang_up(link: &Link, report: Option<ConversationEffect>, ctx: &mut Context<'_>) {
    if let Some(ConversationEffect::Misbehaved(why)) = report {
        ctx.hang_up(link.conversation.remote(), why);
    }
}
