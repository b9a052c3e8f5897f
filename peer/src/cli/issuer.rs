//! `tombolo issuer`: whose users a database takes.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Target;
use super::client::{Client, database, segment};
use super::output::{plain, print, print_json, print_line, shown, table};

/// Arguments of `issuer`.
#[derive(Debug, Args)]
pub(crate) struct Issuer {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take tokens of a provider of OpenID Connect, or change for whom they have to be
    Add(Add),
    /// List the providers whose tokens a database takes
    List(List),
    /// Take tokens of a provider no more; nobody speaks for its users then
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Add {
    /// Name or identity of the database
    database: String,
    /// The provider's URL, exactly as its tokens spell it (`iss`), a slash at its end included
    issuer: String,
    /// For whom its tokens have to be (`aud`): the client id of an application, or an API
    #[arg(long, value_name = "AUDIENCE", required = true)]
    audience: Vec<String>,
    /// A claim that modules may see besides issuer, subject and audience, and all members with them
    #[arg(long, value_name = "NAME")]
    claim: Vec<String>,
    /// Even though the provider cannot be reached now
    #[arg(long)]
    unchecked: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    /// Name or identity of the database
    database: String,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Remove {
    /// Name or identity of the database
    database: String,
    /// The provider, as `issuer list` shows it
    issuer: String,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Issuer {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        match self.verb {
            Verb::Add(verb) => verb.run(target),
            Verb::List(verb) => verb.run(target),
            Verb::Remove(verb) => verb.run(target),
        }
    }
}

impl Add {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let asked = json!({
            "issuer": self.issuer,
            "audiences": self.audience,
            "claims": self.claim,
            "unchecked": self.unchecked,
        });
        let answer = Client::of(target)?.post(&database(&self.database, "/issuers"), &asked)?;
        if self.json {
            print_json(&answer);
        } else {
            let keys = answer["keys"].as_array().map_or(0, Vec::len);
            print_line(&format!(
                "{} takes tokens of {}, checked with {keys} keys of it",
                shown(&self.database),
                shown(&self.issuer)
            ));
        }
        Ok(())
    }
}

impl List {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let issuers = Client::of(target)?.get(&database(&self.database, "/issuers"))?;
        if self.json {
            print_json(&issuers);
            return Ok(());
        }
        let rows = issuers.as_array().into_iter().flatten().map(|issuer| {
            let keys = issuer["keys"].as_array().map_or(0, Vec::len);
            vec![
                plain(&issuer["issuer"]),
                listed(&issuer["audiences"]),
                listed(&issuer["claims"]),
                keys.to_string(),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        print(&table(&["issuer", "audiences", "claims", "keys"], &rows));
        Ok(())
    }
}

impl Remove {
    fn run(&self, target: &Target) -> anyhow::Result<()> {
        let query = format!("/issuers?issuer={}", segment(&self.issuer));
        Client::of(target)?.delete(&database(&self.database, &query))?;
        if self.json {
            print_json(&json!({ "removed": self.issuer }));
        } else {
            print_line(&format!(
                "{} takes no tokens of {} any more",
                shown(&self.database),
                shown(&self.issuer)
            ));
        }
        Ok(())
    }
}

fn listed(texts: &Value) -> String {
    let texts = texts.as_array().into_iter().flatten();
    texts.map(plain).collect::<Vec<_>>().join(", ")
}
