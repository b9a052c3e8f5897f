//! The module of the demo, as a compiler makes them.

use std::sync::OnceLock;

use store::TableId;

use super::fixture::{Bench, engine};
use crate::{Lifecycle, Limits, Module, Outcome};

/// The demo's chat module.
pub(super) const CHAT: &[u8] = include_bytes!("../../../peer/assets/chat.wasm");

pub(super) fn chat() -> Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE
        .get_or_init(|| Module::prepare(engine(), CHAT, Limits::default()).unwrap())
        .clone()
}

fn text(text: &str) -> Vec<u8> {
    [
        &u32::try_from(text.len()).unwrap().to_le_bytes(),
        text.as_bytes(),
    ]
    .concat()
}

#[test]
fn it_describes_itself() {
    let module = chat();
    let def = module.def();
    assert!(module.keeps_instance());
    assert!(def.lifecycle(Lifecycle::Init).is_some());
    let (place, transfer) = def.reducer_by_name("transfer").unwrap();
    assert_eq!(def.reducers[place].name, "transfer");
    let names = transfer
        .params
        .iter()
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>();
    assert_eq!(names, ["from", "to", "amount"]);
    assert!(transfer.client_callable);
    let (_, init) = def.reducer_by_name("init").unwrap();
    assert!(!init.client_callable);
    assert_ne!(transfer.arguments_type, init.arguments_type);
    let message = def
        .tables
        .iter()
        .find(|table| table.name == "message")
        .unwrap();
    assert_eq!(
        (message.primary_key, &message.auto_inc[..]),
        (Some(0), &[0][..])
    );
    assert!(message.public);
}

#[test]
fn it_keeps_accounts() {
    let mut bench = Bench::both(CHAT, Limits::default());
    assert_eq!(bench.outcome("init"), Outcome::Ok);
    let report = bench.call_with("open_accounts", &10_u32.to_le_bytes(), None);
    assert_eq!(report.outcome, Outcome::Ok, "{report:?}");
    let account = bench
        .module
        .def()
        .tables
        .iter()
        .find(|table| table.name == "account")
        .unwrap();
    let account: TableId = account.id;
    let before = bench.rows(account);
    assert_eq!(before.len(), 10);

    let id = |row: &[u8]| row[..4].to_vec();
    let args = [id(&before[1]), id(&before[2]), 1_i64.to_le_bytes().to_vec()].concat();
    let first = bench.call_with("transfer", &args, None);
    assert_eq!(first.outcome, Outcome::Ok);
    assert!(bench.is_image());
    let balance = |row: &[u8]| i64::from_le_bytes(row[4..12].try_into().unwrap());
    let after = bench.rows(account);
    assert_eq!(balance(&after[1]), balance(&before[1]) - 1);
    assert_eq!(balance(&after[2]), balance(&before[2]) + 1);
    let again = bench.call_with("transfer", &args, None);
    assert_eq!(again.units, first.units, "the same work costs the same");
}

#[test]
fn its_errors_and_panics_are_outcomes() {
    let mut bench = Bench::both(CHAT, Limits::default());
    assert_eq!(bench.outcome("init"), Outcome::Ok);
    let failed = bench.call_with("set_name", &text(""), None).outcome;
    assert!(
        matches!(&failed, Outcome::Failed(why) if !why.is_empty()),
        "{failed:?}"
    );
    // Arguments of another type make the module panic, and its last words are told.
    let trapped = bench.call_with("set_name", &[1], None).outcome;
    assert!(
        matches!(&trapped, Outcome::Trapped(why) if why.contains("decode")),
        "{trapped:?}"
    );
    assert!(bench.is_image());
}
