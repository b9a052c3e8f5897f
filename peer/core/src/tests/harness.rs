//! A few cores in one thread. Messages between them are carried at once, or lost when the link is
//! cut; time moves only when a test says so.

mod asking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

use module_host::Backend;
use store::{Aside, MemoryDisk};
use sync_protocol::{DeviceKey, Message, Now, SecretKey, Tick};

use crate::{
    Core, CoreOptions, Effect, Input, Modules, Quotas, Replay, Reply, RequestError, RequestId,
};

/// The committed chat module.
pub(super) const CHAT: &[u8] = include_bytes!("../../../assets/chat.wasm");

/// SplitMix64: an old seed means the same for ever.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    pub(super) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}

/// All tests share one preparation of the module.
/// A module that only tests use, compiled by `cargo xtask wasm`.
pub(super) fn compiled(name: &str) -> Vec<u8> {
    let program = std::env::current_exe().expect("this program has a path");
    let folder = program.ancestors().map(|folder| folder.join("wasm"));
    let file = folder.map(|folder| folder.join(format!("{name}.wasm")));
    let file = file.into_iter().find(|file| file.exists());
    let file = file.expect("`cargo xtask wasm` compiles it");
    std::fs::read(file).expect("it can be read")
}

pub(crate) fn modules() -> Modules {
    modules_on(Backend::default())
}

/// The same, of one of the back ends.
fn modules_on(backend: Backend) -> Modules {
    static COMPILED: OnceLock<Modules> = OnceLock::new();
    static INTERPRETED: OnceLock<Modules> = OnceLock::new();
    let modules = match backend {
        Backend::Cranelift => &COMPILED,
        Backend::Pulley => &INTERPRETED,
    };
    modules
        .get_or_init(|| Modules::with(backend).expect("wasm runs here"))
        .clone()
}

struct Peer {
    backend: Backend,
    core: Option<Core>,
    disk: MemoryDisk,
    /// Where the long work of its cuts is done.
    aside: Aside,
    key: SecretKey,
}

/// Some peers, all able to reach each other unless cut.
pub(super) struct Mesh {
    peers: Vec<Peer>,
    by_device: BTreeMap<DeviceKey, usize>,
    cut: BTreeSet<(usize, usize)>,
    queue: VecDeque<(usize, Input)>,
    replies: BTreeMap<RequestId, Result<Reply, RequestError>>,
    next: u64,
    pub(super) now: Now,
    dice: Dice,
    hang_ups_expected: bool,
    /// What `publish` told once.
    pub(super) recovery_key: String,
    /// Who hung up on whom, and why.
    pub(super) hang_ups: Vec<(usize, DeviceKey, String)>,
    /// What becomes of a frame on its way, by who sends it and to whom; `None`: it is lost.
    pub(super) tamper: Option<Tamper>,
    /// For how long each hang-up refuses, in milliseconds.
    pub(super) refusals: Vec<(usize, DeviceKey, u64)>,
    /// Whom each peer was last told to keep a link to, and where.
    pub(super) dials: BTreeMap<(usize, DeviceKey), Vec<String>>,
    /// Bytes of entries that each peer has pushed whole to each other.
    pub(super) pushed: BTreeMap<(usize, usize), usize>,
    /// Peers that cannot be asked for admission.
    pub(super) deaf: BTreeSet<usize>,
    /// What clients that follow rows were told.
    pub(super) told: Vec<Effect>,
    /// What peers do for others from their next start on, one after the other.
    pub(super) quotas: Vec<Quotas>,
    /// What peers said for people to read, by peer.
    pub(super) said: Vec<(usize, String)>,
}

/// Sender, receiver, frame.
type Tamper = Box<dyn FnMut(usize, usize, Vec<u8>) -> Option<Vec<u8>>>;

/// How many inputs may follow from one: more means that two cores talk in circles.
const STEPS_MAX: usize = 200_000;

impl Mesh {
    pub(super) fn new(peers: usize, seed: u64) -> Self {
        Self::of(&vec![Backend::default(); peers], seed)
    }

    /// A peer for each of the back ends.
    pub(super) fn of(backends: &[Backend], seed: u64) -> Self {
        let mut mesh = Self {
            peers: Vec::new(),
            by_device: BTreeMap::new(),
            cut: BTreeSet::new(),
            queue: VecDeque::new(),
            replies: BTreeMap::new(),
            next: 1,
            now: Now {
                tick: Tick(1_000_000),
                wall: 1_760_000_000_000_000,
            },
            dice: Dice(seed),
            hang_ups_expected: false,
            recovery_key: String::new(),
            hang_ups: Vec::new(),
            tamper: None,
            refusals: Vec::new(),
            dials: BTreeMap::new(),
            pushed: BTreeMap::new(),
            deaf: BTreeSet::new(),
            told: Vec::new(),
            quotas: vec![Quotas::default()],
            said: Vec::new(),
        };
        for (at, backend) in backends.iter().enumerate() {
            let key = SecretKey::from_bytes(&mesh.dice.bytes());
            mesh.by_device.insert(key.public(), at);
            mesh.peers.push(Peer {
                backend: *backend,
                core: None,
                disk: MemoryDisk::default(),
                // Each test holds one kind against the other.
                aside: match at % 2 {
                    0 => Aside::AtLook(2),
                    _ => Aside::Never,
                },
                key,
            });
            mesh.start(at);
        }
        mesh.settle();
        mesh
    }

    /// Starts (or restarts) a peer on its disk, and brings its links up.
    pub(super) fn start(&mut self, at: usize) {
        self.start_knowing(at, module_host::ENGINE);
    }

    /// The same as a version of the program that knows engines up to this one.
    pub(super) fn start_knowing(&mut self, at: usize, engine_max: u32) {
        let epoch = self.dice.draw();
        let peer = &mut self.peers[at];
        peer.disk.set_aside(peer.aside);
        let core = Core::open_sharing(
            modules_on(peer.backend),
            Box::new(peer.disk.clone()),
            peer.key.clone(),
            &CoreOptions {
                engine_max,
                quotas: self.quotas[at % self.quotas.len()],
                // Each test holds one kind against the other.
                replay: match at % 2 {
                    0 => Replay::Selective,
                    _ => Replay::Suffix,
                },
                ..CoreOptions::new(epoch)
            },
            self.now,
        );
        peer.core = Some(core.expect("the disk is sound"));
        for other in 0..self.peers.len() {
            if other != at && self.is_up(at, other) {
                self.link(at, other);
            }
        }
    }

    /// The power fails: what was not durable is gone.
    pub(super) fn crash(&mut self, at: usize) {
        let device = self.device(at);
        self.peers[at].core = None;
        self.peers[at].disk.crash();
        for other in 0..self.peers.len() {
            if other != at {
                self.queue
                    .push_back((other, Input::LinkDown { remote: device }));
            }
        }
        self.settle();
    }

    /// What a backup of a peer's data directory would hold.
    pub(super) fn backup(&self, at: usize) -> MemoryDisk {
        self.peers[at].disk.backup()
    }

    /// Stops a peer and puts a backup in place of its data directory.
    pub(super) fn restore(&mut self, at: usize, backup: &MemoryDisk) {
        self.crash(at);
        self.peers[at].disk = backup.backup();
    }

    /// From its next start on a peer does the long work of its cuts so.
    pub(super) fn set_aside(&mut self, at: usize, aside: Aside) {
        self.peers[at].aside = aside;
    }

    /// The process hangs: its links stay up, and nothing comes from it.
    pub(super) fn hang(&mut self, at: usize) {
        self.peers[at].core = None;
    }

    fn is_up(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b)))
            && self.peers[a].core.is_some()
            && self.peers[b].core.is_some()
    }

    fn link(&mut self, a: usize, b: usize) {
        for (at, other) in [(a, b), (b, a)] {
            let remote = self.device(other);
            self.queue.push_back((at, Input::LinkUp { remote }));
        }
    }

    pub(super) fn cut_link(&mut self, a: usize, b: usize) {
        if self.cut.insert((a.min(b), a.max(b))) {
            for (at, other) in [(a, b), (b, a)] {
                let remote = self.device(other);
                self.queue.push_back((at, Input::LinkDown { remote }));
            }
        }
    }

    pub(super) fn heal_link(&mut self, a: usize, b: usize) {
        if self.cut.remove(&(a.min(b), a.max(b))) && self.is_up(a, b) {
            self.link(a, b);
        }
    }

    pub(super) fn device(&self, at: usize) -> DeviceKey {
        self.peers[at].key.public()
    }

    pub(super) fn secret(&self, at: usize) -> SecretKey {
        self.peers[at].key.clone()
    }

    /// Hands one peer a message as if another had sent it.
    pub(super) fn inject(&mut self, to: usize, remote: DeviceKey, bytes: Vec<u8>) {
        self.queue.push_back((to, Input::Message { remote, bytes }));
        self.settle();
    }

    /// Blobs of which a peer has the beginning on its disk.
    pub(super) fn partials(&self, at: usize) -> usize {
        use store::Disk as _;
        let partials = self.peers[at].disk.partials();
        partials.expect("the disk is sound").len()
    }

    pub(super) fn core(&self, at: usize) -> &Core {
        self.peers[at].core.as_ref().expect("the peer runs")
    }

    /// Tells a peer something, and carries out all that follows.
    pub(super) fn input(&mut self, at: usize, input: Input) {
        self.queue.push_back((at, input));
        self.settle();
    }

    /// A peer begins to listen at an address of its own.
    pub(super) fn listen(&mut self, at: usize, address: &str) {
        let addresses = vec![address.to_owned()];
        self.input(at, Input::Listening { addresses });
    }

    /// Lets one peer hear what the others have to say, and nothing more: before it comes to rest the power
    /// fails. Gives how many entries of the tail it had taken in.
    pub(super) fn hear_and_crash(&mut self, at: usize) -> usize {
        for _ in 0..STEPS_MAX {
            if let Some((at, input)) = self.queue.pop_front() {
                self.step(at, input);
                continue;
            }
            for other in (0..self.peers.len()).filter(|other| *other != at) {
                self.step(other, Input::Idle);
            }
            if self.queue.is_empty() {
                break;
            }
        }
        let replicas = self.core(at).replicas.values();
        let taken = replicas.map(|replica| replica.accepted_at.len()).sum();
        self.crash(at);
        taken
    }

    /// Carries everything out until nobody has anything more to say.
    pub(super) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            if let Some((at, input)) = self.queue.pop_front() {
                self.step(at, input);
                continue;
            }
            for at in 0..self.peers.len() {
                self.step(at, Input::Idle);
            }
            if self.queue.is_empty() {
                return;
            }
        }
        panic!("the cores talk in circles");
    }

    /// Lets time pass, waking everybody every so often.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        let step_ms = 50;
        for _ in 0..ms / step_ms {
            self.now.tick = self.now.tick.plus_ms(step_ms);
            self.now.wall += step_ms * 1_000;
            for at in 0..self.peers.len() {
                self.queue.push_back((at, Input::Woken));
            }
            self.settle();
        }
    }

    /// Lets time pass without anybody noticing yet.
    pub(super) fn advance_ms(&mut self, ms: u64) {
        self.now.tick = self.now.tick.plus_ms(ms);
        self.now.wall += ms * 1_000;
    }

    /// Lets time pass at once.
    pub(super) fn jump_ms(&mut self, ms: u64) {
        self.advance_ms(ms);
        self.pass_ms(50);
    }

    /// From now on a peer may close a link: somebody misbehaves on purpose.
    pub(super) fn expect_hang_ups(&mut self) {
        self.hang_ups_expected = true;
    }

    fn step(&mut self, at: usize, input: Input) {
        self.now.tick = Tick(self.now.tick.0 + 1);
        self.now.wall += 1;
        let now = self.now;
        let Some(core) = self.peers[at].core.as_mut() else {
            return;
        };
        let from = core.device();
        for effect in core.step(now, input) {
            match effect {
                Effect::Reply { id, reply } => {
                    self.replies.insert(id, reply);
                }
                Effect::Send { remote, bytes } => {
                    let to = self.by_device[&remote];
                    if let Ok((_, Message::Push { entries, .. })) = Message::decode(&bytes) {
                        let len: usize = entries.iter().map(Vec::len).sum();
                        *self.pushed.entry((at, to)).or_default() += len;
                    }
                    let bytes = match &mut self.tamper {
                        Some(tamper) => tamper(at, to, bytes),
                        None => Some(bytes),
                    };
                    if let Some(bytes) = bytes.filter(|_| self.is_up(at, to)) {
                        self.queue.push_back((
                            to,
                            Input::Message {
                                remote: from,
                                bytes,
                            },
                        ));
                    }
                }
                Effect::JoinAsk {
                    join,
                    remote,
                    bytes,
                    ..
                } => {
                    // The id of the ask also finds the way back: ids are unique in the mesh.
                    let to = self.by_device[&remote];
                    self.asks(at, to, join, bytes, from);
                }
                Effect::JoinAnswer { id, bytes } => {
                    let back = usize::try_from(id.0 >> 32).expect("few peers");
                    let join = RequestId(id.0 & 0xffff_ffff);
                    self.queue.push_back((
                        back,
                        Input::JoinAnswered {
                            join,
                            result: Ok(bytes),
                        },
                    ));
                }
                Effect::HangUp {
                    remote,
                    why,
                    refuse_ms,
                } => {
                    assert!(self.hang_ups_expected, "{from} hung up on {remote}: {why}");
                    self.hang_ups.push((at, remote, why));
                    self.refusals.push((at, remote, refuse_ms));
                }
                Effect::CloseLink { remote, why } => {
                    assert!(self.hang_ups_expected, "{from} gave up on {remote}: {why}");
                    self.hang_ups.push((at, remote, why));
                }
                Effect::Dial { remote, addresses } => {
                    self.dials.insert((at, remote), addresses);
                }
                Effect::Release { remote } => {
                    self.dials.remove(&(at, remote));
                }
                Effect::Note { text, .. } => self.said.push((at, text)),
                Effect::Members { .. }
                | Effect::WakeAt(_)
                | Effect::Console { .. }
                | Effect::Deleted { .. } => {}
                told
                @ (Effect::Told { .. } | Effect::Update { .. } | Effect::DropClient { .. }) => {
                    self.told.push(told);
                }
            }
        }
    }

    fn asks(&mut self, at: usize, to: usize, join: RequestId, bytes: Vec<u8>, from: DeviceKey) {
        let input = if self.is_up(at, to) && !self.deaf.contains(&to) {
            let id = RequestId((at as u64) << 32 | join.0);
            (
                to,
                Input::JoinAsked {
                    id,
                    remote: from,
                    bytes,
                },
            )
        } else {
            let result = Err("cannot be reached".to_owned());
            (at, Input::JoinAnswered { join, result })
        };
        self.queue.push_back(input);
    }
}
