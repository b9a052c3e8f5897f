//! Peers in this process: real cores on real disks, with messages carried from one to the other by
//! hand, and no driver in between.

mod counting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use peer_core::{
    Arguments, Called, Claims, Core, CoreOptions, DatabaseStatus, Effect, Input, JoinState,
    MemoryBudget, Replay, Reply, Request, RequestError, RequestId,
};
use store::DirDisk;
use sync_protocol::{ConnectionId, DeviceKey, Role, SecretKey, Tick};
use tempfile::TempDir;

use crate::clock::{Clock, Deadline, instant};
use crate::dice::Dice;
use crate::places::{CHAT, scratch};
use crate::resident::machine_bytes;

/// Seconds that anything here may take.
const PATIENCE_S: u64 = 300;

/// Accounts that money moves between.
pub(crate) const ACCOUNTS: u32 = 1_000;

struct Peer {
    core: Core,
    wake_at: Option<Tick>,
    key: [u8; 32],
    owner: Arc<Claims>,
    /// Removed with the peer.
    data: TempDir,
    /// The longest step so far.
    longest: Duration,
}

/// A reducer and its arguments.
pub(crate) type Call = (&'static str, Vec<u8>);

/// Moves one coin.
pub(crate) fn transfer(from: u32, to: u32) -> Call {
    let amount = 1_i64;
    let arguments = [
        &from.to_le_bytes()[..],
        &to.to_le_bytes(),
        &amount.to_le_bytes(),
    ];
    ("transfer", arguments.concat())
}

/// Writes a short message.
pub(crate) fn message() -> Call {
    let texts = ["lobby", "a short message"];
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    ("send_message", texts.map(text).concat())
}

/// Some peers in one thread.
pub(crate) struct Mesh {
    peers: Vec<Peer>,
    by_device: BTreeMap<DeviceKey, usize>,
    linked: bool,
    /// Peers that have been left alone: nothing reaches them, and they do nothing.
    away: BTreeSet<usize>,
    /// Who joined last.
    joiner: usize,
    replay: Replay,
    memory: MemoryBudget,
    clock: Clock,
    queue: VecDeque<(usize, Input)>,
    replies: BTreeMap<RequestId, Result<Reply, RequestError>>,
    next_id: u64,
    sent_bytes: u64,
    dice: Dice,
}

impl Mesh {
    /// Peers without databases, linked with each other.
    ///
    /// # Errors
    /// If the disk or wasm do not work.
    pub(crate) fn new(peers: usize) -> anyhow::Result<Self> {
        Self::replaying(peers, Replay::default())
    }

    /// The same, with what runs again when something comes late.
    ///
    /// # Errors
    /// As [`Mesh::new`].
    pub(crate) fn replaying(peers: usize, replay: Replay) -> anyhow::Result<Self> {
        let mut mesh = Self {
            peers: vec![],
            by_device: BTreeMap::new(),
            linked: true,
            away: BTreeSet::new(),
            joiner: 0,
            replay,
            memory: MemoryBudget::of_machine(machine_bytes()?),
            clock: Clock::start(),
            queue: VecDeque::new(),
            replies: BTreeMap::new(),
            next_id: 1,
            sent_bytes: 0,
            dice: Dice(1),
        };
        for _ in 0..peers {
            mesh.add_peer()?;
        }
        Ok(mesh)
    }

    /// Adds a fresh peer and links it with all others.
    ///
    /// # Errors
    /// If the disk or wasm do not work.
    pub(crate) fn add_peer(&mut self) -> anyhow::Result<usize> {
        let data = scratch()?;
        let disk = DirDisk::open(data.path())?;
        let secret = self.dice.bytes();
        let key = SecretKey::from_bytes(&secret);
        let options = self.options();
        let device = key.public();
        let core = Core::open(Box::new(disk), key, &options, self.clock.now())?;
        let at = self.peers.len();
        self.by_device.insert(device, at);
        self.peers.push(Peer {
            core,
            wake_at: None,
            key: secret,
            owner: Arc::new(Claims::of_device(&device)),
            data,
            longest: Duration::ZERO,
        });
        for other in 0..at {
            self.link(at, other);
        }
        self.settle();
        Ok(at)
    }

    fn options(&mut self) -> CoreOptions {
        let mut options = CoreOptions::new(self.dice.draw());
        options.replay = self.replay;
        options.memory = self.memory;
        options
    }

    fn link(&mut self, a: usize, b: usize) {
        for (at, other) in [(a, b), (b, a)] {
            let remote = self.peers[other].core.device();
            self.queue.push_back((at, Input::LinkUp { remote }));
        }
    }

    /// Cuts all links; what is on its way is lost.
    pub(crate) fn part(&mut self) {
        self.linked = false;
        self.queue.clear();
        let devices: Vec<_> = self
            .by_device
            .iter()
            .map(|(device, at)| (*device, *at))
            .collect();
        for at in 0..self.peers.len() {
            for (remote, other) in &devices {
                if *other != at {
                    self.queue
                        .push_back((at, Input::LinkDown { remote: *remote }));
                }
            }
        }
        self.settle();
    }

    /// Leaves a peer alone from now on. While all are apart.
    pub(crate) fn leave(&mut self, at: usize) {
        self.away.insert(at);
    }

    /// Links everybody again who is not left alone; nothing is carried until the next step.
    pub(crate) fn meet(&mut self) {
        self.linked = true;
        for at in 0..self.peers.len() {
            for other in 0..at {
                if !self.away.contains(&at) && !self.away.contains(&other) {
                    self.link(at, other);
                }
            }
        }
    }

    /// The longest that a peer has worked on one thing since this was asked last.
    pub(crate) fn take_longest(&mut self, at: usize) -> Duration {
        std::mem::take(&mut self.peers[at].longest)
    }

    /// Carries out what there is to do now: messages, the flushing of batches, wakes that are due.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some((at, input)) = self.queue.pop_front() {
                self.step(at, input);
            }
            let now = self.clock.now();
            for at in 0..self.peers.len() {
                if self.away.contains(&at) {
                    continue;
                }
                if self.peers[at].wake_at.is_some_and(|due| due <= now.tick) {
                    self.peers[at].wake_at = None;
                    self.step(at, Input::Woken);
                }
                self.step(at, Input::Idle);
            }
            if self.queue.is_empty() {
                return;
            }
        }
    }

    fn step(&mut self, at: usize, input: Input) {
        let now = self.clock.now();
        let from = self.peers[at].core.device();
        let start = instant();
        let effects = self.peers[at].core.step(now, input);
        self.peers[at].longest = self.peers[at].longest.max(start.elapsed());
        for effect in effects {
            match effect {
                Effect::Reply { id, reply } => {
                    self.replies.insert(id, reply);
                }
                Effect::Send { remote, bytes } if self.linked => {
                    let to = self.by_device[&remote];
                    self.sent_bytes += bytes.len() as u64;
                    self.queue.push_back((
                        to,
                        Input::Message {
                            remote: from,
                            bytes,
                        },
                    ));
                }
                // One joiner at a time, so the id of the ask says enough on the way back too.
                Effect::JoinAsk {
                    join,
                    remote,
                    bytes,
                    ..
                } => {
                    let to = self.by_device[&remote];
                    self.queue.push_back((
                        to,
                        Input::JoinAsked {
                            id: join,
                            remote: from,
                            bytes,
                        },
                    ));
                }
                Effect::JoinAnswer { id, bytes } => {
                    let joiner = self.joiner;
                    let input = Input::JoinAnswered {
                        join: id,
                        result: Ok(bytes),
                    };
                    self.queue.push_back((joiner, input));
                }
                Effect::WakeAt(due) => self.peers[at].wake_at = Some(due),
                _ => {}
            }
        }
    }

    /// Stops the only peer and starts it again, with so much memory for what its files hold.
    ///
    /// # Errors
    /// If its directory cannot be read.
    pub(crate) fn restart_with_cache(&mut self, caches_bytes: usize) -> anyhow::Result<()> {
        anyhow::ensure!(self.peers.len() == 1, "the links of others would be lost");
        let Peer {
            core,
            key,
            owner,
            data,
            longest,
            ..
        } = self.peers.swap_remove(0);
        drop(core);
        let disk = DirDisk::open(data.path())?;
        self.memory.caches_bytes = caches_bytes;
        let options = self.options();
        let secret = SecretKey::from_bytes(&key);
        let core = Core::open(Box::new(disk), secret, &options, self.clock.now())?;
        self.peers.push(Peer {
            core,
            wake_at: None,
            key,
            owner,
            data,
            longest,
        });
        self.settle();
        self.wait_until_final()
    }

    /// Stops the first peer and makes its directory one that the program can be started on.
    ///
    /// # Errors
    /// If the key cannot be written.
    pub(crate) fn into_data_dir(mut self) -> anyhow::Result<TempDir> {
        let Peer {
            core, key, data, ..
        } = self.peers.swap_remove(0);
        drop(core);
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = data.path().join("peer.key");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{digits}")?;
        Ok(data)
    }

    /// Asks as the peer's owner, without waiting for the answer.
    fn ask_later(&mut self, at: usize, request: Request) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let caller = Arc::clone(&self.peers[at].owner);
        self.step(
            at,
            Input::Request {
                id,
                caller,
                owner: true,
                request,
            },
        );
        id
    }

    /// Asks as the peer's owner.
    ///
    /// # Errors
    /// The peer's error.
    pub(crate) fn ask(&mut self, at: usize, request: Request) -> anyhow::Result<Reply> {
        let id = self.ask_later(at, request);
        let deadline = Deadline::after_s(PATIENCE_S);
        loop {
            self.settle();
            match self.replies.remove(&id) {
                Some(reply) => return Ok(reply?),
                None => deadline.check("an answer of a peer")?,
            }
        }
    }

    /// Publishes the chat module on the first peer, joins all others and opens the accounts.
    ///
    /// # Errors
    /// If a peer refuses something.
    pub(crate) fn open_chat(&mut self) -> anyhow::Result<()> {
        self.open(CHAT.to_vec())
    }

    /// The same with any module that has the chat's `open_accounts` and `transfer`.
    ///
    /// # Errors
    /// If a peer refuses something.
    pub(crate) fn open(&mut self, wasm: Vec<u8>) -> anyhow::Result<()> {
        self.publish(wasm)?;
        self.call_all(0, &[("open_accounts", ACCOUNTS.to_le_bytes().to_vec())])
    }

    /// Publishes any module on the first peer, and joins all others.
    ///
    /// # Errors
    /// If a peer refuses something.
    pub(crate) fn publish(&mut self, wasm: Vec<u8>) -> anyhow::Result<()> {
        let dice = self.dice.bytes();
        let request = Request::Publish {
            name: "chat".to_owned(),
            wasm,
            sequential_auto_inc: false,
            break_clients: false,
            clear: false,
            dice,
        };
        self.ask(0, request)?;
        for at in 1..self.peers.len() {
            self.join(at)?;
        }
        (0..self.peers.len()).try_for_each(|at| self.connect(at))
    }

    /// Lets a peer join with a ticket from the first; done when the database is usable
    /// there.
    ///
    /// # Errors
    /// The reason why it cannot join.
    pub(crate) fn join(&mut self, at: usize) -> anyhow::Result<()> {
        self.joiner = at;
        let dice = self.dice.bytes();
        let request = Request::Invite {
            database: "chat".to_owned(),
            role: Role::Writer,
            uses: 1,
            expires_in_s: 3_600,
            dice,
        };
        let Reply::Ticket(ticket) = self.ask(0, request)? else {
            bail!("expected a ticket")
        };
        let Reply::Joining(mut progress) = self.ask(at, Request::Join { ticket })? else {
            bail!("expected to be joining");
        };
        let deadline = Deadline::after_s(PATIENCE_S);
        while progress.state != JoinState::Done {
            if let Some(error) = progress.error {
                bail!("joining failed: {error}");
            }
            deadline.check("a peer to join")?;
            let database = progress.database.to_string();
            let Reply::Joining(next) = self.ask(at, Request::JoinProgress { database })? else {
                bail!("expected to be joining");
            };
            progress = next;
        }
        Ok(())
    }

    /// Opens the connection that all calls on this peer come from, as a client that stays does.
    ///
    /// # Errors
    /// If the module refuses it.
    pub(crate) fn connect(&mut self, at: usize) -> anyhow::Result<()> {
        let request = Request::Connect {
            database: "chat".to_owned(),
            connection: connection(at),
        };
        self.ask(at, request)?;
        Ok(())
    }

    fn call_later(&mut self, at: usize, reducer: &str, arguments: Vec<u8>) -> RequestId {
        let request = Request::Call {
            database: "chat".to_owned(),
            reducer: reducer.to_owned(),
            arguments: Arguments::Bsatn(arguments),
            connection: connection(at),
            one_shot: false,
            client: None,
        };
        self.ask_later(at, request)
    }

    fn called(&mut self, id: RequestId) -> anyhow::Result<Called> {
        match self
            .replies
            .remove(&id)
            .context("every call is answered")??
        {
            Reply::Called(called) => Ok(called),
            other => bail!("expected a call's outcome, got {other:?}"),
        }
    }

    /// Makes `in_flight` random transfers that wait for their answers at the same time, as clients
    /// do who find the peer's mailbox together; returns when all are answered.
    ///
    /// # Errors
    /// If one of them fails: amounts are so small that none should.
    pub(crate) fn transfer_burst(&mut self, at: usize, in_flight: u64) -> anyhow::Result<()> {
        let pairs: Vec<_> = (0..in_flight)
            .map(|_| {
                let from = self.dice.below(ACCOUNTS);
                let to = (from + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
                (from, to)
            })
            .collect();
        self.transfers(at, &pairs)
    }

    /// Moves one coin from the first to the second of each pair of accounts, all at the same time.
    ///
    /// # Errors
    /// If one of them fails.
    pub(crate) fn transfers(&mut self, at: usize, pairs: &[(u32, u32)]) -> anyhow::Result<()> {
        let calls: Vec<_> = pairs
            .iter()
            .map(|(from, to)| transfer(*from, *to))
            .collect();
        self.call_all(at, &calls)
    }

    /// Makes calls, by reducer and arguments, all at the same time.
    ///
    /// # Errors
    /// If one of them fails.
    pub(crate) fn call_all(&mut self, at: usize, calls: &[Call]) -> anyhow::Result<()> {
        let ids: Vec<_> = calls
            .iter()
            .map(|(reducer, arguments)| self.call_later(at, reducer, arguments.clone()))
            .collect();
        self.settle();
        ids.into_iter()
            .try_for_each(|id| self.called(id).map(|_| ()))
    }

    /// Writes `in_flight` short messages, each a row of its own, as [`Mesh::transfer_burst`] does.
    ///
    /// # Errors
    /// If one of them fails.
    pub(crate) fn message_burst(&mut self, at: usize, in_flight: u64) -> anyhow::Result<()> {
        let ids: Vec<_> = (0..in_flight)
            .map(|_| {
                let (reducer, arguments) = message();
                self.call_later(at, reducer, arguments)
            })
            .collect();
        self.settle();
        ids.into_iter()
            .try_for_each(|id| self.called(id).map(|_| ()))
    }

    /// The state of the chat database on a peer.
    ///
    /// # Errors
    /// The peer's error.
    pub(crate) fn status(&mut self, at: usize) -> anyhow::Result<DatabaseStatus> {
        let request = Request::Status {
            database: Some("chat".to_owned()),
        };
        let Reply::Status(all) = self.ask(at, request)? else {
            bail!("expected a status")
        };
        all.into_iter().next().context("the database is there")
    }

    /// Goes on until all peers hold the same entries.
    ///
    /// # Errors
    /// If that takes too long, or their rows differ then.
    pub(crate) fn converge(&mut self) -> anyhow::Result<()> {
        let deadline = Deadline::after_s(PATIENCE_S);
        loop {
            self.settle();
            let first = self.status(0)?;
            let mut equal = true;
            for at in 1..self.peers.len() {
                let other = self.status(at)?;
                equal &= other.heads_hash == first.heads_hash && other.entries == first.entries;
                // A cut of entries that somebody else has entries between moves these behind it: until
                // all have it, the orders differ.
                equal &= other.cut == first.cut;
                if equal {
                    anyhow::ensure!(
                        other.state_root == first.state_root,
                        "equal entries and cuts, but different rows"
                    );
                }
            }
            if equal {
                return Ok(());
            }
            deadline.check("all peers to hold the same")?;
        }
    }

    /// Goes on until everything is final everywhere.
    ///
    /// # Errors
    /// If that takes too long.
    pub(crate) fn wait_until_final(&mut self) -> anyhow::Result<()> {
        let deadline = Deadline::after_s(PATIENCE_S);
        loop {
            self.settle();
            let mut tail = 0;
            for at in 0..self.peers.len() {
                tail += self.status(at)?.tail;
            }
            if tail == 0 {
                return Ok(());
            }
            deadline.check("everything to be final")?;
            crate::clock::pause(std::time::Duration::from_millis(5));
        }
    }
}

/// The connection of the calls on a peer; zero would mean none.
fn connection(at: usize) -> ConnectionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(at as u64 + 1).to_le_bytes());
    ConnectionId(bytes)
}
