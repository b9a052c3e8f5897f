//! Providers of OpenID Connect: whom a database trusts, whom this device speaks for, and whether it
//! may make a call for a user.

use std::sync::Arc;

use store::DataError;
use sync_protocol::{
    ConnectionId, DatabaseId, DeviceKey, IssuerKey, Malformed, Now, Role, SystemCall,
    TrustedIssuer, bind_nonce,
};

use super::Answer;
use crate::batch::{Group, ReplyTo, Waiting};
use crate::core::Core;
use crate::error::{Stop, refuse};
use crate::identity::{Claims, identity_hex, identity_of};
use crate::issuers::rows::{self, BindingRow, IssuerRow, Look};
use crate::issuers::speak::{self, Right, Silence, User};
use crate::issuers::token::issuer_named;
use crate::replica::Replica;
use crate::reply::{Bindings, BoundUser, ErrorKind, IssuerInfo, RequestError};
use crate::request::RequestId;

impl Core {
    pub(super) fn trust_issuer(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        rules: TrustedIssuer,
    ) -> Result<Answer, RequestError> {
        rules.check().map_err(|wrong| bad_rules(&wrong))?;
        let database = self.owned(database)?;
        self.system(now, id, database, &SystemCall::TrustIssuer(rules))
    }

    pub(super) fn distrust_issuer(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        issuer: String,
    ) -> Result<Answer, RequestError> {
        let database = self.owned(database)?;
        if self.issuer_at(database, &issuer)?.is_none() {
            return Err(refuse(
                ErrorKind::NotFound,
                format!(
                    "the database does not trust `{issuer}`; `tombolo issuer list` shows whom it trusts, byte for byte"
                ),
            ));
        }
        self.system(now, id, database, &SystemCall::DistrustIssuer { issuer })
    }

    /// Nothing is called if they are known.
    pub(super) fn set_issuer_keys(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        issuer: String,
        keys: Vec<IssuerKey>,
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        let Some(info) = self.issuer_at(database, &issuer)? else {
            return Err(refuse(
                ErrorKind::NotFound,
                "the database does not trust that issuer",
            ));
        };
        if !info.may_set_keys {
            return Err(refuse(
                ErrorKind::Denied,
                "only an owner, admin or gateway of the database may say which keys an issuer has",
            ));
        }
        if info.keys == keys {
            return Ok(Answer::Now(crate::Reply::Done));
        }
        let call = SystemCall::SetIssuerKeys { issuer, keys };
        self.system(now, id, database, &call)
    }

    pub(super) fn bind(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        token: String,
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        // What cannot be a token is not written down; the rest is judged where it runs.
        issuer_named(&token).map_err(|fault| refuse(ErrorKind::BadRequest, fault.to_string()))?;
        self.system(now, id, database, &SystemCall::Bind { token })
    }

    pub(super) fn unbind(
        &mut self,
        now: Now,
        id: RequestId,
        database: &str,
        device: Option<DeviceKey>,
        (issuer, subject): (String, String),
    ) -> Result<Answer, RequestError> {
        let database = self.writable(database)?;
        let call = SystemCall::Unbind {
            device: device.unwrap_or(self.parts.device),
            issuer,
            subject,
        };
        if SystemCall::decode(&call.encode()).is_err() {
            return Err(refuse(
                ErrorKind::BadRequest,
                "that is no user: an issuer is a URL, and a subject has at most 128 bytes",
            ));
        }
        self.system(now, id, database, &call)
    }

    pub(super) fn issuers(&self, database: Option<&str>) -> Result<Vec<IssuerInfo>, RequestError> {
        let replicas: Vec<&Replica> = match database {
            Some(text) => vec![self.serving(text)?],
            None => self.replicas.values().filter(|it| it.serves()).collect(),
        };
        let mut all = Vec::new();
        for replica in replicas {
            let look = Look::Visible(replica.state()?);
            for row in IssuerRow::all(&look).map_err(Stop::from)? {
                all.push(self.issuer_info(replica, &look, row).map_err(Stop::from)?);
            }
        }
        Ok(all)
    }

    /// Those of the databases that trust it.
    pub(super) fn issuers_named(
        &self,
        database: Option<&str>,
        issuer: &str,
    ) -> Result<Vec<IssuerInfo>, RequestError> {
        let ids: Vec<DatabaseId> = match database {
            Some(text) => vec![self.serving(text)?.id],
            None => {
                let serving = self.replicas.values().filter(|it| it.serves());
                serving.map(|replica| replica.id).collect()
            }
        };
        let infos = ids.into_iter().map(|id| self.issuer_at(id, issuer));
        infos.filter_map(Result::transpose).collect()
    }

    fn issuer_at(
        &self,
        database: DatabaseId,
        issuer: &str,
    ) -> Result<Option<IssuerInfo>, RequestError> {
        let replica = &self.replicas[&database];
        let look = Look::Visible(replica.state()?);
        let row = IssuerRow::find(&look, issuer).map_err(Stop::from)?;
        let info = row.map(|row| self.issuer_info(replica, &look, row));
        Ok(info.transpose().map_err(Stop::from)?)
    }

    fn issuer_info(
        &self,
        replica: &Replica,
        look: &Look<'_>,
        row: IssuerRow,
    ) -> Result<IssuerInfo, DataError> {
        Ok(IssuerInfo {
            database: replica.id,
            keys: rows::keys(look, &row.rules.issuer)?,
            may_set_keys: self.role_in(replica).is_some_and(Role::may_vouch),
            rules: row.rules,
        })
    }

    pub(super) fn bindings(&self, database: &str) -> Result<Bindings, RequestError> {
        let replica = self.serving(database)?;
        let device = self.parts.device;
        let look = Look::Visible(replica.state()?);
        let mut users = Vec::new();
        for row in BindingRow::of_device(&look, &device).map_err(Stop::from)? {
            let issuer = IssuerRow::find(&look, &row.issuer).map_err(Stop::from)?;
            if issuer.is_some_and(|issuer| row.holds(&issuer)) {
                users.push(BoundUser {
                    identity: identity_hex(&identity_of(&row.issuer, &row.subject)),
                    issuer: row.issuer,
                    subject: row.subject,
                    claims: row.claims,
                });
            }
        }
        Ok(Bindings {
            device,
            nonce: bind_nonce(&replica.id, &device),
            vouches: self.role_in(replica).is_some_and(Role::may_vouch),
            users,
        })
    }

    /// The caller as an entry of this device has to name it, if it may speak for it: says early, to
    /// whoever calls, what execution would say. What a token says beyond what the database wants to
    /// know goes no further than here.
    pub(super) fn speaking(
        &self,
        database: DatabaseId,
        caller: Arc<Claims>,
    ) -> Result<Arc<Claims>, RequestError> {
        let device = self.parts.device;
        if caller.issuer == self.parts.own_claims.issuer {
            return Ok(caller);
        }
        let replica = &self.replicas[&database];
        let user = User {
            issuer: &caller.issuer,
            subject: &caller.subject,
            claims: &caller.payload,
        };
        let look = Look::Visible(replica.state()?);
        let right = speak::right(&look, &device, self.role_in(replica), &user);
        let payload = match right.map_err(Stop::from)? {
            // They are in the binding's row.
            Ok(Right::Bound(_)) => String::new(),
            Ok(Right::Vouched(claims)) => claims,
            Err(silence) => return Err(refuse(ErrorKind::Denied, advice(silence))),
        };
        Ok(Arc::new(Claims {
            issuer: caller.issuer.clone(),
            subject: caller.subject.clone(),
            payload,
        }))
    }

    fn role_in(&self, replica: &Replica) -> Option<Role> {
        replica.members.get(&self.parts.device).copied()
    }

    /// A database of which this device is an owner.
    fn owned(&self, database: &str) -> Result<DatabaseId, RequestError> {
        let database = self.writable(database)?;
        match self.role_in(&self.replicas[&database]) {
            Some(Role::Owner) => Ok(database),
            _ => Err(refuse(
                ErrorKind::Denied,
                "only an owner of the database may say whose tokens it takes, from the owner's own peer",
            )),
        }
    }

    fn system(
        &mut self,
        now: Now,
        id: RequestId,
        database: DatabaseId,
        call: &SystemCall,
    ) -> Result<Answer, RequestError> {
        let device = Arc::clone(&self.parts.own_claims);
        let call = Waiting::system(device, call, ConnectionId::ZERO);
        self.submit(now, database, Group::single(call, ReplyTo::Done(id)))
    }
}

/// What somebody can do whose call this peer may not make.
fn advice(silence: Silence) -> &'static str {
    match silence {
        Silence::Untrusted => {
            "the database takes no tokens of that issuer; an owner of it can say so with `tombolo issuer add`"
        }
        Silence::Unbound => {
            "this peer may not call for that user: bind him to it with `tombolo login`, or connect to a peer that is a gateway of the database"
        }
        Silence::Claims => "the token's claims do not decode",
    }
}

fn bad_rules(wrong: &Malformed) -> RequestError {
    refuse(
        ErrorKind::BadRequest,
        format!(
            "that cannot be trusted ({wrong}): an issuer is an https URL as its tokens spell it, without `|`, \
             with 1 to 8 audiences and at most 16 claims, of at most 128 bytes each"
        ),
    )
}
