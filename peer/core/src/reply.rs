//! What clients hear from a peer.

use serde::Serialize;
use serde_json::value::RawValue;
use sync_protocol::{CutId, DatabaseId, DeviceKey, EntryId, IssuerKey, StateRoot, TrustedIssuer};

use crate::backup::BackupPage;
use crate::conduct::CutOff;
use crate::subscriptions::TableRows;

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// To `Publish`.
    Published(Published),
    /// To `PrePublish`.
    UpgradePlan(UpgradePlan),
    /// To `Call`: it is durable here and ran without error.
    Called(Called),
    /// To `Connect` and `Disconnect`, `Delete`, `Unsubscribe`.
    Done,
    /// To `Sql` with a query.
    Rows(SqlRows),
    /// To `Sql` with a statement that changes rows: it is durable here and ran without error.
    Written(Written),
    /// To `Select` and `Subscribe`, and to `Unsubscribe` if its rows were wanted.
    Selected(Vec<TableRows>),
    /// To `Schema`.
    Schema(serde_json::Value),
    /// To `List`.
    Databases(Vec<DatabaseInfo>),
    /// To `Resolve`.
    Database(DatabaseInfo),
    /// To `Status`.
    Status(Vec<DatabaseStatus>),
    /// To `Members`.
    Members(Vec<MemberInfo>),
    /// To `Peers`: those with a link, and those who are kept outside.
    Peers(Vec<RemoteInfo>, Vec<CutOff>),
    /// To `Peer`.
    Peer(PeerInfo),
    /// To `Invite`: the ticket's text.
    Ticket(String),
    /// To `Join` and `JoinProgress`.
    Joining(JoinProgress),
    /// To `Finaliser`.
    Finaliser(Box<FinaliserInfo>),
    /// To `Recover`: the recovery cut is signed, or, if false, this peer is still on its way to the
    /// side that was picked: ask again.
    Recovered(bool),
    /// To `Dump`: the folder's name, beside the database's files.
    Dumped(String),
    /// To `Backup`.
    BackedUp(BackupPage),
    /// To `Issuers` and `IssuersNamed`.
    Issuers(Vec<IssuerInfo>),
    /// To `Bindings`.
    Bindings(Bindings),
}

/// A provider whose tokens a database takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerInfo {
    /// Which database.
    pub database: DatabaseId,
    /// For whom its tokens have to be, and what of them a module may see.
    pub rules: TrustedIssuer,
    /// With which keys they are checked, by ascending id.
    pub keys: Vec<IssuerKey>,
    /// Whether this peer may write down others.
    pub may_set_keys: bool,
}

/// Whom a device speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// The device: this one.
    pub device: DeviceKey,
    /// What a token's `nonce` has to be to bind its user to it.
    pub nonce: String,
    /// Whether its role lets it speak for all users of trusted issuers.
    pub vouches: bool,
    /// The users that are bound to it.
    pub users: Vec<BoundUser>,
}

/// A user that is bound to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundUser {
    /// Who signed the token.
    pub issuer: String,
    /// Who he is there.
    pub subject: String,
    /// The identity that modules see.
    pub identity: String,
    /// What modules see of the token, as JSON.
    pub claims: String,
}

/// Whose fault an error is, so that the driver can choose a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The question is wrong (400).
    BadRequest,
    /// There is no such database or reducer (404).
    NotFound,
    /// The caller may not (403).
    Denied,
    /// The database is another's, so this peer may not publish to it (401 by name, else 403).
    NotOwner,
    /// The module refused the connection (403).
    ConnectionRejected,
    /// The reducer returned an error; the message is its text (530).
    ReducerFailed,
    /// The guest trapped or ran out of a budget (530).
    Trapped,
    /// Not now (503).
    Unavailable,
    /// Ours (500).
    Internal,
}

/// An error with the sentence a person reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Whose fault.
    pub kind: ErrorKind,
    /// What was wrong, and what to do.
    pub message: String,
}

/// A database came to be, or was there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Its identity.
    pub database: DatabaseId,
    /// Its local name.
    pub name: String,
    /// False: it was there already.
    pub created: bool,
    /// Told once: the secret key (hex) that can hand finality over when its finaliser is lost.
    pub recovery_key: Option<String>,
    /// What the publish does to a database that was there. `None`: nothing, it runs that module
    /// already.
    pub upgraded: Option<Upgraded>,
}

/// An accepted upgrade, or one that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upgraded {
    /// The height of the cut from which on the module rules. `None`: no cut has covered the
    /// publish yet, so the finaliser has not judged it.
    pub effective: Option<u64>,
    /// What it does, step by step.
    pub steps: Vec<String>,
}

/// What a publish would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UpgradePlan {
    /// What happens, step by step.
    pub steps: Vec<String>,
    /// Those of the steps that break clients compiled against the old module.
    pub breaking: Vec<String>,
    /// Why it would be refused; then there are no steps.
    pub reasons: Vec<String>,
}

/// How an upgrade stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeState {
    /// No cut covers it yet.
    Waiting,
    /// Its module rules from `height` on.
    Effective,
    /// The cut at `height` refused it.
    Refused,
    /// It published the module that ruled already.
    Unchanged,
}

/// The latest upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpgradeStatus {
    /// The module that was published.
    pub module_hash: String,
    /// How it stands.
    pub state: UpgradeState,
    /// The cut that judged it.
    pub height: Option<u64>,
    /// Why it was refused, as far as this peer was there.
    pub reasons: Vec<String>,
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Called {
    /// The entry that carries it.
    pub entry: EntryId,
    /// Its place in the entry.
    pub index: u16,
    /// What the reducer saw as `ctx.timestamp`, microseconds since the Unix epoch.
    pub timestamp: u64,
    /// Metering units it took.
    pub units: u64,
}

/// What a statement that changes rows does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteKind {
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
}

/// A statement that changed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// What it did to them.
    pub kind: WriteKind,
    /// How many it concerned, those included that were as it wanted them already.
    pub rows: u64,
}

/// Rows of a query, each a JSON array as SpacetimeDB's HTTP interface gives it.
#[derive(Clone, Debug, Serialize)]
pub struct SqlRows {
    /// Names of the columns in order: as written, or canonical for `*`.
    pub columns: Vec<String>,
    /// Their types: SATS-JSON of a product.
    pub schema: serde_json::Value,
    /// Rows as SATS-JSON arrays. Text, because a JSON tree cannot hold 128-bit numbers.
    pub rows: Vec<Box<RawValue>>,
    /// The same rows as text for people, cell by cell.
    pub text: Vec<Vec<String>>,
}

impl SqlRows {
    /// The answer of a statement that has no rows, nor columns.
    #[must_use]
    pub fn none() -> Self {
        Self {
            columns: Vec::new(),
            schema: serde_json::json!({ "elements": [] }),
            rows: Vec::new(),
            text: Vec::new(),
        }
    }
}

/// A database in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatabaseInfo {
    /// Its identity.
    pub database: DatabaseId,
    /// Its local name, the first of `names`.
    pub name: String,
    /// All its local names.
    pub names: Vec<String>,
    /// The module's hash.
    pub module_hash: String,
    /// The creator's identity in hex, as `ctx.sender` shows it.
    pub owner_identity: String,
    /// `ok`, `forked`, `diverged`, `behind-engine`, `stopped`.
    pub status: String,
}

/// The last cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CutStatus {
    /// Its height.
    pub height: u64,
    /// Its id.
    pub id: CutId,
    /// The state root it certifies.
    pub state_root: StateRoot,
}

/// What `tombolo status` shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatabaseStatus {
    /// Identity.
    pub database: DatabaseId,
    /// Local name.
    pub name: String,
    /// The active module.
    pub module_hash: String,
    /// The latest publish after the first, if there was one.
    pub upgrade: Option<UpgradeStatus>,
    /// The last cut.
    pub cut: CutStatus,
    /// Invocations that no cut covers yet.
    pub tail: u64,
    /// Bytes of memory that their row versions take, estimated.
    pub overlay_bytes: u64,
    /// Bytes of their row versions that went to the disk, because the tail is too long for memory.
    pub spilled_bytes: u64,
    /// Entries, all told.
    pub entries: u64,
    /// Invocations run since the peer started, repeats included.
    pub executions: u64,
    /// Entries waiting for something missing.
    pub pending: u64,
    /// Members of whom entries are held back, and why.
    pub held: Vec<HeldInfo>,
    /// `ok`, `forked`, `diverged`, `behind-engine`, `stopped`.
    pub status: String,
    /// What the status means, if it is not `ok`, and warnings.
    pub detail: Option<String>,
    /// Heads of the clean set.
    pub heads: Vec<EntryId>,
    /// Their hash.
    pub heads_hash: String,
    /// Root of the visible state, tail included.
    pub state_root: StateRoot,
    /// How many members it has.
    pub members: u64,
    /// Connected members.
    pub peers: Vec<RemoteInfo>,
}

/// What is held back of a member: stored, and run when its share has filled up again, when it is due,
/// or when a cut covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldInfo {
    /// The member's device key.
    pub member: DeviceKey,
    /// How many entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why, for a person.
    pub why: String,
    /// The first of them is not due yet: the member's clock is ahead.
    pub is_ahead: bool,
}

/// Who makes a database's calls final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FinaliserInfo {
    /// The database.
    pub database: DatabaseId,
    /// The devices that sign its next cut.
    pub finalisers: Vec<DeviceKey>,
    /// Whether that is this peer alone.
    pub this_peer: bool,
    /// Whether one of them is this peer or has a link to it.
    pub connected: bool,
    /// Where a move that no cut covers yet hands finality.
    pub moving_to: Option<DeviceKey>,
    /// Height of the last cut.
    pub height: u64,
    /// Its id.
    pub cut: CutId,
    /// How many recoveries there have been.
    pub recoveries: u32,
    /// Public halves of the keys that can recover the database.
    pub recovery_keys: Vec<DeviceKey>,
    /// `ok`, `forked`, `diverged`, `behind-engine`, `stopped`.
    pub status: String,
    /// What the status means, if it is not `ok`.
    pub detail: Option<String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberInfo {
    /// Device key.
    pub id: DeviceKey,
    /// The identity that modules see for calls of the device itself.
    pub identity: String,
    /// `owner`, `admin`, `gateway`, `writer`, `reader`.
    pub role: String,
    /// Whether that is us.
    pub this_peer: bool,
    /// Whether a link to it is up.
    pub connected: bool,
    /// Where it says that it listens, as far as this peer has heard.
    pub addresses: Vec<String>,
    /// What of it is held back here, if something is.
    pub held: Option<HeldInfo>,
}

/// A remote with a link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RemoteInfo {
    /// Device key.
    pub id: DeviceKey,
    /// One address it says it listens on, if it said so.
    pub address: Option<String>,
    /// Round trip in milliseconds; the driver fills it in.
    pub rtt_ms: Option<f64>,
    /// Whether it is met through a relay, and which member that is, as far as it is known; the
    /// driver fills these in.
    pub relayed: Option<bool>,
    /// See [`relayed`](Self::relayed).
    pub relay: Option<DeviceKey>,
    /// For how many seconds the link has been up; the driver fills it in.
    pub up_s: Option<u64>,
    /// Whether both sides hold the same entries, for every database they share.
    pub in_sync: bool,
    /// Entries that are here and of which it is known that they have not arrived there, in all
    /// databases that both share; nothing where it is not known.
    pub lacks: Option<u64>,
}

/// This peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerInfo {
    /// Device key.
    pub id: DeviceKey,
    /// Its did:key.
    pub did: String,
    /// The identity that modules see for its own calls.
    pub identity: String,
    /// Databases it holds.
    pub databases: u64,
    /// Links that are up.
    pub links: u64,
    /// Version of the program.
    pub version: String,
}

/// Where a join stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinState {
    /// A member is asked for admission.
    Asking,
    /// Admitted; history and module are being fetched.
    Fetching,
    /// The database is usable here.
    Done,
    /// It failed; `error` says why.
    Failed,
}

/// How much of a blob is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlobProgress {
    /// Bytes here.
    pub have: u64,
    /// Bytes in all; zero while unknown.
    pub total: u64,
}

/// How a join goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinProgress {
    /// What is joined.
    pub database: DatabaseId,
    /// Its local name, once known.
    pub name: Option<String>,
    /// Where it stands.
    pub state: JoinState,
    /// The module on its way.
    pub module: BlobProgress,
    /// The height of the last cut here.
    pub height: u64,
    /// Entries here.
    pub entries: u64,
    /// Why it failed.
    pub error: Option<String>,
}
