//! A value of every kind of message, under the name that it has in the golden files.

pub(crate) mod v1;
pub(crate) mod v2;

use crate::BsatnRowList;

pub(crate) const IDENTITY: [u8; 32] = [0x11; 32];
pub(crate) const CONNECTION: [u8; 16] = [0x22; 16];
pub(crate) const TIMESTAMP: i64 = 1_700_000_000_000_000;

pub(crate) fn text(text: &str) -> String {
    text.to_owned()
}

/// Two rows of two bytes.
pub(crate) fn fixed() -> BsatnRowList {
    [[1, 2], [3, 4]].into_iter().collect()
}

/// Rows of one, two and three bytes.
pub(crate) fn uneven() -> BsatnRowList {
    [&[10][..], &[11, 11], &[12, 12, 12]].into_iter().collect()
}
