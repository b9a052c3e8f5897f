//! Statements that change rows: as they are compiled, as they run, and what they refuse.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use store::{CallContext, DataError, State};
use sync_protocol::{
    Hlc, Position, RowWrite, SystemCall, WriteChange, WriteCondition, WriteOperator, WriteTerm,
};

use super::super::{Unfit, apply, compile};
use super::random::{any_item, any_wish};
use super::{Access, INDEXED, Item, STRANGER, ask, ids, schema, some_items, state};

const OWNER: Access = Access {
    owner: true,
    sender: [9; 32],
};

/// Runs a compiled statement at the next position, behind all that ran before.
fn run(state: State, write: &RowWrite) -> (State, Result<u64, Unfit>) {
    static NEXT: AtomicU64 = AtomicU64::new(1_000);
    let time = Hlc(NEXT.fetch_add(1, Ordering::Relaxed));
    let position = Position {
        hlc: time,
        ..Position::MIN
    };
    let mut transaction = state.begin(CallContext { position, time });
    let outcome = apply(&mut transaction, write);
    let ended = transaction.end(outcome.is_ok());
    (ended.state, outcome)
}

fn write(state: State, text: &str) -> (State, Result<u64, Unfit>) {
    let compiled = compile(text, state.schema(), OWNER).expect(text);
    let compiled = compiled.expect("no query");
    // It runs as others read it.
    let bytes = SystemCall::Write(compiled.clone()).encode();
    assert_eq!(
        SystemCall::decode(&bytes),
        Ok(SystemCall::Write(compiled.clone()))
    );
    run(state, &compiled)
}

#[test]
fn statements_change_rows() {
    let mut now = state(&some_items());
    let mut check = |text: &str, concerned: u64, query: &str, expected: &[u64]| {
        let empty = state(&[]);
        let (next, outcome) = write(std::mem::replace(&mut now, empty), text);
        now = next;
        assert_eq!(outcome.expect(text), concerned, "{text}");
        let got = ids(&ask(&now, &format!("SELECT id FROM item WHERE {query}")).expect(query));
        assert_eq!(got, expected, "{text}");
    };
    check(
        "UPDATE item SET shelfNo = 7, sold = true WHERE id >= 4",
        2,
        "shelf_no = 7 AND sold = true",
        &[4, 5],
    );
    check(
        "UPDATE item SET note = NULL WHERE id = 4",
        1,
        "id = 4",
        &[4],
    );
    check(
        "UPDATE item SET note = 3, owner = :sender",
        5,
        "owner = :sender",
        &[1, 2, 3, 4, 5],
    );
    check(
        "UPDATE itemSource SET weight = -0.5, code = X'0A0B' WHERE id = 2",
        1,
        "weight = -0.5",
        &[2],
    );
    check(
        "UPDATE item SET sold = false WHERE id = 99",
        0,
        "sold = true",
        &[3, 4, 5],
    );
    check(
        "DELETE FROM item WHERE shelf_no = 7 OR name = 'it''s 1'",
        3,
        "true",
        &[2, 3],
    );
    let row = "(9, 'new', 1, -2, 1.5, true, :sender, '1970-01-01T00:00:02Z', 0x0102, NULL)";
    check(
        &format!("INSERT INTO item VALUES {row}"),
        1,
        "name = 'new'",
        &[9],
    );
    let columns = "note, id, name, shelf_no, score, weight, sold, owner, at, code";
    check(
        &format!(
            "INSERT INTO item ({columns}) VALUES (1, 10, 'a', 1, 1, 1, false, 0x00, 5, X''), (NULL, 11, 'b', 1, 1, 1, false, 0x00, 6, X'')"
        ),
        2,
        "id > 9",
        &[10, 11],
    );
    check(
        "UPDATE item SET id = 12 WHERE id = 11",
        1,
        "id > 9",
        &[10, 12],
    );
    check("DELETE FROM item", 5, "true", &[]);
}

#[test]
fn what_the_rows_do_not_allow_changes_nothing() {
    let state = state(&some_items());
    let (state, twice) = write(state, "UPDATE item SET id = 3 WHERE id = 1 OR id = 2");
    assert!(matches!(
        twice,
        Err(Unfit::Rows(DataError::UniqueAlreadyExists { .. }))
    ));
    let row = "(3, 'new', 1, -2, 1.5, true, :sender, 1, 0x0102, NULL)";
    let (state, there) = write(state, &format!("INSERT INTO item VALUES {row}"));
    assert!(matches!(
        there,
        Err(Unfit::Rows(DataError::UniqueAlreadyExists { .. }))
    ));
    let all = ask(&state, "SELECT * FROM item").expect("asked");
    let items: Vec<_> = some_items().iter().map(Item::bsatn).collect();
    assert_eq!(all.rows, items);
}

#[test]
fn texts_that_change_nothing_are_refused_with_their_place() {
    let mut wrong = vec![];
    let mut check = |text: &str, expected: &str| {
        let got = compile(text, &schema(), OWNER).expect_err(text).to_string();
        if !got.starts_with(expected) {
            wrong.push(format!("{text}\n  got      {got}\n  expected {expected}"));
        }
    };
    check(
        "INSERT INTO nothing VALUES (1)",
        "there is no table `nothing` that you may read (line 1, column 13)",
    );
    check(
        "INSERT INTO item VALUES (1, 'a')",
        "row 1 has 2 values for 10 columns (table at line 1, column 13)",
    );
    check(
        "INSERT INTO item (id, id) VALUES (1, 2)",
        "column `id` is named twice (again at line 1, column 23)",
    );
    check(
        "INSERT INTO item (id, name) VALUES (1, 'a')",
        "column `shelf_no` has no value, and only columns that number themselves may be left out (table at line 1, column 13)",
    );
    check(
        "UPDATE item SET score = 'high'",
        "column `score` is of type i16, and 'high' (line 1, column 25) is no i16",
    );
    check(
        "UPDATE item SET score = NULL",
        "column `score` is of type i16, and NULL (line 1, column 25) is no i16",
    );
    check(
        "UPDATE item SET price = 1",
        "table `item` has no column `price` (line 1, column 17)",
    );
    check(
        "UPDATE item SET score = 1, score = 2",
        "column `score` is named twice (again at line 1, column 28)",
    );
    check(
        "UPDATE item SET score = id",
        "a value that is no literal, in a statement that changes rows is not built yet (line 1, column 25)",
    );
    check(
        "UPDATE item SET score = 1 + 1",
        "an operator inside of a comparison or a list of columns is not built yet (line 1, column 25)",
    );
    check(
        "UPDATE item SET score = 1 WHERE note = 1",
        "column `note` (line 1, column 33) is of type optional u8, which cannot be compared",
    );
    check(
        "DELETE FROM item WHERE COUNT(*) > 1",
        "an aggregate in WHERE",
    );
    check(
        "DELETE FROM item WHERE price = 1",
        "table `item` has no column `price` (line 1, column 24)",
    );
    for (text, what) in [
        (
            "INSERT INTO item SELECT * FROM bare",
            "INSERT of anything but VALUES",
        ),
        (
            "INSERT INTO item VALUES (1) ON CONFLICT DO NOTHING",
            "ON CONFLICT",
        ),
        ("INSERT INTO item VALUES (1) RETURNING id", "RETURNING"),
        ("INSERT OR REPLACE INTO item VALUES (1)", "INSERT OR …"),
        ("UPDATE item SET score = 1 FROM bare", "UPDATE … FROM"),
        (
            "UPDATE item JOIN bare ON item.id = bare.id SET score = 1",
            "JOIN in a statement that changes rows",
        ),
        (
            "UPDATE item i SET score = 1",
            "an alias in a statement that changes rows",
        ),
        (
            "UPDATE item SET (score, id) = (1, 2)",
            "SET of several columns at once",
        ),
        ("DELETE FROM item USING bare", "USING"),
        ("DELETE FROM item RETURNING id", "RETURNING"),
        ("DELETE FROM item ORDER BY id", "ORDER BY in DELETE"),
        ("DELETE FROM item LIMIT 1", "LIMIT in DELETE"),
    ] {
        check(text, &format!("{what} is not built yet"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let query = compile("SELECT * FROM item", &schema(), STRANGER);
    assert!(matches!(query, Ok(None)));
    let asked = ask(&state(&[]), "DELETE FROM item").expect_err("no query");
    assert_eq!(
        asked.to_string(),
        "this changes rows (line 1, column 13), and only queries are answered here"
    );
}

/// What arrives was made by another peer, which may be anybody's program.
#[test]
fn statements_that_no_compiler_made_are_refused() {
    let sound = compile("DELETE FROM item WHERE id = 1", &schema(), OWNER);
    let sound = sound.expect("sound").expect("no query");
    let refused = |write: &RowWrite| {
        let (_, outcome) = run(state(&some_items()), write);
        assert!(matches!(outcome, Err(Unfit::Refused(_))), "{write:?}");
    };
    refused(&RowWrite {
        table: 1,
        ..sound.clone()
    });
    refused(&RowWrite {
        table: 99_999,
        ..sound.clone()
    });
    refused(&RowWrite {
        columns: [0; 8],
        ..sound.clone()
    });
    let delete = |terms: Vec<WriteTerm>| RowWrite {
        change: WriteChange::Delete(WriteCondition(terms)),
        ..sound.clone()
    };
    let yes = || WriteTerm::Constant(true);
    refused(&delete(vec![]));
    refused(&delete(vec![yes(), yes()]));
    refused(&delete(vec![yes(), WriteTerm::All(2)]));
    refused(&delete(vec![WriteTerm::Value(
        99,
        WriteOperator::Equal,
        vec![1],
    )]));
    refused(&delete(vec![WriteTerm::Value(
        0,
        WriteOperator::Equal,
        vec![1],
    )]));
    refused(&delete(vec![WriteTerm::Value(
        9,
        WriteOperator::Equal,
        vec![1],
    )]));
    refused(&delete(vec![WriteTerm::Columns(
        0,
        WriteOperator::Equal,
        1,
    )]));
    let mut deep = vec![yes()];
    deep.extend((0..4_000).map(|_| WriteTerm::Any(1)));
    refused(&delete(deep));
    let update = |set| RowWrite {
        change: WriteChange::Update {
            set,
            condition: WriteCondition(vec![yes()]),
        },
        ..sound.clone()
    };
    refused(&update(vec![(99, vec![1])]));
    refused(&update(vec![(0, vec![1])]));
    refused(&update(vec![(0, vec![0; 9])]));
    let insert = RowWrite {
        change: WriteChange::Insert(vec![vec![1, 2, 3]]),
        ..sound.clone()
    };
    let (_, outcome) = run(state(&[]), &insert);
    assert!(
        matches!(outcome, Err(Unfit::Rows(DataError::Decode(_)))),
        "{outcome:?}"
    );
}

proptest! {
    #[test]
    fn statements_do_what_a_loop_over_the_rows_does(
        items in prop::collection::vec(any_item(), 0..16),
        wishes in prop::collection::vec((any_wish(), any_item(), 0..3_u8), 1..5),
    ) {
        let mut model: BTreeMap<u64, Item> =
            items.into_iter().map(|item| (item.id, item)).collect();
        let items: Vec<_> = model.values().cloned().collect();
        let mut now = state(&items);
        for (wish, new, what) in wishes {
            let condition = wish.text();
            let wanted: Vec<u64> =
                model.values().filter(|item| wish.holds(item)).map(|item| item.id).collect();
            let text = match what {
                0 => format!("DELETE FROM item WHERE {condition}"),
                _ => format!(
                    "UPDATE item SET shelf_no = {}, sold = {} WHERE {condition}",
                    new.shelf, new.sold
                ),
            };
            let (next, outcome) = write(now, &text);
            now = next;
            prop_assert_eq!(outcome.ok(), Some(wanted.len() as u64), "{}", text);
            for id in wanted {
                if what == 0 {
                    model.remove(&id);
                } else if let Some(item) = model.get_mut(&id) {
                    (item.shelf, item.sold) = (new.shelf, new.sold);
                }
            }
            let rows: Vec<_> = now.rows(INDEXED).expect("a table").map(|row| row.expect("read").to_vec()).collect();
            let expected: Vec<_> = model.values().map(Item::bsatn).collect();
            prop_assert_eq!(rows, expected, "{}", text);
        }
    }
}
