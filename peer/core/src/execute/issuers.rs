//! System calls about providers of OpenID Connect, their keys, and whom a device speaks for.
//!
//! Everything that judges a token is a row or a part of the entry: keys as they are at the call's
//! position, and the entry's own time for a clock.

use store::Transaction;
use sync_protocol::{DeviceKey, Hlc, IssuerKey, Role, TrustedIssuer, bind_nonce};

use super::Ran;
use super::system::{DONE, Place, refused};
use crate::error::Stop;
use crate::issuers::rows::{self, BindingRow, IssuerRow, Look};
use crate::issuers::token::{CheckedToken, TokenFault, check_token, cut, issuer_named};

const US_PER_S: u64 = 1_000_000;

pub(super) fn trust(
    mut tx: Transaction,
    place: &Place<'_>,
    rules: &TrustedIssuer,
) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(
            tx,
            "only an owner of the database may say whose tokens it takes",
        ));
    }
    let before = IssuerRow::find(&Look::Call(&tx), &rules.issuer)?;
    let now = place.entry.time_of(place.index);
    let row = IssuerRow {
        rules: rules.clone(),
        // Other audiences or claims are no reason to take bindings away.
        since: before.map_or(now, |before| before.since),
    };
    row.set(&mut tx)?;
    Ok((tx, DONE))
}

/// Its keys go with it. Bindings stay as rows and are void: the issuer's row says since when it is
/// trusted, and will say something else if it ever is again.
pub(super) fn distrust(mut tx: Transaction, place: &Place<'_>, issuer: &str) -> Result<Ran, Stop> {
    if place.role != Some(Role::Owner) {
        return Ok(refused(
            tx,
            "only an owner of the database may say whose tokens it takes",
        ));
    }
    IssuerRow::delete(&mut tx, issuer)?;
    rows::set_keys(&mut tx, issuer, &[])?;
    Ok((tx, DONE))
}

pub(super) fn set_keys(
    mut tx: Transaction,
    place: &Place<'_>,
    issuer: &str,
    keys: &[IssuerKey],
) -> Result<Ran, Stop> {
    if !place.role.is_some_and(Role::may_vouch) {
        return Ok(refused(
            tx,
            "only an owner, admin or gateway may say which keys an issuer has",
        ));
    }
    if IssuerRow::find(&Look::Call(&tx), issuer)?.is_none() {
        return Ok(refused(tx, "the database trusts no such issuer"));
    }
    if rows::keys(&Look::Call(&tx), issuer)? != keys {
        rows::set_keys(&mut tx, issuer, keys)?;
    }
    Ok((tx, DONE))
}

pub(super) fn bind(mut tx: Transaction, place: &Place<'_>, token: &str) -> Result<Ran, Stop> {
    if !place.role.is_some_and(Role::may_write) {
        return Ok(refused(tx, "this device may not write to the database"));
    }
    let named = match issuer_named(token) {
        Ok(named) => named,
        Err(fault) => return Ok(refused(tx, &fault.to_string())),
    };
    let Some(issuer) = IssuerRow::find(&Look::Call(&tx), &named)? else {
        return Ok(refused(tx, "the database trusts no such issuer"));
    };
    let keys = rows::keys(&Look::Call(&tx), &named)?;
    let (checked, issued_s) = match check(place, token, &issuer, &keys) {
        Ok(checked) => checked,
        Err(fault) => return Ok(refused(tx, &fault.to_string())),
    };
    let device = place.entry.header.author;
    let before = BindingRow::find(&Look::Call(&tx), &device, &named, &checked.subject)?;
    // An author may date an entry back; a provider's signature is over its own time.
    let ended = before.map_or(Hlc(0), |before| before.ended);
    if ended != Hlc(0) && issued_s.saturating_mul(US_PER_S) <= ended.0 {
        return Ok(refused(
            tx,
            "the user was unbound from this device after this token was made: sign in again",
        ));
    }
    let claims = cut(
        &checked.payload,
        &named,
        &checked.subject,
        &issuer.rules.claims,
    );
    let Some(claims) = claims else {
        return Ok(refused(tx, &TokenFault::Undecodable.to_string()));
    };
    let row = BindingRow {
        device,
        issuer: named,
        subject: checked.subject,
        claims,
        since: issuer.since,
        ended: Hlc(0),
    };
    row.set(&mut tx)?;
    Ok((tx, DONE))
}

/// A token that binds is for the author's device in this database, and says when it was made.
fn check(
    place: &Place<'_>,
    token: &str,
    issuer: &IssuerRow,
    keys: &[IssuerKey],
) -> Result<(CheckedToken, u64), TokenFault> {
    let now_s = place.entry.time_of(place.index).0 / US_PER_S;
    let checked = check_token(token, &issuer.rules, keys, now_s)?;
    let nonce = bind_nonce(&place.entry.database(), &place.entry.header.author);
    if checked.nonce.as_ref() != Some(&nonce) {
        return Err(TokenFault::Nonce);
    }
    let issued_s = checked.issued_s.ok_or(TokenFault::Claim("iat"))?;
    Ok((checked, issued_s))
}

pub(super) fn unbind(
    mut tx: Transaction,
    place: &Place<'_>,
    device: &DeviceKey,
    issuer: &str,
    subject: &str,
) -> Result<Ran, Stop> {
    // Who may invite devices may also say for whom they do not speak.
    let is_own = place.entry.header.author == *device && place.role.is_some();
    if !is_own && !place.role.is_some_and(Role::may_invite) {
        return Ok(refused(
            tx,
            "only the device itself, an owner or an admin may unbind its users",
        ));
    }
    let Some(before) = BindingRow::find(&Look::Call(&tx), device, issuer, subject)? else {
        return Ok(refused(tx, "that user is not bound to that device"));
    };
    let row = BindingRow {
        claims: String::new(),
        ended: place.entry.time_of(place.index).max(before.ended),
        ..before
    };
    row.set(&mut tx)?;
    Ok((tx, DONE))
}
