use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sync_protocol::KeyAlgorithm;

use super::*;
use crate::tests::provider::{
    AUDIENCE, ISSUER, Key, SUBJECT, assembled, claims, keys, rules, sign,
};

const NOW: u64 = 1_800_000_000;

fn check(token: &str) -> Result<CheckedToken, TokenFault> {
    check_token(token, &rules(), &keys(), NOW)
}

fn signed(claims: &Value) -> String {
    Key::Rsa1.sign(Algorithm::RS256, "rsa", claims)
}

/// Good claims but for one.
fn with(name: &str, value: Value) -> String {
    let mut claims = claims(NOW);
    claims[name] = value;
    signed(&claims)
}

fn without(name: &str) -> String {
    let mut claims = claims(NOW);
    claims.as_object_mut().expect("an object").remove(name);
    signed(&claims)
}

#[test]
fn a_good_token_of_each_kind_of_key_is_taken() {
    for (key, algorithm, kid) in [
        (Key::Rsa1, Algorithm::RS256, "rsa"),
        (Key::P256, Algorithm::ES256, "p256"),
        (Key::Ed25519, Algorithm::EdDSA, "ed"),
    ] {
        let token = key.sign(algorithm, kid, &claims(NOW));
        let checked = check(&token).expect("good");
        assert_eq!(checked.subject, SUBJECT);
        assert_eq!(checked.issued_s, Some(NOW));
        assert_eq!(checked.expires_s, NOW + 3_600);
        assert_eq!(issuer_named(&token).as_deref(), Ok(ISSUER));
    }
    for (algorithm, ours) in [
        (Algorithm::RS384, KeyAlgorithm::Rs384),
        (Algorithm::RS512, KeyAlgorithm::Rs512),
        (Algorithm::PS256, KeyAlgorithm::Ps256),
    ] {
        let token = Key::Rsa2.sign(algorithm, "2", &claims(NOW));
        let key = Key::Rsa2.public("2", ours);
        assert!(check_token(&token, &rules(), &[key], NOW).is_ok());
    }
}

#[test]
fn what_is_not_signed_with_a_private_key_is_refused() {
    let payload = claims(NOW).to_string();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","kid":"rsa"}"#,
        r#"{"alg":"none","kid":"rsa"}"#,
        r#"{"alg":"","kid":"rsa"}"#,
    ] {
        for signature in ["", "AAAA"] {
            let token = assembled(header, &payload, signature);
            assert_eq!(check(&token), Err(TokenFault::Algorithm), "{header}");
        }
    }
    // The public key as a shared secret, in each form that somebody may have it in.
    let modulus = Key::Rsa1.modulus();
    let public = Key::Rsa1.public("rsa", KeyAlgorithm::Rs256).key;
    for secret in [modulus, &public[..], b"", ISSUER.as_bytes()] {
        let secret = EncodingKey::from_secret(secret);
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = sign(&secret, algorithm, Some("rsa"), &claims(NOW));
            assert_eq!(check(&token), Err(TokenFault::Algorithm));
        }
    }
}

#[test]
fn the_key_says_how_it_is_used_and_the_token_must_agree() {
    let claims = claims(NOW);
    // A genuine signature of that very key, in a way for which the key is not.
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = Key::Rsa1.sign(algorithm, "rsa", &claims);
        assert_eq!(check(&token), Err(TokenFault::OtherAlgorithm));
    }
    // Signed by one key, in the name of another.
    let token = Key::Rsa2.sign(Algorithm::RS256, "rsa", &claims);
    assert_eq!(check(&token), Err(TokenFault::Signature));
    let token = Key::Rsa1.sign(Algorithm::RS256, "p256", &claims);
    assert_eq!(check(&token), Err(TokenFault::OtherAlgorithm));
    for kid in ["", "RSA", "rsa ", "../rsa", "rsa\0"] {
        let token = Key::Rsa1.sign(Algorithm::RS256, kid, &claims);
        assert_eq!(check(&token), Err(TokenFault::UnknownKey), "{kid}");
    }
    let token = sign(
        &EncodingKey::from_secret(b"x"),
        Algorithm::HS256,
        None,
        &claims,
    );
    assert_eq!(check(&token), Err(TokenFault::Algorithm));
    // A key in the token itself is not even looked at.
    let header = r#"{"alg":"EdDSA","kid":"mine","jwk":{"kty":"OKP"},"jku":"https://evil.example"}"#;
    let token = assembled(header, &claims.to_string(), "AAAA");
    assert_eq!(check(&token), Err(TokenFault::UnknownKey));
    // Extensions that nobody here knows.
    let header = r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#;
    let token = assembled(header, &claims.to_string(), "AAAA");
    assert_eq!(check(&token), Err(TokenFault::Algorithm));
}

#[test]
fn a_changed_token_is_refused_wherever_it_was_changed() {
    let token = signed(&claims(NOW));
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = match bytes[at] {
            b'A' => b'B',
            _ => b'A',
        };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert!(changed == token || check(&changed).is_err(), "byte {at}");
    }
    for end in (0..token.len()).step_by(11) {
        assert!(check(&token[..end]).is_err(), "cut at {end}");
    }
    for changed in [
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
    ] {
        assert!(check(&changed).is_err());
    }
}

#[test]
fn an_issuer_is_compared_byte_for_byte() {
    // As Auth0 has it: the slash at the end belongs to the name.
    assert!(check(&with("iss", json!("https://example.eu.auth0.com/"))).is_ok());
    for other in [
        "https://example.eu.auth0.com",
        "https://example.eu.auth0.com//",
        "https://EXAMPLE.eu.auth0.com/",
        "http://example.eu.auth0.com/",
        "https://example.us.auth0.com/",
    ] {
        let token = with("iss", json!(other));
        assert_eq!(check(&token), Err(TokenFault::Issuer), "{other}");
    }
    assert_eq!(check(&with("iss", json!(7))), Err(TokenFault::Claim("iss")));
    assert_eq!(check(&without("iss")), Err(TokenFault::Issuer));
}

#[test]
fn one_of_a_tokens_audiences_has_to_be_ours() {
    // Auth0 gives tokens for an API this shape: the API and the issuer's own user information.
    let several = json!([
        "https://api.example.com",
        "https://example.eu.auth0.com/userinfo"
    ]);
    assert!(check(&with("aud", several)).is_ok());
    assert!(check(&with("aud", json!(AUDIENCE))).is_ok());
    for other in [
        json!("other"),
        json!(["other", "app "]),
        json!([]),
        json!(""),
    ] {
        let token = with("aud", other.clone());
        assert_eq!(check(&token), Err(TokenFault::Audience), "{other}");
    }
    for none in [json!(null), json!(7), json!({"app": true}), json!([7])] {
        let token = with("aud", none.clone());
        assert_eq!(check(&token), Err(TokenFault::Claim("aud")), "{none}");
    }
    assert_eq!(check(&without("aud")), Err(TokenFault::Claim("aud")));
}

#[test]
fn a_token_holds_from_its_beginning_until_just_before_its_end() {
    assert!(check(&with("exp", json!(NOW + 1))).is_ok());
    for end in [
        json!(NOW),
        json!(NOW as f64 + 0.9),
        json!(NOW - 1),
        json!(0),
        json!(-1),
    ] {
        let token = with("exp", end.clone());
        assert_eq!(check(&token), Err(TokenFault::Expired), "{end}");
    }
    assert_eq!(check(&without("exp")), Err(TokenFault::Claim("exp")));
    let text = with("exp", json!("2100-01-01"));
    assert_eq!(check(&text), Err(TokenFault::Claim("exp")));
    // A provider's clock may be a minute ahead, not more.
    for claim in ["nbf", "iat"] {
        assert!(check(&with(claim, json!(NOW + 60))).is_ok(), "{claim}");
        let token = with(claim, json!(NOW + 61));
        assert_eq!(check(&token), Err(TokenFault::TooEarly), "{claim}");
        assert!(check(&without(claim)).is_ok(), "{claim}");
    }
}

#[test]
fn a_subject_is_there_and_short() {
    assert_eq!(check(&without("sub")), Err(TokenFault::Claim("sub")));
    for subject in [json!(""), json!("s".repeat(129)), json!(7)] {
        assert_eq!(check(&with("sub", subject)), Err(TokenFault::Claim("sub")));
    }
    assert!(check(&with("sub", json!("s".repeat(128)))).is_ok());
}

#[test]
fn opaque_and_encrypted_tokens_are_refused_with_a_hint() {
    // An access token as Auth0 gives it where no audience was asked for, and a plain random one.
    let encrypted = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..c29tZQ.dGV4dA.dGFn";
    for token in [encrypted, "2YotnFZFEjr1zCsicMWpAA", "a.b", ""] {
        assert_eq!(check(token), Err(TokenFault::Opaque), "{token}");
        assert_eq!(issuer_named(token), Err(TokenFault::Opaque));
    }
    assert!(TokenFault::Opaque.to_string().contains("send the ID token"));
    assert_eq!(check("a.b.c"), Err(TokenFault::Undecodable));
    assert_eq!(check("e30.e30.AAAA"), Err(TokenFault::Undecodable));
    let long = format!("{}.b.c", "a".repeat(TOKEN_BYTES_MAX));
    assert!(matches!(check(&long), Err(TokenFault::TooLong(_))));
}

#[test]
fn a_token_that_binds_is_no_token_of_a_client() {
    let nonce = sync_protocol::bind_nonce(
        &sync_protocol::DatabaseId([1; 32]),
        &sync_protocol::DeviceKey([2; 32]),
    );
    let token = with("nonce", json!(nonce));
    assert!(check(&token).is_ok());
    let refused = check_bearer(&token, &rules(), &keys(), NOW);
    assert_eq!(refused, Err(TokenFault::Binds));
    let token = with("nonce", json!("n-0S6_WzA2Mj"));
    assert!(check_bearer(&token, &rules(), &keys(), NOW).is_ok());
}

#[test]
fn of_a_token_only_what_is_allowed_is_seen() {
    let allowed = ["email".to_owned(), "iss".to_owned(), "absent".to_owned()];
    let payload = r#"{"phone":"1","email":"a@b","aud":["x","y"],"iss":"false","sub":"false"}"#;
    let seen = cut(payload, ISSUER, SUBJECT, &allowed).expect("an object");
    assert_eq!(
        seen,
        r#"{"iss":"https://example.eu.auth0.com/","sub":"auth0|ann","aud":["x","y"],"email":"a@b"}"#
    );
    let seen = cut("{}", ISSUER, "a\"b", &[]).expect("an object");
    assert_eq!(
        seen,
        r#"{"iss":"https://example.eu.auth0.com/","sub":"a\"b"}"#
    );
    for nothing in ["", "7", "[]", "{", "null"] {
        assert_eq!(cut(nothing, ISSUER, SUBJECT, &allowed), None, "{nothing}");
    }
}
