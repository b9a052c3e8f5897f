//! One look as plain text, for those who have no terminal.

use super::{ago, plain};
use crate::state::State;
use std::fmt::Write;

/// How it stands: a heading for each part, and a line for each thing.
pub(crate) fn as_text(state: &State) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    let _ = write_all(&mut out, state);
    out
}

fn write_all(out: &mut String, state: &State) -> std::fmt::Result {
    let now = state.now_us;
    writeln!(out, "{}", headline(state))?;
    writeln!(out, "\ndevices")?;
    for device in &state.devices {
        let away = if state.is_away(device) { "  away" } else { "" };
        let value = device
            .value
            .map_or("-".to_owned(), |value| format!("{value:.1}"));
        writeln!(
            out,
            "  {:<16} {:<12} {}  seen {} ago  {:>6}  {} readings{away}",
            plain(&device.name),
            device.kind,
            device.identity.short(),
            ago(now, device.last_seen_us),
            value,
            device.readings,
        )?;
    }
    writeln!(out, "\nlinks")?;
    for link in &state.links {
        writeln!(out, "  {}", link_line(link))?;
    }
    writeln!(out, "\njobs")?;
    for job in &state.jobs {
        let claim = job.claim.as_ref().map_or("free".to_owned(), |claim| {
            let who = plain(&state.name_of(&claim.actuator));
            format!("{who} since {}", ago(now, claim.since_us))
        });
        writeln!(
            out,
            "  {}  {} ({} s)  {claim}",
            job.number,
            plain(&job.task),
            job.seconds
        )?;
    }
    for job in &state.finished {
        let who = plain(&state.name_of(&job.actuator));
        let when = ago(now, job.at_us);
        writeln!(
            out,
            "  {}  {}  done by {who} {when} ago",
            job.job,
            plain(&job.task)
        )?;
    }
    writeln!(out, "\nalarms")?;
    for alarm in &state.alarms {
        let who = plain(&state.name_of(&alarm.device));
        let until = alarm.over_us.map_or("not over".to_owned(), |over| {
            format!("over since {}", ago(now, over))
        });
        let by = alarm
            .acknowledged_by
            .as_ref()
            .map_or("nobody".to_owned(), |by| plain(&state.name_of(by)));
        let raised = ago(now, alarm.raised_us);
        writeln!(
            out,
            "  {who:<16} {:.1}  raised {raised} ago, {until}, acknowledged by {by}",
            alarm.value
        )?;
    }
    Ok(())
}

/// The peer, how it stands with the others, and how much is measured.
pub(super) fn headline(state: &State) -> String {
    let reached = state.links.iter().filter(|link| link.connected).count();
    format!(
        "{}: {reached} of {} others reached; cut {}, {} calls not final; \
         {:.1} readings/s, {} kept for {} s",
        state.peer,
        state.links.len(),
        state.cut,
        state.not_final,
        state.readings_per_second,
        state.readings,
        state.window_s,
    )
}

/// A member's peer in one line.
pub(super) fn link_line(link: &crate::state::Link) -> String {
    let rtt = link
        .rtt_ms
        .map_or(String::new(), |rtt| format!("  {rtt:.1} ms"));
    let sync = match (link.connected, link.in_sync) {
        (false, _) => "",
        (true, true) => "  in sync",
        (true, false) => "  not in sync yet",
    };
    format!(
        "{}  {} {}{rtt}{sync}",
        plain(&link.device).chars().take(8).collect::<String>(),
        link.reached(),
        plain(link.host()),
    )
}
