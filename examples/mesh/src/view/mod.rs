//! What the screen shows and what keys do, without terminal and peer: [`View`] is told what was read and what was
//! typed, and answers with orders.

mod screen;
mod text;

pub(crate) use text::as_text;

use crate::rows::Identity;
use crate::state::{Alarm, State};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Seconds of a job whose text names none.
const JOB_SECONDS: u32 = 10;

/// What somebody at the keyboard wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// See to an alarm.
    Acknowledge { device: Identity, raised_us: i64 },
    /// Ask for something to be done.
    NewJob { task: String, seconds: u32 },
}

/// The screen, and what is being typed.
#[derive(Debug)]
pub(crate) struct View {
    /// As whom orders are carried out.
    own: Identity,
    state: Option<State>,
    /// Why nothing newer came.
    trouble: Option<String>,
    /// What the last order came to.
    said: Option<String>,
    /// Whose alarm is meant. Not its line: others may come above it while somebody reaches for the key.
    chosen: Option<Identity>,
    /// The text of a new job, while it is being typed.
    typed: Option<String>,
    over: bool,
}

impl View {
    pub(crate) fn new(own: Identity) -> View {
        View {
            own,
            state: None,
            trouble: None,
            said: None,
            chosen: None,
            typed: None,
            over: false,
        }
    }

    /// The peer told how it stands.
    pub(crate) fn saw(&mut self, state: State) {
        self.state = Some(state);
        self.choose(self.line());
        self.trouble = None;
    }

    /// The peer did not.
    pub(crate) fn trouble(&mut self, why: String, now_us: i64) {
        self.trouble = Some(why);
        // What is shown grows older, and says so.
        if let Some(state) = &mut self.state {
            state.now_us = now_us;
        }
    }

    /// What an order came to.
    pub(crate) fn said(&mut self, text: String) {
        self.said = Some(text);
    }

    /// Whether somebody wants to leave.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// A key was pressed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Option<Order> {
        // Some terminals tell of keys that are let go, too.
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            self.over = true;
            return None;
        }
        match self.typed.take() {
            Some(text) => self.typing(text, key.code),
            None => self.command(key.code),
        }
    }

    fn command(&mut self, key: KeyCode) -> Option<Order> {
        self.said = None;
        match key {
            KeyCode::Char('q') | KeyCode::Esc => self.over = true,
            KeyCode::Char('n') => self.typed = Some(String::new()),
            KeyCode::Char('a') => return self.acknowledged(),
            KeyCode::Up => self.choose(self.line().saturating_sub(1)),
            KeyCode::Down => {
                let last = self.alarms().len().saturating_sub(1);
                self.choose((self.line() + 1).min(last));
            }
            _ => {}
        }
        None
    }

    fn acknowledged(&mut self) -> Option<Order> {
        let chosen = self.alarms().get(self.line()).cloned();
        match chosen {
            Some(alarm) if alarm.acknowledged_by.is_none() => Some(Order::Acknowledge {
                device: alarm.device,
                raised_us: alarm.raised_us,
            }),
            Some(_) => {
                self.said = Some("this alarm is acknowledged already".to_owned());
                None
            }
            None => {
                self.said = Some("there is no alarm".to_owned());
                None
            }
        }
    }

    fn typing(&mut self, mut text: String, key: KeyCode) -> Option<Order> {
        match key {
            KeyCode::Esc => return None,
            KeyCode::Enter => return new_job(&text),
            KeyCode::Backspace => {
                text.pop();
            }
            // The greenhouse takes no longer ones; room for the seconds stays.
            KeyCode::Char(letter) if text.len() < crate::rules::TASK_BYTES_MAX => text.push(letter),
            _ => {}
        }
        self.typed = Some(text);
        None
    }

    /// The line of the chosen alarm; the first one if that is gone.
    fn line(&self) -> usize {
        let chosen = |alarm: &Alarm| Some(&alarm.device) == self.chosen.as_ref();
        self.alarms().iter().position(chosen).unwrap_or(0)
    }

    fn choose(&mut self, line: usize) {
        self.chosen = self.alarms().get(line).map(|alarm| alarm.device.clone());
    }

    fn alarms(&self) -> &[Alarm] {
        self.state.as_ref().map_or(&[], |state| &state.alarms)
    }
}

/// A job as it was typed: a number at the end says how many seconds it takes.
fn new_job(text: &str) -> Option<Order> {
    let text = text.trim();
    let with_seconds = text.rsplit_once(' ').and_then(|(task, seconds)| {
        let seconds = seconds.parse().ok()?;
        Some((task.trim_end(), seconds))
    });
    let (task, seconds) = with_seconds.unwrap_or((text, JOB_SECONDS));
    (!task.is_empty()).then(|| Order::NewJob {
        task: task.to_owned(),
        seconds,
    })
}

/// So long ago, in few letters.
fn ago(now_us: i64, then_us: i64) -> String {
    // Another device's clock may be a little ahead.
    let seconds = now_us.saturating_sub(then_us).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A text of somebody else's as a terminal may have it: nothing in it can move the cursor.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests;
