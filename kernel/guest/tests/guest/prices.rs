//! What operators and host calls take of a processor for each unit of fuel.
//!
//! `cargo test --workspace --test guest prices -- --ignored --nocapture` prints it on a quiet
//! machine; the prices in `kernel/guest/src/engine.rs` and `abi/src/calls.rs` were set after it.

use wasm_engine_abi::frame::{TurnCommand, turn};
use wasm_engine_guest::engine::{Engine, MemoryProfile, deterministic_engine};
use wasmtime::{Instance, Module, Store};

use crate::rig::{Rig, now_ns, setup};

/// Operators in a row before the loop turns.
const ROW: usize = 100;
const TURNS: i32 = 200;
const BUDGET: u64 = 1 << 50;

/// Chains of operators, one a line: type of what is on the stack before and after, operators.
const OPERATORS: &str = include_str!("fixtures/operators.txt");

/// What a chain begins with.
fn start(ty: &str) -> &'static str {
    match ty {
        "i32" => "i32.const 0",
        "i64" => "i64.const 0x7fffffffffff",
        "f32" => "f32.const 1.5",
        "f64" => "f64.const 1.5",
        _ => "v128.const f64x2 1.5 1e300",
    }
}

fn module(ty: &str, chain: &str) -> String {
    let start = start(ty);
    let text = format!("{chain} ").repeat(ROW);
    format!(
        r#"(module (type $un (func (param i32) (result i32)))
          (memory 1 1) (table 1 funcref) (elem (i32.const 0) $id) (elem declare func $id)
          (global $g (mut i32) (i32.const 0))
          (func $id (param i32) (result i32) local.get 0)
          (func (export "run") (param $turns i32) (local $a {ty})
            (local $b_i32 i32) (local $b_i64 i64) (local $b_f32 f32) (local $b_f64 f64)
            (local $b_v128 v128)
            (local.set $b_i32 (i32.load (i32.const 64)))
            (local.set $b_i64 (i64.load (i32.const 72)))
            (local.set $b_f32 (f32.load (i32.const 80)))
            (local.set $b_f64 (f64.load (i32.const 88)))
            (local.set $b_v128 (v128.load (i32.const 96)))
            (local.set $a ({start}))
            (loop $l (local.get $a) {text} (local.set $a)
              (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
              (br_if $l (local.get $turns)))
            ({ty}.store (i32.const 200) (local.get $a)))
          (data (i32.const 64) "\03\00\00\00\00\00\00\00\05\00\00\00\00\00\00\00")
          (data (i32.const 80) "\00\00\80\3f\00\00\00\00\00\00\00\00\00\00\f0\3f"))"#
    )
}

/// Nanoseconds and fuel of a chain, best of several.
fn measure(engine: &Engine, ty: &str, chain: &str) -> (f64, f64) {
    let wasm = wat::parse_str(module(ty, chain)).unwrap_or_else(|e| panic!("{chain}: {e}"));
    let module = Module::new(engine.wasmtime(), wasm).unwrap_or_else(|e| panic!("{chain}: {e:#}"));
    let mut store = Store::new(engine.wasmtime(), ());
    store.set_fuel(BUDGET).expect("fuel is on");
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").expect("exported");
    let (mut best, mut fuel) = (f64::MAX, 0);
    for _ in 0..9 {
        store.set_fuel(BUDGET).expect("fuel is on");
        let begin = now_ns();
        run.call(&mut store, TURNS).unwrap_or_else(|e| panic!("{chain}: {e}"));
        best = best.min((now_ns() - begin) as f64);
        fuel = BUDGET - store.get_fuel().expect("fuel is on");
    }
    (best, fuel as f64)
}

/// Nanoseconds and fuel of `count` host calls in one step, best of several.
fn measure_call(imports: &str, call: &str, count: usize) -> (f64, f64) {
    let wat = format!(
        r#"(module (import "wasm_engine" {imports})
          (memory (export "memory") 1 1)
          (data (i32.const 8) "room/1") (data (i32.const 16) "a") (data (i32.const 24) "m")
          (func (export "agent_inbox") (result i32) (i32.const 1024))
          (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
          (func (export "agent_init") (result i32) (i32.const 0))
          (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
          (func (export "agent_step") (param i32) (result i32) {} (i32.const 0))
          (func (export "agent_shutdown") (result i32) (i32.const 0)))"#,
        format!("(drop {call}) ").repeat(count)
    );
    let mut rig = Rig::of(&wat, &setup());
    rig.init(0, b"");
    let command = TurnCommand { answers_free: 1_000, ..rig.command(turn::STEP) };
    let (mut best, mut fuel) = (f64::MAX, 0);
    let mut out = Vec::with_capacity(rig.lane.result_words_max());
    for _ in 0..200 {
        rig.epoch += 1;
        rig.lane.begin(rig.epoch);
        out.clear();
        let begin = now_ns();
        rig.lane.execute(&command, &[], &[], &mut out).expect("the machine works");
        best = best.min((now_ns() - begin) as f64);
        let (result, _) = wasm_engine_guest::worker_codec::read_result(bytemuck::cast_slice(&out))
            .expect("sound");
        assert_eq!(result.fault, 0, "{call}");
        fuel = result.fuel;
    }
    (best, fuel as f64)
}

/// Host calls: imports, and a call that is accepted.
const CALLS: [(&str, &str); 12] = [
    (r#""tick" (func $f (result i64))"#, "(call $f)"),
    (r#""random" (func $f (result i64))"#, "(call $f)"),
    (r#""topic" (func $f (param i32 i32) (result i32))"#, "(call $f (i32.const 16) (i32.const 1))"),
    (r#""model" (func $f (param i32 i32) (result i32))"#, "(call $f (i32.const 24) (i32.const 1))"),
    (
        r#""publish" (func $f (param i32 i32 i32) (result i64))"#,
        "(call $f (i32.const 0) (i32.const 0) (i32.const 64))",
    ),
    (
        r#""publish" (func $f (param i32 i32 i32) (result i64))"#,
        "(call $f (i32.const 0) (i32.const 0) (i32.const 2000))",
    ),
    (
        r#""publish" (func $f (param i32 i32 i32) (result i64))"#,
        "(call $f (i32.const 2) (i32.const 0) (i32.const 64))",
    ),
    (r#""subscribe" (func $f (param i32) (result i64))"#, "(call $f (i32.const 1))"),
    (r#""timer" (func $f (param i64 i64) (result i64))"#, "(call $f (i64.const 1) (i64.const 1))"),
    (r#""join" (func $f (param i32 i32) (result i64))"#, "(call $f (i32.const 8) (i32.const 6))"),
    (
        r#""cast" (func $f (param i32 i32 i32 i32) (result i64))"#,
        "(call $f (i32.const 8) (i32.const 6) (i32.const 0) (i32.const 64))",
    ),
    (
        r#""log" (func $f (param i32 i32 i32) (result i32))"#,
        "(call $f (i32.const 2) (i32.const 8) (i32.const 6))",
    ),
];

#[test]
#[ignore = "prints figures, asserts nothing about them"]
fn prices_of_operators_and_calls() {
    let profile = MemoryProfile { seats: 1, memory_bytes_max: 65_536, layout: None };
    let engine = deterministic_engine(profile).expect("the engine starts");
    let mut seen: Vec<(f64, f64, &str)> = Vec::new();
    for line in OPERATORS.lines().filter(|line| !line.starts_with(";;")) {
        let (ty, chain) = line.split_once(' ').expect("a type and operators");
        let (ns, fuel) = measure(&engine, ty, chain);
        seen.push((ns / fuel, ns / (ROW as f64 * f64::from(TURNS)), chain));
    }
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    let median = seen[seen.len() / 2].0;
    println!("median of {} chains: {median:.3} ns a unit of fuel", seen.len());
    for (a_unit, ns, what) in seen {
        println!("{:6.2} x  {a_unit:6.3} ns a unit  {ns:6.2} ns  {what}", a_unit / median);
    }
    for (imports, call) in CALLS {
        // The turn around the calls is the same for few and many.
        let [few, many] = [10, 60].map(|count| measure_call(imports, call, count));
        let (ns, fuel) = ((many.0 - few.0) / 50.0, (many.1 - few.1) / 50.0);
        println!(
            "{:6.2} x  {:6.3} ns a unit  {ns:6.1} ns  {imports} {call}",
            ns / fuel / median,
            ns / fuel
        );
    }
}
