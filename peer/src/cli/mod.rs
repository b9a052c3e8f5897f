//! The command line: one file a verb. All but `start`, `check`, `restore`, `generate`, `demo` and `version` are clients of a
//! running peer over HTTP, with no more rights than any other client that holds the same token.
//!
//! Results go to standard output and nothing else does; progress and errors go to standard error.
//! Exit status: 0, 1 when it failed, 2 when the command line was wrong.

mod backup;
mod call;
mod check;
mod client;
mod delete;
mod demo;
mod describe;
mod dump;
mod finaliser;
mod generate;
mod invite;
mod issuer;
mod join;
mod list;
mod login;
mod logs;
mod members;
mod network;
mod output;
mod peers;
mod publish;
mod rebuild;
mod rename;
mod restore;
mod role;
mod sql;
mod start;
mod status;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Your SpacetimeDB module, unmodified, peer to peer.
///
/// Every device runs a peer that holds the whole database and runs its reducers, online or not.
/// Peers exchange signed calls; the same order on every peer decides what happened.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

/// Which peer is meant, and as whom.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Target {
    /// Data directory of a peer on this machine; you act as its owner [default: tombolo in
    /// $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, global = true, value_name = "DIR", env = "TOMBOLO_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// URL of any other peer, instead of a data directory; without --token, or one that `login` keeps for
    /// it, you are anonymous
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Certificates to believe a --server with https:// by (PEM) [default: the one that `start --tls`
    /// made in the data directory]
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Token to send to --server
    #[arg(long, global = true, value_name = "TOKEN", requires = "server")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a peer until Ctrl-C
    Start(start::Start),
    /// Create a database from a compiled module
    Publish(publish::Publish),
    /// Call a reducer
    Call(call::Call),
    /// Ask a query
    Sql(sql::Sql),
    /// Show what a module logged on this peer
    Logs(logs::Logs),
    /// Show a module's tables and reducers
    Describe(describe::Describe),
    /// Write client code for a module
    Generate(generate::Generate),
    /// List the databases of this peer
    List(list::List),
    /// Give a database another name on this peer
    Rename(rename::Rename),
    /// Remove a database from this peer; other members keep theirs
    Delete(delete::Delete),
    /// Show how databases stand: cut, tail, roots, peers
    Status(status::Status),
    /// Make a ticket with which another peer can join a database
    Invite(invite::Invite),
    /// Join a database with a ticket; returns when it can be used here
    Join(join::Join),
    /// Show who this device is, or sign in at a provider so that it speaks for a user
    Login(login::Login),
    /// Speak for a provider's user no more
    Logout(login::Logout),
    /// List the members of a database
    Members(members::Members),
    /// Give a member another role, or hand the database over to it
    Role(role::SetRole),
    /// Put a member out: what it wrote unseen is void
    Remove(role::Remove),
    /// End this peer's own membership
    Leave(role::Leave),
    /// Whose users a database takes: add, list, remove providers of OpenID Connect
    Issuer(issuer::Issuer),
    /// Who makes calls final: show, hand over, recover
    Finaliser(finaliser::Finaliser),
    /// Build a database's tables anew from its log
    Rebuild(rebuild::Rebuild),
    /// Write the rows of one cut down as text
    Dump(dump::Dump),
    /// Write a database's history into a file, while the peer runs
    Backup(backup::Backup),
    /// Put a backup into a data directory, while no peer runs on it
    Restore(restore::Restore),
    /// List connected peers
    Peers(peers::Peers),
    /// Unplug this peer from all others, or plug it in again
    Network(network::Network),
    /// Look whether a data directory is sound, while no peer runs on it
    Check(check::Check),
    /// Show the version
    Version(version::Version),
    /// Three peers on this machine, a conflict while one is cut off, and convergence
    Demo(demo::Demo),
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain in one line: what failed, and why.
            eprintln!("tombolo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let target = &cli.target;
    match cli.verb {
        Verb::Start(verb) => verb.run(target),
        Verb::Publish(verb) => verb.run(target),
        Verb::Call(verb) => verb.run(target),
        Verb::Sql(verb) => verb.run(target),
        Verb::Logs(verb) => verb.run(target),
        Verb::Describe(verb) => verb.run(target),
        Verb::Generate(verb) => verb.run(target),
        Verb::List(verb) => verb.run(target),
        Verb::Rename(verb) => verb.run(target),
        Verb::Delete(verb) => verb.run(target),
        Verb::Status(verb) => verb.run(target),
        Verb::Invite(verb) => verb.run(target),
        Verb::Join(verb) => verb.run(target),
        Verb::Members(verb) => verb.run(target),
        Verb::Role(verb) => verb.run(target),
        Verb::Remove(verb) => verb.run(target),
        Verb::Leave(verb) => verb.run(target),
        Verb::Finaliser(verb) => verb.run(target),
        Verb::Rebuild(verb) => verb.run(target),
        Verb::Dump(verb) => verb.run(target),
        Verb::Backup(verb) => verb.run(target),
        Verb::Restore(verb) => verb.run(target),
        Verb::Peers(verb) => verb.run(target),
        Verb::Network(verb) => verb.run(target),
        Verb::Issuer(verb) => verb.run(target),
        Verb::Login(verb) => verb.run(target),
        Verb::Logout(verb) => verb.run(target),
        Verb::Check(verb) => verb.run(target),
        Verb::Version(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_target_may_stand_before_or_after_the_verb() {
        for line in [
            "tombolo --data-dir /d list",
            "tombolo list --data-dir /d",
            "tombolo list --json --data-dir /d",
        ] {
            let cli = parse(line).expect("fine");
            assert_eq!(cli.target.data_dir, Some(PathBuf::from("/d")), "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "tombolo",
            "tombolo issuer",
            "tombolo login chat",
            "tombolo login chat --issuer https://a.b",
            "tombolo login --issuer https://a.b --client-id c",
            "tombolo login --token-file f",
            "tombolo logout chat --issuer https://a.b",
            "tombolo issuer add chat https://example.com",
            "tombolo publish chat",
            "tombolo generate --lang typescript --out-dir a",
            "tombolo generate --lang cobol --out-dir a --database b",
            "tombolo invite chat --uses 0",
            "tombolo invite chat --expires soon",
            "tombolo network sideways",
            "tombolo role chat 00112233",
            "tombolo role chat 00112233 queen",
            "tombolo remove chat",
            "tombolo invite chat --revoke t --uses 2",
            "tombolo finaliser",
            "tombolo finaliser move chat",
            "tombolo finaliser recover chat --key a --key-file b",
            "tombolo list --token t",
            "tombolo list --tls-ca f",
            "tombolo start --tls-cert c",
            "tombolo start --tls-key k",
            "tombolo start --tls --tls-cert c --tls-key k",
            "tombolo start --tls --insecure-http",
            "tombolo start --p2p 127.0.0.1",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn negative_numbers_are_arguments() {
        let cli = parse("tombolo call db add -5 -x").map(|_| ());
        assert!(cli.is_err(), "-x is an unknown option");
        parse("tombolo call db add -5 [1,2]").expect("fine");
    }
}
