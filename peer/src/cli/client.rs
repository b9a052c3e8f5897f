//! The command line's HTTP client.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body};

use super::Target;
use crate::driver::data_dir::{read_owner_token, read_run_info, read_small, write_whole};
use crate::driver::https::{Trust, connector, objection};
use crate::driver::server::CERTIFICATE;

/// How long a connection may take: the peer is near, or it is not there.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Bytes of an answer. Large tables are read whole, so that they can be aligned.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A client of one peer.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    /// What to do if nobody answers.
    remedy: String,
}

/// What a peer answered, if it was not what we asked for.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The peer's sentence.
    pub(crate) text: String,
}

impl Client {
    /// The peer that the person means.
    ///
    /// # Errors
    /// When no peer runs on the data directory, with how to start one.
    pub(crate) fn of(target: &Target) -> anyhow::Result<Self> {
        match &target.server {
            Some(server) => Self::of_server(server, target),
            None => Self::of_data_dir(&data_dir(target)?),
        }
    }

    fn of_server(server: &str, target: &Target) -> anyhow::Result<Self> {
        let base = server.trim_end_matches('/');
        let base = if base.contains("://") {
            base.to_owned()
        } else {
            format!("http://{base}")
        };
        let trust = match base.split_once("://").map_or("", |(scheme, _)| scheme) {
            "http" => None,
            "https" => Some(trust_in(&base, target)?),
            _ => bail!("{base}: only http:// and https:// are spoken"),
        };
        Ok(Self {
            agent: agent(trust)?,
            remedy: "is that a peer's address, and does it run?".to_owned(),
            token: target.token.clone().or_else(|| kept_token(target, &base)),
            base,
        })
    }

    /// The peer that runs on a data directory, as its owner.
    ///
    /// # Errors
    /// When none runs there.
    pub(crate) fn of_data_dir(dir: &Path) -> anyhow::Result<Self> {
        let start = format!("start it with: tombolo start --data-dir {}", dir.display());
        let run = match read_run_info(dir) {
            Ok(run) => run,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("no peer runs on {}; {start}", dir.display())
            }
            Err(error) => bail!("cannot read {}/run.json: {error}", dir.display()),
        };
        let token = read_owner_token(dir).map_err(|error| {
            anyhow!(
                "cannot read {}/owner.token: {error}; restart the peer",
                dir.display()
            )
        })?;
        Ok(Self {
            agent: agent(run.certificate.map(Trust::Shown))?,
            base: run.http,
            token: Some(token),
            remedy: format!(
                "the peer on {} seems to have been killed; {start}",
                dir.display()
            ),
        })
    }

    /// The peer's URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// `GET`, as JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        json(&self.get_text(path)?)
    }

    /// `GET`, as text.
    pub(crate) fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let (_, mut body) = self.sent(self.request(self.agent.get(self.url(path))).call())?;
        text(&mut body)
    }

    /// `GET`, as it comes.
    pub(crate) fn get_stream(&self, path: &str) -> anyhow::Result<impl Read + use<>> {
        let (_, body) = self.sent(self.request(self.agent.get(self.url(path))).call())?;
        Ok(body.into_with_config().limit(u64::MAX).reader())
    }

    /// `POST` of JSON, answered with JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (_, text) = self.post_raw(path, "application/json", body.to_string().as_bytes())?;
        json(&text)
    }

    /// `POST` of anything, answered with headers and text.
    pub(crate) fn post_raw(
        &self,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<(HeaderMap, String)> {
        let request = self.request(self.agent.post(self.url(path)));
        let (headers, mut answer) = self.sent(request.content_type(kind).send(body))?;
        Ok((headers, text(&mut answer)?))
    }

    /// `PUT` of bytes, answered with JSON.
    pub(crate) fn put(&self, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let request = self.request(self.agent.put(self.url(path)));
        let kind = "application/wasm";
        let (_, mut answer) = self.sent(request.content_type(kind).send(body))?;
        json(&text(&mut answer)?)
    }

    /// `PUT` of JSON.
    pub(crate) fn put_json(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let request = self.request(self.agent.put(self.url(path)));
        let body = body.to_string();
        self.sent(request.content_type("application/json").send(body))?;
        Ok(())
    }

    /// `DELETE`.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.sent(self.request(self.agent.delete(self.url(path))).call())?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn request<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn sent(
        &self,
        result: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<(HeaderMap, Body)> {
        let response = result.map_err(|error| match error {
            ureq::Error::Io(error) if objection(&error).is_some() => anyhow!(
                "{}: no TLS with it ({error}); compare the SHA-256 that the peer printed at its start, \
                 and give its certificate with --tls-ca",
                self.base
            ),
            ureq::Error::Io(error) => {
                anyhow!("{} does not answer ({error}); {}", self.base, self.remedy)
            }
            ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                anyhow!("{} does not answer ({error}); {}", self.base, self.remedy)
            }
            other => anyhow!("{}: {other}", self.base),
        })?;
        let (parts, mut body) = response.into_parts();
        if parts.status.is_success() {
            return Ok((parts.headers, body));
        }
        let sentence = text(&mut body).unwrap_or_default();
        let text = if sentence.trim().is_empty() {
            format!("the peer answered {}", parts.status)
        } else {
            sentence.trim().to_owned()
        };
        Err(Refused {
            status: parts.status.as_u16(),
            text,
        }
        .into())
    }
}

/// The data directory that the person means.
///
/// # Errors
/// When there is no home directory to put a default into.
pub(crate) fn data_dir(target: &Target) -> anyhow::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = &target.data_dir {
        return Ok(dir.clone());
    }
    if let Some(data) = set("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("tombolo"));
    }
    match set("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".local/share/tombolo")),
        None => bail!("there is no home directory; give one with --data-dir DIR"),
    }
}

/// Tokens that `tombolo login` keeps for servers, each by the server's URL.
const LOGINS: &str = "logins.json";

/// Keeps a token to send to a server from now on, and to no other.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn keep_token(target: &Target, base: &str, token: &str) -> anyhow::Result<()> {
    let dir = data_dir(target)?;
    std::fs::create_dir_all(&dir)
        .map_err(|error| anyhow!("cannot make {}: {error}", dir.display()))?;
    let mut logins = logins(&dir);
    logins.insert(base.to_owned(), token.into());
    let text = format!("{:#}\n", Value::Object(logins));
    write_whole(&dir.join(LOGINS), 0o600, text.as_bytes())?;
    Ok(())
}

fn kept_token(target: &Target, base: &str) -> Option<String> {
    let logins = logins(&data_dir(target).ok()?);
    logins.get(base)?.as_str().map(str::to_owned)
}

fn logins(dir: &Path) -> serde_json::Map<String, Value> {
    let text = read_small(&dir.join(LOGINS)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The path of something about a database.
pub(crate) fn database(name: &str, rest: &str) -> String {
    format!("/v1/database/{}{rest}", segment(name))
}

/// Whom to believe that it is the peer at this URL: those that the person names, or the certificate
/// that the peer on the data directory made for itself.
fn trust_in(base: &str, target: &Target) -> anyhow::Result<Trust> {
    if let Some(file) = &target.tls_ca {
        return Trust::in_file(file);
    }
    let kept = data_dir(target)?.join(CERTIFICATE);
    if kept.exists() {
        return Trust::in_file(&kept);
    }
    bail!(
        "{base}: say with --tls-ca FILE which certificates to believe it by (PEM); for a peer that \
         was started with --tls that is {CERTIFICATE} of its data directory"
    )
}

fn agent(trust: Option<Trust>) -> anyhow::Result<Agent> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_WAIT))
        .max_redirects(0)
        // A peer is asked directly: a proxy for the web knows no loopback of ours.
        .proxy(None)
        .build();
    Ok(match trust {
        None => config.into(),
        Some(trust) => {
            let connector = TcpConnector::default().chain(connector(trust)?);
            Agent::with_parts(config, connector, DefaultResolver::default())
        }
    })
}

fn text(body: &mut Body) -> anyhow::Result<String> {
    let text = body
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()?;
    Ok(text)
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| anyhow!("the peer's answer is not JSON ({error}); is it another version?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_segment_of_a_path() {
        assert_eq!(segment("chat-2.x_y~"), "chat-2.x_y~");
        assert_eq!(segment("a/b?c#d e"), "a%2Fb%3Fc%23d%20e");
        assert_eq!(segment("ü"), "%C3%BC");
        assert_eq!(database("a b", "/sql"), "/v1/database/a%20b/sql");
    }

    #[test]
    fn a_server_is_an_http_url() {
        let nowhere = Target {
            data_dir: Some("/nowhere".into()),
            ..Target::default()
        };
        let base = |server: &str| Client::of_server(server, &nowhere).map(|client| client.base);
        assert_eq!(
            base("localhost:3000/").expect("fine"),
            "http://localhost:3000"
        );
        assert_eq!(base("http://[::1]:1").expect("fine"), "http://[::1]:1");
        assert!(base("ftp://example.com").is_err());
        let unknown = base("https://example.com").expect_err("nobody to believe");
        assert!(unknown.to_string().contains("--tls-ca"), "{unknown}");
    }

    #[test]
    fn nobody_home_says_how_to_start() {
        let scratch = tempfile::tempdir().expect("scratch");
        let error = Client::of_data_dir(scratch.path())
            .map(|_| ())
            .expect_err("nobody");
        assert!(
            error.to_string().contains("tombolo start --data-dir"),
            "{error}"
        );
    }
}
