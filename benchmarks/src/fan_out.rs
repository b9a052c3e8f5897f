//! One room and a thousand clients who read it: how long a message takes to the last of them, and how many
//! rows a second reach them. They share the machine with the peer, each a thread that waits.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::Options;
use crate::clock::{Deadline, instant, pause};
use crate::follower::Follower;
use crate::mesh::message;
use crate::paced::CallingClient;
use crate::places::chat;
use crate::processes::PeerProcess;
use crate::report::Row;
use crate::resident;
use crate::socket::Target;

const FOLLOWERS: usize = 1_000;

/// Messages that are written one after the other.
const SINGLE: usize = 50;

/// Between these: the last follower has one before the next is written.
const GAP: Duration = Duration::from_millis(100);

/// Messages on their way when many are written.
const IN_FLIGHT: usize = 40;

/// Seconds that all messages may take.
const PATIENCE_S: u64 = 300;

/// Bytes of the stack of a thread that only reads.
const STACK_BYTES: usize = 256 << 10;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    ask_for_open_files()?;
    let many = usize::try_from(options.amount(2_000))?;
    let peer = PeerProcess::start()?;
    let module = chat();
    let module = module.to_str().context("the module's path is UTF-8")?;
    peer.tombolo(&["publish", "chat", "--bin-path", module])?;
    let target = Target {
        address: peer.address().to_owned(),
        database: "chat".to_owned(),
    };
    let followers: anyhow::Result<Vec<_>> = (0..FOLLOWERS)
        .map(|_| follow(&target, SINGLE + many))
        .collect();
    let followers = followers?;
    let followed = resident::of(peer.pid())?;

    let mut client = CallingClient::open(&target)?;
    let mut written = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        pause(GAP);
        client.read_answers()?;
        written.push(instant());
        client.call([message()])?;
    }
    pause(10 * GAP);
    let start = instant();
    write(&mut client, many)?;
    let read: anyhow::Result<Vec<_>> = followers.into_iter().map(read).collect();
    let read = read?;
    let worked = resident::of(peer.pid())?;

    let last = |message: usize| {
        let times = read.iter().filter_map(|times| times.get(message).copied());
        times.max().unwrap_or(start)
    };
    let single = written.iter().enumerate();
    let mut single: Vec<_> = single
        .map(|(message, written)| last(message).saturating_duration_since(*written))
        .collect();
    single.sort_unstable();
    let seconds = last(SINGLE + many - 1)
        .saturating_duration_since(start)
        .as_secs_f64();
    Ok(vec![
        Row::note(
            format!("a message to the last of {FOLLOWERS} followers, p50"),
            single[SINGLE / 2].as_secs_f64() * 1e3,
            "ms",
        ),
        Row::note(
            format!("rows to {FOLLOWERS} followers"),
            (many * FOLLOWERS) as f64 / seconds,
            "rows/s",
        ),
        Row::note("memory of a peer with these followers", followed.all, "MiB"),
        Row::note("the same at its peak", worked.peak, "MiB"),
    ])
}

/// Each follower has a socket, and many systems give 1,024 files to whoever does not ask.
fn ask_for_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 4 * FOLLOWERS as u64;
    // None is no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(limit.maximum.unwrap_or(wanted).min(wanted)),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("asking for more open files")
}

/// When each message was there.
type Times = JoinHandle<anyhow::Result<Vec<Instant>>>;

/// Follows the messages until so many were there.
fn follow(target: &Target, messages: usize) -> anyhow::Result<Times> {
    let mut follower = Follower::open(target, "SELECT * FROM message")?;
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    Ok(thread.spawn(move || {
        let mut times = Vec::with_capacity(messages);
        while times.len() < messages {
            let rows = follower.rows()?.len();
            times.resize(times.len() + rows, instant());
        }
        Ok(times)
    })?)
}

fn read(times: Times) -> anyhow::Result<Vec<Instant>> {
    let times = times.join();
    times.map_err(|_| anyhow::anyhow!("a follower panicked"))?
}

/// Writes so many messages, and waits for the answers.
fn write(client: &mut CallingClient, messages: usize) -> anyhow::Result<()> {
    const LOOK_EVERY: Duration = Duration::from_micros(200);
    let deadline = Deadline::after_s(PATIENCE_S);
    let mut left = messages;
    loop {
        client.read_answers()?;
        let more = left.min(IN_FLIGHT - client.in_flight());
        if more == 0 && client.in_flight() == 0 {
            return Ok(());
        }
        client.call((0..more).map(|_| message()))?;
        left -= more;
        deadline.check("messages to be answered")?;
        pause(LOOK_EVERY);
    }
}
