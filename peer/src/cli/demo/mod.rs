//! `tombolo demo`: three peers as three processes on this machine, a conflict while one of them
//! is cut off, and convergence.
//!
//! The demo is a client like any other: it starts peers with this same program and talks to them
//! over HTTP, so it shows nothing that a person could not do by hand.

mod peers;
mod screen;
mod story;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use self::peers::Peers;
use self::screen::Screen;

/// After this the demo gives up. It takes a few seconds where nothing is wrong.
const GIVE_UP: Duration = Duration::from_secs(28);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave the three peers running, and say where they are
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let patience = Patience::new(GIVE_UP)?;
        let screen = Screen::new();
        let mut peers = Peers::prepare(self.keep)?;
        let told = peers
            .start(&patience, &screen)
            .and_then(|()| story::tell(&peers, &patience, &screen));
        screen.finish();
        match told {
            Ok(()) if self.keep => {
                peers.leave_running();
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                eprint!("{}", peers.last_words());
                Err(error)
            }
        }
    }
}

/// How long the demo goes on: until its time is up, or somebody presses Ctrl-C.
pub(super) struct Patience {
    started: Instant,
    give_up: Duration,
    interrupted: Arc<AtomicBool>,
}

impl Patience {
    fn new(give_up: Duration) -> anyhow::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        listen_for_signals(Arc::clone(&interrupted))?;
        Ok(Self {
            started: Instant::now(),
            give_up,
            interrupted,
        })
    }

    /// Fails when the demo must end, so that what it started is put away.
    pub(super) fn check(&self, waiting_for: &str) -> anyhow::Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        if self.started.elapsed() > self.give_up {
            bail!(
                "gave up after {} s waiting for {waiting_for}; is this machine very busy? Try again",
                self.give_up.as_secs()
            );
        }
        Ok(())
    }

    /// Asks again and again until there is an answer.
    pub(super) fn until<T>(
        &self,
        waiting_for: &str,
        mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        const ASK_EVERY: Duration = Duration::from_millis(20);
        loop {
            self.check(waiting_for)?;
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            std::thread::sleep(ASK_EVERY);
        }
    }
}

/// Turns Ctrl-C and the like into a note that the story looks at, instead of an end on the spot.
fn listen_for_signals(interrupted: Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen for signals")?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt()).context("cannot listen for signals")?,
            signal(SignalKind::terminate()).context("cannot listen for signals")?,
        )
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        interrupted.store(true, Ordering::SeqCst);
    });
    Ok(())
}
