//! `tombolo invite`: prints nothing but the ticket, so that it can be piped. `--revoke` ends one.

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::Target;
use super::client::{Client, database};
use super::output::{print_json, print_line};

/// What the joiner may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InvitedRole {
    /// Call reducers, and invite and remove others
    Admin,
    /// Call reducers, for users of its own as well
    Gateway,
    /// Call reducers
    Writer,
    /// Read
    Reader,
}

/// Arguments of `invite`.
#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// Name or identity of the database
    database: String,
    /// What the joiner may do
    #[arg(long, value_enum, default_value_t = InvitedRole::Writer)]
    role: InvitedRole,
    /// How many peers can join with the ticket
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long the ticket is good: a number with s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_seconds)]
    expires: u64,
    /// Revoke this ticket instead of making one: it admits nobody any more
    #[arg(long, value_name = "TICKET", conflicts_with_all = ["role", "uses", "expires"])]
    revoke: Option<String>,
    /// Print the ticket as JSON
    #[arg(long)]
    json: bool,
}

impl Invite {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        if let Some(ticket) = &self.revoke {
            let path = database(&self.database, "/invite/revoke");
            let answer = client.post(&path, &json!({ "ticket": ticket }))?;
            match self.json {
                true => print_json(&answer),
                false => print_line("the ticket is revoked: it admits nobody any more"),
            }
            return Ok(());
        }
        let role = self.role.to_possible_value();
        let invitation = json!({
            "role": role.as_ref().map_or("writer", |role| role.get_name()),
            "uses": self.uses,
            "expires_in_s": self.expires,
        });
        let answer = client.post(&database(&self.database, "/invite"), &invitation)?;
        if self.json {
            print_json(&answer);
        } else {
            let ticket = answer["ticket"].as_str();
            print_line(
                ticket.context("the peer's answer holds no ticket; is it another version?")?,
            );
        }
        Ok(())
    }
}

/// Reads `90s`, `30m`, `24h` or `7d`.
fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number with s, m, h or d, for example 24h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match number.checked_mul(factor) {
        Some(0) => Err("a ticket must be good for at least a second".to_owned()),
        Some(seconds) => Ok(seconds),
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_seconds("90s"), Ok(90));
        assert_eq!(parse_seconds("30m"), Ok(1_800));
        assert_eq!(parse_seconds("24h"), Ok(86_400));
        assert_eq!(parse_seconds("7d"), Ok(604_800));
        for text in [
            "",
            "24",
            "h",
            "0h",
            "-1h",
            "1.5h",
            "24 h",
            "99999999999999999999d",
            "1ü",
        ] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
