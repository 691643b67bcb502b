//! What a poll of a ring promises, though it takes nothing: a waiter may act on it.
//!
//! The notes are Relaxed on purpose: only the ring orders them.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use wasm_engine_shm::mem::Mem;

use crate::check::{LoomModel, Marks};
use crate::ends::{cells, ring};
use crate::mem::LoomMem;

/// `has_next` is true: what the producer did before it published is there. `is_drained` is true: so
/// is what the consumer did before it released.
pub const BYTES_POLL: LoomModel = LoomModel {
    name: "bytes_poll",
    bound: None,
    reach: &["nothing yet", "there", "not drained", "drained"],
    run: bytes_poll,
};

/// `has_next` of a cell ring: what the sender did before it sent is there.
pub const CELL_POLL: LoomModel =
    LoomModel { name: "cell_poll", bound: None, reach: &["nothing yet", "there"], run: cell_poll };

/// Polls until it is true.
fn poll(marks: &Marks, outcomes: [&'static str; 2], mut is_true: impl FnMut() -> bool) {
    while !is_true() {
        marks.hit(outcomes[0]);
        LoomMem::yield_now();
    }
    marks.hit(outcomes[1]);
}

fn bytes_poll(marks: &Marks) {
    let (mut tx, mut rx) = ring::<LoomMem>(32);
    let notes = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (at_tx, at_rx) = ((marks.clone(), Arc::clone(&notes)), (marks.clone(), notes));
    let producer = thread::spawn(move || {
        let (marks, notes) = at_tx;
        notes[0].store(1, Ordering::Relaxed);
        tx.push(0, 0, &[]).expect("room");
        tx.publish();
        poll(&marks, ["not drained", "drained"], || tx.is_drained());
        assert_eq!(notes[1].load(Ordering::Relaxed), 1, "drained, and the note is missing");
    });
    let consumer = thread::spawn(move || {
        let (marks, notes) = at_rx;
        poll(&marks, ["nothing yet", "there"], || rx.has_next());
        assert_eq!(notes[0].load(Ordering::Relaxed), 1, "there, and the note is missing");
        assert!(rx.next().expect("an honest producer").is_some());
        notes[1].store(1, Ordering::Relaxed);
        rx.release();
    });
    producer.join().expect("the producer ended");
    consumer.join().expect("the consumer ended");
}

fn cell_poll(marks: &Marks) {
    let (mut tx, mut rx) = cells::<LoomMem>(2);
    let note = Arc::new(AtomicU64::new(0));
    let (marks, at_tx) = (marks.clone(), Arc::clone(&note));
    let sender = thread::spawn(move || {
        at_tx.store(1, Ordering::Relaxed);
        tx.try_send(&[1; 7]).expect("room");
    });
    let receiver = thread::spawn(move || {
        poll(&marks, ["nothing yet", "there"], || rx.has_next());
        assert_eq!(note.load(Ordering::Relaxed), 1, "there, and the note is missing");
        assert_eq!(rx.try_recv(), Some([1; 7]));
    });
    sender.join().expect("the sender ended");
    receiver.join().expect("the receiver ended");
}
