//! S5: the way of a command from the scheduler to a worker and of its result back, through the very
//! rings and doorbells that lanes use; spinning, parked, and with more threads than cores.

use std::time::Instant;

use wasm_engine_shm::bytes::{self, Consumer, Producer};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{self, Ringer, WaitMode, Waiter};

use crate::machine::unparked;
use crate::measure::{Scale, cores, median, median_ratio, on_core, pin, quantile};
use crate::rings::steady;
use crate::row::{Row, Unit};

/// Bytes of a command, about those of a turn with one item.
const COMMAND_BYTES: usize = 152;
/// Bytes of a ring.
const RING_BYTES: usize = 64 << 10;
/// A command that ends the worker.
const STOP: u32 = 2;
/// Most time that parking may take in one direction.
const PARKED_NS_MAX: f64 = 10_000.0;

/// The rows.
///
/// # Panics
/// If a command or a result gets lost.
#[must_use]
pub fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    if cores() > 1 {
        rows.push(spinning("busy", WaitMode::Busy, scale));
        rows.push(spinning("hybrid", WaitMode::Hybrid, scale));
        rows.push(parked(scale));
    }
    rows.extend(crowded(scale));
    rows
}

/// One end of a ring and the bell that belongs to it.
struct Lane {
    commands: Producer<RawMem>,
    bell: Ringer<RawMem>,
    results: Consumer<RawMem>,
    waiter: Waiter<RawMem>,
}

/// The other end, as a worker has it.
struct Worker {
    commands: Consumer<RawMem>,
    waiter: Waiter<RawMem>,
    results: Producer<RawMem>,
    bell: Ringer<RawMem>,
}

fn ring() -> (Producer<RawMem>, Consumer<RawMem>) {
    let shape = bytes::layout(RING_BYTES).expect("a power of two");
    let (head, tail) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
    let producer = Producer::new(head.clone(), tail.clone()).expect("fresh memory");
    (producer, Consumer::new(head, tail).expect("fresh memory"))
}

fn bell() -> (Ringer<RawMem>, Waiter<RawMem>) {
    let mem = RawMem::heap(wait::LEN);
    (Ringer::new(mem.clone()).expect("fresh memory"), Waiter::new(mem).expect("fresh memory"))
}

fn lane() -> (Lane, Worker) {
    let ((commands, taken), (results, given)) = (ring(), ring());
    let ((bell, waiter), (back, own)) = (bell(), bell());
    let worker = Worker { commands: taken, waiter, results, bell: back };
    (Lane { commands, bell, results: given, waiter: own }, worker)
}

impl Worker {
    /// Answers every command with its number until the command is to stop.
    fn run(mut self, mode: WaitMode) {
        loop {
            let Self { commands, waiter, .. } = &mut self;
            waiter.wait(mode, || commands.has_next());
            while let Some(command) = self.commands.next().expect("an honest scheduler") {
                if command.tag == STOP {
                    return;
                }
                let number = command.aux;
                self.results.push(1, number, &[0; 72]).expect("one result at a time");
            }
            self.commands.release();
            self.results.publish();
            self.bell.ring();
        }
    }
}

impl Lane {
    fn send(&mut self, tag: u32, number: u64) {
        self.commands.push(tag, number, &[0; COMMAND_BYTES]).expect("one command at a time");
        self.commands.publish();
        self.bell.ring();
    }

    /// Times of `rounds` commands until their results are there, in ns.
    fn ask(mut self, mode: WaitMode, rounds: usize) -> Vec<f64> {
        let mut times = Vec::with_capacity(rounds);
        let mut last = Instant::now();
        for round in 1..=rounds as u64 {
            self.send(1, round);
            let Self { results, waiter, .. } = &mut self;
            waiter.wait(mode, || results.has_next());
            let result = results.next().expect("an honest worker").expect("it is there");
            assert_eq!(result.aux, round, "another result came back");
            results.release();
            let now = Instant::now();
            times.push((now - last).as_nanos() as f64);
            last = now;
        }
        self.send(STOP, 0);
        times
    }
}

/// Times of `pairs` schedulers with a worker each, all at once, in ns; `pinned` says on which core
/// each thread runs, schedulers first.
fn round_trips(pairs: usize, mode: WaitMode, rounds: usize, pinned: &[usize]) -> Vec<f64> {
    std::thread::scope(|scope| {
        let mut asking = Vec::new();
        for pair in 0..pairs {
            let (lane, worker) = lane();
            let core = |at: usize| pinned.get(at).copied();
            let (scheduler, other) = (core(pair), core(pairs + pair));
            scope.spawn(move || {
                other.into_iter().for_each(pin);
                worker.run(mode);
            });
            asking.push(scope.spawn(move || {
                scheduler.into_iter().for_each(pin);
                lane.ask(mode, rounds)
            }));
        }
        let times = asking.into_iter().flat_map(|thread| thread.join().unwrap_or_default());
        times.collect()
    })
}

fn spinning(name: &str, mode: WaitMode, scale: Scale) -> Row {
    let rounds = scale.of(10_000);
    let (mut ours, mut line) = (Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        let (bare, times) = steady(|| round_trips(1, mode, rounds, &[0, 1]));
        ours.push(quantile(&times, 0.5));
        line.push(bare);
    }
    Row::new("S5", format!("dispatch round trip, {name}, p50"), Unit::Ns, median(&ours))
        .against("bare cache line, p50", median(&line), Some(median_ratio(&line, &ours)))
        .limit(median(&line))
        .goal(1.0 / 2.5)
}

fn parked(scale: Scale) -> Row {
    let rounds = scale.of(2_000);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..scale.segments {
        let times = round_trips(1, WaitMode::Park, rounds, &[0, 1]);
        ours.push(quantile(&times, 0.5) / 2.0);
        bare.push(quantile(&on_core(0, || unparked(rounds)), 0.5) / 2.0);
    }
    Row::new("S5", "dispatch, parked, each way, p50", Unit::Ns, median(&ours))
        .against("std park and unpark", median(&bare), Some(median_ratio(&bare, &ours)))
        .limit(median(&bare))
        .at_most(PARKED_NS_MAX)
}

/// More threads than cores: what waiting politely costs, and that nobody is starved.
fn crowded(scale: Scale) -> Vec<Row> {
    let rounds = scale.of(1_000);
    let twice: Vec<usize> = (0..4 * cores()).map(|at| at % cores()).collect();
    let cases: [(&str, usize, &[usize]); 2] = [
        ("both threads on one core", 1, &[0, 0]),
        ("twice as many threads as cores", cores(), &twice),
    ];
    let row = |(name, pairs, pinned): (&str, usize, &[usize])| {
        let (mut ours, mut park) = (Vec::new(), Vec::new());
        for _ in 0..scale.segments {
            for (figures, mode) in [(&mut ours, WaitMode::Hybrid), (&mut park, WaitMode::Park)] {
                figures.push(quantile(&round_trips(pairs, mode, rounds, pinned), 0.5));
            }
        }
        let case = format!("dispatch round trip, hybrid, {name}, p50");
        Row::new("S5", case, Unit::Ns, median(&ours)).against(
            "parking at once",
            median(&park),
            Some(median_ratio(&park, &ours)),
        )
    };
    cases.map(row).into()
}
