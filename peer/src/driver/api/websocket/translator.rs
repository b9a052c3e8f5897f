//! What is open on one connection, whatever protocol it speaks: which requests wait for answers, and
//! in which order these go out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peer_core::Request;
use tokio::sync::Semaphore;

use super::protocol::{Asked, Asking, Place, Protocol, Unspeakable};
use crate::driver::clients::{Held, Told};

/// Requests of one client whose answers are awaited. Then its next message is not read.
const OPEN_MAX: usize = 8_192;

/// Bytes that are kept of a request take the room of another request each so many: a client has at
/// most 32 MiB of them kept.
pub(super) const KEPT_BYTES: usize = 4_096;

/// Where a message went.
#[derive(Debug)]
pub(super) enum Asks<A> {
    /// To the core, under a number.
    Core { ticket: u64, request: Request },
    /// Nowhere: this is the answer.
    Nobody(A),
}

/// One connection's requests and answers.
pub(super) struct Translator<P: Protocol> {
    pub(super) protocol: P,
    pub(super) place: Place,
    room: Semaphore,
    /// Calls hold one until they are answered, whatever else is asked holds all: it is answered after
    /// the calls before it, from a state that has them, and its rows are there before the next is asked.
    turns: Semaphore,
    open: Mutex<Open<P>>,
}

struct Open<P: Protocol> {
    next: u64,
    asked: BTreeMap<u64, P::Asked>,
    /// Answers to calls that failed sooner than an earlier one is answered.
    early: BTreeMap<u64, P::Answer>,
}

impl<P: Protocol> Translator<P> {
    pub(super) fn new(protocol: P, place: Place) -> Self {
        Self {
            protocol,
            place,
            room: Semaphore::new(OPEN_MAX),
            turns: Semaphore::new(OPEN_MAX),
            open: Mutex::new(Open {
                next: 0,
                asked: BTreeMap::new(),
                early: BTreeMap::new(),
            }),
        }
    }

    /// What a message asks of the core. Waits while too much is open, or waits to be sent.
    pub(super) async fn ask(&self, question: P::Question, held: &Held) -> Asks<P::Answer> {
        let (asked, request) = match self.protocol.ask(&self.place, question) {
            Asking::Core { asked, request } => (asked, request),
            Asking::Nobody(answer) => return Asks::Nobody(answer),
        };
        if let Ok(permits) = self.room.acquire_many(permits(weight(&asked))).await {
            permits.forget();
        }
        if let Ok(turns) = self.turns.acquire_many(permits(turns(&asked))).await {
            turns.forget();
        }
        if !asked.is_call() {
            held.room().await;
        }
        let mut open = self.open();
        open.next += 1;
        let ticket = open.next;
        open.asked.insert(ticket, asked);
        Asks::Core { ticket, request }
    }

    fn open(&self) -> MutexGuard<'_, Open<P>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, ticket: u64) -> Option<P::Asked> {
        let asked = self.open().asked.remove(&ticket)?;
        self.room.add_permits(weight(&asked));
        self.turns.add_permits(turns(&asked));
        Some(asked)
    }

    /// Keeps what answers a call until all before it are answered. It changed nothing, so nothing
    /// that the client hears meanwhile depends on it.
    fn keep(&self, ticket: u64, message: P::Answer) {
        self.open().early.insert(ticket, message);
    }

    /// Gives out the answers whose turn it is now.
    fn give_out(&self, messages: &mut Vec<P::Answer>) {
        let mut open = self.open();
        while let Some(early) = open.early.first_entry().map(|entry| *entry.key())
            && open.asked.keys().next().is_none_or(|first| early < *first)
        {
            messages.extend(open.early.remove(&early));
        }
    }

    /// The messages that say what a client is told.
    pub(super) fn tell(
        &self,
        told: Told,
        messages: &mut Vec<P::Answer>,
    ) -> Result<(), Unspeakable> {
        let Self {
            protocol, place, ..
        } = self;
        match told {
            Told::Update(update) => messages.push(protocol.update(update)?),
            Told::Called {
                ticket,
                result,
                update,
            } => {
                if let Some(asked) = self.close(ticket) {
                    messages.extend(protocol.called(place, asked, result, update)?);
                }
            }
            Told::Answer { ticket, reply } => match self.close(ticket) {
                Some(asked) if asked.is_call() => {
                    self.keep(ticket, protocol.answer(place, asked, reply)?);
                }
                Some(asked) => messages.push(protocol.answer(place, asked, reply)?),
                None => {}
            },
        }
        self.give_out(messages);
        Ok(())
    }
}

/// Never more than there is room for, or the request would wait for ever.
fn weight(asked: &impl Asked) -> usize {
    asked.weight().min(OPEN_MAX)
}

fn turns(asked: &impl Asked) -> usize {
    match asked.is_call() {
        true => 1,
        false => OPEN_MAX,
    }
}

fn permits(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
