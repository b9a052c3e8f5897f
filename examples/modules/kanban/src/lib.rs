//! A board of cards in columns, as a small team would use it.

use spacetimedb::rand::Rng;
use spacetimedb::{Identity, ReducerContext, SpacetimeType, Table, Timestamp, reducer, table};

/// Cards have room between them for others: a new one goes this much further down.
const PLACE_STEP: f64 = 1_024.0;

#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Low,
    Normal,
    Urgent,
}

/// A column of the board.
#[table(accessor = lane, public)]
pub struct Lane {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[unique]
    pub title: String,
    /// Most cards that may be here at once; none: as many as you like.
    pub limit: Option<u32>,
}

#[table(
    accessor = card,
    public,
    index(accessor = by_lane_and_priority, btree(columns = [lane, priority]))
)]
pub struct Card {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// A number that people can say to each other.
    #[unique]
    #[auto_inc]
    pub number: u32,
    pub title: String,
    pub lane: u64,
    /// Where in its lane: smaller is higher.
    pub place: f64,
    pub priority: Priority,
    pub labels: Vec<String>,
    pub opened: Timestamp,
    pub closed: Option<Timestamp>,
}

/// Who works on what.
#[table(
    accessor = assignment,
    public,
    index(accessor = by_card_and_member, btree(columns = [card, member]))
)]
pub struct Assignment {
    pub card: u64,
    #[index(btree)]
    pub member: Identity,
}

#[table(accessor = comment, public)]
pub struct Comment {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub card: u64,
    pub author: Identity,
    pub text: String,
}

#[table(accessor = member, public)]
pub struct Member {
    #[primary_key]
    pub identity: Identity,
    pub since: Timestamp,
}

/// Everything that happened to a card.
#[table(accessor = history, public)]
pub struct History {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub card: u64,
    pub change: Change,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Change {
    Opened,
    Moved(Move),
    Assigned(Identity),
    Commented(u64),
    Closed,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Move {
    pub from: String,
    pub to: String,
}

/// Told to whoever is looking, and kept nowhere.
#[table(accessor = notice, public, event)]
pub struct Notice {
    pub card: u32,
    pub text: String,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    for (title, limit) in [("To do", None), ("Doing", Some(3)), ("Done", None)] {
        ctx.db.lane().insert(Lane {
            id: 0,
            title: title.to_string(),
            limit,
        });
    }
}

/// Makes the caller a member of the team.
#[reducer]
pub fn join_team(ctx: &ReducerContext) {
    let member = ctx.db.member();
    if member.identity().find(ctx.sender()).is_none() {
        member.insert(Member {
            identity: ctx.sender(),
            since: ctx.timestamp,
        });
    }
}

/// Opens a card at the bottom of "To do".
#[reducer]
pub fn open_card(
    ctx: &ReducerContext,
    title: String,
    priority: Priority,
    labels: Vec<String>,
) -> Result<(), String> {
    if title.trim().is_empty() {
        return Err("a card needs a title".to_string());
    }
    let lane = find_lane(ctx, "To do")?;
    let card = ctx.db.card().insert(Card {
        id: 0,
        number: 0,
        title,
        lane: lane.id,
        place: bottom_of(ctx, lane.id),
        priority,
        labels,
        opened: ctx.timestamp,
        closed: None,
    });
    record(ctx, card.id, Change::Opened);
    Ok(())
}

/// Moves a card to the bottom of a lane; fails when the lane is full.
#[reducer]
pub fn move_card(ctx: &ReducerContext, number: u32, lane: String) -> Result<(), String> {
    let mut card = find_card(ctx, number)?;
    let to = find_lane(ctx, &lane)?;
    let from = ctx
        .db
        .lane()
        .id()
        .find(card.lane)
        .ok_or("the card's lane is gone")?;
    if from.id == to.id {
        return Ok(());
    }
    let there = ctx.db.card().by_lane_and_priority().filter(to.id).count();
    if let Some(limit) = to.limit
        && there >= limit as usize
    {
        return Err(format!("\"{lane}\" is full: {there} of {limit}"));
    }
    card.lane = to.id;
    card.place = bottom_of(ctx, to.id);
    card.closed = (lane == "Done").then_some(ctx.timestamp);
    let id = card.id;
    ctx.db.card().id().update(card);
    record(
        ctx,
        id,
        Change::Moved(Move {
            from: from.title,
            to: to.title,
        }),
    );
    if lane == "Done" {
        record(ctx, id, Change::Closed);
    }
    ctx.db.notice().insert(Notice {
        card: number,
        text: format!("moved to {lane}"),
    });
    Ok(())
}

/// Puts one card straight above another in the same lane.
#[reducer]
pub fn put_above(ctx: &ReducerContext, number: u32, other: u32) -> Result<(), String> {
    let mut card = find_card(ctx, number)?;
    let other = find_card(ctx, other)?;
    if card.lane != other.lane {
        return Err("the two cards are in different lanes".to_string());
    }
    let above = ctx
        .db
        .card()
        .by_lane_and_priority()
        .filter(other.lane)
        .map(|card| card.place)
        .filter(|place| *place < other.place)
        .fold(f64::NEG_INFINITY, f64::max);
    card.place = if above.is_finite() {
        f64::midpoint(above, other.place)
    } else {
        other.place - PLACE_STEP
    };
    ctx.db.card().id().update(card);
    Ok(())
}

/// Gives a card to a member, by chance when nobody is named.
#[reducer]
pub fn assign(ctx: &ReducerContext, number: u32, member: Option<Identity>) -> Result<(), String> {
    let card = find_card(ctx, number)?;
    let team: Vec<Identity> = ctx
        .db
        .member()
        .iter()
        .map(|member| member.identity)
        .collect();
    if team.is_empty() {
        return Err("nobody has joined the team".to_string());
    }
    let member = member.unwrap_or_else(|| team[ctx.rng().gen_range(0..team.len())]);
    if !team.contains(&member) {
        return Err(format!("{member} is not in the team"));
    }
    ctx.db.assignment().insert(Assignment {
        card: card.id,
        member,
    });
    record(ctx, card.id, Change::Assigned(member));
    Ok(())
}

/// Takes a card from somebody; fails when he does not have it.
#[reducer]
pub fn unassign(ctx: &ReducerContext, number: u32, member: Identity) -> Result<(), String> {
    let card = find_card(ctx, number)?;
    match ctx
        .db
        .assignment()
        .by_card_and_member()
        .delete((card.id, member))
    {
        0 => Err(format!("{member} does not have card {number}")),
        _ => Ok(()),
    }
}

#[reducer]
pub fn comment_on(ctx: &ReducerContext, number: u32, text: String) -> Result<(), String> {
    let card = find_card(ctx, number)?;
    let comment = ctx.db.comment().insert(Comment {
        id: 0,
        card: card.id,
        author: ctx.sender(),
        text,
    });
    record(ctx, card.id, Change::Commented(comment.id));
    Ok(())
}

/// Deletes a card with everything that hangs on it.
#[reducer]
pub fn delete_card(ctx: &ReducerContext, number: u32) -> Result<(), String> {
    let card = find_card(ctx, number)?;
    ctx.db.comment().card().delete(card.id);
    ctx.db.history().card().delete(card.id);
    ctx.db.assignment().by_card_and_member().delete(card.id);
    ctx.db.card().id().delete(card.id);
    Ok(())
}

/// Sets how many cards a lane may hold; fails when there are more already.
#[reducer]
pub fn set_limit(ctx: &ReducerContext, lane: String, limit: Option<u32>) -> Result<(), String> {
    let mut lane = find_lane(ctx, &lane)?;
    let there = ctx.db.card().by_lane_and_priority().filter(lane.id).count();
    if let Some(limit) = limit
        && there > limit as usize
    {
        return Err(format!("\"{}\" holds {there} cards already", lane.title));
    }
    lane.limit = limit;
    ctx.db.lane().id().update(lane);
    Ok(())
}

/// Moves everything urgent in "To do" to the top, in the order of its numbers.
#[reducer]
pub fn triage(ctx: &ReducerContext) -> Result<(), String> {
    let lane = find_lane(ctx, "To do")?;
    let mut urgent: Vec<Card> = ctx
        .db
        .card()
        .by_lane_and_priority()
        .filter((lane.id, Priority::Urgent))
        .collect();
    urgent.sort_by_key(|card| card.number);
    let top = ctx
        .db
        .card()
        .by_lane_and_priority()
        .filter(lane.id)
        .map(|card| card.place)
        .fold(f64::INFINITY, f64::min);
    for (rank, mut card) in urgent.into_iter().rev().enumerate() {
        card.place = top - PLACE_STEP * (rank + 1) as f64;
        ctx.db.card().id().update(card);
    }
    Ok(())
}

fn bottom_of(ctx: &ReducerContext, lane: u64) -> f64 {
    ctx.db
        .card()
        .by_lane_and_priority()
        .filter(lane)
        .map(|card| card.place)
        .fold(0.0, f64::max)
        + PLACE_STEP
}

fn find_lane(ctx: &ReducerContext, title: &str) -> Result<Lane, String> {
    ctx.db
        .lane()
        .title()
        .find(title.to_string())
        .ok_or_else(|| format!("there is no lane \"{title}\""))
}

fn find_card(ctx: &ReducerContext, number: u32) -> Result<Card, String> {
    ctx.db
        .card()
        .number()
        .find(number)
        .ok_or_else(|| format!("there is no card {number}"))
}

fn record(ctx: &ReducerContext, card: u64, change: Change) {
    ctx.db.history().insert(History {
        id: 0,
        card,
        change,
    });
}
