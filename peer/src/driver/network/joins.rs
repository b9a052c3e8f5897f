//! `/tombolo/join/1`: one question, one answer, a stream each. The only protocol that somebody
//! who is no member may speak, so it is narrow: few at a time, small, and soon over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncWriteExt, StreamExt};
use libp2p::{Stream, StreamProtocol};
use libp2p_stream::{Control, IncomingStreams, OpenStreamError};
use sync_protocol::DeviceKey;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::keys::{device_of, peer_of};
use super::rate::Portions;
use super::{Shared, frames};
use crate::driver::core_thread::{Mail, Mailbox};

/// The protocol's name on the wire.
pub(super) const JOIN: StreamProtocol = StreamProtocol::new("/tombolo/join/1");

/// Bytes of a question or an answer: three keys, a signature, or a sentence.
const JOIN_BYTES_MAX: usize = 16 << 10;

/// Questions answered at a time. More wait at the door of libp2p, and are dropped there.
const ANSWERING_MAX: usize = 32;

/// Questions of one device at once, and how often one more after that: a person who tries again,
/// not a program that tries tickets.
const ASKS_AT_ONCE: u32 = 8;
/// See [`ASKS_AT_ONCE`].
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Questions of all devices at once, since keys cost nothing, and how often one more after that.
const ALL_ASKS_AT_ONCE: u32 = 64;
/// See [`ALL_ASKS_AT_ONCE`].
const ANY_ASK_EVERY: Duration = Duration::from_millis(100);

/// How long the question may take to arrive.
const QUESTION_WAIT: Duration = Duration::from_secs(10);

/// How long the core may take to answer: it writes an entry, durably.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Answers those who ask to be admitted, until the protocol is withdrawn.
pub(super) async fn serve(mut incoming: IncomingStreams, shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(ANSWERING_MAX));
    let mut each = Portions::new(ASKS_AT_ONCE, ASK_EVERY);
    let mut all = Portions::new(ALL_ASKS_AT_ONCE, ANY_ASK_EVERY);
    while let Some((peer, stream)) = incoming.next().await {
        let Some(remote) = device_of(&peer) else {
            continue;
        };
        let now = Instant::now();
        // In this order: one that asks too often does not use up what is there for all.
        if !each.take(remote, now) || !all.take((), now) {
            tracing::debug!("join question of {}: too many", remote.short());
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let mailbox = shared.mailbox.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(remote, stream, &mailbox).await {
                tracing::debug!("join question of {}: {error}", remote.short());
            }
            drop(slot);
        });
    }
}

async fn answer(remote: DeviceKey, mut stream: Stream, mailbox: &Mailbox) -> Result<(), String> {
    let question = timeout(QUESTION_WAIT, frames::read(&mut stream, JOIN_BYTES_MAX))
        .await
        .map_err(|_| "it did not come".to_owned())?
        .map_err(|error| error.to_string())?;
    let (sender, receiver) = oneshot::channel();
    let mail = Mail::JoinAsked {
        remote,
        bytes: question,
        answer: sender,
    };
    if !mailbox.send(mail).await {
        return Err("this peer stops".to_owned());
    }
    let answer = timeout(ANSWER_WAIT, receiver)
        .await
        .map_err(|_| "the core took too long".to_owned())?
        .map_err(|_| "the core gave no answer".to_owned())?;
    let mut frame = Vec::new();
    frames::put(&mut frame, &answer);
    let written = timeout(QUESTION_WAIT, async {
        stream.write_all(&frame).await?;
        stream.close().await
    });
    written
        .await
        .map_err(|_| "the answer is not read".to_owned())?
        .map_err(|error| error.to_string())
}

/// Asks a connected member for admission.
///
/// # Errors
/// The sentence for the person who joins.
pub(super) async fn ask(
    control: &mut Control,
    remote: DeviceKey,
    question: &[u8],
) -> Result<Vec<u8>, String> {
    let peer = peer_of(&remote).ok_or("the ticket names no valid device key")?;
    let mut stream = match timeout(QUESTION_WAIT, control.open_stream(peer, JOIN)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {
            return Err("the member does not speak this version of Tombolo".to_owned());
        }
        Ok(Err(error)) => return Err(format!("the member hung up: {error}")),
        Err(_) => return Err("the member does not answer".to_owned()),
    };
    let mut frame = Vec::new();
    frames::put(&mut frame, question);
    let answer = timeout(ANSWER_WAIT + QUESTION_WAIT, async {
        stream.write_all(&frame).await?;
        stream.flush().await?;
        frames::read(&mut stream, JOIN_BYTES_MAX).await
    });
    answer
        .await
        .map_err(|_| "the member did not answer in time".to_owned())?
        .map_err(|error| format!("the member hung up: {error}"))
}
