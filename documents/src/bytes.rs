//! Reads the small parts of Automerge's format: numbers of variable length, and bytes with their length.

use crate::error::ChangeError;

/// Reads from the front of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

const CUT_SHORT: ChangeError = ChangeError::Malformed("they end too early");

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], ChangeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ChangeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ChangeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An unsigned LEB128 number, in its shortest form.
    pub(crate) fn unsigned(&mut self) -> Result<u64, ChangeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ChangeError::Malformed("a number is too large"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                if shift > 0 && byte == 0 {
                    return Err(ChangeError::Malformed("a number is longer than it need be"));
                }
                return Ok(number);
            }
        }
        Err(ChangeError::Malformed("a number is too large"))
    }

    /// A signed LEB128 number, in its shortest form.
    pub(crate) fn signed(&mut self) -> Result<i64, ChangeError> {
        let mut number = 0_i64;
        let mut before = 0_u8;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(ChangeError::Malformed("a number is too large"));
            }
            number |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let only_sign =
                    byte == 0 && before & 0x40 == 0 || byte == 0x7f && before & 0x40 != 0;
                if shift > 0 && only_sign {
                    return Err(ChangeError::Malformed("a number is longer than it need be"));
                }
                if shift + 7 < 64 && byte & 0x40 != 0 {
                    number |= -1 << (shift + 7);
                }
                return Ok(number);
            }
            before = byte;
        }
        Err(ChangeError::Malformed("a number is too large"))
    }

    /// How many of something follow.
    pub(crate) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, ChangeError> {
        let count = self.unsigned()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= max)
            .ok_or(ChangeError::TooMany { what, max })
    }

    /// Bytes after their length.
    pub(crate) fn prefixed(
        &mut self,
        what: &'static str,
        max: usize,
    ) -> Result<&'a [u8], ChangeError> {
        let len = self.count(what, max)?;
        self.take(len)
    }

    /// Text after its length.
    pub(crate) fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, ChangeError> {
        std::str::from_utf8(self.prefixed(what, max)?)
            .map_err(|_| ChangeError::Malformed("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Unsigned LEB128, the shortest form.
    fn write(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                bytes.push(byte);
                return bytes;
            }
            bytes.push(byte | 0x80);
        }
    }

    /// Signed LEB128, the shortest form.
    fn write_signed(mut number: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = (number & 0x7f) as u8;
            number >>= 7;
            let done = number == 0 && byte & 0x40 == 0 || number == -1 && byte & 0x40 != 0;
            bytes.push(if done { byte } else { byte | 0x80 });
            if done {
                return bytes;
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(number in any::<u64>(), signed in any::<i64>(), shift in 0_u32..64) {
            for number in [number, number >> shift] {
                let bytes = write(number);
                let mut reader = Reader::new(&bytes);
                prop_assert_eq!(reader.unsigned(), Ok(number));
                prop_assert!(reader.is_empty());
            }
            for number in [signed, signed >> shift] {
                let bytes = write_signed(number);
                let mut reader = Reader::new(&bytes);
                prop_assert_eq!(reader.signed(), Ok(number));
                prop_assert!(reader.is_empty());
            }
        }
    }

    #[test]
    fn numbers_in_another_form_are_refused() {
        for bytes in [&[0x80, 0][..], &[0xff; 12], &[0x80], &[]] {
            assert!(Reader::new(bytes).unsigned().is_err(), "{bytes:?}");
        }
        for bytes in [&[0x80, 0][..], &[0xff, 0x7f], &[0x80; 12], &[0x80]] {
            assert!(Reader::new(bytes).signed().is_err(), "{bytes:?}");
        }
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert!(Reader::new(&most).unsigned().is_err());
    }

    #[test]
    fn what_ends_early_is_refused() {
        assert!(Reader::new(&[3, 1, 2]).prefixed("bytes", 9).is_err());
        assert_eq!(
            Reader::new(&[3, 1, 2, 3]).prefixed("bytes", 2),
            Err(ChangeError::TooMany {
                what: "bytes",
                max: 2
            })
        );
        assert!(Reader::new(&[1, 0xff]).text("text", 9).is_err());
    }
}
