//! A module that looks at everything two machines could differ in: whatever peers run it on and
//! however often they run its calls again, they have the same rows.

use std::path::Path;

use module_host::Backend;

use super::harness::{Dice, Mesh};

/// The careless module, as `cargo xtask wasm` builds it.
fn careless() -> Vec<u8> {
    let this = std::env::current_exe().expect("a test knows its own path");
    let target = this.ancestors().nth(3).map(Path::to_path_buf);
    let module = target
        .expect("tests lie in target/release/deps")
        .join("wasm/careless.wasm");
    std::fs::read(&module).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. `cargo xtask wasm` builds it",
            module.display()
        )
    })
}

/// Every hazard, with what it is called with.
const HAZARDS: &[(&str, &str)] = &[
    ("statics", r#"["one"]"#),
    ("statics_then_panic", "[]"),
    ("statics", r#"["two"]"#),
    ("addresses", "[]"),
    ("nan_bits", "[]"),
    ("recurse", "[800]"),
    ("recurse", "[100000]"),
    ("grow", "[]"),
    ("exhaust", "[]"),
    ("hash_order", "[]"),
    ("float_text", "[]"),
    ("dice", "[]"),
    ("at_this_moment", r#"["somebody"]"#),
    ("collect", r#"[["sand", "shell", "weed", "salt"]]"#),
    ("scan_order", "[]"),
    ("count", "[false]"),
    ("count", "[true]"),
    ("count", "[false]"),
    ("work", "[100000]"),
];

/// Nobody's units last for this: only one peer asks for it, because it takes a second.
const ENDLESS: (&str, &str) = ("work", "[1000000000000]");

fn mesh_of(backends: &[Backend], seed: u64) -> Mesh {
    let mut mesh = Mesh::of(backends, seed);
    mesh.publish_wasm_and_join(&careless());
    mesh
}

/// Does everything on one peer. Some of it fails, which is an outcome.
fn do_all(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let calls =
        HAZARDS.iter().map(
            |(reducer, arguments)| match mesh.call(at, reducer, arguments) {
                Ok(_) => format!("{reducer}{arguments}: done"),
                // The number that goes unused is another one the next time.
                Err(_) if *reducer == "count" => format!("{reducer}{arguments}: failed"),
                Err(error) => format!("{reducer}{arguments}: {error}"),
            },
        );
    calls.collect()
}

fn seen(mesh: &mut Mesh, at: usize, hazard: &str) -> Vec<String> {
    let rows = mesh.rows(
        at,
        &format!("SELECT what FROM seen WHERE hazard = '{hazard}'"),
    );
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

#[test]
fn every_hazard_gives_the_same_rows_interpreted_and_compiled() {
    let mut mesh = mesh_of(&[Backend::Cranelift, Backend::Pulley], 41);
    let on_compiled = do_all(&mut mesh, 0);
    let on_interpreted = do_all(&mut mesh, 1);
    let endless = mesh.call(0, ENDLESS.0, ENDLESS.1);
    assert!(endless.is_err(), "{endless:?}");
    mesh.settle();
    mesh.assert_converged();
    assert_eq!(on_compiled, on_interpreted, "outcomes and their texts");
    assert_eq!(
        on_compiled
            .iter()
            .filter(|it| it.ends_with(": done"))
            .count(),
        15
    );
    for at in 0..2 {
        // No call finds anything of another one, nor of one that failed.
        assert_eq!(
            seen(&mut mesh, at, "statics"),
            ["1 one 1", "1 two 1", "1 one 1", "1 two 1"]
        );
        assert_eq!(seen(&mut mesh, at, "exhaust"), [""; 0]);
        assert_eq!(seen(&mut mesh, at, "recurse").len(), 2, "the shallow ones");
        assert_eq!(seen(&mut mesh, at, "work").len(), 2, "the short ones");
        for hazard in ["addresses", "grow", "hash_order", "float_text"] {
            let seen = seen(&mut mesh, at, hazard);
            assert_eq!(seen.len(), 2, "{hazard}");
            assert_eq!(seen[0], seen[1], "{hazard}: every call starts alike");
        }
        let dice = seen(&mut mesh, at, "dice");
        assert_ne!(dice[0], dice[1], "dice follow the time of the call");
        let odd = mesh.rows(at, "SELECT wide FROM bits WHERE name = 'payload plus one'");
        assert_eq!(odd, [["9221120237041090560"]], "the one NaN there is");
    }
}

#[test]
fn hazards_give_the_same_rows_after_replay_and_restart() {
    let backends = [Backend::Cranelift, Backend::Pulley, Backend::Cranelift];
    let mut mesh = mesh_of(&backends, 42);
    let mut dice = Dice(42);
    for round in 0..6 {
        // Some cannot reach each other, and all go on: what they did apart is run again in the one
        // order once they meet.
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            if dice.below(2) == 0 {
                mesh.cut_link(a, b);
            }
        }
        mesh.settle();
        for _ in 0..6 {
            let at = usize::try_from(dice.below(3)).expect("few");
            let (reducer, arguments) = HAZARDS[dice.below(HAZARDS.len() as u64) as usize];
            let request = mesh.call_request(reducer, arguments);
            // Without waiting: calls of several peers meet at one moment.
            mesh.ask_later(at, request);
            if dice.below(3) > 0 {
                mesh.settle();
            }
        }
        mesh.settle();
        if dice.below(2) == 0 {
            let at = usize::try_from(dice.below(3)).expect("few");
            mesh.crash(at);
            mesh.start(at);
            mesh.settle();
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            mesh.heal_link(a, b);
        }
        mesh.settle();
        if round % 2 == 1 {
            // Cuts come; what they cover is not run again.
            mesh.pass_ms(3_000);
        }
        mesh.assert_converged();
    }
    for at in 0..3 {
        let before = mesh.status(at).state_root;
        mesh.crash(at);
        mesh.start(at);
        mesh.settle();
        assert_eq!(
            mesh.status(at).state_root,
            before,
            "peer {at} after a crash"
        );
    }
    mesh.assert_converged();
    for at in 0..3 {
        let statics = seen(&mut mesh, at, "statics");
        assert!(
            statics
                .iter()
                .all(|seen| seen == "1 one 1" || seen == "1 two 1"),
            "{statics:?}"
        );
    }
}
