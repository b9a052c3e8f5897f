//! The way to other peers: libp2p over TCP, noise and yamux, with the device key as identity.
//!
//! Two protocols of ours run over it: `/tombolo/sync/1` (one link per remote, see [`links`]) and
//! `/tombolo/join/1` (one question, one answer, see [`joins`]). What is in their frames is the
//! core's business. This module keeps connections: it dials, redials with growing waits, remembers
//! addresses, measures round trips, and shuts the door when told to.

mod addresses;
mod frames;
mod gate;
mod joins;
pub(crate) mod keys;
mod links;
mod listen;
mod swarm;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use libp2p_stream::Control;
use peer_core::Input;
use sync_protocol::{DeviceKey, SecretKey};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::addresses::AddressBook;
use self::gate::Gate;
use self::links::Links;
use super::clock::Clock;
use super::config::Config;
use super::core_thread::{Mail, Mailbox};

pub(crate) use self::links::Outgoing;

/// Orders waiting for the swarm. They come from people and from the core's rare effects.
const COMMANDS_MAX: usize = 1_024;

/// How long switching off waits for the last connection to close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// What the swarm is told to do.
enum Command {
    /// Look whom to dial, now.
    Redial,
    /// Close the connections of one remote.
    HangUp(PeerId),
    /// Close all connections.
    CloseAll,
    /// Be connected to a remote, and say when, or why not.
    Connect {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// A connected remote, as far as the transport knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Connection {
    /// Where it is: the other end of the connection.
    pub(crate) address: String,
    /// Whether it dialled us, so that the address has a port where it does not listen.
    inbound: bool,
    /// The last round trip, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
}

/// Who is connected, and for whom a task keeps a link open.
#[derive(Default)]
struct Connections {
    remotes: BTreeMap<DeviceKey, Connection>,
    openers: BTreeSet<DeviceKey>,
}

/// What the tasks of the network share.
struct Shared {
    device: DeviceKey,
    clock: Clock,
    gate: Arc<Gate>,
    links: Links,
    book: Mutex<AddressBook>,
    book_path: PathBuf,
    connections: Mutex<Connections>,
    commands: mpsc::Sender<Command>,
    control: Control,
    mailbox: Mailbox,
    runtime: Handle,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, AddressBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.clock.tick().0 / 1_000
    }
}

/// The network of a running peer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Network {
    shared: Arc<Shared>,
}

/// What starting the network gives.
pub(crate) struct Started {
    /// The handle.
    pub(crate) network: Network,
    /// The addresses we listen on, with `/p2p/…`, as they change.
    pub(crate) listening: watch::Receiver<Vec<String>>,
    /// Ends when its sender is told to stop, or goes.
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Network {
    /// Listens and starts dialling. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The sentence for the person: an address that cannot be listened on.
    pub(crate) fn start(
        config: &Config,
        secret: &SecretKey,
        mailbox: Mailbox,
        clock: Clock,
        stop: oneshot::Receiver<()>,
    ) -> Result<Started, String> {
        let book_path = config.data_dir.join("addresses.json");
        let mut book = super::data_dir::read_small(&book_path)
            .map(|text| AddressBook::parse(&text))
            .unwrap_or_default();
        let device = secret.public();
        for address in &config.dial {
            let (bare, peer) = keys::split(address);
            match peer.map(|peer| keys::device_of(&peer)) {
                None => book.want_address(bare),
                Some(Some(remote)) if remote == device => {}
                Some(Some(remote)) => book.want(remote, &[bare], 0),
                Some(None) => return Err(format!("{address} names no ed25519 key")),
            }
        }
        let gate = Arc::new(Gate::default());
        let mut swarm = swarm::build(secret, Arc::clone(&gate))?;
        let listeners = listen::all(&mut swarm, &config.p2p, &book)?;
        let control = swarm.behaviour().streams.new_control();
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (listening_sender, listening) = watch::channel(Vec::new());
        let shared = Arc::new(Shared {
            device,
            clock,
            gate,
            links: Links::default(),
            book: Mutex::new(book),
            book_path,
            connections: Mutex::default(),
            commands,
            control,
            mailbox,
            runtime: Handle::current(),
        });
        swarm::serve_streams(&shared)?;
        let task = tokio::spawn(
            swarm::Task::new(swarm, Arc::clone(&shared), listeners, listening_sender)
                .run(receiver, stop),
        );
        Ok(Started {
            network: Self { shared },
            listening,
            task,
        })
    }

    /// Remembers where a remote listens and keeps a link to it. Never waits.
    pub(crate) fn dial(&self, remote: DeviceKey, addresses: &[String]) {
        if remote == self.shared.device {
            return;
        }
        let addresses = addresses::parse_all(addresses);
        self.shared
            .book()
            .want(remote, &addresses, self.shared.now_ms());
        self.command(Command::Redial);
    }

    /// Closes the connections of a remote that misbehaved, and keeps it outside for a minute.
    /// Never waits.
    pub(crate) fn hang_up(&self, remote: &DeviceKey) {
        if let Some(peer) = keys::peer_of(remote) {
            self.shared.gate.ban(peer, Instant::now());
            self.command(Command::HangUp(peer));
        }
    }

    /// Asks a member for admission; the answer goes to the core's mailbox. Never waits.
    pub(crate) fn ask_to_join(
        &self,
        join: peer_core::RequestId,
        remote: DeviceKey,
        addresses: Vec<String>,
        question: Vec<u8>,
    ) {
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            let result = match connect(&shared, remote, &addresses).await {
                Ok(()) => joins::ask(&mut shared.control.clone(), remote, &question).await,
                Err(why) => Err(why),
            };
            let answered = Input::JoinAnswered { join, result };
            shared.mailbox.send(Mail::Input(answered)).await;
        });
    }

    /// Whether the network is switched on.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.gate.is_on()
    }

    /// Switches the network off, which closes every connection and refuses new ones, or on again,
    /// which tries every known remote at once. Off lasts until on, or until the peer stops.
    pub(crate) async fn set_on(&self, on: bool) {
        self.shared.gate.set_on(on);
        if on {
            self.shared.book().start_over();
            self.command(Command::Redial);
            return;
        }
        self.command(Command::CloseAll);
        let given_up = tokio::time::Instant::now() + CLOSE_WAIT;
        while !self.shared.connections().remotes.is_empty()
            && tokio::time::Instant::now() < given_up
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Who is connected, each with an address at which it can be dialled if one is known.
    pub(crate) fn connections(&self) -> BTreeMap<DeviceKey, Connection> {
        let mut remotes = self.shared.connections().remotes.clone();
        let book = self.shared.book();
        for (device, connection) in &mut remotes {
            if connection.inbound
                && let Some(address) = book.addresses(device).first()
            {
                connection.address = address.to_string();
            }
            if let Some(peer) = keys::peer_of(device) {
                connection.address = format!("{}/p2p/{peer}", connection.address);
            }
        }
        remotes
    }

    fn command(&self, command: Command) {
        // A full queue means the swarm has plenty to do; it looks around by itself soon.
        if self.shared.commands.try_send(command).is_err() {
            tracing::debug!("the network is busy");
        }
    }
}

/// Waits until a remote is connected.
async fn connect(shared: &Shared, remote: DeviceKey, addresses: &[String]) -> Result<(), String> {
    if !shared.gate.is_on() {
        return Err("the network of this peer is off: `tombolo network on`".to_owned());
    }
    let peer = keys::peer_of(&remote).ok_or("the ticket names no valid device key")?;
    let (done, receiver) = oneshot::channel();
    let mut all = addresses::parse_all(addresses);
    {
        let mut book = shared.book();
        book.hear(remote, &all);
        for address in book.addresses(&remote) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
    }
    let command = Command::Connect {
        peer,
        addresses: all,
        done,
    };
    if shared.commands.send(command).await.is_err() {
        return Err("this peer stops".to_owned());
    }
    receiver
        .await
        .unwrap_or_else(|_| Err("this peer stops".to_owned()))
}
