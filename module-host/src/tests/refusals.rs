//! What is not run is refused by name, and everything at once.

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::RawModuleDefV9Builder;
use spacetimedb_sats::{ProductType, bsatn};
use wasm_encoder::Instruction as I;

use super::fixture::{Fixture, engine, reducer};
use crate::imports::offered;
use crate::limits::MODULE_BYTES_MAX;
use crate::{Limits, Module, PrepareError};

fn nothing() -> Fixture {
    Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])])
}

fn reasons(fixture: &Fixture) -> Vec<String> {
    match fixture.prepare() {
        Err(PrepareError::Refused(reasons)) => reasons,
        Err(other) => panic!("refused for another cause: {other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn unknown_imports_are_named() {
    let mut fixture = nothing();
    fixture.extra_imports = vec![
        ("env".into(), "open_file".into()),
        (
            "spacetime_10.0".into(),
            "volatile_nonatomic_schedule_immediate".into(),
        ),
        ("spacetime_10.9".into(), "teleport".into()),
        ("spacetime_10.0".into(), "identity".into()),
    ];
    assert_eq!(
        reasons(&fixture),
        [
            "it imports env::open_file, which does not exist",
            "it imports volatile_nonatomic_schedule_immediate: every peer that replays the call \
             would schedule it again",
            "it imports teleport of module ABI 10.9, this peer offers 10.5: update the peer",
            "it imports spacetime_10.0::identity with another type",
        ]
    );
}

#[test]
fn names_of_ours_are_reserved() {
    let mut fixture = nothing();
    fixture.extra_exports = vec![
        "tombolo:units".into(),
        "__wizer_memory_0".into(),
        "__preinit__10_x".into(),
    ];
    assert_eq!(
        reasons(&fixture),
        [
            "it exports tombolo:units: that name is reserved",
            "it exports __wizer_memory_0: that name is reserved",
            "its export __preinit__10_x has another type",
        ]
    );
}

#[test]
fn a_module_that_begins_too_large_is_refused() {
    let mut fixture = nothing();
    fixture.pages = 1_025;
    assert_eq!(
        reasons(&fixture),
        ["its memory begins with 1025 pages of 64 KiB, the database permits 1024"]
    );
}

#[test]
fn what_would_take_for_ever_to_compile_is_refused() {
    let mut large = reducer("large", vec![]);
    large.locals = vec![(5_000, wasm_encoder::ValType::I64)];
    for _ in 0..1_000 {
        large.body.extend([
            I::I32Const(0),
            I::If(wasm_encoder::BlockType::Empty),
            I::End,
        ]);
    }
    large.body.push(I::I32Const(0));
    // Functions are counted behind those that are imported.
    let first = offered().count();
    assert_eq!(
        reasons(&Fixture::new(vec![large])),
        [format!(
            "function {first} has 5003 locals and 1000 branches: too much to compile"
        )]
    );
    let mut wide = reducer("wide", vec![I::I32Const(0)]);
    wide.locals = vec![(10_000, wasm_encoder::ValType::I32)];
    assert_eq!(
        reasons(&Fixture::new(vec![wide])),
        [format!(
            "function {first} has 10004 locals and operands, the most is 10000"
        )]
    );
}

#[test]
fn other_wasm_is_refused() {
    let empty = wasm_encoder::Module::new().finish();
    let prepare = |wasm: &[u8]| Module::prepare(engine(), wasm, Limits::default());
    let Err(PrepareError::Refused(reasons)) = prepare(&empty) else {
        panic!("not refused")
    };
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(matches!(prepare(b"\0asm"), Err(PrepareError::Malformed(_))));
    assert!(matches!(prepare(b""), Err(PrepareError::Malformed(_))));
    let large = vec![0; MODULE_BYTES_MAX + 1];
    assert!(matches!(
        prepare(&large),
        Err(PrepareError::TooLarge { .. })
    ));
}

#[test]
fn proposals_that_differ_are_not_valid() {
    let tail_call = vec![
        I::I64Const(0),
        I::I32Const(0),
        I::I32Const(0),
        I::ReturnCall(29),
    ];
    let relaxed = vec![
        I::V128Const(0),
        I::V128Const(0),
        I::V128Const(0),
        I::F32x4RelaxedMadd,
        I::Drop,
        I::I32Const(0),
    ];
    for body in [tail_call, relaxed] {
        let fixture = Fixture::new(vec![reducer("odd", body)]);
        assert!(matches!(fixture.prepare(), Err(PrepareError::Malformed(_))));
    }
}

#[test]
fn what_is_described_but_not_built_is_listed() {
    let mut module = RawModuleDefV9Builder::new();
    module.add_reducer("nothing", ProductType::unit(), None);
    module.add_procedure(
        "fetch",
        ProductType::unit(),
        spacetimedb_sats::AlgebraicType::U8,
    );
    let mut fixture = nothing();
    fixture.description = Some(bsatn::to_vec(&RawModuleDef::V9(module.finish())).unwrap());
    assert_eq!(
        reasons(&fixture),
        ["it has a procedure (fetch): not supported yet"]
    );
}

#[test]
fn a_broken_description_is_refused() {
    let mut fixture = nothing();
    for description in [vec![], vec![9], vec![1, 255, 255, 255, 255]] {
        fixture.description = Some(description);
        let [reason] = &reasons(&fixture)[..] else {
            panic!("one reason")
        };
        assert!(
            reason.starts_with("its description of itself cannot be read"),
            "{reason}"
        );
    }
    // Version 10, one section, a typespace of one type: an array of an array of an array…
    let mut deep = vec![2, 1, 0, 0, 0, 0, 1, 0, 0, 0];
    deep.resize(4_000, 3);
    fixture.description = Some(deep);
    assert_eq!(
        reasons(&fixture),
        ["its description of itself cannot be read: it is nested too deeply"]
    );
}
