//! Money that moves between accounts, written as for SpacetimeDB 1.2: what `cargo xtask bench
//! --against spacetimedb` has both servers do.

use spacetimedb::{ReducerContext, Table, reducer, table};

#[table(name = account, public)]
pub struct Account {
    #[primary_key]
    pub id: u32,
    pub balance: i64,
}

/// Opens the accounts from `first` up to `end`, which is not among them.
#[reducer]
pub fn open_accounts(ctx: &ReducerContext, first: u32, end: u32, balance: i64) {
    for id in first..end {
        ctx.db.account().insert(Account { id, balance });
    }
}

/// Moves money; fails when it is not there.
#[reducer]
pub fn transfer(ctx: &ReducerContext, from: u32, to: u32, amount: i64) -> Result<(), String> {
    if from == to {
        return Err(format!("from account {from} to itself nothing moves"));
    }
    let account = ctx.db.account().id();
    let mut payer = account
        .find(from)
        .ok_or_else(|| format!("there is no account {from}"))?;
    let mut payee = account
        .find(to)
        .ok_or_else(|| format!("there is no account {to}"))?;
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
