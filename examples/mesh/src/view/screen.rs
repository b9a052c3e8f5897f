//! Draws the view: a headline, four parts, and a line for keys.

use super::text::headline;
use super::{View, ago, plain};
use crate::state::State;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

/// From so many columns on parts stand beside each other.
const BESIDE_WIDTH: u16 = 100;

const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const WAITS: Style = Style::new().fg(Color::Yellow);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);

impl View {
    /// Draws all of it.
    pub(crate) fn draw(&self, frame: &mut Frame) {
        let [top, middle, bottom] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.bottom_line(), bottom);
        let Some(state) = &self.state else {
            frame.render_widget(Line::styled("greenhouse: asking the peer", HEAD), top);
            return;
        };
        frame.render_widget(Line::styled(headline(state), HEAD), top);
        let [devices_at, alarms_at, links_at, jobs_at] = parts(middle, state);
        frame.render_widget(device_table(state), devices_at);
        frame.render_widget(self.alarm_table(state), alarms_at);
        frame.render_widget(link_table(state), links_at);
        frame.render_widget(job_table(state), jobs_at);
    }

    fn bottom_line(&self) -> Paragraph<'_> {
        let line = match (&self.typed, &self.trouble, &self.said) {
            (Some(text), ..) => Line::from(vec![
                Span::styled("new job, and its seconds: ", HEAD),
                Span::raw(plain(text)),
                Span::raw("▏"),
                Span::styled("  Enter asks for it, Esc does not", FAINT),
            ]),
            (None, Some(why), _) => Line::styled(plain(why), BAD),
            (None, None, Some(text)) => Line::styled(plain(text), WAITS),
            (None, None, None) => Line::styled(
                "q quit   ↑↓ choose an alarm   a acknowledge it   n new job",
                FAINT,
            ),
        };
        Paragraph::new(line)
    }

    fn alarm_table<'a>(&self, state: &'a State) -> Table<'a> {
        let rows = state.alarms.iter().map(|alarm| {
            let chosen = match Some(&alarm.device) == self.chosen.as_ref() {
                true => "›",
                false => " ",
            };
            let (over, style) = match alarm.over_us {
                Some(over) => (format!("over {} ago", ago(state.now_us, over)), GOOD),
                None => ("not over".to_owned(), BAD),
            };
            let by = match &alarm.acknowledged_by {
                Some(by) if *by == self.own => Cell::from("seen to by you"),
                Some(by) => Cell::from(format!("seen to by {}", plain(&state.name_of(by)))),
                None => Cell::from("seen to by nobody").style(WAITS),
            };
            Row::new([
                Cell::from(format!("{chosen} {}", plain(&state.name_of(&alarm.device)))),
                Cell::from(format!("{:.1}", alarm.value)),
                Cell::from(format!("{} ago", ago(state.now_us, alarm.raised_us))),
                Cell::from(over).style(style),
                by,
            ])
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(6),
            Constraint::Length(11),
            Constraint::Length(16),
            Constraint::Fill(2),
        ];
        Table::new(rows, widths).block(titled("alarms", state.alarms.len()))
    }
}

/// Where devices, alarms, links and jobs go: beside each other where there is room for that.
fn parts(area: Rect, state: &State) -> [Rect; 4] {
    let halves = match area.width >= BESIDE_WIDTH {
        true => Layout::horizontal([Constraint::Percentage(56), Constraint::Percentage(44)]),
        false => Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]),
    };
    let [one, other] = halves.areas(area);
    let [devices, alarms] = split(one, state.devices.len(), state.alarms.len());
    let [links, jobs] = split(other, state.links.len(), usize::MAX);
    [devices, alarms, links, jobs]
}

/// Two parts above each other: the upper one has the room it needs, up to what leaves the lower one some.
fn split(area: Rect, upper: usize, lower: usize) -> [Rect; 2] {
    // Two lines of frame, and one of headings.
    let need = |rows: usize| u16::try_from(rows.saturating_add(3)).unwrap_or(u16::MAX);
    let lower = need(lower).min(area.height / 2);
    let upper = need(upper).min(area.height.saturating_sub(lower));
    Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(area)
}

fn device_table(state: &State) -> Table<'_> {
    let rows = state.devices.iter().map(|device| {
        let (seen, style) = match state.is_away(device) {
            true => ("away ", BAD),
            false => ("", GOOD),
        };
        let seen = format!("{seen}{} ago", ago(state.now_us, device.last_seen_us));
        let value = device.value.map(|value| match device.kind {
            "temperature" => format!("{value:.1} °C"),
            _ => format!("{value:.1} %"),
        });
        Row::new([
            Cell::from(plain(&device.name)),
            Cell::from(device.kind),
            Cell::from(seen).style(style),
            Cell::from(value.unwrap_or_default()),
            Cell::from(match device.readings {
                0 => String::new(),
                readings => readings.to_string(),
            }),
        ])
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(11),
        Constraint::Length(14),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let head = Row::new(["device", "kind", "last seen", "value", "readings"]).style(FAINT);
    Table::new(rows, widths)
        .header(head)
        .block(titled("devices", state.devices.len()))
}

fn link_table(state: &State) -> Table<'_> {
    let rows = state.links.iter().map(|link| {
        let key: String = plain(&link.device).chars().take(8).collect();
        let (sync, style) = match (link.connected, link.in_sync) {
            (false, _) => ("", FAINT),
            (true, true) => ("yes", GOOD),
            (true, false) => ("not yet", WAITS),
        };
        let reached = match link.connected {
            true => Cell::from(format!("{} {}", link.reached(), plain(link.host()))),
            false => Cell::from(link.reached()).style(BAD),
        };
        Row::new([
            Cell::from(key),
            reached,
            Cell::from(
                link.rtt_ms
                    .map_or(String::new(), |rtt| format!("{rtt:.1} ms")),
            ),
            Cell::from(sync).style(style),
        ])
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(7),
    ];
    let head = Row::new(["peer", "reached", "round trip", "in sync"]).style(FAINT);
    Table::new(rows, widths)
        .header(head)
        .block(titled("links", state.links.len()))
}

fn job_table(state: &State) -> Table<'_> {
    let now = state.now_us;
    let open = state.jobs.iter().map(|job| {
        let (who, style) = match &job.claim {
            Some(claim) => (
                format!(
                    "{}, {}",
                    plain(&state.name_of(&claim.actuator)),
                    ago(now, claim.since_us)
                ),
                WAITS,
            ),
            None => (format!("free, {}", ago(now, job.asked_us)), BAD),
        };
        Row::new([
            Cell::from(job.number.to_string()),
            Cell::from(plain(&job.task)),
            Cell::from(who).style(style),
        ])
    });
    let finished = state.finished.iter().map(|job| {
        let who = plain(&state.name_of(&job.actuator));
        Row::new([
            Cell::from(job.job.to_string()),
            Cell::from(plain(&job.task)),
            Cell::from(format!("done by {who}, {} ago", ago(now, job.at_us))).style(GOOD),
        ])
    });
    let widths = [
        Constraint::Length(6),
        Constraint::Fill(2),
        Constraint::Fill(3),
    ];
    let head = Row::new(["job", "what", "who"]).style(FAINT);
    Table::new(open.chain(finished), widths)
        .header(head)
        .block(titled("jobs", state.jobs.len()))
}

fn titled(name: &str, count: usize) -> Block<'static> {
    Block::bordered().title(format!(" {name} {count} "))
}
