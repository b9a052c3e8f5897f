use proptest::prelude::*;

use super::*;
use crate::cut::Term;
use crate::fixtures::{BIRTH, Birth, caller, calls, genesis_call, hex, key, system, unhex};
use crate::ids::{ConnectionId, CutId, DeviceKey};
use crate::limits::{
    ARGUMENTS_BYTES_MAX, HLC_MAX, INVOCATIONS_MAX, NAME_BYTES_MAX, PARENTS_MAX,
    PROOFS_PER_ENTRY_MAX, STRIDE_MAX,
};
use crate::membership::Role;

fn draft() -> Draft {
    Draft {
        database: DatabaseId([1; 32]),
        epoch: 0x0102_0304_0506_0708,
        seq: 300,
        parents: vec![EntryId([3; 32]), EntryId([2; 32])],
        hlc: Hlc(1_767_225_600_000_000),
        stride: 2,
        base: CutRef {
            term: Term(0x0300_0000),
            height: 5,
            id: CutId([4; 32]),
        },
    }
}

fn sealed() -> Entry {
    Entry::seal(draft(), calls(2), &key(1)).unwrap()
}

const GOLDEN: &str = "\
    dd000101010101010101010101010101010101010101010101010101010101010101018a88e3dd7409f195fd52\
    db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c888e98a8c0e0808101ac02020202020202020202020202\
    020202020202020202020202020202020202020202030303030303030303030303030303030303030303030303\
    0303030303030303808081b184e991030280808018050404040404040404040404040404040404040404040404\
    0404040404040404047ca622974d3149204898295185a2b4b8def867b043a4248ed7d8258d1d7243b04d02e213\
    83ff318f8ad5a492517f7682085dbfa6aac97a74db7ec56c4cba1e27432ffa483269bed38431c3a5fd1ab70c34\
    10739c557d30825ab5964e75c1c783e20d010361646401010101010101010106697373756572077375626a6563\
    740002000009090909090909090909090909090909040000000000000909090909090909090909090909090904\
    01000000";

const GOLDEN_ID: &str = "9cb6b751892470391f911163a2101c594a3e86717b3bc61f114e52773a0effcc";

const GOLDEN_DATABASE: &str = "c31c1983c48aeed9075c442d9527ec14af24d23a491252aa7e6d2c8591c6f5a0";

const GOLDEN_GENESIS: &str = "\
    8d000105050505050505050505050505050505050505050505050505050505050505053b6a27bcceb6a42d62a3\
    a8d02a6f0d73653215771de243a63ac048a18b59da29070000c0843d0000000000000000000000000000000000\
    00000000000000000000000000000000000018e73970e5cec7cd125bb95f9ffe1daa67fb461ea574d3d419b4e8\
    8cd25cd42fb90101e2aa60e3175a1c24c2021ca08e744e8655489849c4b937c27393407793fcc21e7b30c7cb33\
    dec3af1112afb7155d10703b0a825534a87791eb4e522e1893630d010e746f6d626f6c6f3a73797374656d0000\
    0000000000000106697373756572077375626a65637400010000000000000000000000000000000000007c0004\
    636861740303030303030303030303030303030303030303030303030303030303030303e80701008080802080\
    94ebdc0380a8d6b907e807013b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da2901\
    0404040404040404040404040404040404040404040404040404040404040404";

#[test]
fn golden_entry() {
    let entry = sealed();
    assert_eq!(hex(entry.encoded()), GOLDEN);
    assert_eq!(entry.id.to_string(), GOLDEN_ID);
    assert_eq!(Entry::open(&unhex(GOLDEN)).unwrap(), entry);
    assert_eq!(entry.verify(), Ok(()));
}

#[test]
fn golden_genesis() {
    let entry = Birth::new().genesis;
    assert_eq!(hex(entry.encoded()), GOLDEN_GENESIS);
    assert_eq!(entry.database().to_string(), GOLDEN_DATABASE);
    let opened = Entry::open(&unhex(GOLDEN_GENESIS)).unwrap();
    assert!(opened.is_genesis() && opened == *entry);
    let genesis = SystemCall::Genesis(genesis_call(vec![key(0).public()]));
    assert_eq!(opened.system_calls().collect::<Vec<_>>(), [(0, genesis)]);
}

#[test]
fn what_is_sealed_opens_and_verifies() {
    let entry = sealed();
    let opened = Entry::open(entry.encoded()).unwrap();
    assert_eq!(
        (opened.id, &opened.header, &opened.body),
        (entry.id, &entry.header, &entry.body)
    );
    assert_eq!(
        opened.header.parents,
        [EntryId([2; 32]), EntryId([3; 32])],
        "sorted"
    );
    assert_eq!(opened.verify(), Ok(()));
    assert_eq!(opened.header.id(), entry.id);
    assert_eq!(opened.database(), draft().database);
    assert_eq!(opened.time_of(1), Hlc(draft().hlc.0 + 4));
    assert_eq!(opened.last_time(), opened.time_of(1));
    assert!(opened.position(0) < opened.position(1));
    assert_eq!(opened.signed_header().verify(), Ok(()));
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let entry = sealed();
    let mut bytes = entry.encoded().to_vec();
    for place in 0..bytes.len() * 8 {
        bytes[place / 8] ^= 1 << (place % 8);
        if let Ok(other) = Entry::open(&bytes) {
            assert!(other.verify().is_err(), "bit {place}");
        }
        bytes[place / 8] ^= 1 << (place % 8);
    }
    assert_eq!(Entry::open(&bytes).unwrap(), entry);
}

#[test]
fn no_shorter_or_longer_bytes_open() {
    let entry = sealed();
    let mut bytes = entry.encoded().to_vec();
    for len in 0..bytes.len() {
        assert!(Entry::open(&bytes[..len]).is_err(), "{len} bytes");
    }
    bytes.push(0);
    assert!(Entry::open(&bytes).is_err());
}

/// Puts an entry together whose header and body nobody checked.
fn unchecked(header: &Header, body: &[u8]) -> Vec<u8> {
    let header = header.encode();
    let signature = key(1).sign(header::SIGNATURE_CONTEXT, &header::id_of(&header).0);
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    [len.as_slice(), &header, &signature.0, body].concat()
}

/// The same rule on the way out and on the way in: `seal` refuses to make, `open` to read.
fn check_refused(change: impl Fn(&mut Draft, &mut Body), expected: &Malformed) {
    let (mut draft, mut body) = (draft(), calls(2));
    change(&mut draft, &mut body);
    let sealed = Entry::seal(draft.clone(), body.clone(), &key(1));
    assert_eq!(sealed, Err(SealError(expected.clone())));

    let mut header = self::sealed().header.clone();
    let encoded = body.encode();
    header.parents = draft.parents;
    header.parents.sort();
    (header.hlc, header.stride) = (draft.hlc, draft.stride);
    (header.seq, header.base) = (draft.seq, draft.base);
    header.body_root = body::root_of(&encoded);
    header.body_len = u32::try_from(encoded.len()).unwrap();
    header.invocations = u16::try_from(body.invocations.len()).unwrap();
    let opened = Entry::open(&unchecked(&header, &encoded));
    // A list over its bound is refused while it is read, before it can be counted.
    let undecodable = matches!(opened, Err(Malformed::Undecodable { .. }))
        && matches!(expected, Malformed::OverLimit { .. });
    assert!(
        undecodable || opened.as_ref() == Err(expected),
        "{opened:?}"
    );
}

fn over(what: &'static str, found: usize, max: usize) -> Malformed {
    Malformed::OverLimit {
        what,
        found: found as u64,
        max: max as u64,
    }
}

#[test]
fn limits_hold_on_both_sides() {
    let ids = |count: usize| (0..count).map(|n| EntryId([u8::try_from(n).unwrap(); 32]));
    check_refused(
        |draft, _| draft.parents = ids(PARENTS_MAX + 1).collect(),
        &over("parents", PARENTS_MAX + 1, PARENTS_MAX),
    );
    check_refused(
        |draft, _| draft.parents = vec![EntryId([1; 32]); 2],
        &Malformed::NotSorted { what: "parents" },
    );
    check_refused(
        |draft, _| draft.stride = STRIDE_MAX + 1,
        &over("stride", usize::from(STRIDE_MAX) + 1, STRIDE_MAX.into()),
    );
    check_refused(
        |draft, _| draft.hlc = Hlc(HLC_MAX - 3),
        &over(
            "time",
            usize::try_from(HLC_MAX).unwrap() + 1,
            usize::try_from(HLC_MAX).unwrap(),
        ),
    );
    check_refused(
        |_, body| body.invocations.clear(),
        &Malformed::Empty {
            what: "invocations",
        },
    );
    check_refused(
        |_, body| *body = calls(INVOCATIONS_MAX + 1),
        &over("invocations", INVOCATIONS_MAX + 1, INVOCATIONS_MAX),
    );
    check_refused(
        |_, body| body.invocations[1].name = 1,
        &Malformed::NoSuchIndex {
            what: "name",
            index: 1,
            len: 1,
        },
    );
    check_refused(
        |_, body| body.invocations[1].caller = 7,
        &Malformed::NoSuchIndex {
            what: "caller",
            index: 7,
            len: 1,
        },
    );
    check_refused(
        |_, body| body.names[0].name = "n".repeat(NAME_BYTES_MAX + 1),
        &over(
            "bytes of a reducer's name",
            NAME_BYTES_MAX + 1,
            NAME_BYTES_MAX,
        ),
    );
    check_refused(
        |_, body| body.callers[0].subject = "s".repeat(129),
        &over("bytes of a subject", 129, 128),
    );
    check_refused(
        |_, body| body.invocations[0].args = vec![0; ARGUMENTS_BYTES_MAX + 1],
        &over(
            "bytes of arguments",
            ARGUMENTS_BYTES_MAX + 1,
            ARGUMENTS_BYTES_MAX,
        ),
    );
    let invite = SystemCall::Invite {
        ticket: key(9).public(),
        role: Role::Writer,
        uses: 1,
        expires: Hlc(0),
    };
    check_refused(
        |_, body| *body = system(&vec![invite.clone(); PROOFS_PER_ENTRY_MAX + 1]),
        &over(
            "system calls with proofs",
            PROOFS_PER_ENTRY_MAX + 1,
            PROOFS_PER_ENTRY_MAX,
        ),
    );
}

#[test]
fn what_is_just_within_the_limits_is_taken() {
    let mut draft = draft();
    draft.parents = (0..16).map(|n| EntryId([n; 32])).collect();
    (draft.epoch, draft.seq, draft.stride) = (u64::MAX, u64::MAX, STRIDE_MAX);
    draft.base.height = u64::MAX;
    draft.hlc = Hlc(HLC_MAX - ((INVOCATIONS_MAX as u64 - 1) << STRIDE_MAX));
    let entry = Entry::seal(draft, calls(INVOCATIONS_MAX), &key(1)).unwrap();
    assert!(entry.header.encode().len() <= HEADER_BYTES_MAX);
    assert_eq!(entry.last_time(), Hlc(HLC_MAX));
    assert_eq!(Entry::open(entry.encoded()).unwrap(), entry);
}

#[test]
fn the_largest_body_is_bounded_before_it_is_read() {
    let mut body = calls(4);
    for invocation in &mut body.invocations {
        invocation.args = vec![0; ARGUMENTS_BYTES_MAX];
    }
    let len = body.encode().len();
    let error = Malformed::OverLimit {
        what: "body bytes",
        found: len as u64,
        max: BODY_BYTES_MAX as u64,
    };
    assert_eq!(Entry::seal(draft(), body, &key(1)), Err(SealError(error)));
    let error = over("entry bytes", ENTRY_BYTES_MAX + 1, ENTRY_BYTES_MAX);
    assert_eq!(Entry::open(&vec![0; ENTRY_BYTES_MAX + 1]), Err(error));
}

#[test]
fn a_second_spelling_of_a_header_is_refused() {
    let entry = sealed();
    let header = entry.header.encode();
    // The number of parents, written with one byte more than it needs.
    let parents_at = 1 + 32 + 32 + 9 + 2;
    assert_eq!(header[parents_at], 2);
    let mut longer = header.clone();
    longer.splice(parents_at..=parents_at, [0x82, 0]);
    assert_eq!(
        Header::decode(&longer),
        Err(Malformed::NotCanonical { what: "header" })
    );
    assert_eq!(Header::decode(&header), Ok(entry.header.clone()));
}

#[test]
fn unsorted_and_doubled_parents_are_refused() {
    let twice = vec![EntryId([2; 32]), EntryId([2; 32])];
    let unsorted = vec![EntryId([3; 32]), EntryId([2; 32])];
    for parents in [twice, unsorted] {
        let mut header = sealed().header.clone();
        header.parents = parents;
        let body = calls(2).encode();
        let refused = Entry::open(&unchecked(&header, &body));
        assert_eq!(refused, Err(Malformed::NotSorted { what: "parents" }));
    }
}

#[test]
fn a_second_spelling_of_a_body_is_refused_though_it_is_signed() {
    let body = calls(1).encode();
    // The body ends with the arguments: their length, 4, and 4 bytes.
    let at = body.len() - 5;
    assert_eq!(body[at], 4);
    let mut longer = body.clone();
    longer.splice(at..=at, [0x84, 0]);
    let mut header = sealed().header.clone();
    header.invocations = 1;
    header.body_root = body::root_of(&longer);
    header.body_len = u32::try_from(longer.len()).unwrap();
    let refused = Entry::open(&unchecked(&header, &longer));
    assert_eq!(refused, Err(Malformed::NotCanonical { what: "body" }));
}

#[test]
fn a_format_of_the_future_is_nobodys_fault() {
    let entry = sealed();
    let mut bytes = entry.encoded().to_vec();
    bytes[2] = FORMAT + 1;
    let error = Entry::open(&bytes).unwrap_err();
    assert_eq!(
        error,
        Malformed::UnknownFormat {
            what: "header",
            format: 2,
            known: 1
        }
    );
    assert!(!error.is_fault());
    bytes[2] = 0;
    assert!(Entry::open(&bytes).unwrap_err().is_fault());
}

#[test]
fn a_genesis_call_stands_alone_and_first() {
    let shape = Malformed::Mismatch {
        what: "the shape of a genesis entry",
    };
    let place = Malformed::Mismatch {
        what: "the place of the genesis call",
    };
    let genesis = SystemCall::Genesis(genesis_call(vec![key(1).public()]));
    let first = |draft: &mut Draft| {
        draft.parents.clear();
        draft.seq = 0;
        draft.base = CutRef::NONE;
    };
    check_refused(|draft, _| draft.parents.clear(), &shape);
    check_refused(|draft, _| draft.base = CutRef::NONE, &shape);
    check_refused(|draft, _| first(draft), &place);
    check_refused(
        |_, body| *body = system(std::slice::from_ref(&genesis)),
        &place,
    );
    check_refused(
        |draft, body| {
            first(draft);
            *body = system(&[genesis.clone(), SystemCall::ClientConnected]);
        },
        &place,
    );
    check_refused(
        |draft, body| {
            first(draft);
            draft.seq = 1;
            *body = system(std::slice::from_ref(&genesis));
        },
        &shape,
    );
    let mut unordered = genesis_call(vec![key(1).public()]);
    unordered.finalisers = vec![DeviceKey([2; 32]), DeviceKey([1; 32])];
    let refused = Entry::genesis([0; 32], 0, BIRTH, caller(), unordered, &key(1));
    assert_eq!(
        refused,
        Err(SealError(Malformed::NotSorted { what: "finalisers" }))
    );
}

#[test]
fn a_system_call_that_does_not_decode_is_a_call_that_fails() {
    let mut body = system(&[SystemCall::ClientConnected, SystemCall::ClientDisconnected]);
    body.invocations[0].args.push(0);
    let entry = Entry::seal(draft(), body, &key(1)).unwrap();
    let calls: Vec<_> = entry.system_calls().collect();
    assert_eq!(calls, [(1, SystemCall::ClientDisconnected)]);
    assert!(entry.body.system_call(0).unwrap().is_err());
    assert!(entry.body.system_call(2).is_none());
    let mut other = entry.body.clone();
    other.names[0].arguments_type = [1; 8];
    assert!(
        other.system_call(1).is_none(),
        "a system call has no argument type"
    );
}

prop_compose! {
    fn bodies()(
        names in prop::collection::vec("[a-z:]{0,12}", 1..4),
        subjects in prop::collection::vec(".{0,20}", 1..4),
        calls in prop::collection::vec(
            (any::<u16>(), any::<u16>(), any::<[u8; 16]>(), prop::collection::vec(any::<u8>(), 0..40)),
            1..12,
        ),
    ) -> Body {
        let index = |n: u16, len: usize| u16::try_from(usize::from(n) % len).unwrap();
        let invocations = calls.into_iter().map(|(name, caller, connection, args)| Invocation {
            name: index(name, names.len()),
            caller: index(caller, subjects.len()),
            connection: ConnectionId(connection),
            args,
        });
        Body {
            invocations: invocations.collect(),
            names: names.into_iter().map(|name| CallName { name, arguments_type: [0; 8] }).collect(),
            callers: subjects.into_iter().map(|subject| Caller { subject, ..caller() }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn any_entry_goes_there_and_back(
        body in bodies(),
        epoch in any::<u64>(),
        seq in any::<u64>(),
        hlc in 0..HLC_MAX - (1 << 30),
        stride in 0..=STRIDE_MAX,
        height in any::<u64>(),
        term in any::<u64>(),
        parents in prop::collection::btree_set(any::<[u8; 32]>(), 1..=PARENTS_MAX),
    ) {
        let parents = parents.into_iter().map(EntryId).collect();
        let base = CutRef { term: Term(term), height, id: CutId([1; 32]) };
        let database = DatabaseId([1; 32]);
        let draft = Draft { database, epoch, seq, parents, hlc: Hlc(hlc), stride, base };
        let entry = Entry::seal(draft, body.clone(), &key(2)).unwrap();
        let opened = Entry::open(entry.encoded()).unwrap();
        prop_assert_eq!(&opened.body, &body);
        prop_assert_eq!(&opened.header, &entry.header);
        prop_assert_eq!(opened.verify(), Ok(()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Entry::open(&bytes);
        let _ = Header::decode(&bytes);
        let _ = Body::decode(&bytes);
        let _ = SystemCall::decode(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        genesis in any::<bool>(),
    ) {
        let entry = if genesis { Birth::new().genesis } else { sealed().into() };
        let mut bytes = entry.encoded().to_vec();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(opened) = Entry::open(&bytes) {
            prop_assert_eq!(Entry::open(opened.encoded()), Ok(opened));
        }
    }
}
