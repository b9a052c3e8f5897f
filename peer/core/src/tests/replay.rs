//! Late entries: whatever the order of delivery, and whenever sweeps happen in between, the rows
//! equal those of a serial run of all entries in the one order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use module_host::Module;
use store::limits::LOG_CACHE_BYTES;
use store::{Disk, Log, MemoryDisk, State};
use sync_protocol::{
    Cut, DatabaseId, Entry, EntryId, Genesis, HeadsHash, Hlc, SecretKey, StateRoot,
};

use super::following::{CHAT_QUERIES, Followed, Followers};
use super::harness::{CHAT, Dice, Mesh, compiled, modules};
use super::notes;
use crate::birth::{self, Unborn};
use crate::effect::Effect;
use crate::finality::{TakenCut, right_rows};
use crate::memory::MemoryBudget;
use crate::outcome::CallOutcome;
use crate::replica::{Context, OwnChain, Replay, Replica};
use crate::system_tables::{self, RIGHT};

/// Entry sets drawn from those of each mesh.
const SETS_PER_MESH: u64 = 8;
const DELIVERY_ORDERS: u64 = 8;

/// Some entries of one database, and what is needed to run them.
struct EntrySet {
    birth: Arc<Entry>,
    genesis: Genesis,
    cut: Cut,
    /// Cuts after the first, each with its segment.
    history: Vec<(Cut, Vec<Arc<Entry>>)>,
    /// Entries of the tail.
    entries: Vec<Arc<Entry>>,
}

/// What the entries of a set come to.
#[derive(Debug, PartialEq, Eq)]
struct Result {
    root: StateRoot,
    outcomes: Vec<Vec<CallOutcome>>,
}

/// A module, and what is done with it.
struct Play {
    wasm: Vec<u8>,
    /// Meshes that make entries.
    meshes: u64,
    /// Before the tail begins.
    opening: (&'static str, &'static str),
    random_call: fn(&mut Mesh, &mut Dice) -> crate::Request,
    /// What clients follow meanwhile.
    followed: Followed,
    /// Milliseconds that pass between two calls, at most.
    pause_ms: u64,
}

#[test]
fn any_delivery_order_gives_the_rows_of_a_serial_run() {
    check(&Play {
        wasm: CHAT.to_vec(),
        meshes: 32,
        opening: ("open_accounts", "[4]"),
        random_call: random_chat_call,
        followed: Followed::by_anybody(&CHAT_QUERIES),
        pause_ms: 0,
    });
}

/// Rows that are due fire once, whoever calls first; clients leave although their reducer fails.
#[test]
fn what_is_due_fires_alike_in_any_delivery_order() {
    check(&Play {
        wasm: compiled("clockwork"),
        meshes: 12,
        opening: ("set_alarm", r#"[3600000, "later", 0]"#),
        random_call: random_clockwork_call,
        followed: Followed::by_anybody(&[
            "SELECT * FROM alarm",
            "SELECT * FROM rung WHERE note <> 'tick'",
            "SELECT a.* FROM alarm a JOIN rung r ON a.id = r.id",
        ]),
        pause_ms: 60,
    });
}

/// Every kind of filter, over rows that come, go and change because of late calls.
#[test]
fn what_filters_show_is_told_in_any_delivery_order() {
    check(&Play {
        wasm: compiled("private_notes"),
        meshes: 12,
        opening: ("put_folder", r#"[1, true, "open"]"#),
        random_call: notes::random_call,
        followed: notes::FOLLOWED,
        pause_ms: 0,
    });
}

fn check(play: &Play) {
    let options = birth::default_options(false);
    let module = modules()
        .prepare(&play.wasm, &options, &MemoryDisk::default())
        .expect("it is sound");
    let mut failed_somewhere = 0;
    let mut told = 0;
    let mut whole = None;
    for seed in 0..play.meshes * SETS_PER_MESH {
        if seed % SETS_PER_MESH == 0 {
            whole = Some(entries_of_mesh(play, seed));
        }
        let whole = whole.as_ref().expect("made first");
        let set = subset(whole, &mut Dice(seed));
        let serial = run_serially(&module, &set);
        failed_somewhere += serial
            .outcomes
            .iter()
            .flatten()
            .filter(|outcome| !outcome.is_ok())
            .count();
        let mut heads = None;
        for order in 0..DELIVERY_ORDERS {
            let (delivered, hash) = deliver((play, &module), &set, seed << 8 | order, &mut told);
            assert_eq!(
                delivered, serial,
                "replay: entry set {seed}, delivery order {order}"
            );
            assert_eq!(
                *heads.get_or_insert(hash),
                hash,
                "entry set {seed}, order {order}"
            );
        }
    }
    assert!(
        failed_somewhere > 100,
        "conflicts must happen: {failed_somewhere} failures"
    );
    assert!(
        told > 20 * play.meshes,
        "clients must be told of changes: {told}"
    );
}

/// Three authors that hear of each other now and then. No cut happens: little time passes.
fn entries_of_mesh(play: &Play, seed: u64) -> EntrySet {
    let mut dice = Dice(seed);
    let mut mesh = Mesh::new(3, seed);
    let id = mesh.publish_wasm_and_join(&play.wasm);
    let (reducer, arguments) = play.opening;
    mesh.call(0, reducer, arguments).expect("opens");
    mesh.pass_ms(5_000);
    for _ in 0..24 {
        let at = usize::try_from(dice.below(3)).expect("small");
        for other in 0..3 {
            match dice.below(4) {
                0 if other != at => mesh.heal_link(at, other),
                1 | 2 if other != at => mesh.cut_link(at, other),
                _ => {}
            }
        }
        for _ in 0..=dice.below(3) {
            let request = (play.random_call)(&mut mesh, &mut dice);
            mesh.ask_later(at, request);
        }
        mesh.settle();
        if play.pause_ms > 0 {
            mesh.pass_ms(dice.below(play.pause_ms + 1));
        }
    }
    collect(&mesh, id)
}

/// Some of the entries with all their ancestors.
fn subset(whole: &EntrySet, dice: &mut Dice) -> EntrySet {
    let by_id: BTreeMap<EntryId, &Arc<Entry>> = whole
        .entries
        .iter()
        .map(|entry| (entry.id, entry))
        .collect();
    let mut wanted: Vec<EntryId> = by_id
        .keys()
        .copied()
        .filter(|_| dice.below(4) == 0)
        .collect();
    let mut taken = BTreeMap::new();
    while let Some(id) = wanted.pop() {
        if let Some(entry) = by_id.get(&id)
            && taken.insert(entry.position(0), Arc::clone(entry)).is_none()
        {
            wanted.extend(entry.header.parents.iter().copied());
        }
    }
    EntrySet {
        birth: Arc::clone(&whole.birth),
        genesis: whole.genesis.clone(),
        cut: whole.cut.clone(),
        history: whole.history.clone(),
        entries: taken.into_values().collect(),
    }
}

fn random_chat_call(mesh: &mut Mesh, dice: &mut Dice) -> crate::Request {
    match dice.below(4) {
        0 => mesh.call_request("set_name", &format!(r#"["name {}"]"#, dice.below(3))),
        1 => mesh.call_request("send_message", r#"["lobby", "hello"]"#),
        2 => mesh.call_request("open_room", &format!(r#"["room {}"]"#, dice.below(3))),
        _ => {
            let (from, amount) = (dice.below(4), 1 + dice.below(900));
            let to = (from + 1 + dice.below(3)) % 4;
            mesh.call_request("transfer", &format!("[{from}, {to}, {amount}]"))
        }
    }
}

fn random_clockwork_call(mesh: &mut Mesh, dice: &mut Dice) -> crate::Request {
    let notes = ["tick", "once more", "snooze", "soon"];
    let note = notes[usize::try_from(dice.below(4)).expect("small")];
    match dice.below(8) {
        0 => mesh.call_request(
            "set_interval",
            &format!(r#"[{}, "{note}"]"#, dice.below(90)),
        ),
        1 => mesh.call_request("cancel", &format!(r#"["{note}"]"#)),
        2 => mesh.call_request(
            "set_jam",
            if dice.below(2) == 0 {
                "[true]"
            } else {
                "[false]"
            },
        ),
        _ => {
            let after = i64::try_from(dice.below(140)).expect("small") - 40;
            mesh.call_request("set_alarm", &format!(r#"[{after}, "{note}", 2]"#))
        }
    }
}

/// The final history, and the union of what the three hold beyond it.
fn collect(mesh: &Mesh, id: DatabaseId) -> EntrySet {
    let log = &mesh.core(0).replicas[&id].log;
    let last = mesh.core(0).replicas[&id].cut.height;
    let opened = |bytes: &[Vec<u8>]| -> Vec<Arc<Entry>> {
        let entries = bytes.iter().map(|bytes| Entry::open(bytes));
        entries
            .map(|entry| Arc::new(entry.expect("our own entry")))
            .collect()
    };
    let segment = |height| opened(&log.segment(height, 0, usize::MAX).expect("sound").0);
    let cut = |height| {
        let bytes = log.cut(height).expect("sound").expect("there");
        Cut::open(&bytes).expect("our own cut")
    };
    let birth = Arc::clone(&segment(0)[0]);
    let mut entries = BTreeMap::new();
    for at in 0..3 {
        let replica = &mesh.core(at).replicas[&id];
        assert_eq!(replica.cut.height, last, "no cut happens while they write");
        for entry in opened(&replica.log.tail().expect("sound")) {
            entries.insert(entry.position(0), entry);
        }
    }
    EntrySet {
        genesis: birth::genesis_of(&birth, &id).expect("a genesis"),
        birth,
        cut: cut(0),
        history: (1..=last)
            .map(|height| (cut(height), segment(height)))
            .collect(),
        entries: entries.into_values().collect(),
    }
}

fn run_serially(module: &Module, set: &EntrySet) -> Result {
    with_context(MemoryBudget::default(), |ctx| {
        let id = DatabaseId::from(set.birth.id);
        let log = Log::open(ctx.disk.log(&id).expect("memory"), LOG_CACHE_BYTES).expect("memory");
        let unborn = Unborn::open(
            Arc::clone(&set.birth),
            set.genesis.clone(),
            Some(module.clone()),
            log,
            ctx,
        )
        .expect("opens");
        let (mut executor, mut state) = (unborn.executor, unborn.state);
        state = executor.run(state, &set.birth, None).expect("runs").0;
        state = settled(state, &set.birth, 0);
        for (cut, segment) in &set.history {
            for entry in segment {
                state = executor.run(state, entry, None).expect("runs").0;
            }
            let last = segment.last().expect("a cut covers something");
            state = settled(state, last, cut.height);
        }
        let mut outcomes = Vec::new();
        for entry in &set.entries {
            let (next, run) = executor.run(state, entry, None).expect("runs");
            state = next;
            outcomes.push(run.outcomes);
        }
        Result {
            root: state.root().expect("reads"),
            outcomes,
        }
    })
}

fn settled(mut state: State, last: &Entry, height: u64) -> State {
    let known = system_tables::rights(&state.final_rows(RIGHT).expect("reads"));
    let through = last.position(u16::MAX);
    let extra = right_rows(&state, &through, &known, height, &BTreeSet::new()).expect("reads");
    let settlement = state.plan_settle(Some(&through), extra).expect("plans");
    state.settle(settlement, height).expect("settles");
    state
}

fn deliver(
    (play, module): (&Play, &Module),
    set: &EntrySet,
    seed: u64,
    told: &mut u64,
) -> (Result, HeadsHash) {
    let dice = &mut Dice(seed);
    let mut order = set.entries.clone();
    for at in (1..order.len()).rev() {
        let other = usize::try_from(dice.below(at as u64 + 1)).expect("small");
        order.swap(at, other);
    }
    // Every second peer has memory for a few calls, and for what they wrote.
    let mut memory = MemoryBudget::default();
    if dice.below(2) == 0 {
        memory.overlay.commits = usize::try_from(dice.below(6)).expect("small");
    }
    with_context(memory, |ctx| {
        let own = OwnChain::starting(1);
        let mut replica: Replica = birth::adopt(
            module.clone(),
            Arc::clone(&set.birth),
            set.genesis.clone(),
            set.cut.clone(),
            own,
            ctx,
        )
        .expect("is born");
        for (cut, segment) in &set.history {
            let encoded = segment
                .iter()
                .map(|entry| entry.encoded().to_vec())
                .collect();
            replica
                .ingest(encoded, ctx.device, true, ctx)
                .expect("the disk is sound");
            let taken = replica
                .take_cut(cut.clone(), ctx)
                .expect("the disk is sound");
            assert_eq!(taken, TakenCut::Taken);
        }
        let sender = SecretKey::from_bytes(&[3; 32]).public();
        let mut followers = Followers::of(play.followed, &module.def().filters);
        for entry in &order {
            if dice.below(4) == 0 {
                let state = replica.state.as_mut().expect("it runs");
                followers.check(state, seed);
                followers.come_or_go(state, dice);
            }
            let ingested = replica
                .ingest(vec![entry.encoded().to_vec()], sender, false, ctx)
                .expect("the disk is sound");
            assert_eq!(ingested.fault, None);
            if dice.below(3) == 0 {
                replica.sweep(ctx).expect("runs");
                let state = replica.state.as_mut().expect("it runs");
                followers.check(state, seed);
            }
        }
        replica.sweep(ctx).expect("runs");
        let state = replica.state.as_mut().expect("it runs");
        followers.check(state, seed);
        *told += followers.told;
        let result = Result {
            root: replica.state().expect("runs").root().expect("reads"),
            outcomes: replica
                .executed
                .iter()
                .map(|ran| ran.outcomes.clone())
                .collect(),
        };
        (result, replica.dag.heads_hash())
    })
}

fn with_context<T>(memory: MemoryBudget, act: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let disk = MemoryDisk::default();
    let key = SecretKey::from_bytes(&[9; 32]);
    let mut effects: Vec<Effect> = Vec::new();
    let mut partials = crate::partials::Partials::default();
    let wall = 1_760_000_100_000_000;
    let mut ctx = Context {
        engine_max: module_host::ENGINE,
        replay: Replay::default(),
        now: sync_protocol::Now {
            tick: sync_protocol::Tick(0),
            wall,
        },
        mesh: Hlc(wall),
        own_wall: wall,
        key: &key,
        device: key.public(),
        disk: &disk as &dyn Disk,
        partials: &mut partials,
        is_short_of_room: false,
        quotas: crate::Quotas::default(),
        memory,
        caches: memory.share(1),
        conduct: &mut crate::conduct::Conduct::default(),
        modules: &modules(),
        effects: &mut effects,
    };
    act(&mut ctx)
}
