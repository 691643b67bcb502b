//! Models that come and go during a run (A13, I3).

use wasm_engine_abi::{
    calls::Status,
    frame::item,
    page::event,
    record::{LoadFact, PROVIDER_BYTES_MAX, ProviderFact, action},
};
use wasm_engine_core::{FactsBuilder, OpenError};
use wasm_engine_setup::LoadOn::{Command, Request, Start};

use crate::{Machine, Rig, Scene, at, prog, rules::payloads};

/// Codes of the replies that agent 0 received.
fn codes<M: Machine>(rig: &Rig<M>) -> Vec<i32> {
    rig.seen_kind(at(0), item::REPLY).iter().map(|seen| seen.header.code).collect()
}

const OK: i32 = Status::Ok as i32;
const NOT_LOADED: i32 = Status::NotLoaded as i32;
const FULL: i32 = Status::KernelFull as i32;

/// Agent 0 asks these models, each once, in the next tick.
fn ask<M: Machine>(rig: &mut Rig<M>, handles: &[u32]) {
    let program = handles.iter().fold(prog(), |program, handle| program.infer(*handle, b"0001"));
    rig.tell(0, program);
    rig.tick();
}

pub fn a13_3_i3_7_a_model_is_asked_from_the_outcome_of_its_load_on<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model_of("early", 1, Start, 0);
    scene.model_of("late", 1, Request, 0);
    scene.model_of("told", 1, Command, 0);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    ask(&mut rig, &[0, 1, 2, 1]);
    assert_eq!(codes(&rig), [NOT_LOADED; 3], "the reply of the loaded one comes a tick later");
    let begun: Vec<_> = rig.sink.loads.iter().map(|load| (load.model, load.due)).collect();
    assert_eq!(begun, [(1, 3)], "one load, however often it was asked, and none of `told`");
    rig.tick();
    assert_eq!(codes(&rig)[3..], [OK]);
    assert_eq!(rig.next_tick(), Some(3), "T5.2: the outcome of a load names its tick");
    // The outcome comes first in an open, so a turn of its tick may ask.
    ask(&mut rig, &[1, 2]);
    rig.command(action::LOAD, 2, b"");
    rig.tick();
    assert_eq!(codes(&rig)[4..], [NOT_LOADED, OK]);
    rig.settle(9);
    ask(&mut rig, &[2]);
    rig.tick();
    assert_eq!(codes(&rig)[6..], [OK]);
}

pub fn a13_3_a_load_that_fails_leaves_the_model_out_and_is_tried_again<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model_of("m", 1, Request, 0);
    let mut rig = Rig::<M>::new(&scene);
    rig.load_codes.insert(0, Status::ModelFailed);
    rig.tick();
    ask(&mut rig, &[0]);
    rig.settle(5);
    let failed = u64::from((Status::ModelFailed as i32).unsigned_abs());
    assert_eq!(rig.events(&[event::MODEL_LOADED])[0].a, failed);
    assert!(!rig.core().is_loaded(0));
    rig.load_codes.clear();
    ask(&mut rig, &[0]);
    rig.settle(5);
    assert_eq!((rig.sink.loads.len(), rig.core().is_loaded(0)), (2, true));
}

pub fn i3_8_room_is_made_in_the_order_of_the_last_requests<M: Machine>() {
    let mut scene = Scene::of(1);
    for name in ["a", "b", "c"] {
        scene.model_of(name, 1, Start, 40);
    }
    let pinned = scene.model_of("pinned", 1, Start, 40) as usize;
    scene.setup.models[pinned].pinned = true;
    scene.model_of("new", 1, Request, 60);
    scene.limits().models_bytes_max = 160;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    ask(&mut rig, &[1, 0, 2]);
    ask(&mut rig, &[1]);
    // 60 bytes are wanted: those of `a` and `c`, asked longest ago, are let go; `pinned` never is.
    ask(&mut rig, &[4]);
    let unloaded: Vec<_> = rig.sink.unloads.iter().map(|(model, _)| *model).collect();
    assert_eq!(unloaded, [0, 2]);
    let there: Vec<_> = (0..5).map(|model| rig.core().is_loaded(model)).collect();
    assert_eq!(there, [false, true, false, true, false]);
    rig.settle(5);
    assert!(rig.core().is_loaded(4));
    // Who was let go comes back by a request, for which one goes that was asked longer ago.
    ask(&mut rig, &[1, 4, 0]);
    rig.settle(5);
    let there: Vec<_> = (0..5).map(|model| rig.core().is_loaded(model)).collect();
    assert_eq!(there, [true, false, false, true, true], "100 of 160 were taken, 40 came");
}

pub fn i3_8_nothing_is_unloaded_for_a_load_that_has_no_room_even_so<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model_of("a", 1, Start, 40);
    scene.model_of("b", 1, Request, 70);
    scene.model_of("c", 1, Request, 70);
    scene.model_of("huge", 1, Request, 101);
    scene.limits().models_bytes_max = 100;
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    ask(&mut rig, &[3]);
    assert_eq!((codes(&rig), rig.sink.unloads.len()), (vec![FULL], 0));
    assert!(rig.core().is_loaded(0));
    // A load under way keeps its room.
    ask(&mut rig, &[1, 2]);
    assert_eq!(codes(&rig)[1..], [NOT_LOADED, FULL]);
    rig.command(action::LOAD, 2, b"");
    rig.tick();
    assert_eq!(rig.outcomes(), [Status::KernelFull]);
}

pub fn i3_4_what_was_accepted_before_is_answered<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model("m", 4);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    ask(&mut rig, &[0]);
    rig.command(action::UNLOAD, 0, b"");
    rig.tick();
    assert_eq!(rig.sink.unloads, [(0, 1)], "behind the request");
    ask(&mut rig, &[0]);
    assert_eq!(codes(&rig), [NOT_LOADED], "I3.7: no request loads what a command unloaded");
    rig.settle(9);
    assert_eq!((codes(&rig), rig.sink.loads.len()), (vec![NOT_LOADED, OK], 0));
    rig.command(action::LOAD, 0, b"");
    rig.settle(9);
    ask(&mut rig, &[0]);
    rig.settle(9);
    assert_eq!(codes(&rig)[2..], [OK]);
}

pub fn a13_5_a_name_means_the_version_that_it_was_swapped_to<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model_of("m", 2, Start, 0);
    scene.model_of("m", 1, Start, 0);
    let (highest, lower, name) = (0, 1, 2);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    let asked = |rig: &Rig<M>| -> Vec<_> {
        rig.sink.requests.iter().map(|(request, _)| (request.model, request.handle)).collect()
    };
    ask(&mut rig, &[name]);
    rig.command(action::SWAP, lower.into(), b"");
    ask(&mut rig, &[name, highest, lower]);
    rig.command(action::SWAP, highest.into(), b"");
    ask(&mut rig, &[name]);
    let expected = [(highest, name), (lower, name), (highest, highest), (lower, lower)];
    assert_eq!(asked(&rig), [&expected[..], &[(highest, name)]].concat());
    assert_eq!(rig.outcomes(), [Status::Ok; 2]);
    rig.settle(5);
    let topics: Vec<_> =
        rig.seen_kind(at(0), item::REPLY).iter().map(|seen| seen.header.topic).collect();
    assert_eq!(topics, [name, name, highest, lower, name], "a reply names the handle asked");
    assert_eq!(payloads(&rig.seen_kind(at(0), item::REPLY)), [b"1000"; 5]);
}

pub fn a13_5_only_a_loaded_version_that_is_asked_alike_takes_a_name<M: Machine>() {
    let mut scene = Scene::of(1);
    scene.model_of("m", 1, Start, 0);
    scene.model_of("m", 2, Start, 0);
    let other = scene.model_of("m", 3, Start, 0) as usize;
    scene.setup.models[other].reply_bytes_max += 64;
    scene.model_of("m", 0, Command, 0);
    scene.model_of("alone", 1, Start, 0);
    let mut rig = Rig::<M>::new(&scene);
    rig.tick();
    for model in [2, 0, 3, 4] {
        rig.command(action::SWAP, model, b"");
    }
    rig.tick();
    let [already, mismatch, absent, no_version] =
        [Status::Already, Status::Mismatch, Status::NotLoaded, Status::Invalid];
    assert_eq!(rig.outcomes(), [already, mismatch, absent, no_version]);
    assert_eq!(rig.events(&[event::MODEL_SWAPPED]), []);
}

pub fn l6_4_outcomes_of_loads_that_cannot_be_are_refused<M: Machine>() {
    let facts = |loads: &[(u64, u32)]| {
        let mut scene = Scene::of(1);
        scene.model_of("a", 1, Request, 0);
        scene.model_of("b", 1, Request, 0);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        ask(&mut rig, &[0, 1]);
        let mut builder = FactsBuilder::default();
        builder.begin(3);
        for (load, model) in loads {
            builder.push(LoadFact { load: *load, model: *model, code: 0 }, b"");
        }
        rig.feed(builder.finish())
    };
    assert!(facts(&[(0, 0), (1, 1)]).is_ok());
    let missing = |error| matches!(error, OpenError::MissingLoad { tick: 3, load: 1 });
    assert!(facts(&[(0, 0)]).is_err_and(missing));
    let not_next = |error| matches!(error, OpenError::UnexpectedLoad { tick: 3, .. });
    assert!(facts(&[(1, 1), (0, 0)]).is_err_and(not_next), "swapped");
    assert!(facts(&[(0, 1), (1, 1)]).is_err_and(not_next), "another model");
    assert!(facts(&[(0, 0), (1, 1), (2, 1)]).is_err_and(not_next), "one more");
}

pub fn i5_5_a_change_of_provider_comes_between_loads_and_commands<M: Machine>() {
    let other = ProviderFact { model: 1 };
    let run = |push: &dyn Fn(&mut FactsBuilder, LoadFact)| {
        let mut scene = Scene::of(1);
        scene.model_of("a", 1, Request, 0);
        scene.model_of("b", 1, Start, 0);
        let mut rig = Rig::<M>::new(&scene);
        rig.tick();
        ask(&mut rig, &[0]);
        let mut builder = FactsBuilder::default();
        builder.begin(3);
        push(&mut builder, LoadFact { load: 0, model: 0, code: 0 });
        let fed = rig.feed(builder.finish());
        (fed, rig)
    };
    let text = |len| vec![b' '; len];
    let most = PROVIDER_BYTES_MAX as usize;
    let (plain, _) = run(&|facts, load| facts.push(load, b""));
    let (changed, rig) = run(&|facts, load| {
        facts.push(load, b"");
        facts.push(ProviderFact { model: 0 }, b"one");
        facts.push(other, &text(most));
    });
    assert_eq!(rig.sink.providers, [(0, b"one".to_vec()), (1, text(most))]);
    let (plain, changed) = (plain.expect("it runs"), changed.expect("it runs"));
    assert_ne!(plain.digest, changed.digest, "it is a fact of the tick");
    assert_eq!((plain.turns, plain.fuel), (changed.turns, changed.fuel));
    let order = |error| matches!(error, OpenError::Order { tick: 3 });
    let (before, _) = run(&|facts, load| {
        facts.push(other, b"");
        facts.push(load, b"");
    });
    assert!(before.is_err_and(order), "before the outcome of a load");
    let (down, _) = run(&|facts, load| {
        facts.push(load, b"");
        facts.push(other, b"");
        facts.push(ProviderFact { model: 0 }, b"");
    });
    assert!(down.is_err_and(order), "models go up");
    let (unknown, rig) = run(&|facts, load| {
        facts.push(load, b"");
        facts.push(ProviderFact { model: 2 }, b"");
    });
    assert_eq!(unknown, Err(OpenError::UnknownModel { tick: 3, model: 2 }));
    assert_eq!(rig.sink.providers, []);
    let (long, _) = run(&|facts, load| {
        facts.push(load, b"");
        facts.push(other, &text(most + 1));
    });
    assert!(long.is_err_and(|error| matches!(error, OpenError::Exceeds { tick: 3, .. })));
}
