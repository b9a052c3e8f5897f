//! Users of a provider: who may speak for them, and every trick to be somebody else.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sync_protocol::{
    ConnectionId, DatabaseId, DeviceKey, Entry, KeyAlgorithm, Role, SystemCall, bind_nonce,
};

use super::forge::{Forgery, outcomes, push};
use super::harness::Mesh;
use super::provider::{ISSUER, Key, SUBJECT, claims, keys, rules};
use crate::{Claims, ErrorKind, Reply, Request, identity_hex};

const CHAT: &str = "chat";

/// Peer 0 owns the database, peer 1 writes, peer 2 is a gateway. The provider is trusted and its keys
/// are known; links are up.
fn trusting(seed: u64) -> (Mesh, DatabaseId) {
    let mut mesh = Mesh::new(3, seed);
    let id = mesh.publish_only();
    join_and_trust(&mut mesh);
    (mesh, id)
}

fn join_and_trust(mesh: &mut Mesh) {
    let ticket = mesh.invite_as(0, Role::Writer, 1);
    mesh.join(1, &ticket);
    let ticket = mesh.invite_as(0, Role::Gateway, 1);
    mesh.join(2, &ticket);
    trust(mesh);
    mesh.pass_ms(3_000);
}

fn trust(mesh: &mut Mesh) {
    let database = CHAT.to_owned();
    let rules = rules();
    let done = mesh.ask(0, Request::TrustIssuer { database, rules });
    assert!(matches!(done, Ok(Reply::Done)), "{done:?}");
    set_keys(mesh, 0, keys()).expect("an owner");
}

fn set_keys(
    mesh: &mut Mesh,
    at: usize,
    keys: Vec<sync_protocol::IssuerKey>,
) -> Result<(), crate::RequestError> {
    let request = Request::SetIssuerKeys {
        database: CHAT.to_owned(),
        issuer: ISSUER.to_owned(),
        keys,
    };
    mesh.ask(at, request).map(drop)
}

fn now_s(mesh: &Mesh) -> u64 {
    mesh.now.wall / 1_000_000
}

/// A token that binds the provider's user to a device.
fn binding_claims(mesh: &Mesh, id: DatabaseId, device: &DeviceKey) -> Value {
    let mut claims = claims(now_s(mesh));
    claims["nonce"] = json!(bind_nonce(&id, device));
    claims
}

fn signed(claims: &Value) -> String {
    Key::Rsa1.sign(Algorithm::RS256, "rsa", claims)
}

fn bind(mesh: &mut Mesh, at: usize, token: String) -> Result<(), crate::RequestError> {
    let database = CHAT.to_owned();
    mesh.ask(at, Request::Bind { database, token }).map(drop)
}

/// What the driver says of somebody whose token it has checked.
fn user() -> Claims {
    Claims {
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
        payload: claims(1_760_000_000).to_string(),
    }
}

fn call_as(mesh: &mut Mesh, at: usize, name: &str) -> Result<(), crate::RequestError> {
    let request = mesh.call_request("set_name", &json!([name]).to_string());
    mesh.ask_as(at, user(), request).map(drop)
}

/// The identities that chat saw under a name, on a peer.
fn identities(mesh: &mut Mesh, at: usize, name: &str) -> Vec<String> {
    let query = format!("SELECT identity FROM user WHERE name = '{name}'");
    mesh.rows(at, &query).into_iter().flatten().collect()
}

fn is_the_user(mesh: &mut Mesh, at: usize, name: &str) -> bool {
    let identity = identity_hex(&user().identity());
    let seen = identities(mesh, at, name);
    seen.len() == 1 && seen[0].trim_start_matches("0x") == identity
}

/// A writer's entry that carries one system call, run on peer 0; how it came out.
fn forged(mesh: &mut Mesh, id: DatabaseId, author: usize, epoch: u64, call: &SystemCall) -> String {
    let mut forgery = Forgery::new(mesh, id, author);
    forgery.epoch = epoch;
    forgery.hlc += 1_000 * epoch;
    let entry = forgery.system(call).seal();
    let other = usize::from(author == 0);
    push(mesh, other, author, id, &[&entry]);
    outcomes(mesh, other, id, &entry).remove(0)
}

/// An entry by peer `author` in which the provider's user takes a name.
fn spoken(mesh: &Mesh, id: DatabaseId, author: usize, epoch: u64, payload: &str) -> Entry {
    let mut forgery = Forgery::new(mesh, id, author);
    forgery.caller = Claims {
        payload: payload.to_owned(),
        ..user()
    };
    forgery.epoch = epoch;
    forgery.hlc += 1_000 * epoch;
    let connection = u8::try_from(epoch).expect("few");
    forgery
        .named(mesh, connection, &format!("name {epoch}"))
        .seal()
}

#[test]
fn a_bound_device_speaks_for_its_user_and_nobody_else_does() {
    let (mut mesh, id) = trusting(700);
    let error = call_as(&mut mesh, 1, "ann").expect_err("not bound yet");
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("tombolo login"), "{error}");
    let token = signed(&binding_claims(&mesh, id, &mesh.device(1)));
    bind(&mut mesh, 1, token).expect("a good token");
    call_as(&mut mesh, 1, "ann").expect("bound");
    for at in 0..3 {
        assert!(is_the_user(&mut mesh, at, "ann"), "peer {at}");
    }
    // Another user of the same provider is not bound.
    let request = mesh.call_request("set_name", r#"["eve"]"#);
    let other = Claims {
        subject: "auth0|eve".to_owned(),
        ..user()
    };
    mesh.ask_as(1, other, request).expect_err("not bound");
    let rows = mesh.rows(0, "SELECT subject, claims FROM sys_binding");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0][0], SUBJECT);
    assert!(rows[0][1].contains("ann@example.com"), "{rows:?}");
    assert!(!rows[0][1].contains("phone"), "{rows:?}");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_peer_that_never_saw_the_provider_takes_the_users_calls_while_it_is_away() {
    let (mut mesh, id) = trusting(701);
    mesh.cut_link(0, 2);
    mesh.cut_link(1, 2);
    mesh.settle();
    let token = signed(&binding_claims(&mesh, id, &mesh.device(1)));
    bind(&mut mesh, 1, token).expect("a good token");
    mesh.cut_link(0, 1);
    mesh.settle();
    call_as(&mut mesh, 1, "ann").expect("offline");
    mesh.heal_link(0, 1);
    mesh.heal_link(0, 2);
    mesh.heal_link(1, 2);
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert!(is_the_user(&mut mesh, at, "ann"), "peer {at}");
    }
    mesh.assert_converged();
}

#[test]
fn a_gateway_vouches_with_the_claims_that_the_owner_allows() {
    let (mut mesh, id) = trusting(702);
    call_as(&mut mesh, 2, "ann").expect("a gateway");
    for at in 0..3 {
        assert!(is_the_user(&mut mesh, at, "ann"), "peer {at}");
    }
    call_as(&mut mesh, 0, "ann too").expect("an owner");
    // What the owner did not ask for is not even in the entry.
    for at in 0..3 {
        let executed = &mesh.core(at).replicas[&id].executed;
        assert!(!executed.is_empty());
        for ran in executed {
            let entry = mesh.core(at).replicas[&id].log.entry(&ran.entry.id);
            let entry = entry.expect("sound").expect("there");
            let text = String::from_utf8_lossy(&entry).into_owned();
            assert!(!text.contains("never replicated"));
        }
    }
    // A gateway that writes more into its entry is cut to the same.
    let liar = r#"{"iss":"x","sub":"y","email":"e@x","admin":true}"#;
    let entry = spoken(&mesh, id, 2, 90, liar);
    push(&mut mesh, 0, 2, id, &[&entry]);
    for text in outcomes(&mesh, 0, id, &entry) {
        assert!(text.starts_with("Ok"), "{text}");
    }
    let no_object = spoken(&mesh, id, 2, 91, "[]");
    push(&mut mesh, 0, 2, id, &[&no_object]);
    for text in outcomes(&mesh, 0, id, &no_object) {
        assert!(text.contains("claims do not decode"), "{text}");
    }
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_module_reads_the_claims_that_the_owner_allows_and_every_peer_sees_the_same() {
    let mut mesh = Mesh::new(3, 714);
    let id = mesh.publish_wasm(&super::harness::compiled("town_hall"));
    join_and_trust(&mut mesh);
    let token = signed(&binding_claims(&mesh, id, &mesh.device(1)));
    bind(&mut mesh, 1, token).expect("a good token");
    let request = mesh.call_request("visit", "[]");
    mesh.ask_as(1, user(), request).expect("bound");
    mesh.pass_ms(3_000);
    for at in 0..3 {
        let rows = mesh.rows(at, "SELECT issuer, subject, claims FROM visitor");
        assert_eq!(rows.len(), 1, "peer {at}: {rows:?}");
        assert_eq!(rows[0][..2], [ISSUER, SUBJECT]);
        let claims: Value = serde_json::from_str(&rows[0][2]).expect("JSON");
        assert_eq!(claims["email"], "ann@example.com");
        assert_eq!(claims["phone"], Value::Null, "{claims}");
    }
    mesh.assert_converged();
}

#[test]
fn a_writer_that_is_not_bound_speaks_for_no_user_of_a_provider() {
    let (mut mesh, id) = trusting(703);
    let entry = spoken(&mesh, id, 1, 90, &user().payload);
    push(&mut mesh, 0, 1, id, &[&entry]);
    for text in outcomes(&mesh, 0, id, &entry) {
        assert!(text.contains("not bound to its device"), "{text}");
    }
    // Nor of one that nobody trusts, whatever its role.
    let mut forgery = Forgery::new(&mesh, id, 2);
    forgery.caller = Claims {
        issuer: "https://evil.example".to_owned(),
        ..user()
    };
    forgery.hlc += 91_000;
    let entry = forgery.named(&mesh, 91, "evil").seal();
    push(&mut mesh, 0, 2, id, &[&entry]);
    for text in outcomes(&mesh, 0, id, &entry) {
        assert!(text.contains("trusts no such issuer"), "{text}");
    }
    // Nor of another device, which is an issuer too.
    let mut forgery = Forgery::new(&mesh, id, 2);
    forgery.caller = Claims::of_device(&mesh.device(1));
    forgery.epoch = 92;
    forgery.hlc += 92_000;
    let entry = forgery.named(&mesh, 92, "device").seal();
    push(&mut mesh, 0, 2, id, &[&entry]);
    for text in outcomes(&mesh, 0, id, &entry) {
        assert!(text.contains("may not speak for this caller"), "{text}");
    }
    assert_eq!(
        mesh.rows(0, "SELECT * FROM user WHERE name = 'evil'").len(),
        0
    );
}

#[test]
fn a_token_binds_one_device_in_one_database_and_only_by_its_own_call() {
    let (mut mesh, id) = trusting(704);
    let (writer, gateway) = (mesh.device(1), mesh.device(2));
    // Overheard, and brought by another device; made for another database.
    let of_writer = signed(&binding_claims(&mesh, id, &writer));
    let elsewhere = signed(&binding_claims(&mesh, DatabaseId([9; 32]), &gateway));
    for (epoch, token) in (80..).zip([of_writer.clone(), elsewhere]) {
        let text = forged(&mut mesh, id, 2, epoch, &SystemCall::Bind { token });
        assert!(
            text.contains("`nonce` is not that of this device"),
            "{text}"
        );
    }
    let mut claims = claims(now_s(&mesh));
    let without_nonce = SystemCall::Bind {
        token: signed(&claims),
    };
    let text = forged(&mut mesh, id, 2, 83, &without_nonce);
    assert!(
        text.contains("`nonce` is not that of this device"),
        "{text}"
    );
    claims["nonce"] = json!(bind_nonce(&id, &gateway));
    claims.as_object_mut().expect("an object").remove("iat");
    let undated = SystemCall::Bind {
        token: signed(&claims),
    };
    let text = forged(&mut mesh, id, 2, 84, &undated);
    assert!(text.contains("`iat` is missing"), "{text}");
    // In the name of somebody else than the device.
    let mut forgery = Forgery::new(&mesh, id, 1);
    forgery.caller.subject = "somebody".to_owned();
    forgery.hlc += 90_000;
    let entry = forgery
        .system(&SystemCall::Bind { token: of_writer })
        .seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    let text = outcomes(&mesh, 0, id, &entry).remove(0);
    assert!(text.contains("only a device itself"), "{text}");
    assert_eq!(mesh.rows(0, "SELECT * FROM sys_binding").len(), 0);
}

#[test]
fn an_entry_of_one_database_is_none_in_another() {
    let (mut mesh, id) = trusting(705);
    let (other_mesh, other) = trusting(706);
    assert_ne!(id, other);
    let entry = spoken(&other_mesh, other, 2, 90, &user().payload);
    let before = mesh.status(0);
    push(&mut mesh, 0, 2, id, &[&entry]);
    let after = mesh.status(0);
    assert_eq!(before.heads_hash, after.heads_hash);
    assert_eq!(before.state_root, after.state_root);
}

#[test]
fn tokens_that_prove_nothing_bind_nobody() {
    let (mut mesh, id) = trusting(707);
    let device = mesh.device(1);
    let good = binding_claims(&mesh, id, &device);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims)
    };
    let now = now_s(&mesh);
    let secret = jsonwebtoken::EncodingKey::from_secret(Key::Rsa1.modulus());
    let hmac = super::provider::sign(&secret, Algorithm::HS256, Some("rsa"), &good);
    let none = super::provider::assembled(r#"{"alg":"none","kid":"rsa"}"#, &good.to_string(), "");
    let tricks = [
        (none, "a public key checks"),
        (hmac, "a public key checks"),
        (with("exp", json!(now - 10)), "has expired"),
        (with("nbf", json!(now + 600)), "not valid yet"),
        (with("iat", json!(now + 600)), "not valid yet"),
        (with("aud", json!("another app")), "for another application"),
        (
            with("iss", json!("https://evil.example")),
            "trusts no such issuer",
        ),
        (
            with("iss", json!("https://example.eu.auth0.com")),
            "trusts no such issuer",
        ),
        (
            Key::Rsa2.sign(Algorithm::RS256, "rsa", &good),
            "signature does not fit",
        ),
        (
            Key::Rsa2.sign(Algorithm::RS256, "mine", &good),
            "not known to have",
        ),
        (
            Key::Rsa1.sign(Algorithm::RS256, "p256", &good),
            "in another way than its key",
        ),
        ("opaque".to_owned(), "send the ID token"),
    ];
    for (epoch, (token, why)) in (80..).zip(tricks) {
        let call = SystemCall::Bind { token };
        let text = forged(&mut mesh, id, 1, epoch, &call);
        assert!(text.starts_with("Refused"), "{text}");
        assert!(text.contains(why), "{text}: {why}");
    }
    assert_eq!(mesh.rows(0, "SELECT * FROM sys_binding").len(), 0);
    assert_eq!(mesh.status(0).status, "ok");
}

#[test]
fn only_an_owner_says_whom_to_trust_and_only_who_vouches_sets_keys() {
    let (mut mesh, id) = trusting(708);
    let evil = || "https://evil.example".to_owned();
    let trust = |issuer: String| {
        SystemCall::TrustIssuer(sync_protocol::TrustedIssuer { issuer, ..rules() })
    };
    let distrust = SystemCall::DistrustIssuer {
        issuer: ISSUER.to_owned(),
    };
    let keys_of = |issuer: String| SystemCall::SetIssuerKeys {
        issuer,
        keys: vec![Key::Rsa2.public("rsa", KeyAlgorithm::Rs256)],
    };
    let refusals = [
        (1, trust(evil()), "only an owner"),
        (2, trust(evil()), "only an owner"),
        (1, distrust.clone(), "only an owner"),
        (2, distrust, "only an owner"),
        (
            1,
            keys_of(ISSUER.to_owned()),
            "only an owner, admin or gateway",
        ),
        (2, keys_of(evil()), "trusts no such issuer"),
    ];
    for (epoch, (author, call, why)) in (80..).zip(refusals) {
        let text = forged(&mut mesh, id, author, epoch, &call);
        assert!(text.contains(why), "{text}: {why}");
    }
    // A device is no provider, whatever an owner says: it would be spoken for by others.
    let did = Claims::of_device(&mesh.device(1)).issuer;
    let text = forged(&mut mesh, id, 0, 90, &trust(did));
    assert!(text.contains("not a system call"), "{text}");
    // Nor is a URL with a bar: with it, two users could have one identity.
    let bar = forged(&mut mesh, id, 0, 91, &trust("https://a/|x".to_owned()));
    assert!(bar.contains("not a system call"), "{bar}");
    let error = set_keys(&mut mesh, 1, Vec::new()).expect_err("a writer");
    assert_eq!(error.kind, ErrorKind::Denied);
    set_keys(&mut mesh, 2, keys()).expect("a gateway, and nothing new");
    assert_eq!(mesh.rows(0, "SELECT issuer FROM sys_issuer").len(), 1);
}

#[test]
fn keys_change_and_bindings_stay() {
    let (mut mesh, id) = trusting(709);
    let device = mesh.device(1);
    let before = signed(&binding_claims(&mesh, id, &device));
    bind(&mut mesh, 1, before.clone()).expect("a good token");
    set_keys(
        &mut mesh,
        2,
        vec![Key::Rsa2.public("next", KeyAlgorithm::Rs256)],
    )
    .expect("a gateway");
    call_as(&mut mesh, 1, "ann").expect("still bound");
    let error = bind(&mut mesh, 1, before).expect_err("an old key");
    assert!(error.message.contains("not known to have"), "{error}");
    let claims = binding_claims(&mesh, id, &device);
    let token = Key::Rsa2.sign(Algorithm::RS256, "next", &claims);
    bind(&mut mesh, 1, token).expect("the new key");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn whoever_was_unbound_needs_a_token_of_afterwards() {
    let (mut mesh, id) = trusting(710);
    let device = mesh.device(1);
    let token = signed(&binding_claims(&mesh, id, &device));
    bind(&mut mesh, 1, token.clone()).expect("a good token");
    let unbind = |device| Request::Unbind {
        database: CHAT.to_owned(),
        device,
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
    };
    let error = mesh.ask(2, unbind(Some(device))).expect_err("a gateway");
    assert!(error.message.contains("only the device itself"), "{error}");
    mesh.pass_ms(2_000);
    mesh.ask(0, unbind(Some(device))).expect("an owner");
    call_as(&mut mesh, 1, "ann").expect_err("unbound");
    let error = bind(&mut mesh, 1, token.clone()).expect_err("the same token");
    assert!(error.message.contains("sign in again"), "{error}");
    // Not with an entry that is dated back either: the provider's signature is over its own time.
    let mut forgery = Forgery::new(&mesh, id, 1);
    forgery.hlc = mesh.now.wall + 5;
    let entry = forgery.system(&SystemCall::Bind { token }).seal();
    push(&mut mesh, 0, 1, id, &[&entry]);
    let text = outcomes(&mesh, 0, id, &entry).remove(0);
    assert!(text.contains("sign in again"), "{text}");
    mesh.pass_ms(2_000);
    let token = signed(&binding_claims(&mesh, id, &device));
    bind(&mut mesh, 1, token).expect("signed in again");
    mesh.ask(1, unbind(None)).expect("the device itself");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_distrusted_issuer_takes_all_bindings_with_it_for_good() {
    let (mut mesh, id) = trusting(711);
    let token = signed(&binding_claims(&mesh, id, &mesh.device(1)));
    bind(&mut mesh, 1, token.clone()).expect("a good token");
    call_as(&mut mesh, 1, "ann").expect("bound");
    let distrust = Request::DistrustIssuer {
        database: CHAT.to_owned(),
        issuer: ISSUER.to_owned(),
    };
    mesh.ask(0, distrust.clone()).expect("an owner");
    let again = mesh.ask(0, distrust).expect_err("gone already");
    assert_eq!(again.kind, ErrorKind::NotFound);
    for at in 0..3 {
        let error = call_as(&mut mesh, at, "nobody").expect_err("distrusted");
        assert!(error.message.contains("takes no tokens of that issuer"));
    }
    assert_eq!(mesh.rows(0, "SELECT kid FROM sys_issuer_key").len(), 0);
    trust(&mut mesh);
    let error = call_as(&mut mesh, 1, "ann").expect_err("the old binding is void");
    assert!(error.message.contains("tombolo login"), "{error}");
    bind(&mut mesh, 1, token).expect("the token is still good");
    call_as(&mut mesh, 1, "ann again").expect("bound anew");
    mesh.pass_ms(3_000);
    mesh.assert_converged();
}

#[test]
fn a_late_entry_that_distrusts_takes_calls_back_on_every_peer() {
    let (mut mesh, id) = trusting(712);
    let token = signed(&binding_claims(&mesh, id, &mesh.device(1)));
    bind(&mut mesh, 1, token).expect("a good token");
    mesh.pass_ms(3_000);
    for (a, b) in [(0, 1), (0, 2)] {
        mesh.cut_link(a, b);
    }
    mesh.settle();
    let distrust = Request::DistrustIssuer {
        database: CHAT.to_owned(),
        issuer: ISSUER.to_owned(),
    };
    mesh.ask(0, distrust).expect("an owner");
    mesh.pass_ms(100);
    call_as(&mut mesh, 1, "ann").expect("knows nothing of it yet");
    assert!(is_the_user(&mut mesh, 2, "ann"));
    for (a, b) in [(0, 1), (0, 2)] {
        mesh.heal_link(a, b);
    }
    mesh.pass_ms(5_000);
    for at in 0..3 {
        assert_eq!(identities(&mut mesh, at, "ann").len(), 0, "peer {at}");
    }
    mesh.assert_converged();
}

#[test]
fn clients_of_a_user_come_and_go_and_go_also_when_he_is_trusted_no_more() {
    let (mut mesh, _) = trusting(713);
    let connection = ConnectionId([5; 16]);
    let database = || CHAT.to_owned();
    let connect = Request::Connect {
        database: database(),
        connection,
    };
    mesh.ask_as(2, user(), connect).expect("a gateway");
    assert_eq!(mesh.rows(2, "SELECT * FROM sys_client").len(), 1);
    let distrust = Request::DistrustIssuer {
        database: database(),
        issuer: ISSUER.to_owned(),
    };
    mesh.ask(0, distrust).expect("an owner");
    let disconnect = Request::Disconnect {
        database: database(),
        connection,
    };
    mesh.ask_as(2, user(), disconnect).expect("it is gone");
    assert_eq!(mesh.rows(2, "SELECT * FROM sys_client").len(), 0);
}
