//! The budget that a live host gives a tick (T2.4).

use wasm_engine_abi::{
    frame::item,
    record::{BudgetFact, FactHeader, InputFact},
};
use wasm_engine_core::{FactsBuilder, OpenError};

use crate::{CMD, FROM, Machine, OUT, Rig, Scene, at, prog, to};

fn turns(turns: u64) -> BudgetFact {
    BudgetFact { turns, fuel: 0 }
}

fn fuel(fuel: u64) -> BudgetFact {
    BudgetFact { turns: 0, fuel }
}

/// Eight agents with an input each, at which they say something once.
fn eight<M: Machine>(workers: u32) -> Rig<M> {
    let mut rig = Rig::<M>::with_workers(&Scene::of(8), workers);
    rig.tick();
    for agent in 0..8 {
        rig.tell(agent, prog().publish(OUT, b"said"));
    }
    rig
}

fn said<M: Machine>(rig: &Rig<M>) -> Vec<usize> {
    (0..8).map(|agent| rig.published(at(agent), OUT).len()).collect()
}

pub fn t2_4_as_many_turns_are_taken_as_the_budget_has_and_the_rest_is_carried_over<M: Machine>() {
    let mut rig = eight::<M>(0);
    rig.budget = Some(turns(3));
    assert_eq!(rig.tick().turns, 3);
    assert_eq!(said(&rig), [1, 1, 1, 0, 0, 0, 0, 0], "in schedule order");
    assert_eq!((rig.core().runnable(), rig.next_tick()), (5, Some(2)), "T5.1");
    rig.budget = Some(turns(4));
    assert_eq!(rig.tick().turns, 4);
    // Without one the next tick takes what is left.
    assert_eq!(rig.tick().turns, 1);
    assert_eq!((said(&rig), rig.core().runnable()), (vec![1; 8], 0));
    assert_eq!(rig.next_tick(), None);
}

pub fn t2_4_no_microstep_begins_once_the_fuel_is_used_up<M: Machine>() {
    let mut rig = Rig::<M>::new(&Scene::of(2));
    rig.tick();
    let answer = prog().send(FROM, b"pong");
    rig.tell(0, prog().on(item::MESSAGE, &answer));
    rig.tell(1, prog().on(item::MESSAGE, &answer).send(to(0), b"ping"));
    rig.budget = Some(fuel(1));
    let close = rig.tick();
    assert_eq!((close.microsteps, close.turns), (1, 2), "it began with all of its fuel");
    rig.budget = Some(BudgetFact { turns: 5, fuel: u64::MAX });
    let close = rig.tick();
    assert_eq!((close.microsteps, close.turns), (5, 5), "what is used up first ends it");
}

pub fn t2_4_each_tick_has_a_budget_of_its_own_and_lanes_make_no_difference<M: Machine>() {
    let run = |workers, budgets: &[u64]| {
        let mut rig = eight::<M>(workers);
        for &most in budgets {
            rig.budget = Some(turns(most));
            rig.tick();
        }
        rig.settle(20);
        (rig.digests(), said(&rig))
    };
    let inline = run(0, &[2, 1, 4]);
    assert_eq!(inline.1, [1; 8]);
    assert_eq!(run(2, &[2, 1, 4]), inline);
    let other = run(0, &[2, 2, 4]);
    assert_eq!(other.1, inline.1);
    assert_ne!(other.0[2], inline.0[2], "a budget is a fact, which the digest covers");
    // It is executed again from the log.
    let mut live = eight::<M>(1);
    live.budget = Some(turns(5));
    live.settle(20);
    let mut again = Rig::<M>::new(&Scene::of(8));
    live.log.iter().for_each(|facts| _ = again.feed(facts).expect("it was executed before"));
    assert_eq!(again.digests(), live.digests());
}

pub fn t2_4_l6_4_budgets_that_cannot_be_are_refused<M: Machine>() {
    let refused = |tick, facts: &[FactHeader]| {
        let mut rig = Rig::<M>::new(&Scene::of(1));
        if tick > 0 {
            rig.tick();
        }
        let mut builder = FactsBuilder::default();
        builder.begin(tick);
        facts.iter().for_each(|fact| builder.push(*fact, b""));
        rig.feed(builder.finish()).expect_err("these facts cannot be")
    };
    let wrong = |tick, facts: &[FactHeader]| match refused(tick, facts) {
        OpenError::Budget { why, .. } => why,
        other => panic!("{other}"),
    };
    let some = FactHeader::from(turns(1));
    assert_eq!(wrong(0, &[some]), "this tick cannot have");
    assert_eq!(wrong(1, &[some, some]), "follows another");
    assert_eq!(wrong(1, &[turns(0).into()]), "limits nothing");
    let input = InputFact { source: 0, seq: 0, topic: CMD };
    assert_eq!(refused(1, &[some, input.into()]), OpenError::Order { tick: 1 });
}
