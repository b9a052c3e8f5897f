//! Rows that an owner changes by SQL: calls like any other, in the one order.

use sync_protocol::{RowWrite, SystemCall, WriteChange, WriteCondition, WriteTerm};

use super::finality::all_final_and_equal;
use super::forge::{Forgery, outcomes, push};
use super::harness::Mesh;
use crate::{ErrorKind, Reply, Request, RequestError, WriteKind, Written};

fn sql(mesh: &mut Mesh, at: usize, text: &str) -> Result<Written, RequestError> {
    let request = Request::Sql {
        database: "chat".to_owned(),
        text: text.to_owned(),
    };
    mesh.ask(at, request).map(|reply| match reply {
        Reply::Written(written) => written,
        other => panic!("{text}: {other:?}"),
    })
}

fn accounts(mesh: &mut Mesh, at: usize) -> String {
    let rows = mesh.rows(at, "SELECT id, balance FROM account ORDER BY id");
    let rows: Vec<String> = rows.iter().map(|row| row.join(":")).collect();
    rows.join(" ")
}

#[test]
fn an_owner_changes_rows_and_all_peers_have_them() {
    let mut mesh = Mesh::new(2, 811);
    mesh.publish_and_join();
    mesh.pass_ms(2_000);
    let done = |kind, rows| Ok(Written { kind, rows });
    let insert = "INSERT INTO account VALUES (1, 10), (2, 20), (3, 30)";
    assert_eq!(sql(&mut mesh, 0, insert), done(WriteKind::Insert, 3));
    assert_eq!(accounts(&mut mesh, 1), "1:10 2:20 3:30");
    let update = "UPDATE account SET balance = 5 WHERE balance < 30";
    assert_eq!(sql(&mut mesh, 0, update), done(WriteKind::Update, 2));
    let delete = "DELETE FROM account WHERE id = 1";
    assert_eq!(sql(&mut mesh, 0, delete), done(WriteKind::Delete, 1));
    assert_eq!(accounts(&mut mesh, 0), "2:5 3:30");
    assert_eq!(accounts(&mut mesh, 1), "2:5 3:30");
    // A column that numbers itself may be left out; its number is the same everywhere.
    let room = "INSERT INTO room (name, opened_by) VALUES ('quiet', :sender)";
    assert_eq!(sql(&mut mesh, 0, room), done(WriteKind::Insert, 1));
    let [one, other] = [0, 1].map(|at| mesh.rows(at, "SELECT id FROM room WHERE name = 'quiet'"));
    assert_eq!(one, other);
    assert_ne!(one, [["0"]]);
    mesh.pass_ms(3_000);
    all_final_and_equal(&mut mesh, &[0, 1]);
    // What the rows do not allow fails as a call does, and changes nothing.
    let taken = sql(&mut mesh, 0, "UPDATE account SET id = 3").expect_err("it is unique");
    assert_eq!(taken.kind, ErrorKind::ReducerFailed);
    assert_eq!(accounts(&mut mesh, 1), "2:5 3:30");
}

#[test]
fn only_an_owner_changes_rows() {
    let mut mesh = Mesh::new(2, 812);
    let id = mesh.publish_and_join();
    mesh.pass_ms(2_000);
    sql(&mut mesh, 0, "INSERT INTO account VALUES (1, 10)").expect("an owner");
    let writer = sql(&mut mesh, 1, "DELETE FROM account").expect_err("a writer");
    assert_eq!(writer.kind, ErrorKind::Denied);
    for table in ["sys_member", "sys_ticket"] {
        let text = format!("DELETE FROM {table}");
        let own = sql(&mut mesh, 0, &text).expect_err("the database's own");
        assert_eq!(own.kind, ErrorKind::BadRequest, "{}", own.message);
    }
    // A writer whose program says otherwise is refused by all.
    let everything = SystemCall::Write(RowWrite {
        table: 4_096,
        columns: [0; 8],
        change: WriteChange::Delete(WriteCondition(vec![WriteTerm::Constant(true)])),
    });
    let forged = Forgery::new(&mesh, id, 1).system(&everything).seal();
    push(&mut mesh, 0, 1, id, &[&forged]);
    let came_out = outcomes(&mesh, 0, id, &forged);
    assert!(came_out[0].contains("only an owner"), "{came_out:?}");
    assert_eq!(accounts(&mut mesh, 0), "1:10");
}

/// A statement means the rows that are there at its position, also when others come late.
#[test]
fn a_late_call_moves_what_a_statement_means() {
    let mut mesh = Mesh::new(2, 813);
    mesh.publish_and_join();
    mesh.pass_ms(2_000);
    sql(&mut mesh, 0, "INSERT INTO account VALUES (1, 100), (2, 0)").expect("an owner");
    mesh.pass_ms(3_000);
    mesh.cut_link(0, 1);
    mesh.settle();
    mesh.call(1, "transfer", "[1, 2, 70]")
        .expect("enough is there");
    mesh.pass_ms(100);
    let kind = WriteKind::Update;
    let rich = "UPDATE account SET balance = 1 WHERE balance > 50";
    assert_eq!(sql(&mut mesh, 0, rich), Ok(Written { kind, rows: 1 }));
    assert_eq!(accounts(&mut mesh, 0), "1:1 2:0");
    mesh.heal_link(0, 1);
    mesh.pass_ms(4_000);
    // The transfer was first: 30 and 70, of which the statement means the second.
    assert_eq!(accounts(&mut mesh, 0), "1:30 2:1");
    all_final_and_equal(&mut mesh, &[0, 1]);
}
