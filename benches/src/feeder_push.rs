//! S15: inputs that another thread hands over through a feeder's ring, until it hears that they
//! are durable.
//!
//! How many a second: 64 bytes each, as fast as they are taken, each received by an agent, logged
//! and on the disk when the time is stopped. How long one takes: one input at a time, from its push
//! to the acknowledgement, against an `fdatasync` of a file on the same disk that has as many bytes
//! more, taken in turn with the others in the same run.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use wasm_engine::host::Host;
use wasm_engine_feeder::{Feeder, FeederOptions};

use crate::guests::PAYLOAD_BYTES;
use crate::measure::{Scale, clock_ns, quantile};
use crate::row::{Row, Unit};

/// Inputs of a segment at full speed.
const INPUTS: usize = 1_000_000;
/// Inputs of a segment whose way is timed, each alone.
const WAYS: usize = 300;
/// Bytes that a way adds to the log: its tick's two records and their block.
const GROUP_BYTES: usize = 512;
/// What a second has to bring.
const GOAL_PER_S: f64 = 1e6;
/// Longest wait for an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(60);

/// Receives and does nothing.
const SWALLOW: &str = r#"
(module
  (import "wasm_engine" "subscribe" (func $subscribe (param i32) (result i64)))
  (memory (export "memory") 1 1)
  (func (export "agent_inbox") (result i32) (i32.const 1024))
  (func (export "agent_inbox_cap") (result i32) (i32.const 4096))
  (func (export "agent_init") (result i32) (drop (call $subscribe (i32.const 0))) (i32.const 0))
  (func (export "agent_receive") (param i32) (result i32) (i32.const 0))
  (func (export "agent_step") (param i32) (result i32) (i32.const 0))
  (func (export "agent_shutdown") (result i32) (i32.const 0))
  (@custom "wasm_engine.manifest"
    "name = \"swallow\"\nversion = \"1.0.0\"\nabi = 1\ncapabilities = [\"subscribe:**\"]\n"))
"#;

const CONFIG: &str = r#"
[limits]
agents_max = 16
memory_bytes_max = 65536
inputs_per_tick_max = 16384
input_bytes_per_tick_max = 1048576
inbox_items_max = 32768
inbox_bytes_max = 4194304
receive_max = 4096

[log]
sync = "SYNC"

[[source]]
id = "fed"
kind = "feeder"
topic = "in"
queue_bytes = 1048576

[[agent]]
name = "swallow"
module = "swallow.wasm"
grant = "declared"
"#;

/// A kernel with a log, in a thread of its own until `stop`; `feed` runs beside it.
fn fed<T>(sync: &str, feed: impl FnOnce(&mut Feeder, &Path) -> T) -> T {
    let dir = TempDir::new_in(".").expect("a folder on the disk of the work");
    let socket = dir.path().join("fed.sock");
    let config = CONFIG.replace("SYNC", sync);
    let config =
        config.replace("kind = \"feeder\"", &format!("kind = \"feeder\"\nsocket = {socket:?}"));
    let stop = AtomicBool::new(false);
    let log = dir.path().join("log");
    thread::scope(|scope| {
        let kernel = scope.spawn(|| {
            let module = wat::parse_str(SWALLOW).expect("the text is a module");
            let builder = Host::builder().config_text(config).attach("swallow.wasm", module);
            let mut host = builder.log(&log).start().expect("the kernel starts");
            // Relaxed: it ends the loop and publishes nothing.
            while !stop.load(Ordering::Relaxed) {
                if host.run_until_idle(64).expect("it runs") == 0 {
                    thread::yield_now();
                }
            }
            host.close().expect("it ends")
        });
        let options = FeederOptions::default();
        let mut feeder = Feeder::connect_at(&socket, options).expect("it connects");
        let result = feed(&mut feeder, dir.path());
        let pushed = feeder.next_seq();
        // Relaxed: as above.
        stop.store(true, Ordering::Relaxed);
        let report = kernel.join().expect("it ends");
        assert_eq!((report.inputs, report.refused), (pushed, 0), "each is taken once");
        assert_eq!(report.feeds["fed"].durable, pushed);
        result
    })
}

/// Inputs a second, each durable at the end.
fn rate(feeder: &mut Feeder, count: usize) -> f64 {
    let begin = clock_ns();
    let mut last = 0;
    for number in 0..count as u64 {
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        last = feeder.push(0, &payload).expect("it is taken");
    }
    feeder.wait_durable(last, PATIENCE).expect("it is durable");
    count as f64 * 1e9 / (clock_ns() - begin) as f64
}

/// One way, from the push to the acknowledgement, in ns.
fn way(feeder: &mut Feeder) -> f64 {
    let begin = clock_ns();
    let seq = feeder.push(0, &[7; PAYLOAD_BYTES]).expect("it is taken");
    feeder.wait_durable(seq, PATIENCE).expect("it is durable");
    (clock_ns() - begin) as f64
}

/// A write and an `fdatasync`, in ns.
fn sync(file: &mut File) -> f64 {
    let begin = clock_ns();
    file.write_all(&[7; GROUP_BYTES]).expect("the disk has room");
    file.sync_data().expect("it is written");
    (clock_ns() - begin) as f64
}

/// The rows.
///
/// # Panics
/// If an input is lost or the kernel fails.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let count = scale.of(INPUTS);
    let rates: Vec<f64> =
        (0..scale.segments).map(|_| fed("1ms", |feeder, _| rate(feeder, count))).collect();
    let (mut ways, mut syncs) = (Vec::new(), Vec::new());
    fed("always", |feeder, dir| {
        let mut file = File::create(dir.join("beside")).expect("the disk has room");
        for _ in 0..scale.of(WAYS) * scale.segments {
            ways.push(way(feeder));
            syncs.push(sync(&mut file));
        }
        fs::remove_file(dir.join("beside")).expect("it is there");
    });
    let note = format!("{count} of {PAYLOAD_BYTES} B in each of {}", scale.segments);
    let mut rows = vec![
        Row::new("S15", "pushes of a feeder, durable", Unit::PerS, quantile(&rates, 0.5))
            .at_least(GOAL_PER_S)
            .note(note),
    ];
    for (q, name) in [(0.5, "p50"), (0.99, "p99")] {
        let case = format!("push of a feeder to durable, {name}");
        let row = Row::new("S15", case, Unit::Ns, quantile(&ways, q)).against(
            "fdatasync in the same run",
            quantile(&syncs, q),
            None,
        );
        rows.push(if q > 0.9 { row.goal(0.5) } else { row });
    }
    rows
}
