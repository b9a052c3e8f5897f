//! Compiled modules that are kept: a good one is used, any other is made again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sync_protocol::BlobHash;

use wasm_encoder::Instruction as I;

use super::fixture::{Bench, Fixture, engine, interpreter, reducer};
use super::real_module::CHAT;
use crate::{ArtifactKey, Artifacts, HostEngine, Limits, Module, Outcome};

/// Keeps artifacts in memory, and counts how many it was given.
#[derive(Default)]
struct Shelf {
    kept: RefCell<BTreeMap<BlobHash, Vec<u8>>>,
    given: RefCell<u32>,
}

impl Artifacts for Shelf {
    fn artifact(&self, name: &BlobHash) -> Option<Vec<u8>> {
        self.kept.borrow().get(name).cloned()
    }

    fn put_artifact(&self, name: &BlobHash, artifact: &[u8]) {
        *self.given.borrow_mut() += 1;
        self.kept.borrow_mut().insert(*name, artifact.to_vec());
    }
}

impl Shelf {
    /// Prepares a module; says whether it had to be compiled.
    fn prepare(
        &self,
        wasm: &[u8],
        engine: &HostEngine,
        limits: Limits,
        secret: u8,
    ) -> (Module, bool) {
        let before = *self.given.borrow();
        let key = ArtifactKey::of_device(&[secret; 32]);
        let module = Module::prepare_once(engine, wasm, limits, &key, self).unwrap();
        (module, *self.given.borrow() != before)
    }

    /// Whether a small module has to be compiled.
    fn compiles(&self, engine: &HostEngine, limits: Limits, secret: u8) -> bool {
        let wasm = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]).wasm();
        self.prepare(&wasm, engine, limits, secret).1
    }
}

/// What calls come to: outcomes, units and rows.
fn history(module: Module) -> String {
    let tables = module.def().tables.clone();
    let mut bench = Bench::new(module);
    assert_eq!(bench.outcome("init"), Outcome::Ok);
    let opened = bench.call_with("open_accounts", &5_u32.to_le_bytes(), None);
    let refused = bench.call_with("set_name", &[1], None);
    assert!(bench.is_image());
    let rows: Vec<_> = tables.iter().map(|table| bench.rows(table.id)).collect();
    format!("{opened:?} {refused:?} {rows:?}")
}

#[test]
fn a_kept_module_is_the_module() {
    for engine in [engine(), interpreter()] {
        let shelf = Shelf::default();
        let (compiled, anew) = shelf.prepare(CHAT, engine, Limits::default(), 1);
        assert!(anew);
        let (kept, anew) = shelf.prepare(CHAT, engine, Limits::default(), 1);
        assert!(!anew);
        assert_eq!(kept.hash(), compiled.hash());
        assert_eq!(format!("{:?}", kept.def()), format!("{:?}", compiled.def()));
        assert!(kept.keeps_instance());
        assert_eq!(history(kept), history(compiled));
    }
}

#[test]
fn only_what_this_device_made_for_this_use_is_run() {
    let shelf = Shelf::default();
    let limits = Limits::default();
    assert!(shelf.compiles(engine(), limits, 1));
    // The file of another device, brought here under the right name.
    assert!(shelf.compiles(engine(), limits, 2));
    assert!(!shelf.compiles(engine(), limits, 2));
    let less = Limits {
        memory_bytes_max: limits.memory_bytes_max / 2,
        ..limits
    };
    assert!(shelf.compiles(engine(), less, 2));
    assert!(shelf.compiles(interpreter(), limits, 2));
    // One that this device made, under the name of another.
    let names: Vec<BlobHash> = shelf.kept.borrow().keys().copied().collect();
    assert_eq!(names.len(), 3);
    let kept: Vec<Vec<u8>> = shelf.kept.borrow().values().cloned().collect();
    for (at, name) in names.iter().enumerate() {
        let other = kept[(at + 1) % kept.len()].clone();
        shelf.kept.borrow_mut().insert(*name, other);
    }
    assert!(shelf.compiles(engine(), limits, 2));
    assert!(shelf.compiles(engine(), less, 2));
    assert!(shelf.compiles(interpreter(), limits, 2));
}

#[test]
fn damage_costs_a_compilation_and_nothing_else() {
    let shelf = Shelf::default();
    let limits = Limits::default();
    assert!(shelf.compiles(interpreter(), limits, 1));
    let (name, whole) = shelf.kept.borrow().first_key_value().map_or_else(
        || panic!("nothing was kept"),
        |(name, bytes)| (*name, bytes.clone()),
    );
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |len: usize| whole[..len].to_vec();
    for damaged in [
        flipped(0),
        flipped(31),
        flipped(32),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
        cut(0),
        cut(31),
        cut(32),
        cut(whole.len() - 1),
        [&whole[..], b"more"].concat(),
    ] {
        shelf.kept.borrow_mut().insert(name, damaged);
        assert!(shelf.compiles(interpreter(), limits, 1));
        assert_eq!(shelf.kept.borrow()[&name], whole, "compiling is repeatable");
    }
}
