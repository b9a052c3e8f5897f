//! What this peer says to one remote about one database, until both hold the same.
//!
//! Pure: no sockets, disk, clock or dice. [`Conversation::step`] is told what happened and answers
//! with what to do. What this side holds it reads through [`Holdings`] and never changes.
//!
//! *Bulk is pulled.* Both sides say where they stand (cut and heads hash) when a link opens, soon
//! after a change, and every 30 s. The one behind asks: first for the segments of later cuts, then
//! for what lies beyond its chains. Long tails of many chains, and what chains cannot tell apart,
//! are compared by ranges, and where these settle nothing by all ids. There is one question at a
//! time, and one ahead for history; it is repeated until answered, and at last the link is reported.
//!
//! *What is fresh is pushed* (after Plumtree, Leitão et al. 2007): own entries whole to the nearest
//! neighbours, forwarded ones too until the remote says that they come doubled; then ids only. An
//! id whose entry does not come is asked for, and that makes the link eager again.
//!
//! *Histories may part*: a finaliser was lost and comes back, or one key was used twice. Standings
//! name the last cut and its term, so both sides notice; whoever may have to give way asks for the
//! cuts from where the two part ([`Cuts`](crate::message::Want::Cuts)), and the replica decides.
//!
//! So no single message matters: what is lost shows as unequal standings, and is pulled.
//!
//! *Bulk comes from one remote at a time.* Each conversation says what it is pulling; the others of
//! the database leave that to it while it gets on, and take over when it stalls.
//!
//! *Only members are told anything.* A remote that the visible state does not know as a member may
//! show that it is one: this side pulls cuts and the remote's tail from it, answers nothing, and
//! begins to talk once the remote's admission is among what it was shown. Whoever was a member is told
//! no more than how that ended (`farewell`).

mod addresses;
mod blob;
mod conduct;
mod exchange;
mod farewell;
mod holdings;
mod lengths;
mod limits;
mod pull;
mod receive;
mod serve;
mod spread;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cut::CutRef;
use crate::ids::{DatabaseId, DeviceKey};
use crate::limits::EQUALISE_EVERY_MS;
use crate::message::limits::{
    CHAINS_MAX, ENTRIES_PER_MESSAGE_MAX, PROOFS_PER_MESSAGE_MAX, RANGE_IDS_MAX, RANGES_MAX,
};
use crate::message::{Hello, Message, Standing};
use crate::time::{Now, Tick};
pub use exchange::{ConversationEffect, ConversationInput};
pub use holdings::{Bulk, Holdings};
use limits::{
    HELLO_AGAIN_MS, HISTORY_LEN, LACKING_MAX, QUESTIONS_AT_ONCE, QUESTIONS_PER_S,
    RANGE_QUESTIONS_AT_ONCE, RANGE_QUESTIONS_PER_S, REMEMBERED_IDS_MAX, SIGNED_AT_ONCE,
    SIGNED_PER_S, STANDING_WAIT_MS,
};

/// How the remote is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Nothing is here yet, so nothing says who is a member: the remote is one that the ticket
    /// named.
    Joining,
    /// A member.
    Member,
    /// No member as far as this side knows: it is told nothing.
    Stranger,
}

/// One remote, one database.
#[derive(Debug)]
pub struct Conversation {
    remote: DeviceKey,
    database: DatabaseId,
    opened: bool,
    told_addresses: addresses::Told,
    /// Where the remote said it stands.
    theirs: Option<Standing>,
    /// Where we last said we stand.
    told: Option<Standing>,
    /// The remote may not have heard that: it has opened its side anew.
    tells_again: bool,
    /// The remote said twice in a row that it is at the same, lower cut.
    stuck: bool,
    /// The remote's cuts do not follow from ours, nor ours from its.
    apart: bool,
    /// The other side of a fork that the remote was shown.
    fork_told: Option<Arc<[u8]>>,
    in_sync: bool,
    trust: Trust,
    hello_due: Tick,
    hello_wait_ms: u64,
    standing_due: Option<Tick>,
    compare_due: Option<Tick>,
    announced: Option<Tick>,
    history: standing::History,
    /// Entries that have come in here otherwise than from the remote.
    fresh: u64,
    conduct: conduct::Conduct,
    questions: conduct::Portion,
    range_questions: conduct::Portion,
    signed: conduct::Portion,
    /// The accused, by author, epoch and seq, of whom the remote was told.
    proofs_told: std::collections::BTreeSet<(DeviceKey, u64, u64)>,
    next_request: u32,
    pull: pull::Pull,
    blob: blob::BlobPull,
    spread: spread::Spread,
    shown: serve::Shown,
    lengths: serve::AnswerLengths,
    patience: lengths::Patience,
    /// The height of the cut that ended the remote's membership, once it was told.
    farewell: Option<u64>,
}

/// One step: what it may look at, and what it decided so far.
struct Turn<'a> {
    now: Now,
    holdings: &'a dyn Holdings,
    effects: Vec<ConversationEffect>,
}

impl Turn<'_> {
    fn send(&mut self, message: Message) {
        self.effects.push(ConversationEffect::Send(message));
    }

    fn own(&self) -> Standing {
        Standing {
            cut: self.holdings.cut(),
            heads: self.holdings.heads_hash(),
        }
    }
}

impl Conversation {
    /// A conversation whose link is not open yet.
    #[must_use]
    pub fn new(remote: DeviceKey, database: DatabaseId) -> Self {
        Self {
            remote,
            database,
            opened: false,
            told_addresses: addresses::Told::default(),
            theirs: None,
            told: None,
            tells_again: false,
            stuck: false,
            apart: false,
            fork_told: None,
            in_sync: false,
            trust: Trust::Stranger,
            hello_due: Tick(0),
            hello_wait_ms: HELLO_AGAIN_MS,
            standing_due: None,
            compare_due: None,
            announced: None,
            history: standing::History::default(),
            fresh: 0,
            conduct: conduct::Conduct::default(),
            questions: conduct::Portion::new(QUESTIONS_AT_ONCE, QUESTIONS_PER_S),
            range_questions: conduct::Portion::new(RANGE_QUESTIONS_AT_ONCE, RANGE_QUESTIONS_PER_S),
            signed: conduct::Portion::new(SIGNED_AT_ONCE, SIGNED_PER_S),
            proofs_told: std::collections::BTreeSet::new(),
            next_request: 0,
            pull: pull::Pull::default(),
            blob: blob::BlobPull::default(),
            spread: spread::Spread::default(),
            shown: serve::Shown::default(),
            lengths: serve::AnswerLengths::default(),
            patience: lengths::Patience::default(),
            farewell: None,
        }
    }

    /// The remote.
    #[must_use]
    pub fn remote(&self) -> DeviceKey {
        self.remote
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// Whether both sides held the same when the remote last said where it stands.
    #[must_use]
    pub fn in_sync(&self) -> bool {
        self.in_sync
    }

    /// How many entries that are here the remote does not have yet, by where it last said it stands.
    /// Entries that are on the way count. Nothing: it said nothing, or something that was never true
    /// here, as one that holds more does.
    #[must_use]
    pub fn lacks(&self) -> Option<u64> {
        if self.in_sync {
            return Some(0);
        }
        let then = self.history.entries_at(&self.theirs?.heads)?;
        Some(self.fresh.saturating_sub(then))
    }

    /// The last cut of which the remote said that it is there.
    #[must_use]
    pub fn their_cut(&self) -> Option<CutRef> {
        self.theirs?.cut
    }

    /// Whether forwarded entries are pushed whole here.
    #[must_use]
    pub fn is_eager(&self) -> bool {
        self.spread.is_eager()
    }

    /// Whether this remote is among the [`EAGER_NEIGHBOURS_MAX`] whom fresh entries are pushed to
    /// at once; the others are told ids. Whoever holds the conversations chooses; the default is
    /// yes.
    ///
    /// [`EAGER_NEIGHBOURS_MAX`]: crate::limits::EAGER_NEIGHBOURS_MAX
    pub fn set_neighbour(&mut self, neighbour: bool) {
        self.spread.set_neighbour(neighbour);
    }

    /// Ids, hashes, ranges and chains that a conversation remembers at most, of some 50 bytes each.
    pub const REMEMBERED_MAX: usize = 5 * REMEMBERED_IDS_MAX
        + RANGES_MAX
        + RANGE_IDS_MAX
        + HISTORY_LEN
        + LACKING_MAX
        + 2 * (CHAINS_MAX + ENTRIES_PER_MESSAGE_MAX);

    /// How many ids, hashes, ranges and chains it remembers now.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.spread.remembered()
            + self.pull.remembered()
            + self.blob.remembered()
            + self.history.len()
            + self.shown.remembered()
    }

    /// Whether anything at all is pushed here whole.
    #[must_use]
    pub fn is_neighbour(&self) -> bool {
        self.spread.is_neighbour()
    }

    /// What this conversation is pulling, as long as the remote does not keep it waiting: others
    /// need not pull the same.
    pub fn pulling(&self, now: Tick) -> impl Iterator<Item = Bulk> {
        [self.pull.pulling(now), self.blob.pulling(now)]
            .into_iter()
            .flatten()
    }

    /// Counts a fault that may be somebody else's: a blob that came from several is wrong.
    pub fn suspect(&mut self, now: Now, why: &str) -> Option<ConversationEffect> {
        let report = self.conduct.fault(now.tick, LIGHT_FAULT);
        report.then(|| ConversationEffect::Misbehaved(why.to_owned()))
    }

    /// Counts a fault that the replica found, such as an invalid entry. The effect, if there is
    /// one, says to close the link.
    pub fn blame(&mut self, now: Now, why: &str) -> Option<ConversationEffect> {
        let report = self.conduct.fault(now.tick, HEAVY_FAULT);
        report.then(|| ConversationEffect::Misbehaved(why.to_owned()))
    }

    /// The replica has no room for what the remote's tail holds more than ours: it is not asked for
    /// until the next round.
    pub fn leave_tail(&mut self) {
        self.pull.leave_tail();
    }

    /// Faults that the remote made and that are not forgiven yet, so that a link that is closed
    /// and opened again does not wipe them out.
    #[must_use]
    pub fn faults(&self) -> u32 {
        self.conduct.faults()
    }

    /// Begins with faults that the remote made on an earlier link.
    pub fn remember_faults(&mut self, now: Now, faults: u32) {
        self.conduct = conduct::Conduct::remembering(now.tick, faults);
    }

    /// Makes the remote a neighbour again to whom forwarded entries go whole too, until it says
    /// that they come doubled: for one that takes the place of a neighbour that is gone.
    pub fn promote(&mut self) {
        self.spread.set_neighbour(true);
        self.spread.graft();
    }

    /// Takes in what happened, says what to do.
    pub fn step(
        &mut self,
        now: Now,
        input: ConversationInput<'_>,
        holdings: &dyn Holdings,
    ) -> Vec<ConversationEffect> {
        let mut turn = Turn {
            now,
            holdings,
            effects: Vec::new(),
        };
        if !self.opened {
            match input {
                ConversationInput::Opened => self.open(&mut turn),
                // Nothing is said before the link is open.
                _ => return turn.effects,
            }
        } else {
            self.judge_again(&turn);
            match input {
                ConversationInput::Opened => self.open(&mut turn),
                ConversationInput::Received(message) => self.receive(message, &mut turn),
                ConversationInput::Wake => {}
                ConversationInput::Fresh { entries, from } => {
                    if from != Some(self.remote) {
                        self.fresh = self.fresh.saturating_add(entries.len() as u64);
                    }
                    self.spread_fresh(entries, from, &mut turn);
                }
                ConversationInput::FreshCut { bytes } => self.spread_cut(bytes, &mut turn),
                ConversationInput::Ingested {
                    missing,
                    cut_missing,
                    apart,
                } => {
                    self.apart |= apart;
                    self.ingested(missing, cut_missing, &mut turn);
                }
                ConversationInput::AddressesChanged => self.tell_addresses(&mut turn),
            }
        }
        self.go_on(&mut turn);
        turn.effects
    }

    /// A link is open: whatever an earlier one left half done is forgotten.
    fn open(&mut self, turn: &mut Turn<'_>) {
        let neighbour = self.spread.is_neighbour();
        *self = Self {
            opened: true,
            hello_due: turn.now.tick,
            // Numbers of an earlier link are smaller: an answer that outlived it fits nothing.
            next_request: u32::try_from(turn.now.tick.0 / 1_000 % u64::from(u32::MAX / 2))
                .expect("below half of the range"),
            conduct: std::mem::take(&mut self.conduct),
            ..Self::new(self.remote, self.database)
        };
        self.spread.set_neighbour(neighbour);
        self.trust = self.judge(turn);
    }

    fn judge(&self, turn: &Turn<'_>) -> Trust {
        if turn.holdings.is_member(&self.remote) {
            Trust::Member
        } else if turn.holdings.cut().is_none() {
            Trust::Joining
        } else {
            Trust::Stranger
        }
    }

    /// A stranger that turns out to be a member is greeted at once.
    fn judge_again(&mut self, turn: &Turn<'_>) {
        let trust = self.judge(turn);
        if self.trust == Trust::Stranger && trust != Trust::Stranger {
            self.hello_due = turn.now.tick;
            self.hello_wait_ms = HELLO_AGAIN_MS;
        }
        self.trust = trust;
    }

    /// Whatever is due or possible now, after any input.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        let own = turn.own();
        self.history.note(own.heads, self.fresh);
        self.judge_again(turn);
        if self.hello_due <= turn.now.tick {
            self.hello(own, turn);
        }
        self.tell_standing(own, turn);
        self.say_farewell(turn);
        self.tell_fork(turn);
        self.pull_on(turn);
        self.blobs_on(turn);
        self.note_sync(own, turn);
        self.wake(turn);
    }

    fn hello(&mut self, own: Standing, turn: &mut Turn<'_>) {
        self.pull.begin_round();
        self.blob.begin_round();
        self.hello_due = turn.now.tick.plus_ms(self.hello_wait_ms);
        self.hello_wait_ms = if self.theirs.is_some() {
            EQUALISE_EVERY_MS
        } else {
            EQUALISE_EVERY_MS.min(2 * self.hello_wait_ms)
        };
        if self.trust == Trust::Stranger {
            return;
        }
        if self.theirs.is_none_or(|theirs| theirs.heads != own.heads) {
            // One of them may have been lost, and without it heads need not agree.
            self.proofs_told.clear();
        }
        self.tell_proofs(turn);
        turn.send(Message::Hello(Hello {
            standing: own,
            wall: turn.now.wall,
        }));
        self.told = Some(own);
        self.tells_again = false;
        self.standing_due = None;
        self.tell_addresses_again(turn);
    }

    /// Tells a changed standing, a moment after the change.
    fn tell_standing(&mut self, own: Standing, turn: &mut Turn<'_>) {
        let is_told = |told| told == own && !self.tells_again;
        if self.trust == Trust::Stranger || self.told.is_none_or(is_told) {
            self.standing_due = None;
            return;
        }
        let now = turn.now.tick;
        let due = *self
            .standing_due
            .get_or_insert(now.plus_ms(STANDING_WAIT_MS));
        if due <= now {
            self.tell_proofs(turn);
            turn.send(Message::Standing(own));
            self.told = Some(own);
            self.tells_again = false;
            self.standing_due = None;
        }
    }

    /// Proofs go before heads: whoever lacks one holds entries clean that we do not.
    fn tell_proofs(&mut self, turn: &mut Turn<'_>) {
        let untold: Vec<_> = turn
            .holdings
            .proofs()
            .into_iter()
            .filter(|proof| {
                let header = &proof.first.header;
                let accused = (header.author, header.epoch, header.seq);
                self.proofs_told.insert(accused)
            })
            .collect();
        for proofs in untold.chunks(PROOFS_PER_MESSAGE_MAX) {
            turn.send(Message::Proofs {
                proofs: proofs.to_vec(),
            });
        }
    }

    /// A fork is proved by the cut that contradicts ours: whoever holds ours and is shown the other
    /// knows of it too.
    fn tell_fork(&mut self, turn: &mut Turn<'_>) {
        if self.trust != Trust::Member {
            return;
        }
        let other = turn.holdings.other_side();
        if other.is_some() && other != self.fork_told {
            let bytes = other.iter().flat_map(|bytes| bytes.to_vec()).collect();
            turn.send(Message::Cut { bytes });
        }
        self.fork_told = other;
    }

    fn note_sync(&mut self, own: Standing, turn: &mut Turn<'_>) {
        let in_sync = self.trust == Trust::Member && own.cut.is_some() && self.theirs == Some(own);
        if in_sync && !self.in_sync {
            turn.effects.push(ConversationEffect::InSync);
        }
        self.in_sync = in_sync;
    }

    fn wake(&mut self, turn: &mut Turn<'_>) {
        let dues = [
            Some(self.hello_due),
            self.standing_due,
            self.pull_due(),
            self.blob.due(),
        ];
        let next = dues.into_iter().flatten().min();
        let next = next.expect("the next Hello is always due some time");
        let now = turn.now.tick;
        assert!(next > now, "something that is due was not done");
        if self.announced != Some(next) {
            self.announced = Some(next);
            turn.effects.push(ConversationEffect::WakeAt(next));
        }
    }

    /// Counts a fault of the remote.
    fn fault(&mut self, points: u32, why: &str, turn: &mut Turn<'_>) {
        if self.conduct.fault(turn.now.tick, points) {
            turn.effects
                .push(ConversationEffect::Misbehaved(why.to_owned()));
        }
    }

    /// The number of a new question.
    fn new_request(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }
}

/// A fault that could be a misunderstanding.
const LIGHT_FAULT: u32 = 1;

/// A fault that no honest program makes.
const HEAVY_FAULT: u32 = 5;
