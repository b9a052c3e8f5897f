//! A migration that empties a database gives what one has that held nothing but what is brought along.

use super::migrating::{assert_same_rows, filled, reopened};
use super::{DATABASE, account, call, position, rows_of, tables, text, write};
use crate::{
    Disk, IndexId, MemoryDisk, Migration, OverlayBudget, Schema, State, TableId, Transaction,
};

const NEW_ACCOUNT: TableId = TableId(6_000);

/// All tables anew under other numbers, with other indexes.
fn anew() -> Schema {
    let mut all = tables();
    for (table, number) in all.iter_mut().zip(6_000..) {
        if table.id.0 < 4_096 {
            continue; // the peer's own
        }
        table.id = TableId(number);
        for (index, at) in table.indexes.iter_mut().zip(0..) {
            index.id = IndexId(10 * number + at);
        }
    }
    Schema::new(all).expect("it fits")
}

fn emptied(state: &State) -> Migration {
    let mut migration = Migration::emptying(anew());
    let mut scratch = reopened(&MemoryDisk::new(), anew()).expect("it opens");
    scratch = call(scratch, 1, |call| {
        for name in ["one", "two"] {
            call.insert(NEW_ACCOUNT, &account(0, name, 1, 5))
                .expect("it fits");
        }
    })
    .0;
    assert_ne!(state.final_root(), scratch.final_root());
    let written = scratch.plan_settle(Some(&position(1)), Vec::new());
    migration.bring(written.expect("it fits"));
    migration
}

#[test]
fn emptying_leaves_what_is_brought_along_and_nothing_else() {
    for spills in [false, true] {
        let disk = MemoryDisk::new();
        let mut state = filled(&disk);
        if spills {
            let file = disk.spill(&DATABASE).expect("memory does not fail");
            let budget = OverlayBudget {
                bytes: 0,
                commits: 0,
            };
            state = state.spilling_to(file, budget);
            state.relieve().expect("memory does not fail");
        }
        let migration = emptied(&state);
        let member = write(super::MEMBER, [&[1][..], &text("owner")].concat());
        let settlement = state
            .plan_migration(Some(&position(2)), vec![member.clone()], migration.clone())
            .expect("nothing in the way");
        let root = settlement.root;
        state.settle(settlement, 1).expect("nothing fails");
        // As if there had never been anything else.
        let mut other = reopened(&MemoryDisk::new(), anew()).expect("it opens");
        let settlement = other.plan_migration(None, vec![member], migration);
        other
            .settle(settlement.expect("it fits"), 0)
            .expect("nothing fails");
        assert_same_rows(&state, &other, "emptied");
        assert_eq!(rows_of(&state, NEW_ACCOUNT).len(), 2);
        assert_eq!((state.final_root(), other.final_root()), (root, root));
        drop(state);
        let mut state = reopened(&disk, anew()).expect("it opens");
        assert_eq!(state.root().expect("readable"), root);
        // Numbers go on where those that were brought along ended.
        let insert = |state| {
            let numbered = |call: &mut Transaction| {
                call.insert(NEW_ACCOUNT, &account(0, "three", 1, 5))
                    .expect("it fits");
            };
            call(state, 3, numbered).0
        };
        (state, other) = (insert(state), insert(other));
        assert_eq!(rows_of(&state, NEW_ACCOUNT), rows_of(&other, NEW_ACCOUNT));
        assert_eq!(
            state.root().expect("readable"),
            other.root().expect("readable")
        );
    }
}
