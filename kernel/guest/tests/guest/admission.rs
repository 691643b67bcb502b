//! Admission: every rule refuses by name, nothing hostile panics, and instrumentation changes
//! nothing but what it is for.

use std::fmt::Write as _;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use wasm_engine_guest::admission::{
    Admitted, DEPTH_EXPORT, DEPTH_WORDS_MAX, ModuleLimits, Refusal, admit,
};
use wasm_engine_guest::engine::{
    MemoryProfile, THREAD_STACK_BYTES_MIN, WASM_STACK_BYTES_MAX, deterministic_engine,
};
use wasmtime::{Engine, Instance, Module, Store, Trap, Val};

const MANIFEST: &str = r#"
name = "test"
version = "1.0.0"
abi = 1
capabilities = ["send", "timer", "publish:a/**", "random"]
"#;
const MEMORY: &str = r#"(memory (export "memory") 1 2)"#;
const FUNCTIONS: &str = r#"
  (func (export "agent_init") (result i32) i32.const 0)
  (func (export "agent_receive") (param i32) (result i32) i32.const 0)
  (func (export "agent_step") (param i32) (result i32) i32.const 0)
  (func (export "agent_shutdown") (result i32) i32.const 0)
  (func (export "agent_inbox") (result i32) i32.const 1024)
  (func (export "agent_inbox_cap") (result i32) i32.const 4096)
"#;

/// A module with these fields and nothing else.
fn bare(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).expect("test module parses")
}

fn section(manifest: &str) -> String {
    let bytes: String = manifest.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    format!("(@custom \"wasm_engine.manifest\" \"{bytes}\")")
}

/// Everything an agent needs, and `fields`; imports come first.
fn agent(imports: &str, fields: &str) -> Vec<u8> {
    bare(&format!("{} {imports} {MEMORY} {fields} {FUNCTIONS}", section(MANIFEST)))
}

fn with_manifest(manifest: &str) -> Vec<u8> {
    bare(&format!("{} {MEMORY} {FUNCTIONS}", section(manifest)))
}

fn refusal(wasm: &[u8]) -> Refusal {
    let error = admit("m", wasm, &ModuleLimits::default()).expect_err("must be refused");
    let text = error.to_string();
    assert!(text.starts_with("module `m` is refused: "), "{text}");
    assert!(!text.ends_with('.') && text.len() < 2_000, "{text}");
    *error.refusal
}

fn admitted(wasm: &[u8]) -> Admitted {
    admit("m", wasm, &ModuleLimits::default()).expect("must be admitted")
}

macro_rules! assert_refused {
    ($wasm:expr, $pattern:pat $(if $guard:expr)?) => {
        let refused = refusal(&$wasm);
        assert!(matches!(refused.clone(), $pattern $(if $guard)?), "{refused:?}");
    };
}

// ---- rules, one by one ----

#[test]
fn a_good_module_is_admitted() {
    let wasm = agent(
        r#"(import "wasm_engine" "send" (func (param i64 i32 i32) (result i64)))
           (import "wasm_engine" "publish" (func (param i32 i32 i32) (result i64)))
           (import "wasm_engine" "tick" (func (result i64)))"#,
        "(global (mut i32) (i32.const 7)) (global i64 (i64.const 1))
         (global (mut v128) (v128.const i64x2 1 2))
         (table 3 funcref) (elem (i32.const 1) func 3) (data (i32.const 8) \"hello\")",
    );
    let good = admitted(&wasm);
    assert_eq!((good.globals, good.memory_bytes_min, good.memory_bytes_max), (2, 65_536, 131_072));
    assert_eq!(good.manifest.name, "test");
    assert_eq!(good.hash, *blake3::hash(&wasm).as_bytes());
    assert_eq!(good, admitted(&wasm), "admission is a pure function");
    let mut store = Store::new(&engine(1), ());
    let instance = instantiate(&mut store, &good.wasm);
    assert!(instance.get_global(&mut store, "__we_g0").is_some());
    assert!(instance.get_global(&mut store, "__we_g1").is_some());
    assert!(instance.get_global(&mut store, "__we_g2").is_none());
    assert_eq!(depth(&mut store, &instance), 0);
}

#[test]
fn sizes_are_limited() {
    let limits = ModuleLimits::default();
    let bytes = vec![0; limits.module_bytes_max as usize + 1];
    assert_refused!(bytes, Refusal::ModuleTooLarge { .. });
    let many = |what: &str, count: usize| agent("", &what.repeat(count));
    assert_refused!(many("(func)", 10_001), Refusal::TooMany { what: "functions", .. });
    assert_refused!(
        many("(global i32 (i32.const 0))", 1_001),
        Refusal::TooMany { what: "globals", .. }
    );
    assert_refused!(
        many("(data (i32.const 0) \"x\")", 1_001),
        Refusal::TooMany { what: "data segments", .. }
    );
    assert_refused!(
        agent("", "(table 10001 funcref)"),
        Refusal::TooMany { what: "table elements", .. }
    );
    assert_refused!(
        agent("", "(table 1 funcref) (table 1 funcref)"),
        Refusal::TooMany { what: "tables", .. }
    );
}

#[test]
fn functions_are_limited() {
    let body = format!("(func {})", "i32.const 1 drop ".repeat(50_000));
    assert_refused!(agent("", &body), Refusal::FunctionTooLarge { what: "bytes of code", .. });
    let locals = format!("(func (local {}))", "i64 ".repeat(5_000));
    assert_refused!(
        agent("", &locals),
        Refusal::FunctionTooLarge {
            function: 0,
            what: "parameters and locals",
            count: 5_000,
            max: 1_000
        }
    );
    let ifs = format!("(func {} {})", "i32.const 1 if ".repeat(1_100), "end ".repeat(1_100));
    assert_refused!(agent("", &ifs), Refusal::FunctionTooLarge { what: "nested blocks", .. });
    let edge = format!("(func {} {})", "block ".repeat(1_024), "end ".repeat(1_024));
    admitted(&agent("", &edge));
    let table = format!("(func i32.const 0 br_table {})", "0 ".repeat(60_000));
    assert_refused!(
        agent("", &table),
        Refusal::FunctionTooLarge { what: "targets in one br_table", .. }
    );
    let heavy =
        format!("(func (local v128) {})", "local.get 0 i32x4.abs local.set 0 ".repeat(18_000));
    assert_refused!(
        agent("", &heavy),
        Refusal::FunctionTooLarge { what: "words of stack frame", .. }
    );
}

#[test]
fn the_memory_is_exactly_one_and_bounded() {
    let with = |memory: &str| bare(&format!("{} {memory} {FUNCTIONS}", section(MANIFEST)));
    assert_refused!(with(""), Refusal::MemoryCount { count: 0 });
    assert_refused!(with(&format!("{MEMORY} (memory 1 2)")), Refusal::MemoryCount { count: 2 });
    assert_refused!(with(r#"(memory (export "memory") 1)"#), Refusal::MemoryUnbounded { .. });
    assert_refused!(with(r#"(memory (export "memory") 1 257)"#), Refusal::MemoryTooLarge { .. });
    assert_refused!(
        with(r#"(import "wasm_engine" "memory" (memory 1 2)) (export "memory" (memory 0))"#),
        Refusal::UnknownImport { .. }
    );
    for extension in [
        r#"(memory (export "memory") i64 1 2)"#,
        r#"(memory (export "memory") 1 2 shared)"#,
        r#"(memory (export "memory") 1 2 (pagesize 1))"#,
    ] {
        assert_refused!(with(extension), Refusal::Invalid { .. });
    }
}

#[test]
fn hidden_state_is_forbidden() {
    for (fields, expected) in [
        ("(table 1 funcref) (func i32.const 0 ref.null func table.set 0)", "table.set"),
        ("(table 1 funcref) (func ref.null func i32.const 1 table.grow 0 drop)", "table.grow"),
        (
            "(table 1 funcref) (func i32.const 0 ref.null func i32.const 1 table.fill 0)",
            "table.fill",
        ),
        (
            "(table 1 funcref) (func i32.const 0 i32.const 0 i32.const 0 table.copy 0 0)",
            "table.copy",
        ),
        (
            "(table 1 funcref) (elem (i32.const 0) func 0)
             (func i32.const 0 i32.const 0 i32.const 0 table.init 0 0)",
            "table.init",
        ),
        ("(elem declare func 0) (func elem.drop 0)", "elem.drop"),
        ("(data (i32.const 0) \"x\") (func data.drop 0)", "data.drop"),
        (
            "(data (i32.const 0) \"x\") (func i32.const 0 i32.const 0 i32.const 0 memory.init 0)",
            "memory.init",
        ),
        ("(data \"x\")", "a passive data segment"),
        ("(elem func 0)", "a passive element segment"),
        ("(global (mut funcref) (ref.null func))", "a global of reference type"),
        ("(func) (start 0)", "a start function"),
        ("(func (loop br 0)) (start 0)", "a start function"),
    ] {
        assert_refused!(agent("", fields), Refusal::Forbidden { what, .. } if what == expected);
    }
}

#[test]
fn segments_lie_inside() {
    for (fields, expected) in [
        ("(data (i32.const 65536) \"x\")", "data"),
        ("(data (i32.const -1) \"x\")", "data"),
        ("(table 1 funcref) (elem (i32.const 1) func 0)", "element"),
    ] {
        let wasm = agent("", fields);
        assert_refused!(wasm, Refusal::SegmentOutside { what, .. } if what == expected);
    }
    admitted(&agent("", "(data (i32.const 65535) \"x\")"));
}

#[test]
fn extensions_are_invalid() {
    for fields in [
        "(func (param externref))",
        "(func $f (return_call $f))",
        "(type $t (func)) (func (param (ref null $t)) local.get 0 call_ref $t)",
        "(func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)",
        "(tag)",
        "(type (struct))",
        "(global i32 (i32.add (i32.const 1) (i32.const 1)))",
        "(func (param i64 i64 i64 i64) (result i64 i64)
           local.get 0 local.get 1 local.get 2 local.get 3 i64.add128)",
        "(func (result i32) i32.const 0 i32.const 0 i32.atomic.rmw.add)",
    ] {
        assert_refused!(agent("", fields), Refusal::Invalid { .. });
    }
    assert_refused!(wat::parse_str("(component)").expect("parses"), Refusal::Invalid { .. });
    assert_refused!(*b"not wasm at all", Refusal::Invalid { .. });
    assert_refused!(Vec::new(), Refusal::Invalid { .. });
}

#[test]
fn the_manifest_is_checked() {
    let good = |extra: &str| format!("{MANIFEST}{extra}");
    assert_refused!(bare(MEMORY), Refusal::ManifestCount { count: 0, .. });
    let twice = format!("{0} {0} {MEMORY} {FUNCTIONS}", section(MANIFEST));
    assert_refused!(bare(&twice), Refusal::ManifestCount { count: 2, .. });
    for text in
        ["name = ", "[[[", "name = \"x\"\nname = \"y\"", &"[".repeat(5_000), &"a = [".repeat(5_000)]
    {
        assert_refused!(with_manifest(text), Refusal::ManifestSyntax { .. });
    }
    let not_utf8 = format!("(@custom \"wasm_engine.manifest\" \"\\ff\") {MEMORY} {FUNCTIONS}");
    assert_refused!(bare(&not_utf8), Refusal::ManifestSyntax { .. });
    let huge = good(&format!("#{}", "x".repeat(70_000)));
    assert_refused!(with_manifest(&huge), Refusal::ManifestSyntax { .. });
    assert_refused!(
        with_manifest(&good("colour = 1")),
        Refusal::ManifestSyntax { problem } if problem.contains("colour")
    );
    assert_refused!(
        with_manifest("abi = 2\nshape = \"new\""),
        Refusal::AbiVersion { found: 2, supported: 1 }
    );
    for (text, name) in [
        (MANIFEST.replace("abi = 1", ""), "abi"),
        (MANIFEST.replace("abi = 1", "abi = \"1\""), "abi"),
        (MANIFEST.replace("\"test\"", "\"\""), "name"),
        (MANIFEST.replace("\"test\"", "\"a b\""), "name"),
        (MANIFEST.replace("1.0.0", ""), "version"),
        (good("fuel_per_call = 0"), "fuel_per_call"),
    ] {
        assert_refused!(
            with_manifest(&text),
            Refusal::ManifestField { field, .. } if field == name
        );
    }
    assert_refused!(with_manifest(&good("fuel_per_call = -1")), Refusal::ManifestSyntax { .. });
    assert_refused!(
        with_manifest(&MANIFEST.replace("random", "files:*")),
        Refusal::UnknownCapability { text, .. } if text == "files:*"
    );
}

#[test]
fn the_memory_budget_bounds_growth() {
    let budget = |bytes: u64| with_manifest(&format!("{MANIFEST}memory_bytes = {bytes}"));
    assert_eq!(admitted(&budget(70_000)).memory_bytes_max, 65_536);
    assert_eq!(admitted(&budget(1 << 20)).memory_bytes_max, 131_072);
    assert_refused!(budget(65_535), Refusal::MemoryBudget { .. });
    assert_refused!(budget(1 << 40), Refusal::MemoryBudget { .. });
}

#[test]
fn imports_are_listed_typed_and_granted() {
    let import = |text: &str| agent(&format!("(import {text})"), "");
    for text in [
        r#""env" "send" (func (param i64 i32 i32) (result i64))"#,
        r#""wasm_engine" "open" (func)"#,
        r#""wasm_engine" "g" (global i32)"#,
        r#""wasm_engine" "t" (table 1 funcref)"#,
        r#""wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32))"#,
    ] {
        assert_refused!(import(text), Refusal::UnknownImport { .. });
    }
    assert_refused!(
        import(r#""wasm_engine" "send" (func (param i32 i32 i32) (result i64))"#),
        Refusal::ImportType { name, expected, .. }
            if name == "send" && expected == "(i64, i32, i32) -> (i64)"
    );
    assert_refused!(
        import(r#""wasm_engine" "subscribe" (func (param i32) (result i64))"#),
        Refusal::NotGranted { capability, .. } if capability == "subscribe:PATTERN"
    );
    assert_refused!(
        import(r#""wasm_engine" "terminate" (func (param i64) (result i64))"#),
        Refusal::NotGranted { capability, .. } if capability == "lifecycle"
    );
    let lots = r#"(import "wasm_engine" "tick" (func (result i64)))"#.repeat(1_001);
    assert_refused!(agent(&lots, ""), Refusal::TooMany { what: "imports", .. });
}

#[test]
fn exports_are_present_and_typed() {
    let with = |memory: &str, functions: &str| {
        bare(&format!("{} {memory} {functions}", section(MANIFEST)))
    };
    for name in [
        "agent_init",
        "agent_receive",
        "agent_step",
        "agent_shutdown",
        "agent_inbox",
        "agent_inbox_cap",
    ] {
        let missing = FUNCTIONS.replace(&format!("\"{name}\""), "\"other\"");
        assert_refused!(
            with(MEMORY, &missing),
            Refusal::Export { name: n, found, .. } if n == name && found == "missing"
        );
    }
    let wrong = FUNCTIONS.replace("\"agent_step\") (param i32)", "\"agent_step\") (param i64)");
    assert_refused!(
        with(MEMORY, &wrong),
        Refusal::Export { name: "agent_step", found, .. } if found == "(i64) -> (i32)"
    );
    let global = r#"(memory 1 2) (global (export "memory") i32 (i32.const 0))"#;
    assert_refused!(
        with(global, FUNCTIONS),
        Refusal::Export { name: "memory", found, .. } if found == "a global"
    );
    assert_refused!(with("(memory 1 2)", FUNCTIONS), Refusal::Export { name: "memory", .. });
    let not_function = FUNCTIONS.replace("\"agent_init\"", "\"x\"")
        + "(global (export \"agent_init\") i32 (i32.const 0))";
    assert_refused!(with(MEMORY, &not_function), Refusal::Export { name: "agent_init", .. });
    assert_refused!(
        agent("", r#"(global (export "__we_depth") (mut i32) (i32.const 0))"#),
        Refusal::ReservedExport { .. }
    );
}

// ---- hostile bytes ----

#[test]
fn every_cut_of_a_module_is_refused() {
    let wasm = agent("", "(global (mut i32) (i32.const 1)) (func (param i32) local.get 0 br_if 0)");
    admitted(&wasm);
    let limits = ModuleLimits::default();
    for cut in 0..wasm.len() {
        assert!(admit("m", &wasm[..cut], &limits).is_err(), "cut at {cut}");
        let _ = admit("m", &wasm[cut..], &limits);
    }
}

/// Recursion, tables, several results, loops: something for every part of admission to misread.
fn rich() -> Vec<u8> {
    agent("", SEMANTICS)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_modules_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut wasm = rich();
        for (index, byte) in changes {
            let at = index.index(wasm.len());
            wasm[at] = byte;
        }
        if let Ok(admitted) = admit("m", &wasm, &ModuleLimits::default()) {
            prop_assert!(wasmparser::validate(&admitted.wasm).is_ok());
        }
    }

    #[test]
    fn garbage_never_panics(mut wasm in prop::collection::vec(any::<u8>(), 0..200), header: bool) {
        if header {
            wasm.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        prop_assert!(admit("m", &wasm, &ModuleLimits::default()).is_err());
    }
}

// ---- instrumentation ----

fn engine(seats: u32) -> Engine {
    let profile = MemoryProfile { seats, memory_bytes_max: 16 << 20, layout: None };
    deterministic_engine(profile).expect("engine starts").wasmtime().clone()
}

fn instantiate(store: &mut Store<()>, wasm: &[u8]) -> Instance {
    store.set_fuel(1_000_000_000).expect("fuel is on");
    let module = Module::new(store.engine(), wasm).expect("admitted modules compile");
    let imports: Vec<wasmtime::Extern> = module
        .imports()
        .filter_map(|import| import.ty().func().cloned())
        .map(|ty| {
            let results = ty.clone();
            wasmtime::Func::new(&mut *store, ty, move |_, _, out| {
                for (slot, ty) in out.iter_mut().zip(results.results()) {
                    *slot = Val::default_for_ty(&ty).expect("numbers have defaults");
                }
                Ok(())
            })
            .into()
        })
        .collect();
    Instance::new(store, &module, &imports).expect("admitted modules instantiate")
}

fn depth(store: &mut Store<()>, instance: &Instance) -> u32 {
    let global = instance.get_global(&mut *store, DEPTH_EXPORT).expect("depth is exported");
    global.get(&mut *store).i32().expect("an i32").cast_unsigned()
}

/// Functions from one `i32` to anything, each calling others so that it is counted.
const SEMANTICS: &str = r#"
  (type $two (func (param i32) (result i32 i64)))
  (type $un (func (param i32) (result i32)))
  (global $g (mut i32) (i32.const 3))
  (global $h (mut f64) (f64.const 0.5))
  (table 4 funcref)
  (elem (i32.const 0) func $id $twice $fib)
  (func $id (type $un) local.get 0)
  (func $twice (type $un) (call $id (local.get 0)) (call $id (local.get 0)) i32.add)
  (func $fib (export "fib") (type $un)
    (if (i32.lt_s (local.get 0) (i32.const 2)) (then (return (local.get 0))))
    (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
             (call $fib (i32.sub (local.get 0) (i32.const 2)))))
  (func (export "loops") (param i32) (result i64) (local $i i32) (local $sum i64)
    (block $out
      (loop $next
        (br_if $out (i32.ge_u (local.get $i) (local.get 0)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_s (call $twice (local.get $i)))))
        (if (i64.gt_s (local.get $sum) (i64.const 500)) (then (return (local.get $sum))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    local.get $sum)
  (func (export "switch") (type $un) (local $acc i32)
    (block $d (block $c (block $b (block $a
      (br_table $a $b $c $d (local.get 0)))
      (return (call $id (i32.const 10))))
      (local.set $acc (i32.const 20))
      (br $d))
      (br 1 (i32.const 30)))
    (i32.add (local.get $acc) (call $id (i32.const 1))))
  (func $switch5 (export "switch_function_label") (type $un)
    (drop (call $id (i32.const 0)))
    (block (result i32)
      (block (result i32)
        (br_table 0 1 2 (i32.const 77) (local.get 0)))
      (i32.const 1) i32.add)
    (i32.const 100) i32.add)
  (func $pair (export "pair") (type $two)
    (if (i32.eqz (local.get 0)) (then (return (i32.const -1) (i64.const -2))))
    (call $id (local.get 0)) (i64.extend_i32_s (local.get 0)))
  (func (export "pairs") (param i32) (result i32 i64 f64) (local i32 i64)
    (loop (param) (result)
      (call $pair (local.get 0)) local.set 2 local.set 1
      (block (result i32 i64 f64)
        (br_if 2 (local.get 1) (local.get 2) (f64.const 2.5) (i32.gt_s (local.get 0) (i32.const 3)))
        (br_table 0 2 2 (i32.and (local.get 0) (i32.const 1))))
      return)
    unreachable)
  (func (export "nothing") (param i32)
    (call $bump (local.get 0))
    (br_if 0 (i32.and (local.get 0) (i32.const 1)))
    (block (block (block (br_if 3 (i32.and (local.get 0) (i32.const 2))) return)))
    (call $bump (i32.const 1000)))
  (func $bump (param i32)
    (drop (call $id (i32.const 0)))
    (global.set $g (i32.add (global.get $g) (local.get 0)))
    (global.set $h (f64.div (global.get $h) (f64.const 3)))
    (i32.store (i32.const 64) (global.get $g)))
  (func (export "indirect") (type $un)
    (call_indirect (type $un) (local.get 0) (i32.rem_u (local.get 0) (i32.const 3))))
  (func (export "bad_indirect") (type $un)
    (call_indirect (type $un) (local.get 0) (local.get 0)))
  (func (export "dead_code") (type $un)
    (drop (call $id (i32.const 1)))
    local.get 0 return i32.add drop i32.const 5 (block (return (i32.const 6))) unreachable)
  (func (export "divide") (type $un)
    (i32.div_s (call $id (i32.const 100)) (i32.sub (local.get 0) (i32.const 4))))
  (func (export "mutual") (type $un) (call $even (local.get 0)))
  (func $even (type $un)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (call $odd (i32.sub (local.get 0) (i32.const 1))))))
  (func $odd (type $un)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (call $even (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "wide") (param i32) (result v128 i32)
    (drop (call $id (i32.const 1)))
    (if (local.get 0) (then (return (i32x4.splat (local.get 0)) (i32.const 1))))
    (v128.const i64x2 1 2) (i32.const 2))
"#;

/// Calls every export with several arguments and writes down all that can be seen.
fn observe(engine: &Engine, wasm: &[u8]) -> String {
    let mut store = Store::new(engine, ());
    let instance = instantiate(&mut store, wasm);
    let exports: Vec<(String, wasmtime::Func)> = instance
        .exports(&mut store)
        .filter_map(|e| Some((e.name().to_owned(), e.into_func()?)))
        .collect();
    let mut seen = String::new();
    for (name, function) in exports {
        let ty = function.ty(&store);
        for argument in [0, 1, 2, 3, 4, 5, 6, 7, 11, -1, 18] {
            let args = vec![Val::I32(argument); ty.params().len()];
            if argument < 0 && (name == "fib" || name == "mutual") {
                continue;
            }
            let mut results = vec![Val::I32(0); ty.results().len()];
            let outcome = function.call(&mut store, &args, &mut results);
            let trap = outcome.err().map(|error| error.downcast::<Trap>().expect("a trap"));
            let results = if trap.is_some() { Vec::new() } else { results };
            let _ = writeln!(seen, "{name}({argument}) {results:?} {trap:?}");
        }
    }
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    let _ = writeln!(seen, "{}", blake3::hash(memory.data(&store)));
    seen
}

#[test]
fn instrumented_modules_do_the_same() {
    let original = rich();
    let instrumented = admitted(&original).wasm;
    assert_ne!(original, instrumented);
    for agents_max in [1, 100_000] {
        let engine = engine(agents_max);
        let expected = observe(&engine, &original);
        assert_eq!(expected, observe(&engine, &instrumented));
        for part in ["fib(11) [I32(89)] None", "IntegerDivisionByZero", "IndirectCallToNull"] {
            assert!(expected.contains(part), "{part} missing from {expected}");
        }
    }
}

#[test]
fn depth_is_zero_between_calls() {
    let engine = engine(1);
    let mut store = Store::new(&engine, ());
    let instance = instantiate(&mut store, &admitted(&rich()).wasm);
    for name in ["fib", "switch", "dead_code", "mutual"] {
        let run = instance.get_typed_func::<i32, i32>(&mut store, name).expect("exported");
        for argument in 0..6 {
            run.call(&mut store, argument).expect("no trap");
            assert_eq!(depth(&mut store, &instance), 0, "{name}({argument})");
        }
    }
}

#[test]
fn leaves_are_copied() {
    let wasm = admitted(&agent("", "")).wasm;
    let text = format!("{wasm:02x?}");
    let counted = admitted(&agent("", "(func call 0)")).wasm;
    assert!(counted.len() > wasm.len() + 30, "only the calling function grows");
    // global.get 0; i32.const; i32.add: no body of a leaf begins like this.
    assert!(!text.contains("23, 00, 41"));
}

#[test]
fn state_globals_are_exported_in_order() {
    let fields = r#"(global (mut i32) (i32.const 10)) (global i32 (i32.const 11))
      (global (export "mine") (mut i32) (i32.const 12)) (global (mut i64) (i64.const 13))"#;
    let good = admitted(&agent("", fields));
    assert_eq!(good.globals, 3);
    let mut store = Store::new(&engine(1), ());
    let instance = instantiate(&mut store, &good.wasm);
    let mut value = |name| {
        let global = instance.get_global(&mut store, name).expect("exported");
        match global.get(&mut store) {
            Val::I32(value) => i64::from(value),
            Val::I64(value) => value,
            other => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!([value("__we_g0"), value("__we_g1"), value("__we_g2")], [10, 12, 13]);
    assert_eq!(value("mine"), 12);
}

// ---- call depth ----

/// `count` times what `each` makes of the index.
fn repeat(count: usize, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect()
}

/// Recursions without end whose native frames are as large as we know to make them.
fn fat_recursions() -> Vec<(String, String)> {
    const CALL: &str = "(func (export \"run\") (param i32) (call $f (i64.const 5)))";
    let mut all = vec![
        ("slim".to_owned(), format!("(func $f (param i64) (call $f (local.get 0))) {CALL}")),
        (
            "indirect".to_owned(),
            format!(
                "(table 1 funcref) (elem (i32.const 0) func $f) (func $f (param i64)
                 (call_indirect (param i64) (local.get 0) (i32.const 0))) {CALL}"
            ),
        ),
    ];
    for n in [10, 100, 900] {
        let set = |i| format!("(local.set {} (i64.mul (local.get {i}) (local.get 0)))", i + 1);
        let use_ = |i| format!("(i64.store (i32.const {}) (local.get {i}))", i * 8);
        all.push((
            format!("{n} locals that live across the call"),
            format!(
                "(func $f (param i64) (local {}) {} (call $f (local.get {n})) {}) {CALL}",
                "i64 ".repeat(n),
                repeat(n, set),
                repeat(n, use_)
            ),
        ));
    }
    for n in [50, 900] {
        let push = |i| format!("(i64.rotl (local.get 0) (i64.load (i32.const {i})))");
        all.push((
            format!("{n} operands that live across the call"),
            format!(
                "(func $f (param i64) {} (call $f (local.get 0)) {} drop) {CALL}",
                repeat(n, push),
                "i64.xor ".repeat(n - 1)
            ),
        ));
    }
    for (ty, value) in [("i64 ", "(i64.const 1)"), ("v128 ", "(v128.const i64x2 1 2)")] {
        all.push((
            format!("60 results {ty}"),
            format!(
                "(func $f (param i64) (result {}) (call $f (local.get 0)))
                 (func (export \"run\") (param i32) (call $f (i64.const 5)) {})",
                ty.repeat(60),
                "drop ".repeat(60)
            ),
        ));
        all.push((
            format!("120 arguments {ty}"),
            format!(
                "(func $f (param {}) (call $f {}))
                 (func (export \"run\") (param i32) (call $f {}))",
                ty.repeat(120),
                repeat(120, |i| format!("(local.get {i})")),
                value.repeat(120)
            ),
        ));
    }
    all.extend(kept_values());
    all
}

/// Frames full of values that are nowhere on the operand stack: the compiler keeps them because
/// they are computed again behind the call, or in every turn of a loop around it.
fn kept_values() -> Vec<(String, String)> {
    let function = |ty: &str, value: &str, body: String| {
        format!(
            "(global $s (mut {ty}) {value})
             (func $f (param {ty}) (local $v {ty}) {body})
             (func (export \"run\") (param i32) (call $f {value}))"
        )
    };
    let chain = |op: &str, sink: &str, n: usize| {
        let each = format!("(local.set $v ({op} (local.get $v) (local.get 0))) {sink} ");
        format!("(local.set $v (local.get 0)) {}", each.repeat(n))
    };
    let around = |turn: &str| format!("(loop $l (call $f (local.get 0)) {turn} (br $l))");
    let sum = "(global.set $s (i64.xor (global.get $s) (local.get $v)))";
    let store = "(i64.store8 (i32.wrap_i64 (local.get $v)) (local.get 0))";
    let wide_sum = "(global.set $s (v128.xor (global.get $s) (local.get $v)))";
    let mut all = Vec::new();
    for n in [20, 300, 3_000] {
        let (quiet, again) = (chain("i64.mul", "", n), chain("i64.mul", sum, n));
        let body = format!("{quiet} {sum} (call $f (local.get 0)) {again}");
        all.push((format!("{n} values recomputed"), function("i64", "(i64.const 5)", body)));
        let body = around(&again);
        all.push((format!("{n} loop invariants"), function("i64", "(i64.const 5)", body)));
        let body = around(&chain("i64.mul", store, n));
        all.push((format!("{n} invariant addresses"), function("i64", "(i64.const 5)", body)));
        let body = around(&chain("i32x4.add", wide_sum, n));
        let wide = "(v128.const i64x2 5 7)";
        all.push((format!("{n} wide loop invariants"), function("v128", wide, body)));
    }
    for n in [500, 9_000] {
        let load = |i| format!("(drop (i64.load offset={} (local.get 1)))", 70_000 + i * 8);
        let body = around(&repeat(n, load));
        all.push((
            format!("{n} checked loads"),
            format!(
                "(func $f (param i64) (local i32) {body})
                 (func (export \"run\") (param i32) (call $f (i64.const 5)))"
            ),
        ));
    }
    all
}

fn on_worker_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(THREAD_STACK_BYTES_MIN)
            .spawn_scoped(scope, work)
            .expect("a thread starts")
            .join()
            .expect("the work does not panic")
    })
}

#[test]
fn endless_recursion_ends_in_the_depth_trap() {
    assert_eq!(DEPTH_WORDS_MAX as usize * 8 * 4, WASM_STACK_BYTES_MAX);
    for agents_max in [1, 100_000] {
        let engine = engine(agents_max);
        for (kind, fields) in fat_recursions() {
            let good = admitted(&agent("", &fields));
            let (trap, depth) = on_worker_stack(|| {
                let mut store = Store::new(&engine, ());
                let instance = instantiate(&mut store, &good.wasm);
                let run = instance.get_typed_func::<i32, ()>(&mut store, "run").expect("exported");
                let error = run.call(&mut store, 0).expect_err("must trap");
                (error.downcast::<Trap>().expect("a trap"), depth(&mut store, &instance))
            });
            assert_eq!(trap, Trap::UnreachableCodeReached, "{kind}, {agents_max} agents");
            assert!(depth > DEPTH_WORDS_MAX, "{kind}: depth {depth}");
        }
    }
}

#[test]
fn other_traps_leave_a_depth_within_the_limit() {
    let wasm = agent("", "(func (export \"run\") (param i32) call 1 drop unreachable)");
    // Function 1 is agent_init: the fields above come first.
    let mut store = Store::new(&engine(1), ());
    let instance = instantiate(&mut store, &admitted(&wasm).wasm);
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").expect("exported");
    let error = run.call(&mut store, 0).expect_err("must trap");
    assert_eq!(error.downcast::<Trap>().expect("a trap"), Trap::UnreachableCodeReached);
    let depth = depth(&mut store, &instance);
    assert!(depth > 0 && depth <= DEPTH_WORDS_MAX);
}

#[test]
fn reasonable_recursion_is_possible() {
    let fields = "(func $f (export \"run\") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.const 0))))";
    let mut store = Store::new(&engine(1), ());
    let instance = instantiate(&mut store, &admitted(&agent("", fields)).wasm);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").expect("exported");
    assert_eq!(run.call(&mut store, 1_500).expect("within the limit"), 1_500);
    assert!(run.call(&mut store, 4_000).is_err());
}
