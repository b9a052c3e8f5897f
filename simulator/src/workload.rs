//! Calls that people might make, with conflicts: few accounts, few names, few rooms.

use peer_core::{Arguments, Claims, Request, did_key};
use sync_protocol::{ConnectionId, DeviceKey};

use crate::seed::Dice;

/// Accounts that exist from the beginning, and between which money moves.
pub(crate) const ACCOUNTS: u64 = 5;

/// What each account holds in the beginning.
pub(crate) const OPENING_BALANCE: i64 = 1_000;

/// Names and rooms that people compete for.
const NAMES: u64 = 6;

/// The room that the module opens, so that nothing can make a message to it fail.
const LOBBY: &str = "lobby";

/// What a call does, as far as the judge must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Says something that nobody else ever says. It cannot fail, wherever it ends up in the order.
    Say(String),
    /// Something that may fail, and may fail later where it did not at first.
    Compete,
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
}

impl Workload {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { dice, said: 0 }
    }

    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// A call by the peer itself or by one of the people who use it.
    pub(crate) fn next(&mut self, database: &str, device: &DeviceKey) -> Planned {
        let caller = self.caller(device);
        let (deed, reducer, arguments) = match self.dice.below(10) {
            0..=4 => {
                let text = self.saying();
                let arguments = format!("[{LOBBY:?}, {text:?}]");
                (Deed::Say(text), "send_message", arguments)
            }
            5..=7 => {
                let from = self.dice.below(ACCOUNTS);
                let to = self.dice.below(ACCOUNTS);
                let amount = self.dice.between(1, 900);
                let arguments = format!("[{from}, {to}, {amount}]");
                (Deed::Compete, "transfer", arguments)
            }
            8 => {
                let name = format!("name {}", self.dice.below(NAMES));
                (Deed::Compete, "set_name", format!("[{name:?}]"))
            }
            _ => {
                let room = format!("room {}", self.dice.below(NAMES));
                (Deed::Compete, "open_room", format!("[{room:?}]"))
            }
        };
        self.call(database, deed, caller, reducer, arguments)
    }

    /// A call that succeeds wherever it is made.
    pub(crate) fn say(&mut self, database: &str, device: &DeviceKey) -> Planned {
        let text = self.saying();
        let arguments = format!("[{LOBBY:?}, {text:?}]");
        let caller = Claims::of_device(device);
        self.call(database, Deed::Say(text), caller, "send_message", arguments)
    }

    /// The call that opens the accounts.
    pub(crate) fn open_accounts(&mut self, database: &str, device: &DeviceKey) -> Planned {
        let arguments = format!("[{ACCOUNTS}]");
        let caller = Claims::of_device(device);
        self.call(database, Deed::Compete, caller, "open_accounts", arguments)
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

    fn call(
        &mut self,
        database: &str,
        deed: Deed,
        caller: Claims,
        reducer: &str,
        arguments: String,
    ) -> Planned {
        let mut connection = ConnectionId::ZERO;
        connection.0[..8].copy_from_slice(&(self.dice.draw() | 1).to_le_bytes());
        Planned {
            deed,
            caller,
            what: format!("{reducer}{arguments}"),
            request: Request::Call {
                database: database.to_owned(),
                reducer: reducer.to_owned(),
                arguments: Arguments::Json(arguments),
                connection,
                one_shot: self.dice.coin(),
            },
        }
    }
}
