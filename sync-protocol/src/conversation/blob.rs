//! Pulling blobs, such as modules: one at a time, chunk by chunk, from where this side stopped.

use std::collections::BTreeSet;

use super::limits::{ANSWER_WAIT_MS, ASKS_MAX};
use super::{Conversation, ConversationEffect, HEAVY_FAULT, LIGHT_FAULT, Turn};
use crate::ids::BlobHash;
use crate::limits::{BLOB_CHUNK_BYTES, MODULE_BYTES_MAX};
use crate::message::{Answer, Message, Want};
use crate::time::Tick;

/// Where the pull of blobs stands.
#[derive(Debug, Default)]
pub(super) struct BlobPull {
    stage: Stage,
    /// Blobs that the remote does not have, or has wrong; asked for again in the next round.
    lacking: BTreeSet<BlobHash>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Asked {
        request: u32,
        hash: BlobHash,
        offset: u64,
        asks: u8,
        again: Tick,
    },
    /// A chunk is with the replica, whose part of the blob should now reach `end`.
    Handed { hash: BlobHash, end: u64 },
}

impl BlobPull {
    pub(super) fn begin_round(&mut self) {
        self.lacking.clear();
    }

    pub(super) fn is_asked(&self, number: u32) -> bool {
        matches!(self.stage, Stage::Asked { request, .. } if request == number)
    }

    pub(super) fn due(&self) -> Option<Tick> {
        match self.stage {
            Stage::Asked { again, .. } => Some(again),
            Stage::Idle | Stage::Handed { .. } => None,
        }
    }

    fn drop_blob(&mut self, hash: BlobHash) {
        self.stage = Stage::Idle;
        self.lacking.insert(hash);
    }
}

impl Conversation {
    /// Asks, or asks again.
    pub(super) fn blobs_on(&mut self, turn: &mut Turn<'_>) {
        match self.blob.stage {
            Stage::Handed { .. } => {}
            Stage::Asked {
                request,
                hash,
                offset,
                asks,
                again,
            } => {
                if again > turn.now.tick {
                    return;
                }
                if asks >= ASKS_MAX {
                    self.blob.drop_blob(hash);
                    return turn.effects.push(ConversationEffect::Silent(format!(
                        "no answer to {asks} questions for a blob"
                    )));
                }
                self.ask_blob(request, hash, offset, asks + 1, turn);
            }
            Stage::Idle => {
                // Who did not say where it stands need not answer: it may not know us yet.
                if self.theirs.is_none() {
                    return;
                }
                let mut wanted = turn.holdings.wanted_blobs().into_iter();
                let next = wanted.find(|hash| !self.blob.lacking.contains(hash));
                if let Some(hash) = next {
                    let request = self.new_request();
                    let offset = turn.holdings.blob_offset(&hash);
                    self.ask_blob(request, hash, offset, 1, turn);
                }
            }
        }
    }

    fn ask_blob(
        &mut self,
        request: u32,
        hash: BlobHash,
        offset: u64,
        asks: u8,
        turn: &mut Turn<'_>,
    ) {
        let wait_ms = ANSWER_WAIT_MS << (asks - 1);
        self.blob.stage = Stage::Asked {
            request,
            hash,
            offset,
            asks,
            again: turn.now.tick.plus_ms(wait_ms),
        };
        let want = Want::Blob { hash, offset };
        turn.send(Message::Want { request, want });
    }

    /// The answer to the question that is open.
    pub(super) fn hear_blob(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Stage::Asked { hash, offset, .. } = self.blob.stage else {
            return;
        };
        match answer {
            Answer::Nothing => self.blob.drop_blob(hash),
            Answer::Blob { total, bytes } => {
                let end = offset.saturating_add(bytes.len() as u64);
                let fits = bytes.len() <= BLOB_CHUNK_BYTES
                    && end <= total
                    && total <= MODULE_BYTES_MAX as u64;
                if !fits {
                    self.blob.drop_blob(hash);
                    return self.fault(
                        HEAVY_FAULT,
                        "it sent a part of a blob that cannot be",
                        turn,
                    );
                }
                self.blob.stage = Stage::Handed { hash, end };
                turn.effects.push(ConversationEffect::BlobChunk {
                    hash,
                    offset,
                    total,
                    bytes,
                });
            }
            _ => {
                self.blob.drop_blob(hash);
                self.fault(HEAVY_FAULT, "it answered another question", turn);
            }
        }
    }

    /// The replica took the chunk in.
    pub(super) fn blob_ingested(&mut self, turn: &mut Turn<'_>) {
        let Stage::Handed { hash, end } = self.blob.stage else {
            return;
        };
        self.blob.stage = Stage::Idle;
        let wanted = turn.holdings.wanted_blobs().contains(&hash);
        if wanted && turn.holdings.blob_offset(&hash) < end {
            // Its bytes did not have the hash that names them: try another remote first.
            self.blob.lacking.insert(hash);
            self.fault(
                LIGHT_FAULT,
                "it sent a blob with other bytes than its name",
                turn,
            );
        }
    }
}
