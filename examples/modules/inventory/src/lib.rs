//! A warehouse: items with several unique columns, indexes over one and more columns, payload
//! enums, options, lists, wide integers and floats; range scans, updates and deletions.
//!
//! `audit` holds every index against a plain walk over the table, so a host that answers a scan
//! wrongly hears about it from the module itself.

use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    Identity, ReducerContext, SpacetimeType, Table, Timestamp, Uuid, reducer, table,
};

#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Tool,
    Part,
    Consumable,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Shelf {
    pub aisle: u16,
    pub bay: u8,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Transit {
    pub carrier: String,
    pub stops: Vec<String>,
    pub due: Option<Timestamp>,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Location {
    Unplaced,
    Shelf(Shelf),
    InTransit(Transit),
    Lent(Identity),
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Dimensions {
    pub width_mm: u32,
    pub height_mm: u32,
    pub depth_mm: u32,
}

/// One kind of thing on the shelves.
#[table(
    accessor = item,
    public,
    index(accessor = by_category_and_price, btree(columns = [category, price_cents])),
    index(accessor = by_maker_category_stock, btree(columns = [maker, category, stock]))
)]
#[derive(Clone, PartialEq)]
pub struct Item {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[unique]
    pub sku: String,
    #[unique]
    pub serial: u128,
    pub category: Category,
    #[index(btree)]
    pub maker: String,
    pub price_cents: i64,
    pub stock: i32,
    pub weight_kg: f64,
    pub purity: f32,
    pub location: Location,
    pub tags: Vec<String>,
    pub dimensions: Option<Dimensions>,
    pub note: Option<String>,
    pub worth: i128,
    pub fingerprint: u256,
    pub drift: i256,
    pub picture: Vec<u8>,
    pub tracking: Uuid,
    #[index(btree)]
    pub added: Timestamp,
    pub added_by: Identity,
}

/// A building; small numbers, so looked up by a direct index.
#[table(accessor = warehouse, public)]
#[derive(Clone, PartialEq)]
pub struct Warehouse {
    #[unique]
    #[index(direct)]
    pub number: u8,
    #[index(hash)]
    pub town: String,
    pub open: bool,
    pub dock_offsets: Vec<i16>,
}

/// Goods in and out. No primary key: the row itself is the key.
#[table(
    accessor = movement,
    public,
    index(accessor = by_sku_and_quantity, btree(columns = [sku, quantity]))
)]
#[derive(Clone, PartialEq)]
pub struct Movement {
    pub sku: String,
    pub quantity: i32,
    pub reason: Reason,
    pub at: Timestamp,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Reason {
    Delivery(String),
    Sale(Sale),
    Correction,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Sale {
    pub customer: Identity,
    pub discount: Option<f32>,
    pub codes: Vec<Option<u8>>,
}

/// What `summarise` found.
#[table(accessor = summary, public)]
pub struct Summary {
    #[primary_key]
    pub category: Category,
    pub items: u64,
    pub cheapest_cents: Option<i64>,
    pub stock: i64,
    pub worth: i128,
    pub weight_kg: f64,
}

/// Prices as they were; not readable by clients.
#[table(accessor = price_history)]
pub struct PriceHistory {
    #[primary_key]
    #[auto_inc]
    pub entry: u64,
    #[index(btree)]
    pub item: u64,
    pub price_cents: i64,
}

/// A narrow counter: delivery notes are numbered 1, 2, 3.
#[table(accessor = delivery_note, public)]
pub struct DeliveryNote {
    #[primary_key]
    #[auto_inc]
    pub number: u32,
    pub sku: String,
    pub quantity: i32,
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) {
    for (number, town) in [(1, "Quiberon"), (2, "Chesil"), (200, "Palm Beach")] {
        ctx.db.warehouse().insert(Warehouse {
            number,
            town: town.to_string(),
            open: number != 2,
            dock_offsets: vec![-1, 0, i16::from(number)],
        });
    }
}

/// Adds a kind of thing; fails when its sku or its serial number is in use.
#[reducer]
#[allow(clippy::too_many_arguments)]
pub fn add_item(
    ctx: &ReducerContext,
    sku: String,
    serial: u128,
    category: Category,
    maker: String,
    price_cents: i64,
    weight_kg: f64,
    tags: Vec<String>,
    dimensions: Option<Dimensions>,
    note: Option<String>,
) -> Result<(), String> {
    if price_cents < 0 {
        return Err(format!("a price is not negative: {price_cents}"));
    }
    let row = new_item(
        ctx,
        sku,
        serial,
        category,
        maker,
        price_cents,
        weight_kg,
        tags,
        dimensions,
        note,
    );
    let item = ctx
        .db
        .item()
        .try_insert(row)
        .map_err(|error| error.to_string())?;
    ctx.db.price_history().insert(PriceHistory {
        entry: 0,
        item: item.id,
        price_cents: item.price_cents,
    });
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn new_item(
    ctx: &ReducerContext,
    sku: String,
    serial: u128,
    category: Category,
    maker: String,
    price_cents: i64,
    weight_kg: f64,
    tags: Vec<String>,
    dimensions: Option<Dimensions>,
    note: Option<String>,
) -> Item {
    Item {
        id: 0,
        category,
        price_cents,
        stock: 0,
        weight_kg,
        purity: (weight_kg as f32).recip(),
        location: Location::Unplaced,
        tags,
        dimensions,
        note,
        worth: 0,
        fingerprint: u256::from(serial) * u256::from(serial),
        drift: -i256::from(price_cents) * i256::from(i64::MAX),
        picture: sku.bytes().rev().collect(),
        tracking: ctx.new_uuid_v7().expect("the timestamp is after 1970"),
        added: ctx.timestamp,
        added_by: ctx.sender(),
        sku,
        serial,
        maker,
    }
}

/// Fills the shelves with `count` items made up from `seed`.
#[reducer]
pub fn fill(ctx: &ReducerContext, seed: u32, count: u32) {
    let mut dice = u64::from(seed) | 1;
    let mut draw = move |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    for n in 0..count {
        let category = [Category::Tool, Category::Part, Category::Consumable][draw(3) as usize];
        let row = Item {
            stock: draw(100) as i32 - 10,
            worth: -(i128::from(draw(u64::MAX)) << 40),
            ..new_item(
                ctx,
                format!("sku-{seed}-{n:05}"),
                (u128::from(seed) << 64) | u128::from(n),
                category,
                ["Ada", "Bo", "Boole", ""][draw(4) as usize].to_string(),
                draw(1_000) as i64 - 500,
                draw(10_000) as f64 / 7.0,
                (0..draw(3)).map(|tag| format!("tag {tag}")).collect(),
                (draw(2) == 0).then(|| Dimensions {
                    width_mm: draw(100) as u32,
                    height_mm: draw(100) as u32,
                    depth_mm: 1,
                }),
                (draw(3) == 0).then(|| "fragile".to_string()),
            )
        };
        ctx.db.item().insert(row);
    }
}

/// Goods come in under a delivery note.
#[reducer]
pub fn deliver(
    ctx: &ReducerContext,
    sku: String,
    quantity: i32,
    from: String,
) -> Result<(), String> {
    let mut item = find_item(ctx, &sku)?;
    if quantity <= 0 {
        return Err(format!("a delivery brings something, not {quantity}"));
    }
    item.stock = item
        .stock
        .checked_add(quantity)
        .ok_or("the shelf is full")?;
    ctx.db.item().id().update(item);
    ctx.db.delivery_note().insert(DeliveryNote {
        number: 0,
        sku: sku.clone(),
        quantity,
    });
    ctx.db.movement().insert(Movement {
        sku,
        quantity,
        reason: Reason::Delivery(from),
        at: ctx.timestamp,
    });
    Ok(())
}

/// Goods go out; fails when there are not enough.
#[reducer]
pub fn sell(
    ctx: &ReducerContext,
    sku: String,
    quantity: i32,
    discount: Option<f32>,
) -> Result<(), String> {
    let mut item = find_item(ctx, &sku)?;
    if quantity <= 0 || item.stock < quantity {
        return Err(format!(
            "{quantity} of {sku} asked for, {} there",
            item.stock
        ));
    }
    item.stock -= quantity;
    item.worth += i128::from(item.price_cents) * i128::from(quantity);
    ctx.db.item().id().update(item);
    ctx.db.movement().insert(Movement {
        sku,
        quantity: -quantity,
        reason: Reason::Sale(Sale {
            customer: ctx.sender(),
            discount,
            codes: vec![None, Some(quantity as u8)],
        }),
        at: ctx.timestamp,
    });
    Ok(())
}

/// Puts an item somewhere.
#[reducer]
pub fn place(ctx: &ReducerContext, sku: String, location: Location) -> Result<(), String> {
    let item = find_item(ctx, &sku)?;
    // Out and in again, to go through a unique column that is not the primary key.
    ctx.db.item().serial().delete(item.serial);
    ctx.db.item().insert(Item { location, ..item });
    Ok(())
}

/// Gives an item another sku: the unique index has to let go of the old one.
#[reducer]
pub fn rename_item(ctx: &ReducerContext, from: String, to: String) -> Result<(), String> {
    let mut item = find_item(ctx, &from)?;
    if ctx.db.item().sku().find(&to).is_some() {
        return Err(format!("the sku {to} is in use"));
    }
    item.sku = to;
    ctx.db.item().id().update(item);
    Ok(())
}

/// Multiplies the prices of one category that lie in `low..high` (cents).
#[reducer]
pub fn reprice(
    ctx: &ReducerContext,
    category: Category,
    low: i64,
    high: i64,
    factor: f64,
) -> Result<(), String> {
    if !factor.is_finite() || factor < 0.0 {
        return Err(format!("a factor is a number from zero up, not {factor}"));
    }
    let found: Vec<Item> = ctx
        .db
        .item()
        .by_category_and_price()
        .filter((category, low..high))
        .collect();
    for mut item in found {
        item.price_cents = (item.price_cents as f64 * factor).round() as i64;
        ctx.db.price_history().insert(PriceHistory {
            entry: 0,
            item: item.id,
            price_cents: item.price_cents,
        });
        ctx.db.item().id().update(item);
    }
    Ok(())
}

/// Removes one category's items with a price in `low..=high` (cents).
#[reducer]
pub fn scrap(ctx: &ReducerContext, category: Category, low: i64, high: i64) {
    let gone = ctx
        .db
        .item()
        .by_category_and_price()
        .delete((category, low..=high));
    log::info!("scrapped {gone} items");
}

/// Removes everything by one maker.
#[reducer]
pub fn drop_maker(ctx: &ReducerContext, maker: String) {
    let gone = ctx.db.item().maker().delete(&maker);
    log::warn!("{gone} items by {maker:?} are gone");
}

/// Removes one item; fails when it is not there.
#[reducer]
pub fn remove(ctx: &ReducerContext, sku: String) -> Result<(), String> {
    if ctx.db.item().sku().delete(&sku) {
        Ok(())
    } else {
        Err(format!("there is no item {sku}"))
    }
}

/// Removes the movements of one sku with a quantity in `low..high`, one whole row at a time.
#[reducer]
pub fn forget_movements(ctx: &ReducerContext, sku: String, low: i32, high: i32) {
    let rows: Vec<Movement> = ctx
        .db
        .movement()
        .by_sku_and_quantity()
        .filter((&sku, low..high))
        .collect();
    for row in rows {
        ctx.db.movement().delete(row);
    }
}

/// Opens or shuts a building.
#[reducer]
pub fn set_open(ctx: &ReducerContext, number: u8, open: bool) -> Result<(), String> {
    let Some(mut warehouse) = ctx.db.warehouse().number().find(number) else {
        return Err(format!("there is no warehouse {number}"));
    };
    // A table without a primary key: the old row goes, the new one comes.
    ctx.db.warehouse().number().delete(number);
    warehouse.open = open;
    ctx.db.warehouse().insert(warehouse);
    Ok(())
}

/// Counts each category by its index.
#[reducer]
pub fn summarise(ctx: &ReducerContext) {
    for category in [Category::Tool, Category::Part, Category::Consumable] {
        let mut summary = Summary {
            category,
            items: 0,
            cheapest_cents: None,
            stock: 0,
            worth: 0,
            weight_kg: 0.0,
        };
        for item in ctx.db.item().by_category_and_price().filter(category) {
            summary.items += 1;
            // The index goes up in price, so the first one is the cheapest.
            summary.cheapest_cents.get_or_insert(item.price_cents);
            summary.stock += i64::from(item.stock);
            summary.worth += item.worth;
            summary.weight_kg += item.weight_kg;
        }
        if ctx.db.summary().category().find(category).is_some() {
            ctx.db.summary().category().update(summary);
        } else {
            ctx.db.summary().insert(summary);
        }
    }
}

/// Fails with a list of everything in which an index and the table disagree.
#[reducer]
pub fn audit(ctx: &ReducerContext) -> Result<(), String> {
    let items: Vec<Item> = ctx.db.item().iter().collect();
    let mut wrong = Vec::new();
    let mut same = |what: String, mut by_index: Vec<u64>, mut by_walk: Vec<u64>| {
        by_index.sort_unstable();
        by_walk.sort_unstable();
        if by_index != by_walk {
            wrong.push(format!("{what}: index {by_index:?}, table {by_walk:?}"));
        }
    };
    let ids = |filter: &dyn Fn(&Item) -> bool| -> Vec<u64> {
        items
            .iter()
            .filter(|item| filter(item))
            .map(|item| item.id)
            .collect()
    };
    let table = ctx.db.item();
    if table.count() != items.len() as u64 {
        return Err(format!(
            "count says {}, the walk {}",
            table.count(),
            items.len()
        ));
    }
    for item in &items {
        for found in [
            table.id().find(item.id),
            table.sku().find(&item.sku),
            table.serial().find(item.serial),
        ] {
            let found = found.map(|row| row == *item).unwrap_or(false);
            if !found {
                return Err(format!(
                    "{} is in the table and not in each unique index",
                    item.sku
                ));
            }
        }
    }
    for category in [Category::Tool, Category::Part, Category::Consumable] {
        let index = table.by_category_and_price();
        same(
            format!("{category:?}"),
            index.filter(category).map(|item| item.id).collect(),
            ids(&|item| item.category == category),
        );
        for (low, high) in [
            (-500, -1),
            (-1, 1),
            (0, 250),
            (250, i64::MAX),
            (i64::MIN, -100),
        ] {
            same(
                format!("{category:?} {low}..{high}"),
                index
                    .filter((category, low..high))
                    .map(|item| item.id)
                    .collect(),
                ids(&|item| item.category == category && (low..high).contains(&item.price_cents)),
            );
        }
        same(
            format!("{category:?} ..=0"),
            index
                .filter((category, ..=0_i64))
                .map(|item| item.id)
                .collect(),
            ids(&|item| item.category == category && item.price_cents <= 0),
        );
        for maker in ["Ada", "Bo", "Boole", ""] {
            same(
                format!("{maker:?} {category:?} 0.."),
                table
                    .by_maker_category_stock()
                    .filter((maker, category, 0_i32..))
                    .map(|item| item.id)
                    .collect(),
                ids(&|item| item.maker == maker && item.category == category && item.stock >= 0),
            );
        }
    }
    for maker in ["Ada", "Bo", "Boole", "", "nobody"] {
        same(
            format!("{maker:?}"),
            table.maker().filter(maker).map(|item| item.id).collect(),
            ids(&|item| item.maker == maker),
        );
    }
    same(
        "Bo.. to Bop".to_string(),
        table
            .maker()
            .filter("Bo".."Bop")
            .map(|item| item.id)
            .collect(),
        ids(&|item| ("Bo".."Bop").contains(&item.maker.as_str())),
    );
    same(
        "added until now".to_string(),
        table
            .added()
            .filter(..=ctx.timestamp)
            .map(|item| item.id)
            .collect(),
        ids(&|item| item.added <= ctx.timestamp),
    );
    let prices: Vec<i64> = table
        .by_category_and_price()
        .filter(Category::Part)
        .map(|item| item.price_cents)
        .collect();
    if !prices.is_sorted() {
        wrong.push(format!("an index scan is not in order: {prices:?}"));
    }
    let towns = ctx.db.warehouse().town().filter("Chesil").count();
    if towns != 1 {
        wrong.push(format!("{towns} warehouses in Chesil"));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

fn find_item(ctx: &ReducerContext, sku: &str) -> Result<Item, String> {
    ctx.db
        .item()
        .sku()
        .find(sku.to_string())
        .ok_or_else(|| format!("there is no item {sku}"))
}
