//! Memory of a peer's process that has worked and has nothing to do: with one small database, and
//! with ten.

use std::time::Duration;

use anyhow::Context;

use crate::arguments::Options;
use crate::clock::pause;
use crate::places::chat;
use crate::processes::{PeerProcess, pair};
use crate::report::{Better, Row};
use crate::resident;
use crate::wakeups;

/// Databases of a peer that holds many.
const MANY: usize = 10;

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let (first, second) = pair()?;
    first.client().call("open_accounts", "[1000]")?;
    for _ in 0..options.amount(500) {
        first.client().call("transfer", "[0, 1, 1]")?;
    }
    rest(options);
    let (a, b) = (resident::of(first.pid())?, resident::of(second.pid())?);
    let seconds = Duration::from_secs(if options.quick { 5 } else { 30 });
    let wakeups = wakeups::per_second(first.pid(), seconds)?;
    drop((first, second));
    let many = PeerProcess::start()?;
    let module = chat();
    let module = module.to_str().context("the module's path is UTF-8")?;
    for n in 0..MANY {
        many.tombolo(&["publish", &format!("chat-{n}"), "--bin-path", module])?;
    }
    rest(options);
    let fresh = resident::of(many.pid())?;
    let many = PeerProcess::start_on(many.stop()?)?;
    rest(options);
    let restarted = resident::of(many.pid())?;
    Ok(vec![
        Row::new(
            "resident memory of an idle peer",
            a.all.max(b.all),
            "MiB",
            Better::Less,
            64.0,
        ),
        Row::note("of it anonymous", a.anonymous.max(b.anonymous), "MiB"),
        Row::new(
            "wake-ups of an idle peer with one link",
            wakeups,
            "/s",
            Better::Less,
            5.0,
        ),
        Row::note(
            format!("resident memory after publishing {MANY} databases"),
            fresh.all,
            "MiB",
        ),
        Row::note(
            format!("resident memory of an idle peer with {MANY} databases"),
            restarted.all,
            "MiB",
        ),
        Row::note("of it anonymous", restarted.anonymous, "MiB"),
    ])
}

/// Cuts are made, caches trimmed: what an idle peer does, it does within seconds.
fn rest(options: &Options) {
    pause(Duration::from_secs(if options.quick { 2 } else { 5 }));
}
