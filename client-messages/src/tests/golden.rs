//! Golden bytes of every kind of message, and of frames of several.

use std::fmt::Debug;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::samples;
use crate::compression::Compression;
use crate::v1::{self, Bsatn, Json};
use crate::v2::{self, Version};
use crate::{Malformed, bsatn};

fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').expect("a tab after the name"))
}

/// A golden file, one message a line: its name, a tab, its bytes in hex. Runs of one byte are
/// written `xx*count`.
fn golden(text: &str) -> Vec<(String, Vec<u8>)> {
    lines(text)
        .map(|(name, hex)| {
            let mut message = Vec::new();
            for part in hex.split(' ') {
                let (hex, times) = part.split_once('*').unwrap_or((part, "1"));
                let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("hex");
                message.extend(bytes.repeat(times.parse().expect("a count")));
            }
            (name.to_owned(), message)
        })
        .collect()
}

/// Both ways; and no beginning of a message is one, nor is a message with more behind it.
fn check<T: bsatn::Wire + PartialEq + Debug>(text: &str, samples: Vec<(&'static str, T)>) {
    let golden = golden(text);
    assert_eq!(golden.len(), samples.len());
    for (name, message) in samples {
        let bytes = bsatn::encode(&message);
        let (_, expected) = golden
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("no vector for {name}: {}", HEXLOWER.encode(&bytes)));
        assert_eq!(HEXLOWER.encode(&bytes), HEXLOWER.encode(expected), "{name}");
        assert_eq!(
            bsatn::decode::<T>(expected).as_ref(),
            Ok(&message),
            "{name}"
        );
        for len in 0..bytes.len() {
            let short = bsatn::decode::<T>(&bytes[..len]);
            assert!(short.is_err(), "{name} cut to {len}: {short:?}");
        }
        let more = [&bytes[..], &[0, 0]].concat();
        let refused = Err(Malformed::Trailing { bytes: 2 });
        assert_eq!(bsatn::decode::<T>(&more), refused, "{name}");
    }
}

#[test]
fn messages_of_clients_v2() {
    check(
        include_str!("../../golden/v2-client.txt"),
        samples::v2::client(),
    );
}

#[test]
fn messages_of_peers_v2() {
    check(
        include_str!("../../golden/v2-server.txt"),
        samples::v2::server(),
    );
}

#[test]
fn messages_of_clients_v1() {
    check(
        include_str!("../../golden/v1-client.txt"),
        samples::v1::client::<Bsatn>(),
    );
}

#[test]
fn messages_of_peers_v1() {
    check(
        include_str!("../../golden/v1-server.txt"),
        samples::v1::server::<Bsatn>(),
    );
}

/// As [`check`], of texts.
fn check_text<T: PartialEq + Debug>(
    text: &str,
    samples: Vec<(&'static str, T)>,
    write: impl Fn(&T) -> String,
    read: impl Fn(&str) -> Result<T, Malformed>,
) {
    let golden: Vec<_> = lines(text).collect();
    assert_eq!(golden.len(), samples.len());
    for (name, message) in samples {
        let text = write(&message);
        let (_, expected) = golden
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("no vector for {name}: {text}"));
        assert_eq!(text, *expected, "{name}");
        assert_eq!(read(expected).as_ref(), Ok(&message), "{name}");
        for (len, _) in text.char_indices() {
            let short = read(&text[..len]);
            assert!(short.is_err(), "{name} cut to {len}: {short:?}");
        }
        assert!(read(&format!("{text}0")).is_err(), "{name}");
        assert_eq!(read(&format!(" {text}\n")).as_ref(), Ok(&message), "{name}");
    }
}

#[test]
fn messages_of_clients_v1_as_text() {
    check_text(
        include_str!("../../golden/v1-json-client.txt"),
        samples::v1::client::<Json>(),
        v1::ClientMessage::to_text,
        v1::ClientMessage::from_text,
    );
}

#[test]
fn messages_of_peers_v1_as_text() {
    check_text(
        include_str!("../../golden/v1-json-server.txt"),
        samples::v1::server::<Json>(),
        v1::ServerMessage::to_text,
        v1::ServerMessage::from_text,
    );
}

#[test]
fn a_frame_of_v3_is_its_messages_one_after_the_other() {
    let golden = golden(include_str!("../../golden/v2-client.txt"));
    let bytes: Vec<u8> = golden.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let messages: Vec<_> = samples::v2::client().into_iter().map(|(_, m)| m).collect();
    assert_eq!(v2::encode_client_frame(&messages), bytes);
    assert_eq!(
        v2::decode_client_frame(Version::V3, &bytes).as_ref(),
        Ok(&messages)
    );
    let first = messages[0].encode().len();
    assert_eq!(
        v2::decode_client_frame(Version::V2, &bytes),
        Err(Malformed::Trailing {
            bytes: bytes.len() - first
        })
    );
    for version in [Version::V2, Version::V3] {
        let alone = v2::decode_client_frame(version, &bytes[..first]);
        assert_eq!(alone.as_deref(), Ok(&messages[..1]));
        let nothing = v2::decode_client_frame(version, &[]);
        assert_eq!(nothing, Err(Malformed::CutShort));
    }
}

#[test]
fn a_frame_of_a_server_is_a_tag_and_its_messages() {
    // The order of the samples is not that of the file.
    let messages: Vec<_> = samples::v2::server().into_iter().map(|(_, m)| m).collect();
    let bytes: Vec<u8> = messages.iter().flat_map(|m| m.encode()).collect();
    let frame = v2::encode_server_frame(Compression::None, &messages);
    assert_eq!(frame, [&[0], &bytes[..]].concat());
    assert_eq!(
        v2::decode_server_frame(Version::V3, &frame[1..]).as_ref(),
        Ok(&messages)
    );
    let refused = v2::decode_server_frame(Version::V2, &frame[1..]);
    assert!(matches!(refused, Err(Malformed::Trailing { .. })));
}
