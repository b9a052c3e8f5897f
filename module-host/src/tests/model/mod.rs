//! What a module can do to tables, against a model made of plain maps: random definitions, and on
//! each a random history of calls, late calls, cuts and crashes. Every call goes through the real
//! imports, done by a puppet that reports everything it was answered; the model shares no code with
//! what is tested.
//!
//! `PROPTEST_CASES=20000` tries more, `PROPTEST_RNG_SEED` tries the same again; a failure is made
//! smaller, printed, and kept for the next run.

mod drafts;
mod expected;
mod found;
mod operations;
mod plain;
mod puppet;
mod schema;
mod values;
mod world;

use proptest::prelude::*;

use world::World;

/// Cases, unless the environment says otherwise.
const CASES: u32 = 2_000;

fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if set { config.cases } else { cases },
        max_shrink_iters: 20_000,
        ..config
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn imports_do_what_the_model_does(
        definition in schema::definition(),
        history in operations::history(),
    ) {
        let module = puppet::shared(&|| definition.describe());
        let mut world = World::new(definition.clone(), module.instantiate().unwrap());
        history.into_iter().for_each(|step| world.step(step));
    }
}

proptest! {
    #![proptest_config(config(CASES / 40))]

    #[test]
    fn modules_that_describe_themselves_do_too(
        definition in schema::definition(),
        history in operations::history(),
    ) {
        let module = puppet::prepare(definition.describe());
        let mut world = World::new(definition, module.instantiate().unwrap());
        history.into_iter().for_each(|step| world.step(step));
    }
}
