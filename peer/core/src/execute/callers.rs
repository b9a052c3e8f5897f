//! For whom an author may call: itself, users that it issued, and those of providers as far as rows say.

use std::borrow::Cow;

use store::Transaction;
use sync_protocol::{DeviceKey, Entry, Role};

use crate::error::Stop;
use crate::identity::{did_key, identity_of};
use crate::issuers::rows::Look;
use crate::issuers::speak::{self, User};

/// A caller for whom the author may speak.
#[derive(Clone)]
pub(super) struct CheckedCaller<'a> {
    pub(super) identity: [u8; 32],
    /// The author speaks for itself, not for a user of its.
    pub(super) is_author: bool,
    pub(super) claims: Option<Cow<'a, str>>,
}

/// A caller of an entry, as far as the entry alone says who it is.
pub(super) enum NamedCaller<'a> {
    /// The author, or a user that it issued.
    Own(CheckedCaller<'a>),
    /// A user of somebody else's: rows say whether the author may speak for him.
    Foreign([u8; 32], User<'a>),
}

/// Who calls in an entry.
pub(super) fn named_callers(entry: &Entry) -> Vec<NamedCaller<'_>> {
    let did = did_key(&entry.header.author);
    let callers = entry.body.callers.iter().map(|caller| {
        let identity = identity_of(&caller.issuer, &caller.subject);
        let claims = caller.claims.as_str();
        if caller.issuer == did {
            return NamedCaller::Own(CheckedCaller {
                identity,
                is_author: caller.subject == did,
                claims: (!claims.is_empty()).then_some(Cow::Borrowed(claims)),
            });
        }
        let user = User {
            issuer: &caller.issuer,
            subject: &caller.subject,
            claims,
        };
        NamedCaller::Foreign(identity, user)
    });
    callers.collect()
}

/// Whether an author may speak for somebody whom it did not issue, at the call's position; or why not.
pub(super) fn foreign_caller(
    tx: &Transaction,
    author: &DeviceKey,
    role: Option<Role>,
    identity: [u8; 32],
    user: &User<'_>,
) -> Result<Result<CheckedCaller<'static>, String>, Stop> {
    let right = speak::right(&Look::Call(tx), author, role, user)?;
    Ok(match right {
        Ok(right) => Ok(CheckedCaller {
            identity,
            is_author: false,
            claims: Some(right.claims()),
        }),
        Err(why) => Err(why.to_string()),
    })
}
