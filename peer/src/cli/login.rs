//! `tombolo login` and `logout`: who this device is, whose token is sent to a server, and signing in at
//! a provider of OpenID Connect so that this device speaks for its user.

mod loopback;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::loopback::Loopback;
use super::Target;
use super::client::{Client, data_dir, database, keep_token, segment};
use super::output::{pairs, plain, print, print_json, print_line, shown};
use crate::driver::clock::dice;
use crate::driver::issuers::discovery::Document;
use crate::driver::issuers::fetch;

/// How long a person may take to sign in.
const SIGN_IN_WAIT: Duration = Duration::from_secs(600);

/// Bytes of a file with a token.
const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Name or identity of the database for which to sign in; without it, this device's identity is
    /// shown
    #[arg(requires = "issuer")]
    database: Option<String>,
    /// The provider to sign in at, as `tombolo issuer list` shows it
    #[arg(
        long,
        value_name = "URL",
        requires = "client_id",
        requires = "database"
    )]
    issuer: Option<String>,
    /// What the provider calls this application: a public client with PKCE, which may be sent back to
    /// http://127.0.0.1/callback
    #[arg(long, value_name = "ID", requires = "issuer")]
    client_id: Option<String>,
    /// What to ask the provider for. All members can read the token: ask for little
    #[arg(
        long,
        value_name = "SCOPES",
        default_value = "openid",
        requires = "issuer"
    )]
    scope: String,
    /// Port to be sent back to, for providers that want to know it beforehand [default: a free one]
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        requires = "issuer",
        hide_default_value = true
    )]
    redirect_port: u16,
    /// Print the address to sign in at, and open no browser
    #[arg(long, requires = "issuer")]
    no_browser: bool,
    /// File with a token to send to --server from now on; `-` reads standard input
    #[arg(
        long,
        value_name = "FILE",
        requires = "server",
        conflicts_with = "issuer"
    )]
    token_file: Option<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Name or identity of the database
    database: String,
    /// The user's provider, as `tombolo login` took it
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The user, as the provider calls him (`sub`)
    #[arg(long, value_name = "SUBJECT")]
    subject: String,
    /// Device key of another member, which speaks for him no more; for owners and admins [default: this
    /// device]
    #[arg(long, value_name = "MEMBER")]
    device: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Login {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        match (&self.database, &self.issuer, &self.client_id) {
            (Some(database), Some(issuer), Some(client_id)) => {
                self.sign_in(target, database, issuer, client_id)
            }
            _ => match &self.token_file {
                Some(file) => self.keep(target, file),
                None => self.show(target),
            },
        }
    }

    /// Who this device is.
    fn show(&self, target: &Target) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let peer = client.get("/v1/peer")?;
        let token = data_dir(target)?.join("owner.token");
        let answer = json!({
            "identity": peer["identity"],
            "issuer": peer["did"],
            "subject": peer["did"],
            "device": peer["id"],
            "token_file": std::path::absolute(&token).unwrap_or(token),
        });
        if self.json {
            print_json(&answer);
            return Ok(());
        }
        print(&pairs(&[
            ("identity", plain(&answer["identity"])),
            ("issuer", plain(&answer["issuer"])),
            ("device", plain(&answer["device"])),
            ("token", plain(&answer["token_file"])),
        ]));
        print_line(
            "the token in that file is this device's own; \
             to sign in as a provider's user: tombolo login DATABASE --issuer URL --client-id ID",
        );
        Ok(())
    }

    /// Keeps a token that the server takes.
    fn keep(&self, target: &Target, file: &PathBuf) -> anyhow::Result<()> {
        let mut text = String::new();
        let read = if file.as_os_str() == "-" {
            let mut input = std::io::stdin().lock().take(TOKEN_FILE_BYTES_MAX);
            input.read_to_string(&mut text)
        } else {
            let opened = std::fs::File::open(file);
            opened.and_then(|file| file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text))
        };
        read.with_context(|| format!("cannot read {}", file.display()))?;
        let token = text.trim().to_owned();
        let with_token = Target {
            token: Some(token.clone()),
            ..target.clone()
        };
        let client = Client::of(&with_token)?;
        // Whoever is given a token for a minute has a good one.
        let (headers, _) = client.post_raw("/v1/identity/websocket-token", "text/plain", b"")?;
        let identity = headers.get("spacetime-identity");
        let identity = identity.and_then(|value| value.to_str().ok());
        let identity = identity.context("the server does not say who that is; is it a peer?")?;
        keep_token(target, client.base(), &token)?;
        if self.json {
            print_json(&json!({ "identity": identity, "server": client.base() }));
        } else {
            print_line(&format!(
                "{} from now on takes you for {}",
                shown(client.base()),
                shown(identity)
            ));
        }
        Ok(())
    }

    /// Authorization code with PKCE, and back to a port of this machine (RFC 8252).
    fn sign_in(
        &self,
        target: &Target,
        name: &str,
        issuer: &str,
        client_id: &str,
    ) -> anyhow::Result<()> {
        let client = Client::of(target)?;
        let bindings = database(name, "/bindings");
        let trusted = client.get(&database(name, "/issuers"))?;
        check_trust(name, &trusted, issuer, client_id)?;
        let nonce = plain(&client.get(&bindings)?["nonce"]);
        let provider = fetch::document(issuer)?;
        if provider.authorization_endpoint.is_empty() || provider.token_endpoint.is_empty() {
            bail!("{issuer} does not say where to sign in; its document names no endpoints for it");
        }
        let text = |bytes: [u8; 32]| data_encoding::BASE64URL_NOPAD.encode(&bytes);
        let (state, verifier) = (text(dice()), text(dice()));
        let back = Loopback::open(self.redirect_port)?;
        let asked = Asked {
            client_id,
            redirect: &back.uri(),
            scope: &self.scope,
            state: &state,
            nonce: &nonce,
            verifier: &verifier,
        };
        let url = asked.url(&provider.authorization_endpoint);
        eprintln!("sign in at {url}");
        if !self.no_browser {
            open_browser(&url);
        }
        let code = back.code(issuer, &state, SIGN_IN_WAIT)?;
        let token = asked.token(&provider, &code)?;
        client.post(&bindings, &json!({ "token": token }))?;
        self.tell(name, issuer, &client.get(&bindings)?, &token)
    }

    fn tell(&self, name: &str, issuer: &str, bound: &Value, token: &str) -> anyhow::Result<()> {
        let subject = subject_of(token);
        let mut users = bound["users"].as_array().into_iter().flatten();
        let user =
            users.find(|user| user["issuer"] == issuer && user["subject"] == subject.as_str());
        let user =
            user.context("the peer took the token and knows of no user; please report this")?;
        if self.json {
            print_json(user);
        } else {
            print_line(&format!(
                "this device speaks for {} of {} in {}: identity {}",
                shown(&subject),
                shown(issuer),
                shown(name),
                plain(&user["identity"])
            ));
        }
        Ok(())
    }
}

impl Logout {
    pub(super) fn run(self, target: &Target) -> anyhow::Result<()> {
        let mut query = format!(
            "/bindings?issuer={}&subject={}",
            segment(&self.issuer),
            segment(&self.subject)
        );
        if let Some(device) = &self.device {
            query.push_str(&format!("&device={}", segment(device)));
        }
        Client::of(target)?.delete(&database(&self.database, &query))?;
        if self.json {
            print_json(&json!({ "issuer": self.issuer, "subject": self.subject }));
        } else {
            print_line(&format!(
                "{} is not spoken for any more",
                shown(&self.subject)
            ));
        }
        Ok(())
    }
}

/// Says before anybody signs in what would be said afterwards.
fn check_trust(name: &str, trusted: &Value, issuer: &str, client_id: &str) -> anyhow::Result<()> {
    let mut all = trusted.as_array().into_iter().flatten();
    let Some(found) = all.find(|it| it["issuer"] == issuer) else {
        bail!(
            "{name} takes no tokens of {issuer}; an owner of it adds it: \
             tombolo issuer add {name} {issuer} --audience {client_id}"
        );
    };
    let mut audiences = found["audiences"].as_array().into_iter().flatten();
    if !audiences.any(|it| it == client_id) {
        bail!(
            "{name} takes tokens of {issuer} for others than {client_id}; an owner of it adds it \
             with --audience {client_id}"
        );
    }
    Ok(())
}

/// What is asked of a provider.
struct Asked<'a> {
    client_id: &'a str,
    redirect: &'a str,
    scope: &'a str,
    state: &'a str,
    nonce: &'a str,
    verifier: &'a str,
}

impl Asked<'_> {
    /// Where a person signs in.
    fn url(&self, endpoint: &str) -> String {
        let challenge = Sha256::digest(self.verifier.as_bytes());
        let challenge = data_encoding::BASE64URL_NOPAD.encode(&challenge);
        let fields = [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect),
            ("scope", self.scope),
            ("state", self.state),
            ("nonce", self.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let fields = fields.map(|(name, value)| format!("{name}={}", segment(value)));
        let sign = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{sign}{}", fields.join("&"))
    }

    /// The ID token for a code.
    fn token(&self, provider: &Document, code: &str) -> anyhow::Result<String> {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect),
            ("code", code),
            ("code_verifier", self.verifier),
        ];
        let text = fetch::post_form(&provider.token_endpoint, &form)?;
        let answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} does not answer with JSON", provider.token_endpoint))?;
        if let Some(error) = answer["error"].as_str() {
            let why = answer["error_description"].as_str().unwrap_or_default();
            bail!(
                "the provider gives no token: {} {}",
                shown(error),
                shown(why)
            );
        }
        let token = answer["id_token"].as_str();
        let token =
            token.context("the provider gives no ID token: is `openid` among the scopes?")?;
        Ok(token.to_owned())
    }
}

/// The peer has checked it.
fn subject_of(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes());
    let payload = serde_json::from_slice::<Value>(&payload.unwrap_or_default());
    plain(&payload.unwrap_or_default()["sub"])
}

/// If there is a browser. The address was printed in any case.
fn open_browser(url: &str) {
    let program = match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    };
    let nothing = Stdio::null;
    let _ = Command::new(program)
        .arg(url)
        .stdin(nothing())
        .stdout(nothing())
        .stderr(nothing())
        .spawn();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_asked_for_a_code_with_all_that_protects_it() {
        let asked = Asked {
            client_id: "an app",
            redirect: "http://127.0.0.1:5/callback",
            scope: "openid email",
            state: "s",
            nonce: "n",
            // The example of RFC 7636, appendix B.
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        };
        let url = asked.url("https://a.b/authorize");
        assert_eq!(
            url,
            "https://a.b/authorize?response_type=code&client_id=an%20app\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A5%2Fcallback&scope=openid%20email&state=s&nonce=n\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
        assert!(
            asked
                .url("https://a.b/?x=y")
                .starts_with("https://a.b/?x=y&response_type")
        );
    }

    #[test]
    fn who_is_not_trusted_is_told_before_anybody_signs_in() {
        let trusted = json!([{ "issuer": "https://a.b/", "audiences": ["app"] }]);
        assert!(check_trust("chat", &trusted, "https://a.b/", "app").is_ok());
        let why = |issuer, client| {
            let error = check_trust("chat", &trusted, issuer, client).expect_err("not trusted");
            error.to_string()
        };
        assert!(why("https://a.b", "app").contains("tombolo issuer add chat https://a.b "));
        assert!(why("https://a.b/", "other").contains("--audience other"));
    }
}
