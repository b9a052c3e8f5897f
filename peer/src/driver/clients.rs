//! Clients that stay connected, as the core's thread knows them: each has a bounded queue of what it
//! is told. One that does not read is let go of; nobody else waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client_messages::{BsatnRowList, RowSizeHint};
use peer_core::{Called, ChangedRows, ClientId, Reply, RequestError, RequestId, Update};
use sync_protocol::DatabaseId;
use tokio::sync::{Notify, mpsc, watch};

/// What a client is told that it has not been sent yet.
const QUEUE_MAX: usize = 16_384;

/// Bytes of rows in that, beyond which nothing more is added to it: one answer has at most as many.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What a client is told when it does not read.
const TOO_SLOW: &str = "the client does not read what it is told";

/// What a client is told whose database is no more, also if it follows nothing.
const GONE: &str = "the database is gone: connect again";

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

impl Told {
    /// Bytes of its rows.
    fn bytes(&self) -> usize {
        match self {
            Self::Answer { reply, .. } => match reply {
                Ok(Reply::Selected(tables)) => tables.iter().map(|it| bytes_of(&it.rows)).sum(),
                _ => 0,
            },
            Self::Called { update, .. } => update.as_ref().map_or(0, bytes_of_update),
            Self::Update(update) => bytes_of_update(update),
        }
    }
}

fn bytes_of_update(update: &Update) -> usize {
    let changes = update.sets.iter().flat_map(|set| &set.tables);
    let bytes = changes.map(|change| match &change.rows {
        ChangedRows::Kept { inserts, deletes } => bytes_of(inserts) + bytes_of(deletes),
        ChangedRows::Events(events) => bytes_of(events),
    });
    bytes.sum()
}

fn bytes_of(rows: &BsatnRowList) -> usize {
    let offsets = match rows.size_hint() {
        RowSizeHint::FixedSize(_) => 0,
        RowSizeHint::RowOffsets(offsets) => size_of_val(&**offsets),
    };
    rows.rows_data().len() + offsets
}

/// Bytes in a client's queue.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: AtomicUsize,
    fewer: Notify,
}

impl Held {
    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > QUEUE_BYTES_MAX
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Waits until there is room for an answer.
    pub(crate) async fn room(&self) {
        loop {
            let fewer = self.fewer.notified();
            if !self.is_full() {
                return;
            }
            fewer.await;
        }
    }
}

/// Why a client is let go of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It does not read.
    TooSlow(&'static str),
    /// What it follows cannot be followed any further.
    Gone(String),
}

/// What a client is told, in order.
pub(crate) struct Telling {
    told: mpsc::Receiver<Told>,
    held: Arc<Held>,
}

impl Telling {
    /// Takes what waits, up to so many things, and no more once they have so many bytes of rows; waits
    /// for the first. Takes nothing when nothing more will come.
    pub(crate) async fn take(&mut self, things: usize, bytes: usize, into: &mut Vec<Told>) {
        let mut next = self.told.recv().await;
        let mut taken = 0;
        while let Some(told) = next.take() {
            taken += told.bytes();
            into.push(told);
            if into.len() < things && taken < bytes {
                next = self.told.try_recv().ok();
            }
        }
        self.held.bytes.fetch_sub(taken, Ordering::AcqRel);
        self.held.fewer.notify_waiters();
    }
}

/// The client's end.
pub(crate) struct Inbox {
    /// What it is told.
    pub(crate) told: Telling,
    /// How much of that waits.
    pub(crate) held: Arc<Held>,
    /// Set once it is let go of.
    pub(crate) dropped: watch::Receiver<Option<Dropped>>,
}

/// The thread's end.
#[derive(Debug)]
pub(crate) struct Outbox {
    told: mpsc::Sender<Told>,
    held: Arc<Held>,
    dropped: watch::Sender<Option<Dropped>>,
}

/// Both ends of a new client's queue.
pub(crate) fn queue() -> (Outbox, Inbox) {
    let (send, told) = mpsc::channel(QUEUE_MAX);
    let (drop, dropped) = watch::channel(None);
    let held = Arc::<Held>::default();
    let outbox = Outbox {
        told: send,
        held: Arc::clone(&held),
        dropped: drop,
    };
    let inbox = Inbox {
        told: Telling {
            told,
            held: Arc::clone(&held),
        },
        held,
        dropped,
    };
    (outbox, inbox)
}

/// All clients that stay connected, and whose request is whose.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    outboxes: BTreeMap<ClientId, (DatabaseId, Outbox)>,
    requests: BTreeMap<RequestId, (ClientId, u64)>,
}

impl Clients {
    /// A client of a database is there.
    pub(crate) fn open(&mut self, client: ClientId, database: DatabaseId, outbox: Outbox) {
        self.outboxes.insert(client, (database, outbox));
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
        let (_, outbox) = self.outboxes.get(&client)?;
        let is_full = match outbox.held.is_full() {
            true => true,
            false => {
                // Before it is there to be taken.
                outbox.held.add(told.bytes());
                // If it has gone by itself, its letter that says so is on its way.
                let sent = outbox.told.try_send(told);
                matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
            }
        };
        is_full.then(|| {
            self.drop_client(client, Dropped::TooSlow(TOO_SLOW));
            client
        })
    }

    /// Lets go of a client.
    pub(crate) fn drop_client(&mut self, client: ClientId, why: Dropped) {
        if let Some((_, outbox)) = self.outboxes.remove(&client) {
            outbox.dropped.send_replace(Some(why));
        }
    }

    /// Lets go of all clients of a database that is no more.
    pub(crate) fn forget(&mut self, database: &DatabaseId) {
        let of_it = self.outboxes.extract_if(.., |_, (of, _)| of == database);
        for (_, (_, outbox)) in of_it {
            outbox
                .dropped
                .send_replace(Some(Dropped::Gone(GONE.to_owned())));
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
    use peer_core::{RowType, SetChange, SetId, TableChange};

    use super::*;

    const HERE: DatabaseId = DatabaseId([1; 32]);

    #[test]
    fn all_of_a_database_that_is_no_more_are_let_go_of() {
        let mut clients = Clients::default();
        let (outbox, here) = queue();
        clients.open(ClientId(1), HERE, outbox);
        let (outbox, elsewhere) = queue();
        clients.open(ClientId(2), DatabaseId([2; 32]), outbox);
        clients.forget(&HERE);
        let why = here.dropped.borrow().clone();
        assert_eq!(why, Some(Dropped::Gone(GONE.to_owned())));
        assert_eq!(*elsewhere.dropped.borrow(), None);
    }

    #[test]
    fn one_that_does_not_read_is_let_go_of_and_told_why() {
        let mut clients = Clients::default();
        let (outbox, inbox) = queue();
        let client = ClientId(1);
        clients.open(client, HERE, outbox);
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

    /// An update with one row of so many bytes.
    fn of_bytes(bytes: usize) -> Told {
        let rows = ChangedRows::Kept {
            inserts: std::iter::once(vec![0; bytes]).collect(),
            deletes: BsatnRowList::empty(),
        };
        let change = TableChange {
            table: "t".into(),
            table_id: 1,
            row_type: RowType::default(),
            rows,
        };
        Told::Update(Update {
            sets: vec![SetChange {
                set: SetId::Numbered(1),
                tables: vec![Arc::new(change)],
            }],
        })
    }

    #[test]
    fn one_that_is_told_more_than_it_reads_is_let_go_of_by_bytes_too() {
        let mut clients = Clients::default();
        let (outbox, mut inbox) = queue();
        let client = ClientId(1);
        clients.open(client, HERE, outbox);
        // Four are a little too much already: where a row begins takes some bytes, too.
        let quarter = || of_bytes(QUEUE_BYTES_MAX / 4);
        for _ in 0..4 {
            assert_eq!(clients.tell(client, quarter()), None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut taken = Vec::new();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(inbox.told.take(16, QUEUE_BYTES_MAX / 2, &mut taken));
        assert_eq!(taken.len(), 2, "a batch has its bounds");
        runtime.block_on(inbox.held.room());
        for _ in 0..2 {
            assert_eq!(clients.tell(client, quarter()), None);
        }
        assert_eq!(clients.tell(client, quarter()), Some(client));
        let why = inbox.dropped.borrow().clone();
        assert_eq!(why, Some(Dropped::TooSlow(TOO_SLOW)));
    }

    #[test]
    fn answers_go_to_who_asked() {
        let mut clients = Clients::default();
        let (outbox, mut inbox) = queue();
        clients.open(ClientId(1), HERE, outbox);
        clients.asks(RequestId(7), ClientId(1), 70);
        let elsewhere = clients.answer(RequestId(8), Ok(Reply::Done));
        assert!(matches!(elsewhere, Asked::BySomebodyElse(Ok(Reply::Done))));
        assert!(matches!(
            clients.answer(RequestId(7), Ok(Reply::Done)),
            Asked::Told(None)
        ));
        let told = inbox.told.told.try_recv().expect("it was told");
        assert!(matches!(told, Told::Answer { ticket: 70, .. }));
        let again = clients.answer(RequestId(7), Ok(Reply::Done));
        assert!(matches!(again, Asked::BySomebodyElse(_)), "answered once");
    }
}
