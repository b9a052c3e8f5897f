//! Links: one long-lived stream of `/tombolo/sync/1` per remote, used both ways.
//!
//! Of two connected peers the one with the smaller device key opens the stream, so there is never
//! a question which of two streams counts. The first frame each way is empty: it says that
//! somebody at the other end has taken the stream. Then the link is up, and every frame is a
//! message of the core's. When either direction ends, the link is down, and a new one is opened
//! while the connection lasts.
//!
//! A remote that does not read loses its link, not our memory: the queue towards it is bounded,
//! and a full one closes the link. A remote that sends too fast is not read until the core keeps
//! up.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use peer_core::Input;
use sync_protocol::DeviceKey;
use sync_protocol::limits::MESSAGE_BYTES_MAX;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::frames;
use crate::driver::core_thread::{Mail, Mailbox};

/// The protocol's name on the wire.
pub(super) const SYNC: StreamProtocol = StreamProtocol::new("/tombolo/sync/1");

/// Frames waiting for one remote.
const QUEUE_FRAMES_MAX: usize = 8_192;

/// Bytes waiting for one remote: a few of the longest messages.
const QUEUE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// Bytes gathered into one write, so that many small messages take one encrypted packet.
const WRITE_BYTES: usize = 64 << 10;

/// How long the other side may take to accept a stream.
const GREETING_WAIT: Duration = Duration::from_secs(10);

/// How long one write may make no headway.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// Streams of one remote that may wait for their turn; one more is dropped.
const WAITING_MAX: usize = 2;

/// The waits before a link is opened again while the connection lasts.
const REOPEN_FIRST: Duration = Duration::from_millis(50);
/// See [`REOPEN_FIRST`].
const REOPEN_MAX: Duration = Duration::from_secs(10);

/// The way to one remote, held by the core's thread while the link is up.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    frames: mpsc::Sender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
    close: Arc<Notify>,
}

impl Outgoing {
    /// Queues one message. Never waits: if the queue is full the link is closed, and the remote
    /// catches up when it is back.
    ///
    /// # Errors
    /// When the link was closed for that.
    pub(crate) fn send(&self, frame: Vec<u8>) -> Result<(), TooSlow> {
        let len = frame.len();
        let queued = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        let room = queued <= QUEUE_BYTES_MAX;
        match self.frames.try_reserve() {
            Ok(permit) if room => {
                permit.send(frame);
                Ok(())
            }
            // The link is going down of itself; its end is on the way to the core.
            Err(mpsc::error::TrySendError::Closed(())) => Ok(()),
            Ok(_) | Err(mpsc::error::TrySendError::Full(())) => {
                self.close();
                Err(TooSlow { queued })
            }
        }
    }

    /// Closes the link.
    pub(crate) fn close(&self) {
        self.close.notify_one();
    }
}

/// A remote did not read what we sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not read what we send ({queued} bytes waited)")]
pub(crate) struct TooSlow {
    queued: usize,
}

/// Takes turns among the streams of each remote: the newest is used, one at a time.
#[derive(Default)]
pub(super) struct Links {
    turns: Mutex<BTreeMap<DeviceKey, Arc<Turn>>>,
    /// Since when which links are up.
    up: Mutex<BTreeMap<DeviceKey, Instant>>,
}

/// Who may use the link of one remote.
#[derive(Default)]
struct Turn {
    using: tokio::sync::Mutex<()>,
    close: Mutex<Option<Arc<Notify>>>,
    waiting: AtomicUsize,
}

impl Links {
    /// For how long the link to a remote has been up.
    pub(super) fn up_for(&self, remote: &DeviceKey) -> Option<Duration> {
        self.up().get(remote).map(Instant::elapsed)
    }

    fn up(&self) -> MutexGuard<'_, BTreeMap<DeviceKey, Instant>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the link to a remote, if one is up: its connection is lost.
    pub(super) fn close(&self, remote: DeviceKey) {
        let turn = self.turn(remote);
        if let Some(close) = &*turn.close.lock().unwrap_or_else(PoisonError::into_inner) {
            close.notify_one();
        }
    }

    fn turn(&self, remote: DeviceKey) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Only those in use are kept, so the map is as long as there are connections.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(remote).or_default())
    }

    /// Runs a link over this stream until it ends. A link that was up before is closed first: the
    /// remote has given it up, or would not have opened another.
    pub(super) async fn run(&self, remote: DeviceKey, mut stream: Stream, mailbox: &Mailbox) {
        let turn = self.turn(remote);
        if turn.waiting.fetch_add(1, Ordering::SeqCst) >= WAITING_MAX {
            turn.waiting.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        if let Some(close) = &*turn.close.lock().unwrap_or_else(PoisonError::into_inner) {
            close.notify_one();
        }
        let using = turn.using.lock().await;
        turn.waiting.fetch_sub(1, Ordering::SeqCst);
        match timeout(GREETING_WAIT, greet(&mut stream)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!("no link to {}: {error}", remote.short());
                return;
            }
            Err(_) => {
                tracing::debug!("no link to {}: it does not answer", remote.short());
                return;
            }
        }
        let close = Arc::new(Notify::new());
        *turn.close.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&close));
        let (sender, receiver) = mpsc::channel(QUEUE_FRAMES_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        let outgoing = Outgoing {
            frames: sender,
            bytes: Arc::clone(&bytes),
            close: Arc::clone(&close),
        };
        if mailbox.send(Mail::LinkUp { remote, outgoing }).await {
            tracing::info!("link to {} is up", remote.short());
            self.up().insert(remote, Instant::now());
            let (mut reading, mut writing) = stream.split();
            let why = tokio::select! {
                end = read_all(remote, &mut reading, mailbox) => end,
                end = write_all(&mut writing, receiver, &bytes) => end,
                () = close.notified() => Ok("closed here"),
            };
            self.up().remove(&remote);
            match why {
                Ok(why) => tracing::info!("link to {} is down: {why}", remote.short()),
                Err(error) => tracing::info!("link to {} is down: {error}", remote.short()),
            }
            mailbox.send(Mail::Input(Input::LinkDown { remote })).await;
        }
        *turn.close.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(using);
    }
}

/// Exchanges the empty frames that open a link.
async fn greet(stream: &mut Stream) -> io::Result<()> {
    let mut greeting = Vec::with_capacity(frames::PREFIX_BYTES);
    frames::put(&mut greeting, &[]);
    stream.write_all(&greeting).await?;
    stream.flush().await?;
    frames::read(stream, 0).await.map(drop)
}

/// Hands every frame to the core, waiting while its mailbox is full.
async fn read_all<R: futures::AsyncRead + Unpin>(
    remote: DeviceKey,
    stream: &mut R,
    mailbox: &Mailbox,
) -> io::Result<&'static str> {
    loop {
        let bytes = match frames::read(stream, MESSAGE_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok("the remote closed it");
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let why = format!("sent {error}");
                let input = Input::Misbehaved { remote, why };
                mailbox.send(Mail::Input(input)).await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if !mailbox
            .send(Mail::Input(Input::Message { remote, bytes }))
            .await
        {
            return Ok("this peer stops");
        }
    }
}

/// Writes what the core queues.
async fn write_all<W: futures::AsyncWrite + Unpin>(
    stream: &mut W,
    mut queue: mpsc::Receiver<Vec<u8>>,
    bytes: &AtomicUsize,
) -> io::Result<&'static str> {
    let mut buffer = Vec::new();
    while let Some(frame) = queue.recv().await {
        let mut taken = frame.len();
        frames::put(&mut buffer, &frame);
        while buffer.len() < WRITE_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            taken += frame.len();
            frames::put(&mut buffer, &frame);
        }
        // Piece by piece: a slow link makes headway where a long frame takes minutes.
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            match timeout(WRITE_WAIT, stream.write(rest)).await {
                Ok(written) => match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    len => rest = &rest[len..],
                },
                Err(_) => return Ok("the remote does not read"),
            }
        }
        match timeout(WRITE_WAIT, stream.flush()).await {
            Ok(flushed) => flushed?,
            Err(_) => return Ok("the remote does not read"),
        }
        bytes.fetch_sub(taken, Ordering::Relaxed);
        buffer.clear();
        buffer.shrink_to(2 * WRITE_BYTES);
    }
    Ok("the core let it go")
}

/// Opens a link to a remote, again and again while the connection to it lasts.
///
/// `connected` says whether it does; when it no longer does, the caller's note of this task must
/// go in the same breath, or a new connection might find neither.
pub(super) async fn keep_open(
    links: &Links,
    remote: DeviceKey,
    peer: PeerId,
    mut control: Control,
    mailbox: &Mailbox,
    connected: impl Fn() -> bool,
) {
    let mut wait = REOPEN_FIRST;
    while connected() {
        let opened = Instant::now();
        match timeout(GREETING_WAIT, control.open_stream(peer, SYNC)).await {
            Ok(Ok(stream)) => links.run(remote, stream, mailbox).await,
            Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {
                tracing::debug!("{} speaks no {SYNC}", remote.short());
                wait = REOPEN_MAX;
            }
            Ok(Err(error)) => tracing::debug!("no stream to {}: {error}", remote.short()),
            Err(_) => tracing::debug!("no stream to {}: no answer", remote.short()),
        }
        if opened.elapsed() > REOPEN_MAX {
            wait = REOPEN_FIRST;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REOPEN_MAX);
    }
}
