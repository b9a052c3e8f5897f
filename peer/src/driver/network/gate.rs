//! The door of the network: shut while the person has switched the network off, and shut to those
//! who misbehaved for a while.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::keys::device_of;

/// How long a remote that misbehaved stays outside.
const BAN: Duration = Duration::from_secs(60);

/// Remotes remembered as misbehaving. A device key costs nothing, so the oldest ban gives way.
const BANS_MAX: usize = 1_024;

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// By the person.
    #[error("the network is switched off")]
    Off,
    /// By its own doing.
    #[error("the remote misbehaved a moment ago")]
    Banned,
    /// Only ed25519 keys name devices.
    #[error("the remote's key is not ed25519")]
    NotADevice,
}

/// Whether the door is open, and for whom not.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    off: AtomicBool,
    bans: Mutex<BTreeMap<PeerId, Instant>>,
}

impl Gate {
    /// Whether connections are allowed at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.off.load(Ordering::SeqCst)
    }

    /// Allows connections, or none.
    pub(crate) fn set_on(&self, on: bool) {
        self.off.store(!on, Ordering::SeqCst);
    }

    /// Keeps a remote outside for a minute.
    pub(crate) fn ban(&self, peer: PeerId, now: Instant) {
        let mut bans = self.bans();
        bans.retain(|_, until| *until > now);
        if bans.len() >= BANS_MAX
            && let Some(oldest) = bans
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(p, _)| *p)
        {
            bans.remove(&oldest);
        }
        bans.insert(peer, now + BAN);
    }

    /// Whether a connection with this remote is allowed.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admits(&self, peer: &PeerId, now: Instant) -> Result<(), Refused> {
        if !self.is_on() {
            return Err(Refused::Off);
        }
        if device_of(peer).is_none() {
            return Err(Refused::NotADevice);
        }
        match self.bans().get(peer) {
            Some(until) if *until > now => Err(Refused::Banned),
            _ => Ok(()),
        }
    }

    fn bans(&self) -> MutexGuard<'_, BTreeMap<PeerId, Instant>> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate as libp2p asks it.
pub(super) struct Behaviour(pub(super) Arc<Gate>);

impl Behaviour {
    fn check(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        self.0
            .admits(peer, Instant::now())
            .map(|()| dummy::ConnectionHandler)
            .map_err(ConnectionDenied::new)
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.0.is_on() {
            Ok(())
        } else {
            Err(ConnectionDenied::new(Refused::Off))
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.0.is_on() {
            Ok(Vec::new())
        } else {
            Err(ConnectionDenied::new(Refused::Off))
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::peer_of;
    use super::*;
    use sync_protocol::SecretKey;

    #[test]
    fn off_refuses_everybody_and_a_ban_ends() {
        let peer = peer_of(&SecretKey::from_bytes(&[1; 32]).public()).expect("a real key");
        let gate = Gate::default();
        let now = Instant::now();
        assert_eq!(gate.admits(&peer, now), Ok(()));
        gate.set_on(false);
        assert_eq!(gate.admits(&peer, now), Err(Refused::Off));
        gate.set_on(true);
        gate.ban(peer, now);
        assert_eq!(gate.admits(&peer, now), Err(Refused::Banned));
        assert_eq!(gate.admits(&peer, now + BAN), Ok(()));
        assert_eq!(
            gate.admits(&PeerId::random(), now),
            Err(Refused::NotADevice)
        );
    }
}
