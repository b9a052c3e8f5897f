//! Pulling what is large, modules and bodies of entries: one at a time, chunk by chunk, from where
//! this side stopped. Small entries do not wait for it: they are asked for beside it, and come
//! between two chunks.

use std::collections::BTreeSet;

use super::limits::{ANSWER_BYTES_MIN, ASKS_MAX, HOLD_MS, LACKING_MAX};
use super::{Bulk, Conversation, ConversationEffect, HEAVY_FAULT, LIGHT_FAULT, Trust, Turn};
use crate::entry::body_of;
use crate::ids::{BlobHash, EntryId};
use crate::limits::{BLOB_CHUNK_BYTES, BODY_BYTES_MAX, MODULE_BYTES_MAX};
use crate::message::{Answer, Message, Want};
use crate::time::Tick;

/// Where the pull of blobs stands.
#[derive(Debug, Default)]
pub(super) struct BlobPull {
    stage: Stage,
    /// Blobs that the remote does not have, or has wrong; asked for again in the next round.
    lacking: BTreeSet<Piece>,
    /// Something is wanted that another conversation is pulling: when to look again.
    hold: Option<Tick>,
}

/// What is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Blob(BlobHash),
    Body(EntryId),
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Asked {
        request: u32,
        piece: Piece,
        offset: u64,
        /// When it was asked first.
        since: Tick,
        asks: u8,
        again: Tick,
    },
    /// A chunk is with the replica, whose part of the blob should now reach `end`.
    Handed { piece: Piece, end: u64 },
}

impl Piece {
    fn bulk(self) -> Bulk {
        match self {
            Self::Blob(hash) => Bulk::Blob(hash),
            Self::Body(entry) => Bulk::Body(entry),
        }
    }

    fn want(self, offset: u64) -> Want {
        match self {
            Self::Blob(hash) => Want::Blob { hash, offset },
            Self::Body(entry) => Want::Body {
                entry,
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
            },
        }
    }
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
            Stage::Idle => self.hold,
            Stage::Handed { .. } => None,
        }
    }

    pub(super) fn remembered(&self) -> usize {
        self.lacking.len()
    }

    /// What is being pulled, unless the remote keeps us waiting.
    pub(super) fn pulling(&self, now: Tick) -> Option<Bulk> {
        match self.stage {
            Stage::Asked {
                piece,
                asks: 1,
                again,
                ..
            } if again > now => Some(piece.bulk()),
            _ => None,
        }
    }

    fn set_aside(&mut self, piece: Piece) {
        self.stage = Stage::Idle;
        if self.lacking.len() < LACKING_MAX {
            self.lacking.insert(piece);
        }
    }
}

impl Conversation {
    /// Asks, or asks again.
    pub(super) fn blobs_on(&mut self, turn: &mut Turn<'_>) {
        self.blob.hold = None;
        match self.blob.stage {
            Stage::Handed { .. } => {}
            Stage::Asked {
                request,
                piece,
                offset,
                since,
                asks,
                again,
            } => {
                if again > turn.now.tick {
                    return;
                }
                if asks >= ASKS_MAX {
                    self.blob.set_aside(piece);
                    return turn.effects.push(ConversationEffect::Silent(format!(
                        "no answer to {asks} questions for a blob"
                    )));
                }
                if turn.holdings.is_pulled(&piece.bulk(), turn.now.tick) {
                    // Another remote is faster.
                    self.blob.set_aside(piece);
                    return self.next_piece(turn);
                }
                self.ask_piece((request, since), piece, offset, asks + 1, turn);
            }
            Stage::Idle => self.next_piece(turn),
        }
    }

    fn next_piece(&mut self, turn: &mut Turn<'_>) {
        // Who did not say where it stands need not answer: it may not know us yet.
        if self.theirs.is_none() {
            return;
        }
        let bodies = turn.holdings.wanted_bodies(&self.remote).into_iter();
        let blobs = turn.holdings.wanted_blobs().into_iter();
        let wanted = bodies
            .map(|(entry, _)| Piece::Body(entry))
            .chain(blobs.map(Piece::Blob))
            .filter(|piece| !self.blob.lacking.contains(piece));
        let mut next = None;
        let mut held = false;
        for piece in wanted {
            if !turn.holdings.is_pulled(&piece.bulk(), turn.now.tick) {
                next = Some(piece);
                break;
            }
            held = true;
        }
        if let Some(piece) = next {
            let request = self.new_request();
            let offset = match piece {
                Piece::Blob(hash) => turn.holdings.blob_offset(&hash),
                Piece::Body(entry) => turn.holdings.body_offset(&entry),
            };
            self.ask_piece((request, turn.now.tick), piece, offset, 1, turn);
        } else if held {
            self.blob.hold = Some(turn.now.tick.plus_ms(HOLD_MS));
        }
    }

    /// Asks under this number, which was used first at this time.
    fn ask_piece(
        &mut self,
        (request, since): (u32, Tick),
        piece: Piece,
        offset: u64,
        asks: u8,
        turn: &mut Turn<'_>,
    ) {
        let wait_ms = self.patience.ms() << (asks - 1);
        self.blob.stage = Stage::Asked {
            request,
            piece,
            offset,
            since,
            asks,
            again: turn.now.tick.plus_ms(wait_ms),
        };
        let want = piece.want(offset);
        turn.send(Message::Want { request, want });
    }

    /// The answer to the question that is open.
    pub(super) fn hear_blob(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        let Stage::Asked {
            piece,
            offset,
            since,
            asks,
            ..
        } = self.blob.stage
        else {
            return;
        };
        self.patience.note_answer(since, asks, turn.now.tick);
        match answer {
            Answer::Nothing => self.blob.set_aside(piece),
            Answer::Blob { total, bytes } => {
                let end = offset.saturating_add(bytes.len() as u64);
                let left = total.saturating_sub(offset);
                // What the slowest link carries, or all that is left: less would keep others from
                // being asked.
                let least = left.min(ANSWER_BYTES_MIN as u64);
                let most = left.min(BLOB_CHUNK_BYTES as u64);
                let fits = (least..=most).contains(&(bytes.len() as u64)) && !bytes.is_empty();
                let max = match piece {
                    Piece::Blob(_) => MODULE_BYTES_MAX,
                    Piece::Body(_) => BODY_BYTES_MAX,
                };
                if !fits || total > max as u64 {
                    self.blob.set_aside(piece);
                    return self.fault(
                        HEAVY_FAULT,
                        "it sent a part of a blob that cannot be",
                        turn,
                    );
                }
                self.blob.stage = Stage::Handed { piece, end };
                turn.effects.push(match piece {
                    Piece::Blob(hash) => ConversationEffect::BlobChunk {
                        hash,
                        offset,
                        total,
                        bytes,
                    },
                    Piece::Body(entry) => ConversationEffect::BodyChunk {
                        entry,
                        offset,
                        total,
                        bytes,
                    },
                });
            }
            _ => {
                self.blob.set_aside(piece);
                self.fault(HEAVY_FAULT, "it answered another question", turn);
            }
        }
    }

    /// The replica took the chunk in.
    pub(super) fn blob_ingested(&mut self, turn: &mut Turn<'_>) {
        let Stage::Handed { piece, end } = self.blob.stage else {
            return;
        };
        self.blob.stage = Stage::Idle;
        let holdings = turn.holdings;
        let (wanted, offset) = match piece {
            Piece::Blob(hash) => (
                holdings.wanted_blobs().contains(&hash),
                holdings.blob_offset(&hash),
            ),
            Piece::Body(entry) => {
                let mut bodies = holdings.wanted_bodies(&self.remote).into_iter();
                (
                    bodies.any(|(wanted, _)| wanted == entry),
                    holdings.body_offset(&entry),
                )
            }
        };
        if wanted && offset < end {
            // Its bytes did not have the hash that names them: try another remote first.
            self.blob.set_aside(piece);
            self.fault(
                LIGHT_FAULT,
                "it sent a blob with other bytes than its name",
                turn,
            );
        } else if !wanted {
            self.pull.go_on_after_blob();
            if self.trust == Trust::Member && holdings.wanted_bodies(&self.remote).is_empty() {
                // What waited behind the bodies may be asked for now.
                self.compare_due.get_or_insert(turn.now.tick);
            }
        }
    }
}

/// A part of the body of an entry that is held here.
pub(super) fn body_part(encoded: &[u8], offset: u32, bytes_max: usize) -> Answer {
    let body = body_of(encoded);
    let rest = body.get(offset as usize..).unwrap_or_default();
    if rest.is_empty() {
        return Answer::Nothing;
    }
    Answer::Blob {
        total: body.len() as u64,
        bytes: rest[..rest.len().min(bytes_max)].to_vec(),
    }
}
