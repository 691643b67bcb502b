//! Shapes that cost a compiler out of proportion to their size: refused by name beyond what is
//! measured, and what the largest of each that is admitted takes.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, Instruction as I, MemorySection, MemoryType, Module, RefType,
    TableSection, TableType, TypeSection, ValType,
};
use wasm_engine_guest::admission::{ModuleLimits, Refusal, admit, attach_manifest};
use wasm_engine_guest::engine::{MemoryProfile, deterministic_engine};

use crate::rig::MANIFEST;

/// Types of a module of [`agent`]: nothing, `n` values to as many, `n` values from nothing.
const NOTHING: u32 = 0;
const THROUGH: u32 = 1;
const MADE: u32 = 2;
const NUMBER: u32 = 3;
const GIVEN: u32 = 4;

/// An agent with these functions, each of its type, and table elements that are expressions.
fn agent(values: u32, bodies: &[(u32, Function)], elements: u32) -> Vec<u8> {
    let all = || std::iter::repeat_n(ValType::I64, values as usize);
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function(all(), all());
    types.ty().function([], all());
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32], [ValType::I32]);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for (ty, body) in bodies {
        functions.function(*ty);
        code.function(body);
    }
    let (mut tables, mut segments) = (TableSection::new(), ElementSection::new());
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 10_000,
        maximum: None,
        shared: false,
    });
    let nulls = vec![ConstExpr::ref_null(wasm_encoder::HeapType::FUNC); elements as usize];
    let nulls = Elements::Expressions(RefType::FUNCREF, nulls.into());
    segments.active(None, &ConstExpr::i32_const(0), nulls);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    for (name, ty, value) in [
        ("agent_init", NUMBER, 0),
        ("agent_receive", GIVEN, 0),
        ("agent_step", GIVEN, 0),
        ("agent_shutdown", NUMBER, 0),
        ("agent_inbox", NUMBER, 1024),
        ("agent_inbox_cap", NUMBER, 4096),
    ] {
        exports.export(name, ExportKind::Func, functions.len());
        functions.function(ty);
        code.function(&function(0, |f| {
            f.instruction(&I::I32Const(value));
        }));
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories);
    module.section(&exports).section(&segments).section(&code);
    attach_manifest(&module.finish(), MANIFEST.as_bytes())
}

fn function(locals: u32, each: impl FnOnce(&mut Function)) -> Function {
    let mut function = Function::new([(locals, ValType::I64)]);
    each(&mut function);
    function.instruction(&I::End);
    function
}

fn add(function: &mut Function, instructions: &[I<'_>]) {
    for instruction in instructions {
        function.instruction(instruction);
    }
}

fn push(function: &mut Function, values: u32) {
    (0..values).for_each(|_| add(function, &[I::I64Const(1)]));
}

fn drop_all(function: &mut Function, values: u32) {
    (0..values).for_each(|_| add(function, &[I::Drop]));
}

/// `local 0` as a condition.
const ASK: [I<'static>; 2] = [I::LocalGet(0), I::I32WrapI64];

/// Adds to each local.
fn bump(function: &mut Function, locals: u32) {
    for local in 0..locals {
        let one = [I::LocalGet(local), I::I64Const(1), I::I64Add, I::LocalSet(local)];
        add(function, &one);
    }
}

/// The module of a bomb of so many parts.
type Shape = fn(u32) -> Vec<u8>;

fn through(operator: fn(BlockType) -> I<'static>, n: u32) -> Vec<u8> {
    let ty = BlockType::FunctionType(THROUGH);
    let body = function(0, |f| {
        push(f, 50);
        (0..n).for_each(|_| add(f, &[operator(ty), I::End]));
        drop_all(f, 50);
    });
    agent(50, &[(NOTHING, body)], 0)
}

/// Loops inside one another, `deep` at a time, over locals that all change in them.
fn nested(locals: u32, deep: u32, n: u32) -> Vec<u8> {
    let body = function(locals, |f| {
        for _ in 0..n / deep {
            (0..deep).for_each(|_| add(f, &[I::Loop(BlockType::Empty)]));
            bump(f, locals);
            for _ in 0..deep {
                add(f, &ASK);
                add(f, &[I::BrIf(0), I::End]);
            }
        }
    });
    agent(1, &[(NOTHING, body)], 0)
}

/// Blocks, calls and branches that carry values.
fn of_values() -> Vec<(&'static str, Shape)> {
    vec![
        ("blocks of 50 values", |n| through(I::Block, n)),
        ("loops of 50 values", |n| through(I::Loop, n)),
        ("ifs of 50 values", |n| {
            let ty = BlockType::FunctionType(THROUGH);
            let body = function(1, |f| {
                push(f, 50);
                for _ in 0..n {
                    add(f, &ASK);
                    add(f, &[I::If(ty), I::Else, I::End]);
                }
                drop_all(f, 50);
            });
            agent(50, &[(NOTHING, body)], 0)
        }),
        ("calls of 50 values", |n| {
            let callee = function(0, |f| (0..50).for_each(|i| add(f, &[I::LocalGet(i)])));
            let caller = function(0, |f| {
                push(f, 50);
                (0..n).for_each(|_| add(f, &[I::Call(0)]));
                drop_all(f, 50);
            });
            agent(50, &[(THROUGH, callee), (NOTHING, caller)], 0)
        }),
        ("targets of 50 values", |n| {
            let body = function(1, |f| {
                add(f, &[I::Block(BlockType::FunctionType(MADE))]);
                push(f, 50);
                add(f, &ASK);
                add(f, &[I::BrTable(vec![0; n as usize].into(), 0), I::End]);
                drop_all(f, 50);
            });
            agent(50, &[(NOTHING, body)], 0)
        }),
        ("branches of 50 values", |n| {
            let body = function(1, |f| {
                add(f, &[I::Block(BlockType::FunctionType(MADE))]);
                push(f, 50);
                for _ in 0..n {
                    add(f, &ASK);
                    add(f, &[I::BrIf(0)]);
                }
                add(f, &[I::End]);
                drop_all(f, 50);
            });
            agent(50, &[(NOTHING, body)], 0)
        }),
    ]
}

/// Loops, behind and inside one another.
fn of_loops() -> Vec<(&'static str, Shape)> {
    vec![
        ("loops over 100 operands", |n| {
            let body = function(1, |f| {
                push(f, 100);
                for _ in 0..n {
                    add(f, &[I::Loop(BlockType::Empty)]);
                    add(f, &ASK);
                    add(f, &[I::BrIf(0), I::End]);
                }
                drop_all(f, 100);
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("empty loops", |n| {
            let body = function(0, |f| {
                (0..n).for_each(|_| add(f, &[I::Loop(BlockType::Empty), I::End]));
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("loops 4 deep over 16 locals", |n| nested(16, 4, n)),
        ("loops 64 deep over 16 locals", |n| nested(16, 64, n)),
        ("loops 250 deep over 16 locals", |n| nested(16, 250, n)),
        ("loops 64 deep over 500 locals", |n| nested(500, 64, n)),
    ]
}

/// Locals that live across many ways.
fn of_locals() -> Vec<(&'static str, Shape)> {
    vec![
        ("ifs over 900 locals", |n| {
            let body = function(900, |f| {
                for k in 0..n {
                    add(f, &ASK);
                    let set = [I::I64Const(2), I::LocalSet(k % 900)];
                    add(f, &[I::If(BlockType::Empty), set[0].clone(), set[1].clone(), I::End]);
                }
                bump(f, 900);
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("branches over 900 locals", |n| {
            let body = function(900, |f| {
                add(f, &[I::Block(BlockType::Empty)]);
                for k in 0..n {
                    add(f, &ASK);
                    add(f, &[I::BrIf(0), I::I64Const(2), I::LocalSet(k % 900)]);
                }
                add(f, &[I::End]);
                bump(f, 900);
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("targets that run into one another", |n| {
            // Each target is reached from the table and from the one before, which set a local.
            let body = function(n.min(1_000), |f| {
                let at = wasm_encoder::MemArg { offset: 0, align: 3, memory_index: 0 };
                for local in 0..n.min(1_000) {
                    add(f, &[I::I32Const(8 * local as i32), I::I64Load(at), I::LocalSet(local)]);
                }
                (0..n).for_each(|_| add(f, &[I::Block(BlockType::Empty)]));
                add(f, &ASK);
                add(f, &[I::BrTable((0..n).collect::<Vec<_>>().into(), 0)]);
                for at in 0..n {
                    add(f, &[I::End, I::I64Const(2), I::LocalSet(at % 1_000)]);
                }
                bump(f, n.min(1_000));
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
    ]
}

/// Much of what is ordinary.
fn of_code() -> Vec<(&'static str, Shape)> {
    vec![
        ("calls of nothing", |n| {
            let caller = function(0, |f| (0..n).for_each(|_| add(f, &[I::Call(0)])));
            agent(1, &[(NOTHING, function(0, |_| {})), (NOTHING, caller)], 0)
        }),
        ("growths", |n| {
            let body = function(0, |f| {
                (0..n).for_each(|_| add(f, &[I::I32Const(0), I::MemoryGrow(0), I::Drop]));
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("multiplications", |n| {
            let body = function(10, |f| {
                bump(f, 10);
                for k in 0..n {
                    add(f, &[I::LocalGet(k % 10), I::LocalGet(k * 7 % 10), I::I64Mul]);
                    add(f, &[I::LocalSet(k * 3 % 10)]);
                }
                for k in 0..10 {
                    add(f, &[I::I32Const(8 * k as i32), I::LocalGet(k)]);
                    let at = wasm_encoder::MemArg { offset: 0, align: 3, memory_index: 0 };
                    add(f, &[I::I64Store(at)]);
                }
            });
            agent(1, &[(NOTHING, body)], 0)
        }),
        ("functions of 50 values", |n| {
            let body = function(0, |f| (0..50).for_each(|i| add(f, &[I::LocalGet(i)])));
            agent(50, &vec![(THROUGH, body); n as usize], 0)
        }),
        ("empty functions", |n| agent(1, &vec![(NOTHING, function(0, |_| {})); n as usize], 0)),
        ("functions of 1,000 locals", |n| {
            agent(1, &vec![(NOTHING, function(1_000, |_| {})); n as usize], 0)
        }),
        ("null elements", |n| agent(1, &[], n)),
    ]
}

/// Bombs of so many parts, by what they are made of.
fn shapes() -> Vec<(&'static str, Shape)> {
    [of_values(), of_loops(), of_locals(), of_code()].concat()
}

fn refusal(wasm: &[u8]) -> Option<Refusal> {
    admit("m", wasm, &ModuleLimits::default()).err().map(|error| *error.refusal)
}

/// The largest of a shape that is admitted.
fn largest(shape: Shape) -> u32 {
    let (mut good, mut bad) = (0, 1 << 17);
    while bad - good > good / 20 + 1 {
        let middle = u32::midpoint(good, bad);
        if refusal(&shape(middle)).is_none() { good = middle } else { bad = middle }
    }
    good
}

#[test]
fn every_bomb_is_refused_by_a_bound_that_it_names() {
    for (name, shape) in shapes() {
        let error = refusal(&shape(1 << 17)).unwrap_or_else(|| panic!("{name} is admitted"));
        assert!(
            matches!(
                error,
                Refusal::FunctionTooLarge { .. }
                    | Refusal::TooMany { .. }
                    | Refusal::ModuleTooLarge { .. }
            ),
            "{name}: {error}"
        );
        assert!(largest(shape) > 0, "{name}");
    }
    // As many as there may be, if each is small.
    let locals = |count| vec![(NOTHING, function(count, |_| {})); 9_900];
    assert_eq!(refusal(&agent(1, &locals(10), 0)), None);
    let error = refusal(&agent(1, &locals(1_000), 0)).expect("refused");
    assert!(matches!(error, Refusal::TooMany { what, .. } if what.contains("work")), "{error}");
    let wide = agent(65, &[], 0);
    let error = refusal(&wide).expect("refused");
    assert!(matches!(error, Refusal::TypeTooLarge { index: 1, count: 130, max: 128 }), "{error}");
    assert_eq!(refusal(&agent(64, &[], 0)), None);
    let many = refusal(&agent(1, &[], 1_001)).expect("refused");
    assert!(
        matches!(many, Refusal::TooMany { what: "elements that are expressions", .. }),
        "{many}"
    );
}

/// A switch as interpreters have it: every arm leaves, and many locals live across it.
#[test]
fn a_large_ordinary_switch_is_admitted() {
    let arms = 900_u32;
    let body = function(200, |f| {
        bump(f, 200);
        add(f, &[I::Loop(BlockType::Empty)]);
        (0..arms).for_each(|_| add(f, &[I::Block(BlockType::Empty)]));
        add(f, &ASK);
        add(f, &[I::BrTable((0..arms).collect::<Vec<_>>().into(), 0)]);
        for arm in 0..arms {
            add(f, &[I::End]);
            bump(f, arm % 5);
            // On to the next round.
            add(f, &[I::Br(arms - 1 - arm)]);
        }
        add(f, &[I::End]);
    });
    assert_eq!(refusal(&agent(1, &[(NOTHING, body)], 0)), None);
}

/// Peak of this process's memory in MiB, since it was last asked.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kib.unwrap_or(0) / 1024
}

/// Milliseconds that this process has had of processors.
fn cpu_ms() -> i64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<i64> =
        stat.rsplit(')').next().unwrap_or("").split(' ').filter_map(|n| n.parse().ok()).collect();
    // User and system time in hundredths of a second, behind ten fields that are numbers.
    fields.get(10..12).map_or(0, |ticks| ticks.iter().sum::<i64>() * 10)
}

/// `cargo test --workspace --test guest figures -- --ignored --nocapture` on a quiet machine.
#[test]
#[ignore = "prints figures, asserts nothing about them"]
fn figures_of_the_largest_of_each_shape() {
    let engine =
        deterministic_engine(MemoryProfile { seats: 1, memory_bytes_max: 1 << 20, layout: None })
            .expect("the engine starts");
    for (name, shape) in shapes() {
        let count = largest(shape);
        let admitted = admit("m", &shape(count), &ModuleLimits::default()).expect("admitted");
        peak_mib();
        let begin = cpu_ms();
        wasmtime::Module::new(engine.wasmtime(), &admitted.wasm).expect("compiles");
        let (ms, bytes) = (cpu_ms() - begin, admitted.original.len());
        println!("{count:6} {name:32} {bytes:7} bytes {ms:6} ms, peak {:5} MiB", peak_mib());
    }
}
