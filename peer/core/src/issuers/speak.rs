//! For which users of a provider an author may speak.

use std::borrow::Cow;

use store::DataError;
use sync_protocol::{DeviceKey, Role};

use super::rows::{BindingRow, IssuerRow, Look};
use super::token::cut;

/// A user of a provider, as an entry or a token names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
    /// Claims that somebody says a token has; may be empty.
    pub(crate) claims: &'a str,
}

/// What gives an author the right to speak for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// The user's token bound him to the author's device: these are the claims of that token.
    Bound(String),
    /// The author's role: it vouches, also for these claims.
    Vouched(String),
}

impl Right {
    /// What a module sees.
    pub(crate) fn claims<'a>(self) -> Cow<'a, str> {
        match self {
            Self::Bound(claims) | Self::Vouched(claims) => Cow::Owned(claims),
        }
    }
}

/// Why an author may not speak for a user: one sentence, which says nothing of what the database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Silence {
    /// No row of its issuer.
    #[error("the author may not speak for this caller: the database trusts no such issuer")]
    Untrusted,
    /// Neither bound nor a gateway.
    #[error(
        "the author may not speak for this caller: the user is not bound to its device, and it is no gateway"
    )]
    Unbound,
    /// A gateway's claims are no JSON object.
    #[error("the author may not speak for this caller: its claims do not decode")]
    Claims,
}

/// Whether `author`, which has `role`, may speak for `user`, by the rows at hand.
pub(crate) fn right(
    rows: &Look<'_>,
    author: &DeviceKey,
    role: Option<Role>,
    user: &User<'_>,
) -> Result<Result<Right, Silence>, DataError> {
    let Some(issuer) = IssuerRow::find(rows, user.issuer)? else {
        return Ok(Err(Silence::Untrusted));
    };
    // What a provider signed comes before what a gateway says.
    let binding = BindingRow::find(rows, author, user.issuer, user.subject)?;
    if let Some(binding) = binding.filter(|binding| binding.holds(&issuer)) {
        return Ok(Ok(Right::Bound(binding.claims)));
    }
    if !role.is_some_and(Role::may_vouch) {
        return Ok(Err(Silence::Unbound));
    }
    let claims = match user.claims {
        "" => "{}",
        claims => claims,
    };
    let claims = cut(claims, user.issuer, user.subject, &issuer.rules.claims);
    Ok(claims.map(Right::Vouched).ok_or(Silence::Claims))
}
