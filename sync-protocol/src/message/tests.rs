//! Golden vectors of every kind of message, and what may not be read.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use proptest::prelude::*;

use super::limits::{ADDRESS_BYTES_MAX, ADDRESSES_PER_PEER_MAX, ENTRY_BYTES_MIN};
use super::*;
use crate::cut::Term;
use crate::entry::{Header, SignedHeader};
use crate::ids::{CutId, DeviceKey, Signature};
use crate::reconcile::{RangeFingerprint, Told, Until};
use crate::time::Hlc;

const DATABASE: DatabaseId = DatabaseId([0xDB; 32]);

fn cut() -> CutRef {
    CutRef {
        term: Term(3),
        height: 300,
        id: CutId([0xC7; 32]),
    }
}

fn standing() -> Standing {
    Standing {
        cut: Some(cut()),
        heads: HeadsHash([0x4E; 32]),
    }
}

fn entry() -> Vec<u8> {
    vec![0xE7; ENTRY_BYTES_MIN]
}

fn tip() -> ChainTip {
    ChainTip {
        author: DeviceKey([0xA1; 32]),
        epoch: 7,
        next_seq: 129,
    }
}

fn proof() -> EquivocationProof {
    let signed = |time| SignedHeader {
        header: Header {
            format: 1,
            database: DATABASE,
            author: DeviceKey([0xA1; 32]),
            epoch: 7,
            seq: 1,
            parents: vec![EntryId([0x11; 32])],
            hlc: Hlc(time),
            stride: 2,
            base: cut(),
            body_root: [0xB0; 32],
            body_len: 9,
            invocations: 1,
        },
        signature: Signature([0x5A; 64]),
    };
    EquivocationProof {
        first: signed(1),
        second: signed(2),
    }
}

/// Of a device whose key is `byte` 32 times.
fn record(byte: u8) -> AddressRecord {
    AddressRecord {
        device: DeviceKey([byte; 32]),
        sequence: 300,
        addresses: vec!["/dns4/a/tcp/1".to_owned()],
        signature: Signature([0x5A; 64]),
    }
}

fn want(want: Want) -> Message {
    Message::Want { request: 5, want }
}

fn answer(answer: Answer) -> Message {
    Message::Answer { request: 5, answer }
}

/// One message of each kind, with a name for the vector file.
fn samples() -> Vec<(&'static str, Message)> {
    let ids = || vec![EntryId([0x1D; 32]), EntryId([0x2D; 32])];
    let hash = BlobHash([0xB1; 32]);
    vec![
        (
            "hello",
            Message::Hello(Hello {
                standing: standing(),
                wall: 1_700_000_000_000_000,
            }),
        ),
        (
            "hello of a joiner",
            Message::Hello(Hello {
                standing: Standing {
                    cut: None,
                    heads: HeadsHash::ZERO,
                },
                wall: 0,
            }),
        ),
        ("standing", Message::Standing(standing())),
        (
            "push",
            Message::Push {
                entries: vec![entry()],
                forwarded: true,
            },
        ),
        ("have", Message::Have { ids: ids() }),
        ("prune", Message::Prune),
        (
            "cut",
            Message::Cut {
                bytes: vec![1, 2, 3],
            },
        ),
        (
            "proofs",
            Message::Proofs {
                proofs: vec![proof()],
            },
        ),
        (
            "addresses",
            Message::Addresses {
                records: vec![record(0xA2)],
            },
        ),
        ("want cut", want(Want::Cut { height: 300 })),
        (
            "want segments",
            want(Want::Segments {
                height: 300,
                from: 200,
            }),
        ),
        (
            "want beyond",
            want(Want::Beyond {
                chains: vec![tip()],
            }),
        ),
        ("want ids", want(Want::Ids { from: 128 })),
        (
            "want entries",
            want(Want::Entries {
                ids: ids(),
                graft: true,
            }),
        ),
        (
            "want introduction",
            want(Want::Introduction {
                cut: Some(cut()),
                page: 1,
            }),
        ),
        ("want blob", want(Want::Blob { hash, offset: 300 })),
        ("want cuts", want(Want::Cuts { known: vec![cut()] })),
        (
            "want body",
            want(Want::Body {
                entry: EntryId([0x1D; 32]),
                offset: 300,
            }),
        ),
        (
            "want reconcile",
            want(Want::Reconcile {
                ranges: vec![
                    Range {
                        until: Until::Time(Hlc(300)),
                        told: Told::Skip,
                    },
                    Range {
                        until: Until::Entry(Hlc(300), EntryId([0x1D; 32])),
                        told: Told::Fingerprint(RangeFingerprint([0xF1; 16])),
                    },
                    Range {
                        until: Until::End,
                        told: Told::Ids(ids()),
                    },
                ],
            }),
        ),
        ("answer nothing", answer(Answer::Nothing)),
        ("answer cut", answer(Answer::Cut { bytes: vec![4, 5] })),
        (
            "answer segments",
            answer(Answer::Segments {
                segments: vec![SegmentPage {
                    height: 300,
                    cut: vec![6],
                    entries: vec![entry()],
                    complete: true,
                }],
            }),
        ),
        (
            "answer beyond",
            answer(Answer::Beyond {
                entries: vec![entry()],
                more: false,
                heads: ids(),
            }),
        ),
        (
            "answer ids",
            answer(Answer::Ids {
                ids: ids(),
                more: true,
            }),
        ),
        (
            "answer entries",
            answer(Answer::Entries {
                entries: vec![entry()],
                more: false,
            }),
        ),
        (
            "answer blob",
            answer(Answer::Blob {
                total: 300,
                bytes: vec![7, 8],
            }),
        ),
        (
            "answer cuts",
            answer(Answer::Cuts {
                cuts: vec![entry()],
            }),
        ),
        (
            "answer reconcile",
            answer(Answer::Reconcile {
                ranges: vec![Range {
                    until: Until::End,
                    told: Told::Ids(vec![EntryId([0x1D; 32])]),
                }],
                heads: vec![EntryId([0x2D; 32])],
            }),
        ),
    ]
}

const GOLDEN: &str = include_str!("../../../tests/corpus/messages/version-1.txt");

/// The vector file, one message a line: its name, a tab, its frame in hex. Runs of one byte that
/// stand for an id or a small entry are written `xx*count`.
fn golden() -> Vec<(String, Vec<u8>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once('\t').expect("a tab after the name");
            let mut frame = Vec::new();
            for part in hex.split(' ') {
                let (hex, times) = part.split_once('*').unwrap_or((part, "1"));
                let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).expect("hex");
                frame.extend(bytes.repeat(times.parse().expect("a count")));
            }
            (name.to_owned(), frame)
        })
        .collect()
}

#[test]
fn every_message_has_its_golden_bytes() {
    let golden = golden();
    for (name, message) in samples() {
        let frame = message.encode(&DATABASE);
        let expected = golden.iter().find(|(known, _)| known == name);
        let (_, expected) =
            expected.unwrap_or_else(|| panic!("no vector for {name}: {}", HEXLOWER.encode(&frame)));
        assert_eq!(
            HEXLOWER.encode(&frame),
            HEXLOWER.encode(expected),
            "{name}: a change of these bytes needs a new message version"
        );
        assert_eq!(Message::decode(expected), Ok((DATABASE, message)), "{name}");
    }
    assert_eq!(golden.len(), samples().len());
}

#[test]
fn cut_short_or_longer_frames_are_malformed() {
    for (name, message) in samples() {
        let mut frame = message.encode(&DATABASE);
        for len in 1..frame.len() {
            let short = Message::decode(&frame[..len]);
            assert_eq!(short, Err(MessageError::Malformed), "{name} cut to {len}");
        }
        frame.push(0);
        assert_eq!(
            Message::decode(&frame),
            Err(MessageError::Malformed),
            "{name}"
        );
    }
    assert_eq!(Message::decode(&[]), Err(MessageError::Malformed));
}

#[test]
fn versions_and_lengths_are_told_apart_from_nonsense() {
    let mut frame = Message::Prune.encode(&DATABASE);
    frame[0] = 2;
    assert_eq!(Message::decode(&frame), Err(MessageError::Version(2)));
    let long = vec![MESSAGE_VERSION; MESSAGE_BYTES_MAX + 1];
    assert_eq!(
        Message::decode(&long),
        Err(MessageError::TooLong(long.len()))
    );
}

#[test]
fn a_number_has_one_spelling() {
    let frame = want(Want::Ids { from: 0 }).encode(&DATABASE);
    let (zero, start) = frame.split_last().expect("not empty");
    assert_eq!(*zero, 0);
    let longer = [start, &[0x80, 0]].concat();
    assert_eq!(Message::decode(&longer), Err(MessageError::Malformed));
}

fn frame_of(body: &[u8]) -> Vec<u8> {
    [&[MESSAGE_VERSION], &DATABASE.0[..], body].concat()
}

#[test]
fn lists_and_texts_over_their_bounds_are_malformed() {
    let over = |message: Message| {
        let frame = frame_of(&codec::encode(&message));
        assert_eq!(Message::decode(&frame), Err(MessageError::Malformed));
    };
    let id = EntryId([1; 32]);
    over(Message::Have {
        ids: vec![id; IDS_PER_MESSAGE_MAX + 1],
    });
    over(Message::Have { ids: Vec::new() });
    over(Message::Push {
        entries: Vec::new(),
        forwarded: false,
    });
    over(Message::Push {
        entries: vec![vec![0; ENTRY_BYTES_MIN - 1]],
        forwarded: false,
    });
    over(Message::Cut {
        bytes: vec![0; CUT_BYTES_MAX + 1],
    });
    over(Message::Proofs { proofs: Vec::new() });
    over(want(Want::Beyond {
        chains: vec![tip(); CHAINS_MAX + 1],
    }));
    over(answer(Answer::Beyond {
        entries: Vec::new(),
        more: false,
        heads: vec![id; HEADS_PER_MESSAGE_MAX + 1],
    }));
    over(answer(Answer::Blob {
        total: 0,
        bytes: Vec::new(),
    }));
    over(answer(Answer::Segments {
        segments: Vec::new(),
    }));
    over(want(Want::Cuts { known: Vec::new() }));
    over(want(Want::Cuts {
        known: vec![cut(); KNOWN_CUTS_MAX + 1],
    }));
    over(want(Want::Reconcile { ranges: Vec::new() }));
    let settled = Range {
        until: Until::End,
        told: Told::Skip,
    };
    over(want(Want::Reconcile {
        ranges: vec![settled.clone()],
    }));
    over(answer(Answer::Reconcile {
        ranges: vec![settled; RANGES_MAX + 1],
        heads: Vec::new(),
    }));
    over(answer(Answer::Reconcile {
        ranges: Vec::new(),
        heads: vec![id; HEADS_PER_MESSAGE_MAX + 1],
    }));
    over(answer(Answer::Cuts { cuts: Vec::new() }));
    over(answer(Answer::Cuts {
        cuts: vec![vec![0; CUT_BYTES_MAX + 1]],
    }));
    let addresses = |records| Message::Addresses { records };
    let listening = |addresses| AddressRecord {
        addresses,
        ..record(1)
    };
    over(addresses(Vec::new()));
    over(addresses(vec![record(1), record(1)]));
    over(addresses(vec![record(2), record(1)]));
    over(addresses((0..=64).map(record).collect()));
    over(addresses(vec![listening(vec![
        String::new();
        ADDRESSES_PER_PEER_MAX + 1
    ])]));
    over(addresses(vec![listening(vec![
        "a".repeat(ADDRESS_BYTES_MAX + 1),
    ])]));
}

#[test]
fn a_short_frame_cannot_announce_a_long_list() {
    // Have, with a list said to be 2^35 ids long; push, with as many entries.
    for kind in [4, 3] {
        let frame = frame_of(&[kind, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
        assert_eq!(Message::decode(&frame), Err(MessageError::Malformed));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, kind in 0_u8..12) {
        let _ = Message::decode(&bytes);
        let _ = Message::decode(&frame_of(&[&[kind], &bytes[..]].concat()));
    }

    #[test]
    fn a_flipped_bit_is_another_message_or_none(at: prop::sample::Index, bit in 0_u8..8) {
        for (name, message) in samples() {
            let mut frame = message.encode(&DATABASE);
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
            if let Ok((database, other)) = Message::decode(&frame) {
                prop_assert!(database != DATABASE || other != message, "{}", name);
                prop_assert_eq!(other.encode(&database), frame);
            }
        }
    }
}
