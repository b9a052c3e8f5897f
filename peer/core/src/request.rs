//! What clients ask of a peer.

use std::fmt;

use sync_protocol::{ConnectionId, DeviceKey, IssuerKey, Role, SecretKey, TrustedIssuer};

use crate::backup::BackupCursor;

/// Chosen by the driver to match answers with questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A client that stays connected and follows rows: chosen by the driver, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// A JSON array, or an object keyed by parameter.
    Json(String),
    /// The BSATN product, as SDKs send it.
    Bsatn(Vec<u8>),
}

/// What a client calls queries that it follows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetId {
    /// The one set without a number. Following queries under this name replaces those before.
    Unnumbered,
    /// A number that the client chose.
    Numbered(u32),
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnumbered => f.write_str("without a number"),
            Self::Numbered(number) => number.fmt(f),
        }
    }
}

/// Which rows the answer to a subscription, or to its end, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedRows {
    /// None.
    Nothing,
    /// Those of all queries of the set.
    Whole,
    /// Those of queries that no other set of the client has. The others are in the answer without
    /// rows.
    Unshared,
}

/// Which form of a module's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaVersion {
    /// `RawModuleDefV9`, canonical names.
    V9,
    /// `RawModuleDefV10`, source names plus explicit names.
    V10,
    /// Ours, for people: tables with columns and keys, reducers with parameters.
    Plain,
}

/// A question or an order. `database` is a local name or the identity in hex.
#[derive(Clone, Debug)]
pub enum Request {
    /// Creates a database from a module, or gives the one of that name another module. Owner only.
    /// The same module under the same name: no-op.
    Publish {
        /// The local name, and the suggestion to those who join.
        name: String,
        /// The compiled module.
        wasm: Vec<u8>,
        /// Count ids 1, 2, 3 in the one order instead of ids that never change.
        sequential_auto_inc: bool,
        /// An upgrade may take away what clients were compiled against.
        break_clients: bool,
        /// Nothing stays of the rows of a database that is there, and `init` runs anew.
        clear: bool,
        /// Fresh randomness: nonce of the genesis and the recovery key come from it.
        dice: [u8; 32],
    },
    /// What a publish would do to a database that is there. Owner only.
    PrePublish {
        /// Which.
        database: String,
        /// The compiled module.
        wasm: Vec<u8>,
    },
    /// Calls a reducer.
    Call {
        /// Where.
        database: String,
        /// Canonical name.
        reducer: String,
        /// With what.
        arguments: Arguments,
        /// The client's connection, never zero.
        connection: ConnectionId,
        /// The connection exists for this call only, as with HTTP: connect, call and disconnect
        /// travel in one entry.
        one_shot: bool,
        /// The client that calls, if it follows rows: it is answered with
        /// [`Effect::Told`](crate::Effect::Told).
        client: Option<ClientId>,
    },
    /// A client connected and stays: runs `client_connected` if the module has it.
    Connect {
        /// Where.
        database: String,
        /// Its connection, never zero.
        connection: ConnectionId,
    },
    /// That client is gone.
    Disconnect {
        /// Where.
        database: String,
        /// Its connection.
        connection: ConnectionId,
    },
    /// A query, or a statement that changes rows; the latter for the owner only, on an owner's peer.
    Sql {
        /// Where.
        database: String,
        /// One statement.
        text: String,
    },
    /// Rows of one table, once, in the words of a subscription.
    Select {
        /// Where.
        database: String,
        /// One query.
        text: String,
    },
    /// Follows queries: answered with their rows, and from then on what changes in them is told
    /// with [`Effect::Update`](crate::Effect::Update) or [`Effect::Told`](crate::Effect::Told).
    Subscribe {
        /// Where.
        database: String,
        /// Who follows.
        client: ClientId,
        /// What the client calls these queries together.
        set: SetId,
        /// The queries. `SELECT * FROM *` stands for one of each public table.
        queries: Vec<String>,
        /// Which rows the answer holds.
        rows: WantedRows,
        /// Whether the client can be told of events; if not, their tables are refused.
        events: bool,
    },
    /// Follows them no more.
    Unsubscribe {
        /// Where.
        database: String,
        /// Who followed.
        client: ClientId,
        /// What the client calls the set.
        set: SetId,
        /// Which rows the answer holds.
        rows: WantedRows,
    },
    /// The module's schema.
    Schema {
        /// Where.
        database: String,
        /// In which form.
        version: SchemaVersion,
    },
    /// All databases of this peer.
    List,
    /// What a name or identity means.
    Resolve {
        /// The name or identity.
        database: String,
    },
    /// Gives a database another local name beside those it has. Owner only.
    AddName {
        /// Which.
        database: String,
        /// The name.
        name: String,
    },
    /// Replaces the local names of a database; the first is the one that is shown. Owner only.
    SetNames {
        /// Which.
        database: String,
        /// The names, at least one.
        names: Vec<String>,
    },
    /// Removes the database from this peer (other members keep theirs). Owner only.
    Delete {
        /// Which.
        database: String,
    },
    /// State of one database, or of all.
    Status {
        /// Which; `None`: all.
        database: Option<String>,
    },
    /// Members of a database.
    Members {
        /// Which.
        database: String,
    },
    /// Connected remotes.
    Peers,
    /// This peer.
    Peer,
    /// Makes a ticket. Owner only.
    Invite {
        /// To which database.
        database: String,
        /// The joiner's role.
        role: Role,
        /// How often the ticket can be used, at least 1.
        uses: u32,
        /// Seconds from now until it expires.
        expires_in_s: u64,
        /// Fresh randomness: the ticket's key.
        dice: [u8; 32],
    },
    /// Removes a member, gives it another role, or revokes a ticket. Owner only.
    ChangeMembers {
        /// Of which database.
        database: String,
        /// What.
        change: MemberChange,
    },
    /// Joins a database with a ticket. Owner only. Answered at once with [`Reply::Joining`]
    /// (crate::Reply::Joining); progress is asked for.
    Join {
        /// `tombolo1…`
        ticket: String,
    },
    /// How a join goes.
    JoinProgress {
        /// The database's identity, from [`Reply::Joining`](crate::Reply::Joining).
        database: String,
    },
    /// Who makes it final.
    Finaliser {
        /// Which.
        database: String,
    },
    /// Hands finality over, with the next cut. Owner only.
    MoveFinaliser {
        /// Of which database.
        database: String,
        /// A member that may write.
        to: DeviceKey,
    },
    /// Signs a recovery cut. Owner only.
    Recover {
        /// Of which database.
        database: String,
        /// A recovery key of it.
        key: Box<SecretKey>,
        /// Who makes cuts from there on; `None`: this peer.
        to: Option<DeviceKey>,
        /// The side of a fork that stays: the height of its cut and how that cut's id begins.
        /// `None`: this peer's.
        pick: Option<(u64, String)>,
        /// Even though the finaliser is connected.
        force: bool,
    },
    /// Builds the tables anew from the log. Owner only.
    Rebuild {
        /// Of which database.
        database: String,
    },
    /// Writes the rows of one cut down as text. Owner only.
    Dump {
        /// Of which database.
        database: String,
        /// Of which cut; `None`: the last.
        height: Option<u64>,
    },
    /// The next page of a backup. Owner only.
    Backup {
        /// Of which database.
        database: String,
        /// What the page before said; `None` begins.
        cursor: Option<Box<BackupCursor>>,
    },
    /// Takes tokens of a provider from here on, or takes them of others than before. Owner only.
    TrustIssuer {
        /// Where.
        database: String,
        /// Whose, made for whom, and what a module may see of them.
        rules: TrustedIssuer,
    },
    /// Takes them no more. Owner only.
    DistrustIssuer {
        /// Where.
        database: String,
        /// Whose.
        issuer: String,
    },
    /// Writes down which keys an issuer has, if they are others than before. Owner only.
    SetIssuerKeys {
        /// Where.
        database: String,
        /// Whose.
        issuer: String,
        /// All of them, by ascending id.
        keys: Vec<IssuerKey>,
    },
    /// The issuers that are trusted. Owner only.
    Issuers {
        /// Where; `None`: in all databases.
        database: Option<String>,
    },
    /// How to judge a token that names this issuer, in each database that trusts it.
    IssuersNamed {
        /// Where; `None`: in all databases.
        database: Option<String>,
        /// The issuer, as the token names it.
        issuer: String,
    },
    /// Whom this device speaks for, and what a token must say to make it speak for somebody. Owner
    /// only.
    Bindings {
        /// Where.
        database: String,
    },
    /// This device speaks for the user of a token from here on. Owner only.
    Bind {
        /// Where.
        database: String,
        /// The ID token.
        token: String,
    },
    /// A device speaks for a user no more. Owner only.
    Unbind {
        /// Where.
        database: String,
        /// Which device; `None`: this one.
        device: Option<DeviceKey>,
        /// The user's issuer.
        issuer: String,
        /// The user.
        subject: String,
    },
}

/// What becomes of a member or of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It is a member no more. This peer itself: it leaves.
    Remove(DeviceKey),
    /// It has another role; with that of an owner the database is handed over to it.
    SetRole(DeviceKey, Role),
    /// The ticket with this public key admits nobody any more.
    RevokeTicket(DeviceKey),
}
