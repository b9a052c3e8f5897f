//! The text form of v1.
//!
//! A text is the message as SATS-JSON, one message a frame, never compressed. A message is
//! `{"Variant": fields}`; rows and arguments are JSON again, each in a string of the message:
//! a row list is an array of such strings.
//!
//! **Checked** against `spacetimedb-sats` and `spacetimedb-lib` 2.10, which define SATS-JSON: names
//! of fields as keys, enums as `{"Variant": payload}` with `[]` as the payload of nothing, options
//! as `{"some": value}` and `{"none": []}`, bytes as hexadecimal text (read as an array of numbers
//! too), `{"__identity__": "0x…"}` without leading zeros, `{"__connection_id__": number}` in
//! decimal, `{"__timestamp_micros_since_unix_epoch__": number}`,
//! `{"__time_duration_micros__": number}`; a struct is read as an array of its fields too.
//! **Reported** by others who ran their clients against servers up to 2.6, not tried by us:
//! `Subscribe`, `CallReducer` (arguments a string with an array in it, flags a number),
//! `OneOffQuery`, `IdentityToken` first, and `InitialSubscription` down to rows that are strings in
//! updates without a compression around them.
//! **Taken from tests of other clients**, which need not be right: all fields of
//! `TransactionUpdate` and `TransactionUpdateLight`.
//! **Inferred**: the names of the other messages' fields; that `query_id` is `{"id": number}` (one
//! client sends `[number]`, which is read too) but a plain optional number in `SubscriptionError`;
//! the whole of procedures; that a value that a procedure returned is a string with JSON in it.
//!
//! Unlike SpacetimeDB, fields that are not known are skipped, and enums are not read as
//! `[number, payload]`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClientMessage, Json, ServerMessage};
use crate::error::Malformed;
use crate::limits::REASON_BYTES_MAX;

impl ClientMessage<Json> {
    /// The text of the message.
    pub fn to_text(&self) -> String {
        to_text(self)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`Malformed::NotAMessage`] if it is none.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        from_text(text)
    }
}

impl ServerMessage<Json> {
    /// The text of the message.
    pub fn to_text(&self) -> String {
        to_text(self)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`Malformed::NotAMessage`] if it is none.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        from_text(text)
    }
}

fn to_text<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("keys are strings, and our types always serialize")
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| {
        let mut reason = error.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Malformed::NotAMessage { reason }
    })
}

/// How fields are written that are no plain strings, numbers or lists.
pub(crate) mod fields {
    use std::fmt;

    use ::bytes::Bytes;
    use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::limits::QUERIES_PER_FRAME_MAX;

    /// For `#[serde(with = "…")]`: a value inside of an object with one key.
    macro_rules! wrapped {
        ($module:ident, $key:ident, $inner:ty, $value:ty) => {
            pub(crate) mod $module {
                use super::*;

                #[derive(Serialize, Deserialize)]
                struct Wrapped {
                    $key: $inner,
                }

                pub(crate) fn serialize<S: Serializer>(
                    value: &$value,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    let $key = <$inner>::from(*value);
                    Wrapped { $key }.serialize(serializer)
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<$value, D::Error> {
                    Ok(Wrapped::deserialize(deserializer)?.$key.into())
                }
            }
        };
    }

    wrapped!(query_id, id, u32, u32);
    wrapped!(energy, quanta, u128, u128);
    wrapped!(timestamp, __timestamp_micros_since_unix_epoch__, i64, i64);
    wrapped!(duration, __time_duration_micros__, i64, i64);
    wrapped!(identity, __identity__, Hex256, [u8; 32]);
    wrapped!(connection_id, __connection_id__, Decimal128, [u8; 16]);

    /// Little-endian bytes, in text a hexadecimal number without leading zeros.
    struct Hex256([u8; 32]);

    impl From<[u8; 32]> for Hex256 {
        fn from(bytes: [u8; 32]) -> Self {
            Self(bytes)
        }
    }

    impl From<Hex256> for [u8; 32] {
        fn from(number: Hex256) -> Self {
            number.0
        }
    }

    impl Serialize for Hex256 {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut bytes = self.0;
            bytes.reverse();
            let digits = HEXLOWER.encode(&bytes);
            let digits = match digits.trim_start_matches('0') {
                "" => "0",
                digits => digits,
            };
            serializer.collect_str(&format_args!("0x{digits}"))
        }
    }

    impl<'de> Deserialize<'de> for Hex256 {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            let refused = || D::Error::custom("an identity is 0x and up to 64 hexadecimal digits");
            let digits = text.strip_prefix("0x").ok_or_else(refused)?;
            if digits.is_empty() || digits.len() > 64 {
                return Err(refused());
            }
            let digits = format!("{digits:0>64}");
            let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
            let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            let mut bytes = bytes.ok_or_else(refused)?;
            bytes.reverse();
            Ok(Self(bytes))
        }
    }

    /// Little-endian bytes, in text a number.
    #[derive(Serialize, Deserialize)]
    struct Decimal128(u128);

    impl From<[u8; 16]> for Decimal128 {
        fn from(bytes: [u8; 16]) -> Self {
            Self(u128::from_le_bytes(bytes))
        }
    }

    impl From<Decimal128> for [u8; 16] {
        fn from(number: Decimal128) -> Self {
            number.0.to_le_bytes()
        }
    }

    /// A number whose bits are flags, of which there is one.
    pub(crate) mod flag {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(
            flag: &bool,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_u8(u8::from(*flag))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<bool, D::Error> {
            match u8::deserialize(deserializer)? {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(D::Error::custom(format_args!("no flags are {other}"))),
            }
        }
    }

    impl Serialize for crate::v1::NoFlags {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u8(0)
        }
    }

    impl<'de> Deserialize<'de> for crate::v1::NoFlags {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match u8::deserialize(deserializer)? {
                0 => Ok(Self),
                other => Err(D::Error::custom(format_args!("no flags are {other}"))),
            }
        }
    }

    /// Nothing, written as an empty array.
    pub(crate) mod unit {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
            Nothing {}.serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<(), D::Error> {
            Nothing::deserialize(deserializer).map(|Nothing {}| ())
        }
    }

    /// Read as an empty array or object.
    #[derive(Deserialize)]
    struct Nothing {}

    impl Serialize for Nothing {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let nothing: [u8; 0] = [];
            serializer.collect_seq(nothing)
        }
    }

    /// Options as enums.
    pub(crate) mod option {
        use super::*;

        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Choice<T> {
            Some(T),
            None(Nothing),
        }

        pub(crate) fn serialize<T: Serialize, S: Serializer>(
            option: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            let choice = match option {
                Some(value) => Choice::Some(value),
                None => Choice::None(Nothing {}),
            };
            choice.serialize(serializer)
        }

        pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            Ok(match Choice::deserialize(deserializer)? {
                Choice::Some(value) => Some(value),
                Choice::None(Nothing {}) => None,
            })
        }
    }

    /// Bytes, written as hexadecimal text, read as an array of numbers too.
    pub(crate) mod bytes {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(
            bytes: &Bytes,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(&HEXLOWER.encode(bytes))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Bytes, D::Error> {
            deserializer.deserialize_any(HexOrNumbers)
        }

        struct HexOrNumbers;

        impl<'de> Visitor<'de> for HexOrNumbers {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes as hexadecimal text or as an array of numbers")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
                bytes.map(Bytes::from).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element::<u8>()? {
                    bytes.push(byte);
                }
                Ok(bytes.into())
            }
        }
    }

    /// Query strings, which are what a client can send many of.
    pub(crate) fn queries<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        struct Queries;

        impl<'de> Visitor<'de> for Queries {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {QUERIES_PER_FRAME_MAX} query strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
                let mut queries = Vec::new();
                while let Some(query) = seq.next_element()? {
                    if queries.len() == QUERIES_PER_FRAME_MAX {
                        return Err(A::Error::invalid_length(queries.len() + 1, &self));
                    }
                    queries.push(query);
                }
                Ok(queries)
            }
        }

        deserializer.deserialize_seq(Queries)
    }
}
