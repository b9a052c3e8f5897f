//! What a call costs while a thousand queries are followed, in a small database and in a large one:
//! it has to depend on what changed, not on what there is.

use peer_core::{ClientId, Reply, Request, SetId, WantedRows};

use crate::arguments::Options;
use crate::clock::instant;
use crate::mesh::Mesh;
use crate::report::{Better, Row};

/// Queries of each of the shapes; clients have one each.
const EACH: u64 = 100;

/// Ten shapes: a value of a column, with and without an index, ranges, alternatives, joins.
const SHAPES: [fn(u64) -> String; 10] = [
    |n| format!("SELECT * FROM account WHERE id = {n}"),
    |n| format!("SELECT * FROM message WHERE room = {n}"),
    |n| format!("SELECT * FROM room WHERE name = 'room {n}'"),
    |n| format!("SELECT * FROM account WHERE id = {n} OR id = {}", n + 1),
    |n| {
        format!(
            "SELECT * FROM account WHERE id >= {} AND id < {}",
            10 * n,
            10 * n + 10
        )
    },
    |n| format!("SELECT * FROM message WHERE id = {n} AND text <> ''"),
    |n| format!("SELECT * FROM user WHERE name = 'user {n}'"),
    |n| format!("SELECT * FROM account WHERE id = {n} AND balance < 1000"),
    |n| {
        format!(
            "SELECT message.* FROM room JOIN message ON message.room = room.id WHERE room.id = {n}"
        )
    },
    |n| {
        format!(
            "SELECT room.* FROM message JOIN room ON message.room = room.id WHERE message.id = {n}"
        )
    },
];

/// Calls that wait for their answers at a time.
const IN_FLIGHT: u64 = 1_024;

/// Bursts behind a figure.
const BURSTS: usize = 9;

const SMALL: u64 = 10_000;
const LARGE: u64 = 1_000_000;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let large = options.amount(LARGE);
    let mut mesh = Mesh::new(1)?;
    mesh.open_chat()?;
    fill(&mut mesh, 0, SMALL)?;
    let alone = call_us(&mut mesh)?;
    follow(&mut mesh)?;
    let small = call_us(&mut mesh)?;
    fill(&mut mesh, SMALL, large)?;
    let followed = call_us(&mut mesh)?;
    Ok(vec![
        Row::note("a message, nobody follows", alone, "µs"),
        Row::note(
            format!("the same, 1,000 queries of 10 shapes, {SMALL} rows"),
            small,
            "µs",
        ),
        Row::note(format!("the same, {large} rows"), followed, "µs"),
        Row::new(
            "times as much in the large database",
            followed / small,
            "×",
            Better::Less,
            1.5,
        ),
    ])
}

fn fill(mesh: &mut Mesh, from: u64, to: u64) -> anyhow::Result<()> {
    for _ in 0..(to - from).div_ceil(IN_FLIGHT) {
        mesh.message_burst(0, IN_FLIGHT)?;
    }
    mesh.wait_until_final()
}

/// The median of what a call in a burst takes.
fn call_us(mesh: &mut Mesh) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(BURSTS);
    for _ in 0..BURSTS {
        let start = instant();
        mesh.message_burst(0, IN_FLIGHT)?;
        times.push(start.elapsed().as_secs_f64() * 1e6 / IN_FLIGHT as f64);
        mesh.wait_until_final()?;
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[BURSTS / 2])
}

fn follow(mesh: &mut Mesh) -> anyhow::Result<()> {
    for n in 0..EACH {
        for (shape, query) in SHAPES.iter().enumerate() {
            let subscribe = Request::Subscribe {
                rows: WantedRows::Whole,
                events: true,
                database: "chat".to_owned(),
                client: ClientId(n * SHAPES.len() as u64 + shape as u64),
                set: SetId::Numbered(1),
                queries: vec![query(n)],
            };
            match mesh.ask(0, subscribe)? {
                Reply::Selected(_) => {}
                other => anyhow::bail!("expected rows, got {other:?}"),
            }
        }
    }
    Ok(())
}
