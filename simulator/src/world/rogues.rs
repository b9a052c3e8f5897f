//! Those who do not keep to the rules: a stranger who got a link, and a member whose key signs second
//! histories. Both send what they overheard, as it was or spoilt. Whatever they do, the others must
//! stay up, lose nothing, and agree.

use std::collections::VecDeque;
use std::sync::Arc;

use peer_core::Input;
use sync_protocol::{Body, DeviceKey, Draft, Entry, Message, SecretKey};

use super::{Event, World};
use crate::seed::{Dice, Seed};

/// Frames that rogues remember.
const OVERHEARD_MAX: usize = 64;

/// Mean milliseconds between two pieces of mischief.
const MISCHIEF_EVERY_MS: u64 = 300;

/// What rogues know and are up to.
#[derive(Debug)]
pub(super) struct Rogues {
    dice: Dice,
    stranger: DeviceKey,
    overheard: VecDeque<Vec<u8>>,
    active: bool,
    forgeries: u64,
}

impl Rogues {
    pub(super) fn new(seed: Seed) -> Self {
        let mut dice = seed.child("rogues");
        Self {
            stranger: SecretKey::from_bytes(&dice.bytes()).public(),
            dice,
            overheard: VecDeque::new(),
            active: false,
            forgeries: 0,
        }
    }

    pub(super) fn overhear(&mut self, frame: &[u8]) {
        if self.overheard.len() == OVERHEARD_MAX {
            self.overheard.pop_front();
        }
        self.overheard.push_back(frame.to_vec());
    }

    /// Something overheard, as it was or spoilt.
    fn something(&mut self) -> Vec<u8> {
        if self.overheard.is_empty() {
            return self.dice.bytes().to_vec();
        }
        let one = self.dice.index(self.overheard.len());
        let mut frame = self.overheard[one].clone();
        match self.dice.below(5) {
            0 => {}
            1 => {
                let end = self.dice.index(frame.len());
                frame.truncate(end);
            }
            2 => {
                let other = self.dice.index(self.overheard.len());
                let from = self.dice.index(frame.len());
                frame.truncate(from);
                frame.extend(self.overheard[other].iter().skip(from));
            }
            _ => {
                for _ in 0..self.dice.between(1, 3) {
                    let at = self.dice.index(frame.len());
                    frame[at] ^= 1 << self.dice.below(8);
                }
            }
        }
        frame
    }
}

impl World {
    /// Whether the peer is one whose key signs second histories.
    pub(super) fn is_rogue(&self, at: usize) -> bool {
        self.faults.rogue && at > 0 && at + 1 == self.nodes.len()
    }

    pub(super) fn begin_mischief(&mut self) {
        self.rogues.active = true;
        self.after(0, Event::Mischief);
        if self.faults.stranger {
            for at in 0..self.nodes.len() {
                self.after(0, Event::StrangerDials { at });
            }
        }
    }

    pub(super) fn end_mischief(&mut self) {
        self.rogues.active = false;
        let remote = self.rogues.stranger;
        for at in 0..self.nodes.len() {
            self.input(at, Input::LinkDown { remote });
        }
    }

    pub(super) fn stranger_dials(&mut self, at: usize) {
        if self.rogues.active && self.nodes[at].is_on() {
            let remote = self.rogues.stranger;
            self.input(at, Input::LinkUp { remote });
        }
    }

    pub(super) fn stranger_leaves(&mut self, at: usize) {
        let remote = self.rogues.stranger;
        self.input(at, Input::LinkDown { remote });
        let wait = self.rogues.dice.around(2_000_000);
        self.after(wait, Event::StrangerDials { at });
    }

    pub(super) fn mischief(&mut self) {
        if !self.rogues.active {
            return;
        }
        let peers = self.nodes.len();
        let victim = self.rogues.dice.index(peers);
        if self.faults.stranger && self.rogues.dice.coin() {
            let remote = self.rogues.stranger;
            let bytes = self.rogues.something();
            self.say(format_args!("the stranger talks to {victim}"));
            self.input(victim, Input::Message { remote, bytes });
        }
        let rogue = peers - 1;
        if self.is_rogue(rogue) && self.network.is_up(rogue, victim) {
            let remote = self.nodes[rogue].device;
            let bytes = if self.rogues.dice.percent(20) {
                self.second_history(rogue)
            } else {
                Some(self.rogues.something())
            };
            if let Some(bytes) = bytes {
                self.say(format_args!("the rogue {rogue} talks to {victim}"));
                self.input(victim, Input::Message { remote, bytes });
            }
        }
        let wait = self.rogues.dice.around(MISCHIEF_EVERY_MS * 1_000);
        self.after(wait, Event::Mischief);
    }

    /// An entry of the rogue that was overheard, at the same place of its chain and with another
    /// content.
    fn second_history(&mut self, rogue: usize) -> Option<Vec<u8>> {
        let node = &self.nodes[rogue];
        let frames = self.rogues.overheard.iter().rev();
        let messages = frames.filter_map(|frame| Message::decode(frame).ok());
        let (database, entry) = messages
            .filter_map(|(database, message)| match message {
                Message::Push { entries, .. } => Some((database, entries)),
                _ => None,
            })
            .find_map(|(database, entries)| {
                let opened = entries.iter().filter_map(|entry| Entry::open(entry).ok());
                let own = opened
                    .rev()
                    .find(|entry| entry.header.author == node.device)?;
                Some((database, own))
            })?;
        let mut body: Body = entry.body.clone();
        // "saying 12" becomes "forged 12": the same length, so only these bytes change.
        let invocation = body.invocations.iter_mut().find_map(|invocation| {
            let at = find(&invocation.args, b"saying")?;
            Some((invocation, at))
        });
        let (invocation, at) = invocation?;
        let number: Vec<u8> = invocation.args[at + 6..].to_vec();
        invocation.args[at..at + 6].copy_from_slice(b"forged");
        let text = format!("forged{}", String::from_utf8_lossy(&number));
        let header = &entry.header;
        let draft = Draft {
            database: header.database,
            epoch: header.epoch,
            seq: header.seq,
            parents: header.parents.clone(),
            hlc: header.hlc,
            stride: header.stride,
            base: header.base,
        };
        let twin = Arc::new(Entry::seal(draft, body, &node.key).ok()?);
        self.rogues.forgeries += 1;
        self.ledger.forged(text);
        let push = Message::Push {
            entries: vec![twin.encoded().to_vec()],
            forwarded: false,
        };
        Some(push.encode(&database))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
