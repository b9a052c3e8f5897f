//! What comes by itself: rows that are due, once more and in the simplest way. A row fires at the first
//! call that names it as it is and has come late enough; then it is gone, whatever became of it.

use serde_json::json;
use sync_protocol::Fire;

use super::model::{Calling, Failed, Model, Outcome, check};

/// Microseconds after which the next of several deliveries comes.
const NEXT_DELIVERY_US: u64 = 700_000;

/// Deliveries of weights that this divides fail.
const TOO_HEAVY: u32 = 7;

/// A row of `delivery`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    /// Time of the call that wrote it.
    set_at: u64,
    due: u64,
    pub(super) shelf: u32,
    weight: u32,
    more: u32,
}

impl Delivery {
    /// The row as anybody reads it.
    pub(super) fn shown((id, it): (&u64, &Self)) -> serde_json::Value {
        json!([id, [1, [it.due]], it.shelf, it.weight, it.more])
    }
}

impl Model {
    pub(super) fn order(&mut self, calling: &mut Calling<'_>) -> Outcome {
        let (shelf, weight) = (calling.arguments.u32()?, calling.arguments.u32()?);
        let (after_ms, more) = (calling.arguments.u32()?, calling.arguments.u32()?);
        let ordered = Delivery {
            set_at: calling.time,
            due: calling.time + u64::from(after_ms) * 1_000,
            shelf,
            weight,
            more,
        };
        let id = calling.id(&self.deliveries);
        self.deliveries.insert(id, ordered);
        Ok(())
    }

    pub(super) fn fire(&mut self, fire: &Fire, calling: &mut Calling<'_>) -> Outcome {
        let found = self.deliveries.get(&fire.key).copied().ok_or(Failed)?;
        check(found.set_at == fire.set_at.0 && found.due == fire.due.0)?;
        check(
            self.tables
                .get(&fire.table)
                .is_some_and(|it| it == "delivery"),
        )?;
        check(calling.time >= found.due)?;
        if !found.weight.is_multiple_of(TOO_HEAVY) {
            let note = calling.id(&self.notes);
            self.notes.insert(note, (found.shelf, found.weight));
            if let Some(more) = found.more.checked_sub(1) {
                let next = Delivery {
                    set_at: calling.time,
                    due: calling.time + NEXT_DELIVERY_US,
                    more,
                    ..found
                };
                let id = calling.id(&self.deliveries);
                self.deliveries.insert(id, next);
            }
        }
        self.deliveries.remove(&fire.key);
        Ok(())
    }
}
