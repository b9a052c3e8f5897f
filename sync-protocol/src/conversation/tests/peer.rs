//! A peer that holds entries and cuts in memory and runs nothing: what the replica is in the
//! product, as small as it can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{Bulk, Conversation, ConversationEffect, ConversationInput, Holdings};
use super::founding::caller;
use crate::address::AddressRecord;
use crate::awaited::AwaitedBodies;
use crate::cut::{Cut, CutDraft, CutRef, order_root};
use crate::dag::{ChainTip, Dag, FinalEntry, Finals, Offered, Ordered};
use crate::entry::Invocation;
use crate::entry::{Body, CallName, Draft, Entry, Travelled};
use crate::equivocation::EquivocationProof;
use crate::ids::{BlobHash, ConnectionId, DatabaseId, DeviceKey, EntryId, HeadsHash, StateRoot};
use crate::keys::SecretKey;
use crate::limits::BLOB_CHUNK_BYTES;
use crate::membership::{Rights, Role, RoleChange};
use crate::message::Message;
use crate::reconcile::TailIndex;
use crate::system_call::SystemCall;
use crate::time::{Hlc, Now};

/// What cuts cover.
#[derive(Default)]
pub(super) struct History {
    pub(super) cuts: Vec<Cut>,
    segments: Vec<Vec<EntryId>>,
    entries: BTreeMap<EntryId, (FinalEntry, Arc<Entry>)>,
}

impl Finals for History {
    fn final_entry(&self, id: &EntryId) -> Option<FinalEntry> {
        self.entries.get(id).map(|(covered, _)| *covered)
    }
}

/// Everything a peer holds of one database.
pub(super) struct Held {
    pub(super) history: History,
    /// `None` while joining.
    pub(super) dag: Option<Dag>,
    /// Everything that was ever taken in or offered, with its body.
    pub(super) log: BTreeMap<EntryId, Arc<Entry>>,
    pub(super) blobs: BTreeMap<BlobHash, Vec<u8>>,
    pub(super) wanted: BTreeMap<BlobHash, Vec<u8>>,
    pub(super) bodies: AwaitedBodies,
    /// Bodies of which only the beginning is here.
    pub(super) parts: BTreeMap<EntryId, Vec<u8>>,
    /// What other conversations than the one that is asked are pulling.
    pub(super) pulled: Vec<Bulk>,
    /// The height of the cut that is being taken.
    pub(super) taking: Option<u64>,
    /// Members known to be such from the beginning.
    founders: Vec<DeviceKey>,
    /// Sorted by device.
    pub(super) addresses: Vec<Arc<AddressRecord>>,
}

impl Holdings for Held {
    fn cut(&self) -> Option<CutRef> {
        self.history.cuts.last().map(Cut::reference)
    }

    fn heads_hash(&self) -> HeadsHash {
        self.dag.as_ref().map_or(HeadsHash::ZERO, Dag::heads_hash)
    }

    fn heads(&self) -> Vec<EntryId> {
        self.dag.as_ref().map_or(Vec::new(), Dag::heads)
    }

    fn cut_bytes(&self, height: u64) -> Option<Vec<u8>> {
        let cut = self.history.cuts.get(usize::try_from(height).ok()?)?;
        Some(cut.encoded().to_vec())
    }

    fn is_taking(&self, height: u64) -> bool {
        self.taking == Some(height)
    }

    fn segment_entries(&self, height: u64, from: u32, bytes_max: usize) -> (Vec<Vec<u8>>, bool) {
        let segment = &self.history.segments[usize::try_from(height).expect("asked by a test")];
        let mut entries = Vec::new();
        let mut bytes = 0;
        for id in segment.iter().skip(from as usize) {
            let encoded = self.history.entries[id].1.encoded();
            if bytes > 0 && bytes + encoded.len() > bytes_max {
                return (entries, true);
            }
            bytes += encoded.len();
            entries.push(encoded.to_vec());
        }
        (entries, false)
    }

    fn entry_bytes(&self, id: &EntryId) -> Option<Arc<[u8]>> {
        let dag = self.dag.as_ref()?;
        let held = self.history.entries.contains_key(id) || dag.is_clean(id);
        held.then(|| Arc::clone(self.log[id].encoded()))
    }

    fn holds(&self, id: &EntryId) -> bool {
        self.history.entries.contains_key(id)
            || self.dag.as_ref().is_some_and(|dag| dag.contains(id))
    }

    fn chains(&self) -> Vec<ChainTip> {
        self.dag.as_ref().map_or(Vec::new(), Dag::chains)
    }

    fn entries_beyond(&self, tips: &[ChainTip], bytes_max: usize) -> (Vec<Arc<[u8]>>, bool) {
        let Some(dag) = &self.dag else {
            return (Vec::new(), false);
        };
        let (entries, more) = dag.entries_beyond(tips, bytes_max);
        let encoded = entries
            .iter()
            .map(|entry| Arc::clone(self.log[&entry.id].encoded()));
        (encoded.collect(), more)
    }

    fn tail_ids(&self) -> Vec<EntryId> {
        self.dag.as_ref().map_or(Vec::new(), Dag::ids)
    }

    fn tail_index(&self) -> Option<&TailIndex> {
        self.dag.as_ref().map(Dag::tail_index)
    }

    fn blob_chunk(&self, hash: &BlobHash, offset: u64) -> Option<(u64, Vec<u8>)> {
        let blob = self.blobs.get(hash)?;
        let rest = blob.get(usize::try_from(offset).ok()?..)?;
        let chunk = &rest[..rest.len().min(BLOB_CHUNK_BYTES)];
        Some((blob.len() as u64, chunk.to_vec()))
    }

    fn is_member(&self, remote: &DeviceKey) -> bool {
        let Some(dag) = &self.dag else { return false };
        let height = dag.cut().height;
        let admitted = || {
            dag.tail(Hlc(u64::MAX)).any(|ordered| {
                admissions(&self.log[&ordered.entry.id]).any(|member| member == *remote)
            })
        };
        dag.rights().is_member(remote, height) || admitted()
    }

    fn membership_ended(&self, remote: &DeviceKey) -> Option<u64> {
        let rights = self.dag.as_ref()?.rights();
        let last = rights.roles.get(remote)?.last()?;
        last.role.is_none().then_some(last.from)
    }

    fn covered_at(&self, entry: &EntryId) -> Option<u64> {
        let (covered, _) = self.history.entries.get(entry)?;
        Some(covered.height)
    }

    fn proofs(&self) -> Vec<EquivocationProof> {
        self.dag.as_ref().map_or(Vec::new(), Dag::proofs)
    }

    fn wanted_blobs(&self) -> Vec<BlobHash> {
        self.wanted.keys().copied().collect()
    }

    fn blob_offset(&self, hash: &BlobHash) -> u64 {
        self.wanted.get(hash).map_or(0, |part| part.len() as u64)
    }

    fn is_pulled(&self, bulk: &Bulk, _now: crate::time::Tick) -> bool {
        self.pulled.contains(bulk)
    }

    fn wanted_bodies(&self, remote: &DeviceKey) -> Vec<(EntryId, u32)> {
        self.bodies.offered_by(remote)
    }

    fn body_offset(&self, entry: &EntryId) -> u64 {
        self.parts.get(entry).map_or(0, |part| part.len() as u64)
    }

    fn address_records(&self) -> Vec<Arc<AddressRecord>> {
        self.addresses.clone()
    }
}

fn admissions(entry: &Entry) -> impl Iterator<Item = DeviceKey> + '_ {
    entry.system_calls().filter_map(|(_, call)| match call {
        SystemCall::Admit { member, .. } => Some(member),
        _ => None,
    })
}

impl Held {
    fn rights(&self) -> Rights {
        let mut rights = Rights::default();
        for founder in &self.founders {
            let owner = RoleChange {
                from: 0,
                role: Some(Role::Owner),
            };
            rights.roles.insert(*founder, vec![owner]);
        }
        for (covered, entry) in self.history.entries.values() {
            for member in admissions(entry) {
                let writer = RoleChange {
                    from: covered.height,
                    role: Some(Role::Writer),
                };
                rights.roles.entry(member).or_insert(vec![writer]);
            }
            for (_, call) in entry.system_calls() {
                if let SystemCall::RemoveMember { member } = call {
                    let from = covered.height;
                    let gone = RoleChange { from, role: None };
                    rights.roles.entry(member).or_default().push(gone);
                }
            }
        }
        rights
    }

    /// Makes the next cut ours. `Err`: entries that are missing.
    fn take_cut(&mut self, cut: Cut) -> Result<Vec<Arc<Entry>>, Vec<EntryId>> {
        let dag = self.dag.as_mut().expect("not joining any more");
        let before = self.history.cuts.last().expect("there is a first cut");
        if cut.height != before.height + 1 || cut.parent != before.id() {
            return Ok(Vec::new());
        }
        cut.verify(&before.finalisers).expect("certified");
        let segment = dag.segment(&cut.frontier, &self.history)?;
        self.cover(cut, segment)
    }

    fn cover(&mut self, cut: Cut, segment: Vec<Ordered>) -> Result<Vec<Arc<Entry>>, Vec<EntryId>> {
        let ids: Vec<_> = segment.iter().map(|ordered| ordered.entry.id).collect();
        assert_eq!(
            order_root(&ids),
            cut.order_root,
            "the order is the same for all"
        );
        for ordered in segment {
            let header = &ordered.entry.header;
            let covered = FinalEntry {
                author: header.author,
                epoch: header.epoch,
                seq: header.seq,
                last_time: header.last_time(),
                base_term: header.base.term,
                base_height: header.base.height,
                height: cut.height,
            };
            let id = ordered.entry.id;
            let entry = Arc::clone(&self.log[&id]);
            self.history.entries.insert(id, (covered, entry));
        }
        self.history.segments.push(ids);
        self.history.cuts.push(cut);
        let rights = self.rights();
        let cut = self.history.cuts.last().expect("just pushed");
        match &mut self.dag {
            Some(dag) => Ok(dag.advance(cut, &rights, &self.history)),
            None => {
                let frontier = cut.frontier.clone();
                self.dag = Some(Dag::new(cut.database, cut.reference(), frontier, rights));
                Ok(Vec::new())
            }
        }
    }
}

/// What a peer hands the network.
pub(super) struct Sent {
    pub(super) to: DeviceKey,
    pub(super) frame: Vec<u8>,
}

pub(super) struct Peer {
    pub(super) key: SecretKey,
    pub(super) database: DatabaseId,
    pub(super) held: Held,
    pub(super) links: BTreeMap<DeviceKey, Conversation>,
    pub(super) wakes: BTreeMap<DeviceKey, crate::time::Tick>,
    pub(super) reports: Vec<String>,
    /// Entries and cuts handed over by conversations, doubles included.
    pub(super) delivered: usize,
    /// Milliseconds that a page of history takes to be taken in.
    pub(super) digest_ms: u64,
    pub(super) digested: super::digest::Digested,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) previous: Option<EntryId>,
}

impl Peer {
    /// A peer that holds nothing yet.
    pub(super) fn joining(key: SecretKey, database: DatabaseId, founders: &[DeviceKey]) -> Self {
        Self {
            key,
            database,
            held: Held {
                history: History::default(),
                dag: None,
                log: BTreeMap::new(),
                blobs: BTreeMap::new(),
                wanted: BTreeMap::new(),
                bodies: AwaitedBodies::default(),
                parts: BTreeMap::new(),
                taking: None,
                pulled: Vec::new(),
                founders: founders.to_vec(),
                addresses: Vec::new(),
            },
            links: BTreeMap::new(),
            wakes: BTreeMap::new(),
            reports: Vec::new(),
            delivered: 0,
            digest_ms: 0,
            digested: super::digest::Digested::default(),
            epoch: 1,
            seq: 0,
            previous: None,
        }
    }

    pub(super) fn begin(&mut self, genesis: Arc<Entry>, cut: Cut) {
        let segment = vec![Ordered {
            entry: Arc::clone(genesis.stub()),
            struck: None,
        }];
        self.held.log.insert(genesis.id, genesis);
        self.held.cover(cut, segment).expect("nothing is missing");
    }

    pub(super) fn device(&self) -> DeviceKey {
        self.key.public()
    }

    pub(super) fn dag(&self) -> &Dag {
        self.held.dag.as_ref().expect("not joining any more")
    }

    /// An entry that was taken in, with its body.
    pub(super) fn entry(&self, id: &EntryId) -> &Arc<Entry> {
        &self.held.log[id]
    }

    /// An entry that builds on what is here, not offered yet.
    pub(super) fn seal(&mut self, now: Now, args: Vec<u8>, call: CallName) -> Arc<Entry> {
        let dag = self.held.dag.as_ref().expect("not joining any more");
        let mesh = Hlc(now.wall);
        let parents = dag.parents_for_next(self.previous, mesh);
        let after = dag.latest_time(&parents, &self.held.history);
        let draft = Draft {
            database: self.database,
            epoch: self.epoch,
            seq: self.seq,
            parents,
            hlc: Hlc(now.wall.max(after.0 + 1)),
            stride: 0,
            base: dag.cut(),
        };
        let body = Body {
            names: vec![call],
            callers: vec![caller()],
            invocations: vec![Invocation {
                name: 0,
                caller: 0,
                connection: ConnectionId::ZERO,
                args,
            }],
        };
        Arc::new(Entry::seal(draft, body, &self.key).expect("sealed"))
    }

    /// Writes an entry and tells everybody.
    pub(super) fn write(&mut self, now: Now, args: Vec<u8>) -> Vec<Sent> {
        let say = CallName {
            name: "say".to_owned(),
            arguments_type: [0; 8],
        };
        self.write_call(now, args, say)
    }

    pub(super) fn write_call(&mut self, now: Now, args: Vec<u8>, call: CallName) -> Vec<Sent> {
        let entry = self.seal(now, args, call);
        self.seq += 1;
        self.previous = Some(entry.id);
        self.held.log.insert(entry.id, Arc::clone(&entry));
        let dag = self.held.dag.as_mut().expect("not joining any more");
        let offered = dag.offer(Arc::clone(&entry), None, &self.held.history);
        assert!(matches!(offered, Offered::Accepted(_)), "{offered:?}");
        self.spread(now, &[entry], None)
    }

    /// Makes everything held here final.
    pub(super) fn cut(&mut self, now: Now) -> Vec<Sent> {
        let dag = self.held.dag.as_ref().expect("not joining any more");
        let frontier = dag.heads();
        if dag.is_empty() {
            return Vec::new();
        }
        let segment = dag.segment(&frontier, &self.held.history).expect("held");
        let before = self.held.history.cuts.last().expect("there is a first cut");
        let ids: Vec<_> = segment.iter().map(|ordered| ordered.entry.id).collect();
        let draft = CutDraft {
            database: self.database,
            term: before.term,
            height: before.height + 1,
            parent: before.id(),
            engine: 1,
            frontier,
            order_root: order_root(&ids),
            state_root: StateRoot(before.id().0),
            finalisers: before.finalisers.clone(),
        };
        let cut = Cut::seal(draft, &self.key).expect("sealed");
        let bytes = cut.encoded().to_vec();
        self.held.cover(cut, segment).expect("nothing is missing");
        self.spread_cut(now, &bytes)
    }

    fn spread_cut(&mut self, now: Now, bytes: &[u8]) -> Vec<Sent> {
        let remotes: Vec<_> = self.links.keys().copied().collect();
        let tell = |remote| self.tell(now, remote, ConversationInput::FreshCut { bytes });
        remotes.into_iter().flat_map(tell).collect()
    }

    fn spread(&mut self, now: Now, entries: &[Arc<Entry>], from: Option<DeviceKey>) -> Vec<Sent> {
        let remotes: Vec<_> = self.links.keys().copied().collect();
        let tell = |remote| self.tell(now, remote, ConversationInput::Fresh { entries, from });
        remotes.into_iter().flat_map(tell).collect()
    }

    pub(super) fn open(&mut self, now: Now, remote: DeviceKey) -> Vec<Sent> {
        let conversation = Conversation::new(remote, self.database);
        self.links.insert(remote, conversation);
        self.tell(now, remote, ConversationInput::Opened)
    }

    pub(super) fn hear(&mut self, now: Now, remote: DeviceKey, frame: &[u8]) -> Vec<Sent> {
        let (database, message) = Message::decode(frame).expect("ours");
        assert_eq!(database, self.database);
        self.tell(now, remote, ConversationInput::Received(message))
    }

    /// Hands one conversation an input and carries out what it decides, until it has no more.
    pub(super) fn tell(
        &mut self,
        now: Now,
        remote: DeviceKey,
        input: ConversationInput<'_>,
    ) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut fresh = Vec::new();
        let mut cuts = Vec::new();
        let Some(mut conversation) = self.links.remove(&remote) else {
            return sent;
        };
        let others = self.links.values();
        self.held.pulled = others.flat_map(|link| link.pulling(now.tick)).collect();
        let mut effects = conversation.step(now, input, &self.held);
        loop {
            let mut brought = None;
            for effect in self.put_off(now, remote, effects) {
                let missing = self.carry_out(remote, effect, &mut sent, &mut fresh, &mut cuts);
                if let Some(missing) = missing {
                    brought.get_or_insert_with(Vec::new).extend(missing);
                }
            }
            let Some(missing) = brought else { break };
            self.delivered += 1;
            let input = ConversationInput::Ingested {
                missing: &missing,
                cut_missing: false,
                apart: false,
            };
            effects = conversation.step(now, input, &self.held);
        }
        self.links.insert(remote, conversation);
        self.pass_on(now, remote, &fresh, &cuts, &mut sent);
        sent
    }

    /// Tells all links what has become ours.
    pub(super) fn pass_on(
        &mut self,
        now: Now,
        from: DeviceKey,
        fresh: &[Arc<Entry>],
        cuts: &[Vec<u8>],
        sent: &mut Vec<Sent>,
    ) {
        if !fresh.is_empty() {
            sent.extend(self.spread(now, fresh, Some(from)));
        }
        for cut in cuts {
            sent.extend(self.spread_cut(now, cut));
        }
    }

    /// `Some`: something was brought, and these parents are missing.
    pub(super) fn carry_out(
        &mut self,
        remote: DeviceKey,
        effect: ConversationEffect,
        sent: &mut Vec<Sent>,
        fresh: &mut Vec<Arc<Entry>>,
        cuts: &mut Vec<Vec<u8>>,
    ) -> Option<Vec<EntryId>> {
        match effect {
            ConversationEffect::Send(message) => {
                sent.push(Sent {
                    to: remote,
                    frame: message.encode(&self.database),
                });
                return None;
            }
            ConversationEffect::Entries(entries) => return Some(self.take(remote, entries, fresh)),
            ConversationEffect::Segment {
                cut,
                entries,
                complete,
                height,
            } => {
                let known = self.held.cut().is_some_and(|own| own.height >= height);
                if known {
                    return Some(Vec::new());
                }
                let first = self.held.dag.is_none();
                if first && height == 0 {
                    let genesis = Entry::open(&entries[0]).expect("an entry");
                    self.begin(Arc::new(genesis), Cut::open(&cut).expect("a cut"));
                    return Some(Vec::new());
                }
                let mut missing = self.take(remote, entries, fresh);
                if complete {
                    missing.extend(self.take_cut(&cut, fresh, cuts));
                }
                return Some(missing);
            }
            ConversationEffect::Cut(cut) => return Some(self.take_cut(&cut, fresh, cuts)),
            ConversationEffect::BlobChunk {
                hash,
                offset,
                total,
                bytes,
            } => {
                let part = self.held.wanted.get_mut(&hash)?;
                if offset == part.len() as u64 {
                    part.extend(bytes);
                }
                if part.len() as u64 == total {
                    if BlobHash::of(part) == hash {
                        let blob = self.held.wanted.remove(&hash)?;
                        self.held.blobs.insert(hash, blob);
                    } else {
                        part.clear();
                    }
                }
                return Some(Vec::new());
            }
            ConversationEffect::BodyChunk {
                entry,
                offset,
                total,
                bytes,
            } => return Some(self.take_body(remote, entry, offset, total, bytes, fresh)),
            ConversationEffect::Proof(proof) => {
                let dag = self.held.dag.as_mut()?;
                dag.learn_equivocation(proof).expect("an honest proof");
            }
            ConversationEffect::Misbehaved(why) | ConversationEffect::Silent(why) => {
                self.reports.push(why);
            }
            ConversationEffect::WakeAt(tick) => {
                self.wakes.insert(remote, tick);
            }
            ConversationEffect::Branch(_) => return Some(Vec::new()),
            ConversationEffect::Addresses(_) | ConversationEffect::InSync => {}
        }
        None
    }

    fn take(
        &mut self,
        remote: DeviceKey,
        entries: Vec<Vec<u8>>,
        fresh: &mut Vec<Arc<Entry>>,
    ) -> Vec<EntryId> {
        let Some(dag) = &mut self.held.dag else {
            return Vec::new();
        };
        let mut missing = Vec::new();
        for entry in entries {
            let entry = match Travelled::open(&entry) {
                Ok(Travelled::Whole(entry)) => entry,
                Ok(Travelled::Stub(stub)) => {
                    let id = stub.id();
                    let known = dag.contains(&id) || dag.is_pending(&id);
                    if known || self.held.history.entries.contains_key(&id) {
                        continue;
                    }
                    missing.extend(stub.header.parents.iter().filter(|id| {
                        !dag.contains(id) && !self.held.history.entries.contains_key(id)
                    }));
                    self.held.bodies.offer(stub, remote).expect("signed");
                    continue;
                }
                Err(_) => {
                    self.reports.push("a malformed entry".to_owned());
                    continue;
                }
            };
            let entry = Arc::new(entry);
            self.held.log.insert(entry.id, Arc::clone(&entry));
            match dag.offer(entry, Some(remote), &self.held.history) {
                Offered::Accepted(accepted) => fresh.extend(accepted),
                Offered::Pending { missing: more, .. } => missing.extend(more),
                Offered::Known | Offered::Full => {}
                Offered::Invalid(why) => self.reports.push(why.to_string()),
            }
        }
        fresh.retain(|entry| dag.is_clean(&entry.id));
        missing
    }

    fn take_body(
        &mut self,
        remote: DeviceKey,
        id: EntryId,
        offset: u64,
        total: u64,
        bytes: Vec<u8>,
        fresh: &mut Vec<Arc<Entry>>,
    ) -> Vec<EntryId> {
        let Some(stub) = self.held.bodies.stub(&id) else {
            return Vec::new();
        };
        let part = self.held.parts.entry(id).or_default();
        if total != u64::from(stub.header.body_len) || offset != part.len() as u64 {
            return Vec::new();
        }
        part.extend(bytes);
        if (part.len() as u64) < total {
            return Vec::new();
        }
        let part = self.held.parts.remove(&id).expect("just filled");
        if !stub.names_body(&part) {
            self.held.bodies.distrust(&id, &remote);
            self.reports.push("a wrong body".to_owned());
            return Vec::new();
        }
        let entry = Arc::new(stub.with_body(&part).expect("an honest author"));
        self.held.bodies.take(&id);
        self.held.log.insert(id, Arc::clone(&entry));
        let dag = self.held.dag.as_mut().expect("not joining any more");
        let mut missing = Vec::new();
        match dag.offer(entry, Some(remote), &self.held.history) {
            Offered::Accepted(accepted) => fresh.extend(accepted),
            Offered::Pending { missing: more, .. } => missing.extend(more),
            Offered::Known | Offered::Full => {}
            Offered::Invalid(why) => self.reports.push(why.to_string()),
        }
        fresh.retain(|entry| dag.is_clean(&entry.id));
        missing
    }

    fn take_cut(
        &mut self,
        bytes: &[u8],
        fresh: &mut Vec<Arc<Entry>>,
        cuts: &mut Vec<Vec<u8>>,
    ) -> Vec<EntryId> {
        if self.held.dag.is_none() {
            return Vec::new();
        }
        let cut = Cut::open(bytes).expect("a cut");
        let height = self.held.cut().map(|cut| cut.height);
        match self.held.take_cut(cut) {
            Ok(released) => {
                if self.held.cut().map(|cut| cut.height) != height {
                    cuts.push(bytes.to_vec());
                }
                fresh.extend(released);
                let dag = self.held.dag.as_ref().expect("checked above");
                fresh.retain(|entry| dag.is_clean(&entry.id));
                Vec::new()
            }
            Err(missing) => missing,
        }
    }
}
