//! `greenhouse watch`: a live view in the terminal, or one look as text or JSON.

use crate::device::state_file;
use crate::peer::{Peer, Place};
use crate::rows::Identity;
use crate::state::State;
use crate::view::{Order, View};
use crate::world::now_us;
use anyhow::Context;
use clap::Args;
use ratatui::crossterm::event::{self, Event};
use serde_json::json;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long the keyboard is waited for before the view looks for news.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    place: Place,
    /// Print how it stands as text, once, without a terminal
    #[arg(long)]
    once: bool,
    /// The same as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Milliseconds between two looks
    #[arg(long, value_name = "MS", default_value_t = 500, conflicts_with_all = ["once", "json"], value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every: u64,
    /// With --server: folder for the token under which alarms are acknowledged and jobs asked for
    /// [default: greenhouse in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "GREENHOUSE_STATE")]
    state: Option<PathBuf>,
}

/// What the reader of the peer tells the screen.
enum News {
    State(Box<State>),
    /// What an order came to.
    Said(String),
    /// The peer does not answer, or not as it should.
    Trouble(String),
}

impl Watch {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let peer = Peer::of(&self.place)?;
        if self.once || self.json {
            let state = State::read(&peer, now_us())?;
            match self.json {
                true => println!("{:#}", state.to_json()),
                false => print!("{}", crate::view::as_text(&state)),
            }
            return Ok(());
        }
        // As the owner one acts as the owner; otherwise as somebody whom the peer knows again.
        let (peer, own) = match peer.is_owner() {
            true => {
                let identity = peer.get("/v1/peer")?["identity"].take();
                let identity = identity
                    .as_str()
                    .context("the peer does not say who it is")?;
                (peer, Identity::parse(identity)?)
            }
            false => peer.known_by(&state_file(self.state.as_deref(), "watch")?)?,
        };
        let (to_screen, news) = channel();
        let (to_peer, orders) = channel();
        let every = Duration::from_millis(self.every);
        // Ends when the screen is gone: what it sends goes nowhere then.
        std::thread::spawn(move || serve(&peer, every, &orders, &to_screen));
        let mut terminal =
            ratatui::try_init().context("there is no terminal to draw on; `--once` needs none")?;
        let outcome = show(&mut terminal, View::new(own), &news, &to_peer);
        ratatui::try_restore().context("the terminal cannot be given back")?;
        outcome
    }
}

/// Looks again and again, and carries out orders in between.
fn serve(peer: &Peer, every: Duration, orders: &Receiver<Order>, to: &Sender<News>) {
    loop {
        let news = match State::read(peer, now_us()) {
            Ok(state) => News::State(Box::new(state)),
            Err(error) => News::Trouble(format!("{error:#}")),
        };
        if to.send(news).is_err() {
            return;
        }
        let said = match orders.recv_timeout(every) {
            Ok(order) => carried_out(peer, &order),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if to.send(News::Said(said)).is_err() {
            return;
        }
    }
}

fn carried_out(peer: &Peer, order: &Order) -> String {
    let (called, what) = match order {
        Order::Acknowledge { device, raised_us } => (
            peer.call("acknowledge", &json!([device.to_json(), [raised_us]])),
            "acknowledged".to_owned(),
        ),
        Order::NewJob { task, seconds } => (
            peer.call("add_job", &json!([task, seconds])),
            format!("asked for: {task} ({seconds} s)"),
        ),
    };
    match called {
        Ok(_) => what,
        Err(refused) => format!("{:#}", anyhow::Error::from(refused)),
    }
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut view: View,
    news: &Receiver<News>,
    orders: &Sender<Order>,
) -> anyhow::Result<()> {
    loop {
        while let Ok(one) = news.try_recv() {
            match one {
                News::State(state) => view.saw(*state),
                News::Said(text) => view.said(text),
                News::Trouble(text) => view.trouble(text, now_us()),
            }
        }
        terminal.draw(|frame| view.draw(frame))?;
        if !event::poll(KEY_WAIT)? {
            continue;
        }
        if let Event::Key(key) = event::read()? {
            if let Some(order) = view.key(key) {
                // If the reader is gone, the program is about to end too.
                let _ = orders.send(order);
            }
            if view.is_over() {
                return Ok(());
            }
        }
    }
}
