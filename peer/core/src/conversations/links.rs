//! Links as the core sees them: which conversations open, and whom a message is for.

use sync_protocol::{
    Conversation, ConversationEffect, ConversationInput, DatabaseId, DeviceKey, Message,
    MessageError, Now,
};

use super::view::JoinView;
use super::{Heard, Link};
use crate::core::Core;
use crate::effect::{Effect, NoteLevel};
use crate::joining::ModulePiece;
use crate::reply::JoinState;

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
                        fault = joining.take_birth(&id, &cut, &entries).err();
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
                                let hang_up = |(remote, why)| Effect::HangUp { remote, why };
                                parts.effects.extend(guilty.into_iter().map(hang_up));
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
                    | ConversationEffect::BodyChunk { .. }
                    | ConversationEffect::Cut(_) => anything = true,
                    ConversationEffect::Proof(_)
                    | ConversationEffect::Addresses(_)
                    | ConversationEffect::InSync => {}
                    ConversationEffect::Misbehaved(why) => fault = Some(why),
                    ConversationEffect::WakeAt(tick) => link.wake = Some(tick),
                }
            }
            if let Some(why) = fault {
                parts.effects.push(Effect::HangUp { remote, why });
                break;
            }
            if !anything {
                break;
            }
            let input = ConversationInput::Ingested {
                missing: &[],
                cut_missing: false,
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
