//! The HTTP side over TLS: when it is asked for, what is shown, and that nobody who connects and says
//! nothing holds anybody up.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client_messages::v2::ServerMessage;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest, Sha256};

use crate::harness::{PATIENCE, Peer, run, turn, wait_for};
use crate::sockets::{Handshake, Socket, tcp};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// TLS with the peer, if a client that trusts these certificates believes it under this name.
fn tls(peer: &Peer, trusted: &Path, name: &'static str) -> Result<Tls, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trusted).expect("a file of PEM blocks") {
        let added = roots.add(certificate.expect("a certificate"));
        added.expect("one that can be trusted");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it is known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(client, tcp(peer));
    let shaken = stream.conn.complete_io(&mut stream.sock);
    shaken.map_err(|error| error.to_string())?;
    Ok(stream)
}

/// A peer with a certificate of its own making.
fn made() -> Peer {
    let mut peer = Peer::new("made");
    peer.told("127.0.0.1:0", &["--tls"]);
    peer.start_again();
    peer
}

/// One request and its whole answer.
pub(crate) fn ask(peer: &Peer, trusted: &Path, method: &str, path: &str, more: &str) -> String {
    let mut stream = tls(peer, trusted, "localhost").expect("it is believed");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    read.expect("all of it comes, and its end is said");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Where a peer keeps the certificate that it made.
pub(crate) fn kept(peer: &Peer) -> PathBuf {
    peer.data_dir().join("tls.crt")
}

/// The fingerprint of the first certificate in a file, as people compare it.
fn fingerprint(file: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
    let digest = Sha256::digest(&certificate);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Waits until a peer has printed something: it answers a moment before it says so.
fn prints(peer: &Peer, text: &str) {
    wait_for(&format!("{text} to be printed"), PATIENCE, || {
        let output = peer.output();
        if output.contains(text) {
            return Ok(());
        }
        Err(output)
    });
}

/// What `start` says when it refuses.
fn refusal(peer: &Peer) -> String {
    let ended = run(&mut peer.start_command(), PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    ended.stderr
}

/// An issuer, and a certificate of its for `peer.example.com`, in files.
struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    fn made() -> Own {
        let folder = tempfile::tempdir().expect("a scratch directory can be made");
        let issuer_key = rcgen::KeyPair::generate().expect("a key");
        let mut issuer = rcgen::CertificateParams::new(Vec::new()).expect("fine");
        issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        issuer
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an issuer of a test");
        let issuer = issuer.self_signed(&issuer_key).expect("made");
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["peer.example.com".to_owned()];
        let shown = rcgen::CertificateParams::new(names).expect("fine");
        let shown = shown.signed_by(&key, &issuer, &issuer_key).expect("made");
        let own = Own { folder };
        let write = |name: &str, text: String| {
            std::fs::write(own.path(name), text).expect("a file can be written");
        };
        write("issuer.crt", issuer.pem());
        write("issuer.key", issuer_key.serialize_pem());
        write("peer.crt", shown.pem() + &issuer.pem());
        write("peer.key", key.serialize_pem());
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, certificate: &str, key: &str) -> [String; 4] {
        let path = |name: &str| self.path(name).to_string_lossy().into_owned();
        [
            "--tls-cert".to_owned(),
            path(certificate),
            "--tls-key".to_owned(),
            path(key),
        ]
    }
}

/// The same, as a peer is told it.
fn told(peer: &mut Peer, listen: &str, arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    peer.told(listen, &arguments);
}

#[test]
fn beyond_loopback_a_peer_starts_only_when_it_is_said_how() {
    let _turn = turn();
    let mut peer = Peer::new("open");
    peer.told("0.0.0.0:0", &[]);
    let says = refusal(&peer);
    for flag in ["--tls ", "--tls-cert", "--tls-key", "--insecure-http"] {
        assert!(says.contains(flag), "{flag}: {says}");
    }
    assert!(
        !peer.data_dir().join("peer.key").exists(),
        "nothing was made"
    );
    peer.told("0.0.0.0:0", &["--insecure-http"]);
    peer.start_again();
    assert!(peer.http().starts_with("http://"), "{}", peer.http());
    let output = peer.output();
    assert!(
        output.contains("WARN") && output.contains("not encrypted"),
        "{output}"
    );
    peer.cli(&["list"]).ok();
}

#[test]
fn a_made_certificate_is_kept_and_its_fingerprint_printed() {
    let _turn = turn();
    let mut peer = Peer::new("made");
    peer.told("0.0.0.0:0", &["--tls", "--allow-host", "peer.example.com"]);
    peer.start_again();
    assert!(peer.http().starts_with("https://"), "{}", peer.http());
    let first = fingerprint(&kept(&peer));
    prints(&peer, &first);
    for name in ["localhost", "127.0.0.1", "::1", "peer.example.com"] {
        tls(&peer, &kept(&peer), name).expect(name);
    }
    let other = tls(&peer, &kept(&peer), "other.example.com");
    other.expect_err("that is not its name");
    let answer = ask(&peer, &kept(&peer), "GET", "/v1/ping", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // The same one at the next start, and another one when it is to have another name.
    peer.interrupt(PATIENCE).expect("it stops");
    peer.start_again();
    assert_eq!(fingerprint(&kept(&peer)), first);
    tls(&peer, &kept(&peer), "peer.example.com").expect("it is shown");
    peer.interrupt(PATIENCE).expect("it stops");
    peer.told("127.0.0.1:0", &["--tls", "--allow-host", "new.example.com"]);
    peer.start_again();
    let second = fingerprint(&kept(&peer));
    assert_ne!(second, first);
    prints(&peer, &second);
    tls(&peer, &kept(&peer), "new.example.com").expect("it has the name");
}

#[test]
fn the_command_line_believes_a_peer_of_this_machine_and_whom_it_is_told_to() {
    let _turn = turn();
    let peer = made();
    peer.publish("chat", "chat");
    peer.cli(&["call", "chat", "set_name", "ada"]).ok();
    let names = peer.cli(&["sql", "chat", "SELECT name FROM user"]).ok();
    assert!(names.contains("ada"), "{names}");
    // As somebody on another machine, who has been given the certificate or not.
    let server = peer.http().replace("127.0.0.1", "localhost");
    let elsewhere = Peer::new("elsewhere");
    let token = peer.token();
    let list = |more: &[&str]| {
        let arguments = [&["list", "--server", &server, "--token", token], more].concat();
        elsewhere.cli(&arguments)
    };
    let says = list(&[]).stderr;
    assert!(says.contains("--tls-ca"), "{says}");
    let certificate = kept(&peer);
    let certificate = certificate.to_str().expect("a plain path");
    assert!(list(&["--tls-ca", certificate]).ok().contains("chat"));
    let own = Own::made();
    let stranger = own.path("issuer.crt");
    let says = list(&["--tls-ca", stranger.to_str().expect("a plain path")]);
    assert!(!says.status.success(), "{says:?}");
    assert!(says.stderr.contains("no TLS with it"), "{says:?}");
    // Its own data directory says enough.
    let arguments = ["list", "--server", &server, "--token", token];
    assert!(peer.cli(&arguments).ok().contains("chat"));
}

#[test]
fn a_certificate_of_ones_own_is_shown() {
    let _turn = turn();
    let own = Own::made();
    let mut peer = Peer::new("own");
    for (certificate, key, word) in [
        ("none.crt", "peer.key", "cannot read"),
        ("peer.crt", "none.key", "cannot read"),
        ("peer.key", "peer.key", "no certificate in"),
        ("peer.crt", "peer.crt", "no private key in"),
        ("peer.crt", "issuer.key", "is not that of"),
    ] {
        told(&mut peer, "127.0.0.1:0", &own.arguments(certificate, key));
        let says = refusal(&peer);
        assert!(says.contains(word), "{certificate}, {key}: {says}");
    }
    told(
        &mut peer,
        "0.0.0.0:0",
        &own.arguments("peer.crt", "peer.key"),
    );
    peer.start_again();
    prints(&peer, &fingerprint(&own.path("peer.crt")));
    let issuer = own.path("issuer.crt");
    tls(&peer, &issuer, "peer.example.com").expect("its issuer vouches for it");
    tls(&peer, &issuer, "localhost").expect_err("that is not its name");
    // By its data directory the peer is known under whatever name.
    peer.cli(&["list"]).ok();
    assert!(!kept(&peer).exists(), "none was made");
}

#[test]
fn a_websocket_works_over_tls() {
    let _turn = turn();
    let peer = made();
    let database = peer.publish("chat", "chat");
    peer.cli(&["call", "chat", "set_name", "ada"]).ok();
    let mut stream = tls(&peer, &kept(&peer), "localhost").expect("it is believed");
    let mut handshake = Handshake::v2(&database);
    handshake.token = Some(peer.token());
    stream
        .write_all(handshake.text().as_bytes())
        .expect("it is taken");
    let mut socket = Socket::accepted(stream).expect("it is let in");
    let hello = socket.next_v2();
    assert!(matches!(hello, ServerMessage::InitialConnection { .. }));
    assert_eq!(socket.follow(1, "SELECT * FROM user"), 1);
    peer.cli(&["call", "chat", "set_name", "bob"]).ok();
    let update = socket.next_v2();
    assert!(
        matches!(update, ServerMessage::TransactionUpdate { .. }),
        "{update:?}"
    );
}

#[test]
fn without_tls_a_tls_port_says_nothing() {
    let _turn = turn();
    let peer = made();
    let mut plain = tcp(&peer);
    let request = "GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n";
    plain.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    // At most an alert: a record of seven bytes.
    assert!(answer.len() <= 7, "{answer:?}");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let answer = ask(&peer, &kept(&peer), "GET", "/v1/ping", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn who_connects_and_says_nothing_holds_nobody_up_and_is_let_go_of() {
    let _turn = turn();
    let peer = made();
    // One says nothing after its handshake, many say nothing at all, one stops in its first word.
    let mut shaken = tls(&peer, &kept(&peer), "localhost").expect("it is believed");
    let mut silent: Vec<TcpStream> = (0..200).map(|_| tcp(&peer)).collect();
    silent[0].write_all(&[22, 3, 1]).expect("it is taken");
    for _ in 0..20 {
        let answer = ask(&peer, &kept(&peer), "GET", "/v1/ping", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // Far more than there are places for: the others are turned away.
    silent.extend((0..200).map(|_| tcp(&peer)));
    for stream in &mut silent {
        is_let_go_of(stream);
    }
    // Their places are free again.
    let answer = ask(&peer, &kept(&peer), "GET", "/v1/ping", "");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    is_let_go_of(&mut shaken);
}

/// Reads until the peer has closed.
fn is_let_go_of(stream: &mut impl Read) {
    let mut rest = [0; 64];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let kept = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!kept, "it is still there: {error}");
                return;
            }
        }
    }
}
