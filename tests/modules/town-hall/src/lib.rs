//! A town hall: a module that asks for its callers' roles in the database and for what their tokens say.

use spacetimedb::{
    Filter, Identity, ReducerContext, Table, client_visibility_filter, reducer, table,
};

/// Who has which role. The database keeps the rows.
#[table(accessor = sys_role, public)]
pub struct Role {
    #[primary_key]
    pub identity: Identity,
    #[index(btree)]
    pub role: String,
}

/// What owners and admins have said.
#[table(accessor = decree, public)]
pub struct Decree {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub text: String,
    pub role: String,
}

/// What only admins see.
#[table(accessor = minute, public)]
pub struct Minute {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub for_role: String,
    pub text: String,
}

/// What nobody but members' own devices see.
#[table(accessor = purse)]
pub struct Purse {
    #[primary_key]
    pub id: u32,
    pub coins: u64,
}

/// Who has come by, and what the token said.
#[table(accessor = visitor, public)]
pub struct Visitor {
    #[primary_key]
    pub identity: Identity,
    pub issuer: String,
    pub subject: String,
    pub claims: String,
    pub members: u64,
}

#[client_visibility_filter]
const MINUTES: Filter = Filter::Sql(
    "SELECT m.* FROM sys_role r JOIN minute m ON m.for_role = r.role WHERE r.identity = :sender",
);

/// Says something, for owners and admins.
#[reducer]
pub fn proclaim(ctx: &ReducerContext, text: String) -> Result<(), String> {
    let role = ctx.db.sys_role().identity().find(ctx.sender());
    let role = role.ok_or("only members decree, and you are none")?.role;
    if role != "owner" && role != "admin" {
        return Err(format!(
            "only an owner or admin decrees, and you are a {role}"
        ));
    }
    ctx.db.decree().insert(Decree { id: 0, text, role });
    Ok(())
}

/// Writes down what those of one role may see.
#[reducer]
pub fn write_minute(ctx: &ReducerContext, for_role: String, text: String) {
    ctx.db.minute().insert(Minute {
        id: 0,
        for_role,
        text,
    });
}

/// Leaves one's card.
#[reducer]
pub fn visit(ctx: &ReducerContext) -> Result<(), String> {
    let token = ctx.sender_auth().jwt().ok_or("you have no token")?;
    ctx.db.visitor().insert(Visitor {
        identity: ctx.sender(),
        issuer: token.issuer().to_owned(),
        subject: token.subject().to_owned(),
        claims: token.raw_payload().to_owned(),
        members: ctx.db.sys_role().count(),
    });
    Ok(())
}

/// Makes oneself an owner.
#[reducer]
pub fn usurp(ctx: &ReducerContext) {
    ctx.db.sys_role().insert(Role {
        identity: ctx.sender(),
        role: "owner".to_owned(),
    });
}

/// Puts somebody out.
#[reducer]
pub fn banish(ctx: &ReducerContext, identity: Identity) {
    ctx.db.sys_role().identity().delete(identity);
}
