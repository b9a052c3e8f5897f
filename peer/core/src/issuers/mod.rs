//! Users of OpenID Connect providers: which providers a database trusts, with which keys their tokens
//! are checked, and which device speaks for whom.
//!
//! All of it is replicated rows, written by system calls, so what execution makes of a token is the
//! same on every peer and needs no network ([`token`]). Who may speak for a user at a position is
//! decided in [`speak`].

pub(crate) mod rows;
pub(crate) mod speak;
pub(crate) mod token;
