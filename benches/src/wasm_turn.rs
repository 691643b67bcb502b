//! S3, first half: a trivial turn through the whole kernel against the bare call of the engine.
//!
//! The turn: facts, log, open, plan, both calls of the contract (`agent_receive` for the item,
//! `agent_step`), commit, digests, log, rows for monitors. The bare call: `agent_step` of the same
//! module on the same engine, as many stores as the kernel has agents, one after the other, so that
//! both find their memory equally cold. A turn makes two calls, so the pair is shown as well.

use wasmtime::{Linker, Module, Store, TypedFunc};

use crate::guests::Job;
use crate::measure::{Scale, apart, median, median_ratio, ns_each, pin};
use crate::rig::{Case, Rig, STATE_INTERVAL, check, engine};
use crate::row::{Row, Unit};

/// What the agents do.
const TRIVIAL: Job = Job::Listen { rounds: 0 };
/// Fuel that no segment uses up.
const PLENTY: u64 = u64::MAX / 2;

/// A trivial agent without a kernel.
struct Bare {
    store: Store<()>,
    receive: TypedFunc<i32, i32>,
    step: TypedFunc<i32, i32>,
}

/// As many as the kernel has agents.
///
/// # Panics
/// Never: what the kernel admits, the engine takes.
fn bare(agents: u32) -> Vec<Bare> {
    let engine = engine(agents).expect("there is address space");
    let engine = engine.wasmtime();
    let module =
        Module::new(engine, TRIVIAL.admitted(agents, 1).wasm).expect("an admitted module compiles");
    let mut linker = Linker::new(engine);
    linker.func_wrap("wasm_engine", "subscribe", |_: i32| 0i64).expect("a new name");
    let one = || {
        let mut store = Store::new(engine, ());
        store.set_fuel(PLENTY).expect("fuel is on");
        let instance = linker.instantiate(&mut store, &module).expect("its import is there");
        let mut function = |name| instance.get_typed_func(&mut store, name).expect("exported");
        let (receive, step) = (function("agent_receive"), function("agent_step"));
        Bare { store, receive, step }
    };
    (0..agents).map(|_| one()).collect()
}

/// The rows.
///
/// # Panics
/// If a tick fails or a digest depends on the lanes.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    [1, 50].into_iter().flat_map(|agents| turns(agents, scale)).collect()
}

fn turns(agents: u32, scale: Scale) -> Vec<Row> {
    check(Case::all(agents), scale.of(1_000));
    apart(|| {
        // Whole state intervals, so that each segment holds its share of state digests; a few
        // milliseconds, so that most are not interrupted.
        let count = STATE_INTERVAL * (50 / agents as usize).div_ceil(5);
        let mut kernel = Rig::new(Case::all(agents));
        // After the log's thread has started, which else would share the core.
        pin(0);
        let mut bare = bare(agents);
        let (mut ours, mut calls, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.segments * 4 {
            ours.push(ns_each(count, || kernel.tick()) / f64::from(agents));
            calls.push(ns_each(count, || one_call(&mut bare)) / f64::from(agents));
            pairs.push(ns_each(count, || both_calls(&mut bare)) / f64::from(agents));
        }
        let row = |peer, figures: &[f64]| {
            let case = format!("turn of a trivial agent, {agents} in a tick");
            Row::new("S3", case, Unit::Ns, median(&ours))
                .against(peer, median(figures), Some(median_ratio(figures, &ours)))
                .limit(median(&calls))
        };
        vec![
            row("wasmtime, one typed call", &calls).goal(1.0 / 3.0),
            row("wasmtime, both calls with fuel set and read", &pairs),
        ]
    })
}

fn one_call(agents: &mut [Bare]) {
    for Bare { store, step, .. } in agents {
        let code = step.call(store, 1024).expect("it returns");
        assert_eq!(code, 0, "a trivial agent returns 0");
    }
}

fn both_calls(agents: &mut [Bare]) {
    let fuel = TRIVIAL.fuel();
    for Bare { store, step, receive } in agents {
        for call in [&*receive, &*step] {
            store.set_fuel(fuel).expect("fuel is on");
            let code = call.call(&mut *store, 1024).expect("it returns");
            let left = store.get_fuel().expect("fuel is on");
            assert!(code == 0 && left < fuel, "a call costs fuel and returns 0");
        }
        store.set_fuel(PLENTY).expect("fuel is on");
    }
}
