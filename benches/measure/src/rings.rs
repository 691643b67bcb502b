//! The two ring questions, asked of any ring: how long a round trip takes, how much goes through.
//!
//! The rivals' package asks the same code of its rings, in turn with ours. The writer writes every
//! byte of a message, the reader touches every cache line of it and checks the sequence: a figure
//! of a ring that loses or mixes up messages does not come out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::{bytes, cell};

use crate::machine::line_round_trips;
use crate::measure::{Spin, median, pin, quantile};

/// Bytes of payload that a ring has room for, at least: less, and both ends run in lockstep at the
/// same few cache lines, whoever's ring it is.
const RING_BYTES: usize = 256 << 10;
/// Messages that a ring has room for, at least.
const MESSAGES_MIN: usize = 1024;
/// Messages timed together at the consumer.
const SEGMENT: usize = 1024;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Round trips of a bare line by which the placement of the cores is judged.
const PROBES: usize = 2_000;
/// How much the bare line may change while a figure is taken.
const DRIFT: f64 = 1.25;
/// Attempts at a figure during which the cores stay where they are.
const ATTEMPTS: usize = 5;

/// Messages of `N` bytes that a ring has room for.
#[must_use]
pub const fn capacity<const N: usize>() -> usize {
    let messages = (RING_BYTES / N).next_power_of_two();
    if messages > MESSAGES_MIN { messages } else { MESSAGES_MIN }
}

/// Takes figures while the cores stay where they are, and gives the bare line's median beside them.
///
/// A virtual machine moves its cores between two places of which one has round trips four times
/// shorter. Figures from before and after such a move must not be compared, so they are taken
/// again; the last attempt is taken as it is.
pub fn steady<T>(mut figures: impl FnMut() -> T) -> (f64, T) {
    let line = || quantile(&line_round_trips(PROBES), 0.5);
    let mut attempt = 1;
    loop {
        let before = line();
        let taken = figures();
        let after = line();
        let drift = before.max(after) / before.min(after);
        if drift <= DRIFT || attempt == ATTEMPTS {
            return ((before + after) / 2.0, taken);
        }
        attempt += 1;
    }
}

/// Times of `rounds` round trips of messages of `N` bytes through two rings made by `ring`, in ns.
///
/// # Panics
/// If another message comes back than was sent.
pub fn round_trips<const N: usize, S: SendMany<N> + Send, R: ReceiveMany<N> + Send>(
    rounds: usize,
    ring: impl Fn() -> (S, R),
) -> Vec<f64> {
    let ((out, there), (back, home)) = (ring(), ring());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            pin(1);
            echo(rounds, there, back, || stop.load(Ordering::Relaxed));
        });
        let times = scope.spawn(move || {
            pin(0);
            let times = ask(rounds, out, home);
            stop.store(true, Ordering::Relaxed);
            times
        });
        times.join().unwrap_or_else(|panic| {
            stop.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(panic)
        })
    })
}

/// Sends `rounds` messages back, fewer if `stop` says so while it waits for one.
///
/// # Panics
/// If a message is not the next one, or a ring that holds none is full.
pub fn echo<const N: usize>(
    rounds: usize,
    mut from: impl ReceiveMany<N>,
    mut to: impl SendMany<N>,
    stop: impl Fn() -> bool,
) {
    let (mut next, mut spin) = (1, Spin::default());
    while next <= rounds as u64 {
        if from.receive(1, &mut |bytes| check::<N>(bytes, next)) == 1 {
            assert_eq!(to.send(next, 1), 1, "a ring without a message is full");
            next += 1;
        } else if stop() {
            return;
        } else {
            spin.once();
        }
    }
}

/// Times of `rounds` messages sent and received back, in ns.
///
/// # Panics
/// If another message comes back.
pub fn ask<const N: usize>(
    rounds: usize,
    mut to: impl SendMany<N>,
    mut from: impl ReceiveMany<N>,
) -> Vec<f64> {
    let mut times = Vec::with_capacity(rounds);
    let mut last = Instant::now();
    for round in 1..=rounds as u64 {
        assert_eq!(to.send(round, 1), 1, "a ring without a message is full");
        let mut spin = Spin::default();
        while from.receive(1, &mut |bytes| check::<N>(bytes, round)) == 0 {
            spin.once();
        }
        let now = Instant::now();
        times.push((now - last).as_nanos() as f64);
        last = now;
    }
    times
}

/// The sending end of a ring of messages of `N` bytes.
pub trait SendMany<const N: usize> {
    /// Sends the messages numbered from `first`, at most `count`; gives how many.
    fn send(&mut self, first: u64, count: usize) -> usize;
}

/// The receiving end.
pub trait ReceiveMany<const N: usize> {
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
pub fn ns_per_message<const N: usize, S: SendMany<N> + Send, R: ReceiveMany<N> + Send>(
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
///
/// # Panics
/// If the message is not whole or not this one.
#[inline]
pub fn check<const N: usize>(bytes: &[u8], number: u64) {
    let head = bytes.first_chunk().map(|head| u64::from_le_bytes(*head));
    let lines = bytes[8..].iter().skip(LINE - 9).step_by(LINE);
    let sound = lines.fold(true, |sound, byte| sound & (*byte == number as u8));
    assert!(bytes.len() == N && head == Some(number) && sound, "message {number} is not whole");
}

impl<const N: usize> SendMany<N> for cell::Sender<RawMem> {
    #[inline]
    fn send(&mut self, first: u64, count: usize) -> usize {
        let send = |number: &u64| self.try_send_bytes(&message::<N>(*number)).is_ok();
        (first..).take(count).take_while(send).count()
    }
}

impl<const N: usize> ReceiveMany<N> for cell::Receiver<RawMem> {
    #[inline]
    fn receive(&mut self, count: usize, each: &mut impl FnMut(&[u8])) -> usize {
        let mut received = 0;
        while received < count {
            let Some(cell) = self.try_recv() else { break };
            each(&bytemuck::cast_slice(&cell)[..N]);
            received += 1;
        }
        received
    }
}

/// Our `cell` ring.
///
/// # Panics
/// Never: the capacity is a power of two and the memory fresh.
#[must_use]
pub fn cell_ring() -> (cell::Sender<RawMem>, cell::Receiver<RawMem>) {
    let shape = cell::layout(MESSAGES_MIN).expect("a power of two");
    let (sender, receiver) = (RawMem::heap(shape.sender_len), RawMem::heap(shape.receiver_len));
    let out = cell::Sender::new(sender.clone(), receiver.clone()).expect("fresh memory");
    (out, cell::Receiver::new(sender, receiver).expect("fresh memory"))
}

/// Bytes of a record's header in a `bytes` ring, which travel with every message.
pub const HEADER_BYTES: usize = 16;

/// Our `bytes` ring of as many bytes as [`capacity`] messages of `N` bytes take elsewhere.
///
/// # Panics
/// Never: as [`cell_ring`].
#[must_use]
pub fn bytes_ring<const N: usize>() -> (bytes::Producer<RawMem>, bytes::Consumer<RawMem>) {
    let capacity = (capacity::<N>() * N).next_power_of_two();
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
            let Ok(mut grant) = self.reserve(N) else { break };
            grant.copy_from_slice(&message::<N>(number));
            grant.commit(N, 1, number);
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
