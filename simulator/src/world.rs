//! The world: peers, network and time. Whatever happens is an event with a time; events of one time
//! happen in the order in which they were made. So a run is a function of its seed.

mod accidents;
mod asking;
pub(crate) mod deluge;
mod false_root;
pub(crate) mod follower;
mod links;
mod once;
pub(crate) mod pages;
mod restore;
mod rogues;

pub(crate) use accidents::CLOCK_JUMP_MS_MAX;
pub(crate) use false_root::WITNESS;
pub(crate) use restore::AWAY_MS;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use peer_core::{
    Claims, Effect, Input, Modules, NoteLevel, Reply, Request, RequestError, RequestId,
};
use store::MemoryDisk;
use sync_protocol::{BlobHash, DeviceKey};

use crate::checker::bounds;
use crate::checker::cuts::CutWatch;
use crate::checker::ledger::Ledger;
use crate::faults::{Faults, Topology};
use crate::market::Market;
use crate::network::Network;
use crate::node::Node;
use crate::plan::Plan;
use crate::seed::Dice;
use crate::trace::Trace;
use crate::workload::{Client, Deed, Workload};
use rogues::Rogues;

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A message arrives, if its link still lives.
    Message {
        from: usize,
        to: usize,
        life: u64,
        bytes: Vec<u8>,
    },
    /// A core wanted to be woken now.
    Wake { at: usize, start: u32 },
    /// A core's queue has run empty.
    Idle { at: usize, start: u32 },
    /// Somebody dials.
    Dial { a: usize, b: usize },
    /// A join request arrives.
    JoinAsk {
        from: usize,
        to: usize,
        join: RequestId,
        bytes: Vec<u8>,
    },
    /// The answer to one arrives; `start` is the start of the asker that asked.
    JoinAnswer {
        to: usize,
        start: u32,
        join: RequestId,
        result: Result<Vec<u8>, String>,
    },
    /// A peer gets its power back.
    PowerOn { at: usize },
    /// An accident is over.
    Mend(accidents::Accident),
    /// The next accident of a kind.
    Accident(accidents::Kind),
    /// Somebody calls a reducer.
    Work,
    /// What a caller was told is read again.
    Reread { at: usize, start: u32, text: String },
    /// Somebody sends what no honest peer would.
    Mischief,
    /// The stranger dials.
    StrangerDials { at: usize },
    /// Something that happens once in a run.
    Once(Once),
}

/// What happens once in a run, if its faults say so.
#[derive(Clone, Copy, Debug)]
enum Once {
    /// A peer goes away for ever.
    Leave,
    /// Another module is published.
    Upgrade,
    /// Finality is handed over.
    MoveFinaliser,
    /// The finaliser is cut off.
    LoseFinaliser,
    /// Somebody uses the recovery key.
    Recover,
    /// Somebody copies the finaliser's directory.
    BackUp,
    /// The finaliser starts on that copy.
    Restore,
    /// It reaches others.
    Reach,
    /// The owner puts the last peer out.
    PutOut,
    /// The owner and an admin quarrel, so many times more.
    Duel(u8),
}

/// Who waits for a reply of which process.
#[derive(Debug)]
struct Waiting {
    at: usize,
    start: u32,
    who: Who,
}

#[derive(Debug)]
enum Who {
    /// The caller of a reducer.
    Caller(Deed),
    /// Somebody who connects, to stay.
    Comer(Client),
    /// Somebody who leaves.
    Leaver,
    /// Who writes rows by a statement.
    Writer,
    /// Who gave the database another module, or hands finality over; the answer comes with a cut,
    /// or too late for one.
    Owner(&'static str),
    /// Who changes roles: somebody else may have done so before.
    Quarreller,
    /// The world itself: the answer comes at once, or never.
    World,
}

/// Everything that a run consists of.
pub(crate) struct World {
    pub(crate) now_us: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) cuts: CutWatch,
    pub(crate) counts: Counts,
    /// A promise that was broken.
    pub(crate) broken: Option<String>,
    pub(crate) database: String,
    /// Tables by number.
    pub(crate) tables: BTreeMap<u32, String>,
    /// The key, in hexadecimal, that makes another finaliser.
    recovery_key: String,
    modules: Modules,
    market: Market,
    network: Network,
    workload: Workload,
    accidents: Dice,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    requests: u64,
    waiting: BTreeMap<RequestId, Waiting>,
    /// Replies that came at once, for whoever asked.
    replies: BTreeMap<RequestId, Result<Reply, RequestError>>,
    by_device: BTreeMap<DeviceKey, usize>,
    rogues: Rogues,
    /// Join requests under way: whose they are.
    joins: BTreeMap<RequestId, (usize, u32, RequestId)>,
    /// Peers that nobody hears until the world heals.
    exiles: BTreeSet<usize>,
    /// What the finaliser's directory was like when somebody copied it.
    backup: Option<MemoryDisk>,
    /// It is down until that copy is in place.
    restoring: bool,
    /// Some clock was set while its peer ran.
    clocks_jumped: bool,
    working: bool,
    /// Calls that people make yet.
    calls_left: u64,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Losses of power.
    pub crashes: u64,
    /// Losses of links, partitions and one-way links.
    pub disturbances: u64,
    /// Times at which the network parted.
    pub partitions: u64,
    /// Disks that were full or gave back wrong bits.
    pub disk_faults: u64,
    /// Messages that no honest peer would have sent, and such that were kept back.
    pub lies: u64,
    /// Links closed by a core.
    pub hang_ups: u64,
}

impl World {
    pub(crate) fn new(plan: &Plan, modules: &Modules, market: &Market, disks_lie: bool) -> Self {
        let (seed, peers, drawn) = (plan.seed, plan.peers(), plan.faults());
        let topology = Topology::draw(&mut seed.child("topology"), peers);
        let faults = drawn.healed();
        let mut nodes: Vec<_> = (0..peers)
            .map(|at| Node::new(at, seed, &drawn, disks_lie))
            .collect();
        // The first peer's clock is right: nobody would join a database that begins tomorrow.
        let apart = 1 + seed.child("apart").index(peers - 1);
        nodes[apart].clock.set_wrong(drawn.apart_ms);
        let by_device = nodes.iter().enumerate();
        let by_device = by_device.map(|(at, node)| (node.device, at)).collect();
        let mut world = Self {
            now_us: 1_000_000,
            nodes,
            faults,
            trace: Trace::new(plan.keep_trace),
            ledger: Ledger::default(),
            cuts: CutWatch::default(),
            counts: Counts::default(),
            broken: None,
            database: String::new(),
            tables: BTreeMap::new(),
            recovery_key: String::new(),
            modules: modules.clone(),
            market: market.clone(),
            network: Network::new(seed.child("network"), topology, peers),
            workload: Workload::new(seed.child("workload")),
            accidents: seed.child("accidents"),
            events: BTreeMap::new(),
            events_made: 0,
            requests: 0,
            waiting: BTreeMap::new(),
            replies: BTreeMap::new(),
            by_device,
            rogues: Rogues::new(seed),
            joins: BTreeMap::new(),
            exiles: BTreeSet::new(),
            backup: None,
            restoring: false,
            clocks_jumped: false,
            working: false,
            calls_left: plan.calls.unwrap_or(u64::MAX),
        };
        world.say(format_args!("{peers} peers, {topology:?}: {drawn}"));
        for at in 0..peers {
            world.power_on(at);
        }
        world
    }

    pub(crate) fn say(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.now_us, what);
    }

    /// Notes a broken promise. The first one counts.
    pub(crate) fn breaks(&mut self, what: String) {
        self.say(format_args!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us + us, event);
    }

    fn at(&mut self, us: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((us, self.events_made), event);
    }

    /// How many links are up.
    pub(crate) fn links(&self) -> usize {
        self.network.links()
    }

    /// How many links of a peer are up.
    pub(crate) fn links_of(&self, at: usize) -> usize {
        self.network.links_of(at)
    }

    /// Whether something may carry a time so far ahead that everybody holds it back.
    pub(crate) fn clocks_are_far_off(&self) -> bool {
        self.faults.apart_ms > 0 || self.clocks_jumped || self.faults.lies.stamps_ahead
    }

    /// Lets a peer do what it has put off until its queue is empty.
    pub(crate) fn come_to_rest(&mut self, at: usize) {
        if self.nodes[at].is_on() {
            self.input(at, Input::Idle);
        }
    }

    /// Lets everything happen until `end_us`, or until a promise is broken.
    pub(crate) fn run_until(&mut self, end_us: u64) {
        while self.broken.is_none() {
            match self.events.first_key_value() {
                Some(((due, _), _)) if *due <= end_us => {}
                _ => break,
            }
            let Some(((due, _), event)) = self.events.pop_first() else {
                break;
            };
            self.now_us = due;
            self.happen(event);
        }
        self.now_us = self.now_us.max(end_us);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Message {
                from,
                to,
                life,
                bytes,
            } => {
                if self.network.is_alive(from, to, life) {
                    let remote = self.nodes[from].device;
                    self.input(to, Input::Message { remote, bytes });
                }
            }
            Event::Wake { at, start } => {
                let node = &mut self.nodes[at];
                if node.starts == start && node.wake_us == Some(self.now_us) {
                    node.wake_us = None;
                    self.input(at, Input::Woken);
                }
            }
            Event::Idle { at, start } => {
                if self.nodes[at].starts == start && self.nodes[at].idle_due {
                    self.nodes[at].idle_due = false;
                    self.input(at, Input::Idle);
                }
            }
            Event::Dial { a, b } => self.dial(a, b),
            Event::JoinAsk {
                from,
                to,
                join,
                bytes,
            } => self.join_ask(from, to, join, bytes),
            Event::JoinAnswer {
                to,
                start,
                join,
                result,
            } => {
                if self.nodes[to].starts == start {
                    self.input(to, Input::JoinAnswered { join, result });
                }
            }
            Event::PowerOn { at } => self.power_on(at),
            Event::Mend(accident) => self.mend(&accident),
            Event::Accident(kind) => self.accident(kind),
            Event::Work => self.work(),
            Event::Reread { at, start, text } => self.reread(at, start, &text),
            Event::Mischief => self.mischief(),
            Event::StrangerDials { at } => self.stranger_dials(at),
            Event::Once(Once::Leave) => self.leave(),
            Event::Once(Once::Upgrade) => self.upgrade(),
            Event::Once(Once::MoveFinaliser) => self.move_finaliser(),
            Event::Once(Once::LoseFinaliser) => self.lose_finaliser(),
            Event::Once(Once::Recover) => self.recover(),
            Event::Once(Once::BackUp) => self.back_up(),
            Event::Once(Once::Restore) => self.restore(),
            Event::Once(Once::Reach) => self.reach(),
            Event::Once(Once::PutOut) => self.put_out(),
            Event::Once(Once::Duel(rounds)) => self.duel(rounds),
        }
    }

    /// Hands a core an input and carries out its effects.
    fn input(&mut self, at: usize, input: Input) {
        let now = self.nodes[at].clock.now(self.now_us);
        let is_idle = matches!(input, Input::Idle);
        if !is_idle {
            let what = describe(&input);
            self.say(format_args!("{at} <- {what}"));
        }
        let Some(core) = self.nodes[at].core.as_mut() else {
            return;
        };
        let effects = core.step(now, input);
        if self.nodes[at].has_failed() {
            // Whatever it wanted to say, nobody heard it.
            self.power_off(at);
            return;
        }
        if let Err(why) = bounds::effects(&effects, self.network.links_of(at)) {
            self.breaks(format!("peer {at}: {why}"));
        }
        for effect in effects {
            self.carry_out(at, effect);
        }
        if !is_idle && !self.nodes[at].idle_due && self.nodes[at].is_on() {
            self.nodes[at].idle_due = true;
            let start = self.nodes[at].starts;
            let wait = self.accidents.below(2_000) + self.nodes[at].slow_us / 4;
            self.after(wait, Event::Idle { at, start });
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Reply { id, reply } => self.reply(id, reply),
            Effect::Send { remote, bytes } => self.send(at, &remote, bytes),
            Effect::JoinAsk {
                join,
                remote,
                bytes,
                ..
            } => {
                let Some(&to) = self.by_device.get(&remote) else {
                    return;
                };
                let wait = self.network.aside_us(&self.faults);
                let from = at;
                self.after(
                    wait,
                    Event::JoinAsk {
                        from,
                        to,
                        join,
                        bytes,
                    },
                );
            }
            Effect::JoinAnswer { id, bytes } => {
                if let Some((to, start, join)) = self.joins.remove(&id) {
                    let wait = self.network.aside_us(&self.faults);
                    let result = Ok(bytes);
                    self.after(
                        wait,
                        Event::JoinAnswer {
                            to,
                            start,
                            join,
                            result,
                        },
                    );
                }
            }
            // Who has a link to whom is the world's decision.
            Effect::Dial { .. } | Effect::Release { .. } | Effect::Members { .. } => {}
            Effect::CloseLink { remote, why } => {
                self.say(format_args!("{at} closes {}: {why}", remote.short()));
                if let Some(&other) = self.by_device.get(&remote) {
                    self.unlink(at, other);
                }
            }
            Effect::HangUp { remote, why, .. } => {
                self.counts.hang_ups += 1;
                self.say(format_args!("{at} hangs up on {}: {why}", remote.short()));
                let Some(&other) = self.by_device.get(&remote) else {
                    return self.stranger_leaves(at);
                };
                let honest = !self.is_liar(at) && !self.is_liar(other);
                if honest {
                    self.breaks(format!(
                        "peer {at} blames peer {other}, which is honest: {why}"
                    ));
                }
                self.unlink(at, other);
            }
            Effect::WakeAt(tick) => {
                let node = &mut self.nodes[at];
                let wake_us = node.clock.world_us(tick).max(self.now_us + 1);
                node.wake_us = Some(wake_us);
                let start = node.starts;
                self.at(wake_us, Event::Wake { at, start });
            }
            Effect::Console { line, .. } => {
                self.say(format_args!("{at} console {}", short(line.as_bytes())));
            }
            Effect::Told {
                client,
                id,
                result,
                update,
            } => {
                if let Some(update) = update {
                    self.tell_follower(at, client, &update);
                }
                self.reply(id, result.map(Reply::Called));
            }
            Effect::Update { client, update } => self.tell_follower(at, client, &update),
            Effect::DropClient { client, why } => {
                self.say(format_args!("{at} drops client {}: {why}", client.0));
                self.nodes[at].follower = None;
            }
            Effect::Deleted { database } => self.say(format_args!("{at} deleted {database}")),
            Effect::Note { level, text } => {
                self.say(format_args!("{at} {level:?}: {text}"));
                if level == NoteLevel::Error && !self.nodes[at].in_trouble && !self.may_fork() {
                    self.breaks(format!("peer {at} reports: {text}"));
                }
            }
        }
    }

    /// A peer starts, and dials whom it can have a link to.
    fn power_on(&mut self, at: usize) {
        if self.nodes[at].is_on() || self.nodes[at].is_gone || self.awaits_backup(at) {
            return;
        }
        self.say(format_args!("{at} starts"));
        if let Err(error) = self.nodes[at].start(&self.modules, self.now_us) {
            if self.nodes[at].in_trouble {
                self.say(format_args!("{at} cannot start: {error}"));
                return self.after(2_000_000, Event::PowerOn { at });
            }
            return self.breaks(format!("peer {at} cannot start: {error}"));
        }
        self.input(at, Input::Woken);
        for other in 0..self.nodes.len() {
            if self.network.allows(at, other) {
                let wait = self.accidents.below(200_000);
                self.after(wait, Event::Dial { a: at, b: other });
            }
        }
    }

    fn power_off(&mut self, at: usize) {
        self.say(format_args!("{at} loses power"));
        self.counts.crashes += 1;
        self.nodes[at].stop(self.faults.torn_writes);
        for other in 0..self.nodes.len() {
            if self.network.drop_link(at, other) {
                let remote = self.nodes[at].device;
                self.input(other, Input::LinkDown { remote });
            }
        }
        // Nobody waits for a process that is gone.
        self.waiting.retain(|_, waiting| waiting.at != at);
        let wait = self.accidents.between(10_000, 5_000_000);
        self.after(wait, Event::PowerOn { at });
    }

    /// Hands a core a request of somebody who waits for the answer.
    fn request(
        &mut self,
        at: usize,
        caller: Claims,
        owner: bool,
        request: Request,
        who: Who,
    ) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        let start = self.nodes[at].starts;
        self.waiting.insert(id, Waiting { at, start, who });
        self.input(
            at,
            Input::Request {
                id,
                caller: caller.into(),
                owner,
                request,
            },
        );
        id
    }
}

/// The beginning of a hash: enough to tell two runs apart.
fn short(bytes: &[u8]) -> String {
    BlobHash::of(bytes).short()
}

fn describe(input: &Input) -> String {
    match input {
        Input::Request { id, request, .. } => {
            let kind = format!("{request:?}");
            let end = kind.find([' ', '{']).unwrap_or(kind.len());
            format!("request {} {}", id.0, &kind[..end])
        }
        Input::LinkUp { remote } => format!("link up {}", remote.short()),
        Input::LinkDown { remote } => format!("link down {}", remote.short()),
        Input::Message { remote, bytes } => {
            format!("message of {} {}", remote.short(), short(bytes))
        }
        Input::JoinAsked { remote, .. } => format!("asked to admit {}", remote.short()),
        Input::JoinAnswered { result, .. } => format!("join answered {}", result.is_ok()),
        Input::Listening { .. } => "listening".to_owned(),
        Input::ClientGone { client } => format!("client {} is gone", client.0),
        Input::Idle => "idle".to_owned(),
        Input::Woken => "woken".to_owned(),
        Input::Noticed { remote, .. } => format!("notices {}", remote.short()),
        Input::Unreachable { remote } => format!("cannot reach {}", remote.short()),
        Input::Misbehaved { remote, why } => format!("{} {why}", remote.short()),
    }
}
