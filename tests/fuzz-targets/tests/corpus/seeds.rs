//! Sound bytes of everything that peers sign and send, and of what clients and a peer say to each
//! other: the seeds from which fuzzers start.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sync_protocol::{
    BlobHash, Body, CallName, Caller, ConnectionId, Cut, CutDraft, CutId, CutRef, DatabaseId,
    DeviceKey, Draft, Entry, EntryId, EquivocationProof, Fire, Genesis, Hlc, Invocation, IssuerKey,
    KeyAlgorithm, NewModule, Options, Role, RowWrite, SecretKey, Signature, StateRoot, SystemCall,
    Term, Ticket, TicketMember, TrustedIssuer, WriteChange, WriteCondition, WriteOperator,
    WriteTerm, order_root,
};

const ISSUER: &str = "https://example.eu.auth0.com/";

/// Vector files, and what the names of their seeds begin with.
const MESSAGES: &[(&str, &str)] = &[
    (
        "message/",
        include_str!("../../../corpus/messages/version-1.txt"),
    ),
    (
        "client_v1/of-client-",
        include_str!("../../../../client-messages/golden/v1-client.txt"),
    ),
    (
        "client_v1/of-peer-",
        include_str!("../../../../client-messages/golden/v1-server.txt"),
    ),
    (
        "client_v2/of-client-",
        include_str!("../../../../client-messages/golden/v2-client.txt"),
    ),
    (
        "client_v2/of-peer-",
        include_str!("../../../../client-messages/golden/v2-server.txt"),
    ),
];

/// Vector files of texts.
const TEXTS: &[(&str, &str)] = &[
    (
        "client_v1_json/of-client-",
        include_str!("../../../../client-messages/golden/v1-json-client.txt"),
    ),
    (
        "client_v1_json/of-peer-",
        include_str!("../../../../client-messages/golden/v1-json-server.txt"),
    ),
];

/// Where each is kept below `tests/corpus`, and its bytes.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    let genesis = genesis();
    let (one, two) = (entry(b"one"), entry(b"two"));
    let proof = Box::new(EquivocationProof::of(&one, &two));
    let changes = fuzz_targets::change_seeds().into_iter().enumerate();
    let mut all: Vec<(String, Vec<u8>)> = changes
        .map(|(number, bytes)| (format!("change/{number}"), bytes))
        .collect();
    let backups = fuzz_targets::backup_seeds().into_iter().enumerate();
    all.extend(backups.map(|(number, bytes)| (format!("backup/{number}"), bytes)));
    all.extend([
        seed("entry/genesis", genesis.encoded()),
        seed("entry/golden", one.encoded()),
        seed("header/genesis", &genesis.header.encode()),
        seed("header/golden", &one.header.encode()),
        seed("body/genesis", &genesis.body.encode()),
        seed("body/golden", &one.body.encode()),
        seed("cut/golden", cut().encoded()),
    ]);
    for (name, call) in calls(&genesis, proof) {
        let bytes = call.encode();
        if name == "equivocation" {
            // A proof alone is what stands behind the number of the call that reports it.
            all.push(seed("equivocation/golden", &bytes[1..]));
        }
        all.push((format!("system_call/{name}"), bytes));
    }
    let ticket = ticket().to_string();
    let payload = BASE32_NOPAD
        .decode(ticket["tombolo1".len()..].to_ascii_uppercase().as_bytes())
        .expect("what follows the prefix is base32");
    // The target adds the checksum itself, so that a fuzzer gets past it.
    all.push(seed("ticket/payload", &payload[..payload.len() - 4]));
    all.push(("ticket/golden".to_owned(), ticket.into_bytes()));
    all.extend(messages());
    all
}

fn seed(name: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), bytes.to_vec())
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn caller() -> Caller {
    Caller {
        issuer: "did:key:z6Mkexample".to_owned(),
        subject: "ann".to_owned(),
        claims: String::new(),
    }
}

fn genesis() -> Entry {
    let genesis = Genesis {
        name: "chat".to_owned(),
        module: BlobHash([4; 32]),
        module_len: 104_743,
        engine: 1,
        options: Options {
            sequential_auto_inc: false,
            memory_bytes_max: 64 << 20,
            units_per_invocation: 1_000_000_000,
            units_per_entry: 2_000_000_000,
            call_depth_max: 1_000,
        },
        finalisers: vec![key(1).public()],
        recovery_keys: vec![key(2).public()],
    };
    Entry::genesis([7; 32], 5, Hlc(1_000), caller(), genesis, &key(1)).expect("within the limits")
}

/// One place in one chain, whatever is said there.
fn entry(args: &[u8]) -> Entry {
    let draft = Draft {
        database: DatabaseId([7; 32]),
        epoch: 5,
        seq: 300,
        parents: vec![EntryId([2; 32]), EntryId([3; 32])],
        hlc: Hlc(1_700_000_000_000_000),
        stride: 2,
        base: CutRef {
            term: Term::FIRST,
            height: 12,
            id: CutId([5; 32]),
        },
    };
    let call = |name, connection, args: &[u8]| Invocation {
        name,
        caller: 0,
        connection,
        args: args.to_vec(),
    };
    let connection = ConnectionId([6; 16]);
    let body = Body {
        names: vec![
            CallName::system(),
            CallName {
                name: "send_message".to_owned(),
                arguments_type: [8; 8],
            },
        ],
        callers: vec![caller()],
        invocations: vec![
            call(0, connection, &SystemCall::ClientConnected.encode()),
            call(1, connection, args),
        ],
    };
    Entry::seal(draft, body, &key(1)).expect("within the limits")
}

fn cut() -> Cut {
    let frontier = vec![EntryId([2; 32]), EntryId([3; 32])];
    let draft = CutDraft {
        database: DatabaseId([7; 32]),
        term: Term::FIRST,
        height: 12,
        parent: CutId([5; 32]),
        engine: 1,
        order_root: order_root(&frontier),
        frontier,
        state_root: StateRoot([9; 32]),
        finalisers: vec![key(1).public()],
    };
    Cut::seal(draft, &key(1)).expect("within the limits")
}

/// Every system call, by name.
fn calls(genesis: &Entry, proof: Box<EquivocationProof>) -> Vec<(&'static str, SystemCall)> {
    let (_, genesis) = genesis.system_calls().next().expect("a genesis has one");
    let member = DeviceKey([3; 32]);
    let ticket = DeviceKey([2; 32]);
    vec![
        ("genesis", genesis),
        (
            "invite",
            SystemCall::Invite {
                ticket,
                role: Role::Writer,
                uses: 3,
                expires: Hlc(1_700_000_000_000_000),
            },
        ),
        (
            "admit",
            SystemCall::Admit {
                member,
                ticket,
                proof: Signature([4; 64]),
            },
        ),
        ("equivocation", SystemCall::ReportEquivocation(proof)),
        ("connected", SystemCall::ClientConnected),
        ("disconnected", SystemCall::ClientDisconnected),
        (
            "publish",
            SystemCall::Publish(NewModule {
                module: BlobHash([4; 32]),
                module_len: 104_743,
                engine: 1,
                break_clients: true,
                clear: false,
            }),
        ),
        (
            "clear",
            SystemCall::Publish(NewModule {
                module: BlobHash([4; 32]),
                module_len: 104_743,
                engine: 1,
                break_clients: false,
                clear: true,
            }),
        ),
        ("move", SystemCall::MoveFinaliser { to: member }),
        ("remove", SystemCall::RemoveMember { member }),
        (
            "role",
            SystemCall::SetRole {
                member,
                role: Role::Reader,
            },
        ),
        ("revoke", SystemCall::RevokeTicket { ticket: member }),
        ("transfer", SystemCall::TransferOwnership { to: member }),
        (
            "fire",
            SystemCall::Fire(Fire {
                table: 4_100,
                key: 7,
                set_at: Hlc(1_000_000),
                due: Hlc(2_000_000),
            }),
        ),
        (
            "trust",
            SystemCall::TrustIssuer(TrustedIssuer {
                issuer: ISSUER.to_owned(),
                audiences: vec!["app".to_owned()],
                claims: vec!["email".to_owned()],
            }),
        ),
        (
            "distrust",
            SystemCall::DistrustIssuer {
                issuer: ISSUER.to_owned(),
            },
        ),
        (
            "issuer-keys",
            SystemCall::SetIssuerKeys {
                issuer: ISSUER.to_owned(),
                keys: vec![
                    IssuerKey {
                        kid: "1".to_owned(),
                        algorithm: KeyAlgorithm::EdDsa,
                        key: vec![6; 32],
                    },
                    IssuerKey::rsa("2".to_owned(), KeyAlgorithm::Rs256, &[7; 256], &[1, 0, 1]),
                ],
            },
        ),
        (
            "bind",
            SystemCall::Bind {
                token: "e30.e30.AAAA".to_owned(),
            },
        ),
        (
            "unbind",
            SystemCall::Unbind {
                device: member,
                issuer: ISSUER.to_owned(),
                subject: "auth0|ann".to_owned(),
            },
        ),
        (
            "write-insert",
            write(WriteChange::Insert(vec![vec![7; 12], vec![8; 12]])),
        ),
        (
            "write-update",
            write(WriteChange::Update {
                set: vec![(1, vec![9, 9])],
                condition: WriteCondition(vec![
                    WriteTerm::Value(0, WriteOperator::Less, vec![5, 0, 0, 0]),
                    WriteTerm::Columns(1, WriteOperator::Equal, 2),
                    WriteTerm::Any(2),
                ]),
            }),
        ),
        (
            "write-delete",
            write(WriteChange::Delete(WriteCondition(vec![
                WriteTerm::Constant(true),
                WriteTerm::All(1),
            ]))),
        ),
    ]
}

fn write(change: WriteChange) -> SystemCall {
    SystemCall::Write(RowWrite {
        table: 4_096,
        columns: [5; 8],
        change,
    })
}

fn ticket() -> Ticket {
    let member = |n: u8| {
        let address = format!("/ip4/192.0.2.{n}/tcp/4001");
        TicketMember::new(key(n).public(), &[address])
    };
    Ticket {
        database: DatabaseId([7; 32]),
        members: vec![member(1), member(2)],
        key: key(3),
    }
}

/// The golden messages, as they are written down in the vector files.
fn messages() -> Vec<(String, Vec<u8>)> {
    let bytes = lines(MESSAGES).map(|(name, hex)| {
        let mut message = Vec::new();
        for part in hex.split(' ') {
            let (hex, times) = part.split_once('*').unwrap_or((part, "1"));
            let bytes = HEXLOWER.decode(hex.as_bytes()).expect("hex");
            message.extend(bytes.repeat(times.parse().expect("a count")));
        }
        (name, message)
    });
    let texts = lines(TEXTS).map(|(name, text)| (name, text.as_bytes().to_vec()));
    bytes.chain(texts).collect()
}

fn lines(files: &'static [(&str, &str)]) -> impl Iterator<Item = (String, &'static str)> {
    files.iter().flat_map(|(begin, text)| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(move |line| {
            let (name, message) = line.split_once('\t').expect("a tab after the name");
            (format!("{begin}{}", name.replace(' ', "-")), message)
        })
    })
}
