//! S15: from the push of an input to the output that answers it, in the thread of an embedding
//! host, against the bare calls of the engine.
//!
//! The way: push 64 bytes, execute a tick, read the message that the agent published. The bare
//! calls: both calls of the contract of the same module, the input written into its memory, the
//! message copied out by the host call. The limit: a function of Rust that copies 64 bytes, called
//! and not inlined. What one writes in Node.js instead is `rivals-node/round_trip.js`. Each way is
//! timed alone, so quantiles are those of single ways.

use std::hint::black_box;
use std::process::Command;

use tempfile::TempDir;
use wasm_engine::host::{Host, LiveStream, TickPoll};
use wasm_engine_guest::admission::{Admitted, ModuleLimits, admit};
use wasmtime::{Caller, Linker, Memory, Module, Store, TypedFunc};

use crate::counting::allocations;
use crate::guests::{INBOX_AT, MEMORY_BYTES, PAYLOAD_BYTES};
use crate::measure::{Scale, apart, clock_ns, ns_each, pin, quantile};
use crate::rig::engine;
use crate::rivals;
use crate::row::{Row, Unit};

/// Bytes of the header in front of an item's payload.
const HEADER_BYTES: usize = 64;
/// Ways of each kind in one segment, taken in turn with the others.
const WAYS: usize = 20_000;
/// Pushes between two ticks, for the price of one alone.
const PUSHES: usize = 4_000;
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// Publishes on topic 1 what it receives on topic 0.
const ECHO: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  (import "wasm_engine" "publish" (func $publish (param i32 i32 i32) (result i64)))
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) (drop (call $subscribe (i32.const 0))) (i32.const 0))
  (func (export "agent_receive") (param $at i32) (result i32)
    (drop (call $publish (i32.const 1) (i32.add (local.get $at) (i32.const 64))
      (i32.load offset=4 (local.get $at))))
    (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"echo\"\nversion = \"1.0.0\"\nabi = 1\n"
    "capabilities = [\"subscribe:**\", \"publish:**\"]\n"))
"#;

const CONFIG: &str = r#"
[limits]
agents_max = 16
memory_bytes_max = 65536

[[source]]
id = "in"
kind = "live"
topic = "in"

[[agent]]
name = "echo"
module = "echo.wasm"
grant = "declared"

[[output]]
topic = "out"
"#;

fn module() -> Vec<u8> {
    wat::parse_str(ECHO).expect("the text is a module")
}

/// A kernel in this thread.
struct Embedded {
    host: Host,
    stream: LiveStream,
    number: u64,
}

impl Embedded {
    fn start(log: Option<&TempDir>, signal_handlers: bool) -> Self {
        let mut builder = Host::builder().config_text(CONFIG).attach("echo.wasm", module());
        if let Some(dir) = log {
            builder = builder.log(dir.path().join("log"));
        }
        let mut host = builder.signal_handlers(signal_handlers).start().expect("the kernel starts");
        assert_eq!(host.tick().expect("tick 0"), TickPoll::Done(0));
        let stream = host.stream("in", "in").expect("it is configured");
        Self { host, stream, number: 0 }
    }

    /// Pushes an input and reads its answer.
    fn way(&mut self) {
        self.number += 1;
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&self.number.to_le_bytes());
        self.host.push_to(self.stream, &payload).expect("it has room");
        let done = self.host.tick().expect("the tick runs");
        assert_eq!(done, TickPoll::Done(self.number));
        let output = self.host.outputs().next().expect("it answers");
        assert!(output.payload == payload, "with what was pushed");
    }
}

/// The same agent without a kernel.
struct Bare {
    store: Store<Vec<u8>>,
    memory: Memory,
    receive: TypedFunc<i32, i32>,
    step: TypedFunc<i32, i32>,
    number: u64,
}

impl Bare {
    fn start() -> Self {
        let limits = ModuleLimits { memory_bytes_max: MEMORY_BYTES, ..ModuleLimits::default() };
        let Admitted { wasm, .. } = admit("echo", &module(), &limits).expect("it is admitted");
        let engine = engine(1).expect("there is address space");
        let compiled = Module::new(engine.wasmtime(), wasm).expect("it compiles");
        let mut linker: Linker<Vec<u8>> = Linker::new(engine.wasmtime());
        linker.func_wrap("wasm_engine", "subscribe", |_: i32| 0_i64).expect("a new name");
        let publish = |mut caller: Caller<'_, Vec<u8>>, _: i32, at: i32, len: i32| {
            let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
            let (bytes, out) = memory.expect("it is exported").data_and_store_mut(&mut caller);
            out.clear();
            out.extend_from_slice(&bytes[at as usize..(at + len) as usize]);
            0_i64
        };
        linker.func_wrap("wasm_engine", "publish", publish).expect("a new name");
        let mut store = Store::new(engine.wasmtime(), Vec::new());
        store.set_fuel(u64::MAX / 2).expect("fuel is on");
        let instance = linker.instantiate(&mut store, &compiled).expect("its imports are there");
        let memory = instance.get_memory(&mut store, "memory").expect("exported");
        let mut function = |name| instance.get_typed_func(&mut store, name).expect("exported");
        let (receive, step) = (function("agent_receive"), function("agent_step"));
        Self { store, memory, receive, step, number: 0 }
    }

    fn way(&mut self) {
        self.number += 1;
        let mut item = [0; HEADER_BYTES + PAYLOAD_BYTES];
        item[4..8].copy_from_slice(&(PAYLOAD_BYTES as u32).to_le_bytes());
        item[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&self.number.to_le_bytes());
        let Self { store, memory, receive, step, .. } = self;
        memory.data_mut(&mut *store)[INBOX_AT..INBOX_AT + item.len()].copy_from_slice(&item);
        let at = INBOX_AT as i32;
        let received = receive.call(&mut *store, at).expect("it returns");
        let stepped = step.call(&mut *store, at).expect("it returns");
        assert!(received == 0 && stepped == 0);
        assert!(store.data()[..] == item[HEADER_BYTES..], "it answers with what was written");
    }
}

#[inline(never)]
fn copy(from: &[u8; PAYLOAD_BYTES], into: &mut [u8; PAYLOAD_BYTES]) {
    into.copy_from_slice(black_box(from));
}

/// Times each of `count` ways.
fn timed(count: usize, into: &mut Vec<f64>, mut way: impl FnMut()) {
    for _ in 0..count {
        let begin = clock_ns();
        way();
        into.push((clock_ns() - begin) as f64);
    }
}

/// The rows.
///
/// # Panics
/// If an answer is wrong or a kernel fails.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let (mut rows, ours) = apart(|| ways(scale));
    // Behind it, for a rival has threads of its own and is on no core in particular.
    rows.extend(against_node(scale.of(WAYS) * scale.segments, ours));
    rows
}

/// The rows of this process, and the quantiles without a log.
fn ways(scale: Scale) -> (Vec<Row>, [f64; 3]) {
    let dir = TempDir::new().expect("a folder");
    let mut plain = Embedded::start(None, false);
    let mut fast = Embedded::start(None, true);
    let mut logged = Embedded::start(Some(&dir), false);
    // After the log's threads have started, which else would share the core.
    pin(0);
    let mut bare = Bare::start();
    let count = scale.of(WAYS);
    let mut figures: [Vec<f64>; 5] = Default::default();
    let mut into = [0; PAYLOAD_BYTES];
    let payload = [7; PAYLOAD_BYTES];
    for _ in 0..scale.segments {
        timed(count, &mut figures[0], || plain.way());
        timed(count, &mut figures[1], || fast.way());
        timed(count, &mut figures[2], || logged.way());
        timed(count, &mut figures[3], || bare.way());
        timed(count, &mut figures[4], || copy(&payload, &mut into));
    }
    let [plain_ns, fast_ns, logged_ns, bare_ns, copy_ns] = &figures;
    let mut rows = Vec::new();
    for (what, ways) in [
        ("without log", plain_ns),
        ("without log, with the engine's signal handlers", fast_ns),
        ("with log", logged_ns),
    ] {
        for (q, name) in QUANTILES {
            let case = format!("push to output of 64 B, {name}, {what}");
            let row = Row::new("S15", case, Unit::Ns, quantile(ways, q))
                .against("wasmtime, both calls and copies", quantile(bare_ns, q), None)
                .limit(quantile(copy_ns, q));
            rows.push(row);
        }
    }
    rows.push(push_alone(&mut plain, scale));
    rows.push(allocated(&mut plain, scale));
    (rows, QUANTILES.map(|(q, _)| quantile(plain_ns, q)))
}

/// The same way in Node.js: over messages to a worker and back, over shared memory, in one thread.
fn against_node(ways: usize, ours: [f64; 3]) -> Vec<Row> {
    let row = |at: usize| {
        let case = format!("push to output of 64 B, {}, beside Node.js", QUANTILES[at].1);
        Row::new("S15", case, Unit::Ns, ours[at])
    };
    let figures = match node(ways) {
        Ok(figures) => figures,
        Err(reason) => return vec![row(0).note(reason)],
    };
    let peers = [
        "Node.js, messages to a worker and back",
        "Node.js, shared memory, both spin",
        "Node.js, in one thread",
    ];
    let rows = peers.iter().zip(figures).flat_map(|(peer, ns)| {
        (0..QUANTILES.len()).map(move |at| row(at).against(peer, ns[at], None))
    });
    rows.collect()
}

fn node(ways: usize) -> Result<[[f64; 3]; 3], String> {
    let dir = TempDir::new().map_err(|error| format!("no peer: {error}"))?;
    let wasm = dir.path().join("echo.wasm");
    std::fs::write(&wasm, module()).map_err(|error| format!("no peer: {error}"))?;
    let script = rivals::script("rivals-node/round_trip.js");
    let said =
        rivals::ask("node", Command::new("node").arg(script).arg(wasm).arg(ways.to_string()))?;
    let figures = ["message", "shared", "inline"].map(|way| said[way].clone());
    serde_json::from_value(figures.to_vec().into()).map_err(|error| format!("no peer: {error}"))
}

/// What a push alone takes.
fn push_alone(embedded: &mut Embedded, scale: Scale) -> Row {
    let count = scale.of(PUSHES);
    let mut each = Vec::new();
    for _ in 0..scale.segments {
        let payload = [1; PAYLOAD_BYTES];
        each.push(ns_each(count, || {
            embedded.host.push_to(embedded.stream, &payload).expect("it has room");
        }));
        let ticks = embedded.host.run_until_idle(1_000).expect("it runs");
        embedded.number += ticks;
    }
    Row::new("S15", "push of 64 B alone", Unit::Ns, quantile(&each, 0.5))
}

/// How often a way asks for memory.
fn allocated(embedded: &mut Embedded, scale: Scale) -> Row {
    let ways = scale.of(10_000);
    (0..scale.of(2_000)).for_each(|_| embedded.way());
    let before = allocations().0;
    (0..ways).for_each(|_| embedded.way());
    let count = allocations().0 - before;
    Row::new("S15", "allocations a push and tick", Unit::Count, count as f64 / ways as f64)
        .at_most(0.0)
        .note(format!("{count} in {ways}"))
}
