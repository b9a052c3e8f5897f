//! What peers sign, store and send. What is taken has one spelling; what is made is taken.

use blake3::Hasher;
use data_encoding::BASE32_NOPAD;
use sync_protocol::limits::{ARGUMENTS_BYTES_MAX, HLC_MAX, PARENTS_MAX, STRIDE_MAX};
use sync_protocol::message::{Answer, Want};
use sync_protocol::{
    Body, Cut, CutId, CutRef, DatabaseId, DeviceKey, Draft, Entry, EntryId, EquivocationProof,
    Header, Hlc, JoinAnswer, JoinRequest, Message, SecretKey, SystemCall, TailIndex, TailItem,
    Ticket, order_root, reconcile,
};

use crate::types::Choices;

const DATABASE: DatabaseId = DatabaseId([7; 32]);

fn key() -> SecretKey {
    SecretKey::from_bytes(&[1; 32])
}

/// An entry as stored and sent.
pub(crate) fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::open(bytes) else {
        return;
    };
    assert_eq!(
        &**entry.encoded(),
        bytes,
        "what was read is what is sent on"
    );
    let header = entry.header.encode();
    assert_eq!(
        header,
        bytes[2..2 + header.len()],
        "a header has one spelling"
    );
    assert!(
        bytes.ends_with(&entry.body.encode()),
        "a body has one spelling"
    );
    assert_eq!(entry.id, entry.header.id());
    assert_eq!(entry.is_genesis(), entry.database() == entry.id.into());
    let again = Entry::open(entry.encoded()).expect("it was read before");
    assert!(again == entry && again.id == entry.id);
    assert_eq!(entry.verify(), entry.signed_header().verify());
    let last = entry.header.invocations - 1;
    assert_eq!(entry.time_of(last), entry.last_time());
    assert!(entry.system_calls().count() <= usize::from(entry.header.invocations));
}

/// A header alone.
pub(crate) fn header(bytes: &[u8]) {
    let Ok(header) = Header::decode(bytes) else {
        return;
    };
    assert_eq!(header.encode(), bytes, "a header has one spelling");
    assert!(header.parents.is_sorted_by(|a, b| a < b));
    assert!(header.parents.len() <= PARENTS_MAX);
    assert!(header.hlc <= header.last_time() && header.last_time().0 <= HLC_MAX);
}

/// A body alone; and whatever body can be read can be sealed into an entry that opens again.
pub(crate) fn body(bytes: &[u8]) {
    let Ok(body) = Body::decode(bytes) else {
        return;
    };
    assert_eq!(body.encode(), bytes, "a body has one spelling");
    for (index, call) in body.system_calls() {
        let args = &body.invocations[usize::from(index)].args;
        assert_eq!(&call.encode(), args, "a system call has one spelling");
    }
    let draft = Draft {
        database: DATABASE,
        epoch: 1,
        seq: 2,
        parents: vec![EntryId([3; 32]), EntryId([2; 32])],
        hlc: Hlc(1_000),
        stride: STRIDE_MAX,
        base: CutRef {
            term: sync_protocol::Term::FIRST,
            height: 4,
            id: CutId([5; 32]),
        },
    };
    // A genesis call in a body that is none is refused on both sides.
    if let Ok(entry) = Entry::seal(draft, body, &key()) {
        let opened = Entry::open(entry.encoded()).expect("what is sealed opens");
        assert_eq!(opened, entry);
        assert_eq!(opened.id, entry.id);
        assert_eq!(opened.verify(), Ok(()));
    }
}

/// A frame between two peers.
pub(crate) fn message(bytes: &[u8]) {
    let Ok((database, message)) = Message::decode(bytes) else {
        return;
    };
    assert_eq!(
        message.encode(&database),
        bytes,
        "a message has one spelling"
    );
    // Whatever is said of ranges is answered, and gone on with, within the bounds of a message.
    let index = tail();
    let ranges = match message {
        Message::Want {
            want: Want::Reconcile { ranges },
            ..
        } => reconcile::answer(&index, &ranges),
        Message::Answer {
            answer: Answer::Reconcile { ranges, .. },
            ..
        } => reconcile::hear(&index, ranges).question,
        _ => return,
    };
    let answer = Answer::Reconcile {
        ranges,
        heads: Vec::new(),
    };
    let request = 0;
    let frame = Message::Answer { request, answer }.encode(&database);
    assert!(Message::decode(&frame).is_ok());
}

/// Entries of which each three share a time, in and around the times of the seeds.
fn tail() -> TailIndex {
    let mut index = TailIndex::default();
    for n in 0..200_u8 {
        index.insert(TailItem {
            hlc: Hlc(250 + u64::from(n / 3)),
            id: EntryId([n; 32]),
        });
    }
    index
}

/// A cut with its certificate.
pub(crate) fn cut(bytes: &[u8]) {
    let Ok(cut) = Cut::open(bytes) else {
        return;
    };
    assert_eq!(&**cut.encoded(), bytes);
    assert_eq!(
        (cut.reference().height, cut.reference().id),
        (cut.height, cut.id())
    );
    assert!(cut.frontier.is_sorted_by(|a, b| a < b) && !cut.frontier.is_empty());
    assert!(cut.finalisers.is_sorted_by(|a, b| a < b) && !cut.finalisers.is_empty());
    assert_eq!(order_root(&cut.frontier), order_root(&cut.frontier.clone()));
    let signers: Vec<DeviceKey> = cut.certificate.iter().map(|(signer, _)| *signer).collect();
    if cut.verify(&signers).is_ok() {
        assert!(!signers.is_empty(), "nobody certified it");
        // Whoever is no finaliser certifies nothing.
        assert!(cut.verify(&[key().public()]).is_err() || signers.contains(&key().public()));
    }
    // The certificate is no part of the id, every other byte is.
    let first = Cut::open(&[bytes, &[0]].concat());
    assert!(first.is_err(), "bytes left over");
}

/// Arguments of a call that concerns the database itself.
pub(crate) fn system_call(bytes: &[u8]) {
    let Ok(call) = SystemCall::decode(bytes) else {
        return;
    };
    assert!(bytes.len() <= ARGUMENTS_BYTES_MAX);
    assert_eq!(call.encode(), bytes, "a system call has one spelling");
    if let SystemCall::ReportEquivocation(proof) = &call {
        judge(proof);
    }
}

/// A proof as it is reported; and two histories made from the bytes, which always prove it.
pub(crate) fn equivocation(bytes: &[u8]) {
    let report = [&[3], bytes].concat();
    if let Ok(SystemCall::ReportEquivocation(proof)) = SystemCall::decode(&report) {
        judge(&proof);
    }
    let mut choices = Choices::new(bytes);
    let epoch = choices.number();
    let seq = choices.number();
    let mut sealed = || {
        let draft = Draft {
            database: DATABASE,
            epoch,
            seq,
            parents: vec![EntryId([choices.byte(); 32])],
            hlc: Hlc(choices.number() & 0xFFFF_FFFF),
            stride: choices.below(STRIDE_MAX + 1),
            base: CutRef {
                term: sync_protocol::Term::FIRST,
                height: choices.number(),
                id: CutId([1; 32]),
            },
        };
        let body = sample_body(choices.byte());
        Entry::seal(draft, body, &key()).expect("within every limit")
    };
    let (a, b) = (sealed(), sealed());
    let proof = EquivocationProof::of(&a, &b);
    assert_eq!(proof.verify(&DATABASE).is_ok(), a.id != b.id);
    assert!(proof.verify(&DatabaseId([8; 32])).is_err());
    let mut encoded = SystemCall::ReportEquivocation(Box::new(proof.clone())).encode();
    let at = usize::from(choices.byte()) * 256 + usize::from(choices.byte());
    // Every bit counts but the first byte, which says what kind of call it is.
    let at = 1 + at % (encoded.len() - 1);
    encoded[at] ^= 1 << choices.below(8);
    if let Ok(SystemCall::ReportEquivocation(changed)) = SystemCall::decode(&encoded) {
        assert!(
            changed.verify(&DATABASE).is_err(),
            "bit in byte {at} does not count"
        );
    }
}

fn judge(proof: &EquivocationProof) {
    let database = proof.first.header.database;
    if proof.verify(&database).is_ok() {
        let (a, b) = (&proof.first.header, &proof.second.header);
        assert!(a.id() < b.id() && a.chain() == b.chain() && a.seq == b.seq);
        assert_eq!(proof.author(), b.author);
        assert!(proof.first.verify().is_ok() && proof.second.verify().is_ok());
    }
}

fn sample_body(argument: u8) -> Body {
    use sync_protocol::{CallName, Caller, ConnectionId, Invocation};
    Body {
        names: vec![CallName {
            name: "send".to_owned(),
            arguments_type: [1; 8],
        }],
        callers: vec![Caller {
            issuer: "i".to_owned(),
            subject: "s".to_owned(),
            claims: String::new(),
        }],
        invocations: vec![Invocation {
            name: 0,
            caller: 0,
            connection: ConnectionId::ZERO,
            args: vec![argument],
        }],
    }
}

/// A ticket's text; and the same bytes as what a ticket's text says, with the right checksum.
pub(crate) fn ticket(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read_ticket(text);
    }
    let mut hasher = Hasher::new_derive_key("tombolo ticket 1");
    hasher.update(bytes);
    let checksum = hasher.finalize();
    let text = BASE32_NOPAD.encode(&[bytes, &checksum.as_bytes()[..4]].concat());
    read_ticket(&format!("tombolo1{}", text.to_ascii_lowercase()));
}

fn read_ticket(text: &str) {
    match text.parse::<Ticket>() {
        Ok(ticket) => {
            let plain: String = text
                .chars()
                .filter(|letter| !letter.is_whitespace())
                .collect();
            assert_eq!(
                ticket.to_string(),
                plain.to_ascii_lowercase(),
                "one spelling"
            );
            let member = key().public();
            let request = ticket.request(&member);
            assert_eq!(request.verify(&member), Ok(()));
            assert_eq!(JoinRequest::decode(&request.encode()), Ok(request));
        }
        Err(error) => assert!(error.to_string().len() < 1_000, "a sentence for a person"),
    }
}

/// What a stranger may say: a request to join, and what it is answered.
pub(crate) fn join(bytes: &[u8]) {
    if let Ok(request) = JoinRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
        let _ = request.verify(&key().public());
    }
    if let Ok(answer) = JoinAnswer::decode(bytes) {
        assert_eq!(answer.encode(), bytes);
    }
    let refusal = JoinAnswer::refused(&String::from_utf8_lossy(bytes));
    assert_eq!(JoinAnswer::decode(&refusal.encode()), Ok(refusal));
}
