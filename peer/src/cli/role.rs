//! `tombolo role`, `tombolo remove` and `tombolo leave`: what becomes of members.

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Target;
use super::client::{Client, database};
use super::output::{print_json, print_line};

/// Digits of a device key from which on it names a member.
const DIGITS_MIN: usize = 8;

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MemberRole {
    /// Everything: hands the database over, and this peer's device becomes an admin
    Owner,
    /// Call reducers, and invite and remove others
    Admin,
    /// Call reducers, for users of its own as well
    Gateway,
    /// Call reducers
    Writer,
    /// Read
    Reader,
}

/// Arguments of `role`.
#[derive(Debug, Args)]
pub(crate) struct SetRole {
    /// Name or identity of the database
    database: String,
    /// Device key of the member, or how it begins, as `tombolo members` shows it
    member: String,
    /// What it may do from now on
    #[arg(value_enum)]
    role: MemberRole,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name or identity of the database
    database: String,
    /// Device key of the member, or how it begins, as `tombolo members` shows it
    member: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `leave`.
#[derive(Debug, Args)]
pub(crate) struct Leave {
    /// Name or identity of the database
    database: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl SetRole {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let member = device_of(&one_of(&client, &self.database, &self.member)?);
        let role = self.role.to_possible_value();
        let role = role.as_ref().map_or("", |role| role.get_name());
        let path = database(&self.database, &format!("/members/{member}"));
        client.put_json(&path, &json!({ "role": role }))?;
        let text = format!(
            "{member} is {} of {} now",
            with_article(role),
            self.database
        );
        tell(self.json, &json!({ "id": member, "role": role }), &text);
        Ok(())
    }
}

impl Remove {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let member = one_of(&client, &self.database, &self.member)?;
        if member["this_peer"] == Value::Bool(true) {
            bail!(
                "that is this peer itself; `tombolo leave {}`",
                self.database
            );
        }
        let member = device_of(&member);
        client.delete(&database(&self.database, &format!("/members/{member}")))?;
        let text = format!(
            "{member} is removed from {}: what it wrote and this peer had not seen is void, and it hears \
             nothing more. Tickets that it knows still admit it: `tombolo invite {} --revoke TICKET`",
            self.database, self.database
        );
        tell(self.json, &json!({ "id": member, "role": null }), &text);
        Ok(())
    }
}

impl Leave {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let path = database(&self.database, "/members");
        let members = client.get(&path)?;
        let own = members
            .as_array()
            .into_iter()
            .flatten()
            .find(|member| member["this_peer"] == Value::Bool(true));
        let Some(own) = own.map(device_of) else {
            bail!("this peer is no member of {}", self.database);
        };
        client.delete(&database(&self.database, &format!("/members/{own}")))?;
        let text = format!(
            "this peer is no member of {} any more; what it holds stays until `tombolo delete {}`",
            self.database, self.database
        );
        tell(self.json, &json!({ "id": own, "role": null }), &text);
        Ok(())
    }
}

fn tell(as_json: bool, value: &Value, text: &str) {
    match as_json {
        true => print_json(value),
        false => print_line(text),
    }
}

fn with_article(role: &str) -> String {
    match role {
        "owner" => "the owner".to_owned(),
        "admin" => "an admin".to_owned(),
        other => format!("a {other}"),
    }
}

fn device_of(member: &Value) -> String {
    member["id"].as_str().unwrap_or_default().to_owned()
}

/// The member that a text means.
fn one_of(client: &Client, name: &str, text: &str) -> anyhow::Result<Value> {
    let members = client.get(&database(name, "/members"))?;
    let members = members.as_array().cloned().unwrap_or_default();
    chosen(members, text)
}

fn chosen(members: Vec<Value>, text: &str) -> anyhow::Result<Value> {
    let text = text.to_ascii_lowercase();
    if text.len() < DIGITS_MIN {
        bail!("`{text}` is too short: at least {DIGITS_MIN} digits of a device key");
    }
    let begins = |member: &Value| {
        member["id"]
            .as_str()
            .is_some_and(|id| id.starts_with(&text))
    };
    let mut found = members.into_iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            bail!("no member's device key begins with {text}; `tombolo members` shows them")
        }
        (Some(_), Some(_)) => {
            bail!("several members' device keys begin with {text}: give more of it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_by_how_their_keys_begin() {
        let members = || {
            let ids = ["aabbccdd00", "aabbccdd11", "0011223344"];
            ids.map(|id| json!({ "id": id })).to_vec()
        };
        let found = chosen(members(), "00112233").expect("one");
        assert_eq!(device_of(&found), "0011223344");
        assert!(chosen(members(), "AABBCCDD1").is_ok());
        for (text, why) in [
            ("aabbccdd", "several"),
            ("ffffffff", "no member"),
            ("0011", "too short"),
        ] {
            let error = chosen(members(), text).expect_err("not one");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
