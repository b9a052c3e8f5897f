//! A chat room, and a few accounts to move money between: the module of `tombolo demo`, of the
//! whole-system tests and of the benchmarks.
//!
//! Nothing in it knows of Tombolo: it is an ordinary SpacetimeDB module.

use spacetimedb::{Identity, ReducerContext, Table, Timestamp, reducer, table};

/// Longest name of a user or a room, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest message, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Most accounts that one `open_accounts` may ask for.
const ACCOUNTS_MAX: u32 = 100_000;
/// What an account holds when it is opened.
const OPENING_BALANCE: i64 = 1_000;

/// Somebody who has been here.
#[table(accessor = user, public)]
pub struct User {
    #[primary_key]
    pub identity: Identity,
    #[unique]
    pub name: String,
    /// How many connections this user has open now.
    pub connections: u32,
}

/// A place to write messages.
#[table(accessor = room, public)]
pub struct Room {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[unique]
    pub name: String,
    pub opened_by: Identity,
}

/// One line said in a room.
#[table(accessor = message, public)]
pub struct Message {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub room: u64,
    pub sender: Identity,
    pub sent: Timestamp,
    pub text: String,
}

/// Money, so that calls can conflict: nobody may spend what he does not have.
#[table(accessor = account, public)]
pub struct Account {
    #[primary_key]
    pub id: u32,
    pub balance: i64,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    ctx.db.room().insert(Room {
        id: 0,
        name: "lobby".to_string(),
        opened_by: ctx.sender(),
    });
    log::info!("the lobby is open");
}

#[reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) {
    let mut user = find_or_add_user(ctx);
    user.connections += 1;
    ctx.db.user().identity().update(user);
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    if let Some(mut user) = ctx.db.user().identity().find(ctx.sender()) {
        user.connections = user.connections.saturating_sub(1);
        ctx.db.user().identity().update(user);
    }
}

/// Takes a name; fails when somebody else has it.
#[reducer]
pub fn set_name(ctx: &ReducerContext, name: String) -> Result<(), String> {
    let name = checked_name(&name)?;
    let mut user = find_or_add_user(ctx);
    if let Some(holder) = ctx.db.user().name().find(&name)
        && holder.identity != user.identity
    {
        return Err(format!("the name \"{name}\" is taken"));
    }
    log::info!("{} is now called {name}", user.name);
    user.name = name;
    ctx.db.user().identity().update(user);
    Ok(())
}

/// Opens a room; fails when there is one of that name.
#[reducer]
pub fn open_room(ctx: &ReducerContext, name: String) -> Result<(), String> {
    let name = checked_name(&name)?;
    ctx.db
        .room()
        .try_insert(Room {
            id: 0,
            name: name.clone(),
            opened_by: ctx.sender(),
        })
        .map_err(|_| format!("there is a room \"{name}\" already"))?;
    Ok(())
}

/// Says something in a room.
#[reducer]
pub fn send_message(ctx: &ReducerContext, room: String, text: String) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a message needs some text".to_string());
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!(
            "a message has at most {TEXT_BYTES_MAX} bytes, this one {}",
            text.len()
        ));
    }
    let Some(room) = ctx.db.room().name().find(&room) else {
        return Err(format!("there is no room \"{room}\": open_room makes one"));
    };
    find_or_add_user(ctx);
    ctx.db.message().insert(Message {
        id: 0,
        room: room.id,
        sender: ctx.sender(),
        sent: ctx.timestamp,
        text: text.to_string(),
    });
    Ok(())
}

/// Opens the accounts 0 up to `count`, those that do not exist yet, with 1,000 each.
#[reducer]
pub fn open_accounts(ctx: &ReducerContext, count: u32) -> Result<(), String> {
    if count > ACCOUNTS_MAX {
        return Err(format!("at most {ACCOUNTS_MAX} accounts"));
    }
    for id in 0..count {
        if ctx.db.account().id().find(id).is_none() {
            ctx.db.account().insert(Account {
                id,
                balance: OPENING_BALANCE,
            });
        }
    }
    Ok(())
}

/// Moves money; fails when it is not there.
#[reducer]
pub fn transfer(ctx: &ReducerContext, from: u32, to: u32, amount: i64) -> Result<(), String> {
    if amount <= 0 {
        return Err(format!("an amount is positive, {amount} is not"));
    }
    if from == to {
        return Err(format!("from account {from} to itself nothing moves"));
    }
    let account = ctx.db.account().id();
    let Some(mut payer) = account.find(from) else {
        return Err(format!("there is no account {from}"));
    };
    let Some(mut payee) = account.find(to) else {
        return Err(format!("there is no account {to}"));
    };
    if payer.balance < amount {
        return Err(format!(
            "account {from} holds {}, not {amount}",
            payer.balance
        ));
    }
    payer.balance -= amount;
    payee.balance += amount;
    account.update(payer);
    account.update(payee);
    Ok(())
}

/// The caller's row, made under a name nobody else has if it is missing.
fn find_or_add_user(ctx: &ReducerContext) -> User {
    let identity = ctx.sender();
    if let Some(user) = ctx.db.user().identity().find(identity) {
        return user;
    }
    let hex = identity.to_hex().to_string();
    // The whole identity when somebody took the short form as a name of his own.
    let short = format!("guest {}", &hex[12..24]);
    let name = if ctx.db.user().name().find(&short).is_none() {
        short
    } else {
        format!("guest {hex}")
    };
    ctx.db.user().insert(User {
        identity,
        name,
        connections: 0,
    })
}

fn checked_name(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() {
        return Err("a name needs at least one letter".to_string());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "a name has at most {NAME_BYTES_MAX} bytes, this one {}",
            name.len()
        ));
    }
    if name.starts_with("guest ") {
        return Err("names that start with \"guest \" are given, not taken".to_string());
    }
    Ok(name.to_string())
}
