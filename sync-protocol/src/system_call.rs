//! Invocations that concern the database itself: its birth, its members, its clients.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::equivocation::EquivocationProof;
use crate::error::{Malformed, ascending, within};
use crate::ids::{BlobHash, DeviceKey, Signature};
use crate::issuer::{IssuerKey, TrustedIssuer, issuer_fits, keys_fit};
use crate::limits::{
    ARGUMENTS_BYTES_MAX, CLAIM_BYTES_MAX, DATABASE_NAME_BYTES_MAX, FINALISERS_MAX, ISSUER_KEYS_MAX,
    MODULE_BYTES_MAX, TOKEN_BYTES_MAX,
};
use crate::membership::Role;
use crate::row_write::RowWrite;
use crate::time::Hlc;

/// The name under which system calls stand in a body. All names that begin with
/// [`SYSTEM_PREFIX`] are ours: no module has such a reducer.
pub const SYSTEM_CALL_NAME: &str = "tombolo:system";

/// What our own names begin with.
pub const SYSTEM_PREFIX: &str = "tombolo:";

/// The arguments of an invocation named [`SYSTEM_CALL_NAME`]. The caller and the connection are
/// the invocation's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemCall {
    /// The database begins. Only in its first entry, alone.
    Genesis(Genesis),
    /// Whoever holds the ticket's private key may become a member.
    Invite {
        /// Public half of the ticket's key.
        ticket: DeviceKey,
        /// What the new member may do.
        role: Role,
        /// How many members it makes.
        uses: u32,
        /// When it ends, compared with the admission's time.
        expires: Hlc,
    },
    /// Makes a device a member.
    Admit {
        /// The device.
        member: DeviceKey,
        /// The ticket it came with.
        ticket: DeviceKey,
        /// By the ticket's key, see [`crate::prove_admission`].
        proof: Signature,
    },
    /// An author gave two entries the same place.
    ReportEquivocation(Box<EquivocationProof>),
    /// A client connected.
    ClientConnected,
    /// A client is gone.
    ClientDisconnected,
    /// The database shall have another module, from the cut on that covers this. Whether it can is
    /// judged there.
    Publish(NewModule),
    /// Hands finality over: the cut that covers this names the device as the only finaliser. An
    /// owner's call.
    MoveFinaliser {
        /// The new finaliser: a member who may write.
        to: DeviceKey,
    },
    /// A row that says when its reducer runs is due. Whoever calls first fires it; later calls find
    /// that it was done.
    Fire(Fire),
    /// Writes rows of the module's tables without its reducers. An owner's call.
    Write(RowWrite),
    /// A device is no member any more: one that is outranked, or the caller itself, which leaves.
    RemoveMember {
        /// The device.
        member: DeviceKey,
    },
    /// Another role for a member that is outranked, now and then. Ownership is handed over
    /// otherwise.
    SetRole {
        /// The device.
        member: DeviceKey,
        /// What it may do from now on.
        role: Role,
    },
    /// A ticket admits nobody any more.
    RevokeTicket {
        /// Public half of the ticket's key.
        ticket: DeviceKey,
    },
    /// Another member owns the database; who did becomes an admin. An owner's call.
    TransferOwnership {
        /// The new owner: a member.
        to: DeviceKey,
    },
    /// Tokens of a provider count from here on, or count for others than before. An owner's call.
    TrustIssuer(TrustedIssuer),
    /// They count no more, and nobody is bound to a device by one. An owner's call.
    DistrustIssuer {
        /// Whose.
        issuer: String,
    },
    /// The keys of a trusted issuer are these, and no others. A call of those who may vouch.
    SetIssuerKeys {
        /// Whose.
        issuer: String,
        /// All of them, by ascending id.
        #[serde(deserialize_with = "codec::at_most::<_, _, ISSUER_KEYS_MAX>")]
        keys: Vec<IssuerKey>,
    },
    /// The author speaks for the user of a token from here on.
    Bind {
        /// An ID token whose `nonce` names this database and the author, see
        /// [`crate::bind_nonce`]. At most [`TOKEN_BYTES_MAX`].
        token: String,
    },
    /// A device speaks for a user no more. A call of that device, an owner or an admin.
    Unbind {
        /// The device.
        device: DeviceKey,
        /// The user's issuer.
        issuer: String,
        /// The user.
        subject: String,
    },
}

/// Which row is due, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// Number of its table.
    pub table: u32,
    /// Its primary key.
    pub key: u64,
    /// Time of the call that wrote it.
    pub set_at: Hlc,
    /// When it is due.
    pub due: Hlc,
}

/// A module for a database that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewModule {
    /// Hash of the module. Whoever holds the entry holds the module.
    pub module: BlobHash,
    /// Bytes of the module.
    pub module_len: u32,
    /// Engine number it is to run on: that of the database.
    pub engine: u32,
    /// It may take away what clients were compiled against.
    pub break_clients: bool,
    /// Nothing stays of the rows: the tables begin anew, as the module's `init` leaves them.
    pub clear: bool,
}

/// What a database is from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// A suggestion; every peer names databases as it likes. At most
    /// [`DATABASE_NAME_BYTES_MAX`], may be empty.
    pub name: String,
    /// Hash of the module.
    pub module: BlobHash,
    /// Bytes of the module.
    pub module_len: u32,
    /// Engine number: which rules of execution hold.
    pub engine: u32,
    /// What cannot be left to each peer.
    pub options: Options,
    /// Who signs the first cuts, sorted.
    #[serde(deserialize_with = "codec::at_most::<_, _, FINALISERS_MAX>")]
    pub finalisers: Vec<DeviceKey>,
    /// Who may name other finalisers when these are lost, sorted.
    #[serde(deserialize_with = "codec::at_most::<_, _, FINALISERS_MAX>")]
    pub recovery_keys: Vec<DeviceKey>,
}

/// Settings that every peer of a database must share, or their states would differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Generated ids of 64 bits count 1, 2, 3 instead of following the time.
    pub sequential_auto_inc: bool,
    /// Bytes of memory of a module's instance.
    pub memory_bytes_max: u32,
    /// Metering units of one invocation.
    pub units_per_invocation: u64,
    /// Metering units of one entry.
    pub units_per_entry: u64,
    /// Nested calls inside a module.
    pub call_depth_max: u32,
}

/// Arguments of a system call that are none: the call fails, the same for all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a system call that this engine knows: {0}")]
pub struct NotASystemCall(#[from] pub Malformed);

impl SystemCall {
    /// The canonical bytes, for the invocation's arguments.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`NotASystemCall`] if they are not canonical or break a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotASystemCall> {
        let call: Self = codec::decode("system call", bytes, ARGUMENTS_BYTES_MAX)?;
        match &call {
            Self::Genesis(genesis) => genesis.check()?,
            Self::Publish(new_module) => module_fits(new_module.module_len)?,
            Self::TrustIssuer(issuer) => issuer.check()?,
            Self::DistrustIssuer { issuer } => issuer_fits(issuer)?,
            Self::SetIssuerKeys { issuer, keys } => {
                issuer_fits(issuer)?;
                keys_fit(keys)?;
            }
            Self::Bind { token } => within("bytes of a token", token.len(), TOKEN_BYTES_MAX)?,
            Self::Unbind {
                issuer, subject, ..
            } => {
                issuer_fits(issuer)?;
                within("bytes of a subject", subject.len(), CLAIM_BYTES_MAX)?;
            }
            _ => {}
        }
        Ok(call)
    }

    /// Whether an entry holds few of this call: judging it costs a check of signatures, a look at
    /// ancestors, the preparation of a module, or a look at all rows of a table.
    #[must_use]
    pub fn carries_proof(&self) -> bool {
        matches!(
            self,
            Self::Invite { .. }
                | Self::Admit { .. }
                | Self::ReportEquivocation(_)
                | Self::Publish(_)
                | Self::Write(_)
                | Self::RemoveMember { .. }
                | Self::SetRole { .. }
                | Self::TransferOwnership { .. }
                | Self::Bind { .. }
        )
    }
}

fn module_fits(len: u32) -> Result<(), Malformed> {
    within("bytes of the module", len as usize, MODULE_BYTES_MAX)
}

impl Genesis {
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        within(
            "bytes of the database's name",
            self.name.len(),
            DATABASE_NAME_BYTES_MAX,
        )?;
        module_fits(self.module_len)?;
        within("finalisers", self.finalisers.len(), FINALISERS_MAX)?;
        within("recovery keys", self.recovery_keys.len(), FINALISERS_MAX)?;
        ascending("finalisers", &self.finalisers)?;
        ascending("recovery keys", &self.recovery_keys)?;
        if self.finalisers.is_empty() {
            return Err(Malformed::Empty { what: "finalisers" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{genesis_call, hex, key};
    use crate::ids::DatabaseId;
    use crate::membership::prove_admission;
    use crate::row_write::{
        WRITE_ROWS_MAX, WRITE_TERMS_MAX, WriteChange, WriteCondition, WriteOperator, WriteTerm,
    };

    const GENESIS: &str = "\
        0004636861740303030303030303030303030303030303030303030303030303030303030303e8070100808080\
        208094ebdc0380a8d6b907e8070101010101010101010101010101010101010101010101010101010101010101\
        01010404040404040404040404040404040404040404040404040404040404040404";

    const ADMISSION: &str = "\
        d72f6a47367a1e37c273ce1bba9b26dafe0ec5f7c5c2ffb927edab1014ac55e967f79cac338f777fe200981ee5\
        8e005ef59bc20472326f940633ef62df73eb00";

    fn check_golden(call: &SystemCall, golden: &str) {
        assert_eq!(hex(&call.encode()), golden);
        assert_eq!(SystemCall::decode(&call.encode()).as_ref(), Ok(call));
    }

    #[test]
    fn golden_system_calls() {
        let ticket = DeviceKey([0xAA; 32]);
        check_golden(
            &SystemCall::Genesis(genesis_call(vec![DeviceKey([1; 32])])),
            GENESIS,
        );
        let invite = SystemCall::Invite {
            ticket,
            role: Role::Writer,
            uses: 3,
            expires: Hlc(1_000_000),
        };
        check_golden(&invite, &format!("01{}0303c0843d", "aa".repeat(32)));
        let member = DeviceKey([0xBB; 32]);
        let proof = Signature([0xCC; 64]);
        let golden = format!(
            "02{}{}{}",
            "bb".repeat(32),
            "aa".repeat(32),
            "cc".repeat(64)
        );
        check_golden(
            &SystemCall::Admit {
                member,
                ticket,
                proof,
            },
            &golden,
        );
        check_golden(&SystemCall::ClientConnected, "04");
        check_golden(&SystemCall::ClientDisconnected, "05");
        let new_module = NewModule {
            module: BlobHash([0xDD; 32]),
            module_len: 1_000,
            engine: 1,
            break_clients: true,
            clear: false,
        };
        let golden = format!("06{}e807010100", "dd".repeat(32));
        check_golden(&SystemCall::Publish(new_module), &golden);
        let clear = NewModule {
            break_clients: false,
            clear: true,
            ..new_module
        };
        let golden = format!("06{}e807010001", "dd".repeat(32));
        check_golden(&SystemCall::Publish(clear), &golden);
        let golden = format!("07{}", "bb".repeat(32));
        check_golden(&SystemCall::MoveFinaliser { to: member }, &golden);
        let fire = Fire {
            table: 4_100,
            key: u64::MAX,
            set_at: Hlc(1_000_000),
            due: Hlc(2_000_000),
        };
        let golden = "088420ffffffffffffffffff01c0843d80897a";
        check_golden(&SystemCall::Fire(fire), golden);
    }

    #[test]
    fn golden_changes_of_members() {
        let member = DeviceKey([0xBB; 32]);
        let bytes = "bb".repeat(32);
        check_golden(&SystemCall::RemoveMember { member }, &format!("0a{bytes}"));
        let role = Role::Reader;
        let call = SystemCall::SetRole { member, role };
        check_golden(&call, &format!("0b{bytes}04"));
        let ticket = member;
        check_golden(&SystemCall::RevokeTicket { ticket }, &format!("0c{bytes}"));
        let call = SystemCall::TransferOwnership { to: member };
        check_golden(&call, &format!("0d{bytes}"));
    }

    #[test]
    fn golden_writes() {
        let check = |change, golden: &str| {
            let write = RowWrite {
                table: 4_096,
                columns: [0xAB; 8],
                change,
            };
            let golden = format!("098020{}{golden}", "ab".repeat(8));
            check_golden(&SystemCall::Write(write), &golden);
        };
        check(
            WriteChange::Insert(vec![vec![1, 2], vec![]]),
            "00 02 020102 00".replace(' ', "").as_str(),
        );
        let equal = WriteTerm::Value(3, WriteOperator::Equal, vec![7]);
        let condition = WriteCondition(vec![
            equal.clone(),
            WriteTerm::Columns(0, WriteOperator::GreaterOrEqual, 300),
            WriteTerm::All(2),
            WriteTerm::Constant(true),
            WriteTerm::Any(2),
        ]);
        check(
            WriteChange::Update {
                set: vec![(1, vec![9, 9])],
                condition,
            },
            "01 01 01020909 05 01030001 07 020005ac02 0302 0001 0402"
                .replace(' ', "")
                .as_str(),
        );
        check(
            WriteChange::Delete(WriteCondition(vec![equal])),
            "02 01 0103000107".replace(' ', "").as_str(),
        );
    }

    #[test]
    fn a_write_keeps_its_limits() {
        let rows = |count| {
            let call = SystemCall::Write(RowWrite {
                table: 1,
                columns: [0; 8],
                change: WriteChange::Insert(vec![vec![]; count]),
            });
            SystemCall::decode(&call.encode()).is_ok()
        };
        assert!(rows(WRITE_ROWS_MAX) && !rows(WRITE_ROWS_MAX + 1));
        let terms = |count| {
            let terms = vec![WriteTerm::Constant(true); count];
            let call = SystemCall::Write(RowWrite {
                table: 1,
                columns: [0; 8],
                change: WriteChange::Delete(WriteCondition(terms)),
            });
            SystemCall::decode(&call.encode()).is_ok()
        };
        assert!(terms(WRITE_TERMS_MAX) && !terms(WRITE_TERMS_MAX + 1));
    }

    #[test]
    fn a_new_module_keeps_its_limits() {
        let call = SystemCall::Publish(NewModule {
            module: BlobHash([1; 32]),
            module_len: u32::MAX,
            engine: 1,
            break_clients: false,
            clear: false,
        });
        let over = Malformed::OverLimit {
            what: "bytes of the module",
            found: u64::from(u32::MAX),
            max: MODULE_BYTES_MAX as u64,
        };
        assert_eq!(
            SystemCall::decode(&call.encode()),
            Err(NotASystemCall(over))
        );
    }

    #[test]
    fn golden_admission_proof() {
        let proof = prove_admission(&key(1), &DatabaseId([2; 32]), &DeviceKey([3; 32]));
        assert_eq!(hex(&proof.0), ADMISSION);
    }

    #[test]
    fn a_genesis_keeps_its_limits() {
        let check = |change: &dyn Fn(&mut Genesis), expected| {
            let mut genesis = genesis_call(vec![DeviceKey([1; 32])]);
            change(&mut genesis);
            let decoded = SystemCall::decode(&SystemCall::Genesis(genesis).encode());
            assert_eq!(decoded, Err(NotASystemCall(expected)));
        };
        check(
            &|g| g.finalisers.clear(),
            Malformed::Empty { what: "finalisers" },
        );
        let two = vec![DeviceKey([2; 32]), DeviceKey([1; 32])];
        check(
            &|g| g.recovery_keys = two.clone(),
            Malformed::NotSorted {
                what: "recovery keys",
            },
        );
        let long = Malformed::OverLimit {
            what: "bytes of the database's name",
            found: 129,
            max: 128,
        };
        check(&|g| g.name = "n".repeat(129), long);
        let many: Vec<_> = (0..65).map(|n| DeviceKey([n; 32])).collect();
        let over = Malformed::Undecodable {
            what: "system call",
        };
        check(&|g| g.finalisers = many.clone(), over);
    }
}
