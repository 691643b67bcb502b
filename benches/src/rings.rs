//! The two ring questions, asked of any ring: how long a round trip takes, how much goes through.
//!
//! The rivals' package asks the same code of its rings, in turn with ours. The writer writes every
//! byte of a message, the reader touches every cache line of it and checks the sequence: a figure of
//! a ring that loses or mixes up messages does not come out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::{bytes, cell};

use crate::measure::{Spin, median, pin};

/// Messages that a ring has room for, at least.
pub const CAPACITY: usize = 1024;
/// Messages timed together at the consumer.
const SEGMENT: usize = 1024;
/// Bytes of a cache line.
const LINE: usize = 64;

/// The sending end of a ring of numbers.
pub trait Send1: Send {
    /// Sends `value`; false if there is no room.
    fn send(&mut self, value: u64) -> bool;
}

/// The receiving end.
pub trait Receive1: Send {
    /// The next number, if there is one.
    fn receive(&mut self) -> Option<u64>;
}

/// Times of `rounds` round trips through two rings made by `ring`, in ns.
///
/// # Panics
/// If a number comes back that was not sent.
pub fn round_trips<S: Send1, R: Receive1>(rounds: usize, ring: impl Fn() -> (S, R)) -> Vec<f64> {
    let ((mut out, mut there), (mut back, mut home)) = (ring(), ring());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            pin(1);
            let mut spin = Spin::default();
            while !stop.load(Ordering::Relaxed) {
                match there.receive() {
                    Some(value) => assert!(back.send(value), "a ring of one message is full"),
                    None => spin.once(),
                }
            }
        });
        let times = scope.spawn(move || {
            pin(0);
            let mut times = Vec::with_capacity(rounds);
            let mut last = Instant::now();
            for round in 1..=rounds as u64 {
                assert!(out.send(round), "a ring of one message is full");
                let mut spin = Spin::default();
                let value = loop {
                    match home.receive() {
                        Some(value) => break value,
                        None => spin.once(),
                    }
                };
                assert_eq!(value, round, "another number came back");
                let now = Instant::now();
                times.push((now - last).as_nanos() as f64);
                last = now;
            }
            stop.store(true, Ordering::Relaxed);
            times
        });
        times.join().unwrap_or_else(|panic| {
            stop.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(panic)
        })
    })
}

/// The sending end of a ring of messages of `N` bytes.
pub trait SendMany<const N: usize>: Send {
    /// Sends the messages numbered from `first`, at most `count`; gives how many.
    fn send(&mut self, first: u64, count: usize) -> usize;
}

/// The receiving end.
pub trait ReceiveMany<const N: usize>: Send {
    /// Gives at most `count` messages to `each`; gives how many.
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize;
}

/// A message: its number, then bytes that depend on it.
#[inline]
#[must_use]
pub fn message<const N: usize>(number: u64) -> [u8; N] {
    let mut bytes = [number as u8; N];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Nanoseconds of one message through a ring, sent `batch` at a time: median over segments of 1,024
/// messages timed at the consumer, so that a thread that is interrupted spoils one segment.
///
/// # Panics
/// If a message is lost, doubled or changed.
pub fn ns_per_message<const N: usize, S: SendMany<N>, R: ReceiveMany<N>>(
    segments: usize,
    batch: usize,
    ring: impl Fn() -> (S, R),
) -> f64 {
    let (mut sender, mut receiver) = ring();
    let total = (segments + 1) * SEGMENT;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            pin(1);
            let (mut sent, mut spin) = (0, Spin::default());
            while sent < total && !stop.load(Ordering::Relaxed) {
                match sender.send(sent as u64, batch.min(total - sent)) {
                    0 => spin.once(),
                    count => sent += count,
                }
            }
        });
        let times = scope.spawn(move || {
            pin(0);
            let mut times = Vec::with_capacity(segments + 1);
            let mut next = 0u64;
            for segment in 0..=segments {
                let (start, mut spin) = (Instant::now(), Spin::default());
                let end = ((segment + 1) * SEGMENT) as u64;
                while next < end {
                    let left = (end - next) as usize;
                    let count = receiver.receive(batch.min(left), &mut |bytes| {
                        check::<N>(bytes, next);
                        next += 1;
                    });
                    if count == 0 {
                        spin.once();
                    }
                }
                times.push(start.elapsed().as_nanos() as f64 / SEGMENT as f64);
            }
            // The first one holds the start of the other thread.
            median(&times[1..])
        });
        times.join().unwrap_or_else(|panic| {
            stop.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(panic)
        })
    })
}

/// Checks the number and one byte of every line.
#[inline]
fn check<const N: usize>(bytes: &[u8], number: u64) {
    let head = bytes.first_chunk().map(|head| u64::from_le_bytes(*head));
    let lines = bytes[8..].iter().skip(LINE - 9).step_by(LINE);
    let sound = lines.fold(true, |sound, byte| sound & (*byte == number as u8));
    assert!(bytes.len() == N && head == Some(number) && sound, "message {number} is not whole");
}

impl Send1 for cell::Sender<RawMem> {
    #[inline]
    fn send(&mut self, value: u64) -> bool {
        self.try_send(&[value; 7]).is_ok()
    }
}

impl Receive1 for cell::Receiver<RawMem> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.try_recv().map(|cell| {
            assert_eq!(cell[0], cell[6], "a cell is not whole");
            cell[0]
        })
    }
}

/// Our `cell` ring.
///
/// # Panics
/// Never: the capacity is a power of two and the memory fresh.
#[must_use]
pub fn cell_ring() -> (cell::Sender<RawMem>, cell::Receiver<RawMem>) {
    let shape = cell::layout(CAPACITY).expect("a power of two");
    let (sender, receiver) = (RawMem::heap(shape.sender_len), RawMem::heap(shape.receiver_len));
    let out = cell::Sender::new(sender.clone(), receiver.clone()).expect("fresh memory");
    (out, cell::Receiver::new(sender, receiver).expect("fresh memory"))
}

/// Bytes of a record's header in a `bytes` ring, which travel with every message.
pub const HEADER_BYTES: usize = 16;

/// Our `bytes` ring with room for [`CAPACITY`] messages of `N` bytes.
///
/// # Panics
/// Never: as [`cell_ring`].
#[must_use]
pub fn bytes_ring<const N: usize>() -> (bytes::Producer<RawMem>, bytes::Consumer<RawMem>) {
    let capacity = (CAPACITY * (N + HEADER_BYTES)).next_power_of_two();
    let shape = bytes::layout(capacity).expect("a power of two");
    let (producer, consumer) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
    let out = bytes::Producer::new(producer.clone(), consumer.clone()).expect("fresh memory");
    (out, bytes::Consumer::new(producer, consumer).expect("fresh memory"))
}

impl<const N: usize> SendMany<N> for bytes::Producer<RawMem> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        let mut sent = 0;
        while sent < count {
            let number = first + sent as u64;
            if self.push(1, number, &message::<N>(number)).is_err() {
                break;
            }
            sent += 1;
        }
        self.publish();
        sent
    }
}

impl<const N: usize> ReceiveMany<N> for bytes::Consumer<RawMem> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        let mut received = 0;
        while received < count {
            match self.next() {
                Ok(Some(record)) => each(&record),
                Ok(None) => break,
                Err(error) => panic!("the ring is broken: {error}"),
            }
            received += 1;
        }
        if received > 0 {
            self.release();
        }
        received
    }
}
