//! What the person sees: lines that stay, and on a terminal one that lives.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::print_line;

/// The demo's screen.
pub(super) struct Screen {
    started: Instant,
    /// On a terminal alone; elsewhere the lines that stay are enough.
    live: Option<ProgressBar>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("         {spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self {
            started: Instant::now(),
            live,
        }
    }

    /// A line that stays, with the time.
    pub(super) fn say(&self, line: &str) {
        let line = format!("{:>5.1} s  {line}", self.started.elapsed().as_secs_f64());
        self.write(&line);
        // What was going on is over.
        self.live(String::new());
    }

    /// A line that stays, below one with the time.
    pub(super) fn add(&self, line: &str) {
        self.write(&format!("         {line}"));
    }

    /// What is going on right now.
    pub(super) fn live(&self, text: String) {
        if let Some(bar) = &self.live {
            bar.set_message(text);
        }
    }

    /// The living line goes.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }

    fn write(&self, line: &str) {
        match &self.live {
            Some(bar) => bar.suspend(|| print_line(line)),
            None => print_line(line),
        }
    }
}
