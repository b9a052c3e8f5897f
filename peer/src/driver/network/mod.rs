//! The way to other peers: libp2p over TCP and QUIC, with the device key as identity.
//!
//! Two protocols of ours run over it: `/tombolo/sync/1` (one link per remote, see [`links`]) and
//! `/tombolo/join/1` (one question, one answer, see [`joins`]). What is in their frames is the
//! core's business. This module keeps connections: it dials, redials with growing waits, remembers
//! addresses, measures round trips, and shuts the door when told to.

mod addresses;
mod behaviour;
mod connections;
mod diallable;
mod events;
mod frames;
mod gate;
mod holes;
mod identity;
mod joins;
pub(crate) mod keys;
mod lan;
mod links;
mod listen;
mod probe;
mod rate;
mod reachability;
mod relays;
mod retry;
mod swarm;
mod upkeep;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use libp2p_stream::Control;
use peer_core::Input;
use sync_protocol::{DeviceKey, SecretKey};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::addresses::AddressBook;
use self::connections::{Connection, Connections, Way};
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

/// How long a member that cannot be reached where the ticket says is waited for in the local network:
/// a peer that has just come there asks after half a second, and again a second later.
const NOTICED_WAIT: Duration = Duration::from_secs(2);

/// What the swarm is told to do.
enum Command {
    /// Dial who is due, now, and see anew what is due when.
    Redial,
    /// Close the connections of one remote.
    HangUp(PeerId),
    /// Close those connections of one remote that were dialled from here.
    Release(PeerId),
    /// Close all connections.
    CloseAll,
    /// Be connected to a remote, and say when, or why not.
    Connect {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// How a remote is connected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Where it can be dialled, over the transport in use if such an address is known.
    pub(crate) address: String,
    /// The last round trip, in milliseconds.
    pub(crate) rtt_ms: Option<f64>,
    /// Whether a relay stands between.
    pub(crate) relayed: bool,
    /// Which one, as far as it is known.
    pub(crate) relay: Option<DeviceKey>,
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
    /// Whether others in the local network are noticed.
    mdns: bool,
    /// No network of this machine leads to any member.
    alone: AtomicBool,
}

impl Shared {
    fn set_leads_out(&self, out: bool) {
        self.alone.store(!out, Ordering::Relaxed);
    }

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
                Some(Some(remote)) => book.pin(remote, &[bare]),
                Some(None) => return Err(format!("{address} names no ed25519 key")),
            }
        }
        let gate = Arc::new(Gate::default());
        let mut swarm = behaviour::build(secret, Arc::clone(&gate), config.mdns, config.relay)?;
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
            mdns: config.mdns,
            alone: AtomicBool::new(false),
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
        let addresses = diallable::parse_all(addresses);
        self.shared
            .book()
            .want(remote, &addresses, self.shared.now_ms());
        self.command(Command::Redial);
    }

    /// Lets go of a remote to which a link need no longer be kept. Never waits.
    pub(crate) fn release(&self, remote: &DeviceKey) {
        if self.shared.book().release(remote)
            && let Some(peer) = keys::peer_of(remote)
        {
            self.command(Command::Release(peer));
        }
    }

    /// Takes these remotes for members and all others for strangers. Never waits.
    pub(crate) fn set_members(&self, members: &BTreeSet<DeviceKey>) {
        let peers = members.iter().filter_map(keys::peer_of).collect();
        self.shared.gate.set_members(peers);
        // Who no longer is one may have stayed long enough already.
        self.command(Command::Redial);
    }

    /// Closes the connections of a remote that misbehaved, and keeps it outside for a while. Never
    /// waits.
    pub(crate) fn hang_up(&self, remote: &DeviceKey, refuse: Duration) {
        if let Some(peer) = keys::peer_of(remote) {
            let now = Instant::now();
            self.shared.gate.ban(peer, now + refuse, now);
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
        while !self.shared.connections().is_empty() && tokio::time::Instant::now() < given_up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether a network of this machine leads to any member, as far as it was looked for.
    pub(crate) fn leads_out(&self) -> bool {
        !self.shared.alone.load(Ordering::Relaxed)
    }

    /// For how many seconds the link to a remote has been up.
    pub(crate) fn link_up_s(&self, remote: &DeviceKey) -> Option<u64> {
        self.shared.links.up_for(remote).map(|up| up.as_secs())
    }

    /// Who is connected, and how.
    pub(crate) fn connections(&self) -> BTreeMap<DeviceKey, Seen> {
        let connections = self.shared.connections().best_of_each();
        let book = self.shared.book();
        let seen = |device: &DeviceKey, connection: &Connection| {
            let mut address = &connection.address;
            if connection.inbound && connection.is_direct() {
                let quic = listen::is_quic(address);
                let same = |known: &&Multiaddr| {
                    listen::is_quic(known) == quic && !diallable::is_circuit(known)
                };
                // Where it is now, rather than where it was before it moved.
                let here = |known: &&Multiaddr| known.iter().next() == address.iter().next();
                let mut known = book.addresses(device).iter().filter(same);
                let first = known.clone().next();
                address = known.find(here).or(first).unwrap_or(address);
            }
            let relay = match connection.way {
                Way::Direct => None,
                Way::Relayed(relay) => relay,
            };
            Seen {
                address: keys::peer_of(device).map_or_else(
                    || address.to_string(),
                    |peer| format!("{address}/p2p/{peer}"),
                ),
                rtt_ms: connection.rtt_ms,
                relayed: !connection.is_direct(),
                relay: relay.and_then(|relay| keys::device_of(&relay)),
            }
        };
        connections
            .iter()
            .map(|(device, one)| (*device, seen(device, one)))
            .collect()
    }

    fn command(&self, command: Command) {
        // A full queue means the swarm has plenty to do; it looks around by itself soon.
        if self.shared.commands.try_send(command).is_err() {
            tracing::debug!("the network is busy");
        }
    }
}

/// Waits until a remote is connected: at these addresses, where it was met before, or wherever in the
/// local network its key shows up within [`NOTICED_WAIT`].
async fn connect(shared: &Shared, remote: DeviceKey, addresses: &[String]) -> Result<(), String> {
    if !shared.gate.is_on() {
        return Err("the network of this peer is off: `tombolo network on`".to_owned());
    }
    let peer = keys::peer_of(&remote).ok_or("the ticket names no valid device key")?;
    let mut all = diallable::parse_all(addresses);
    {
        let mut book = shared.book();
        book.hear(remote, &all);
        for address in book.addresses(&remote) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
    }
    let why = match connect_at(shared, peer, all).await {
        Err(why) if shared.mdns => why,
        result => return result,
    };
    // It may have moved, and this peer may have come to the local network a moment ago.
    tokio::time::sleep(NOTICED_WAIT).await;
    let noticed = connect_at(shared, peer, Vec::new()).await;
    noticed.map_err(|_| why)
}

/// Tries once.
async fn connect_at(
    shared: &Shared,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
) -> Result<(), String> {
    let (done, receiver) = oneshot::channel();
    let command = Command::Connect {
        peer,
        addresses,
        done,
    };
    if shared.commands.send(command).await.is_err() {
        return Err("this peer stops".to_owned());
    }
    receiver
        .await
        .unwrap_or_else(|_| Err("this peer stops".to_owned()))
}
