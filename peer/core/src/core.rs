//! The peer's core: every database it holds, every join it is at, every link that is up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::Disk;
use sync_protocol::{AddressRecord, DatabaseId, DeviceKey, Now, SecretKey, Tick};

use crate::conduct::Conduct;
use crate::effect::{self, Effect, NoteLevel};
use crate::error::{OpenError, Stop};
use crate::identity::Claims;
use crate::input::Input;
use crate::joining::Joining;
use crate::memory::MemoryBudget;
use crate::mesh_time::{MeshTime, RemoteClock};
use crate::modules::Modules;
use crate::partials::Partials;
use crate::quotas::Quotas;
use crate::replica::Replay;
use crate::replica::{Context, Health, Replica};
use crate::request::RequestId;
use crate::restart;
use crate::room::Room;
use crate::subscriptions::Subscriptions;

/// Milliseconds between two looks at clocks, cuts and conversations when nothing else is due.
const IDLE_WAKE_MS: u64 = 5_000;

/// What differs from start to start.
#[derive(Clone, Debug)]
pub struct CoreOptions {
    /// Fresh randomness: the epoch of the chains this process writes. Two starts with the same
    /// value would make an honest peer look like one that equivocates.
    pub epoch: u64,
    /// The highest engine number that is run: [`module_host::ENGINE`], or another in a test of what
    /// a version does that does not know one.
    pub engine_max: u32,
    /// What the databases may hold in memory.
    pub memory: MemoryBudget,
    /// What other members' entries may cost.
    pub quotas: Quotas,
    /// What runs again when entries come late.
    pub replay: Replay,
}

impl CoreOptions {
    /// What this version of the program does.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            engine_max: module_host::ENGINE,
            memory: MemoryBudget::default(),
            quotas: Quotas::default(),
            replay: Replay::default(),
        }
    }
}

/// A whole peer without its sockets and clock.
///
/// # Durability
/// Own calls are on the disk before anybody hears of them. Entries of others, and what they brought about, may
/// be told before: those who sent them have them, and bring them again after a crash.
pub struct Core {
    pub(crate) parts: Parts,
    pub(crate) replicas: BTreeMap<DatabaseId, Replica>,
    pub(crate) joins: BTreeMap<DatabaseId, Joining>,
    /// What clients follow, of databases where some do.
    pub(crate) subscriptions: BTreeMap<DatabaseId, Subscriptions>,
    /// Joins that wait for a member's answer.
    pub(crate) asked: BTreeMap<RequestId, DatabaseId>,
    /// Databases that could not be opened, with the reason.
    pub(crate) broken: BTreeMap<DatabaseId, String>,
}

/// What replicas borrow from the core, apart from each other.
pub(crate) struct Parts {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) partials: Partials,
    pub(crate) modules: Modules,
    pub(crate) key: SecretKey,
    pub(crate) device: DeviceKey,
    /// This device as a caller: with its did:key, which takes a while to spell.
    pub(crate) own_claims: Arc<Claims>,
    pub(crate) epoch: u64,
    pub(crate) engine_max: u32,
    pub(crate) replay: Replay,
    pub(crate) memory: MemoryBudget,
    pub(crate) quotas: Quotas,
    pub(crate) databases: usize,
    pub(crate) mesh: MeshTime,
    pub(crate) links: BTreeSet<DeviceKey>,
    /// Where this peer listens, signed; none before it does.
    pub(crate) own_record: Option<Arc<AddressRecord>>,
    /// Members that the driver keeps links to, with the addresses it was told.
    pub(crate) wanted: BTreeMap<DeviceKey, Vec<String>>,
    /// All members of all databases, as the driver was told.
    pub(crate) known_members: BTreeSet<DeviceKey>,
    /// Members that could not be reached, and until when they are left out.
    pub(crate) away: BTreeMap<DeviceKey, Tick>,
    /// Joins came or went, or somebody came back: ask again whom to keep links to.
    pub(crate) links_stale: bool,
    /// What the clocks of linked remotes said, whether or not they are members yet.
    pub(crate) clocks: BTreeMap<DeviceKey, RemoteClock>,
    pub(crate) conduct: Conduct,
    pub(crate) effects: Vec<Effect>,
    pub(crate) room: Room,
    wake_at: Option<Tick>,
}

impl Parts {
    pub(crate) fn context(&mut self, now: Now) -> Context<'_> {
        self.look_for_room(now);
        Context {
            is_short_of_room: self.room.is_short(),
            now,
            mesh: self.mesh.now(now.tick),
            own_wall: self.mesh.own(now.tick),
            key: &self.key,
            device: self.device,
            disk: &*self.disk,
            engine_max: self.engine_max,
            replay: self.replay,
            partials: &mut self.partials,
            memory: self.memory,
            quotas: self.quotas,
            caches: self.memory.share(self.databases),
            conduct: &mut self.conduct,
            modules: &self.modules,
            effects: &mut self.effects,
        }
    }

    /// Cuts a remote off.
    pub(crate) fn hang_up(&mut self, remote: DeviceKey, now: Now, why: String) {
        self.context(now).hang_up(remote, why);
    }

    pub(crate) fn note(&mut self, level: NoteLevel, text: impl Into<String>) {
        self.effects.push(Effect::Note {
            level,
            text: text.into(),
        });
    }
}

impl Core {
    /// Opens every database on the disk. One that cannot be opened is reported and left alone; the
    /// others serve. Entries of the tail run again before this returns.
    ///
    /// # Errors
    /// [`OpenError`] when the disk cannot be listed or wasm cannot be run on this machine.
    pub fn open(
        disk: Box<dyn Disk>,
        key: SecretKey,
        options: &CoreOptions,
        now: Now,
    ) -> Result<Self, OpenError> {
        Self::open_sharing(Modules::new()?, disk, key, options, now)
    }

    /// The same with prepared modules that other cores of this process use too.
    ///
    /// # Errors
    /// [`OpenError`] when the disk cannot be listed.
    pub fn open_sharing(
        modules: Modules,
        disk: Box<dyn Disk>,
        key: SecretKey,
        options: &CoreOptions,
        now: Now,
    ) -> Result<Self, OpenError> {
        let device = key.public();
        let mut parts = Parts {
            modules: modules.of_device(&key),
            key,
            device,
            own_claims: Arc::new(Claims::of_device(&device)),
            epoch: if planted!(ReuseEpoch) {
                1
            } else {
                options.epoch
            },
            engine_max: options.engine_max,
            replay: options.replay,
            memory: options.memory,
            quotas: options.quotas,
            databases: 0,
            mesh: MeshTime::starting(now),
            links: BTreeSet::new(),
            own_record: None,
            wanted: BTreeMap::new(),
            known_members: BTreeSet::new(),
            away: BTreeMap::new(),
            links_stale: true,
            clocks: BTreeMap::new(),
            conduct: Conduct::default(),
            effects: Vec::new(),
            room: Room::default(),
            wake_at: None,
            partials: Partials::open(&*disk, now.tick)?,
            disk,
        };
        let mut replicas = BTreeMap::new();
        let mut broken = BTreeMap::new();
        let databases = parts.disk.databases()?;
        parts.databases = databases.len();
        for id in databases {
            let epoch = parts.epoch;
            let opened = restart::open(id, epoch, &mut parts.context(now));
            match opened {
                Ok(Some(replica)) => {
                    replicas.insert(id, replica);
                }
                Ok(None) => parts.disk.remove(&id)?,
                Err(stop) => {
                    parts.note(
                        NoteLevel::Error,
                        format!("database {id} cannot be opened: {stop}"),
                    );
                    broken.insert(id, stop.to_string());
                }
            }
        }
        Ok(Self {
            parts,
            replicas,
            joins: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            asked: BTreeMap::new(),
            broken,
        })
    }

    /// This peer's device key.
    #[must_use]
    pub fn device(&self) -> DeviceKey {
        self.parts.device
    }

    /// Handles one input. The effects are in the order in which they have to be carried out.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        match input {
            Input::Request {
                id,
                caller,
                owner,
                request,
            } => {
                self.request(now, id, caller, owner, request);
                if self.is_quiet(now.tick) {
                    // Of a burst of calls nearly every one is just put into the batch.
                    self.wake_for_batches();
                    return std::mem::take(&mut self.parts.effects);
                }
            }
            Input::LinkUp { remote } => self.link_up(now, remote),
            Input::LinkDown { remote } => self.link_down(now, remote),
            Input::Message { remote, bytes } => self.message(now, remote, &bytes),
            Input::JoinAsked { id, remote, bytes } => self.join_asked(now, id, remote, &bytes),
            Input::JoinAnswered { join, result } => self.join_answered(now, join, result),
            Input::Listening { addresses } => self.sign_addresses(now, &addresses),
            Input::Noticed { remote, addresses } => self.noticed(remote, addresses),
            Input::Unreachable { remote } => self.unreachable(now, remote),
            Input::ClientGone { client } => self.client_gone(client),
            Input::Misbehaved { remote, why } => self.parts.hang_up(remote, now, why),
            Input::Idle => {
                // In one visit: the entry is written to the log while its calls run.
                for id in self.replica_ids() {
                    self.with(id, now, |replica, ctx| {
                        replica.flush(ctx)?;
                        replica.settle_down(ctx)
                    });
                }
                self.go_on_with_joins(now);
            }
            Input::Woken => {
                self.parts.wake_at = None;
                self.remove_stale_partials(now);
                self.correct_clock();
                self.settle_down(now);
            }
        }
        self.flush_overdue(now);
        self.tell_clients(now);
        self.spread_addresses(now);
        self.choose_links(now);
        self.schedule(now);
        self.parts.databases = self.replicas.len() + self.joins.len();
        std::mem::take(&mut self.parts.effects)
    }

    /// Waits until all that was taken in is on the disk, before the peer stops. What cannot be written is
    /// noted there, and comes again from those who sent it.
    pub fn write_all(&mut self) -> Vec<Effect> {
        for (id, replica) in &self.replicas {
            if replica.serves()
                && let Err(error) = replica.log.settle()
            {
                self.parts.effects.push(Effect::Note {
                    level: NoteLevel::Error,
                    text: format!("database {id}: {error}"),
                });
            }
        }
        std::mem::take(&mut self.parts.effects)
    }

    pub(crate) fn replica_ids(&self) -> Vec<DatabaseId> {
        self.replicas.keys().copied().collect()
    }

    /// Lets `act` work on one database. If it stops, that database is out of service with the
    /// reason, whoever waited is told, and the others go on.
    pub(crate) fn with<T>(
        &mut self,
        id: DatabaseId,
        now: Now,
        act: impl FnOnce(&mut Replica, &mut Context<'_>) -> Result<T, Stop>,
    ) -> Option<T> {
        if !self.replicas.get(&id)?.serves() {
            return None;
        }
        self.with_any(id, now, act)
    }

    /// The same for a database that may be out of service.
    ///
    /// If `act` sealed an own entry, all that was appended to the log is durable when this returns, or nobody
    /// is told of it. Entries of others are written meanwhile: those who sent them have them.
    pub(crate) fn with_any<T>(
        &mut self,
        id: DatabaseId,
        now: Now,
        act: impl FnOnce(&mut Replica, &mut Context<'_>) -> Result<T, Stop>,
    ) -> Option<T> {
        let replica = self.replicas.get_mut(&id)?;
        let has_stopped = matches!(replica.health, Health::Stopped(_));
        let told_before = self.parts.effects.len();
        let mut done = act(replica, &mut self.parts.context(now));
        if !has_stopped && let Err(error) = replica.write_on() {
            let stop = Stop::from(error);
            effect::withdraw(&mut self.parts.effects, told_before, &stop.to_string());
            done = Err(stop);
        }
        match done {
            Ok(value) => Some(value),
            Err(Stop::Reopen) => {
                self.reopen(now, id);
                None
            }
            Err(stop) => {
                let text = stop.to_string();
                replica.health = match stop {
                    Stop::Diverged { .. } => Health::Diverged(text.clone()),
                    _ => Health::Stopped(text.clone()),
                };
                replica.fail_waiting(&text, &mut self.parts.effects);
                self.parts
                    .note(NoteLevel::Error, format!("database {id} stopped: {text}"));
                None
            }
        }
    }

    /// The same for every database: see [`Replica::settle_down`].
    pub(crate) fn settle_down(&mut self, now: Now) {
        for id in self.replica_ids() {
            self.with(id, now, Replica::settle_down);
        }
        self.go_on_with_joins(now);
    }

    fn go_on_with_joins(&mut self, now: Now) {
        self.wake_joins(now);
        self.go_on_joining(now);
    }

    /// Whether the last request did no more than join a batch that can still wait: nobody has anything
    /// to hear, and nothing has to run.
    fn is_quiet(&self, now: Tick) -> bool {
        let mut waits = false;
        let mut stirred = !self.parts.effects.is_empty();
        for replica in self.replicas.values() {
            let due = replica.batch.due();
            waits |= due.is_some();
            stirred |= replica.dirty || replica.behind || due.is_some_and(|due| now >= due);
        }
        waits && !stirred
    }

    /// Makes sure that batches are flushed in time.
    fn wake_for_batches(&mut self) {
        let due = self
            .replicas
            .values()
            .filter_map(|replica| replica.batch.due());
        if let Some(due) = due.min() {
            self.wake_at(due);
        }
    }

    /// A queue that never empties must not keep a batch waiting.
    fn flush_overdue(&mut self, now: Now) {
        for id in self.replica_ids() {
            let overdue = self.replicas[&id]
                .batch
                .due()
                .is_some_and(|due| now.tick >= due);
            if overdue {
                self.with(id, now, |replica, ctx| {
                    replica.flush(ctx)?;
                    replica.sweep(ctx)?;
                    replica.converse(ctx)
                });
            }
        }
    }

    fn remove_stale_partials(&mut self, now: Now) {
        let Parts { partials, disk, .. } = &mut self.parts;
        if let Err(error) = partials.remove_stale(now.tick, &**disk) {
            self.parts.note(
                NoteLevel::Warn,
                format!("a half-fetched blob could not be removed: {error}"),
            );
        }
    }

    /// Moves the own clock to where the members' clocks are that are linked.
    pub(crate) fn correct_clock(&mut self) {
        let is_member = |remote: &DeviceKey| {
            let mut replicas = self.replicas.values();
            replicas.any(|replica| replica.members.contains_key(remote))
        };
        let members = self
            .parts
            .clocks
            .iter()
            .filter(|(remote, _)| is_member(remote));
        let offsets = members.filter_map(|(_, clock)| clock.offset_us());
        self.parts.mesh.correct(offsets);
    }

    fn schedule(&mut self, now: Now) {
        let mut wake = now.tick.plus_ms(IDLE_WAKE_MS);
        for replica in self.replicas.values().filter(|replica| replica.serves()) {
            let ctx = self.parts.context(now);
            if let Some(due) = replica.wake(&ctx) {
                wake = wake.min(due);
            }
        }
        let views = self.subscriptions.values();
        for due in views.filter_map(Subscriptions::views_due) {
            wake = wake.min(due.max(now.tick));
        }
        for joining in self.joins.values() {
            if let Some(due) = joining.wake() {
                wake = wake.min(due);
            }
        }
        self.wake_at(wake);
    }

    /// An earlier wake that is still to come stays; a needless one does no harm.
    fn wake_at(&mut self, wake: Tick) {
        if self.parts.wake_at.is_none_or(|set| wake < set) {
            self.parts.wake_at = Some(wake);
            self.parts.effects.push(Effect::WakeAt(wake));
        }
    }
}
