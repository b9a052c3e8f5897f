//! Accounts in branches: calls that write two rows, and calls that read a range of them. The benchmark
//! of late calls asks which of these run again.

use spacetimedb::{ReducerContext, Table, reducer, table};

/// Most accounts that one `open_accounts` may ask for.
const ACCOUNTS_MAX: u32 = 100_000;
/// What an account holds when it is opened.
const OPENING_BALANCE: i64 = 1_000;

#[table(accessor = account, public)]
pub struct Account {
    #[primary_key]
    pub id: u32,
    /// The same number, under an index that can be scanned.
    #[index(btree)]
    pub number: u32,
    pub balance: i64,
}

/// What a range of accounts held when it was last added up.
#[table(accessor = total, public)]
pub struct Total {
    #[primary_key]
    pub first: u32,
    pub balance: i64,
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
                number: id,
                balance: OPENING_BALANCE,
            });
        }
    }
    Ok(())
}

/// Moves money; fails when it is not there.
#[reducer]
pub fn transfer(ctx: &ReducerContext, from: u32, to: u32, amount: i64) -> Result<(), String> {
    if amount <= 0 || from == to {
        return Err(format!("{amount} from {from} to {to} is no transfer"));
    }
    let account = ctx.db.account().id();
    let (Some(mut payer), Some(mut payee)) = (account.find(from), account.find(to)) else {
        return Err(format!("there is no account {from} or none {to}"));
    };
    if payer.balance < amount {
        return Err(format!("account {from} holds {}", payer.balance));
    }
    payer.balance -= amount;
    payee.balance += amount;
    account.update(payer);
    account.update(payee);
    Ok(())
}

/// Adds up the accounts from `first` up to but without `end`, and keeps what they hold.
#[reducer]
pub fn add_up(ctx: &ReducerContext, first: u32, end: u32) {
    let range = ctx.db.account().number().filter(first..end);
    let balance = range.map(|account| account.balance).sum();
    let total = Total { first, balance };
    if ctx.db.total().first().find(first).is_some() {
        ctx.db.total().first().update(total);
    } else {
        ctx.db.total().insert(total);
    }
}
