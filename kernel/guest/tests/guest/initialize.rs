//! `_initialize`, which some languages need to be called before all else.

use wasm_engine_abi::frame::{TurnCommand, fault, turn};
use wasm_engine_guest::admission::{ModuleLimits, Refusal, admit};

use crate::rig::{FUEL, Rig, setup, wasm};

/// An agent that adds 1 to what it counts before `agent_init`, and gives the count with each code:
/// `agent_init` 10 times the count, `agent_step` the count.
fn counting(initialize: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1 1) (global $n (mut i32) (i32.const 0))
          (global $inbox (mut i32) (i32.const 7))
          {initialize}
          (func $count (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (global.set $inbox (i32.const 1024)))
          (func (export "agent_inbox") (result i32) (global.get $inbox))
          (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
          (func (export "agent_init") (result i32) (i32.mul (global.get $n) (i32.const 10)))
          (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
          (func (export "agent_step") (param i32) (result i32) (global.get $n))
          (func (export "agent_shutdown") (result i32) (i32.const 0)))"#
    )
}

#[test]
fn a1_6_initialize_runs_once_per_incarnation_before_all_else() {
    let wat = counting(r#"(func (export "_initialize") (call $count))"#);
    let mut rig = Rig::of(&wat, &setup());
    let init = rig.init(0, b"");
    assert_eq!((init.result.fault, init.result.code), (fault::NONE, 10));
    for _ in 0..3 {
        assert_eq!(rig.step(&[]).result.code, 1);
    }
    // Another incarnation begins anew.
    rig.seq = 0;
    for (kind, code) in [(turn::INIT, 10), (turn::STEP, 1)] {
        let command = TurnCommand { incarnation: 2, ..rig.command(kind) };
        assert_eq!(rig.run(&command, &[], b"").result.code, code);
    }
    // Without it the inbox is none.
    assert_eq!(Rig::of(&counting(""), &setup()).init(0, b"").result.fault, fault::BAD_INBOX);
}

#[test]
fn a1_6_the_fuel_of_initialize_is_the_turns_and_its_budget_its_own() {
    let fuel = |work: u32| {
        let body = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(work as usize);
        let wat = counting(&format!("(func (export \"_initialize\") {body} (call $count))"));
        Rig::of(&wat, &setup()).init(0, b"").result.fuel
    };
    assert_eq!(fuel(100) - fuel(0), 300);
    let wat = counting(r#"(func (export "_initialize") (loop $l (br $l)))"#);
    let turn = Rig::of(&wat, &setup()).init(0, b"");
    assert_eq!((turn.result.fault, turn.result.fuel), (fault::OUT_OF_FUEL, FUEL));
}

#[test]
fn initialize_has_the_type_that_compilers_give_it() {
    for wrong in [
        r#"(func (export "_initialize") (result i32) (i32.const 0))"#,
        r#"(func (export "_initialize") (param i32))"#,
        r#"(global (export "_initialize") i32 (i32.const 0))"#,
    ] {
        let error = admit("m", &wasm(&counting(wrong)), &ModuleLimits::default())
            .expect_err("must be refused");
        assert!(matches!(&*error.refusal, Refusal::Export { name: "_initialize", .. }), "{error}");
    }
}
