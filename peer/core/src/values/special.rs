//! The product types that SpacetimeDB gives a meaning of their own: one field with a reserved name.

use spacetimedb_sats::timestamp::Timestamp;
use spacetimedb_sats::{AlgebraicType, ProductType};

use super::integer::Integer;

/// A product type with a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// 32 bytes, shown as hex, most significant byte first.
    Identity,
    /// 16 bytes, shown likewise.
    ConnectionId,
    /// Microseconds since the Unix epoch, signed.
    Timestamp,
    /// Microseconds, signed.
    TimeDuration,
    /// 16 bytes, shown in groups.
    Uuid,
}

impl Special {
    pub(crate) fn of(product: &ProductType) -> Option<Self> {
        Some(if product.is_identity() {
            Self::Identity
        } else if product.is_connection_id() {
            Self::ConnectionId
        } else if product.is_timestamp() {
            Self::Timestamp
        } else if product.is_time_duration() {
            Self::TimeDuration
        } else if product.is_uuid() {
            Self::Uuid
        } else {
            return None;
        })
    }

    pub(crate) fn of_type(ty: &AlgebraicType) -> Option<Self> {
        ty.as_product().and_then(Self::of)
    }

    /// The integer inside.
    pub(crate) const fn inner(self) -> AlgebraicType {
        match self {
            Self::Identity => AlgebraicType::U256,
            Self::ConnectionId | Self::Uuid => AlgebraicType::U128,
            Self::Timestamp | Self::TimeDuration => AlgebraicType::I64,
        }
    }

    /// Short name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::ConnectionId => "connection id",
            Self::Timestamp => "timestamp",
            Self::TimeDuration => "duration",
            Self::Uuid => "uuid",
        }
    }

    /// How a value is written.
    pub(super) const fn form(self) -> &'static str {
        match self {
            Self::Identity => "an identity (64 hex digits)",
            Self::ConnectionId => "a connection id (32 hex digits)",
            Self::Timestamp => "a timestamp (microseconds since 1970 or RFC 3339 text)",
            Self::TimeDuration => "a duration (microseconds)",
            Self::Uuid => "a uuid (32 hex digits, with or without hyphens)",
        }
    }
}

/// Appends the BSATN form of a special value that is written as text. `false`, and nothing is
/// appended, if the text is no such value.
pub(crate) fn special_from_text(special: Special, text: &str, out: &mut Vec<u8>) -> bool {
    let integer = match special {
        Special::Identity => hex(text, 64),
        Special::ConnectionId => hex(text, 32),
        Special::Uuid => hex(&text.replace('-', ""), 32),
        Special::Timestamp => {
            return match timestamp_from_text(text) {
                Some(micros) => {
                    out.extend_from_slice(&micros.to_le_bytes());
                    true
                }
                None => false,
            };
        }
        Special::TimeDuration => Integer::parse(text),
    };
    integer.is_some_and(|integer| integer.write(&special.inner(), out))
}

/// Microseconds since the Unix epoch, from an RFC 3339 text or the number as text.
fn timestamp_from_text(text: &str) -> Option<i64> {
    if let Ok(micros) = text.parse() {
        return Some(micros);
    }
    let time = Timestamp::parse_from_rfc3339(text).ok()?;
    Some(time.to_micros_since_unix_epoch())
}

/// Without the prefix all digits have to be there, so that a mistyped decimal is not taken for hex.
fn hex(text: &str, digits: usize) -> Option<Integer> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(rest) if rest.len() <= digits => Integer::parse_hex(rest),
        None if text.len() == digits => Integer::parse_hex(text),
        _ => None,
    }
}

/// The text of a special value, for people; the inner integer's bytes are given.
pub(super) fn special_text(special: Special, bytes: &[u8]) -> String {
    use std::fmt::Write;
    let micros = || {
        let mut le = [0; 8];
        le.copy_from_slice(bytes);
        i64::from_le_bytes(le)
    };
    match special {
        Special::Identity | Special::ConnectionId => {
            bytes.iter().rev().fold("0x".to_owned(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        }
        Special::Uuid => {
            let mut text = String::new();
            for (at, byte) in bytes.iter().rev().enumerate() {
                if matches!(at, 4 | 6 | 8 | 10) {
                    text.push('-');
                }
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        // Beyond the years a calendar has, the number has to do.
        Special::Timestamp => Timestamp::from_micros_since_unix_epoch(micros())
            .to_rfc3339()
            .map_or_else(|_| micros().to_string(), |text| text.replace("+00:00", "Z")),
        Special::TimeDuration => {
            let micros = micros();
            let sign = if micros < 0 { "-" } else { "" };
            let (seconds, rest) = (
                micros.unsigned_abs() / 1_000_000,
                micros.unsigned_abs() % 1_000_000,
            );
            if rest == 0 {
                format!("{sign}{seconds} s")
            } else {
                let fraction = format!("{rest:06}");
                format!("{sign}{seconds}.{} s", fraction.trim_end_matches('0'))
            }
        }
    }
}

/// A type as modules declare uuids; the library has no constructor for it outside of a typespace.
#[cfg(test)]
pub(super) fn uuid_type() -> AlgebraicType {
    AlgebraicType::product([("__uuid__", AlgebraicType::U128)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(special: Special, text: &str, shown: &str) {
        let mut bytes = vec![];
        assert!(special_from_text(special, text, &mut bytes), "{text}");
        assert_eq!(special_text(special, &bytes), shown, "{text}");
    }

    #[test]
    fn people_read_what_they_wrote() {
        let identity = format!("0xc200{}", "ab".repeat(30));
        there_and_back(Special::Identity, &identity, &identity);
        there_and_back(Special::Identity, &identity[2..], &identity);
        there_and_back(Special::Identity, "0x1", &format!("0x{}1", "0".repeat(63)));
        there_and_back(
            Special::ConnectionId,
            &"0f".repeat(16),
            &format!("0x{}", "0f".repeat(16)),
        );
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        there_and_back(Special::Uuid, uuid, uuid);
        there_and_back(
            Special::Timestamp,
            "1970-01-01T01:00:00.5+01:00",
            "1970-01-01T00:00:00.500Z",
        );
        there_and_back(Special::Timestamp, "-1", "1969-12-31T23:59:59.999999Z");
        there_and_back(
            Special::Timestamp,
            &i64::MAX.to_string(),
            &i64::MAX.to_string(),
        );
        there_and_back(Special::TimeDuration, "1500000", "1.5 s");
        there_and_back(Special::TimeDuration, "-60000000", "-60 s");
        there_and_back(
            Special::TimeDuration,
            &i64::MIN.to_string(),
            "-9223372036854.775808 s",
        );
    }

    #[test]
    fn other_texts_are_no_special_values() {
        for (special, text) in [
            (Special::Identity, "1234"),
            (Special::Identity, "0x"),
            (Special::Identity, "somebody"),
            (Special::ConnectionId, "0x100000000000000000000000000000000"),
            (Special::Timestamp, "yesterday"),
            (Special::TimeDuration, "1 s"),
            (Special::Uuid, "0011"),
        ] {
            assert!(!special_from_text(special, text, &mut vec![]), "{text}");
        }
    }

    #[test]
    fn a_uuid_is_recognised() {
        assert_eq!(Special::of_type(&uuid_type()), Some(Special::Uuid));
    }
}
