//! The demo module is committed compiled, so that the demo needs no WebAssembly toolchain. Here it
//! is held against the tree: it was built from these sources, and a module rebuilt from them
//! describes the same tables and behaves the same.

use crate::harness::module;
use crate::repository::{files, read, root};
use module_host::{Call, HostEngine, Limits, Module, Outcome, Runner};
use std::collections::BTreeMap;
use store::{CallContext, Disk, MemoryDisk, Schema, State, StateOptions, Transaction};
use sync_protocol::{ConnectionId, DatabaseId, DeviceKey, EntryId, Hlc, Position, StateRoot};

const COMMITTED: &str = "peer/assets/chat.wasm";
const SOURCES: &str = "peer/assets/chat.wasm.source-hash";
const REPLACE: &str = "`cargo xtask wasm --commit-demo` builds and replaces it";

#[test]
fn the_committed_module_was_built_from_this_tree() {
    let mut sources: Vec<String> = files("examples/modules/chat/src", &[""]);
    sources.extend(
        ["Cargo.toml", "Cargo.lock", "chat/Cargo.toml"]
            .iter()
            .map(|file| format!("examples/modules/{file}")),
    );
    sources.push(COMMITTED.to_string());
    let now: BTreeMap<String, String> = sources
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(root().join(&path)).expect("a listed file can be read");
            (path, blake3::hash(&bytes).to_hex().to_string())
        })
        .collect();
    let committed: BTreeMap<String, String> = read(SOURCES)
        .lines()
        .map(|line| {
            let (hash, path) = line.split_once("  ").expect("a hash, two spaces, a path");
            (path.to_string(), hash.to_string())
        })
        .collect();
    assert_eq!(
        committed, now,
        "the committed demo module is not this tree's; {REPLACE}"
    );
}

#[test]
fn the_committed_module_names_no_folder_of_the_machine_that_built_it() {
    let bytes = std::fs::read(root().join(COMMITTED)).expect("the demo module is committed");
    let text = String::from_utf8_lossy(&bytes);
    for part in ["registry/src", ".cargo", env!("CARGO_MANIFEST_DIR")] {
        assert!(
            !text.contains(part),
            "the module contains {part}; {REPLACE}"
        );
    }
}

#[test]
fn a_rebuilt_module_is_the_same_module() {
    let committed = std::fs::read(root().join(COMMITTED)).expect("the demo module is committed");
    let rebuilt = std::fs::read(module("chat")).expect("the module can be read");
    let (committed, rebuilt) = (Played::new(&committed), Played::new(&rebuilt));
    assert_eq!(
        committed.described, rebuilt.described,
        "the tables or reducers differ; {REPLACE}"
    );
    let failed = committed
        .outcomes
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)));
    assert_eq!(failed.count(), 8, "{:#?}", committed.outcomes);
    for (one, other) in committed.outcomes.iter().zip(&rebuilt.outcomes) {
        assert_eq!(one, other, "the behaviour differs; {REPLACE}");
    }
    assert_eq!(committed.root, rebuilt.root, "the rows differ; {REPLACE}");
}

/// What came of playing the script with one module.
struct Played {
    described: Vec<u8>,
    outcomes: Vec<(&'static str, Outcome, Vec<String>)>,
    root: StateRoot,
}

impl Played {
    fn new(wasm: &[u8]) -> Played {
        let engine = HostEngine::new().expect("the engine starts");
        let module =
            Module::prepare(&engine, wasm, Limits::default()).expect("the module is sound");
        let mut runner = module
            .instantiate()
            .expect("a prepared module can be instantiated");
        let schema =
            Schema::new(module.def().tables.clone()).expect("the described schema is sound");
        let backend = MemoryDisk::default()
            .base(&DatabaseId([7; 32]))
            .expect("memory has room");
        let mut state =
            State::open(backend, schema, StateOptions::default()).expect("memory can be read");
        let mut outcomes = Vec::new();
        for (step, (reducer, sender, arguments)) in script().into_iter().enumerate() {
            let place = module
                .def()
                .reducers
                .iter()
                .position(|known| known.name == reducer)
                .unwrap_or_else(|| panic!("there is no reducer {reducer}"));
            let time = Hlc(1_800_000_000_000_000 + step as u64 * 1_000);
            let position = Position {
                hlc: time,
                author: DeviceKey([1; 32]),
                entry: EntryId([step as u8; 32]),
                index: 0,
            };
            let transaction = state.begin(CallContext { position, time });
            let (after, outcome, console) =
                call(&mut runner, place, sender, time, &arguments, transaction);
            state = after;
            outcomes.push((reducer, outcome, console));
        }
        Played {
            described: module.def().raw.clone(),
            outcomes,
            root: state.root().expect("memory can be read"),
        }
    }
}

fn call(
    runner: &mut Runner,
    reducer: usize,
    sender: u8,
    time: Hlc,
    args: &[u8],
    transaction: Transaction,
) -> (State, Outcome, Vec<String>) {
    let call = Call {
        reducer,
        sender: [sender; 32],
        connection: ConnectionId([sender; 16]),
        time,
        args,
        claims: None,
        database: [7; 32],
        units: Limits::default().units_per_invocation,
    };
    let (transaction, report) = runner
        .call(call, transaction)
        .expect("the host does not fail");
    let console = report
        .console
        .into_iter()
        .map(|line| line.message)
        .collect();
    let state = match report.outcome {
        Outcome::Ok => transaction.commit().0,
        _ => transaction.abort(),
    };
    (state, report.outcome, console)
}

/// Calls that reach each table and each way to fail: reducer, sender, arguments as BSATN.
fn script() -> Vec<(&'static str, u8, Vec<u8>)> {
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .flat_map(|text| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
            .collect::<Vec<u8>>()
    };
    let transfer = |from: u32, to: u32, amount: i64| {
        [
            &from.to_le_bytes()[..],
            &to.to_le_bytes(),
            &amount.to_le_bytes(),
        ]
        .concat()
    };
    vec![
        ("init", 9, vec![]),
        ("client_connected", 1, vec![]),
        ("client_connected", 2, vec![]),
        ("set_name", 1, texts(&["Ada"])),
        ("set_name", 2, texts(&["Ada"])),
        ("set_name", 2, texts(&["  "])),
        ("set_name", 3, texts(&["Grace"])),
        ("open_room", 1, texts(&["tides"])),
        ("open_room", 2, texts(&["tides"])),
        ("send_message", 1, texts(&["lobby", "hello"])),
        ("send_message", 2, texts(&["tides", " high at noon "])),
        ("send_message", 2, texts(&["no such room", "hello"])),
        ("send_message", 2, texts(&["lobby", ""])),
        ("open_accounts", 1, 10_u32.to_le_bytes().to_vec()),
        ("transfer", 1, transfer(0, 1, 400)),
        ("transfer", 1, transfer(0, 1, 700)),
        ("transfer", 1, transfer(0, 99, 1)),
        ("transfer", 1, transfer(3, 3, 1)),
        ("client_disconnected", 1, vec![]),
    ]
}
