//! The ends of rings and doorbells in memory of either checker, each word of its class.

use wasm_engine_shm::acks::{self, AckReader, AckWriter};
use wasm_engine_shm::bytes::{self, Consumer, Producer};
use wasm_engine_shm::cell::{self, Receiver, Sender};
use wasm_engine_shm::wait::{self, Ringer, Waiter};

use crate::class::{Class, Classed};

/// Memory of which only the first word is used.
fn first_atomic<M: Classed>(len: usize) -> M {
    M::classed(len, |word| if word == 0 { Class::Atomic } else { Class::Unused })
}

/// The two ends of a cell ring.
///
/// # Panics
/// If the capacity is invalid.
#[must_use]
pub fn cells<M: Classed>(capacity: usize) -> (Sender<M>, Receiver<M>) {
    let shape = cell::layout(capacity).expect("a valid capacity");
    let class = |word: usize| if word.is_multiple_of(8) { Class::Atomic } else { Class::Plain };
    let slots = M::classed(shape.sender_len, class);
    let tail: M = first_atomic(shape.receiver_len);
    let sender = Sender::new(slots.clone(), tail.clone()).expect("free");
    (sender, Receiver::new(slots, tail).expect("free"))
}

/// The two ends of a bytes ring.
///
/// # Panics
/// If the capacity is invalid.
#[must_use]
pub fn ring<M: Classed>(capacity: usize) -> (Producer<M>, Consumer<M>) {
    let shape = bytes::layout(capacity).expect("a valid capacity");
    let data = M::classed(shape.producer_len, |word| match word {
        0 => Class::Atomic,
        1..16 => Class::Unused,
        _ => Class::Plain,
    });
    let tail: M = first_atomic(shape.consumer_len);
    let producer = Producer::new(data.clone(), tail.clone()).expect("free");
    (producer, Consumer::new(data, tail).expect("free"))
}

/// Both sides of acknowledgements.
///
/// # Panics
/// Never: the memory is fresh.
#[must_use]
pub fn acks<M: Classed>() -> (AckWriter<M>, AckReader<M>) {
    let class = |word: usize| if word < 3 { Class::Atomic } else { Class::Unused };
    let mem = M::classed(acks::LEN, class);
    (AckWriter::new(mem.clone()).expect("free"), AckReader::new(mem).expect("free"))
}

/// The two sides of a doorbell.
///
/// # Panics
/// Never: the memory is fresh.
#[must_use]
pub fn bell<M: Classed>() -> (Ringer<M>, Waiter<M>) {
    let mem = M::classed(wait::LEN, |word| match word {
        0 => Class::Bell,
        1 => Class::Atomic,
        _ => Class::Unused,
    });
    (Ringer::new(mem.clone()).expect("free"), Waiter::new(mem).expect("free"))
}
