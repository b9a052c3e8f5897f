//! The swarm: libp2p's connections, and what we do as they come and go.
//!
//! A dial tries all addresses of a remote at once, over both transports, and the first that answers
//! is used. When a connection is lost, so is only that way, and the next dial may find another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, mdns, ping};
use libp2p_stream::IncomingStreams;
use peer_core::Input;
use sync_protocol::{DeviceKey, Tick};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::addresses::Dial;
use super::behaviour::{Behaviour, BehaviourEvent};
use super::diallable::{diallable, is_loopback};
use super::joins::{self, JOIN};
use super::keys::{device_of, peer_of, split};
use super::lan;
use super::links::{self, SYNC};
use super::listen::{Listeners, port_of};
use super::{Command, Connection, Shared};
use crate::driver::core_thread::Mail;

/// The pause at least between looks at the address book and the gate, however much is due.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// The pause at most, for what changed without anybody saying so here.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(10);

/// New listen addresses come one per interface; they are told together after this pause.
const LISTEN_PAUSE: Duration = Duration::from_millis(50);

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
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    listeners: Listeners,
    listening: watch::Sender<Vec<String>>,
    /// Addresses changed; they are told at this time.
    tell_at: Option<Instant>,
    /// Who is in the local network.
    noticed: lan::Noticed,
    /// Who waits for a connection.
    waiting: BTreeMap<PeerId, Vec<oneshot::Sender<Result<(), String>>>>,
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
                }
                _ = &mut stop => break,
            }
        }
        self.keep_book();
    }

    /// Does what is due by the book and the gate.
    fn look(&mut self) {
        self.dial_due();
        self.keep_book();
        self.show_out();
    }

    /// When they are looked at next: who has nothing to do sleeps.
    fn look_at(&self, looked: Instant) -> Instant {
        let (dial_at, changed) = {
            let book = self.shared.book();
            (book.next_due(), book.has_changed())
        };
        let dial_at = dial_at.filter(|_| self.shared.gate.is_on());
        let dial_at = dial_at.map(|ms| self.shared.clock.instant(Tick(ms.saturating_mul(1_000))));
        let due = [dial_at, self.shared.gate.next_overdue()];
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
        match self.dial(peer, addresses) {
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
    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<(), DialError> {
        let addresses = match device_of(&peer) {
            Some(device) => self.noticed.and(addresses, &device),
            None => addresses,
        };
        self.swarm.dial(
            DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                // From our listening port, two peers that dial each other at the same moment
                // would meet in one TCP connection of which both think they dialled.
                .allocate_new_port()
                .build(),
        )
    }

    fn dial_due(&mut self) {
        if !self.shared.gate.is_on() {
            return;
        }
        let due = self.shared.book().take_due(self.shared.now_ms());
        for dial in due {
            match dial {
                Dial::Remote(device, addresses) => {
                    let Some(peer) = peer_of(&device) else {
                        continue;
                    };
                    match self.dial(peer, addresses) {
                        Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
                        Err(error) => self.dial_failed(Some(peer), &error),
                    }
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

    fn dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        let now = self.shared.now_ms();
        let mut book = self.shared.book();
        match peer {
            Some(peer) => {
                if let Some(device) = device_of(&peer)
                    && !self.swarm.is_connected(&peer)
                {
                    tracing::debug!("cannot reach {}: {error}", device.short());
                    book.failed(device, now, rand::random());
                    if book.wants(&device) {
                        self.tell_core(Input::Unreachable { remote: device });
                    }
                }
            }
            None => {
                if let DialError::Transport(tried) = error {
                    for (address, _) in tried {
                        tracing::debug!("cannot reach {address}: {error}");
                        book.address_failed(&split(address).0, now, rand::random());
                    }
                }
            }
        }
        drop(book);
        if let Some(peer) = peer
            && !self.swarm.is_connected(&peer)
        {
            for done in self.waiting.remove(&peer).unwrap_or_default() {
                let _ = done.send(Err(unreachable(error)));
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                if let Some(remote) = device_of(&peer_id) {
                    self.shared.connections().closed(&remote, connection_id);
                }
                if num_established == 0 {
                    self.on_disconnected(&peer_id, cause.map(|cause| cause.to_string()));
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                self.dial_failed(peer_id, &error);
            }
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                if let Some((_, asked)) = self.listeners.iter().find(|(id, _)| *id == listener_id)
                    && port_of(asked) == Some(0)
                    && let Some(port) = port_of(&address)
                {
                    self.shared.book().set_listen_port(asked, port);
                }
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ExpiredListenAddr { .. } => {
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::error!("no longer listening on {addresses:?}: {reason:?}");
                self.tell_at = Some(Instant::now() + LISTEN_PAUSE);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!("listening: {error}"),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.on_identified(&peer_id, &info.listen_addrs),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Lan(mdns::Event::Discovered(found))) => {
                self.on_noticed(found);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Lan(mdns::Event::Expired(gone))) => {
                self.noticed.expired(gone);
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(remote) = device_of(&peer) else {
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        };
        let (address, _) = split(endpoint.get_remote_address());
        let dialled = endpoint.is_dialer().then_some(&address);
        let now = self.shared.now_ms();
        self.shared.book().connected(remote, dialled, now);
        for done in self.waiting.remove(&peer).unwrap_or_default() {
            let _ = done.send(Ok(()));
        }
        let mut connections = self.shared.connections();
        connections.opened(
            remote,
            Connection {
                id,
                address,
                inbound: endpoint.is_listener(),
                rtt_ms: None,
            },
        );
        if self.shared.device < remote && connections.openers.insert(remote) {
            drop(connections);
            self.spawn_opener(remote, peer);
        }
    }

    /// Keeps a link to a remote that is connected, until it no longer is.
    fn spawn_opener(&self, remote: DeviceKey, peer: PeerId) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let connected = || {
                let mut connections = shared.connections();
                let there = !connections.of(&remote).is_empty();
                if !there {
                    connections.openers.remove(&remote);
                }
                there
            };
            links::keep_open(
                &shared.links,
                remote,
                peer,
                shared.control.clone(),
                &shared.mailbox,
                connected,
            )
            .await;
        });
    }

    fn on_disconnected(&mut self, peer: &PeerId, cause: Option<String>) {
        let Some(remote) = device_of(peer) else {
            return;
        };
        let cause = cause.unwrap_or_else(|| "closed".to_owned());
        tracing::debug!("connection to {} is gone: {cause}", remote.short());
        let now = self.shared.now_ms();
        self.shared.book().disconnected(remote, now, rand::random());
    }

    fn on_identified(&mut self, peer: &PeerId, says: &[Multiaddr]) {
        let Some(remote) = device_of(peer) else {
            return;
        };
        let near = match self.shared.connections().of(&remote) {
            [] => return,
            all => all
                .iter()
                .any(|connection| is_loopback(&connection.address)),
        };
        // Somebody else's loopback is not ours.
        let addresses: Vec<Multiaddr> = says
            .iter()
            .filter_map(diallable)
            .filter(|address| near || !is_loopback(address))
            .collect();
        self.shared.book().hear(remote, &addresses);
    }

    fn on_ping(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(rtt) => {
                if let Some(remote) = device_of(&event.peer) {
                    let rtt_ms = (rtt.as_secs_f64() * 1e6).round() / 1e3;
                    let mut connections = self.shared.connections();
                    connections.measured(&remote, event.connection, rtt_ms);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(failure) => {
                tracing::debug!("{} does not answer: {failure}", event.peer);
                self.swarm.close_connection(event.connection);
            }
        }
    }

    /// Tells the core and the command line where we listen.
    fn tell_listening(&self) {
        let me = *self.swarm.local_peer_id();
        let addresses: Vec<String> = self
            .swarm
            .listeners()
            .map(|address| address.clone().with(Protocol::P2p(me)).to_string())
            .collect();
        if *self.listening.borrow() == addresses {
            return;
        }
        self.listening.send_replace(addresses.clone());
        // Who reads them knows whose they are.
        let addresses = self.swarm.listeners().map(ToString::to_string).collect();
        self.tell_core(Input::Listening { addresses });
    }

    /// In a task of its own: connections go on while the core is busy.
    fn tell_core(&self, input: Input) {
        let mailbox = self.shared.mailbox.clone();
        tokio::spawn(async move {
            mailbox.send(Mail::Input(input)).await;
        });
    }

    /// Somebody shows up in the local network: the core says whether it is anybody's business.
    fn on_noticed(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let lan = &mut self.swarm.behaviour_mut().lan;
        let crowd = lan.as_ref().map_or(0, |lan| lan.discovered_nodes().len());
        if crowd > lan::NOTICED_MAX {
            tracing::warn!(
                "the local network names more than {} peers: it is no longer looked at",
                lan::NOTICED_MAX
            );
            *lan = None.into();
        }
        let found = lan::by_device(found);
        self.noticed.found(&found);
        for (remote, addresses) in found {
            if remote != self.shared.device {
                let addresses = addresses.iter().map(ToString::to_string).collect();
                self.tell_core(Input::Noticed { remote, addresses });
            }
        }
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
