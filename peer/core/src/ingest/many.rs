//! Entries that come many at a time, in a page of history or of a tail: what can be said of each by itself is
//! worked out by all processors at once, because a signature takes as long to check as several calls to run.
//!
//! What comes out is the same as one by one, in the same order.

use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use sync_protocol::{Entry, Malformed, Travelled, VerifiedEntry};

use super::Arrived;

/// Entries from which on others are called in: waking them up takes as long as a signature.
const MANY: usize = 8;

/// Reads entries as they were sent.
pub(super) fn open(encoded: &[Vec<u8>]) -> Vec<Result<Travelled, Malformed>> {
    let open = |bytes: &Vec<u8>| Travelled::open(bytes);
    match encoded.len() < MANY {
        true => encoded.iter().map(open).collect(),
        false => encoded.par_iter().map(open).collect(),
    }
}

/// Checks the signatures of those that are new, if they are many. Where that is not done, or a signature is spoilt,
/// an entry stays as it is: whoever takes it in checks it, or knows it already.
pub(super) fn verify(
    arrived: Vec<Arrived>,
    is_new: impl Fn(&Entry) -> bool + Sync,
) -> Vec<Arrived> {
    let is_worth_it = |arrived: &&Arrived| match arrived {
        Arrived::Whole(entry) => is_new(entry),
        Arrived::Verified(_) | Arrived::Stub(_) => false,
    };
    if arrived.iter().filter(is_worth_it).count() < MANY {
        return arrived;
    }
    let verified = |arrived| match arrived {
        Arrived::Whole(entry) if is_new(&entry) => match VerifiedEntry::check(Arc::clone(&entry)) {
            Ok(verified) => Arrived::Verified(verified),
            Err(_) => Arrived::Whole(entry),
        },
        as_it_is => as_it_is,
    };
    arrived.into_par_iter().map(verified).collect()
}

#[cfg(test)]
mod tests {
    use sync_protocol::EntryId;

    use super::*;
    use crate::tests::lone;

    /// Encoded entries, the `spoilt` one with another signature.
    fn entries(count: usize, spoilt: Option<usize>) -> Vec<Vec<u8>> {
        let sealed = (0..count as u64).map(|seq| lone::entry(seq, 1));
        let mut encoded: Vec<Vec<u8>> = sealed.map(|entry| entry.encoded().to_vec()).collect();
        if let Some(spoilt) = spoilt {
            let bytes = &mut encoded[spoilt];
            let header = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
            bytes[2 + header] ^= 1;
        }
        encoded
    }

    fn arrived(encoded: &[Vec<u8>]) -> Vec<Arrived> {
        let opened = open(encoded).into_iter().map(|opened| match opened {
            Ok(Travelled::Whole(entry)) => Arrived::Whole(Arc::new(entry)),
            Ok(Travelled::Stub(stub)) => Arrived::Stub(Box::new(stub)),
            Err(error) => panic!("{error}"),
        });
        opened.collect()
    }

    fn id(arrived: &Arrived) -> EntryId {
        match arrived {
            Arrived::Whole(entry) => entry.id,
            Arrived::Verified(entry) => entry.entry().id,
            Arrived::Stub(stub) => stub.id(),
        }
    }

    #[test]
    fn of_many_entries_each_is_read_by_itself() {
        let mut encoded = entries(40, None);
        encoded[7].truncate(20);
        let opened = open(&encoded);
        for (at, (opened, bytes)) in opened.iter().zip(&encoded).enumerate() {
            assert_eq!(*opened, Travelled::open(bytes), "{at}");
            assert_eq!(opened.is_err(), at == 7);
        }
        assert_eq!(open(&encoded[7..8]), opened[7..8]);
    }

    #[test]
    fn of_many_entries_those_that_are_new_and_signed_are_verified() {
        let encoded = entries(40, Some(11));
        let sent = arrived(&encoded);
        let ids: Vec<_> = sent.iter().map(id).collect();
        let known = ids[23];
        let verified = verify(sent, |entry| entry.id != known);
        for (at, one) in verified.iter().enumerate() {
            assert_eq!(id(one), ids[at], "in the same order");
            let is_verified = matches!(one, Arrived::Verified(_));
            assert_eq!(is_verified, ![11, 23].contains(&at), "{at}");
        }
    }

    #[test]
    fn few_are_left_to_whoever_takes_them_in() {
        let few = arrived(&entries(MANY - 1, None));
        let one_is_known = arrived(&entries(MANY, None));
        let known = id(&one_is_known[0]);
        for left in [
            verify(few, |_| true),
            verify(one_is_known, |entry| entry.id != known),
        ] {
            let is_left = |one: &Arrived| matches!(one, Arrived::Whole(_));
            assert!(left.iter().all(is_left));
        }
    }
}
