//! Clients that stay connected, as the core's thread knows them: each has a bounded queue of what it
//! is told. One that does not read is let go of; nobody else waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use peer_core::{Called, ClientId, Reply, RequestError, RequestId, Update};
use tokio::sync::{mpsc, watch};

/// What a client is told that it has not been sent yet.
const QUEUE_MAX: usize = 16_384;

/// What a client is told when it does not read.
const TOO_SLOW: &str = "the client does not read what it is told";

/// Something that a client hears of.
#[derive(Debug)]
pub(crate) enum Told {
    /// The answer to a request.
    Answer {
        /// The number under which it was asked.
        ticket: u64,
        /// The answer.
        reply: Result<Reply, RequestError>,
    },
    /// What became of a call, and what changed for the client with it.
    Called {
        /// The number under which it was asked.
        ticket: u64,
        /// What became of it.
        result: Result<Called, RequestError>,
        /// What changed.
        update: Option<Update>,
    },
    /// What changed in what the client follows.
    Update(Update),
}

/// Why a client is let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It does not read.
    TooSlow(&'static str),
    /// What it follows cannot be followed any further.
    Gone(String),
}

/// The client's end.
pub(crate) struct Inbox {
    /// What it is told, in order.
    pub(crate) told: mpsc::Receiver<Told>,
    /// Set once it is let go of.
    pub(crate) dropped: watch::Receiver<Option<Dropped>>,
}

/// The thread's end.
#[derive(Debug)]
pub(crate) struct Outbox {
    told: mpsc::Sender<Told>,
    dropped: watch::Sender<Option<Dropped>>,
}

/// Both ends of a new client's queue.
pub(crate) fn queue() -> (Outbox, Inbox) {
    let (send, told) = mpsc::channel(QUEUE_MAX);
    let (drop, dropped) = watch::channel(None);
    let outbox = Outbox {
        told: send,
        dropped: drop,
    };
    (outbox, Inbox { told, dropped })
}

/// All clients that stay connected, and whose request is whose.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    outboxes: BTreeMap<ClientId, Arc<Outbox>>,
    requests: BTreeMap<RequestId, (ClientId, u64)>,
}

impl Clients {
    /// A client is there.
    pub(crate) fn open(&mut self, client: ClientId, outbox: Outbox) {
        self.outboxes.insert(client, Arc::new(outbox));
    }

    /// It is gone, and nobody waits for its answers.
    pub(crate) fn close(&mut self, client: ClientId) {
        self.outboxes.remove(&client);
    }

    /// A client asks something under a number of its own.
    pub(crate) fn asks(&mut self, id: RequestId, client: ClientId, ticket: u64) {
        self.requests.insert(id, (client, ticket));
    }

    /// Tells the client that asked. False: nobody of these did.
    pub(crate) fn answer(&mut self, id: RequestId, reply: Result<Reply, RequestError>) -> Asked {
        match self.requests.remove(&id) {
            Some((client, ticket)) => {
                Asked::Told(self.tell(client, Told::Answer { ticket, reply }))
            }
            None => Asked::BySomebodyElse(reply),
        }
    }

    /// Tells the client that called. Gives it back if it has to go.
    pub(crate) fn called(
        &mut self,
        id: RequestId,
        result: Result<Called, RequestError>,
        update: Option<Update>,
    ) -> Option<ClientId> {
        let (client, ticket) = self.requests.remove(&id)?;
        self.tell(
            client,
            Told::Called {
                ticket,
                result,
                update,
            },
        )
    }

    /// Tells a client something. Gives it back if it has to go, because it does not read.
    pub(crate) fn tell(&mut self, client: ClientId, told: Told) -> Option<ClientId> {
        let outbox = self.outboxes.get(&client)?;
        match outbox.told.try_send(told) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.drop_client(client, Dropped::TooSlow(TOO_SLOW));
                Some(client)
            }
            // It has gone by itself, and its letter that says so is on its way.
            Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    /// Lets go of a client.
    pub(crate) fn drop_client(&mut self, client: ClientId, why: Dropped) {
        if let Some(outbox) = self.outboxes.remove(&client) {
            outbox.dropped.send_replace(Some(why));
        }
    }
}

/// Who asked.
pub(crate) enum Asked {
    /// A client that stays; it is given back if it has to go.
    Told(Option<ClientId>),
    /// Somebody else, who gets the answer.
    BySomebodyElse(Result<Reply, RequestError>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_read_is_let_go_of_and_told_why() {
        let mut clients = Clients::default();
        let (outbox, inbox) = queue();
        let client = ClientId(1);
        clients.open(client, outbox);
        for ticket in 0..QUEUE_MAX as u64 {
            let reply = Ok(Reply::Done);
            assert!(
                clients
                    .tell(client, Told::Answer { ticket, reply })
                    .is_none()
            );
        }
        let gone = clients.tell(client, Told::Update(Update::default()));
        assert_eq!(gone, Some(client));
        assert_eq!(
            *inbox.dropped.borrow(),
            Some(Dropped::TooSlow(TOO_SLOW)),
            "it hears why"
        );
        assert!(
            clients
                .tell(client, Told::Update(Update::default()))
                .is_none()
        );
    }

    #[test]
    fn answers_go_to_who_asked() {
        let mut clients = Clients::default();
        let (outbox, mut inbox) = queue();
        clients.open(ClientId(1), outbox);
        clients.asks(RequestId(7), ClientId(1), 70);
        let elsewhere = clients.answer(RequestId(8), Ok(Reply::Done));
        assert!(matches!(elsewhere, Asked::BySomebodyElse(Ok(Reply::Done))));
        assert!(matches!(
            clients.answer(RequestId(7), Ok(Reply::Done)),
            Asked::Told(None)
        ));
        let told = inbox.told.try_recv().expect("it was told");
        assert!(matches!(told, Told::Answer { ticket: 70, .. }));
        let again = clients.answer(RequestId(7), Ok(Reply::Done));
        assert!(matches!(again, Asked::BySomebodyElse(_)), "answered once");
    }
}
