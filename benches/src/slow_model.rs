//! S6: ticks of microseconds while a model takes 200 ms a run.
//!
//! 50 agents pass messages on, and one asks a model of 880 matrices that are multiplied now and
//! then, with a latency of more ticks than a run takes. The run is `wasm_engine::run` as a command
//! makes it; how long a tick took is what its progress says. Beside it stands the same run whose
//! model has one layer: the same requests, and nothing to wait for.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, atomic::AtomicBool};

use wasm_engine::config::Config;
use wasm_engine::report::RunReport;
use wasm_engine::resolve::resolve;
use wasm_engine::run::{RunOptions, run};
use wasm_engine_abi::tensor::{TensorList, TensorWriter};
use wasm_engine_inference::onnx::{self, ModelSource};
use wasm_engine_inference::{Backend, Interrupter, ListBuffer};

use crate::guests::Job;
use crate::measure::{Scale, apart, cores, median, pin, quantile};
use crate::row::{Row, Unit};
use wasm_engine_measure::graphs::{DEEP_WIDTH, deep};

const CASE: &str = "tick of 50 agents beside a model of 200 ms";
/// Layers of the model, with which a run takes about 200 ms on the machine of BENCHMARKS.md.
const LAYERS: usize = 880;
/// Agents that pass messages on, and rounds of them in a tick.
const AGENTS: u32 = 50;
const MICROSTEPS: u32 = 2;
/// Ticks of a run, between two requests, and from a request to its reply.
const TICKS: usize = 90_000;
const BETWEEN: usize = 20_000;
const LATENCY: usize = 45_000;
/// Ticks at the beginning that are not counted.
const WARM: usize = 1_000;

/// Asks for one row now and then; what comes back is compared.
const ASKER: &str = r#"
(module
  (import "wasm_engine" "timer" (func $timer (param i64 i64) (result i64)))
  (import "wasm_engine" "infer" (func $infer (param i32 i32 i32) (result i64)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "{row}")
  (data (i32.const 4096) "{reply}")
  (func (export "agent_inbox") (result i32) (i32.const 16384))
  (func (export "agent_inbox_cap") (result i32) (i32.const 16384))
  (func $again (if (i64.lt_s (call $timer (i64.const {between}) (i64.const 0)) (i64.const 0))
    (then unreachable)))
  (func (export "agent_init") (result i32) (call $again) (i32.const 0))
  (func (export "agent_receive") (param $at i32) (result i32) (local $left i32)
    (if (i32.eq (i32.load (local.get $at)) (i32.const 5))
      (then
        (if (i64.lt_s
            (call $infer (i32.const 0) (i32.const 0) (i32.const {row_bytes})) (i64.const 0))
          (then unreachable))
        (call $again))
      (else
        (if (i32.load offset=36 (local.get $at)) (then unreachable))
        (local.set $left (i32.const {bytes}))
        (loop $next
          (local.set $left (i32.sub (local.get $left) (i32.const 4)))
          (if (i32.ne (i32.load offset=4096 (local.get $left))
                      (i32.load offset=64 (i32.add (local.get $at) (local.get $left))))
            (then unreachable))
          (br_if $next (local.get $left)))))
    (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"asker\"\nversion = \"1.0.0\"\nabi = 1\n"
    "capabilities = [\"timer\", \"infer:**\"]\n"))
"#;

/// Durations of ticks of a run, and the median run of the model, in ns.
struct Ticks(Vec<f64>, f64);

/// The row; without the library it says why it holds no figure.
///
/// # Panics
/// If a run fails, waits for its model, or a reply differs from that of the bare run.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    // A thread of its own, so that pinning ends with it.
    apart(|| {
        pin(0);
        let slow = deep((LAYERS / scale.divisor).max(2));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..scale.segments.div_ceil(5) {
            for (model, into) in [(&deep(1), &mut without), (&slow, &mut with)] {
                match ticks(model, scale) {
                    Ok(ticks) => into.push(ticks),
                    Err(reason) => return vec![Row::skipped("S6", CASE, Unit::Ns, reason)],
                }
            }
        }
        let of = |runs: &[Ticks], q: f64| {
            median(&runs.iter().map(|Ticks(ticks, _)| quantile(ticks, q)).collect::<Vec<_>>())
        };
        let run_ms = median(&with.iter().map(|Ticks(_, run_ns)| run_ns / 1e6).collect::<Vec<_>>());
        [(0.5, "p50"), (0.99, "p99"), (1.0, "longest")]
            .map(|(q, word)| {
                Row::new("S6", format!("{CASE}, {word}"), Unit::Ns, of(&with, q))
                    .against("the model with one layer", of(&without, q), None)
                    .note(format!("a run of the model takes {run_ms:.0} ms"))
            })
            .into()
    })
}

/// The row that is asked, and what the model gives for it without a kernel.
fn expected(model: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let row: Vec<f32> = (0..DEEP_WIDTH).map(|at| (at as f32 * 0.37).sin()).collect();
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let source =
        ModelSource { name: "bare", bytes: model, external: &[], outputs: None, providers: &[] };
    let mut bare = onnx::locate_library(None)
        .and_then(|library| onnx::init(&library))
        .and_then(|()| onnx::load(source, &Interrupter::default()))
        .map_err(|error| said(&error))?;
    let (mut request, mut reply) = (ListBuffer::default(), ListBuffer::default());
    let mut list = TensorWriter::new(&mut request).map_err(|error| said(&error))?;
    list.tensor(0, &[1, DEEP_WIDTH], &row).map_err(|error| said(&error))?;
    let _ = list.finish();
    bare.run(request.bytes(), &mut reply).map_err(|error| said(&error))?;
    let list = TensorList::parse(reply.bytes()).map_err(|error| said(&error))?;
    let reply = list.iter().next().ok_or("the model gives nothing")?.data().to_vec();
    Ok((bytemuck::cast_slice(&row).to_vec(), reply))
}

/// Bytes as a text of a module has them.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

fn ticks(model: &[u8], scale: Scale) -> Result<Ticks, String> {
    let (row, reply) = expected(model)?;
    let of = |full: usize| scale.of(full).to_string();
    let asker = ASKER
        .replace("{row}", &escaped(&row))
        .replace("{reply}", &escaped(&reply))
        .replace("{between}", &of(BETWEEN))
        .replace("{row_bytes}", &row.len().to_string())
        .replace("{bytes}", &reply.len().to_string());
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let write = |name: &str, content: &[u8]| {
        std::fs::write(dir.path().join(name), content).expect("it can be written");
    };
    write("asker.wasm", &wat::parse_str(asker).expect("the text is a module"));
    write("relay.wasm", &Job::Relay { rounds: 0 }.module(AGENTS, 1));
    write("model.onnx", model);
    let agent = |name: &str, count: u32| {
        format!(
            "[[agent]]\nname = \"{name}\"\nmodule = \"{name}.wasm\"\ncount = {count}\n\
             grant = \"declared\"\n"
        )
    };
    let config = format!(
        "[limits]\nmicrosteps_max = {MICROSTEPS}\n[[model]]\nname = \"deep\"\n\
         file = \"model.onnx\"\nlatency_ticks = {}\n{}{}",
        of(LATENCY),
        agent("relay", AGENTS),
        agent("asker", 1),
    );
    write("run.toml", config.as_bytes());
    let (report, ticks) = timed(dir.path(), scale.of(TICKS))?;
    assert_eq!(report.ticks, scale.of(TICKS) as u64);
    let fault = report.first_fault.as_ref().map(|fault| fault.what.as_str());
    assert_eq!(fault, None, "the agent that asks saw a mistake");
    assert!(report.inferences > 1, "{} requests", report.inferences);
    if scale == Scale::FULL {
        assert_eq!(report.stalls_by_cause.get("model"), Some(&0), "the latency covers a run");
    }
    Ok(ticks)
}

/// Runs the configuration in `dir`; the threads are pinned as those of a command are.
fn timed(dir: &Path, ticks: usize) -> Result<(RunReport, Ticks), String> {
    let config = Config::load(&dir.join("run.toml"), &[]).map_err(|error| error.to_string())?;
    let resolved = resolve(&config).map_err(|error| error.to_string())?;
    let ends = Rc::new(RefCell::new(Vec::with_capacity(ticks)));
    let noted = Rc::clone(&ends);
    let options = RunOptions {
        workers: Some(0),
        ticks: Some(ticks as u64),
        pace: None,
        log_dir: None,
        resume: None,
        name: Some(format!("slow-{}", std::process::id())),
        timeout: None,
        loading: None,
        model_program: None,
        code_cache: None,
        stop: Arc::new(AtomicBool::new(false)),
        pin_scheduler: cores() > 1,
        progress: Some(Box::new(move |progress| {
            noted.borrow_mut().push(progress.elapsed_ns as f64);
        })),
    };
    let report = run(resolved, options).map_err(|error| error.to_string())?;
    let ends = ends.borrow();
    let durations = ends.windows(2).map(|pair| pair[1] - pair[0]);
    let run_ns = report.model_measures["deep"].run_ns.p50 as f64;
    Ok((report, Ticks(durations.skip(WARM.min(ticks / 10)).collect(), run_ns)))
}
