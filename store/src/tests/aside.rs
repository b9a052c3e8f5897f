//! Cuts that are planned and written aside, while calls go on and are taken back: nobody sees a
//! difference, and after a loss of power in between the base is at the cut before.

use proptest::prelude::*;

use super::model::{Settled, Step, World, relation, spilling_steps, steps};
use super::{ACCOUNT, ALARM, account, begin, call, open, position, rows_of};
use crate::{Aside, MemoryDisk, Planning, Transaction};

/// A cut that is being planned.
pub(super) struct Planned {
    planning: Planning,
    base: Settled,
    /// How many calls of the tail it covers.
    calls: usize,
    /// Something changed that it may cover.
    is_disturbed: bool,
}

impl World {
    /// Something changed in the tail, from this call on.
    pub(super) fn disturb(&mut self, call: usize) {
        if let Some(planned) = &mut self.planned {
            planned.is_disturbed |= call < planned.calls;
        }
    }

    pub(super) fn plan(&mut self, count: usize) {
        let calls = count.min(self.tail.len());
        let Some((n, model)) = calls.checked_sub(1).map(|last| self.tail[last].clone()) else {
            return;
        };
        let state = self.state.as_mut().expect("put back");
        let planning = state.plan_aside(&position(n)).expect("readable");
        self.planned = planning.map(|planning| Planned {
            planning,
            base: Settled {
                through: n,
                model,
                ..self.base.clone()
            },
            calls,
            is_disturbed: false,
        });
    }

    pub(super) fn look(&mut self) {
        let mut state = self.take();
        state.look().expect("it was written");
        if !state.is_settling() {
            self.durable = None;
        }
        let mut planned = self.planned.take();
        let is_done = planned.as_mut().is_some_and(|it| it.planning.is_done());
        match planned {
            Some(planned) if is_done => {
                let settlement = planned.planning.wait().expect("it was planned");
                assert!(state.can_settle(&settlement) || planned.is_disturbed);
                if state.can_settle(&settlement) {
                    let here = state.plan_settle(Some(&position(planned.base.through)), Vec::new());
                    assert_eq!(settlement.root, here.expect("readable").root);
                    return self.settle_as_planned(state, settlement, planned.base);
                }
            }
            planned => self.planned = planned,
        }
        self.state = Some(state);
    }
}

fn aside_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => steps(),
        2 => (1_usize..6).prop_map(Step::Plan),
        3 => Just(Step::Look),
    ]
}

fn spilling_aside_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => spilling_steps(),
        2 => (1_usize..12).prop_map(Step::Plan),
        3 => Just(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_store_that_writes_aside_does_what_the_model_does(
        looks in 1_u32..5,
        steps in proptest::collection::vec(aside_steps(), 1..50),
    ) {
        let mut world = World::new(None, Aside::AtLook(looks));
        steps.iter().for_each(|step| world.step(step));
    }

    #[test]
    fn a_spilling_store_that_writes_aside_does_what_the_model_does(
        room in 0_usize..8,
        looks in 1_u32..5,
        steps in proptest::collection::vec(spilling_aside_steps(), 1..60),
    ) {
        let mut world = World::new(Some(room), Aside::AtLook(looks));
        steps.iter().for_each(|step| world.step(step));
    }
}

/// The call at the end of a planned cut wrote nothing, is taken back, and writes something when it
/// runs again: the plan lacks that.
#[test]
fn a_call_that_comes_again_within_a_planned_cut_makes_the_plan_stale() {
    let disk = MemoryDisk::new();
    let mut state = open(&disk);
    state.set_aside(Aside::AtLook(1));
    let insert = |id| move |it: &mut Transaction| drop(it.insert(ACCOUNT, &account(id, "n", 1, 1)));
    let state = call(state, 1, insert(1)).0;
    let state = call(state, 2, |_| {}).0;
    let mut state = call(state, 3, |it| drop(it.insert(ALARM, &[1]))).0;
    let planning = state.plan_aside(&position(2)).expect("readable");
    let settlement = planning.expect("it is aside").wait().expect("planned");
    assert!(state.can_settle(&settlement));
    state.rewind(&position(2)).expect("it can be taken back");
    assert!(state.can_settle(&settlement), "nothing of it went");
    let state = call(state, 2, |it| {
        it.delete_all_by_eq(ACCOUNT, &relation(&[account(1, "n", 1, 1)]))
            .map(drop)
            .expect("it is there");
    })
    .0;
    assert!(!state.can_settle(&settlement));
}

#[test]
fn a_thread_plans_and_writes_a_large_cut_while_calls_go_on() {
    let disk = MemoryDisk::new();
    let mut state = open(&disk);
    state.set_aside(Aside::Thread);
    let birth = state.plan_settle(None, Vec::new()).expect("readable");
    state.settle(birth, 0).expect("written");
    let mut first = begin(state, 1);
    for id in 1..=2_000 {
        let row = account(id, &format!("name {id}"), 1, 1);
        first.insert(ACCOUNT, &row).expect("new");
    }
    let mut state = first.commit().0;
    let planning = state.plan_aside(&position(1)).expect("readable");
    let planning = planning.expect("it is much");
    let mut second = begin(state, 2);
    let row = account(2_001, "later", 1, 1);
    second.insert(ACCOUNT, &row).expect("new");
    let mut state = second.commit().0;
    let settlement = planning.wait().expect("planned");
    assert!(state.can_settle(&settlement));
    let root = settlement.root;
    state.settle(settlement, 1).expect("it is being written");
    let visible = rows_of(&state, ACCOUNT);
    assert_eq!(visible.len(), 2_001);
    // Whoever drops it waits for its thread.
    drop(state);
    let reopened = open(&disk);
    assert_eq!(reopened.height(), Some(1));
    assert_eq!(reopened.final_root(), root);
    assert_eq!(rows_of(&reopened, ACCOUNT), visible[..2_000]);
}
