//! The rings against a plain queue: all small sizes, random programs, raw bytes, corrupt peers.
//! Their threads are in `threads.rs`.

use std::collections::VecDeque;

use proptest::prelude::*;
use wasm_engine_shm::bytes::{self, Consumer, CorruptRing, Producer, ReserveError};
use wasm_engine_shm::cell;
use wasm_engine_shm::lease::{Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, RawMem};

/// Longest random program.
const PROGRAM_MAX: usize = if cfg!(miri) { 30 } else { 120 };

type RingEnds = (Producer<RawMem>, Consumer<RawMem>);

/// The two blocks of a ring in one heap.
fn blocks(capacity: usize) -> (RawMem, RawMem) {
    let shape = bytes::layout(capacity).expect("a valid capacity");
    let heap = RawMem::heap(shape.producer_len + shape.consumer_len + 128);
    let producer = heap.slice(0, shape.producer_len).expect("inside");
    // The consumer's block at the next 128-byte boundary.
    let at = shape.producer_len.next_multiple_of(128);
    (producer, heap.slice(at, shape.consumer_len).expect("inside"))
}

fn ring(capacity: usize) -> RingEnds {
    let (p, c) = blocks(capacity);
    (Producer::new(p.clone(), c.clone()).expect("free"), Consumer::new(p, c).expect("free"))
}

fn payload(len: usize, seed: u64) -> Vec<u8> {
    (0..len).map(|i| (seed as usize * 31 + i * 7) as u8).collect()
}

/// One step of a random program.
#[derive(Clone, Copy, Debug)]
enum RingOp {
    Push(usize),
    Shrink(usize, usize),
    Drop(usize),
    Publish,
    Next,
    Release,
}

fn op(max: usize) -> impl Strategy<Value = RingOp> {
    prop_oneof![
        4 => (0..=max + 8).prop_map(RingOp::Push),
        1 => (0..=max, 0..=max).prop_map(|(a, b)| RingOp::Shrink(a.max(b), a.min(b))),
        1 => (0..=max).prop_map(RingOp::Drop),
        3 => Just(RingOp::Publish),
        5 => Just(RingOp::Next),
        3 => Just(RingOp::Release),
    ]
}

/// What the ring must do: three queues of (sequence, payload).
#[derive(Default)]
struct QueueModel {
    written: VecDeque<(u64, Vec<u8>)>,
    visible: VecDeque<(u64, Vec<u8>)>,
    sent: u64,
    held: u64,
}

fn run(capacity: usize, ops: &[RingOp]) -> Result<(), TestCaseError> {
    let (mut producer, mut consumer) = ring(capacity);
    let mut model = QueueModel::default();
    let max = producer.payload_max();
    for op in ops {
        match *op {
            RingOp::Push(len) => {
                let data = payload(len, model.sent);
                match producer.push(len as u32, model.sent, &data) {
                    Ok(()) => model.written.push_back((model.sent, data)),
                    Err(ReserveError::TooBig { .. }) => prop_assert!(len > max),
                    Err(ReserveError::Full { need, free }) => {
                        prop_assert!(need > free);
                        let idle = model.written.is_empty() && model.visible.is_empty();
                        prop_assert!(!idle || model.held > 0, "an empty ring takes a record");
                        continue;
                    }
                }
                model.sent += u64::from(len <= max);
            }
            RingOp::Shrink(reserve, commit) => {
                if let Ok(mut grant) = producer.reserve(reserve) {
                    let data = payload(commit, model.sent);
                    prop_assert_eq!(grant.as_ptr() as usize % 16, 0);
                    grant[..commit].copy_from_slice(&data);
                    grant.commit(commit, commit as u32, model.sent);
                    model.written.push_back((model.sent, data));
                    model.sent += 1;
                }
            }
            RingOp::Drop(len) => {
                if let Ok(mut grant) = producer.reserve(len) {
                    grant.fill(0xEE);
                }
            }
            RingOp::Publish => {
                producer.publish();
                model.visible.append(&mut model.written);
            }
            RingOp::Next => {
                let got = consumer.next().expect("an honest producer");
                match (got, model.visible.pop_front()) {
                    (None, None) => {}
                    (Some(record), Some((seq, data))) => {
                        prop_assert_eq!(record.aux, seq);
                        prop_assert_eq!(record.tag as usize, data.len());
                        prop_assert_eq!(&record[..], &data[..]);
                        model.held += 1;
                    }
                    (got, want) => {
                        prop_assert!(false, "got {} want {:?}", got.is_some(), want);
                    }
                }
            }
            RingOp::Release => {
                consumer.release();
                model.held = 0;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 400 }, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn bytes_ring_is_a_queue(
        (capacity, ops) in (1_u32..9).prop_flat_map(|bits| {
            let capacity = 16_usize << bits;
            (Just(capacity), prop::collection::vec(op(capacity / 2 - 16), 0..PROGRAM_MAX))
        })
    ) {
        run(capacity, &ops)?;
    }

    #[test]
    fn cell_ring_is_a_queue(
        bits in 1_u32..5, ops in prop::collection::vec(any::<bool>(), 0..200)
    ) {
        let capacity = 1_usize << bits;
        let (mut tx, mut rx) = cells(capacity);
        let mut queue = VecDeque::new();
        for (n, send) in ops.into_iter().enumerate() {
            if send {
                let cell = [n as u64; 7];
                let sent = tx.try_send(&cell).is_ok();
                prop_assert_eq!(sent, queue.len() < capacity);
                if sent { queue.push_back(cell) }
            } else {
                prop_assert_eq!(rx.has_next(), !queue.is_empty());
                prop_assert_eq!(rx.try_recv(), queue.pop_front());
            }
        }
    }
}

/// Every sequence of up to four sizes on every small ring, read after each push.
#[test]
fn all_small_sizes_fit_an_empty_ring() {
    let capacities: &[usize] = if cfg!(miri) { &[32, 64] } else { &[32, 64, 128, 256] };
    for capacity in capacities.iter().copied() {
        let max = bytes::layout(capacity).expect("valid").payload_max;
        let sizes: Vec<usize> = (0..=max).filter(|n| n % 16 <= 1 || *n == max).collect();
        for first in &sizes {
            for second in &sizes {
                let (mut tx, mut rx) = ring(capacity);
                for (n, len) in [*first, *second, max, *first].into_iter().enumerate() {
                    let data = payload(len, n as u64);
                    tx.push(1, n as u64, &data).expect("fits an empty ring");
                    assert!(rx.next().expect("honest").is_none(), "nothing before publish");
                    tx.publish();
                    assert!(rx.has_next());
                    let record = rx.next().expect("honest").expect("published");
                    assert_eq!((&record[..], record.aux), (&data[..], n as u64));
                    rx.release();
                    assert!(tx.is_drained());
                }
            }
        }
    }
}

#[test]
fn raw_bytes_are_as_documented() {
    let (p, c) = blocks(64);
    let mut tx = Producer::new(p.clone(), c.clone()).expect("free");
    let mut rx = Consumer::new(p.clone(), c.clone()).expect("free");
    tx.push(7, 9, b"hello").expect("room");
    tx.publish();
    let words = |mem: &RawMem, at: &[usize]| -> Vec<u64> {
        // SAFETY: one thread; nobody else touches the memory.
        at.iter().map(|w| unsafe { mem.get(*w) }).collect()
    };
    let hello = u64::from_ne_bytes(*b"hello\0\0\0");
    assert_eq!(words(&p, &[0, 16, 17, 18]), [32, 7 << 32 | 5, 9, hello]);
    assert!(rx.next().expect("honest").is_some());
    rx.release();
    tx.push(1, 1, b"").expect("room");
    tx.push(2, 2, b"x").expect("a pad of one unit, then the record");
    tx.publish();
    assert_eq!(words(&p, &[0, 22, 16]), [96, u64::from(u32::MAX), 2 << 32 | 1]);
    assert_eq!(words(&c, &[0]), [32]);
}

#[test]
fn too_big_and_full_say_how_much() {
    let (mut tx, _rx) = ring(128);
    assert_eq!(tx.payload_max(), 48);
    assert!(matches!(tx.reserve(49), Err(ReserveError::TooBig { len: 49, max: 48 })));
    assert!(matches!(tx.reserve(usize::MAX), Err(ReserveError::TooBig { .. })));
    tx.push(0, 0, &[0; 48]).expect("room");
    tx.push(0, 0, &[0; 33]).expect("room");
    assert!(matches!(tx.reserve(0), Err(ReserveError::Full { need: 16, free: 0 })));
}

#[test]
fn a_corrupt_producer_is_an_error() {
    for (word, value) in [(0, 80), (0, 33), (0, u64::MAX), (16, 65), (16, u64::from(u32::MAX))] {
        let (p, c) = blocks(64);
        let mut tx = Producer::new(p.clone(), c.clone()).expect("free");
        let mut rx = Consumer::new(p.clone(), c).expect("free");
        tx.push(0, 0, &[1; 16]).expect("room");
        tx.publish();
        // SAFETY: one thread; the word is overwritten as a corrupt producer would.
        unsafe { p.store(word, value, Ordering::Relaxed) };
        let error = rx.next().map(|_| ()).expect_err("invalid");
        assert!(matches!(error, CorruptRing::Head { .. } | CorruptRing::Len { .. }), "{error}");
    }
}

#[test]
fn a_corrupt_consumer_only_starves() {
    let (p, c) = blocks(64);
    let mut tx = Producer::new(p, c.clone()).expect("free");
    tx.push(0, 0, &[1; 16]).expect("room");
    tx.push(0, 0, &[1; 16]).expect("room");
    tx.publish();
    for tail in [65, 33, u64::MAX, u64::MAX / 2] {
        // SAFETY: one thread; the word is overwritten as a corrupt consumer would.
        unsafe { c.store(0, tail, Ordering::Relaxed) };
        assert!(matches!(tx.reserve(16), Err(ReserveError::Full { .. })));
    }
}

#[test]
fn ends_are_opened_once() {
    let (p, c) = blocks(64);
    let _tx = Producer::new(p.clone(), c.clone()).expect("free");
    let taken = Producer::new(p.clone(), c).expect_err("taken");
    let want = (Protocol::BytesProducer, Side::Writer);
    assert!(matches!(taken, SetupError::Taken { protocol, side, .. } if (protocol, side) == want));
    assert!(bytes::layout(48).is_err() && bytes::layout(16).is_err());
    assert!(cell::layout(3).is_err() && cell::layout(0).is_err());
}

fn cells(capacity: usize) -> (cell::Sender<RawMem>, cell::Receiver<RawMem>) {
    let shape = cell::layout(capacity).expect("valid");
    let (s, r) = (RawMem::heap(shape.sender_len), RawMem::heap(shape.receiver_len));
    let tx = cell::Sender::new(s.clone(), r.clone()).expect("free");
    (tx, cell::Receiver::new(s, r).expect("free"))
}
