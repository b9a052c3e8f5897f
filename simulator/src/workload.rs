//! Calls that people might make, with conflicts: few accounts, few names, few stalls and shelves.

use peer_core::{Arguments, Claims, Request, did_key};
use sync_protocol::{ConnectionId, DeviceKey};

use crate::seed::Dice;

/// Accounts that exist from the beginning, and between which money moves.
pub(crate) const ACCOUNTS: u64 = 5;

/// What each account holds in the beginning.
pub(crate) const OPENING_BALANCE: i64 = 1_000;

/// Names that people compete for.
const NAMES: u64 = 6;

/// Stalls that people claim.
const STALLS: u64 = 5;

/// Shelves with notes.
const SHELVES: u64 = 8;

/// Milliseconds within which what is ordered comes.
const DELIVERY_MS_MAX: u64 = 6_000;

/// What a call does, as far as the judge must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Says something that nobody else ever says. It cannot fail, wherever it ends up in the order.
    Say(String),
    /// The same by somebody whose word does not count for ever: a device that signs two histories.
    Mumble(String),
    /// Types a character that nobody else ever types into the one document, behind what its page shows. It fails
    /// only if what is before it there is void.
    Type(String),
    /// Something that may fail, and may fail later where it did not at first.
    Compete,
}

/// Somebody who stays connected.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) caller: Claims,
    pub(crate) connection: ConnectionId,
}

/// A call to be made.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) deed: Deed,
    pub(crate) caller: Claims,
    pub(crate) request: Request,
    pub(crate) what: String,
}

/// Makes up calls.
#[derive(Debug)]
pub(crate) struct Workload {
    dice: Dice,
    said: u64,
    typed: u32,
}

impl Workload {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            dice,
            said: 0,
            typed: 0,
        }
    }

    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Somebody who is about to connect.
    pub(crate) fn client(&mut self, device: &DeviceKey) -> Client {
        Client {
            caller: self.caller(device),
            connection: self.connection(),
        }
    }

    /// A call by one of the connected clients, or by somebody who connects for it alone.
    pub(crate) fn next(
        &mut self,
        database: &str,
        device: &DeviceKey,
        clients: &[Client],
    ) -> Planned {
        let stays = !clients.is_empty() && self.dice.coin();
        let client = if stays {
            clients[self.dice.index(clients.len())].clone()
        } else {
            self.client(device)
        };
        let (deed, reducer, arguments) = self.what();
        call(database, deed, client, !stays, reducer, arguments)
    }

    fn what(&mut self) -> (Deed, &'static str, String) {
        let dice = &mut self.dice;
        let (reducer, arguments) = match dice.below(100) {
            0..=26 => {
                let text = self.saying();
                let arguments = format!("[{text:?}]");
                return (Deed::Say(text), "say", arguments);
            }
            27..=32 => {
                let (shelf, weight) = (dice.below(SHELVES), dice.between(1, 9));
                let (after_ms, more) = (dice.below(DELIVERY_MS_MAX), dice.below(3));
                ("order", format!("[{shelf}, {weight}, {after_ms}, {more}]"))
            }
            33..=34 => ("call_off", format!("[{}]", dice.below(SHELVES))),
            35..=54 => {
                let (from, to) = (dice.below(ACCOUNTS), dice.below(ACCOUNTS));
                let amount = dice.between(1, 900);
                ("transfer", format!("[{from}, {to}, {amount}]"))
            }
            55..=61 => ("take_name", format!("[\"name {}\"]", dice.below(NAMES))),
            62..=67 => ("draw_number", "[]".to_owned()),
            68..=74 => ("claim", format!("[{}]", dice.below(STALLS))),
            75..=79 => ("give_back", format!("[{}]", dice.below(STALLS))),
            80..=87 => {
                let (shelf, weight) = (dice.below(SHELVES), dice.between(1, 9));
                ("put_note", format!("[{shelf}, {weight}]"))
            }
            88..=93 => ("count_notes", self.shelves()),
            94..=96 => ("clear_shelves", self.shelves()),
            _ => ("move_heaviest", format!("[{}]", dice.below(SHELVES))),
        };
        (Deed::Compete, reducer, arguments)
    }

    /// Rows that the owner writes without a reducer.
    pub(crate) fn statement(&mut self) -> String {
        let dice = &mut self.dice;
        let (shelf, weight) = (dice.below(SHELVES), dice.between(1, 9));
        match dice.below(4) {
            0 => format!("DELETE FROM note WHERE shelf = {shelf} AND weight <= {weight}"),
            1 => format!("UPDATE note SET weight = {weight} WHERE shelf = {shelf}"),
            2 => {
                let next = dice.below(SHELVES);
                format!("UPDATE note SET shelf = {next} WHERE shelf = {shelf} OR weight > {weight}")
            }
            _ => {
                let (id, owner) = (dice.below(STALLS), dice.below(3) + 1);
                format!("INSERT INTO stall (id, owner) VALUES ({id}, 0xc2{owner:062x})")
            }
        }
    }

    /// A range of shelves, now and then an empty one.
    fn shelves(&mut self) -> String {
        let from = self.dice.below(SHELVES);
        let to = from + self.dice.below(4);
        format!("[{from}, {}]", to.saturating_sub(self.dice.below(2)))
    }

    /// A call that succeeds wherever it is made.
    pub(crate) fn say(&mut self, database: &str, device: &DeviceKey) -> Planned {
        let text = self.saying();
        let arguments = format!("[{text:?}]");
        let client = self.client(device);
        call(database, Deed::Say(text), client, true, "say", arguments)
    }

    /// A character that was not typed yet: ideographs are many, and none is two characters to anybody.
    pub(crate) fn character(&mut self) -> String {
        self.typed += 1;
        let typed = char::from_u32(0x4e00 + self.typed % 0x5000);
        typed.unwrap_or('?').to_string()
    }

    /// The call that sends what was typed: these changes, the last of them this character.
    pub(crate) fn typing(
        &mut self,
        database: &str,
        device: &DeviceKey,
        text: String,
        changes: &[Vec<u8>],
    ) -> Planned {
        let hex = |change: &Vec<u8>| -> String {
            let digits: String = change.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digits}\"")
        };
        let changes: Vec<String> = changes.iter().map(hex).collect();
        let arguments = format!("[[{}]]", changes.join(","));
        let client = self.client(device);
        let mut planned = call(
            database,
            Deed::Type(text),
            client,
            true,
            "type_changes",
            arguments,
        );
        planned.what = format!("type_changes of {}", changes.len());
        planned
    }

    /// The call that opens the accounts.
    pub(crate) fn open_accounts(&mut self, database: &str, device: &DeviceKey) -> Planned {
        let arguments = format!("[{ACCOUNTS}]");
        let client = self.client(device);
        call(
            database,
            Deed::Compete,
            client,
            true,
            "open_accounts",
            arguments,
        )
    }

    fn saying(&mut self) -> String {
        self.said += 1;
        format!("saying {}", self.said)
    }

    /// The peer's own identity, or somebody whom the peer vouches for.
    fn caller(&mut self, device: &DeviceKey) -> Claims {
        match self.dice.below(4) {
            0 => Claims::of_device(device),
            person => Claims {
                issuer: did_key(device),
                subject: format!("person {person}"),
                payload: String::new(),
            },
        }
    }

    fn connection(&mut self) -> ConnectionId {
        let mut connection = ConnectionId::ZERO;
        // Never zero: that means none.
        connection.0[..8].copy_from_slice(&(self.dice.draw() | 1).to_le_bytes());
        connection
    }
}

fn call(
    database: &str,
    deed: Deed,
    client: Client,
    one_shot: bool,
    reducer: &str,
    arguments: String,
) -> Planned {
    Planned {
        deed,
        caller: client.caller,
        what: format!("{reducer}{arguments}"),
        request: Request::Call {
            database: database.to_owned(),
            reducer: reducer.to_owned(),
            arguments: Arguments::Json(arguments),
            connection: client.connection,
            one_shot,
            client: None,
        },
    }
}
