//! Transfers at a steady rate, however long their answers take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use client_messages::v2::Version;

use crate::clock::{instant, pause};
use crate::connection::{Call, Protocol};
use crate::dice::Dice;
use crate::load::Accounts;
use crate::mesh::{self, transfer};
use crate::socket::{Socket, Target};

const CONNECTIONS: usize = 4;

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const PROTOCOL: Protocol = Protocol::Later(Version::V2);

/// One client that makes calls and reads their answers, and never waits for either.
pub(crate) struct CallingClient {
    socket: Socket,
    sent: usize,
    answered: usize,
}

impl CallingClient {
    /// Connects, as somebody whom the server does not know.
    ///
    /// # Errors
    /// If the server does not say who this is.
    pub(crate) fn open(target: &Target) -> anyhow::Result<Self> {
        let mut socket = PROTOCOL.connect(target)?;
        socket.never_wait()?;
        Ok(Self {
            socket,
            sent: 0,
            answered: 0,
        })
    }

    /// Makes calls, by reducer and arguments.
    ///
    /// # Errors
    /// If the connection has ended.
    pub(crate) fn call(
        &mut self,
        calls: impl IntoIterator<Item = mesh::Call>,
    ) -> anyhow::Result<()> {
        let first = self.sent;
        let calls: Vec<_> = calls.into_iter().collect();
        self.sent += calls.len();
        let calls = calls.into_iter().enumerate();
        let calls = calls.map(|(n, call)| Call::new(first + n, call));
        let frames = PROTOCOL.frames(calls.collect::<anyhow::Result<_>>()?);
        self.socket.send(frames)
    }

    /// Calls that were sent and not answered yet, as far as answers were read.
    pub(crate) const fn in_flight(&self) -> usize {
        self.sent - self.answered
    }

    /// Reads the answers that are there.
    ///
    /// # Errors
    /// If a call failed, or the connection has ended.
    pub(crate) fn read_answers(&mut self) -> anyhow::Result<()> {
        while let Some(payload) = self.socket.read_some()? {
            self.answered += PROTOCOL.answered(&payload)?.len();
        }
        Ok(())
    }
}

/// Transfers that go on in a thread until they are told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<f64>>,
}

impl Load {
    /// Begins to make so many transfers a second, between these accounts.
    ///
    /// # Errors
    /// If a connection cannot be opened.
    pub(crate) fn start(
        target: &Target,
        accounts: &Accounts,
        per_second: f64,
    ) -> anyhow::Result<Self> {
        let clients: anyhow::Result<Vec<_>> = (0..CONNECTIONS)
            .map(|_| CallingClient::open(target))
            .collect();
        let (clients, accounts) = (clients?, accounts.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || run(clients, &accounts, per_second, &told));
        Ok(Self { stop, thread })
    }

    /// Stops; answers how many calls a second were answered.
    ///
    /// # Errors
    /// If a call failed.
    pub(crate) fn stop(self) -> anyhow::Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        let done = self.thread.join();
        done.map_err(|_| anyhow::anyhow!("the load panicked"))?
    }
}

fn run(
    mut clients: Vec<CallingClient>,
    accounts: &Accounts,
    per_second: f64,
    told: &AtomicBool,
) -> anyhow::Result<f64> {
    let mut dice = Dice(7);
    let start = instant();
    let mut made = 0;
    while !told.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * per_second) as usize;
        let each = (due - made) / clients.len();
        made += each * clients.len();
        for client in &mut clients {
            let pairs = (0..each).map(|_| accounts.pair(&mut dice));
            client.call(pairs.map(|(from, to)| transfer(from, to)))?;
            client.read_answers()?;
        }
        pause(LOOK_EVERY);
    }
    let answered: usize = clients.iter().map(|client| client.answered).sum();
    Ok(answered as f64 / start.elapsed().as_secs_f64())
}
