//! Finality under failure: handing it over, recovering it, forks, divergence, unknown engines.

use store::{Disk, Log};
use sync_protocol::{ConnectionId, DatabaseId, DeviceKey, Role, SecretKey};

use super::forge::{forged_cut, show_cut};
use super::harness::{Mesh, modules};
use crate::rebuild::REBUILD_NOTE;
use crate::reply::{Called, DatabaseStatus, ErrorKind, FinaliserInfo};
use crate::{Arguments, Core, CoreOptions, Reply, Request, RequestError};

pub(super) const CHAT: &str = "chat";

pub(super) fn key_of(hex: &str) -> SecretKey {
    let bytes: DeviceKey = hex.parse().expect("64 digits");
    SecretKey::from_bytes(&bytes.0)
}

pub(super) fn say(mesh: &mut Mesh, at: usize, text: &str) -> Called {
    let sent = mesh.call(at, "send_message", &format!(r#"["lobby", "{text}"]"#));
    match sent {
        Ok(Reply::Called(called)) => called,
        other => panic!("send_message: {other:?}"),
    }
}

pub(super) fn texts(mesh: &mut Mesh, at: usize) -> Vec<String> {
    let rows = mesh.rows(at, "SELECT text FROM message");
    let mut texts: Vec<String> = rows.into_iter().flatten().collect();
    texts.sort_unstable();
    texts
}

fn finaliser(mesh: &mut Mesh, at: usize) -> FinaliserInfo {
    let database = CHAT.to_owned();
    match mesh.ask(at, Request::Finaliser { database }) {
        Ok(Reply::Finaliser(info)) => *info,
        other => panic!("finaliser: {other:?}"),
    }
}

pub(super) fn move_to(mesh: &mut Mesh, at: usize, to: DeviceKey) -> Result<Reply, RequestError> {
    let database = CHAT.to_owned();
    mesh.ask(at, Request::MoveFinaliser { database, to })
}

pub(super) fn recover_with(
    mesh: &mut Mesh,
    at: usize,
    key: SecretKey,
    to: Option<DeviceKey>,
    pick: Option<(u64, String)>,
) -> Result<bool, RequestError> {
    let request = Request::Recover {
        database: CHAT.to_owned(),
        key: Box::new(key),
        to,
        pick,
        force: false,
    };
    mesh.ask(at, request).map(|reply| match reply {
        Reply::Recovered(done) => done,
        other => panic!("recover: {other:?}"),
    })
}

pub(super) fn recover(mesh: &mut Mesh, at: usize) -> Result<bool, RequestError> {
    let key = key_of(&mesh.recovery_key);
    recover_with(mesh, at, key, None, None)
}

pub(super) fn rebuild(mesh: &mut Mesh, at: usize) -> Result<Reply, RequestError> {
    let database = CHAT.to_owned();
    mesh.ask(at, Request::Rebuild { database })
}

pub(super) fn separate(mesh: &mut Mesh, one: usize, others: &[usize]) {
    for other in others {
        mesh.cut_link(one, *other);
    }
    mesh.settle();
}

pub(super) fn unite(mesh: &mut Mesh, one: usize, others: &[usize]) {
    for other in others {
        mesh.heal_link(one, *other);
    }
    mesh.settle();
}

/// All of these hold the same, final to the last call.
pub(super) fn all_final_and_equal(mesh: &mut Mesh, peers: &[usize]) {
    let all: Vec<DatabaseStatus> = peers.iter().map(|at| mesh.status(*at)).collect();
    for (at, status) in peers.iter().zip(&all) {
        assert_eq!(status.status, "ok", "peer {at}: {:?}", status.detail);
        assert_eq!(status.tail, 0, "peer {at}");
        assert_eq!(status.cut, all[0].cut, "peer {at}");
        assert_eq!(status.state_root, all[0].state_root, "peer {at}");
        assert_eq!(status.heads_hash, all[0].heads_hash, "peer {at}");
    }
}

#[test]
fn finality_moves_with_the_cut_that_covers_the_call() {
    let mut mesh = Mesh::new(3, 101);
    mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    let ticket = mesh.invite_as(0, Role::Reader, 1);
    mesh.join(2, &ticket);
    mesh.pass_ms(2_000);
    let refused = |reply: Result<Reply, RequestError>, kind| {
        assert_eq!(reply.expect_err("refused").kind, kind);
    };
    let nobody = SecretKey::from_bytes(&[3; 32]).public();
    let (reader, writer) = (mesh.device(2), mesh.device(1));
    refused(move_to(&mut mesh, 0, nobody), ErrorKind::BadRequest);
    refused(move_to(&mut mesh, 0, reader), ErrorKind::BadRequest);
    refused(move_to(&mut mesh, 1, writer), ErrorKind::Denied);

    assert!(move_to(&mut mesh, 0, writer).is_ok());
    let info = finaliser(&mut mesh, 1);
    assert_eq!(info.finalisers, [mesh.device(0)], "no cut covers it yet");
    assert_eq!(info.moving_to, Some(writer));
    mesh.pass_ms(2_500);
    for at in 0..3 {
        let info = finaliser(&mut mesh, at);
        assert_eq!(
            (info.finalisers, info.moving_to),
            (vec![writer], None),
            "peer {at}"
        );
        assert_eq!(info.this_peer, at == 1);
    }
    // The old one is not needed any more.
    mesh.crash(0);
    say(&mut mesh, 1, "without you");
    let before = mesh.status(1).cut.height;
    mesh.pass_ms(2_500);
    assert!(mesh.status(1).cut.height > before);
    all_final_and_equal(&mut mesh, &[1, 2]);
    mesh.start(0);
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
}

#[test]
fn of_two_moves_that_one_cut_covers_the_later_holds() {
    let mut mesh = Mesh::new(3, 102);
    mesh.publish_and_join();
    mesh.pass_ms(2_000);
    let (one, two) = (mesh.device(1), mesh.device(2));
    for to in [one, two, one, two] {
        assert!(move_to(&mut mesh, 0, to).is_ok());
    }
    mesh.pass_ms(2_500);
    for at in 0..3 {
        assert_eq!(finaliser(&mut mesh, at).finalisers, [two], "peer {at}");
    }
    say(&mut mesh, 0, "on");
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
}

/// Peer 0, the finaliser, makes calls and cuts alone; the others recover without it.
fn recovered_apart(seed: u64) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(3, seed);
    let database = mesh.publish_and_join();
    say(&mut mesh, 1, "together");
    mesh.pass_ms(2_500);
    separate(&mut mesh, 0, &[1, 2]);
    for round in 0..4 {
        say(&mut mesh, 0, &format!("alone {round}"));
        mesh.pass_ms(1_500);
    }
    say(&mut mesh, 2, "left behind");
    mesh.pass_ms(2_500);
    assert_eq!(
        mesh.status(1).tail,
        3,
        "nobody makes cuts: connect, call, disconnect wait"
    );
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[1, 2]);
    let info = finaliser(&mut mesh, 2);
    assert_eq!(
        (info.finalisers, info.recoveries),
        (vec![mesh.device(1)], 1)
    );
    assert!(mesh.status(0).cut.height > mesh.status(1).cut.height);
    (mesh, database)
}

#[test]
fn a_lost_finaliser_is_replaced_and_gives_way_when_it_returns() {
    let (mut mesh, _) = recovered_apart(103);
    let lone = mesh.status(0).cut;
    unite(&mut mesh, 0, &[1, 2]);
    mesh.pass_ms(6_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    assert_ne!(mesh.status(0).cut, lone);
    let expected = [
        "alone 0",
        "alone 1",
        "alone 2",
        "alone 3",
        "left behind",
        "together",
    ];
    for at in 0..3 {
        assert_eq!(
            texts(&mut mesh, at),
            expected,
            "peer {at}: nothing acknowledged is lost"
        );
        assert_eq!(finaliser(&mut mesh, at).finalisers, [mesh.device(1)]);
    }
    say(&mut mesh, 0, "with you again");
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    // And so it stays after a restart.
    mesh.crash(0);
    mesh.start(0);
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    assert_eq!(texts(&mut mesh, 0).len(), 7);
}

#[test]
fn who_joins_after_a_recovery_reads_the_history_that_won() {
    let mut mesh = Mesh::new(4, 104);
    mesh.publish_only();
    for at in 1..3 {
        let ticket = mesh.invite(0);
        mesh.join(at, &ticket);
    }
    mesh.pass_ms(2_000);
    separate(&mut mesh, 0, &[1, 2, 3]);
    say(&mut mesh, 0, "alone");
    mesh.pass_ms(2_000);
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    say(&mut mesh, 2, "without");
    mesh.pass_ms(2_000);
    unite(&mut mesh, 0, &[1, 2, 3]);
    mesh.pass_ms(6_000);
    let ticket = mesh.invite(0);
    mesh.join(3, &ticket);
    mesh.pass_ms(4_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2, 3]);
    assert_eq!(texts(&mut mesh, 3), ["alone", "without"]);
}

#[test]
fn of_two_recoveries_made_apart_one_wins_everywhere() {
    let mut mesh = Mesh::new(4, 105);
    mesh.publish_and_join();
    mesh.pass_ms(2_000);
    mesh.crash(0);
    separate(&mut mesh, 1, &[2, 3]);
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    let key = key_of(&mesh.recovery_key);
    let third = mesh.device(3);
    assert_eq!(recover_with(&mut mesh, 2, key, Some(third), None), Ok(true));
    for round in 0..3 {
        say(&mut mesh, 1, &format!("here {round}"));
        say(&mut mesh, 2, &format!("there {round}"));
        mesh.pass_ms(1_500 + 1_000 * round);
    }
    unite(&mut mesh, 1, &[2, 3]);
    mesh.pass_ms(8_000);
    all_final_and_equal(&mut mesh, &[1, 2, 3]);
    mesh.start(0);
    mesh.pass_ms(8_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2, 3]);
    assert_eq!(texts(&mut mesh, 0).len(), 6);
}

#[test]
fn only_a_recovery_key_recovers_and_only_when_it_is_needed() {
    let mut mesh = Mesh::new(3, 106);
    mesh.publish_only();
    let ticket = mesh.invite(0);
    mesh.join(1, &ticket);
    let ticket = mesh.invite_as(0, Role::Reader, 1);
    mesh.join(2, &ticket);
    let check = |result: Result<bool, RequestError>, kind, word: &str| {
        let error = result.expect_err("refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(word), "{error}");
    };
    check(
        recover(&mut mesh, 1),
        ErrorKind::BadRequest,
        "finaliser move",
    );
    mesh.crash(0);
    let wrong = SecretKey::from_bytes(&[8; 32]);
    let secret = "0808080808";
    let refused = recover_with(&mut mesh, 1, wrong, None, None);
    assert!(!format!("{refused:?}").contains(secret));
    check(refused, ErrorKind::Denied, "not a recovery key");
    let key = key_of(&mesh.recovery_key);
    let reader = mesh.device(2);
    let refused = recover_with(&mut mesh, 1, key.clone(), Some(reader), None);
    check(refused, ErrorKind::BadRequest, "may write");
    let refused = recover_with(&mut mesh, 1, key, None, Some((0, "00000000".to_owned())));
    check(refused, ErrorKind::BadRequest, "no certified cut");
    assert_eq!(recover(&mut mesh, 1), Ok(true));
}

#[test]
fn a_restored_finaliser_asks_before_it_signs() {
    let mut mesh = Mesh::new(3, 109);
    mesh.publish_and_join();
    mesh.pass_ms(2_500);
    let backup = mesh.backup(0);
    for round in 0..3 {
        say(&mut mesh, 1, &format!("later {round}"));
        mesh.pass_ms(1_500);
    }
    let height = mesh.status(1).cut.height;
    mesh.restore(0, &backup);
    // For a while nobody can be reached, and there is something to cut.
    separate(&mut mesh, 0, &[1, 2]);
    mesh.start(0);
    say(&mut mesh, 0, "too early");
    mesh.pass_ms(8_000);
    assert!(mesh.status(0).cut.height < height, "it waits");
    unite(&mut mesh, 0, &[1]);
    mesh.pass_ms(4_000);
    unite(&mut mesh, 0, &[2]);
    mesh.pass_ms(4_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    assert!(mesh.status(0).cut.height > height, "then it goes on");
    assert_eq!(texts(&mut mesh, 2).len(), 4);
    // Where nobody can be reached it goes on alone after a while.
    mesh.crash(0);
    separate(&mut mesh, 0, &[1, 2]);
    mesh.start(0);
    say(&mut mesh, 0, "alone");
    let height = mesh.status(0).cut.height;
    mesh.pass_ms(12_000);
    assert!(mesh.status(0).cut.height > height);
}

#[test]
fn a_peer_whose_rows_differ_stops_serving_and_can_be_rebuilt() {
    let mut mesh = Mesh::new(3, 110);
    let database = mesh.publish_and_join();
    mesh.pass_ms(2_500);
    mesh.expect_hang_ups();
    let called = say(&mut mesh, 2, "certified wrongly");
    // As a finaliser would sign it whose tables are not ours.
    let wrong = forged_cut(&mut mesh, 1, database, called.entry, |_| {});
    show_cut(&mut mesh, 1, 0, database, &wrong);
    let status = mesh.status(1);
    assert_eq!(status.status, "diverged");
    let detail = status.detail.expect("explained");
    assert!(detail.contains("tombolo rebuild"), "{detail}");
    let refused = mesh.call(1, "send_message", r#"["lobby", "no"]"#);
    assert_eq!(refused.expect_err("stopped").kind, ErrorKind::Unavailable);
    let text = "SELECT text FROM message".to_owned();
    let asked = Request::Sql {
        database: CHAT.to_owned(),
        text,
    };
    let refused = mesh.ask(1, asked).expect_err("no wrong row is served");
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    let folder = format!("dump-{}", wrong.height);
    let file = |mesh: &Mesh, name| {
        mesh.disk(1)
            .dump(&database, &folder, name)
            .expect("written")
    };
    let about = file(&mesh, "about.txt");
    assert!(about.contains(&wrong.id().to_string()), "{about}");
    assert!(about.contains(&called.entry.to_string()), "{about}");
    let (rows, tables) = (file(&mesh, "rows.txt"), file(&mesh, "tables.txt"));
    assert!(rows.contains("message "), "{rows}");

    // It is remembered, and forgotten only when the tables were made anew.
    mesh.crash(1);
    mesh.start(1);
    mesh.settle();
    assert_eq!(mesh.status(1).status, "diverged");
    assert!(matches!(rebuild(&mut mesh, 1), Ok(Reply::Done)));
    mesh.pass_ms(4_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
    say(&mut mesh, 1, "back");
    mesh.pass_ms(2_500);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);

    // The same rows, made again elsewhere, give the same dump but for the cut that was wrong.
    let asked = Request::Dump {
        database: CHAT.to_owned(),
        height: Some(wrong.height),
    };
    assert!(matches!(mesh.ask(2, asked), Ok(Reply::Dumped(name)) if name == folder));
    let other = |name| {
        mesh.disk(2)
            .dump(&database, &folder, name)
            .expect("written")
    };
    assert_eq!(other("rows.txt"), rows);
    assert_eq!(other("tables.txt"), tables);
    mesh.pass_ms(1_000);
    all_final_and_equal(&mut mesh, &[0, 1, 2]);
}

#[test]
fn what_needs_a_newer_engine_is_read_stored_and_passed_on_but_not_run() {
    let newer = module_host::ENGINE + 1;
    let mut mesh = Mesh::new(4, 113);
    let database = mesh.publish_and_join();
    say(&mut mesh, 1, "before");
    mesh.pass_ms(2_500);
    // What the finaliser, updated, would sign: the cut that it does sign, but for the engine.
    let called = say(&mut mesh, 1, "last of the old");
    for at in 1..4 {
        mesh.cut_link(0, at);
    }
    mesh.settle();
    let before = mesh.status(1);
    mesh.pass_ms(2_500);
    let real = mesh.status(0).cut;
    assert_eq!(real.height, before.cut.height + 1);
    let cut = forged_cut(&mut mesh, 1, database, called.entry, |draft| {
        draft.engine = newer;
        draft.state_root = real.state_root;
    });
    show_cut(&mut mesh, 1, 2, database, &cut);
    mesh.pass_ms(1_000);
    for at in 1..4 {
        let status = mesh.status(at);
        assert_eq!(
            status.status, "behind-engine",
            "peer {at}: {:?}",
            status.detail
        );
        assert_eq!((status.cut.height, status.tail), (real.height, 0));
        assert_eq!(texts(&mut mesh, at), ["before", "last of the old"]);
        let refused = mesh.call(at, "send_message", r#"["lobby", "no"]"#);
        let error = refused.expect_err("it cannot be run");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("update tombolo"), "{error}");
    }
    // One is updated and goes on; its calls reach another through one that is not.
    mesh.crash(1);
    mesh.start_knowing(1, newer);
    mesh.cut_link(1, 3);
    mesh.settle();
    assert_eq!(mesh.status(1).status, "ok");
    say(&mut mesh, 1, "first of the new");
    mesh.pass_ms(35_000);
    assert_eq!(mesh.status(1).heads_hash, mesh.status(3).heads_hash);
    assert_eq!(texts(&mut mesh, 3).len(), 2);
    mesh.crash(3);
    mesh.start(3);
    mesh.settle();
    assert_eq!(mesh.status(3).status, "behind-engine", "it is remembered");
    for at in 2..4 {
        mesh.crash(at);
        mesh.start_knowing(at, newer);
    }
    mesh.pass_ms(3_000);
    assert_eq!(recover(&mut mesh, 1), Ok(true));
    mesh.pass_ms(4_000);
    all_final_and_equal(&mut mesh, &[1, 2, 3]);
    assert_eq!(texts(&mut mesh, 3).len(), 3);
}

#[test]
fn a_rebuild_survives_a_loss_of_power_at_any_write() {
    let (mesh, database) = recovered_apart(114);
    let disk = mesh.backup(0);
    let common = 1;
    let mut log = Log::open(
        disk.log(&database).expect("readable"),
        store::limits::LOG_CACHE_BYTES,
    )
    .expect("it opens");
    assert!(log.last_height().expect("readable").expect("some") > common + 2);
    log.retreat(common, &[], REBUILD_NOTE).expect("writable");
    drop(log);
    let open = |disk: &store::MemoryDisk, epoch| {
        let options = CoreOptions::new(epoch);
        let disk = Box::new(disk.clone());
        Core::open_sharing(modules(), disk, mesh.secret(0), &options, mesh.now)
    };
    let root_of = |core: &Core| {
        let replica = core.replicas.get(&database)?;
        let root = replica.state().ok()?.root().ok()?;
        Some((replica.cut.reference(), replica.health.clone(), root))
    };
    let whole = disk.backup();
    let before = whole.operations();
    let expected = root_of(&open(&whole, 1).expect("it opens")).expect("it runs");
    let writes = whole.operations() - before;
    assert_eq!(expected.0.height, common);
    assert!(writes > 20, "{writes}");
    for fails_after in 0..=writes {
        let disk = disk.backup();
        disk.fail_after(fails_after);
        drop(open(&disk, 2));
        disk.crash();
        let core = open(&disk, 3).expect("it opens");
        assert_eq!(
            root_of(&core).as_ref(),
            Some(&expected),
            "after {fails_after} writes"
        );
    }
}

/// A cut takes time for each version, and calls wait meanwhile: where few rows are rewritten often it is made sooner.
#[test]
fn cuts_are_made_sooner_where_few_rows_are_rewritten_often() {
    for (calls, is_busy) in [(8_200, true), (20, false)] {
        let mut mesh = Mesh::new(1, 131);
        mesh.publish_only();
        mesh.call(0, "open_accounts", "[2]").expect("it is there");
        // A client that stays: each that comes and goes writes a row of its own.
        let connection = ConnectionId([1; 16]);
        let connect = Request::Connect {
            database: CHAT.to_owned(),
            connection,
        };
        mesh.ask(0, connect).expect("it may");
        mesh.pass_ms(3_000);
        for pause_ms in [500, 1_100] {
            for n in 0..calls {
                let there_or_back = ["[0, 1, 1]", "[1, 0, 1]"][n % 2];
                let request = Request::Call {
                    database: CHAT.to_owned(),
                    reducer: "transfer".to_owned(),
                    arguments: Arguments::Json(there_or_back.into()),
                    connection,
                    one_shot: false,
                    client: None,
                };
                mesh.ask(0, request).expect("it runs");
            }
            mesh.pass_ms(pause_ms);
        }
        let tail = mesh.status(0).tail;
        assert_eq!(tail == 0, is_busy, "{tail} of {calls} calls are not final");
        mesh.pass_ms(600);
        assert_eq!(mesh.status(0).tail, 0);
    }
}
