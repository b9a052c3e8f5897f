//! Links as the core sees them: which conversations open, and whom a message is for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sync_protocol::{
    AddressRecord, Conversation, ConversationEffect, ConversationInput, DatabaseId, DeviceKey,
    Message, MessageError, Now,
};

use super::Link;
use super::view::JoinView;
use crate::addresses::ADDRESSES_NOTE;
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::joining::ModulePiece;
use crate::neighbours;
use crate::reply::JoinState;

/// Milliseconds for which a member that could not be reached is left out when links are chosen.
const AWAY_MS: u64 = 60_000;

impl Core {
    pub(crate) fn link_up(&mut self, now: Now, remote: DeviceKey) {
        self.parts.links.insert(remote);
        self.parts.links_stale |= self.parts.away.remove(&remote).is_some();
        for id in self.replica_ids() {
            self.open_link(now, remote, id);
        }
        let joins: Vec<DatabaseId> = self.joins.keys().copied().collect();
        for id in joins {
            self.open_link(now, remote, id);
        }
    }

    pub(crate) fn link_down(&mut self, now: Now, remote: DeviceKey) {
        self.parts.links.remove(&remote);
        self.parts.clocks.remove(&remote);
        let replicas = self.replicas.values_mut();
        let faults = replicas.map(|replica| replica.close_link(&remote)).max();
        self.parts
            .conduct
            .keep_faults(remote, now.tick, faults.unwrap_or(0));
        for joining in self.joins.values_mut() {
            joining.links.remove(&remote);
        }
    }

    /// Starts the conversation about one database with one remote.
    pub(crate) fn open_link(&mut self, now: Now, remote: DeviceKey, id: DatabaseId) {
        if self.replicas.contains_key(&id) {
            self.with(id, now, |replica, ctx| replica.open_link(remote, ctx));
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
                let why = format!("sent a frame that is no message: {error}");
                self.parts.hang_up(remote, now, why);
                return;
            }
        };
        let told_time = match &message {
            Message::Hello(hello) if self.parts.links.contains(&remote) => Some(hello.wall),
            _ => None,
        };
        if let Some(wall) = told_time {
            let own = self.parts.mesh.own(now.tick);
            self.parts
                .clocks
                .entry(remote)
                .or_default()
                .sample(wall, own);
        }
        if self.replicas.contains_key(&id) {
            self.with(id, now, |replica, ctx| {
                replica.tell(remote, ConversationInput::Received(message), ctx)
            });
        } else {
            self.tell_join(now, remote, id, ConversationInput::Received(message));
        }
        if told_time.is_some() {
            // Before anything is written: what a clock that is ahead has stamped waits for its time.
            self.correct_clock();
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
        let parts = &mut self.parts;
        let view = JoinView {
            joining,
            remote,
            partials: &parts.partials,
        };
        let mut effects = link.conversation.step(now, input, &view);
        loop {
            let mut anything = false;
            let mut fault = None;
            for effect in effects {
                match effect {
                    ConversationEffect::Send(message) => parts.effects.push(Effect::Send {
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
                        fault = joining
                            .take_birth(&id, &cut, &entries, parts.engine_max)
                            .err();
                    }
                    ConversationEffect::BlobChunk {
                        hash,
                        offset,
                        total,
                        bytes,
                    } => {
                        anything = true;
                        let piece = ModulePiece {
                            hash: &hash,
                            from: remote,
                            offset,
                            total,
                            bytes: &bytes,
                        };
                        let (partials, disk) = (&mut parts.partials, &*parts.disk);
                        match joining.take_chunk(&piece, partials, disk, now.tick) {
                            Ok(guilty) => {
                                for (guilty, why) in guilty {
                                    parts.hang_up(guilty, now, why);
                                }
                            }
                            Err(error) => parts.note(
                                NoteLevel::Error,
                                format!("a piece of a module could not be kept: {error}"),
                            ),
                        }
                    }
                    // The rest comes again when there is something to apply it to.
                    ConversationEffect::Segment { .. }
                    | ConversationEffect::Entries(_)
                    | ConversationEffect::Branch(_)
                    | ConversationEffect::BodyChunk { .. }
                    | ConversationEffect::Cut(_) => anything = true,
                    ConversationEffect::Proof(_)
                    | ConversationEffect::Addresses(_)
                    | ConversationEffect::InSync => {}
                    ConversationEffect::Misbehaved(why) => fault = Some(why),
                    ConversationEffect::Silent(why) => {
                        parts.effects.push(Effect::CloseLink { remote, why });
                    }
                    ConversationEffect::WakeAt(tick) => link.wake = Some(tick),
                }
            }
            if let Some(why) = fault {
                parts.hang_up(remote, now, why);
                break;
            }
            if !anything {
                break;
            }
            let input = ConversationInput::Ingested {
                missing: &[],
                cut_missing: false,
                apart: false,
            };
            let view = JoinView {
                joining,
                remote,
                partials: &parts.partials,
            };
            effects = link.conversation.step(now, input, &view);
        }
        joining.links.insert(remote, link);
    }

    /// Signs where this peer listens now.
    pub(crate) fn sign_addresses(&mut self, now: Now, addresses: &[String]) {
        let before = self.parts.own_record.as_ref().map(|own| own.sequence);
        let heard = self.replicas.values();
        let heard = heard.map(|replica| replica.addresses.own_heard()).max();
        let latest = before.max(heard).unwrap_or(0);
        // Later than all before it, also if the clock went back or an old backup was restored.
        let sequence = now.wall.max(latest.saturating_add(1));
        let record = AddressRecord::sign(&self.parts.key, sequence, addresses);
        self.parts.own_record = Some(Arc::new(record));
    }

    /// Brings this peer's own record to every database of which it is a member, tells members what
    /// is new, and keeps it on disk.
    pub(crate) fn spread_addresses(&mut self, now: Now) {
        let overtaken = self.parts.own_record.as_ref().is_some_and(|own| {
            let mut replicas = self.replicas.values();
            replicas.any(|replica| replica.addresses.own_heard() > own.sequence)
        });
        if overtaken && let Some(own) = self.parts.own_record.take() {
            self.sign_addresses(now, &own.addresses);
        }
        let (own, device) = (self.parts.own_record.clone(), self.parts.device);
        for id in self.replica_ids() {
            self.with(id, now, |replica, ctx| {
                if let Some(own) = &own
                    && replica.members.contains_key(&device)
                {
                    replica.addresses.put_own(own);
                }
                if let Some(note) = replica.addresses.take_unsaved(ctx.now.tick) {
                    replica.log.put_note(ADDRESSES_NOTE, &note)?;
                }
                if replica.addresses.take_untold() {
                    let remotes: Vec<DeviceKey> = replica.links.keys().copied().collect();
                    for remote in remotes {
                        replica.tell(remote, ConversationInput::AddressesChanged, ctx)?;
                    }
                }
                Ok(())
            });
        }
    }

    /// Somebody shows up in the local network. Only members are dialled.
    pub(crate) fn noticed(&mut self, remote: DeviceKey, addresses: Vec<String>) {
        if self.parts.wanted.contains_key(&remote) && !self.parts.links.contains(&remote) {
            self.parts.effects.push(Effect::Dial { remote, addresses });
        } else if self.parts.known_members.contains(&remote) {
            self.parts.links_stale |= self.parts.away.remove(&remote).is_some();
        }
    }

    /// A member could not be reached: others take its place for a while.
    pub(crate) fn unreachable(&mut self, now: Now, remote: DeviceKey) {
        if self.parts.wanted.contains_key(&remote) && !self.parts.links.contains(&remote) {
            let until = now.tick.plus_ms(AWAY_MS);
            self.parts.links_stale |= self.parts.away.insert(remote, until).is_none();
        }
    }

    /// Tells the driver whom to keep links to, if that has changed: some members of each database
    /// (see `neighbours`), and whom a join asks.
    pub(crate) fn choose_links(&mut self, now: Now) {
        let mut stale = std::mem::take(&mut self.parts.links_stale);
        for replica in self.replicas.values_mut() {
            stale |= std::mem::take(&mut replica.addresses.links_stale);
        }
        let away = self.parts.away.len();
        self.parts.away.retain(|_, until| *until > now.tick);
        if !stale && away == self.parts.away.len() {
            return;
        }
        // Whoever is a member now has told its time before.
        self.correct_clock();
        let device = self.parts.device;
        let mut wanted: BTreeMap<DeviceKey, Vec<String>> = BTreeMap::new();
        let mut members = BTreeSet::new();
        for replica in self.replicas.values() {
            let was_member = replica.rights.roles.contains_key(&device);
            let is_heard =
                replica.members.contains_key(&device) || replica.is_ending_finaliser(&device);
            if was_member && !is_heard {
                continue; // they have nothing more to say
            }
            let finalisers = replica.cut.finalisers.iter();
            let ending = finalisers.filter(|one| replica.is_ending_finaliser(one));
            let all: BTreeSet<DeviceKey> = replica.members.keys().chain(ending).copied().collect();
            let all = all.iter().copied();
            let is_away = |member: &DeviceKey| self.parts.away.contains_key(member);
            for member in neighbours::links(&replica.id, &device, all.clone(), is_away) {
                let addresses = wanted.entry(member).or_default();
                if addresses.is_empty() {
                    *addresses = replica.addresses.of(&member).to_vec();
                }
            }
            members.extend(all);
        }
        members.remove(&device);
        for joining in self.joins.values() {
            for member in joining.asking_of() {
                wanted
                    .entry(member.device)
                    .or_insert_with(|| member.addresses.clone());
            }
        }
        wanted.remove(&device);
        if members != self.parts.known_members {
            self.parts.known_members.clone_from(&members);
            self.parts.effects.push(Effect::Members { members });
        }
        for (remote, addresses) in &wanted {
            if self.parts.wanted.get(remote) != Some(addresses) {
                self.parts.effects.push(Effect::Dial {
                    remote: *remote,
                    addresses: addresses.clone(),
                });
            }
        }
        for remote in self.parts.wanted.keys() {
            if !wanted.contains_key(remote) {
                self.parts.effects.push(Effect::Release { remote: *remote });
            }
        }
        self.parts.wanted = wanted;
    }
}
