//! Talks to members: hands each conversation what happened, carries out what it decides.

mod blobs;
mod links;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_protocol::limits::EAGER_NEIGHBOURS_MAX;
use sync_protocol::{
    ConnectionId, Conversation, ConversationEffect, ConversationInput, Cut, DeviceKey, Entry,
    EntryId, Now, SystemCall, Tick,
};

use crate::batch::{Group, ReplyTo, Waiting};
use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::finality::TakenCut;
use crate::identity::Claims;
use crate::partials::Chunk;
use crate::replica::{Context, Ingested, Replica};
use blobs::BodyChunk;
pub(crate) use blobs::body_name;
use view::View;

/// A conversation with one remote, and when it wants to be woken.
pub(crate) struct Link {
    pub(crate) conversation: Conversation,
    pub(crate) wake: Option<Tick>,
}

/// Addresses that members told, by device.
pub(crate) type Heard = Vec<(DeviceKey, Vec<String>)>;

/// What the effects of one step brought in.
#[derive(Default)]
struct Brought {
    anything: bool,
    missing: Vec<EntryId>,
    cut_missing: bool,
}

impl Brought {
    /// Entries were taken in: what is missing, and whether the remote broke a rule.
    fn note(&mut self, ingested: Ingested, link: &mut Link, ctx: &mut Context<'_>) {
        self.missing.extend(ingested.missing);
        self.cut_missing |= ingested.cut_missing;
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
        own: &[String],
        others: &Heard,
        ctx: &mut Context<'_>,
    ) -> Result<Heard, Stop> {
        let mut conversation = Conversation::new(remote, self.id);
        self.links.remove(&remote);
        conversation.set_neighbour(self.neighbours() < EAGER_NEIGHBOURS_MAX);
        self.links.insert(
            remote,
            Link {
                conversation,
                wake: None,
            },
        );
        self.tell(
            remote,
            ConversationInput::AddressesChanged { own, others },
            ctx,
        )?;
        self.tell(remote, ConversationInput::Opened, ctx)
    }

    pub(crate) fn close_link(&mut self, remote: &DeviceKey) {
        self.links.remove(remote);
        self.dag.forget_remote(remote);
        self.bodies.forget_remote(remote);
        self.promote();
    }

    fn neighbours(&self) -> usize {
        let links = self.links.values();
        links
            .filter(|link| link.conversation.is_neighbour())
            .count()
    }

    /// Lets other links take the places of neighbours that are gone: members first, because a
    /// stranger is pushed nothing.
    fn promote(&mut self) {
        let mut places = EAGER_NEIGHBOURS_MAX.saturating_sub(self.neighbours());
        for members_only in [true, false] {
            for (remote, link) in &mut self.links {
                let fits = !members_only || self.members.contains_key(remote);
                if places > 0 && fits && !link.conversation.is_neighbour() {
                    link.conversation.set_neighbour(true);
                    places -= 1;
                }
            }
        }
    }

    /// Hands one conversation an input and carries out what it decides, until it has no more.
    /// Gives back addresses that it heard.
    pub(crate) fn tell(
        &mut self,
        remote: DeviceKey,
        input: ConversationInput<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Heard, Stop> {
        let mut heard = Heard::new();
        let Some(mut link) = self.links.remove(&remote) else {
            return Ok(heard);
        };
        let now = Now {
            tick: ctx.now.tick,
            wall: ctx.own_wall,
        };
        let mut effects = link.conversation.step(now, input, &self.view(remote, ctx));
        loop {
            let mut brought = Brought::default();
            for effect in effects {
                self.carry_out(&mut link, effect, &mut brought, &mut heard, ctx)?;
            }
            if !brought.anything {
                break;
            }
            let input = ConversationInput::Ingested {
                missing: &brought.missing,
                cut_missing: brought.cut_missing,
            };
            effects = link.conversation.step(now, input, &self.view(remote, ctx));
        }
        self.links.insert(remote, link);
        Ok(heard)
    }

    fn view<'a>(&'a self, remote: DeviceKey, ctx: &'a Context<'_>) -> View<'a> {
        View {
            replica: self,
            remote,
            disk: ctx.disk,
            partials: ctx.partials,
        }
    }

    fn carry_out(
        &mut self,
        link: &mut Link,
        effect: ConversationEffect,
        brought: &mut Brought,
        heard: &mut Heard,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let remote = link.conversation.remote();
        match effect {
            ConversationEffect::Send(message) => ctx.effects.push(Effect::Send {
                remote,
                bytes: message.encode(&self.id),
            }),
            ConversationEffect::Entries(entries) => {
                self.bring_entries(link, entries, brought, ctx)?;
            }
            ConversationEffect::Segment {
                cut,
                entries,
                complete,
                ..
            } => {
                self.bring_entries(link, entries, brought, ctx)?;
                if complete {
                    self.bring_cut(link, &cut, brought, ctx)?;
                }
            }
            ConversationEffect::Cut(cut) => self.bring_cut(link, &cut, brought, ctx)?,
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
            ConversationEffect::Addresses(addresses) => {
                heard.extend(
                    addresses
                        .into_iter()
                        .filter(|(device, _)| self.members.contains_key(device)),
                );
            }
            ConversationEffect::InSync => {}
            ConversationEffect::Misbehaved(why) => {
                ctx.effects.push(Effect::HangUp { remote, why });
            }
            ConversationEffect::WakeAt(tick) => link.wake = Some(tick),
        }
        Ok(())
    }

    fn bring_entries(
        &mut self,
        link: &mut Link,
        entries: Vec<Vec<u8>>,
        brought: &mut Brought,
        ctx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        brought.anything = true;
        let ingested = self.ingest(entries, link.conversation.remote(), ctx)?;
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
            TakenCut::Bad(why) => blame(link, &format!("sent {why}"), ctx),
        }
        Ok(())
    }

    /// Tells all members what is new here: entries, a cut, and evidence against authors.
    pub(crate) fn converse(&mut self, ctx: &mut Context<'_>) -> Result<(), Stop> {
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
        let remotes: Vec<DeviceKey> = self.links.keys().copied().collect();
        for remote in remotes {
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
            let ahead = due.0.saturating_sub(ctx.mesh.0);
            Tick(ctx.now.tick.0.saturating_add(ahead))
        });
        self.links
            .values()
            .filter_map(|link| link.wake)
            .chain(self.batch.due())
            .chain(self.cut_due(ctx))
            .chain(self.publishers_due())
            .chain(held_back)
            .min()
    }

    pub(crate) fn clock_offsets(&self) -> impl Iterator<Item = (DeviceKey, i64)> + '_ {
        self.links.iter().filter_map(|(remote, link)| {
            let is_member = self.members.contains_key(remote);
            let offset = link.conversation.clock_offset_us()?;
            is_member.then_some((*remote, offset))
        })
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

/// Closes the link if its conversation says so.
fn hang_up(link: &Link, report: Option<ConversationEffect>, ctx: &mut Context<'_>) {
    if let Some(ConversationEffect::Misbehaved(why)) = report {
        ctx.effects.push(Effect::HangUp {
            remote: link.conversation.remote(),
            why,
        });
    }
}
