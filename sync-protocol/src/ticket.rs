//! How a device becomes a member: a ticket from one who may invite, a request that proves the
//! ticket without showing it, and an answer.
//!
//! A ticket holds a one-time private key; whoever has the text can join. Its public half, role,
//! uses and expiry are a row of the database, so any member can admit a joiner, not the inviter
//! alone. The joiner signs the database and its own device key with the ticket's key: what it
//! sends is worthless to whoever overhears or replays it.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{DatabaseId, DeviceKey, Signature, hash};
use crate::keys::{BadSignature, SecretKey};
use crate::membership::{check_admission, prove_admission};
use crate::message::limits::ADDRESS_BYTES_MAX;

/// What every ticket starts with: the name, and the version of the form.
const PREFIX: &str = "tombolo1";

/// Bytes of the checksum at a ticket's end: one mistyped ticket in four thousand million passes.
const CHECKSUM_BYTES: usize = 4;

/// Members that a ticket names. Any of them can admit, so three that are rarely away together are
/// enough; each makes the text longer by some 200 characters.
pub const TICKET_MEMBERS_MAX: usize = 3;

/// Addresses of one member in a ticket: two transports on two interfaces.
pub const TICKET_ADDRESSES_MAX: usize = 4;

/// Bytes of a ticket before its checksum.
const TICKET_BYTES_MAX: usize =
    2 * 32 + 1 + TICKET_MEMBERS_MAX * (32 + 1 + TICKET_ADDRESSES_MAX * (ADDRESS_BYTES_MAX + 2));

/// Bytes of an encoded join request or answer.
pub const JOIN_BYTES_MAX: usize = 1_024;

/// Bytes of the reason in a refusal.
const REFUSAL_BYTES_MAX: usize = 512;

/// The version of join requests and answers, their first byte.
const JOIN_VERSION: u8 = 1;

/// An invitation: with it a device can join one database. Its text is a secret.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// What can be joined.
    pub database: DatabaseId,
    /// Who can be asked for admission: the device that made the ticket, then other members. At
    /// least one, at most [`TICKET_MEMBERS_MAX`].
    pub members: Vec<TicketMember>,
    /// The one-time private key. Its public half names the ticket's row.
    pub key: SecretKey,
}

/// A member that a ticket names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketMember {
    /// Who.
    pub device: DeviceKey,
    /// Where it listens (multiaddr texts), at most [`TICKET_ADDRESSES_MAX`].
    #[serde(deserialize_with = "codec::at_most::<_, _, TICKET_ADDRESSES_MAX>")]
    pub addresses: Vec<String>,
}

impl TicketMember {
    /// A member with as many of its addresses as a ticket takes.
    #[must_use]
    pub fn new(device: DeviceKey, addresses: &[String]) -> Self {
        let short = addresses
            .iter()
            .filter(|address| address.len() <= ADDRESS_BYTES_MAX);
        Self {
            device,
            addresses: short.take(TICKET_ADDRESSES_MAX).cloned().collect(),
        }
    }

    fn within_bounds(&self) -> bool {
        self.addresses.len() <= TICKET_ADDRESSES_MAX
            && self
                .addresses
                .iter()
                .all(|address| address.len() <= ADDRESS_BYTES_MAX)
    }
}

/// The part of a ticket that travels as text, before the checksum.
#[derive(Serialize, Deserialize)]
struct Payload {
    database: DatabaseId,
    key: [u8; 32],
    #[serde(deserialize_with = "codec::at_most::<_, _, TICKET_MEMBERS_MAX>")]
    members: Vec<TicketMember>,
}

impl Payload {
    fn within_bounds(&self) -> bool {
        (1..=TICKET_MEMBERS_MAX).contains(&self.members.len())
            && self.members.iter().all(TicketMember::within_bounds)
    }
}

/// Text that is no ticket. Each sentence tells a person what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Something else altogether.
    #[error("this is not a ticket: a ticket starts with `{PREFIX}`")]
    NotATicket,
    /// A character that no ticket has.
    #[error(
        "the ticket has a mistyped character, `{character}` in place {place}: \
         only the letters a to z and the digits 2 to 7 occur after `{PREFIX}`; copy it again"
    )]
    Character {
        /// The character.
        character: char,
        /// Its place in the text, counted from 1 and without blanks.
        place: usize,
    },
    /// Characters changed, missing, or too many.
    #[error("the ticket is incomplete or has a typo: its checksum does not fit; copy it again")]
    Checksum,
    /// Longer than any ticket.
    #[error("the text is too long for a ticket; copy the ticket alone")]
    TooLong,
    /// The checksum fits but the content is no ticket of this version.
    #[error("the ticket was made by another version of the program; update both peers")]
    Malformed,
}

impl Ticket {
    /// The public half of the ticket's key: the name of its row.
    #[must_use]
    pub fn public(&self) -> DeviceKey {
        self.key.public()
    }

    /// What `member` sends to be admitted with this ticket.
    #[must_use]
    pub fn request(&self, member: &DeviceKey) -> JoinRequest {
        JoinRequest {
            database: self.database,
            ticket: self.public(),
            proof: prove_admission(&self.key, &self.database, member),
        }
    }
}

impl fmt::Display for Ticket {
    /// The ticket's text.
    ///
    /// # Panics
    /// If the members or addresses are over their bounds: whoever makes a ticket keeps them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = Payload {
            database: self.database,
            key: self.key.to_bytes(),
            members: self.members.clone(),
        };
        assert!(
            payload.within_bounds(),
            "a ticket we made has no member, or too many or too long addresses"
        );
        let mut bytes = codec::encode(&payload);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        write!(f, "{PREFIX}{text}")
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket's text. Blanks and line ends are skipped and capitals accepted: mail
    /// programs and telephones add both.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        if text.len() > 4 * TICKET_BYTES_MAX {
            return Err(TicketError::TooLong);
        }
        let text: String = text
            .chars()
            .filter(|character| !character.is_whitespace())
            .map(|character| character.to_ascii_uppercase())
            .collect();
        let coded = text
            .strip_prefix(&PREFIX.to_ascii_uppercase())
            .ok_or(TicketError::NotATicket)?;
        if let Some((at, character)) = coded
            .chars()
            .enumerate()
            .find(|(_, character)| !matches!(character, 'A'..='Z' | '2'..='7'))
        {
            return Err(TicketError::Character {
                character: character.to_ascii_lowercase(),
                place: PREFIX.len() + at + 1,
            });
        }
        // What is left to go wrong is the length and the last bits: something is missing.
        let bytes = BASE32_NOPAD
            .decode(coded.as_bytes())
            .map_err(|_| TicketError::Checksum)?;
        let (payload, found) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(TicketError::Checksum)?;
        if *found != checksum(payload) {
            return Err(TicketError::Checksum);
        }
        let payload: Payload = codec::decode("ticket", payload, TICKET_BYTES_MAX)
            .map_err(|_| TicketError::Malformed)?;
        if !payload.within_bounds() {
            return Err(TicketError::Malformed);
        }
        Ok(Self {
            database: payload.database,
            members: payload.members,
            key: SecretKey::from_bytes(&payload.key),
        })
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let whole = hash("tombolo ticket 1", payload);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&whole[..CHECKSUM_BYTES]);
    checksum
}

/// What a joiner sends on `/tombolo/join/1`. The device that asks is the one that the transport
/// authenticated; the request does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// What it wants to join.
    pub database: DatabaseId,
    /// The public half of the ticket's key.
    pub ticket: DeviceKey,
    /// The ticket key's signature over the database and the joiner's device key.
    pub proof: Signature,
}

/// The answer to a [`JoinRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// The joiner is a member now: its admission is durable at the answering peer.
    Admitted,
    /// Not admitted; the text says why and is for a person.
    Refused(String),
}

/// Bytes that are no join request or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The other side speaks another version.
    #[error("version {0} of joining is unknown here: one of the two peers should be updated")]
    Version(u8),
    /// Not a canonical encoding within the bounds.
    #[error("malformed join message")]
    Malformed,
}

impl JoinRequest {
    /// Whether the proof is by the ticket's key and for this joiner. Whether the ticket exists,
    /// has uses left and has not expired is for the order to decide.
    ///
    /// # Errors
    /// [`BadSignature`]: whoever asks does not have the ticket.
    pub fn verify(&self, joiner: &DeviceKey) -> Result<(), BadSignature> {
        check_admission(&self.ticket, &self.database, joiner, &self.proof)
    }

    /// The request's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_join(self)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`JoinError`]: the bytes are a stranger's.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinError> {
        decode_join(bytes)
    }
}

impl JoinAnswer {
    /// A refusal; a text over the bound is cut off.
    #[must_use]
    pub fn refused(why: &str) -> Self {
        let end = why.floor_char_boundary(REFUSAL_BYTES_MAX);
        Self::Refused(why[..end].to_owned())
    }

    /// The answer's bytes.
    ///
    /// # Panics
    /// If a refusal's text is over its bound: [`JoinAnswer::refused`] keeps it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_join(self)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`JoinError`]: the bytes are a stranger's.
    pub fn decode(bytes: &[u8]) -> Result<Self, JoinError> {
        match decode_join(bytes)? {
            Self::Refused(why) if why.len() > REFUSAL_BYTES_MAX => Err(JoinError::Malformed),
            answer => Ok(answer),
        }
    }
}

fn encode_join<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = vec![JOIN_VERSION];
    bytes.extend_from_slice(&codec::encode(message));
    assert!(
        bytes.len() <= JOIN_BYTES_MAX,
        "a join message we built is over the bound"
    );
    bytes
}

fn decode_join<T>(bytes: &[u8]) -> Result<T, JoinError>
where
    T: serde::de::DeserializeOwned + Serialize,
{
    let (&version, body) = bytes.split_first().ok_or(JoinError::Malformed)?;
    if version != JOIN_VERSION {
        return Err(JoinError::Version(version));
    }
    codec::decode("join message", body, JOIN_BYTES_MAX - 1).map_err(|_| JoinError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            database: DatabaseId([0xDA; 32]),
            members: vec![TicketMember {
                device: SecretKey::from_bytes(&[1; 32]).public(),
                addresses: vec!["/ip4/127.0.0.1/tcp/4001".to_owned()],
            }],
            key: SecretKey::from_bytes(&[2; 32]),
        }
    }

    fn same(a: &Ticket, b: &Ticket) -> bool {
        (a.database, &a.members, a.key.to_bytes()) == (b.database, &b.members, b.key.to_bytes())
    }

    #[test]
    fn golden_ticket() {
        // Version 1 of the text, as people may have it in their mail: it must be read forever.
        let text = ticket().to_string();
        assert_eq!(text, GOLDEN);
        assert!(same(&GOLDEN.parse().expect("a ticket"), &ticket()));
    }

    const GOLDEN: &str = "tombolo13lnnvww23lnnvww23lnnvww23lnnvww23lnnvww23lnnvww23lnaeaqcaibaea\
        qcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqbrkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7tose\
        adnapn5oacfzpnfydilzrgi3s4mbogaxdcl3umnyc6nbqgayvukresq";

    #[test]
    fn blanks_line_ends_and_capitals_do_not_matter() {
        let text = ticket().to_string();
        let folded = format!("  {}\n{} ", &text[..40].to_uppercase(), &text[40..]);
        assert!(same(&folded.parse().expect("a ticket"), &ticket()));
    }

    #[test]
    fn every_single_typo_is_noticed() {
        let text = ticket().to_string();
        for at in 0..text.len() {
            for typo in ['a', 'b', '2', '7', '0', '1', 'é', '-'] {
                let mut wrong: Vec<char> = text.chars().collect();
                if wrong[at] == typo {
                    continue;
                }
                wrong[at] = typo;
                let wrong: String = wrong.into_iter().collect();
                let error = wrong.parse::<Ticket>().expect_err("a typo");
                let expected = if at < PREFIX.len() {
                    TicketError::NotATicket
                } else if "01é-".contains(typo) {
                    TicketError::Character {
                        character: typo,
                        place: at + 1,
                    }
                } else {
                    TicketError::Checksum
                };
                assert_eq!(error, expected, "{typo} in place {at}");
            }
        }
    }

    #[test]
    fn missing_swapped_and_extra_characters_are_noticed() {
        let text = ticket().to_string();
        let swapped = {
            let at = (PREFIX.len()..text.len() - 1)
                .find(|at| text.as_bytes()[*at] != text.as_bytes()[*at + 1])
                .expect("two that differ");
            let mut wrong = text.clone().into_bytes();
            wrong.swap(at, at + 1);
            String::from_utf8(wrong).expect("ASCII")
        };
        for wrong in [
            &text[..text.len() - 1],
            &text[..60],
            &swapped,
            &format!("{text}a"),
        ] {
            assert_eq!(
                wrong.parse::<Ticket>().expect_err("wrong"),
                TicketError::Checksum
            );
        }
        for wrong in [
            "",
            "tombolo",
            "tombolo2abc",
            "https://example.org",
            "ticket",
        ] {
            assert_eq!(
                wrong.parse::<Ticket>().expect_err("wrong"),
                TicketError::NotATicket
            );
        }
        let endless = format!("{PREFIX}{}", "a".repeat(100_000));
        assert_eq!(
            endless.parse::<Ticket>().expect_err("long"),
            TicketError::TooLong
        );
    }

    #[test]
    fn a_ticket_names_between_one_and_three_members() {
        let member = ticket().members[0].clone();
        for count in [0, TICKET_MEMBERS_MAX + 1] {
            let mut payload = codec::encode(&Payload {
                database: DatabaseId([0xDA; 32]),
                key: [2; 32],
                members: vec![member.clone(); count],
            });
            let checksum = checksum(&payload);
            payload.extend_from_slice(&checksum);
            let text = BASE32_NOPAD.encode(&payload).to_ascii_lowercase();
            let read = format!("{PREFIX}{text}").parse::<Ticket>();
            assert_eq!(read.expect_err("a bound"), TicketError::Malformed);
        }
        let many = vec!["/ip4/127.0.0.1/tcp/4001".to_owned(); 10];
        let fitting = TicketMember::new(member.device, &many);
        assert_eq!(fitting.addresses.len(), TICKET_ADDRESSES_MAX);
    }

    #[test]
    fn a_request_proves_the_ticket_for_one_joiner_only() {
        let joiner = SecretKey::from_bytes(&[3; 32]).public();
        let other = SecretKey::from_bytes(&[4; 32]).public();
        let request = ticket().request(&joiner);
        assert_eq!(request.verify(&joiner), Ok(()));
        assert!(request.verify(&other).is_err(), "an overheard proof");
        let elsewhere = JoinRequest {
            database: DatabaseId([1; 32]),
            ..request
        };
        assert!(elsewhere.verify(&joiner).is_err(), "another database");
        assert_eq!(JoinRequest::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn golden_join_messages() {
        let request = JoinRequest {
            database: DatabaseId([0xDA; 32]),
            ticket: DeviceKey([0x71; 32]),
            proof: Signature([0x5A; 64]),
        };
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let expected = format!(
            "01{}{}{}",
            "da".repeat(32),
            "71".repeat(32),
            "5a".repeat(64)
        );
        assert_eq!(hex(&request.encode()), expected);
        assert_eq!(hex(&JoinAnswer::Admitted.encode()), "0100");
        assert_eq!(hex(&JoinAnswer::refused("no").encode()), "0101026e6f");
    }

    #[test]
    fn join_messages_are_bounded_and_versioned() {
        let long = JoinAnswer::refused(&"é".repeat(1_000));
        assert_eq!(JoinAnswer::decode(&long.encode()), Ok(long));
        assert_eq!(JoinAnswer::decode(&[2, 0]), Err(JoinError::Version(2)));
        assert_eq!(JoinAnswer::decode(&[]), Err(JoinError::Malformed));
        assert_eq!(JoinAnswer::decode(&[1, 0, 0]), Err(JoinError::Malformed));
        let endless = JoinAnswer::decode(&[&[1, 1, 0x81, 0x04][..], &[b'a'; 513]].concat());
        assert_eq!(endless, Err(JoinError::Malformed));
        assert_eq!(
            JoinRequest::decode(&[1; JOIN_BYTES_MAX + 1]),
            Err(JoinError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn every_ticket_is_read_as_it_was_written(
            database: [u8; 32], key: [u8; 32],
            members in proptest::collection::vec(
                (
                    any::<[u8; 32]>(),
                    proptest::collection::vec("\\PC{0,60}", 0..=TICKET_ADDRESSES_MAX),
                ),
                1..=TICKET_MEMBERS_MAX,
            ),
        ) {
            let members = members.into_iter().map(|(device, addresses)| TicketMember {
                device: DeviceKey(device),
                addresses,
            });
            let ticket = Ticket {
                database: DatabaseId(database),
                members: members.collect(),
                key: SecretKey::from_bytes(&key),
            };
            let read: Ticket = ticket.to_string().parse().expect("a ticket");
            prop_assert!(same(&read, &ticket));
        }

        #[test]
        fn no_text_and_no_bytes_panic(text in "\\PC*", tail in "[a-z2-7]*", bytes: Vec<u8>) {
            let _ = text.parse::<Ticket>();
            let _ = format!("{PREFIX}{tail}").parse::<Ticket>();
            let _ = JoinRequest::decode(&bytes);
            let _ = JoinAnswer::decode(&bytes);
        }
    }
}
