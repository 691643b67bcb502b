//! The two rings: order, contents, no reuse before release, nothing visible before publish.

use loom::thread;
use wasm_engine_shm::bytes::{Consumer, Producer};
use wasm_engine_shm::mem::Mem;

use crate::check::{LoomModel, Marks};
use crate::ends::{cells, ring};
use crate::mem::LoomMem;

/// Cells arrive whole and in order over a ring of two, which the third wraps.
pub const CELL_PUBLISH: LoomModel = LoomModel {
    name: "cell_publish",
    bound: Some(2),
    reach: &["full", "empty", "wrapped"],
    run: cell_publish,
};

/// Records arrive whole and in order where one has to skip the end of the data, also when it would
/// fit but the pad does not.
pub const BYTES_WRAP: LoomModel = LoomModel {
    name: "bytes_wrap",
    bound: Some(2),
    reach: &["full", "empty", "wrapped"],
    run: bytes_wrap,
};

/// A ring of two units, full again and again.
pub const BYTES_FULL: LoomModel =
    LoomModel { name: "bytes_full", bound: Some(2), reach: &["full", "empty"], run: bytes_full };

/// Two records become visible in one store and are released in one.
pub const BYTES_BATCH: LoomModel = LoomModel {
    name: "bytes_batch",
    bound: Some(2),
    reach: &["full", "empty", "wrapped"],
    run: bytes_batch,
};

fn cell_publish(marks: &Marks) {
    const COUNT: u64 = 3;
    let (mut tx, mut rx) = cells::<LoomMem>(2);
    let (at_tx, at_rx) = (marks.clone(), marks.clone());
    let sender = thread::spawn(move || {
        for n in 0..COUNT {
            while tx.try_send(&[n + 1; 7]).is_err() {
                at_tx.hit("full");
                LoomMem::yield_now();
            }
        }
    });
    let receiver = thread::spawn(move || {
        for n in 0..COUNT {
            let cell = loop {
                match rx.try_recv() {
                    Some(cell) => break cell,
                    None => at_rx.hit("empty"),
                }
                LoomMem::yield_now();
            };
            assert_eq!(cell, [n + 1; 7]);
        }
        at_rx.hit("wrapped");
    });
    sender.join().expect("the sender ended");
    receiver.join().expect("the receiver ended");
}

/// Takes `count` records and checks them; releases after each `batch`.
fn consume(mut rx: Consumer<LoomMem>, lens: &[usize], batch: usize, marks: &Marks) {
    for (n, len) in lens.iter().enumerate() {
        loop {
            let record = rx.next().expect("an honest producer");
            if let Some(record) = record {
                assert_eq!((record.aux, record.len()), (n as u64, *len));
                assert!(record.iter().all(|byte| usize::from(*byte) == n + 1));
                break;
            }
            marks.hit("empty");
            LoomMem::yield_now();
        }
        if (n + 1) % batch == 0 {
            rx.release();
        }
    }
}

/// Pushes records of these lengths; publishes after each `batch`.
fn produce(mut tx: Producer<LoomMem>, lens: &[usize], batch: usize, marks: &Marks) {
    for (n, len) in lens.iter().enumerate() {
        let payload = [n as u8 + 1; 64];
        while tx.push(0, n as u64, &payload[..*len]).is_err() {
            marks.hit("full");
            LoomMem::yield_now();
        }
        if (n + 1) % batch == 0 {
            tx.publish();
        }
    }
}

fn run_ring(marks: &Marks, capacity: usize, lens: &'static [usize], batch: usize) {
    let (tx, rx) = ring::<LoomMem>(capacity);
    let (at_tx, at_rx) = (marks.clone(), marks.clone());
    let producer = thread::spawn(move || produce(tx, lens, batch, &at_tx));
    let consumer = thread::spawn(move || consume(rx, lens, batch, &at_rx));
    producer.join().expect("the producer ended");
    consumer.join().expect("the consumer ended");
    marks.hit("wrapped");
}

fn bytes_wrap(marks: &Marks) {
    // Units 1 + 2, then 2 with a pad of 1: with one unit released it fits, but not with its pad.
    run_ring(marks, 64, &[0, 16, 16], 1);
}

fn bytes_full(marks: &Marks) {
    run_ring(marks, 32, &[0, 0, 0, 0], 1);
}

fn bytes_batch(marks: &Marks) {
    run_ring(marks, 64, &[0, 16, 0, 0], 2);
}
