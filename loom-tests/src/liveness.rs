//! The protocols at real sizes on random schedules: everything arrives, and everything ends.
//!
//! Each scenario is one execution with all its threads. It fails by an assertion, by a deadlock, or
//! by taking more steps than any schedule that makes progress needs. Two schedulers choose: one at
//! random, one (PCT) with priorities that change a few times, which finds bugs that need a thread
//! to be starved for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread;
use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next, Overtaken};
use wasm_engine_shm::cell::{self, Receiver};
use wasm_engine_shm::mem::Mem;
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};
use wasm_engine_shm::page::{self, PageReader, PageWriter};
use wasm_engine_shm::rows::{self, RowsReader, RowsWriter};
use wasm_engine_shm::spill::{self, Spill, SpillReader};
use wasm_engine_shm::wait::WaitMode;

use crate::ends::{bell, cells, ring};
use crate::shuttle_mem::ShuttleMem;

/// Most steps of one execution; those that make progress need a few thousand.
const STEPS_MAX: usize = 200_000;

/// Changes of priority in one execution of PCT.
const DEPTH: usize = 3;

/// Messages of a scenario.
const COUNT: u64 = 40;

/// Runs a scenario on this many schedules of each kind, from a seed.
pub fn explore(scenario: fn(), schedules: usize, seed: u64) {
    let config = || {
        let mut config = shuttle::Config::new();
        config.max_steps = shuttle::MaxSteps::FailAfter(STEPS_MAX);
        config.failure_persistence = shuttle::FailurePersistence::Print;
        config.silence_warnings = true;
        config
    };
    let random = RandomScheduler::new_from_seed(seed, schedules);
    shuttle::Runner::new(random, config()).run(scenario);
    let pct = PctScheduler::new_from_seed(seed, DEPTH, schedules);
    shuttle::Runner::new(pct, config()).run(scenario);
}

/// Bytes of record `n`: all lengths around whole units, the largest among them.
fn record(n: u64, max: usize) -> Vec<u8> {
    let lens = [0, 1, max, 15, 16, 17, max / 2, max - 1];
    vec![n as u8; lens[n as usize % lens.len()]]
}

/// Records of all sizes through a ring that holds two of the largest; batches on both sides.
pub fn bytes_all_sizes() {
    let (mut tx, mut rx) = ring::<ShuttleMem>(256);
    let max = tx.payload_max();
    let producer = thread::spawn(move || {
        for n in 0..COUNT {
            while tx.push(0, n, &record(n, max)).is_err() {
                tx.publish();
                ShuttleMem::yield_now();
            }
            if n % 3 == 0 {
                tx.publish();
            }
        }
        tx.publish();
    });
    let consumer = thread::spawn(move || {
        let mut n = 0;
        while n < COUNT {
            let next = rx.next().expect("an honest producer");
            match next.map(|found| (found.aux, found.to_vec())) {
                Some(found) => {
                    assert_eq!(found, (n, record(n, max)));
                    n += 1;
                    if n % 2 == 0 {
                        rx.release();
                    }
                }
                None => {
                    rx.release();
                    ShuttleMem::yield_now();
                }
            }
        }
    });
    producer.join().expect("the producer ended");
    consumer.join().expect("the consumer ended");
}

/// The same with a doorbell each way: a full ring puts the producer to sleep, an empty one the
/// consumer.
pub fn bells_both_ways() {
    bells(true);
}

/// The same with a consumer that never rings: it must be seen to fail.
pub fn bells_one_way() {
    bells(false);
}

fn bells(both: bool) {
    let (mut tx, mut rx) = ring::<ShuttleMem>(128);
    let ((full, mut room), (work, mut more)) = (bell::<ShuttleMem>(), bell::<ShuttleMem>());
    let max = tx.payload_max();
    let producer = thread::spawn(move || {
        for n in 0..COUNT {
            let payload = record(n, max);
            let mode = if n % 2 == 0 { WaitMode::Park } else { WaitMode::Hybrid };
            room.wait(mode, || tx.reserve(payload.len()).is_ok());
            tx.push(0, n, &payload).expect("room was there");
            tx.publish();
            work.ring();
        }
    });
    let consumer = thread::spawn(move || {
        for n in 0..COUNT {
            more.wait(WaitMode::Park, || rx.has_next());
            let found = rx.next().expect("an honest producer").expect("it was there");
            assert_eq!((found.aux, found.to_vec()), (n, record(n, max)));
            drop(found);
            rx.release();
            if both {
                full.ring();
            }
        }
    });
    producer.join().expect("the producer ended");
    consumer.join().expect("the consumer ended");
}

/// A scheduler and two lanes for ten microsteps: each lane reads what both wrote in the microstep
/// before and what the scheduler retains in the spill.
pub fn lanes_and_scheduler() {
    const EPOCHS: u64 = 10;
    const LANES: u64 = 2;
    let outboxes: Vec<ShuttleMem> =
        (0..LANES).map(|_| ShuttleMem::atomic(outbox::layout(128).expect("valid"))).collect();
    let shelf = ShuttleMem::atomic(spill::layout(4).expect("valid"));
    let mut spill = Spill::new(shelf.clone()).expect("free");
    let (mut commands, mut results, mut lanes) = (Vec::new(), Vec::new(), Vec::new());
    for lane in 0..LANES {
        let ((to_lane, mut orders), (mut answers, from_lane)) =
            (cells::<ShuttleMem>(2), cells::<ShuttleMem>(2));
        commands.push(to_lane);
        results.push(from_lane);
        let mut own = OutboxWriter::new(outboxes[lane as usize].clone()).expect("free");
        let readers: Vec<_> =
            outboxes.iter().map(|mem| OutboxReader::new(mem.clone()).expect("free")).collect();
        let kept = SpillReader::new(shelf.clone()).expect("free");
        lanes.push(thread::spawn(move || {
            for epoch in 0..EPOCHS {
                let [at, first, blocks @ ..] = receive(&mut orders);
                assert_eq!(at, epoch);
                let mut payload = [0; 72];
                kept.copy_to(first as u32, &mut payload).expect("a chain");
                assert_eq!(payload, [epoch as u8; 72], "the spill");
                for (writer, reader) in readers.iter().enumerate().filter(|_| epoch > 0) {
                    let mut payload = [0; 8];
                    reader.copy_to(blocks[writer] as u32, &mut payload).expect("inside");
                    assert_eq!(u64::from_ne_bytes(payload), (epoch - 1) * 10 + writer as u64);
                }
                own.begin(epoch);
                let block = own.write(&(epoch * 10 + lane).to_ne_bytes()).expect("room");
                answers.try_send(&[u64::from(block); 7]).expect("room");
            }
        }));
    }
    let scheduler = thread::spawn(move || {
        let mut blocks = [0; LANES as usize];
        for epoch in 0..EPOCHS {
            let first = spill.retain(&[epoch as u8; 72]).expect("room");
            let [a, b] = blocks;
            for to_lane in &mut commands {
                let command = [epoch, u64::from(first), a, b, 0, 0, 0];
                to_lane.try_send(&command).expect("room");
            }
            for (block, from_lane) in blocks.iter_mut().zip(&mut results) {
                *block = receive(from_lane)[0];
            }
            spill.release(first, 72).expect("there");
        }
    });
    scheduler.join().expect("the scheduler ended");
    for lane in lanes {
        lane.join().expect("a lane ended");
    }
}

/// Receives, waiting.
fn receive(rx: &mut Receiver<ShuttleMem>) -> cell::Cell {
    loop {
        if let Some(cell) = rx.try_recv() {
            return cell;
        }
        ShuttleMem::yield_now();
    }
}

/// Overruns that the readers of [`broadcast_four_readers`] met in all schedules so far, by polling
/// and by reading. Not shuttle's: they are no part of a schedule.
pub static OVERRUNS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// One writer that never waits, four readers: each accounts for every message, by the cause of its
/// loss.
pub fn broadcast_four_readers() {
    const SLOTS: usize = 8;
    let mem = ShuttleMem::atomic(broadcast::layout(SLOTS, 24).expect("valid"));
    let mut writer = BroadcastWriter::new(mem.clone(), SLOTS, 24).expect("free");
    let message = |n: u64| n.to_ne_bytes().repeat(1 + n as usize % 3);
    let mut threads = vec![thread::spawn(move || {
        for n in 0..COUNT {
            assert_eq!(writer.send(&message(n)), n);
        }
    })];
    for _ in 0..4 {
        let mut reader = BroadcastReader::new(mem.clone(), SLOTS, 24).expect("free");
        threads.push(thread::spawn(move || {
            let (mut delivered, mut payload, mut reported) = (0, [0; 24], [0; 2]);
            while reader.position() < COUNT {
                match reader.next(&mut payload) {
                    Next::Message { number, len } => {
                        assert_eq!(payload[..len], message(number));
                        delivered += 1;
                    }
                    Next::Overrun { lost, during, .. } => {
                        assert!(lost > 0);
                        let kind = usize::from(during == Overtaken::Reading);
                        reported[kind] += lost;
                        OVERRUNS[kind].fetch_add(1, Ordering::Relaxed);
                    }
                    Next::Empty => ShuttleMem::yield_now(),
                }
                assert_eq!(reader.lost_apart(), reported.into());
                assert_eq!(delivered + reader.lost(), reader.position());
            }
        }));
    }
    for thread in threads {
        thread.join().expect("it ended");
    }
}

/// A page and a table with four readers, who end when they have seen the last publication.
pub fn snapshots_four_readers() {
    const WORDS: usize = 6;
    const ROWS: usize = 3;
    let page = ShuttleMem::atomic(page::layout(WORDS).expect("valid"));
    let table = ShuttleMem::atomic(rows::layout(ROWS, 2).expect("valid"));
    let mut pages = PageWriter::new(page.clone(), WORDS).expect("free");
    let mut rows = RowsWriter::new(table.clone(), ROWS, 2).expect("free");
    let mut threads = vec![thread::spawn(move || {
        for n in 0..COUNT / 2 {
            pages.publish(&[n; WORDS][..WORDS - n as usize % 3]);
            rows.write(n as usize % ROWS, &[n + 1; 2]);
            rows.publish();
        }
    })];
    for _ in 0..4 {
        let pages = PageReader::new(page.clone(), WORDS).expect("free");
        let rows = RowsReader::new(table.clone(), ROWS, 2).expect("free");
        threads.push(thread::spawn(move || {
            let mut last = 0;
            while last + 1 < COUNT / 2 {
                let (mut words, mut row) = ([0; WORDS], [0; 2]);
                if let Ok(read) = pages.read(&mut words) {
                    assert!(read.number >= last, "a page went back");
                    assert!(words[..read.words].iter().all(|word| *word == read.number), "torn");
                    last = read.number;
                }
                if let Ok((version, Some(written))) = rows.read_newest(0, &mut row) {
                    assert!(written <= version && row == [written; 2], "a row of another snapshot");
                }
                ShuttleMem::yield_now();
            }
        }));
    }
    for thread in threads {
        thread.join().expect("it ended");
    }
}

/// Four threads ask for one side: one gets it.
pub fn leases_of_four() {
    let mem = ShuttleMem::atomic(outbox::layout(64).expect("valid"));
    let got = Arc::new(shuttle::sync::atomic::AtomicU64::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (mem, got) = (mem.clone(), Arc::clone(&got));
            thread::spawn(move || {
                if OutboxWriter::new(mem).is_ok() {
                    got.fetch_add(1, shuttle::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it asked");
    }
    assert_eq!(got.load(shuttle::sync::atomic::Ordering::SeqCst), 1);
}
