//! Accepts the connections of clients, with TLS or without, and hands their requests to the
//! routes.
//!
//! A remote that opens connections and says nothing takes a bounded number of places for a bounded
//! time: to finish its handshake, to send a request, and to send the next one. It waits for nobody
//! and nobody waits for it: each connection is a task of its own.

mod certificate;
mod places;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use self::places::{Place, Places};

pub(crate) use self::certificate::CERTIFICATE;
pub(crate) use self::tls::{certificates_in, fingerprint, provider, secure};

/// Connections of remotes, those of WebSockets among them.
const CONNECTIONS_MAX: usize = 2_048;

/// Connections from one remote address: a household, or a company behind one router.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Connections of programs on this machine, a proxy that serves others among them.
const LOCAL_CONNECTIONS_MAX: usize = 4_096;

/// TLS handshakes of remotes under way. Each holds some tens of KiB.
const HANDSHAKES_MAX: usize = 256;

/// TLS handshakes under way with one remote address.
const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;

/// TLS handshakes under way with programs on this machine.
const LOCAL_HANDSHAKES_MAX: usize = 256;

// Whoever may take all places of an address cannot take everybody's.
const _: () = assert!(CONNECTIONS_PER_ADDRESS_MAX < CONNECTIONS_MAX);
const _: () = assert!(HANDSHAKES_PER_ADDRESS_MAX < HANDSHAKES_MAX);

/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// How long the head of a request may take to come, counted from the opening of the connection or
/// from the answer before. A WebSocket may be silent for as long as it likes.
const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// How long nobody is accepted when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until told to stop, and then until every connection has had its last answer.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stops: watch::Receiver<bool>,
) {
    let service = TowerToHyperService::new(router);
    let all = Places::new(
        CONNECTIONS_MAX,
        CONNECTIONS_PER_ADDRESS_MAX,
        LOCAL_CONNECTIONS_MAX,
    );
    let handshakes = Places::new(
        HANDSHAKES_MAX,
        HANDSHAKES_PER_ADDRESS_MAX,
        LOCAL_HANDSHAKES_MAX,
    );
    let mut connections = JoinSet::new();
    let mut was_short = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stops) => break,
            Some(_) = connections.join_next() => continue,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Once, not ten times a second.
                if !std::mem::replace(&mut was_short, true) {
                    tracing::warn!("cannot accept clients: {error}");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        was_short = false;
        let Some(place) = all.take(from.ip()) else {
            tracing::debug!("{from} is turned away: too many connections");
            continue;
        };
        let connection = Connection {
            from,
            place,
            handshakes: Arc::clone(&handshakes),
            service: service.clone(),
            stops: stops.clone(),
        };
        connections.spawn(connection.run(socket, tls.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns once the peer stops.
async fn told(stops: &mut watch::Receiver<bool>) {
    let _ = stops.wait_for(|stops| *stops).await;
}

/// Whether the failure was that of the remote, so that the next one may be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// One client's.
struct Connection {
    from: SocketAddr,
    place: Place,
    handshakes: Arc<Places>,
    service: TowerToHyperService<Router>,
    stops: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, socket: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers shall not wait for more to say.
        let _ = socket.set_nodelay(true);
        let Some(tls) = tls else {
            return self.http(socket).await;
        };
        let from = self.from;
        let Some(handshake) = self.handshakes.take(from.ip()) else {
            tracing::debug!("{from} is turned away: too many handshakes");
            return;
        };
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_WAIT, tls.accept(socket)) => shaken,
            () = told(&mut self.stops) => return,
        };
        drop(handshake);
        match shaken {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => tracing::debug!("no TLS with {from}: {error}"),
            Err(_) => tracing::debug!("no TLS with {from}: it took too long"),
        }
    }

    async fn http<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            from,
            place,
            service,
            mut stops,
            ..
        } = self;
        // A WebSocket takes the stream along, and the place with it.
        let io = TokioIo::new(Placed {
            stream,
            _place: place,
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(REQUEST_WAIT);
        let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!("connection of {from}: {error}");
                    }
                    return;
                }
                () = told(&mut stops), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// A stream that has a place for as long as it is open.
struct Placed<S> {
    stream: S,
    _place: Place,
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
