//! Everything that hands plain memory from thread to thread, for Miri and ThreadSanitizer to watch.
//!
//! The payloads of both rings are plain bytes. So is here what a user keeps beside a ring and
//! touches because of a poll of it. Outbox and spill use Relaxed words, which no tool calls a race;
//! here they run on memory whose words are plain, so that it is seen whether the rings order them.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use wasm_engine_shm::bytes::{self, Consumer, Producer};
use wasm_engine_shm::cell::{self, Receiver, Sender};
use wasm_engine_shm::lease::{Protocol, SetupError, Side};
use wasm_engine_shm::mem::{Mem, Ordering, RawMem};
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};
use wasm_engine_shm::site::Site;
use wasm_engine_shm::spill::{self, Spill, SpillReader};

const COUNT: u64 = if cfg!(miri) { 60 } else { 200_000 };
/// Where each step needs both threads.
const TURNS: u64 = if cfg!(miri) { 20 } else { 20_000 };

/// The two blocks of a bytes ring.
fn blocks(capacity: usize) -> (RawMem, RawMem) {
    let shape = bytes::layout(capacity).expect("valid");
    (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len))
}

fn ring(capacity: usize) -> (Producer<RawMem>, Consumer<RawMem>) {
    let (p, c) = blocks(capacity);
    (Producer::new(p.clone(), c.clone()).expect("free"), Consumer::new(p, c).expect("free"))
}

fn cells(capacity: usize) -> (Sender<RawMem>, Receiver<RawMem>) {
    let shape = cell::layout(capacity).expect("valid");
    let (s, r) = (RawMem::heap(shape.sender_len), RawMem::heap(shape.receiver_len));
    (Sender::new(s.clone(), r.clone()).expect("free"), Receiver::new(s, r).expect("free"))
}

/// Set by a thread that fails, so that those who wait for it end as well.
static FAILED: AtomicBool = AtomicBool::new(false);

struct Alarm;

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            FAILED.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs one part in another thread and one in this.
fn together(there: impl FnOnce() + Send, here: impl FnOnce()) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _alarm = Alarm;
            there();
        });
        let _alarm = Alarm;
        here();
    });
}

fn give_way() {
    assert!(!FAILED.load(Ordering::Relaxed), "another thread failed");
    std::thread::yield_now();
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        give_way();
    }
}

fn wait_for<T>(mut take: impl FnMut() -> Option<T>) -> T {
    loop {
        match take() {
            Some(taken) => return taken,
            None => give_way(),
        }
    }
}

/// A plain word beside a ring.
#[derive(Clone)]
struct Note(RawMem);

impl Note {
    fn new() -> Self {
        Self(RawMem::heap(8))
    }

    fn set(&self, value: u64) {
        // SAFETY: word 0 is in range and always plain; the ring under test decides whose turn it
        // is.
        unsafe { self.0.put(0, value) };
    }

    fn get(&self) -> u64 {
        // SAFETY: as in `set`.
        unsafe { self.0.get(0) }
    }
}

fn payload(n: u64) -> Vec<u8> {
    (0..n * 7 % 100).map(|i| (n * 31 + i * 7) as u8).collect()
}

/// Batches on both sides, records of all sizes, over the end of the data.
#[test]
fn threads_pass_records() {
    let (mut tx, mut rx) = ring(512);
    let produce = move || {
        for n in 0..COUNT {
            let data = payload(n);
            while tx.push(3, n, &data).is_err() {
                tx.publish();
                give_way();
            }
            if n % 3 == 0 {
                tx.publish();
            }
        }
        tx.publish();
    };
    together(produce, || {
        let mut n = 0;
        while n < COUNT {
            match rx.next().expect("honest") {
                Some(record) => {
                    assert_eq!((record.tag, record.aux), (3, n));
                    assert_eq!(record[..], payload(n));
                    n += 1;
                    if n % 2 == 0 {
                        rx.release();
                    }
                }
                None => {
                    rx.release();
                    give_way();
                }
            }
        }
    });
}

#[test]
fn threads_pass_cells() {
    let cell = |n| [0, 1, 2, 3, 4, 5, 6].map(|word| n * 8 + word);
    for capacity in [2, 8] {
        let (mut tx, mut rx) = cells(capacity);
        let send = move || (0..COUNT).for_each(|n| wait_until(|| tx.try_send(&cell(n)).is_ok()));
        together(send, || {
            for n in 0..COUNT {
                assert_eq!(wait_for(|| rx.try_recv()), cell(n));
            }
        });
    }
}

/// `has_next` and `is_drained` alone show that the other side's notes can be read and replaced.
#[test]
fn threads_act_on_polls_of_records() {
    let (mut tx, mut rx) = ring(64);
    let (sent, done) = (Note::new(), Note::new());
    let (sent_here, done_there) = (sent.clone(), done.clone());
    let produce = move || {
        for n in 1..=TURNS {
            sent.set(n);
            tx.push(0, n, &[]).expect("it is drained");
            tx.publish();
            wait_until(|| tx.is_drained());
            assert_eq!(done_there.get(), n);
        }
    };
    together(produce, || {
        for n in 1..=TURNS {
            wait_until(|| rx.has_next());
            assert_eq!(sent_here.get(), n);
            assert!(rx.next().expect("honest").is_some());
            done.set(n);
            rx.release();
        }
    });
}

/// So do `has_next` and `poll` of the cell ring.
#[test]
fn threads_act_on_polls_of_cells() {
    const CAPACITY: u64 = 2;
    let (mut tx, mut rx) = cells(CAPACITY as usize);
    let (sent, done) = (Note::new(), Note::new());
    let (sent_here, done_there) = (sent.clone(), done.clone());
    let send = move || {
        for n in 1..=TURNS {
            sent.set(n);
            tx.try_send(&[n; 7]).expect("it is empty");
            wait_until(|| tx.poll() == CAPACITY);
            assert_eq!(done_there.get(), n);
        }
    };
    together(send, || {
        for n in 1..=TURNS {
            wait_until(|| rx.has_next());
            assert_eq!(sent_here.get(), n);
            done.set(n);
            assert_eq!(rx.try_recv(), Some([n; 7]));
        }
    });
}

/// Of four threads that ask for one end at once, one gets it, and it alone writes the plain bytes.
#[test]
fn threads_lease_one_end() {
    for _ in 0..if cfg!(miri) { 2 } else { 200 } {
        let (p, c) = blocks(64);
        let got = std::thread::scope(|scope| {
            let ask = || {
                let producer = Producer::new(p.clone(), c.clone());
                producer.map(|mut producer| producer.push(0, 0, &[7; 16]).expect("room")).is_ok()
            };
            let threads = [(); 4].map(|()| scope.spawn(ask));
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|got| *got).count()
        });
        assert_eq!(got, 1);
    }
}

/// Memory whose Relaxed words are plain: what touches them must be ordered by something else.
#[derive(Clone)]
struct Ordered(RawMem);

impl Ordered {
    fn new(len_bytes: usize) -> Self {
        Self(RawMem::heap(len_bytes))
    }

    fn check(&self, word: usize, order: Ordering) {
        assert!(word < self.0.len_bytes() / 8, "word out of range");
        assert_eq!(order, Ordering::Relaxed, "a word with an order of its own is not plain");
    }
}

// SAFETY: words are those of the memory under it, always plain; that loads and stores of one word
// are ordered, as plain words need, is what the tests below are about and what the tools watch.
unsafe impl Mem for Ordered {
    type Window<'a> = &'a [u8];
    type WindowMut<'a> = &'a mut [u8];

    fn len_bytes(&self) -> usize {
        self.0.len_bytes()
    }

    fn slice(&self, offset_bytes: usize, len_bytes: usize) -> Option<Self> {
        self.0.slice(offset_bytes, len_bytes).map(Self)
    }

    fn lease(&self, protocol: Protocol, side: Side) -> Result<(), SetupError> {
        self.0.lease(protocol, side)
    }

    fn fence(_site: Site, _order: Ordering) {
        unreachable!("no fence orders plain words");
    }

    fn spin() {
        RawMem::spin();
    }

    fn yield_now() {
        RawMem::yield_now();
    }

    unsafe fn load(&self, word: usize, order: Ordering) -> u64 {
        self.check(word, order);
        // SAFETY: in range; nobody writes it now if the order under test holds.
        unsafe { self.0.get(word) }
    }

    unsafe fn store(&self, word: usize, value: u64, order: Ordering) {
        self.check(word, order);
        // SAFETY: in range; nobody else touches it now if the order under test holds.
        unsafe { self.0.put(word, value) }
    }

    unsafe fn get(&self, word: usize) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.0.get(word) }
    }

    unsafe fn put(&self, word: usize, value: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.put(word, value) }
    }

    unsafe fn window(&self, byte: usize, len: usize) -> &[u8] {
        // SAFETY: the caller's promise.
        unsafe { self.0.window(byte, len) }
    }

    unsafe fn window_mut(&self, byte: usize, len: usize) -> &mut [u8] {
        // SAFETY: the caller's promise.
        unsafe { self.0.window_mut(byte, len) }
    }

    unsafe fn bell_load(&self, _word: usize, _order: Ordering) -> u32 {
        unreachable!("no doorbell lies here");
    }

    unsafe fn bell_bump(&self, _word: usize, _order: Ordering) {
        unreachable!("no doorbell lies here");
    }

    unsafe fn futex_wait(&self, _word: usize, _expected: u32, _timeout: Option<Duration>) {
        unreachable!("no doorbell lies here");
    }

    unsafe fn futex_wake(&self, _word: usize) {
        unreachable!("no doorbell lies here");
    }
}

const LANES: usize = 2;

/// A lane: in each epoch it reads what all lanes wrote in the one before and what the scheduler
/// keeps, and writes a payload of its own.
struct LaneThread {
    number: usize,
    orders: Receiver<RawMem>,
    answers: Sender<RawMem>,
    own: OutboxWriter<Ordered>,
    all: Vec<OutboxReader<Ordered>>,
    kept: SpillReader<Ordered>,
}

impl LaneThread {
    fn run(mut self) {
        for epoch in 0..TURNS {
            let [at, first, blocks @ ..] = wait_for(|| self.orders.try_recv());
            assert_eq!(at, epoch);
            let mut payload = [0; 72];
            self.kept.copy_to(first as u32, &mut payload).expect("a chain");
            assert_eq!(payload, [epoch as u8; 72]);
            for (lane, outbox) in self.all.iter().enumerate().filter(|_| epoch > 0) {
                let mut payload = [0; 100];
                outbox.copy_to(blocks[lane] as u32, &mut payload).expect("inside");
                assert_eq!(payload, [(epoch - 1) as u8 ^ lane as u8; 100]);
            }
            self.own.begin(epoch);
            let block = self.own.write(&[epoch as u8 ^ self.number as u8; 100]).expect("room");
            self.answers.try_send(&[u64::from(block); 7]).expect("room");
        }
    }
}

/// Payloads in outboxes and spill are ordered by the rings between scheduler and lanes, and by
/// nothing else.
#[test]
fn threads_share_payloads_by_turns() {
    let outboxes = [(); LANES].map(|()| Ordered::new(outbox::layout(192).expect("valid")));
    let shelf = Ordered::new(spill::layout(4).expect("valid"));
    let mut spill = Spill::new(shelf.clone()).expect("free");
    let open = |mem: &Ordered| OutboxReader::new(mem.clone()).expect("free");
    let (mut commands, mut results, mut lanes) = (Vec::new(), Vec::new(), Vec::new());
    for (number, outbox) in outboxes.iter().enumerate() {
        let ((command, orders), (answers, result)) = (cells(2), cells(2));
        commands.push(command);
        results.push(result);
        let own = OutboxWriter::new(outbox.clone()).expect("free");
        let all = outboxes.iter().map(open).collect();
        let kept = SpillReader::new(shelf.clone()).expect("free");
        lanes.push(LaneThread { number, orders, answers, own, all, kept });
    }
    let schedule = || {
        let mut blocks = [0; LANES];
        for epoch in 0..TURNS {
            let first = spill.retain(&[epoch as u8; 72]).expect("room");
            for command in &mut commands {
                let order = [epoch, u64::from(first), blocks[0], blocks[1], 0, 0, 0];
                command.try_send(&order).expect("room");
            }
            for (block, result) in blocks.iter_mut().zip(&mut results) {
                [*block, ..] = wait_for(|| result.try_recv());
            }
            spill.release(first, 72).expect("there");
        }
    };
    let mut lanes = lanes.into_iter();
    let (Some(one), Some(other)) = (lanes.next(), lanes.next()) else { panic!("two lanes") };
    together(|| one.run(), || together(|| other.run(), schedule));
}
