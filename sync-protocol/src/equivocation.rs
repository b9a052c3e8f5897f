//! The proof that an author gave two entries the same place in its chain.

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, FORMAT, SignedHeader};
use crate::ids::{DatabaseId, DeviceKey};
use crate::keys::BadSignature;

/// Two headers of one author, epoch and seq. It proves itself, so anybody may show it. An honest
/// author cannot come to this: it draws a new epoch at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquivocationProof {
    /// The header with the smaller id.
    pub first: SignedHeader,
    /// The header with the larger id.
    pub second: SignedHeader,
}

/// Why two headers prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEquivocation {
    /// They are of other databases than this one, or of a format that is not known here.
    #[error("a header belongs to another database or format")]
    OtherDatabase,
    /// They do not claim the same place.
    #[error("the headers are not of one author, epoch and seq")]
    OtherPlace,
    /// They are the same, or come in the wrong order.
    #[error("the headers must be two, the smaller id first")]
    NotAPair,
    /// One is not signed by its author.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

impl EquivocationProof {
    /// The proof that two entries make, the order of arguments does not matter. It is not verified.
    #[must_use]
    pub fn of(a: &Entry, b: &Entry) -> Self {
        Self::of_headers(a.signed_header(), b.signed_header())
    }

    /// The same from headers.
    pub(crate) fn of_headers(a: SignedHeader, b: SignedHeader) -> Self {
        let (first, second) = if a.header.id() <= b.header.id() {
            (a, b)
        } else {
            (b, a)
        };
        Self { first, second }
    }

    /// Whom it accuses.
    #[must_use]
    pub fn author(&self) -> DeviceKey {
        self.first.header.author
    }

    /// Whether it proves an equivocation in `database`.
    ///
    /// # Errors
    /// [`NoEquivocation`] if it does not.
    pub fn verify(&self, database: &DatabaseId) -> Result<(), NoEquivocation> {
        let (a, b) = (&self.first.header, &self.second.header);
        let here = |h: &crate::entry::Header| h.database == *database && h.format == FORMAT;
        if !here(a) || !here(b) {
            return Err(NoEquivocation::OtherDatabase);
        }
        if (a.author, a.epoch, a.seq) != (b.author, b.epoch, b.seq) {
            return Err(NoEquivocation::OtherPlace);
        }
        if a.id() >= b.id() {
            return Err(NoEquivocation::NotAPair);
        }
        self.first.verify()?;
        self.second.verify()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Author, Birth, calls, hex};
    use crate::system_call::SystemCall;

    const GOLDEN: &str = "\
        030178915dad3f07ea92b65002b9a245c7df999333bc29a38c9880c6e15cd582ccd48a88e3dd7409f195fd52db\
        2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c01000178915dad3f07ea92b65002b9a245c7df999333bc29\
        a38c9880c6e15cd582ccd4ca843d02009a1b6e8ffbb361da25ed3d19627dde670a25e763396b3cb3e63147b58f\
        3ade967ca622974d3149204898295185a2b4b8def867b043a4248ed7d8258d1d7243b04d02715f365fbf6ed94e\
        1e6ddfdf71198befe1f2100958951cceb472fdbca8862fdf94890eff78e096daca795417557f7ef2fc7d51da32\
        6423311993d1f9d86ab70d0178915dad3f07ea92b65002b9a245c7df999333bc29a38c9880c6e15cd582ccd48a\
        88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c01000178915dad3f07ea92b65002\
        b9a245c7df999333bc29a38c9880c6e15cd582ccd4ca843d02009a1b6e8ffbb361da25ed3d19627dde670a25e7\
        63396b3cb3e63147b58f3ade96bb8887bdaaf50f35a283809a471f5a9853034af027693d0b8913ad3a19ef6585\
        36014650fac6f5f85ccb57e11db400e9161ee8d96825da41df6d89cbde2f258d375bf90f1a30d373f238bcdfe8\
        775ec2dfa2c3493267bf1810117990bfe15f3b380b";

    fn forked() -> (Birth, std::sync::Arc<Entry>, std::sync::Arc<Entry>) {
        let birth = Birth::new();
        let fork = |count| Author::new(1).write(&birth, &[], 10, calls(count));
        let (a, b) = (fork(1), fork(2));
        (birth, a, b)
    }

    #[test]
    fn two_entries_in_one_place_are_proof() {
        let (birth, a, b) = forked();
        let proof = EquivocationProof::of(&a, &b);
        assert_eq!(proof, EquivocationProof::of(&b, &a), "whichever came first");
        assert_eq!(proof.verify(&birth.database), Ok(()));
        assert_eq!(proof.author(), Author::new(1).public());
        let call = SystemCall::ReportEquivocation(Box::new(proof));
        assert_eq!(SystemCall::decode(&call.encode()), Ok(call));
    }

    #[test]
    fn golden_proof() {
        let (_, a, b) = forked();
        let call = SystemCall::ReportEquivocation(Box::new(EquivocationProof::of(&a, &b)));
        assert_eq!(hex(&call.encode()), GOLDEN);
    }

    #[test]
    fn anything_less_proves_nothing() {
        let (birth, a, b) = forked();
        let proof = EquivocationProof::of(&a, &b);
        let check = |change: &dyn Fn(&mut EquivocationProof), expected| {
            let mut changed = proof.clone();
            change(&mut changed);
            assert_eq!(changed.verify(&birth.database), Err(expected));
        };
        let swap = |p: &mut EquivocationProof| std::mem::swap(&mut p.first, &mut p.second);
        check(&swap, NoEquivocation::NotAPair);
        check(&|p| p.second = p.first.clone(), NoEquivocation::NotAPair);
        check(&|p| p.second.header.seq += 1, NoEquivocation::OtherPlace);
        check(&|p| p.second.header.epoch += 1, NoEquivocation::OtherPlace);
        check(
            &|p| p.first.header.format = 2,
            NoEquivocation::OtherDatabase,
        );
        let forged = NoEquivocation::Signature(BadSignature::NotByKey(proof.author()));
        check(&|p| p.first.signature.0[0] ^= 1, forged.clone());
        check(&|p| p.second.signature.0[0] ^= 1, forged);
        let elsewhere = proof.verify(&DatabaseId([9; 32]));
        assert_eq!(elsewhere, Err(NoEquivocation::OtherDatabase));
    }
}
