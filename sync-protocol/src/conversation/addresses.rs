//! Telling members where members listen: each new record at once, and all of them again a few at a
//! time, so that a record which was lost, or came before the remote knew us, comes again.

use std::collections::BTreeMap;

use super::{Conversation, ConversationEffect, LIGHT_FAULT, Trust, Turn};
use crate::address::AddressRecord;
use crate::ids::DeviceKey;
use crate::message::Message;
use crate::message::limits::{ADDRESS_RECORDS_PER_MESSAGE_MAX, ADDRESSED_PEERS_MAX};

/// Which records the remote has.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By device, the newest that was told here or there.
    sequences: BTreeMap<DeviceKey, u64>,
    /// The last device whose record was told again.
    again_after: Option<DeviceKey>,
}

impl Told {
    /// True if the remote did not have it.
    fn note(&mut self, record: &AddressRecord) -> bool {
        match self.sequences.get_mut(&record.device) {
            Some(sequence) if *sequence >= record.sequence => false,
            Some(sequence) => {
                *sequence = record.sequence;
                true
            }
            None => {
                // Members come and go, but never so many while a link is up.
                if self.sequences.len() >= 2 * ADDRESSED_PEERS_MAX {
                    self.sequences.clear();
                }
                self.sequences.insert(record.device, record.sequence);
                true
            }
        }
    }
}

impl Conversation {
    /// Tells what the remote was not told yet.
    pub(super) fn tell_addresses(&mut self, turn: &mut Turn<'_>) {
        if self.trust != Trust::Member {
            return;
        }
        let mut news: Vec<AddressRecord> = Vec::new();
        for record in turn.holdings.address_records() {
            if record.device != self.remote && self.told_addresses.note(&record) {
                news.push(AddressRecord::clone(&record));
            }
        }
        for records in news.chunks(ADDRESS_RECORDS_PER_MESSAGE_MAX) {
            turn.send(Message::Addresses {
                records: records.to_vec(),
            });
        }
    }

    /// Tells one message's worth again, going round.
    pub(super) fn tell_addresses_again(&mut self, turn: &mut Turn<'_>) {
        self.tell_addresses(turn);
        if self.trust != Trust::Member {
            return;
        }
        let all = turn.holdings.address_records();
        let after = self.told_addresses.again_after;
        let mut records: Vec<AddressRecord> = all
            .iter()
            .filter(|record| after.is_none_or(|after| record.device > after))
            .filter(|record| record.device != self.remote)
            .take(ADDRESS_RECORDS_PER_MESSAGE_MAX)
            .map(|record| AddressRecord::clone(record))
            .collect();
        records.sort_unstable_by_key(|record| record.device);
        self.told_addresses.again_after = (records.len() == ADDRESS_RECORDS_PER_MESSAGE_MAX)
            .then(|| records.last().map(|record| record.device))
            .flatten();
        if !records.is_empty() {
            turn.send(Message::Addresses { records });
        }
    }

    /// Tells the remote a newer record of its own than it told: its disk was lost with the number of that
    /// one, and nobody will take a record with a smaller number from it.
    fn tell_its_own(&self, records: &[AddressRecord], turn: &mut Turn<'_>) {
        let Some(told) = records.iter().find(|record| record.device == self.remote) else {
            return;
        };
        let known = turn.holdings.address_records();
        let newer = known
            .iter()
            .find(|known| known.device == self.remote && known.supersedes(told));
        if let Some(newer) = newer {
            turn.send(Message::Addresses {
                records: vec![AddressRecord::clone(newer)],
            });
        }
    }

    pub(super) fn hear_addresses(&mut self, records: Vec<AddressRecord>, turn: &mut Turn<'_>) {
        if self.trust != Trust::Member {
            return;
        }
        if !self.signed.take(turn.now.tick) {
            return self.fault(LIGHT_FAULT, "it tells too many addresses", turn);
        }
        for record in &records {
            self.told_addresses.note(record);
        }
        self.tell_its_own(&records, turn);
        turn.effects.push(ConversationEffect::Addresses(records));
    }
}
