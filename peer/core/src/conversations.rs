//! Talks to members: hands each conversation what happened, carries out what it decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::Disk;
use sync_protocol::limits::EAGER_NEIGHBOURS_MAX;
use sync_protocol::{
    BlobHash, ChainTip, ConnectionId, Conversation, ConversationEffect, ConversationInput, Cut,
    CutRef, DatabaseId, DeviceKey, Entry, EntryId, EquivocationProof, HeadsHash, Holdings, Message,
    MessageError, Now, SystemCall, Tick,
};

use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::error::Stop;
use crate::finality::TakenCut;
use crate::identity::Claims;
use crate::joining::Joining;
use crate::replica::{Context, Replica};
use crate::reply::JoinState;

/// A conversation with one remote, and when it wants to be woken.
pub(crate) struct Link {
    pub(crate) conversation: Conversation,
    pub(crate) wake: Option<Tick>,
}

/// Addresses that members told, by device.
pub(crate) type Heard = Vec<(DeviceKey, Vec<String>)>;

/// A replica as a conversation sees it. A disk that fails shows as something not held; the next
/// write finds out and stops the database.
struct View<'a> {
    replica: &'a Replica,
    disk: &'a dyn Disk,
}

impl Holdings for View<'_> {
    fn cut(&self) -> Option<CutRef> {
        Some(self.replica.cut.reference())
    }

    fn heads_hash(&self) -> HeadsHash {
        self.replica.dag.heads_hash()
    }

    fn heads(&self) -> Vec<EntryId> {
        self.replica.dag.heads()
    }

    fn cut_bytes(&self, height: u64) -> Option<Vec<u8>> {
        self.replica.log.cut(height).ok().flatten()
    }

    fn segment_entries(&self, height: u64, from: u32, bytes_max: usize) -> (Vec<Vec<u8>>, bool) {
        self.replica
            .log
            .segment(height, from, bytes_max)
            .unwrap_or_default()
    }

    fn entry_bytes(&self, id: &EntryId) -> Option<Arc<[u8]>> {
        let dag = &self.replica.dag;
        match dag.get(id) {
            Some(entry) => dag.is_clean(id).then(|| Arc::clone(entry.encoded())),
            None if self.is_final(id) => {
                let bytes = self.replica.log.entry(id).ok().flatten();
                bytes.map(Arc::from)
            }
            None => None,
        }
    }

    fn holds(&self, id: &EntryId) -> bool {
        self.replica.dag.contains(id) || self.is_final(id)
    }

    fn chains(&self) -> Vec<ChainTip> {
        self.replica.dag.chains()
    }

    fn entries_beyond(&self, tips: &[ChainTip], bytes_max: usize) -> (Vec<Arc<[u8]>>, bool) {
        let (entries, more) = self.replica.dag.entries_beyond(tips, bytes_max);
        let encoded = entries
            .iter()
            .map(|entry| Arc::clone(entry.encoded()))
            .collect();
        (encoded, more)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        self.replica.dag.ids()
    }

    fn blob_chunk(&self, hash: &BlobHash, offset: u64) -> Option<(u64, Vec<u8>)> {
        if *hash != self.replica.genesis.module {
            return None; // other blobs are other databases' business
        }
        let max = sync_protocol::limits::BLOB_CHUNK_BYTES;
        let total = u64::from(self.replica.genesis.module_len);
        let chunk = self.disk.blob_part(hash, offset, max).ok().flatten()?;
        (!chunk.is_empty()).then_some((total, chunk))
    }

    fn is_member(&self, remote: &DeviceKey) -> bool {
        self.replica.members.contains_key(remote)
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        self.replica.dag.proofs()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        Vec::new()
    }

    fn blob_offset(&self, _hash: &BlobHash) -> u64 {
        0
    }
}

impl View<'_> {
    fn is_final(&self, id: &EntryId) -> bool {
        matches!(self.replica.log.final_entry(id), Ok(Some(_)))
    }
}

/// A join as a conversation sees it: nothing is here but what its birth says is wanted.
struct JoinView<'a>(&'a Joining);

impl Holdings for JoinView<'_> {
    fn cut(&self) -> Option<CutRef> {
        None
    }

    fn heads_hash(&self) -> HeadsHash {
        HeadsHash::ZERO
    }

    fn heads(&self) -> Vec<EntryId> {
        Vec::new()
    }

    fn cut_bytes(&self, _height: u64) -> Option<Vec<u8>> {
        None
    }

    fn segment_entries(&self, _height: u64, _from: u32, _max: usize) -> (Vec<Vec<u8>>, bool) {
        (Vec::new(), false)
    }

    fn entry_bytes(&self, _id: &EntryId) -> Option<Arc<[u8]>> {
        None
    }

    fn holds(&self, _id: &EntryId) -> bool {
        false
    }

    fn chains(&self) -> Vec<ChainTip> {
        Vec::new()
    }

    fn entries_beyond(&self, _tips: &[ChainTip], _max: usize) -> (Vec<Arc<[u8]>>, bool) {
        (Vec::new(), false)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        Vec::new()
    }

    fn blob_chunk(&self, _hash: &BlobHash, _offset: u64) -> Option<(u64, Vec<u8>)> {
        None
    }

    fn is_member(&self, _remote: &DeviceKey) -> bool {
        false
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        Vec::new()
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        self.0.wanted_blob().into_iter().collect()
    }

    fn blob_offset(&self, _hash: &BlobHash) -> u64 {
        self.0.module.len() as u64
    }
}

/// What the effects of one step brought in.
#[derive(Default)]
struct Brought {
    anything: bool,
    missing: Vec<EntryId>,
    cut_missing: bool,
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
        conversation.set_neighbour(self.links.len() < EAGER_NEIGHBOURS_MAX);
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
        let mut effects = link.conversation.step(now, input, &self.view(ctx));
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
            effects = link.conversation.step(now, input, &self.view(ctx));
        }
        self.links.insert(remote, link);
        Ok(heard)
    }

    fn view<'a>(&'a self, ctx: &Context<'a>) -> View<'a> {
        View {
            replica: self,
            disk: ctx.disk,
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
            ConversationEffect::BlobChunk { .. } => brought.anything = true,
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
        brought.missing.extend(ingested.missing);
        brought.cut_missing |= ingested.cut_missing;
        if let Some(why) = ingested.fault {
            blame(link, &why, ctx);
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
    if let Some(ConversationEffect::Misbehaved(why)) = link.conversation.blame(now, why) {
        ctx.effects.push(Effect::HangUp {
            remote: link.conversation.remote(),
            why,
        });
    }
}

impl Core {
    pub(crate) fn link_up(&mut self, now: Now, remote: DeviceKey) {
        self.parts.links.insert(remote);
        for id in self.replica_ids() {
            self.open_link(now, remote, id);
        }
        let joins: Vec<DatabaseId> = self.joins.keys().copied().collect();
        for id in joins {
            self.open_link(now, remote, id);
        }
    }

    pub(crate) fn link_down(&mut self, remote: DeviceKey) {
        self.parts.links.remove(&remote);
        for replica in self.replicas.values_mut() {
            replica.close_link(&remote);
        }
        for joining in self.joins.values_mut() {
            joining.links.remove(&remote);
        }
    }

    /// Starts the conversation about one database with one remote.
    pub(crate) fn open_link(&mut self, now: Now, remote: DeviceKey, id: DatabaseId) {
        let own = self.parts.own_addresses.clone();
        if self.replicas.contains_key(&id) {
            let others = self.heard();
            let heard = self.with(id, now, |replica, ctx| {
                replica.open_link(remote, &own, &others, ctx)
            });
            self.hear(now, heard);
            return;
        }
        let Some(joining) = self.joins.get_mut(&id) else {
            return;
        };
        if joining.state == JoinState::Fetching {
            joining.links.insert(
                remote,
                Link {
                    conversation: Conversation::new(remote, id),
                    wake: None,
                },
            );
            self.tell_join(now, remote, id, ConversationInput::Opened);
        }
    }

    pub(crate) fn message(&mut self, now: Now, remote: DeviceKey, bytes: &[u8]) {
        let (id, message) = match Message::decode(bytes) {
            Ok(message) => message,
            Err(MessageError::Version(_)) => return,
            Err(error) => {
                self.parts.effects.push(Effect::HangUp {
                    remote,
                    why: format!("sent a frame that is no message: {error}"),
                });
                return;
            }
        };
        if self.replicas.contains_key(&id) {
            let heard = self.with(id, now, |replica, ctx| {
                replica.tell(remote, ConversationInput::Received(message), ctx)
            });
            self.hear(now, heard);
        } else {
            self.tell_join(now, remote, id, ConversationInput::Received(message));
        }
    }

    /// Lets every conversation of a join do what is due.
    pub(crate) fn wake_joins(&mut self, now: Now) {
        let due: Vec<(DatabaseId, DeviceKey)> = self
            .joins
            .iter()
            .flat_map(|(id, joining)| {
                joining
                    .links
                    .iter()
                    .filter(|(_, link)| link.wake.is_some_and(|due| due <= now.tick))
                    .map(|(remote, _)| (*id, *remote))
            })
            .collect();
        for (id, remote) in due {
            self.tell_join(now, remote, id, ConversationInput::Wake);
        }
    }

    fn tell_join(
        &mut self,
        now: Now,
        remote: DeviceKey,
        id: DatabaseId,
        input: ConversationInput<'_>,
    ) {
        let Some(joining) = self.joins.get_mut(&id) else {
            return;
        };
        let Some(mut link) = joining.links.remove(&remote) else {
            return;
        };
        let mut effects = link.conversation.step(now, input, &JoinView(joining));
        loop {
            let mut anything = false;
            let mut fault = None;
            for effect in effects {
                match effect {
                    ConversationEffect::Send(message) => self.parts.effects.push(Effect::Send {
                        remote,
                        bytes: message.encode(&id),
                    }),
                    ConversationEffect::Segment {
                        cut,
                        entries,
                        height: 0,
                        ..
                    } => {
                        anything = true;
                        fault = joining.take_birth(&id, &cut, &entries).err();
                    }
                    ConversationEffect::BlobChunk {
                        hash,
                        offset,
                        bytes,
                        ..
                    } => {
                        anything = true;
                        fault = joining.take_chunk(&hash, offset, &bytes).err();
                    }
                    // The rest comes again when there is something to apply it to.
                    ConversationEffect::Segment { .. }
                    | ConversationEffect::Entries(_)
                    | ConversationEffect::Cut(_) => anything = true,
                    ConversationEffect::Proof(_)
                    | ConversationEffect::Addresses(_)
                    | ConversationEffect::InSync => {}
                    ConversationEffect::Misbehaved(why) => fault = Some(why),
                    ConversationEffect::WakeAt(tick) => link.wake = Some(tick),
                }
            }
            if let Some(why) = fault {
                self.parts.effects.push(Effect::HangUp { remote, why });
                break;
            }
            if !anything {
                break;
            }
            let input = ConversationInput::Ingested {
                missing: &[],
                cut_missing: false,
            };
            effects = link.conversation.step(now, input, &JoinView(joining));
        }
        joining.links.insert(remote, link);
    }

    fn heard(&self) -> Heard {
        self.parts
            .addresses
            .iter()
            .map(|(device, addresses)| (*device, addresses.clone()))
            .collect()
    }

    /// Remembers addresses of members, dials those without a link, and passes news on.
    fn hear(&mut self, now: Now, heard: Option<Heard>) {
        let mut news = false;
        for (device, addresses) in heard.unwrap_or_default() {
            let known = self.parts.addresses.get(&device) == Some(&addresses);
            if known || device == self.parts.device || addresses.is_empty() {
                continue;
            }
            news = true;
            self.parts.addresses.insert(device, addresses.clone());
            self.parts.effects.push(Effect::Dial {
                remote: device,
                addresses,
            });
        }
        if news {
            self.pass_addresses(now);
        }
    }

    /// Tells every conversation where members listen.
    pub(crate) fn pass_addresses(&mut self, now: Now) {
        let (own, others) = (self.parts.own_addresses.clone(), self.heard());
        for id in self.replica_ids() {
            self.with(id, now, |replica, ctx| {
                let remotes: Vec<DeviceKey> = replica.links.keys().copied().collect();
                for remote in remotes {
                    let input = ConversationInput::AddressesChanged {
                        own: &own,
                        others: &others,
                    };
                    replica.tell(remote, input, ctx)?;
                }
                Ok(())
            });
        }
    }
}
