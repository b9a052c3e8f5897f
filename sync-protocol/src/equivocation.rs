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
        0301c31c1983c48aeed9075c442d9527ec14af24d23a491252aa7e6d2c8591c6f5a08a88e3dd7409f195fd52db\
        2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c010001c31c1983c48aeed9075c442d9527ec14af24d23a49\
        1252aa7e6d2c8591c6f5a0ca843d0200002639b80cbe1b3c2bbe5378066bb497fb38e7588cd12abe86a437b97f\
        6b8e3f00bb8887bdaaf50f35a283809a471f5a9853034af027693d0b8913ad3a19ef65853601a33b0abadfb3f2\
        5a897750eb2a95cbac11eb35747382b117756eea4669713089af85e123a0e51bba47c4e36f57a594eb690b0552\
        96cfa61351b4d286cf7a1c0e01c31c1983c48aeed9075c442d9527ec14af24d23a491252aa7e6d2c8591c6f5a0\
        8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c010001c31c1983c48aeed9075c\
        442d9527ec14af24d23a491252aa7e6d2c8591c6f5a0ca843d0200002639b80cbe1b3c2bbe5378066bb497fb38\
        e7588cd12abe86a437b97f6b8e3f007ca622974d3149204898295185a2b4b8def867b043a4248ed7d8258d1d72\
        43b04d02731ac1da1018baee8bc6523f1c8db11be82a419b1b34b06c051b939969d79075b68fd4cce4f300785b\
        9bc69a5b85c7ecd992fb554a4644a45b9f99e217ffd501";

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
