//! The one thread that owns the core: takes what waits in the mailbox, hands it in, carries out
//! what comes back.
//!
//! It takes everything that waits before it says `Idle`, so that calls which arrive together
//! share one entry, one signature and one write to disk. Nothing it does waits for the network, a
//! client or another thread: replies and messages go into bounded queues or nowhere.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peer_core::{
    Claims, ClientId, Core, Effect, ErrorKind, Input, NoteLevel, Reply, Request, RequestError,
    RequestId,
};
use sync_protocol::{DatabaseId, DeviceKey, Tick};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::clients::{Asked, Clients, Dropped, Outbox, Told};
use super::clock::Clock;
use super::console::Consoles;
use super::network::{Network, Outgoing};

/// Letters that may wait. Senders wait when it is full: HTTP clients by themselves, remotes by
/// not being read.
const MAILBOX_MAX: usize = 4_096;

/// Letters taken before `Idle` is said in any case, so that work which is put off until then is
/// done under a load that never pauses.
const BURST_MAX: usize = 4_096;

/// Times that others are let go first before `Idle` is said, while each time brings more letters.
const YIELDS_MAX: usize = 16;

/// What an answer goes to.
type ReplySender = oneshot::Sender<Result<Reply, RequestError>>;

/// One letter to the core's thread.
pub(crate) enum Mail {
    /// A client asks.
    Request {
        /// Who, checked.
        caller: Arc<Claims>,
        /// Whether that is the peer's own identity.
        owner: bool,
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: ReplySender,
    },
    /// A client that stays is there.
    ClientOpened {
        /// Who.
        client: ClientId,
        /// Of which database.
        database: DatabaseId,
        /// What it is told goes there.
        outbox: Outbox,
    },
    /// Such a client asks.
    ClientRequest {
        /// Who.
        client: ClientId,
        /// The number that the answer repeats.
        ticket: u64,
        /// Its identity, checked.
        caller: Arc<Claims>,
        /// Whether that is the peer's own.
        owner: bool,
        /// What.
        request: Request,
    },
    /// Such a client hears nothing more.
    ClientClosed {
        /// Who.
        client: ClientId,
    },
    /// A link can be used.
    LinkUp {
        /// To whom.
        remote: DeviceKey,
        /// The way there.
        outgoing: Outgoing,
    },
    /// Somebody asks to be admitted.
    JoinAsked {
        /// Who.
        remote: DeviceKey,
        /// The question.
        bytes: Vec<u8>,
        /// Where the answer goes.
        answer: oneshot::Sender<Vec<u8>>,
    },
    /// Anything that the core takes as it is.
    Input(Input),
    /// No more letters are taken; those that wait are answered.
    Stop,
}

/// The way to the core's thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    sender: mpsc::Sender<Mail>,
    clients: Arc<AtomicU64>,
}

/// The thread's end of the mailbox.
pub(crate) type MailReceiver = mpsc::Receiver<Mail>;

impl Mailbox {
    /// A mailbox and its other end.
    pub(crate) fn new() -> (Self, MailReceiver) {
        let (sender, receiver) = mpsc::channel(MAILBOX_MAX);
        let clients = Arc::default();
        (Self { sender, clients }, receiver)
    }

    /// A number for a client, used once.
    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a letter, waiting while the mailbox is full. False: the core has stopped.
    pub(crate) async fn send(&self, mail: Mail) -> bool {
        self.sender.send(mail).await.is_ok()
    }

    /// Asks the core and waits for the answer. Dropping the future does not take the request
    /// back.
    ///
    /// # Errors
    /// What the core answers; `Unavailable` when the peer is stopping.
    pub(crate) async fn request(
        &self,
        caller: Arc<Claims>,
        owner: bool,
        request: Request,
    ) -> Result<Reply, RequestError> {
        let (reply, answer) = oneshot::channel();
        let mail = Mail::Request {
            caller,
            owner,
            request,
            reply,
        };
        let stopping = || RequestError {
            kind: ErrorKind::Unavailable,
            message: "this peer is stopping; ask again when it is back".to_owned(),
        };
        if !self.send(mail).await {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// What is heard of the thread.
pub(crate) struct Running {
    /// How opening the core went, and how long it took.
    pub(crate) opened: oneshot::Receiver<Result<Duration, String>>,
    /// The thread has ended, which without a `Stop` means a bug.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Starts the thread. `open` makes the core, inside the thread.
///
/// # Errors
/// When no thread or timer can be had.
pub(crate) fn start<F>(
    open: F,
    clock: Clock,
    mail: MailReceiver,
    network: Network,
    consoles: Consoles,
) -> io::Result<Running>
where
    F: FnOnce() -> Result<Core, String> + Send + 'static,
{
    let timer = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (opened, has_opened) = oneshot::channel();
    let (ended, has_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("core".into())
        .spawn(move || {
            let start = Instant::now();
            match open() {
                Ok(core) => {
                    let _ = opened.send(Ok(start.elapsed()));
                    let thread = CoreThread {
                        core,
                        clock,
                        mail,
                        network,
                        consoles,
                        links: BTreeMap::new(),
                        replies: BTreeMap::new(),
                        clients: Clients::default(),
                        join_answers: BTreeMap::new(),
                        next_id: 0,
                        wake_at: None,
                    };
                    thread.run(&timer);
                }
                Err(why) => {
                    let _ = opened.send(Err(why));
                }
            }
            let _ = ended.send(());
        })?;
    Ok(Running {
        opened: has_opened,
        ended: has_ended,
    })
}

/// What the thread owns.
struct CoreThread {
    core: Core,
    clock: Clock,
    mail: MailReceiver,
    network: Network,
    consoles: Consoles,
    links: BTreeMap<DeviceKey, Outgoing>,
    replies: BTreeMap<RequestId, ReplySender>,
    clients: Clients,
    join_answers: BTreeMap<RequestId, oneshot::Sender<Vec<u8>>>,
    next_id: u64,
    wake_at: Option<Tick>,
}

/// Whether the thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl CoreThread {
    fn run(mut self, timer: &tokio::runtime::Runtime) {
        let mut then = Then::GoOn;
        while then == Then::GoOn {
            then = self.take_waiting();
            // Clients that were answered together ask again one after the other: whoever is about to
            // run gets the processor first, so that they share an entry and its write to disk.
            for _ in 0..YIELDS_MAX {
                std::thread::yield_now();
                if then == Then::End || self.mail.is_empty() {
                    break;
                }
                then = self.take_waiting();
            }
            self.step(Input::Idle);
            if then == Then::GoOn && self.mail.is_empty() {
                then = self.wait(timer);
            }
        }
        // `Stop` closed the mailbox, so this ends; everybody gets an answer.
        while let Ok(mail) = self.mail.try_recv() {
            self.take(mail);
        }
        self.step(Input::Idle);
        for effect in self.core.write_all() {
            self.carry_out(effect);
        }
    }

    /// Hands in what waits, up to a burst.
    fn take_waiting(&mut self) -> Then {
        for _ in 0..BURST_MAX {
            self.wake_if_due();
            match self.mail.try_recv() {
                Ok(mail) => {
                    if self.take(mail) == Then::End {
                        return Then::End;
                    }
                }
                Err(TryRecvError::Empty) => return Then::GoOn,
                Err(TryRecvError::Disconnected) => return Then::End,
            }
        }
        Then::GoOn
    }

    /// Waits for a letter or for the time that the core asked for.
    fn wait(&mut self, timer: &tokio::runtime::Runtime) -> Then {
        if self.wake_if_due() {
            return Then::GoOn; // a timer would fire a millisecond later
        }
        let deadline = self.wake_at.map(|tick| self.clock.instant(tick));
        let mail = &mut self.mail;
        let next = timer.block_on(async {
            match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.into(), mail.recv())
                    .await
                    .map_err(drop),
                None => Ok(mail.recv().await),
            }
        });
        match next {
            Ok(Some(mail)) => self.take(mail),
            Ok(None) => Then::End,
            Err(()) => {
                self.wake_if_due();
                Then::GoOn
            }
        }
    }

    /// Whether it was due.
    fn wake_if_due(&mut self) -> bool {
        let is_due = self.wake_at.is_some_and(|at| self.clock.tick() >= at);
        if is_due {
            self.wake_at = None;
            self.step(Input::Woken);
        }
        is_due
    }

    fn take(&mut self, mail: Mail) -> Then {
        match mail {
            Mail::Request {
                caller,
                owner,
                request,
                reply,
            } => {
                let id = self.next_id();
                self.replies.insert(id, reply);
                self.step(Input::Request {
                    id,
                    caller,
                    owner,
                    request,
                });
            }
            Mail::ClientOpened {
                client,
                database,
                outbox,
            } => self.clients.open(client, database, outbox),
            Mail::ClientRequest {
                client,
                ticket,
                caller,
                owner,
                request,
            } => {
                let id = self.next_id();
                self.clients.asks(id, client, ticket);
                self.step(Input::Request {
                    id,
                    caller,
                    owner,
                    request,
                });
            }
            Mail::ClientClosed { client } => self.clients.close(client),
            Mail::LinkUp { remote, outgoing } => {
                self.links.insert(remote, outgoing);
                self.step(Input::LinkUp { remote });
            }
            Mail::JoinAsked {
                remote,
                bytes,
                answer,
            } => {
                let id = self.next_id();
                self.join_answers.insert(id, answer);
                self.step(Input::JoinAsked { id, remote, bytes });
            }
            Mail::Input(input) => {
                if let Input::LinkDown { remote } = &input {
                    self.links.remove(remote);
                }
                self.step(input);
            }
            Mail::Stop => {
                self.mail.close();
                return Then::End;
            }
        }
        Then::GoOn
    }

    fn close_link(&mut self, remote: &DeviceKey) {
        if let Some(link) = self.links.remove(remote) {
            link.close();
        }
    }

    fn next_id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id)
    }

    fn step(&mut self, input: Input) {
        let mut too_slow = Vec::new();
        for effect in self.core.step(self.clock.now(), input) {
            too_slow.extend(self.carry_out(effect));
        }
        for client in too_slow {
            self.step(Input::ClientGone { client });
        }
    }

    /// Gives back a client that does not read what it is told.
    fn carry_out(&mut self, effect: Effect) -> Option<ClientId> {
        match effect {
            Effect::Reply { id, reply } => match self.clients.answer(id, reply) {
                Asked::Told(too_slow) => return too_slow,
                Asked::BySomebodyElse(reply) => {
                    // A client that has gone away does not hear its answer.
                    if let Some(sender) = self.replies.remove(&id) {
                        let _ = sender.send(reply);
                    }
                }
            },
            Effect::Told {
                id, result, update, ..
            } => return self.clients.called(id, result, update),
            Effect::Update { client, update } => {
                return self.clients.tell(client, Told::Update(update));
            }
            Effect::DropClient { client, why } => {
                self.clients.drop_client(client, Dropped::Gone(why));
            }
            Effect::Send { remote, bytes } => {
                if let Some(link) = self.links.get(&remote)
                    && let Err(slow) = link.send(bytes)
                {
                    tracing::warn!("link to {} is closed: {slow}", remote.short());
                    // Until its end has come through the mailbox nothing more is queued.
                    self.links.remove(&remote);
                }
            }
            Effect::JoinAsk {
                join,
                remote,
                addresses,
                bytes,
            } => self.network.ask_to_join(join, remote, addresses, bytes),
            Effect::JoinAnswer { id, bytes } => {
                if let Some(sender) = self.join_answers.remove(&id) {
                    let _ = sender.send(bytes);
                }
            }
            Effect::Dial { remote, addresses } => self.network.dial(remote, &addresses),
            Effect::Release { remote } => self.network.release(&remote),
            Effect::Members { members } => self.network.set_members(&members),
            Effect::HangUp {
                remote,
                why,
                refuse_ms,
            } => {
                let refuse = Duration::from_millis(refuse_ms);
                tracing::warn!(
                    "{} is cut off for {} s: {why}",
                    remote.short(),
                    refuse.as_secs()
                );
                self.close_link(&remote);
                self.network.hang_up(&remote, refuse);
            }
            Effect::CloseLink { remote, why } => {
                tracing::info!("link to {} is opened anew: {why}", remote.short());
                self.close_link(&remote);
            }
            Effect::WakeAt(tick) => self.wake_at = Some(tick),
            Effect::Console { database, line } => self.consoles.append(database, line),
            Effect::Deleted { database } => {
                self.consoles.forget(&database);
                self.clients.forget(&database);
            }
            Effect::Note { level, text } => match level {
                NoteLevel::Error => tracing::error!("{text}"),
                NoteLevel::Warn => tracing::warn!("{text}"),
                NoteLevel::Info => tracing::info!("{text}"),
            },
        }
        None
    }
}
