//! Frames, compressed and not.

use proptest::prelude::*;

use crate::compression::{Compression, frame, open_frame};
use crate::v1::{self, Bsatn, CompressableQueryUpdate, QueryUpdate};
use crate::v2::{self, Version};
use crate::{BsatnRowList, Malformed};

const ALL: [(Compression, u8); 3] = [
    (Compression::None, 0),
    (Compression::Brotli, 1),
    (Compression::Gzip, 2),
];

#[test]
fn names_are_those_of_the_query() {
    assert_eq!("None".parse(), Ok(Compression::None));
    assert_eq!("Gzip".parse(), Ok(Compression::Gzip));
    assert_eq!("Brotli".parse(), Ok(Compression::Brotli));
    assert_eq!(Compression::default(), Compression::Brotli);
    let error = "gzip".parse::<Compression>().expect_err("case matters");
    assert_eq!(
        error.to_string(),
        "the compression is None, Gzip or Brotli, not `gzip`"
    );
}

#[test]
fn long_payloads_are_compressed_and_short_ones_are_not() {
    for (compression, tag) in ALL {
        for len in [0, 1, 1_024] {
            let payload = vec![7; len];
            let frame = frame(compression, &payload);
            assert_eq!(frame, [&[0], &payload[..]].concat());
            assert_eq!(open_frame(&frame, len).as_deref(), Ok(&payload[..]));
        }
        let payload = vec![7; 1_025];
        let frame = frame(compression, &payload);
        assert_eq!(frame[0], tag);
        assert_eq!(frame.len() < 100, tag != 0);
        assert_eq!(open_frame(&frame, 1_025).as_deref(), Ok(&payload[..]));
    }
}

#[test]
fn what_compressing_would_not_shorten_stays_as_it_is() {
    let mut noise: u32 = 1;
    let payload: Vec<u8> = (0..2_000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        })
        .collect();
    for (compression, _) in ALL {
        let frame = frame(compression, &payload);
        assert_eq!(frame.len(), payload.len() + 1, "{compression:?}");
        assert_eq!(open_frame(&frame, 2_000).as_deref(), Ok(&payload[..]));
    }
}

#[test]
fn no_more_is_inflated_than_the_reader_accepts() {
    let payload = vec![0; 10_000_000];
    for (compression, _) in ALL {
        let frame = frame(compression, &payload);
        let refused = open_frame(&frame, 9_999_999);
        assert_eq!(refused, Err(Malformed::TooLong { max: 9_999_999 }));
        let opened = open_frame(&frame, 10_000_000).expect("it fits");
        assert_eq!(opened.len(), payload.len());
    }
}

#[test]
fn damaged_frames_are_refused() {
    assert_eq!(open_frame(&[], 10), Err(Malformed::CutShort));
    let unknown = Malformed::UnknownTag {
        what: "a compression",
        tag: 3,
    };
    assert_eq!(open_frame(&[3, 1], 10), Err(unknown));
    let payload: Vec<u8> = (0..5_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    for (compression, tag) in ALL {
        let whole = frame(compression, &payload);
        if tag == 0 {
            continue;
        }
        for len in 1..whole.len() {
            let short = open_frame(&whole[..len], payload.len());
            assert!(
                short == Err(Malformed::NotInflatable),
                "{compression:?} {len}"
            );
        }
        // Brotli says where it ends, and nobody looks behind that.
        let more = [&whole[..], &[0]].concat();
        let opened = open_frame(&more, payload.len());
        assert_eq!(opened.is_ok(), compression == Compression::Brotli);
    }
    // The header of a window of 1 GiB.
    let opened = open_frame(&[1, 0x11, 30, 0, 0, 0], 10);
    assert_eq!(opened, Err(Malformed::NotInflatable));
}

#[test]
fn a_frame_of_many_messages_is_compressed_as_one() {
    let message = v2::ServerMessage::SubscriptionError {
        request_id: Some(1),
        query_set_id: 2,
        error: "no such table".repeat(10),
    };
    let messages = vec![message; 20];
    for (compression, tag) in ALL {
        let frame = v2::encode_server_frame(compression, &messages);
        assert_eq!(frame[0], tag);
        let payload = open_frame(&frame, 10_000).expect("it is ours");
        let read = v2::decode_server_frame(Version::V3, &payload);
        assert_eq!(read.as_ref(), Ok(&messages));
    }
}

#[test]
fn a_frame_of_v1_is_compressed_too() {
    let message: v1::ServerMessage<Bsatn> = v1::ServerMessage::IdentityToken {
        identity: [1; 32],
        token: "token".repeat(1_000),
        connection_id: [2; 16],
    };
    for (compression, tag) in ALL {
        let frame = v1::encode_server_frame(compression, &message);
        assert_eq!(frame[0], tag);
        let payload = open_frame(&frame, 10_000).expect("it is ours");
        assert_eq!(v1::ServerMessage::decode(&payload).as_ref(), Ok(&message));
    }
}

#[test]
fn changes_of_one_table_are_compressed_by_themselves() {
    use CompressableQueryUpdate::{Brotli, Gzip, Uncompressed};
    let update = |rows: usize| QueryUpdate {
        deletes: BsatnRowList::empty(),
        inserts: vec![[7; 10]; rows].iter().collect(),
    };
    for (compression, _) in ALL {
        let short = CompressableQueryUpdate::compress(compression, update(10));
        assert_eq!(short, Uncompressed(update(10)));
        let long = CompressableQueryUpdate::compress(compression, update(1_000));
        let as_asked = match &long {
            Uncompressed(_) => Compression::None,
            Brotli(bytes) if bytes.len() < 200 => Compression::Brotli,
            Gzip(bytes) if bytes.len() < 200 => Compression::Gzip,
            other => panic!("{other:?}"),
        };
        assert_eq!(as_asked, compression);
        assert_eq!(long.open(20_000), Ok(update(1_000)));
        if compression != Compression::None {
            let refused = long.open(10_000);
            assert_eq!(refused, Err(Malformed::TooLong { max: 10_000 }));
        }
    }
    let damaged = Gzip(vec![1, 2, 3].into());
    assert_eq!(damaged.open(100), Err(Malformed::NotInflatable));
}

proptest! {
    #[test]
    fn any_payload_comes_back(byte in any::<u8>(), len in 0_usize..5_000, tail in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let payload = [vec![byte; len], tail].concat();
        for (compression, _) in ALL {
            let frame = frame(compression, &payload);
            prop_assert!(frame.len() <= payload.len() + 1);
            let opened = open_frame(&frame, payload.len());
            prop_assert_eq!(opened.as_deref(), Ok(&payload[..]));
        }
    }

    #[test]
    fn any_bytes_are_opened_within_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in 0_u8..4) {
        let frame = [&[tag], &bytes[..]].concat();
        if let Ok(payload) = open_frame(&frame, 1_000) {
            prop_assert!(payload.len() <= 1_000);
        }
    }
}
