//! The swarm's own task: what it does when, whom it dials, and what it is told to do.
//!
//! A dial tries all direct addresses of a remote at once, over both transports, and the first that
//! answers is used. Those through relays follow a moment later. When a connection is lost, so is only
//! that way, and the next dial may find another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId, Swarm};
use libp2p_stream::IncomingStreams;
use peer_core::Input;
use sync_protocol::{DeviceKey, Tick};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::addresses::Dial;
use super::behaviour::Behaviour;
use super::diallable::relay_of;
use super::joins::{self, JOIN};
use super::keys::{device_of, peer_of, split};
use super::links::SYNC;
use super::listen::Listeners;
use super::reachability::Reachability;
use super::relays::Relays;
use super::ways::Ways;
use super::{Command, Shared, lan};
use crate::driver::core_thread::Mail;

/// The pause at least between looks at the address book and the gate, however much is due.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// The pause at most, for what changed without anybody saying so here: another route, members that
/// came or went.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// New listen addresses come one per interface; they are told together after this pause.
pub(super) const LISTEN_PAUSE: Duration = Duration::from_millis(50);

/// Takes streams that remotes open, each kind in a task of its own.
///
/// # Errors
/// When a protocol is registered twice, which would be our mistake.
pub(super) fn serve_streams(shared: &Arc<Shared>) -> Result<(), String> {
    let mut control = shared.control.clone();
    let sync = control.accept(SYNC).map_err(|error| error.to_string())?;
    let join = control.accept(JOIN).map_err(|error| error.to_string())?;
    tokio::spawn(serve_links(sync, Arc::clone(shared)));
    tokio::spawn(joins::serve(join, Arc::clone(shared)));
    Ok(())
}

async fn serve_links(mut incoming: IncomingStreams, shared: Arc<Shared>) {
    while let Some((peer, stream)) = incoming.next().await {
        match device_of(&peer) {
            // The smaller key opens; a stream the other way round is a mistake of the remote.
            Some(remote) if remote < shared.device => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    shared.links.run(remote, stream, &shared.mailbox).await;
                });
            }
            _ => tracing::debug!("{peer} opened a stream that is ours to open"),
        }
    }
}

/// Everything the swarm's own task knows.
pub(super) struct Task {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) listeners: Listeners,
    pub(super) listening: watch::Sender<Vec<String>>,
    /// Addresses changed; they are told at this time.
    pub(super) tell_at: Option<Instant>,
    /// Who is in the local network.
    pub(super) noticed: lan::Noticed,
    /// Who waits for a connection.
    pub(super) waiting: BTreeMap<PeerId, Vec<oneshot::Sender<Result<(), String>>>>,
    pub(super) relays: Relays,
    pub(super) reachability: Reachability,
    /// Members that may be asked to dial back.
    pub(super) asked_to_dial: BTreeSet<PeerId>,
    pub(super) ways: Ways,
    /// Dials of wanted remotes that are under way. libp2p dials too, back and through holes: those say
    /// nothing about the addresses in the book.
    pub(super) dials: BTreeMap<ConnectionId, Through>,
}

/// How a remote is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// At its own addresses.
    Nobody,
    /// At relays.
    Relay,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        listeners: Listeners,
        listening: watch::Sender<Vec<String>>,
    ) -> Self {
        Self {
            swarm,
            shared,
            listeners,
            listening,
            tell_at: None,
            noticed: lan::Noticed::default(),
            waiting: BTreeMap::new(),
            relays: Relays::default(),
            reachability: Reachability::default(),
            asked_to_dial: BTreeSet::new(),
            ways: Ways::default(),
            dials: BTreeMap::new(),
        }
    }

    /// Runs until told to stop.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut stop: oneshot::Receiver<()>,
    ) {
        self.look();
        let mut looked = Instant::now();
        loop {
            let tell_at = self.tell_at;
            let look_at = self.look_at(looked);
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = commands.recv() => self.on_command(command),
                () = sleep_until(look_at) => {
                    self.look();
                    looked = Instant::now();
                }
                () = sleep_until(tell_at.unwrap_or_else(Instant::now)), if tell_at.is_some() => {
                    self.tell_at = None;
                    self.tell_listening();
                    self.follow_networks();
                }
                _ = &mut stop => break,
            }
        }
        self.keep_book();
    }

    /// Does what is due by the book, the gate and the connections.
    fn look(&mut self) {
        self.follow_networks();
        self.dial_due();
        self.keep_book();
        self.show_out();
        self.close_over();
        self.tend_relays();
    }

    /// When they are looked at next: who has nothing to do sleeps.
    fn look_at(&self, looked: Instant) -> Instant {
        let (dial_at, changed) = {
            let book = self.shared.book();
            (book.next_due(), book.has_changed())
        };
        let dial_at = dial_at.filter(|_| self.shared.gate.is_on());
        let close_at = self.shared.connections().next_over();
        let at = |ms: u64| self.shared.clock.instant(Tick(ms.saturating_mul(1_000)));
        let due = [
            dial_at.map(at),
            close_at.map(at),
            self.shared.gate.next_overdue(),
        ];
        let last = looked + if changed { LOOK_PAUSE } else { LOOK_PAUSE_MAX };
        let first = due.into_iter().flatten().map(Instant::from_std).min();
        first.map_or(last, |first| first.clamp(looked + LOOK_PAUSE, last))
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Redial => self.dial_due(),
            Command::HangUp(peer) => {
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Release(peer) => self.release(peer),
            Command::CloseAll => {
                let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
                for peer in peers {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            Command::Connect {
                peer,
                addresses,
                done,
            } => self.connect(peer, addresses, done),
        }
    }

    fn connect(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        done: oneshot::Sender<Result<(), String>>,
    ) {
        if self.swarm.is_connected(&peer) {
            let _ = done.send(Ok(()));
            return;
        }
        let condition = PeerCondition::DisconnectedAndNotDialing;
        match self.dial(peer, addresses, condition, Through::Nobody) {
            // A try is under way: whoever waits hears how it ends.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {
                self.waiting.entry(peer).or_default().push(done);
            }
            Err(error) => {
                let _ = done.send(Err(unreachable(&error)));
            }
        }
    }

    /// Closes what was dialled from here: the remote wants no connection that it did not dial.
    fn release(&mut self, peer: PeerId) {
        let Some(remote) = device_of(&peer) else {
            return;
        };
        let connections = self.shared.connections();
        let dialled: Vec<ConnectionId> = connections
            .of(&remote)
            .iter()
            .filter(|connection| !connection.inbound)
            .map(|connection| connection.id)
            .collect();
        drop(connections);
        for id in dialled {
            self.swarm.close_connection(id);
        }
    }

    /// Strangers who stayed long enough have to go.
    fn show_out(&mut self) {
        for id in self.shared.gate.overdue(std::time::Instant::now()) {
            self.swarm.close_connection(id);
        }
    }

    /// Dials a remote at these addresses, and where its key is noticed in the local network.
    fn dial(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        condition: PeerCondition,
        through: Through,
    ) -> Result<(), DialError> {
        let addresses = match device_of(&peer) {
            Some(device) => self.noticed.and(addresses, &device),
            None => addresses,
        };
        let options = DialOpts::peer_id(peer)
            .condition(condition)
            .addresses(addresses)
            // From our listening port, two peers that dial each other at the same moment
            // would meet in one TCP connection of which both think they dialled.
            .allocate_new_port()
            .build();
        let id = options.connection_id();
        self.swarm.dial(options)?;
        self.dials.insert(id, through);
        Ok(())
    }

    pub(super) fn dial_due(&mut self) {
        if !self.shared.gate.is_on() {
            return;
        }
        let due = self.shared.book().take_due(self.shared.now_ms());
        for dial in due {
            match dial {
                Dial::Remote(device, addresses) => {
                    // Beside a connection through a relay, which is to become a direct one.
                    let relayed = self.shared.connections().is_only_relayed(&device);
                    let condition = match relayed {
                        true => PeerCondition::NotDialing,
                        false => PeerCondition::DisconnectedAndNotDialing,
                    };
                    self.dial_device(&device, addresses, condition, Through::Nobody);
                }
                // Beside a direct dial that is under way.
                Dial::Relayed(device, mut addresses) => {
                    // Whose relays are members of nothing here are not dialled on somebody's word.
                    let gate = &self.shared.gate;
                    addresses.retain(|address| {
                        relay_of(address).is_some_and(|relay| gate.is_member(&relay))
                    });
                    let condition = PeerCondition::Disconnected;
                    self.dial_device(&device, addresses, condition, Through::Relay);
                }
                Dial::Address(address) => {
                    let options = DialOpts::unknown_peer_id()
                        .address(address.clone())
                        .allocate_new_port()
                        .build();
                    if self.swarm.dial(options).is_err() {
                        let now = self.shared.now_ms();
                        self.shared
                            .book()
                            .address_failed(&address, now, rand::random());
                    }
                }
            }
        }
    }

    fn dial_device(
        &mut self,
        device: &DeviceKey,
        addresses: Vec<Multiaddr>,
        condition: PeerCondition,
        through: Through,
    ) {
        let Some(peer) = peer_of(device) else {
            return;
        };
        match self.dial(peer, addresses, condition, through) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.dial_failed(Some(peer), Some(through), &error),
        }
    }

    /// A dial was in vain: one of ours, as `through` says, of a remote or of whoever answers, or one of
    /// libp2p's.
    pub(super) fn dial_failed(
        &mut self,
        peer: Option<PeerId>,
        through: Option<Through>,
        error: &DialError,
    ) {
        let Some(peer) = peer else {
            if let DialError::Transport(tried) = error {
                let now = self.shared.now_ms();
                let mut book = self.shared.book();
                for (address, _) in tried {
                    tracing::debug!("cannot reach {address}: {error}");
                    book.address_failed(&split(address).0, now, rand::random());
                }
            }
            return;
        };
        let Some(through) = through else {
            tracing::debug!("no way to {peer}: {error}");
            return;
        };
        if let Some(device) = device_of(&peer) {
            self.device_failed(&device, through, error);
        }
        if !self.swarm.is_connected(&peer) {
            for done in self.waiting.remove(&peer).unwrap_or_default() {
                let _ = done.send(Err(unreachable(error)));
            }
        }
    }

    fn device_failed(&self, device: &DeviceKey, through: Through, error: &DialError) {
        let connections = self.shared.connections();
        let (direct, connected) = (
            connections.is_direct(device),
            !connections.of(device).is_empty(),
        );
        drop(connections);
        if direct {
            return;
        }
        tracing::debug!("cannot reach {}: {error}", device.short());
        let mut book = self.shared.book();
        let goes_on = match through {
            Through::Nobody => book.failed(*device, self.shared.now_ms(), rand::random()),
            Through::Relay => book.is_trying(device),
        };
        let wanted = book.wants(device);
        drop(book);
        if !goes_on && wanted && !connected {
            self.tell_core(Input::Unreachable { remote: *device });
        }
    }

    /// In a task of its own: connections go on while the core is busy.
    pub(super) fn tell_core(&self, input: Input) {
        let mailbox = self.shared.mailbox.clone();
        tokio::spawn(async move {
            mailbox.send(Mail::Input(input)).await;
        });
    }

    fn keep_book(&self) {
        let Some(text) = self.shared.book().take_changed() else {
            return;
        };
        let path = &self.shared.book_path;
        if let Err(error) = crate::driver::data_dir::write_whole(path, 0o600, text.as_bytes()) {
            tracing::warn!("{error}");
        }
    }
}

/// Why a remote cannot be reached, for a person.
fn unreachable(error: &DialError) -> String {
    let why = match error {
        DialError::NoAddresses => "no address of it is known".to_owned(),
        DialError::WrongPeerId { obtained, address } => {
            format!("another peer ({obtained}) answers at {address}")
        }
        DialError::Transport(tried) => tried
            .iter()
            .map(|(address, error)| format!("{address}: {}", root_cause(error)))
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    };
    format!(
        "the member that the ticket names cannot be reached ({why}); it must be running, and its network must reach here"
    )
}

/// The innermost error: libp2p wraps "connection refused" several times.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
