//! Accounts and what happened to them, written as for SpacetimeDB 1.2: tables with unique columns,
//! indexes of every kind that it has, scans by prefix and range, updates, deletions, chance and time.
#![allow(
    non_snake_case,
    reason = "names stand for themselves in the format of 1.x, and that is to be seen"
)]

use spacetimedb::rand::Rng;
use spacetimedb::{Identity, ReducerContext, SpacetimeType, Table, Timestamp, reducer, table};

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Standing {
    Good,
    Warned(String),
    Closed(Timestamp),
}

#[table(
    name = account,
    public,
    index(name = by_city_and_age, btree(columns = [city, age]))
)]
#[derive(Clone)]
pub struct Account {
    #[primary_key]
    #[auto_inc]
    pub id: u32,
    #[unique]
    pub email: String,
    #[unique]
    #[index(direct)]
    pub locker: u8,
    pub city: String,
    pub age: u8,
    #[index(btree)]
    pub balance: i64,
    pub standing: Standing,
    pub notes: Vec<String>,
    pub referrer: Option<Identity>,
    pub openedAt: Timestamp,
}

/// What was thrown. No primary key: the row itself is the key.
#[table(name = throw, public)]
#[derive(Clone)]
pub struct Throw {
    #[index(btree)]
    pub round: u32,
    pub eyes: u8,
}

/// Who called, from where, when, and in which database.
#[table(name = caller, public)]
pub struct Caller {
    #[primary_key]
    pub identity: Identity,
    pub database: Identity,
    pub connected: bool,
    pub at: Timestamp,
    pub times: u32,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    log::info!("a ledger of the old kind");
    ctx.db.throw().insert(Throw { round: 0, eyes: 0 });
}

/// Opens an account; fails when the address or the locker is taken.
#[reducer]
pub fn open(
    ctx: &ReducerContext,
    email: String,
    locker: u8,
    city: String,
    age: u8,
    balance: i64,
) -> Result<(), String> {
    let account = Account {
        id: 0,
        email,
        locker,
        city,
        age,
        balance,
        standing: Standing::Good,
        notes: vec!["opened".to_string()],
        referrer: (age > 50).then_some(ctx.sender),
        openedAt: ctx.timestamp,
    };
    let account = ctx
        .db
        .account()
        .try_insert(account)
        .map_err(|error| error.to_string())?;
    log::info!("account {} is open", account.id);
    Ok(())
}

/// Moves money, by way of two unique indexes.
#[reducer]
pub fn pay(ctx: &ReducerContext, from: String, locker: u8, amount: i64) -> Result<(), String> {
    let table = ctx.db.account();
    let mut payer = table
        .email()
        .find(&from)
        .ok_or_else(|| format!("there is no account of {from}"))?;
    let mut payee = table
        .locker()
        .find(locker)
        .ok_or_else(|| format!("there is no locker {locker}"))?;
    if payer.balance < amount {
        return Err(format!("{from} has {}, not {amount}", payer.balance));
    }
    payer.balance -= amount;
    payer.notes.push(format!("paid {amount}"));
    payee.balance += amount;
    table.id().update(payer);
    table.locker().update(payee);
    Ok(())
}

/// Gives everybody in a city of `low..high` years a present, and says how many there were.
#[reducer]
pub fn present(ctx: &ReducerContext, city: String, low: u8, high: u8) -> Result<(), String> {
    let found: Vec<Account> = ctx
        .db
        .account()
        .by_city_and_age()
        .filter((&city, low..high))
        .collect();
    let by_walk = ctx
        .db
        .account()
        .iter()
        .filter(|account| account.city == city && (low..high).contains(&account.age))
        .count();
    if found.len() != by_walk {
        return Err(format!(
            "the index finds {}, the table {by_walk}",
            found.len()
        ));
    }
    for mut account in found {
        account.balance += 1;
        account.standing = Standing::Warned(format!("one of {by_walk}"));
        ctx.db.account().id().update(account);
    }
    Ok(())
}

/// Closes all accounts of a city.
#[reducer]
pub fn leave(ctx: &ReducerContext, city: String) {
    let gone = ctx.db.account().by_city_and_age().delete(&city);
    log::warn!("{gone} accounts in {city} are gone");
}

/// Closes the accounts whose balance lies in `low..=high`, and the one with that address.
#[reducer]
pub fn close(ctx: &ReducerContext, low: i64, high: i64, email: String) -> Result<(), String> {
    ctx.db.account().balance().delete(low..=high);
    if ctx.db.account().email().delete(&email) {
        Ok(())
    } else {
        Err(format!("there is no account of {email}"))
    }
}

/// Throws dice: chance is the call's own, the same on every peer.
#[reducer]
pub fn throw_dice(ctx: &ReducerContext, round: u32, count: u32) {
    for _ in 0..count {
        let eyes = ctx.rng().gen_range(1..=6);
        ctx.db.throw().insert(Throw { round, eyes });
    }
}

/// Takes the throws of a round back, one whole row at a time.
#[reducer]
pub fn take_back(ctx: &ReducerContext, round: u32) {
    let throws: Vec<Throw> = ctx.db.throw().round().filter(round).collect();
    for throw in throws {
        ctx.db.throw().delete(throw);
    }
}

/// Notes who calls.
#[reducer]
pub fn sign(ctx: &ReducerContext) {
    let table = ctx.db.caller();
    let times = table.identity().find(ctx.sender).map_or(0, |row| row.times);
    let caller = Caller {
        identity: ctx.sender,
        database: ctx.identity(),
        connected: ctx.connection_id.is_some(),
        at: ctx.timestamp,
        times: times + 1,
    };
    if times == 0 {
        table.insert(caller);
    } else {
        table.identity().update(caller);
    }
}

/// Breaks off in the middle: nothing of it may stay.
#[reducer]
pub fn fall(ctx: &ReducerContext) {
    ctx.db.throw().insert(Throw { round: 99, eyes: 6 });
    panic!("fallen");
}
