//! Talks to the peer of this device, over HTTP as SpacetimeDB's clients may: calls, SQL, and a token for an
//! identity of one's own.
//!
//! Not with SpacetimeDB's client library: its licence is not that of this example. A device that may use it
//! has the same tables and reducers there (`tombolo generate --lang rust`).

use crate::rows::Identity;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;

/// How long one answer may take. The peer is on the same device.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a file of a data directory, or of a token.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Which peer, and which database of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Data directory of the peer on this device
    #[arg(
        long,
        value_name = "DIR",
        env = "TOMBOLO_DATA_DIR",
        required_unless_present = "server"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// The peer's address, where its data directory cannot be read: http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Name or identity of the database
    #[arg(long, value_name = "NAME", default_value = "greenhouse")]
    pub(crate) database: String,
}

/// A peer, and as whom one talks to it.
#[derive(Clone)]
pub(crate) struct Peer {
    agent: Agent,
    base: String,
    database: String,
    token: Option<String>,
}

/// Why a call did not go through.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The reducer said no, or the peer did for what was asked: a status of HTTP and a text. To ask again
    /// is no use.
    No(u16, String),
    /// The peer could not answer now.
    Later(anyhow::Error),
}

impl From<Refused> for anyhow::Error {
    fn from(refused: Refused) -> anyhow::Error {
        match refused {
            Refused::No(_, text) => anyhow!("{text}"),
            Refused::Later(error) => error,
        }
    }
}

/// A call by its place in the one order: the id of a row of `st_invocation`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) String);

impl Peer {
    /// The peer that is meant, as its owner where its data directory is given, else as nobody.
    ///
    /// # Errors
    /// When none runs on that directory.
    pub(crate) fn of(place: &Place) -> anyhow::Result<Peer> {
        let (base, token) = match (&place.data_dir, &place.server) {
            (_, Some(server)) => (server.trim_end_matches('/').to_owned(), None),
            (Some(dir), None) => (running_on(dir)?, Some(owner_token(dir)?)),
            (None, None) => bail!("give the peer with --data-dir DIR or --server URL"),
        };
        if !base.starts_with("http://") {
            bail!(
                "{base}: this example speaks plain http:// to the peer of its own device; \
                 start that without --tls, or let it listen on loopback only"
            );
        }
        Ok(Peer {
            agent: Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(ANSWER_WAIT))
                .max_redirects(0)
                .proxy(None)
                .build()
                .into(),
            base,
            database: place.database.clone(),
            token,
        })
    }

    /// The peer's address.
    pub(crate) fn address(&self) -> &str {
        &self.base
    }

    /// Whether one talks to it as its owner.
    pub(crate) fn is_owner(&self) -> bool {
        self.token.is_some()
    }

    /// The same peer, under an identity whose token is kept in `file`; made at the first time.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds a token of another peer.
    pub(crate) fn known_by(mut self, file: &Path) -> anyhow::Result<(Peer, Identity)> {
        self.token = None;
        let kept = match file.exists() {
            true => small_file(file)?,
            false => {
                let made = self.send("POST", "/v1/identity", None)?.text;
                // Kept before it is used: who lost it would be another device the next time.
                keep(file, &made)?;
                made
            }
        };
        let kept: Value = serde_json::from_str(&kept)
            .with_context(|| format!("{} does not hold a token", file.display()))?;
        let field = |name: &str| kept[name].as_str().unwrap_or_default().to_owned();
        let identity = Identity::parse(&field("identity"))
            .with_context(|| format!("{} does not hold a token", file.display()))?;
        self.token = Some(field("token"));
        // Whatever is asked, a token of another peer is refused.
        let path = format!("/v1/database/{}/identity", self.database);
        match self.ask("GET", &path, None) {
            Ok(_) => {}
            Err(Refused::No(401, why)) => bail!(
                "the token in {} does not count at {}: {why}. A device that moves to another \
                 peer needs another --state",
                file.display(),
                self.base
            ),
            Err(refused) => return Err(refused.into()),
        }
        Ok((self, identity))
    }

    /// Calls a reducer with an array of arguments.
    ///
    /// # Errors
    /// Why it did not go through.
    pub(crate) fn call(&self, reducer: &str, arguments: &Value) -> Result<CallId, Refused> {
        let path = format!("/v1/database/{}/call/{reducer}", self.database);
        let answer = self.ask("POST", &path, Some(&arguments.to_string()))?;
        let place = answer
            .place
            .ok_or_else(|| Refused::Later(anyhow!("{} is no peer of Tombolo", self.base)))?;
        Ok(place)
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn rows(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/v1/database/{}/sql", self.database);
        let text = self.send("POST", &path, Some(sql))?.text;
        let mut answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} answers a query with no JSON", self.base))?;
        match answer[0]["rows"].take() {
            Value::Array(rows) => Ok(rows),
            _ => bail!("{} answers a query without rows", self.base),
        }
    }

    /// Something that the peer tells its owner.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let text = self.send("GET", path, None)?.text;
        serde_json::from_str(&text).with_context(|| format!("{path}: no JSON"))
    }

    fn send(&self, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<Told> {
        Ok(self.ask(method, path, body)?)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<Told, Refused> {
        let kind = match body {
            Some(text) if text.starts_with('[') => "application/json",
            _ => "text/plain",
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Content-Type", kind);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(body.unwrap_or_default().to_owned())
            .map_err(|error| Refused::No(0, format!("{}: {error}", self.base)))?;
        let answer = match body.is_some() || method == "POST" {
            true => self.agent.run(request),
            false => self.agent.run(request.map(|_| ())),
        };
        let later = |error: ureq::Error| {
            Refused::Later(anyhow!(
                "the peer at {} does not answer: {error}",
                self.base
            ))
        };
        let mut answer = answer.map_err(later)?;
        let status = answer.status().as_u16();
        let place = answer.headers().get("tombolo-call");
        let place = place
            .and_then(|place| place.to_str().ok())
            .and_then(call_id);
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string().map_err(later)?;
        match status {
            200..300 => Ok(Told { text, place }),
            // Busy, starting, or its disk is full: it says which.
            503 => Err(Refused::Later(anyhow!("{}", text.trim()))),
            _ if text.trim().is_empty() => {
                Err(Refused::No(status, format!("{path}: status {status}")))
            }
            _ => Err(Refused::No(status, text.trim().to_owned())),
        }
    }
}

/// What a peer answered.
struct Told {
    text: String,
    /// Of a call: where it ended up.
    place: Option<CallId>,
}

fn call_id(header: &str) -> Option<CallId> {
    let place: Value = serde_json::from_str(header).ok()?;
    let id = format!("{}/{}", place["entry"].as_str()?, place["index"].as_u64()?);
    Some(CallId(id))
}

fn running_on(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("run.json");
    if !file.exists() {
        bail!(
            "no peer runs on {}; start it with: tombolo start --data-dir {}",
            dir.display(),
            dir.display()
        );
    }
    let run: Value = serde_json::from_str(&small_file(&file)?)
        .with_context(|| format!("{} is damaged; start the peer again", file.display()))?;
    let http = run["http"].as_str();
    Ok(http
        .context("run.json does not say where the peer is")?
        .to_owned())
}

fn owner_token(dir: &Path) -> anyhow::Result<String> {
    Ok(small_file(&dir.join("owner.token"))?.trim().to_owned())
}

fn small_file(file: &Path) -> anyhow::Result<String> {
    let text = fs::metadata(file).and_then(|about| match about.len() > FILE_BYTES_MAX {
        true => Err(std::io::Error::other("it is too large")),
        false => fs::read_to_string(file),
    });
    text.with_context(|| format!("cannot read {}", file.display()))
}

/// Writes a token where only its owner reads it, whole or not at all.
fn keep(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut to = options.open(&beside)?;
        to.write_all(text.as_bytes())?;
        to.sync_all()?;
        fs::rename(&beside, file)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: Option<&Path>, server: Option<&str>) -> Place {
        Place {
            data_dir: dir.map(Path::to_path_buf),
            server: server.map(str::to_owned),
            database: "greenhouse".to_owned(),
        }
    }

    #[test]
    fn a_call_is_known_by_entry_and_index() {
        let header = r#"{"entry":"ab","index":3,"timestamp":1,"units":2}"#;
        assert_eq!(call_id(header), Some(CallId("ab/3".to_owned())));
        assert_eq!(call_id("{}"), None);
    }

    #[test]
    fn a_directory_without_a_peer_says_how_to_start_one() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let error = Peer::of(&place(Some(scratch.path()), None))
            .err()
            .expect("nobody");
        assert!(error.to_string().contains("tombolo start"), "{error}");
    }

    #[test]
    fn a_peer_that_runs_is_found_with_its_owners_token() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let run = r#"{"pid":1,"http":"http://127.0.0.1:9"}"#;
        fs::write(scratch.path().join("run.json"), run).expect("it can be written");
        fs::write(scratch.path().join("owner.token"), "word\n").expect("it can be written");
        let peer = Peer::of(&place(Some(scratch.path()), None)).expect("fine");
        assert_eq!(peer.address(), "http://127.0.0.1:9");
        assert_eq!(peer.token.as_deref(), Some("word"));
    }

    #[test]
    fn tls_is_said_not_to_be_spoken() {
        let error = Peer::of(&place(None, Some("https://a.b")))
            .err()
            .expect("no");
        assert!(error.to_string().contains("without --tls"), "{error}");
    }

    #[test]
    fn a_token_is_for_its_owner_alone_and_not_written_by_halves() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let file = scratch.path().join("deep/roof.token");
        keep(&file, "first").expect("it can be written");
        keep(&file, "second").expect("it can be written");
        assert_eq!(small_file(&file).expect("it can be read"), "second");
        let mode = fs::metadata(&file)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let long = "x".repeat(usize::try_from(FILE_BYTES_MAX).expect("small") + 1);
        fs::write(&file, long).expect("it can be written");
        assert!(small_file(&file).is_err(), "it is too large");
    }
}
