//! Modules that ask for what cannot be: what happens to them, in every layout of memories.

use wasm_engine_abi::frame::fault;
use wasm_engine_setup::{Limits, Setup};

use crate::rig::{FUEL, Rig, Turn, setup};

/// Most agents of the sparse layout, and one more.
const LAYOUTS: [u32; 2] = [8_192, 8_193];

/// An agent whose step is `body`, over `fields`.
fn agent(memory: &str, fields: &str, body: &str) -> String {
    format!(
        r#"(module (memory (export "memory") {memory}) {fields}
          (func (export "agent_inbox") (result i32) (i32.const 1024))
          (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
          (func (export "agent_init") (result i32) (i32.const 0))
          (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
          (func (export "agent_step") (param i32) (result i32) {body})
          (func (export "agent_shutdown") (result i32) (i32.const 0)))"#
    )
}

fn of_layout(agents_max: u32, pages: u64) -> Setup {
    let limits = Limits { agents_max, memory_bytes_max: pages << 16, ..Limits::default() };
    Setup { limits, ..setup() }
}

/// The init and the first step of an agent.
fn turns(wat: &str, setup: &Setup) -> [Turn; 2] {
    let mut rig = Rig::of(wat, setup);
    [rig.init(0, b""), rig.step(&[])]
}

/// What the step of `body` returned in a memory of 1 to 4 pages, and its fuel.
fn step(body: &str) -> (u32, i32, u64) {
    let [_, turn] = turns(&agent("1 4", "", body), &of_layout(8, 16));
    (turn.result.fault, turn.result.code, turn.result.fuel)
}

#[test]
fn a1_9_segments_cost_no_turn_anything_in_any_layout() {
    let table = "(type $ft (func (result i32))) (func $f (result i32) i32.const 7)
        (table 10 funcref)";
    let ask = "(call_indirect (type $ft) (i32.const 2))";
    let elements = |items: &str| format!("{table} (elem (i32.const 0) {items})");
    let data = |from: u32, to: u32| {
        format!("(data (i32.const {from}) \"\\07\") (data (i32.const {to}) \"\\07\")")
    };
    // 320 pages are 20 MiB: far apart for an image of a memory.
    for (what, pages, fields, ask) in [
        ("data", 4, data(8, 65_536), "(i32.load8_u (i32.const 65536))"),
        ("data far apart", 400, data(8, 320 << 16), "(i32.load8_u (i32.const 20971520))"),
        ("functions", 4, elements("func $f $f $f"), ask),
        ("expressions", 4, elements("funcref (ref.func $f) (ref.null func) (ref.func $f)"), ask),
    ] {
        let memory = format!("{pages} {pages}");
        let wat = agent(&memory, &fields, ask);
        let plain = agent(&memory, "(func $f (result i32) i32.const 7)", "(call $f)");
        let bare = turns(&plain, &of_layout(8, pages))[0].result.fuel;
        let seen = LAYOUTS.map(|agents_max| {
            let [init, step] = turns(&wat, &of_layout(agents_max, pages));
            assert_eq!((init.result.fault, step.result.fault), (0, 0), "{what}, {agents_max}");
            assert_eq!(step.result.code, 7, "{what}, {agents_max}");
            assert_eq!(init.result.fuel, bare, "{what}, {agents_max}");
            (init.result.fuel, step.result.fuel)
        });
        assert_eq!(seen[0], seen[1], "{what}");
    }
}

#[test]
fn a1_7_a_growth_beyond_the_limit_gives_minus_one_whatever_fuel_is_left() {
    let grow =
        |pages: i64| step(&format!("(i32.eq (memory.grow (i32.const {pages})) (i32.const -1))"));
    let (fault, refused, fuel) = grow(4);
    assert_eq!((fault, refused), (fault::NONE, 1));
    for pages in [5, 4_000, 65_535, 65_536, -1, i64::from(i32::MIN)] {
        assert_eq!(grow(pages), (fault::NONE, 1, fuel), "{pages}");
    }
    let (fault, refused, more) = grow(3);
    assert_eq!((fault, refused), (fault::NONE, 0));
    assert!(more > fuel + 3 * 200, "pages are paid for");
    assert_eq!(step("(drop (memory.grow (i32.const 3))) (memory.size)").1, 4);
}

#[test]
fn a1_8_a_fill_or_copy_outside_is_an_access_out_of_bounds_whatever_fuel_is_left() {
    let far = 100_000_000;
    assert!(far > FUEL);
    let outside = [
        format!("(memory.fill (i32.const 0) (i32.const 0) (i32.const {far}))"),
        "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))".to_owned(),
        "(memory.fill (i32.const 65537) (i32.const 0) (i32.const 0))".to_owned(),
        "(memory.fill (i32.const -1) (i32.const 0) (i32.const -1))".to_owned(),
        format!("(memory.copy (i32.const 0) (i32.const 8) (i32.const {far}))"),
        "(memory.copy (i32.const 65000) (i32.const 0) (i32.const 1000))".to_owned(),
        "(memory.copy (i32.const 0) (i32.const 65000) (i32.const 1000))".to_owned(),
        "(memory.copy (i32.const 65537) (i32.const 0) (i32.const 0))".to_owned(),
        "(memory.copy (i32.const 0) (i32.const -1) (i32.const -1))".to_owned(),
    ];
    for body in outside {
        let (fault, _, _) = step(&format!("{body} (i32.const 0)"));
        assert_eq!(fault, fault::OUT_OF_BOUNDS, "{body}: {}", fault::text(fault));
    }
    // One that fits but cannot be paid.
    let setup = of_layout(8, 64);
    let wat = agent(
        "64 64",
        "",
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const 4000000)) (i32.const 0)",
    );
    assert_eq!(turns(&wat, &setup)[1].result.fault, fault::OUT_OF_FUEL);
}

#[test]
fn fills_and_copies_inside_do_what_they_should() {
    // Lengths that are constants, short and long, and one that is none; in leaves and others.
    for call in ["", "(call $id)"] {
        let n = |len: u32| format!("(i32.const {len}) {call}");
        for len in [0_u32, 1, 128, 129, 1_000, 40_000] {
            let fill = format!("(memory.fill (i32.const 0) (i32.const 9) {})", n(len));
            let wat = |ask: &str| {
                let fields = "(func $id (param i32) (result i32) local.get 0)";
                agent("1 4", fields, &format!("{fill} {ask}"))
            };
            let load = |at: u32| format!("(i32.load8_u (i32.const {at}))");
            let code = |ask: &str| {
                let [_, turn] = turns(&wat(ask), &of_layout(8, 16));
                assert_eq!(turn.result.fault, fault::NONE, "{len} {call}");
                turn.result.code
            };
            if len > 0 {
                assert_eq!(code(&load(len - 1)), 9);
            }
            assert_eq!(code(&load(len)), 0, "{len} {call}");
            let half = len / 2;
            let copy = format!("(memory.copy (i32.const 40000) (i32.const 0) {})", n(half));
            if half > 0 {
                assert_eq!(code(&format!("{copy} {}", load(40_000 + half - 1))), 9);
            }
            assert_eq!(code(&format!("{copy} {}", load(40_000 + half))), 0, "{len} {call}");
        }
    }
}
