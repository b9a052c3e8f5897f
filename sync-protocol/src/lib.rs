//! What peers of one database say to each other until they hold the same entries, which of these
//! count, and in what order.
//!
//! An author seals calls of reducers into an [`Entry`]: signed once, linked by hash to what it
//! builds on. A peer offers every entry it gets to its [`Dag`], which says whether the entry is
//! valid and where in the one order it stands. A [`Cut`] makes a part of the order final. A
//! [`Conversation`] decides what to tell one remote; a [`Ticket`] makes a device a member.
//!
//! Everything here is a function of what it is given: no sockets, disk, clock, random numbers or
//! threads. Nothing here knows tables, modules or names; what the rows say about members comes in
//! as [`Rights`], what is final as [`Finals`].
//!
//! Words used here: an *author* is the device key that signed an entry; *heads* are the entries that
//! nothing builds on yet; a *position* is a place in the order; the *tail* is what no cut covers;
//! an entry is *pending* while something it needs is missing, *quarantined* if it does not count,
//! else *clean*.
//!
//! Reading order: `ids`, `time`, `limits`; `entry`, `system_call`, `issuer`, `order`; `cut`, `membership`,
//! `equivocation`; `reconcile`, `dag`, `awaited`; `address`, `message`, `conversation`, `ticket`.

#![forbid(unsafe_code)]

#[macro_use]
mod planted;

mod address;
mod awaited;
mod codec;
mod conversation;
mod cut;
mod dag;
mod entry;
mod equivocation;
mod error;
#[cfg(test)]
mod fixtures;
pub mod ids;
mod issuer;
mod keys;
pub mod limits;
mod membership;
pub mod message;
mod order;
pub mod reconcile;
mod row_write;
mod system_call;
mod ticket;
mod time;

pub use address::AddressRecord;
pub use awaited::AwaitedBodies;
pub use conversation::{Bulk, Conversation, ConversationEffect, ConversationInput, Holdings};
pub use cut::{
    BRANCH_CUTS_MAX, Branch, BranchError, CUT_FORMAT, Cut, CutDraft, CutError, CutRef, Term,
    Verdict, order_root, quorum,
};
pub use dag::{ChainTip, Dag, Fault, FinalEntry, Finals, Invalid, Offered, Ordered, Struck};
pub use entry::{
    Body, CallName, Caller, Draft, ENTRY_BYTES_MAX, Entry, FORMAT, Header, Invocation, SealError,
    SignedHeader, Stub, Travelled, VerifiedEntry, body_of, travelling,
};
pub use equivocation::{EquivocationProof, NoEquivocation};
pub use error::Malformed;
pub use ids::{
    BlobHash, ConnectionId, CutId, DatabaseId, DeviceKey, EntryId, HeadsHash, NotAnId, OrderRoot,
    Signature, StateRoot,
};
pub use issuer::{
    BIND_NONCE_PREFIX, IssuerKey, KeyAlgorithm, TrustedIssuer, bind_nonce, issuer_fits,
};
pub use keys::{BadSignature, SecretKey};
pub use membership::{
    Rights, Role, RoleChange, TicketRight, admission_is_proven, check_admission, prove_admission,
};
pub use message::{Message, MessageError};
pub use order::{POSITION_BYTES, Position};
pub use reconcile::{TailIndex, TailItem};
pub use row_write::{
    RowWrite, WRITE_COLUMNS_MAX, WRITE_ROWS_MAX, WRITE_TERMS_MAX, WriteChange, WriteCondition,
    WriteOperator, WriteTerm,
};
pub use system_call::{
    Fire, Genesis, NewModule, NotASystemCall, Options, SYSTEM_CALL_NAME, SYSTEM_PREFIX, SystemCall,
};
pub use ticket::{
    JOIN_BYTES_MAX, JoinAnswer, JoinError, JoinRequest, TICKET_ADDRESSES_MAX, TICKET_MEMBERS_MAX,
    Ticket, TicketError, TicketMember,
};
pub use time::{Hlc, Now, Tick};
