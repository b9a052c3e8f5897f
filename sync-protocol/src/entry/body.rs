//! What an entry asks to be run.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::error::{Malformed, within};
use crate::ids::{ConnectionId, hash};
use crate::limits::{
    ARGUMENTS_BYTES_MAX, BODY_BYTES_MAX, CLAIM_BYTES_MAX, CLAIMS_BYTES_MAX, INVOCATIONS_MAX,
    NAME_BYTES_MAX, PROOFS_PER_ENTRY_MAX,
};
use crate::system_call::{NotASystemCall, SYSTEM_CALL_NAME, SystemCall};

const ROOT_CONTEXT: &str = "tombolo body 1";

/// The invocations of an entry, with what they share named once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// What is called.
    #[serde(deserialize_with = "codec::at_most::<_, _, INVOCATIONS_MAX>")]
    pub names: Vec<CallName>,
    /// Who calls.
    #[serde(deserialize_with = "codec::at_most::<_, _, INVOCATIONS_MAX>")]
    pub callers: Vec<Caller>,
    /// The calls, in order.
    #[serde(deserialize_with = "codec::at_most::<_, _, INVOCATIONS_MAX>")]
    pub invocations: Vec<Invocation>,
}

/// A reducer as its caller knew it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallName {
    /// Canonical name of the reducer, or [`SYSTEM_CALL_NAME`]. At most [`NAME_BYTES_MAX`].
    pub name: String,
    /// The first 8 bytes of the hash of its argument type; zero for system calls. A call whose
    /// type no longer fits fails, the same for all.
    pub arguments_type: [u8; 8],
}

impl CallName {
    /// The name of system calls.
    #[must_use]
    pub fn system() -> Self {
        Self {
            name: SYSTEM_CALL_NAME.to_owned(),
            arguments_type: [0; 8],
        }
    }

    /// Whether invocations of this name are [`SystemCall`]s.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.name == SYSTEM_CALL_NAME && self.arguments_type == [0; 8]
    }
}

/// Who a reducer sees as its caller: an issuer's word about a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Caller {
    /// Who vouches for the subject. At most [`CLAIM_BYTES_MAX`].
    pub issuer: String,
    /// Whom. At most [`CLAIM_BYTES_MAX`].
    pub subject: String,
    /// The token's payload as JSON, cut to the allow-list, or empty. At most [`CLAIMS_BYTES_MAX`].
    pub claims: String,
}

/// One call of one reducer by one caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Index into [`Body::names`].
    pub name: u16,
    /// Index into [`Body::callers`].
    pub caller: u16,
    /// The client's connection, all zero for none.
    pub connection: ConnectionId,
    /// BSATN of the arguments; for a system call its canonical bytes. At most
    /// [`ARGUMENTS_BYTES_MAX`].
    #[serde(with = "codec::bytes")]
    pub args: Vec<u8>,
}

impl Body {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads and checks canonical bytes.
    ///
    /// # Errors
    /// [`Malformed`] if they are not canonical, break a limit, or an index leads nowhere.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let body: Self = codec::decode("body", bytes, BODY_BYTES_MAX)?;
        body.check()?;
        Ok(body)
    }

    /// The system call at `index`: `None` if there is another call, or none at all.
    #[must_use]
    pub fn system_call(&self, index: u16) -> Option<Result<SystemCall, NotASystemCall>> {
        let invocation = self.invocations.get(usize::from(index))?;
        let name = self.names.get(usize::from(invocation.name))?;
        name.is_system()
            .then(|| SystemCall::decode(&invocation.args))
    }

    /// Every system call that decodes, with its index. One that does not is a call that fails.
    pub fn system_calls(&self) -> impl Iterator<Item = (u16, SystemCall)> + '_ {
        // Most entries have none, and then no invocation need be looked at.
        let any = self.names.iter().any(CallName::is_system);
        let indices = if any { 0..self.invocations.len() } else { 0..0 };
        indices.filter_map(|index| {
            let index = u16::try_from(index).ok()?;
            Some((index, self.system_call(index)?.ok()?))
        })
    }

    /// The rules for a body alone: what `seal` promises and `open` demands.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if self.invocations.is_empty() {
            return Err(Malformed::Empty {
                what: "invocations",
            });
        }
        within("names", self.names.len(), INVOCATIONS_MAX)?;
        within("callers", self.callers.len(), INVOCATIONS_MAX)?;
        within("invocations", self.invocations.len(), INVOCATIONS_MAX)?;
        for name in &self.names {
            within("bytes of a reducer's name", name.name.len(), NAME_BYTES_MAX)?;
        }
        for caller in &self.callers {
            within("bytes of an issuer", caller.issuer.len(), CLAIM_BYTES_MAX)?;
            within("bytes of a subject", caller.subject.len(), CLAIM_BYTES_MAX)?;
            within("bytes of claims", caller.claims.len(), CLAIMS_BYTES_MAX)?;
        }
        for invocation in &self.invocations {
            exists("name", invocation.name, self.names.len())?;
            exists("caller", invocation.caller, self.callers.len())?;
            within(
                "bytes of arguments",
                invocation.args.len(),
                ARGUMENTS_BYTES_MAX,
            )?;
        }
        let costly = self
            .system_calls()
            .filter(|(_, call)| call.carries_proof())
            .count();
        within("system calls with proofs", costly, PROOFS_PER_ENTRY_MAX)
    }
}

pub(super) fn root_of(body: &[u8]) -> [u8; 32] {
    hash(ROOT_CONTEXT, body)
}

fn exists(what: &'static str, index: u16, len: usize) -> Result<(), Malformed> {
    let index = usize::from(index);
    if index < len {
        Ok(())
    } else {
        Err(Malformed::NoSuchIndex { what, index, len })
    }
}
