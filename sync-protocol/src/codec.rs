//! The one encoding of every value: postcard, and canonical. What is read is encoded again and
//! compared, because postcard alone takes several encodings of the same number (`80 00` is a zero
//! to it), and an id that covers bytes must not have two spellings.

use std::fmt;
use std::marker::PhantomData;

use postcard::ser_flavors::Flavor;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Malformed, within};

/// The canonical bytes of a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("a vector grows, and our types always serialize")
}

/// Reads a value of at most `max` bytes, refusing every spelling but the canonical one.
pub(crate) fn decode<T: DeserializeOwned + Serialize>(
    what: &'static str,
    bytes: &[u8],
    max: usize,
) -> Result<T, Malformed> {
    within(what, bytes.len(), max)?;
    let value: T = postcard::from_bytes(bytes).map_err(|_| Malformed::Undecodable { what })?;
    match postcard::serialize_with_flavor(&value, Same(bytes)) {
        Ok(()) => Ok(value),
        Err(_) => Err(Malformed::NotCanonical { what }),
    }
}

/// Compares what is serialized with what was read, without a second copy of it.
struct Same<'a>(&'a [u8]);

impl Flavor for Same<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0 = self
            .0
            .strip_prefix(data)
            .ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    // By itself: ids come byte by byte, and a call that compares one byte costs more than the byte.
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((first, rest)) if *first == data => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(postcard::Error::SerializeBufferFull)
        }
    }
}

/// For `#[serde(deserialize_with = "codec::at_most::<_, _, MAX>")]`: a list that is refused at its
/// element `MAX + 1`, so that a short message cannot make a long list in memory.
pub(crate) fn at_most<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = seq.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::custom("the list is too long"));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List::<T, MAX>(PhantomData))
}

/// For `#[serde(with = "codec::bytes")]`: a byte string in one piece. Postcard writes the same
/// bytes as for a list of `u8`, many times faster.
pub(crate) mod bytes {
    use super::{Deserializer, Serializer, Visitor, fmt};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode::<u64>("number", &[0], 10), Ok(0));
        let long = decode::<u64>("number", &[0x80, 0], 10);
        assert_eq!(long, Err(Malformed::NotCanonical { what: "number" }));
        let more = decode::<u64>("number", &[0, 0], 10);
        assert_eq!(more, Err(Malformed::NotCanonical { what: "number" }));
        let less = decode::<u64>("number", &[0x80], 10);
        assert_eq!(less, Err(Malformed::Undecodable { what: "number" }));
        let max = Malformed::OverLimit {
            what: "number",
            found: 2,
            max: 1,
        };
        assert_eq!(decode::<u64>("number", &[0x80, 1], 1), Err(max));
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Short {
        #[serde(deserialize_with = "at_most::<_, _, 2>")]
        list: Vec<u16>,
        #[serde(with = "bytes")]
        text: Vec<u8>,
    }

    #[test]
    fn a_list_ends_where_its_bound_says() {
        let two = Short {
            list: vec![1, 2],
            text: b"abc".to_vec(),
        };
        assert_eq!(encode(&two), [2, 1, 2, 3, b'a', b'b', b'c']);
        assert_eq!(decode("short", &encode(&two), 100), Ok(two));
        let three = Short {
            list: vec![1, 2, 3],
            text: vec![],
        };
        let refused = decode::<Short>("short", &encode(&three), 100);
        assert_eq!(refused, Err(Malformed::Undecodable { what: "short" }));
    }
}
