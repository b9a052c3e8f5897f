//! Those who do not keep to the rules: a stranger who got a link, and a member whose key and links are
//! used by somebody else besides. Whatever they do, the others must stay up, lose nothing, and agree.

use std::collections::VecDeque;
use std::sync::Arc;

use peer_core::Input;
use sync_protocol::message::{Answer, Want};
use sync_protocol::{
    Body, CallName, Caller, ConnectionId, Cut, CutDraft, DatabaseId, DeviceKey, Draft, Entry,
    EntryId, Hlc, Invocation, Message, Role, SecretKey, StateRoot, SystemCall, Ticket,
    prove_admission,
};

use super::{Event, World};
use crate::seed::{Dice, Seed};

/// Frames that rogues remember.
const OVERHEARD_MAX: usize = 64;

/// Mean milliseconds between two pieces of mischief.
const MISCHIEF_EVERY_MS: u64 = 300;

/// Entries of the liar that it remembers.
const OWN_MAX: usize = 32;

/// Messages of one flood.
const FLOOD: u64 = 200;

/// Milliseconds by which times of the future are ahead: minutes to a day.
const AHEAD_MS: (u64, u64) = (2 * 60_000, 24 * 3_600_000);

/// What rogues know and are up to.
#[derive(Debug)]
pub(super) struct Rogues {
    pub(super) dice: Dice,
    /// Of the stranger, who is no member.
    key: SecretKey,
    stranger: DeviceKey,
    overheard: VecDeque<Vec<u8>>,
    /// Entries by the liar with a saying, old ones and new ones.
    own: Vec<Arc<Entry>>,
    /// The last cut that was told.
    cut: Option<Vec<u8>>,
    active: bool,
    /// Deluges so far.
    pub(super) deluges: u64,
}

impl Rogues {
    pub(super) fn new(seed: Seed) -> Self {
        let mut dice = seed.child("rogues");
        let key = SecretKey::from_bytes(&dice.bytes());
        Self {
            stranger: key.public(),
            key,
            dice,
            overheard: VecDeque::new(),
            own: Vec::new(),
            cut: None,
            active: false,
            deluges: 0,
        }
    }

    pub(super) fn overhear(&mut self, frame: &[u8]) {
        if self.overheard.len() == OVERHEARD_MAX {
            self.overheard.pop_front();
        }
        self.overheard.push_back(frame.to_vec());
    }

    /// Remembers what can be forged: entries of the liar, and cuts.
    fn study(&mut self, frame: &[u8], liar: &DeviceKey) {
        match Message::decode(frame) {
            Ok((_, Message::Push { entries, .. })) => {
                for entry in entries.iter().filter_map(|bytes| Entry::open(bytes).ok()) {
                    if entry.header.author == *liar && says(&entry) {
                        if self.own.len() == OWN_MAX {
                            let out = self.dice.index(OWN_MAX);
                            self.own.swap_remove(out);
                        }
                        self.own.push(Arc::new(entry));
                    }
                }
            }
            Ok((_, Message::Cut { bytes })) => self.cut = Some(bytes),
            _ => {}
        }
    }

    pub(super) fn one_of_own(&mut self) -> Option<Arc<Entry>> {
        if self.own.is_empty() {
            return None;
        }
        let one = self.dice.index(self.own.len());
        Some(Arc::clone(&self.own[one]))
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

    /// Makes the stranger the only caller of a body: it connects, and then calls what was called.
    fn takes_over(&mut self, body: &mut Body) {
        let did = peer_core::did_key(&self.stranger);
        for caller in &mut body.callers {
            caller.issuer.clone_from(&did);
            caller.subject.clone_from(&did);
        }
        // Those were several callers: now they are one, which a body names once.
        body.callers.truncate(1);
        let mut connection = ConnectionId::ZERO;
        connection.0.copy_from_slice(&self.dice.bytes()[..16]);
        for invocation in &mut body.invocations {
            invocation.caller = 0;
            invocation.connection = connection;
        }
        let system = body.names.iter().position(CallName::is_system);
        let system = system.unwrap_or_else(|| {
            body.names.push(CallName::system());
            body.names.len() - 1
        });
        let connects = Invocation {
            name: u16::try_from(system).unwrap_or_default(),
            caller: 0,
            connection,
            args: SystemCall::ClientConnected.encode(),
        };
        body.invocations.insert(0, connects);
    }

    /// A question or claim that costs whoever takes it seriously.
    fn drop_of_a_flood(&mut self, number: u64) -> Message {
        let request = u32::try_from(number).unwrap_or_default();
        let want = match self.dice.below(5) {
            0 => Want::Ids { from: 0 },
            1 => Want::Segments { height: 0, from: 0 },
            2 => Want::Beyond { chains: Vec::new() },
            3 => {
                let ids = (0..50).map(|_| EntryId(self.dice.bytes())).collect();
                return Message::Have { ids };
            }
            _ => {
                let (request, answer) = (request, Answer::Nothing);
                return Message::Answer { request, answer };
            }
        };
        Message::Want { request, want }
    }
}

/// A way in which the liar lies when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    SecondHistory,
    BackDated,
    OfTheFuture,
    OtherDatabase,
    NoMember,
    Flood,
    Deluge,
    Cut,
    Garbage,
    UsedTicket,
    Usurping,
}

impl World {
    /// Whether the peer is one whose key signs second histories, or that is put out: its word does not
    /// count.
    pub(crate) fn is_rogue(&self, at: usize) -> bool {
        self.faults.lies.equivocates && self.is_liar(at) || self.is_contested(at)
    }

    /// Whether the peer is one that does not keep to the rules.
    pub(crate) fn is_liar(&self, at: usize) -> bool {
        self.faults.lies.any() && at > 0 && at + 1 == self.nodes.len()
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

    /// Those who lie hear what everybody says.
    pub(super) fn overheard(&mut self, frame: &[u8]) {
        self.rogues.overhear(frame);
        let liar = self.nodes.len() - 1;
        if self.is_liar(liar) {
            let device = self.nodes[liar].device;
            self.rogues.study(frame, &device);
        }
    }

    /// Whether the liar says nothing although its program would.
    pub(super) fn keeps_back(&mut self, from: usize, frame: &[u8]) -> bool {
        if !self.rogues.active || !self.faults.lies.withholds || !self.is_liar(from) {
            return false;
        }
        let tells = match Message::decode(frame) {
            Ok((_, message)) => matches!(
                message,
                Message::Push { .. }
                    | Message::Have { .. }
                    | Message::Cut { .. }
                    | Message::Answer { .. }
                    | Message::Proofs { .. }
            ),
            Err(_) => false,
        };
        tells && self.rogues.dice.percent(60)
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
            self.counts.lies += 1;
            self.say(format_args!("the stranger talks to {victim}"));
            self.input(victim, Input::Message { remote, bytes });
        }
        let liar = peers - 1;
        if self.is_liar(liar) && self.network.is_up(liar, victim) {
            self.lie(liar, victim);
        }
        let wait = self.rogues.dice.around(MISCHIEF_EVERY_MS * 1_000);
        self.after(wait, Event::Mischief);
    }

    fn lie(&mut self, liar: usize, victim: usize) {
        let lies = self.faults.lies;
        let ways = [
            (lies.equivocates, Lie::SecondHistory),
            (lies.back_dates, Lie::BackDated),
            (lies.stamps_ahead, Lie::OfTheFuture),
            (lies.floods && self.rogues.dice.percent(20), Lie::Flood),
            (lies.deluges && self.rogues.dice.percent(30), Lie::Deluge),
            (lies.signs_cuts, Lie::Cut),
            (lies.speaks_for_others, Lie::OtherDatabase),
            (lies.speaks_for_others, Lie::NoMember),
            (lies.garbles, Lie::Garbage),
            (lies.uses_tickets_again, Lie::UsedTicket),
            (lies.usurps, Lie::Usurping),
        ];
        let ways: Vec<_> = ways.into_iter().filter(|(does, _)| *does).collect();
        if ways.is_empty() {
            return;
        }
        let (_, way) = ways[self.rogues.dice.index(ways.len())];
        let Ok(database) = self.database.parse::<DatabaseId>() else {
            return;
        };
        let frames = match way {
            Lie::SecondHistory
            | Lie::BackDated
            | Lie::OfTheFuture
            | Lie::OtherDatabase
            | Lie::NoMember => {
                let entry = self.forged(liar, way);
                let push = entry.map(|entry| Message::Push {
                    entries: vec![entry.encoded().to_vec()],
                    forwarded: false,
                });
                push.iter().map(|push| push.encode(&database)).collect()
            }
            Lie::Cut => {
                let cut = self.false_cut(liar);
                let cut = cut.map(|bytes| Message::Cut { bytes });
                cut.iter().map(|cut| cut.encode(&database)).collect()
            }
            Lie::Flood => (0..FLOOD)
                .map(|number| self.rogues.drop_of_a_flood(number).encode(&database))
                .collect(),
            Lie::Deluge => {
                self.deluge(&[victim]);
                return;
            }
            Lie::Garbage => vec![self.rogues.something()],
            Lie::UsedTicket | Lie::Usurping => {
                let entries: Vec<Entry> = match way {
                    Lie::Usurping => self.usurped(liar).into_iter().collect(),
                    _ => self.admitted_again(liar),
                };
                if entries.is_empty() {
                    return;
                }
                let push = Message::Push {
                    entries: entries
                        .iter()
                        .map(|entry| entry.encoded().to_vec())
                        .collect(),
                    forwarded: false,
                };
                vec![push.encode(&database)]
            }
        };
        let remote = self.nodes[liar].device;
        self.say(format_args!("{liar} lies to {victim}: {way:?}"));
        for bytes in frames {
            self.counts.lies += 1;
            self.input(victim, Input::Message { remote, bytes });
        }
    }

    /// An entry that the liar's key signs, made of one that it wrote before. It says something
    /// else, of the same length: "saying 12" becomes "forged 12", or "banned 12" in an entry that
    /// nobody may ever run.
    fn forged(&mut self, liar: usize, way: Lie) -> Option<Entry> {
        let now_us = self.nodes[liar].clock.now(self.now_us).wall;
        let entry = self.rogues.one_of_own()?;
        let mut body = entry.body.clone();
        let never_runs = matches!(way, Lie::OtherDatabase | Lie::NoMember);
        let instead = if never_runs { BANNED } else { FORGED };
        let mut texts = Vec::new();
        for invocation in &mut body.invocations {
            let arguments = &mut invocation.args;
            if let Some(at) = find(arguments, SAYING) {
                let number = String::from_utf8_lossy(&arguments[at + SAYING.len()..]);
                texts.push(format!("forged{number}"));
                arguments[at..at + SAYING.len()].copy_from_slice(instead);
            }
        }
        let header = &entry.header;
        let mut draft = Draft {
            database: header.database,
            epoch: header.epoch,
            seq: header.seq,
            parents: header.parents.clone(),
            hlc: header.hlc,
            stride: header.stride,
            base: header.base,
        };
        if way != Lie::SecondHistory {
            // A chain of its own, so that it is no second history.
            draft.epoch = self.rogues.dice.draw();
            draft.seq = 0;
        }
        if way == Lie::OfTheFuture {
            let ahead_ms = self.rogues.dice.between(AHEAD_MS.0, AHEAD_MS.1);
            draft.hlc = Hlc(draft.hlc.0.max(now_us) + ahead_ms * 1_000);
        }
        if way == Lie::OtherDatabase {
            draft.database = DatabaseId(self.rogues.dice.bytes());
        }
        let mut key = self.nodes[liar].key.clone();
        if way == Lie::NoMember {
            key = self.rogues.key.clone();
            self.rogues.takes_over(&mut body);
        }
        let forged = Entry::seal(draft, body, &key).ok()?;
        if !never_runs {
            for text in texts {
                self.ledger.forged(text);
            }
        }
        Some(forged)
    }

    /// What a chain of its own begins with, on top of what an entry of the liar built on.
    fn beside(&mut self, entry: &Entry) -> Draft {
        let header = &entry.header;
        Draft {
            database: header.database,
            epoch: self.rogues.dice.draw(),
            seq: 0,
            parents: header.parents.clone(),
            hlc: header.hlc,
            stride: header.stride,
            base: header.base,
        }
    }

    /// An entry by the liar with calls about members that only others may make.
    fn usurped(&mut self, liar: usize) -> Option<Entry> {
        let entry = self.rogues.one_of_own()?;
        let own = self.nodes[liar].device;
        let other = self.rogues.dice.index(self.nodes.len());
        let member = self.nodes[other].device;
        let call = match self.rogues.dice.below(5) {
            0 => SystemCall::TransferOwnership { to: own },
            1 => SystemCall::SetRole {
                member: own,
                role: Role::Admin,
            },
            2 => SystemCall::SetRole {
                member,
                role: Role::Reader,
            },
            3 => SystemCall::RevokeTicket { ticket: own },
            // It would leave.
            _ if other == liar => return None,
            _ => SystemCall::RemoveMember { member },
        };
        let draft = self.beside(&entry);
        Entry::seal(draft, system(&own, &call), &self.nodes[liar].key).ok()
    }

    /// The liar admits the stranger with the ticket by which it came itself, and the stranger writes on
    /// top of that.
    fn admitted_again(&mut self, liar: usize) -> Vec<Entry> {
        let Some(entry) = self.rogues.one_of_own() else {
            return Vec::new();
        };
        let ticket = self.nodes[liar].ticket.as_ref();
        let Some(ticket) = ticket.and_then(|text| text.parse::<Ticket>().ok()) else {
            return Vec::new();
        };
        let (own, stranger) = (self.nodes[liar].device, self.rogues.stranger);
        let call = SystemCall::Admit {
            member: stranger,
            ticket: ticket.key.public(),
            proof: prove_admission(&ticket.key, &entry.header.database, &stranger),
        };
        let draft = self.beside(&entry);
        let Ok(admission) = Entry::seal(draft, system(&own, &call), &self.nodes[liar].key) else {
            return Vec::new();
        };
        let mut body = entry.body.clone();
        for arguments in body.invocations.iter_mut().map(|call| &mut call.args) {
            if let Some(at) = find(arguments, SAYING) {
                arguments[at..at + SAYING.len()].copy_from_slice(BANNED);
            }
        }
        self.rogues.takes_over(&mut body);
        let mut draft = self.beside(&entry);
        draft.parents = vec![admission.id];
        draft.hlc = Hlc(admission.last_time().0 + 1);
        let written = Entry::seal(draft, body, &self.rogues.key).ok();
        [admission].into_iter().chain(written).collect()
    }

    /// A cut of the liar's own making: of the next height or of the last one, over another state.
    fn false_cut(&mut self, liar: usize) -> Option<Vec<u8>> {
        let cut = Cut::open(self.rogues.cut.as_ref()?).ok()?;
        let dice = &mut self.rogues.dice;
        let next = dice.coin();
        let draft = CutDraft {
            database: cut.database,
            term: cut.term,
            height: cut.height + u64::from(next),
            parent: if next { cut.id() } else { cut.parent },
            engine: cut.engine,
            frontier: cut.frontier.clone(),
            order_root: cut.order_root,
            state_root: StateRoot(dice.bytes()),
            finalisers: vec![self.nodes[liar].device],
        };
        let cut = Cut::seal(draft, &self.nodes[liar].key).ok()?;
        Some(cut.encoded().to_vec())
    }
}

pub(super) const SAYING: &[u8] = b"saying";
pub(super) const FORGED: &[u8] = b"forged";
const BANNED: &[u8] = b"banned";

/// A body with one system call of a device.
fn system(device: &DeviceKey, call: &SystemCall) -> Body {
    let did = peer_core::did_key(device);
    Body {
        names: vec![CallName::system()],
        callers: vec![Caller {
            issuer: did.clone(),
            subject: did,
            claims: String::new(),
        }],
        invocations: vec![Invocation {
            name: 0,
            caller: 0,
            connection: ConnectionId::ZERO,
            args: call.encode(),
        }],
    }
}

/// Whether an entry says something.
fn says(entry: &Entry) -> bool {
    let mut calls = entry.body.invocations.iter();
    calls.any(|call| find(&call.args, SAYING).is_some())
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
