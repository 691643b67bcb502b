//! Records of variable shape in the bytes ring: serialised by rkyv into the reserved record itself,
//! and read where they lie, after a check. No copy and, once running, no allocation on either side.
//!
//! Under Miri these tests need `MIRIFLAGS=-Zmiri-tree-borrows` and `-- --ignored rkyv_`: rkyv's
//! pointers lead from a field to bytes beside it, which its older model, stacked borrows, forbids
//! to a reference.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::MaybeUninit;

use proptest::prelude::*;
use rkyv::rancor::Failure;
use rkyv::ser::allocator::SubAllocator;
use rkyv::ser::writer::Buffer;
use rkyv::{Archive, Archived, Serialize};
use wasm_engine_shm::bytes::{self, Consumer, Grant, Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;

/// Bytes that rkyv may use beside the record while it serialises one.
const SCRATCH: usize = 2048;
/// Messages of a long run.
const MANY: u64 = if cfg!(miri) { 60 } else { 20_000 };

#[derive(Archive, Serialize, Clone, PartialEq, Debug)]
#[rkyv(compare(PartialEq), derive(Debug))]
struct Route {
    topic: String,
    receivers: Vec<u64>,
}

#[derive(Archive, Serialize, Clone, PartialEq, Debug)]
#[rkyv(compare(PartialEq), derive(Debug))]
enum ControlMessage {
    Stop,
    Limit { agent: u64, fuel: Option<u64> },
    Load { slot: u32, name: String, image: Vec<u8> },
    Routes(Vec<Route>),
}

// Payloads begin at multiples of a unit, so that what is in them is aligned.
const _: () = assert!(align_of::<Archived<ControlMessage>>() <= bytes::UNIT);

type RingEnds = (Producer<RawMem>, Consumer<RawMem>);

fn ring(capacity: usize) -> RingEnds {
    let shape = bytes::layout(capacity).expect("a valid capacity");
    let (p, c) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
    (Producer::new(p.clone(), c.clone()).expect("free"), Consumer::new(p, c).expect("free"))
}

/// Serialises into the record itself; returns its length. A record too small is an error.
fn fill(grant: &mut Grant<'_, RawMem>, message: &ControlMessage) -> Result<usize, Failure> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH];
    let (room, scratch) = (Buffer::from(&mut grant[..]), SubAllocator::new(&mut scratch));
    Ok(rkyv::api::low::to_bytes_in_with_alloc(message, room, scratch)?.len())
}

/// Why a message was not written.
#[derive(PartialEq, Debug)]
enum SendError {
    /// The consumer is behind.
    Full,
    /// No record holds it.
    TooBig,
}

/// Writes a message whose size nobody knows before: into a larger record until it fits.
fn send(
    tx: &mut Producer<RawMem>,
    message: &ControlMessage,
    room: usize,
) -> Result<usize, SendError> {
    let max = tx.payload_max();
    let mut room = room.min(max);
    loop {
        let mut grant = tx.reserve(room).map_err(|error| match error {
            ReserveError::Full { .. } => SendError::Full,
            ReserveError::TooBig { .. } => SendError::TooBig,
        })?;
        match fill(&mut grant, message) {
            Ok(len) => {
                grant.commit(len, 1, len as u64);
                return Ok(len);
            }
            Err(_) if room == max => return Err(SendError::TooBig),
            // A dropped grant leaves no trace.
            Err(_) => room = (room * 2).clamp(bytes::UNIT, max),
        }
    }
}

/// A message in place, checked.
fn read(record: &[u8]) -> Result<&Archived<ControlMessage>, Failure> {
    rkyv::access::<Archived<ControlMessage>, Failure>(record)
}

fn messages() -> impl Strategy<Value = ControlMessage> {
    let text = "[a-zé]{0,20}";
    let route = (text, prop::collection::vec(any::<u64>(), 0..6))
        .prop_map(|(topic, receivers)| Route { topic, receivers });
    prop_oneof![
        Just(ControlMessage::Stop),
        (any::<u64>(), any::<Option<u64>>())
            .prop_map(|(agent, fuel)| ControlMessage::Limit { agent, fuel }),
        (any::<u32>(), text, prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(slot, name, image)| ControlMessage::Load { slot, name, image }),
        prop::collection::vec(route, 0..5).prop_map(ControlMessage::Routes),
    ]
}

/// One step of a random program.
#[derive(Clone, Debug)]
enum MessageOp {
    Send(ControlMessage, usize),
    Publish,
    Next,
    Release,
}

fn ops() -> impl Strategy<Value = Vec<MessageOp>> {
    let op = prop_oneof![
        4 => (messages(), 0..200_usize).prop_map(|(message, room)| MessageOp::Send(message, room)),
        3 => Just(MessageOp::Publish),
        5 => Just(MessageOp::Next),
        3 => Just(MessageOp::Release),
    ];
    prop::collection::vec(op, 0..if cfg!(miri) { 30 } else { 150 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 400 }, failure_persistence: None, ..Default::default()
    })]

    /// Any messages, any sizes, across the end of the data: what comes out is what went in, in
    /// order.
    #[test]
    #[cfg_attr(miri, ignore = "needs tree borrows")]
    fn messages_are_read_where_they_were_written(bits in 7_u32..12, ops in ops()) {
        let (mut tx, mut rx) = ring(1 << bits);
        let (mut written, mut visible) = (VecDeque::new(), VecDeque::new());
        for op in ops {
            match op {
                MessageOp::Send(message, room) => match send(&mut tx, &message, room) {
                    Ok(len) => written.push_back((message, len)),
                    Err(SendError::Full) => {}
                    Err(SendError::TooBig) => {
                        let size = rkyv::to_bytes::<Failure>(&message).expect("memory").len();
                        prop_assert!(size > tx.payload_max(), "{size} bytes fit");
                    }
                },
                MessageOp::Publish => {
                    tx.publish();
                    visible.append(&mut written);
                }
                MessageOp::Next => {
                    let record = rx.next().expect("an honest producer");
                    let expected = visible.pop_front();
                    prop_assert_eq!(record.is_some(), expected.is_some());
                    if let (Some(record), Some((message, len))) = (record, expected) {
                        prop_assert_eq!(record.len(), len);
                        let archived = read(&record).expect("it is whole");
                        prop_assert!(*archived == message, "{archived:?} is not {message:?}");
                        let at = std::ptr::from_ref(archived).addr();
                        let inside = record.as_ptr_range();
                        prop_assert!((inside.start.addr()..inside.end.addr()).contains(&at));
                    }
                }
                MessageOp::Release => rx.release(),
            }
        }
    }

    /// Whatever a corrupt producer leaves in a record, accessing it returns a value or an error.
    #[test]
    #[cfg_attr(miri, ignore = "needs tree borrows")]
    fn damage_is_an_error_or_another_value(
        message in messages(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        shift in 0..16_usize,
    ) {
        let (mut tx, mut rx) = ring(4096);
        let mut grant = tx.reserve(tx.payload_max()).expect("room");
        let len = fill(&mut grant, &message).expect("it fits");
        for (at, byte) in damage {
            grant[at.index(len)] = byte;
        }
        grant.commit(len, 1, 0);
        tx.publish();
        let record = rx.next().expect("an honest header").expect("published");
        let end = end.index(len + 1);
        for part in [&record[..], &record[..end], &record[shift.min(end)..end]] {
            // All of it is visited: what was let through can be read.
            let text = read(part).map(|archived| format!("{archived:?}"));
            prop_assert!(text.map_or(true, |text| !text.is_empty()));
        }
    }
}

/// A message with every kind of thing that a check has to inspect.
fn rich() -> ControlMessage {
    let route = |topic: &str, n: u64| Route { topic: topic.into(), receivers: (0..n).collect() };
    ControlMessage::Routes(vec![route("forecasts of the north", 3), route("alarms everywhere", 9)])
}

/// A record that holds the rich message with some bytes replaced, as its consumer sees it.
fn with_damage<T>(damage: impl FnOnce(&mut [u8]), see: impl FnOnce(&[u8]) -> T) -> T {
    let (mut tx, mut rx) = ring(1024);
    let mut grant = tx.reserve(tx.payload_max()).expect("room");
    let len = fill(&mut grant, &rich()).expect("it fits");
    damage(&mut grant[..len]);
    grant.commit(len, 1, 0);
    tx.publish();
    see(&rx.next().expect("an honest header").expect("published"))
}

#[test]
#[cfg_attr(miri, ignore = "needs tree borrows")]
fn invalid_messages_are_refused() {
    let root = size_of::<Archived<ControlMessage>>();
    assert!(with_damage(|_| (), |record| read(record).is_ok_and(|archived| *archived == rich())));
    // Moved, or truncated. The root is at the end, so a prefix may hold another message there,
    // of zeros mostly: a successful check means that reading is safe, not that this was sent.
    with_damage(
        |_| (),
        |record| {
            for start in 1..align_of::<Archived<ControlMessage>>() {
                assert!(read(&record[start..]).is_err(), "moved by {start} bytes");
            }
            let prefixes = (0..record.len()).map(|end| read(&record[..end]));
            let found: Vec<_> =
                prefixes.enumerate().filter_map(|(end, read)| Some((end, read.ok()?))).collect();
            assert!(found.iter().all(|(end, _)| *end >= root), "less than a root: {found:?}");
            assert!(found.iter().all(|(_, other)| **other != rich()), "{found:?}");
            assert!(found.len() * 20 < record.len(), "{} of {}", found.len(), record.len());
        },
    );
    // No such variant.
    let variant = |record: &mut [u8]| record[record.len() - root] = 0xEE;
    assert!(with_damage(variant, |record| read(record).is_err()));
    // Invalid text.
    let text = |record: &mut [u8]| {
        let at = record.windows(5).position(|part| part == b"north").expect("its text");
        record[at] = 0xFF;
    };
    assert!(with_damage(text, |record| read(record).is_err()));
    // Pointers and lengths that lead out of the record: every word of the root but the variant's.
    for value in [i32::MIN, -4096, 4096, i32::MAX] {
        for word in (4..12).step_by(4) {
            let far = |record: &mut [u8]| {
                let at = record.len() - root + word;
                record[at..at + 4].copy_from_slice(&value.to_le_bytes());
            };
            assert!(with_damage(far, |record| read(record).is_err()), "{value} in word {word}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "needs tree borrows")]
fn a_message_too_big_leaves_no_trace() {
    let (mut tx, mut rx) = ring(256);
    let image = vec![7; tx.payload_max()];
    let big = ControlMessage::Load { slot: 1, name: "big".into(), image };
    assert_eq!(send(&mut tx, &big, 16), Err(SendError::TooBig));
    tx.publish();
    assert!(rx.next().expect("honest").is_none() && tx.is_drained());
    send(&mut tx, &ControlMessage::Stop, 0).expect("room");
    tx.publish();
    let record = rx.next().expect("honest").expect("published");
    assert!(read(&record).is_ok_and(|archived| *archived == ControlMessage::Stop));
}

/// The messages of the long runs: four sizes, so that they meet the end of the data differently.
fn samples() -> [ControlMessage; 4] {
    [
        rich(),
        ControlMessage::Stop,
        ControlMessage::Limit { agent: 7, fuel: Some(1) },
        ControlMessage::Load {
            slot: 3,
            name: "station of the airport".into(),
            image: vec![5; 133],
        },
    ]
}

#[test]
#[cfg_attr(miri, ignore = "needs tree borrows")]
fn nothing_is_allocated_on_the_way() {
    let (mut tx, mut rx) = ring(2048);
    let samples = samples();
    let mut bytes = 0;
    let before = ALLOCATIONS.with(Cell::get);
    for n in 0..MANY as usize {
        let message = &samples[n % samples.len()];
        bytes += send(&mut tx, message, 512).expect("room: each is released at once");
        tx.publish();
        let record = rx.next().expect("honest").expect("published");
        assert!(read(&record).is_ok_and(|archived| archived == message));
        rx.release();
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(bytes > 2 * 2048, "the ring went round");
    // rkyv's other interface keeps its scratch per thread: it allocates the first time.
    let mut steady = 0;
    for n in 0..MANY as usize {
        let before = ALLOCATIONS.with(Cell::get);
        let mut grant = tx.reserve(512).expect("room");
        let (room, message) = (Buffer::from(&mut grant[..]), &samples[n % samples.len()]);
        let written = rkyv::api::high::to_bytes_in::<_, Failure>(message, room);
        let len = written.expect("it fits").len();
        grant.commit(len, 1, 0);
        tx.publish();
        let record = rx.next().expect("honest").expect("published");
        assert!(read(&record).is_ok_and(|archived| archived == message));
        rx.release();
        steady += if n < samples.len() { 0 } else { ALLOCATIONS.with(Cell::get) - before };
    }
    assert_eq!(steady, 0);
}

#[test]
#[cfg_attr(miri, ignore = "needs tree borrows")]
fn threads_pass_messages_in_place() {
    let (mut tx, mut rx) = ring(1024);
    let samples = &samples();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..MANY as usize {
                while let Err(why) = send(&mut tx, &samples[n % samples.len()], 256) {
                    // A producer that gives up leaves its consumer waiting for ever.
                    if why != SendError::Full {
                        std::process::abort();
                    }
                    tx.publish();
                    std::thread::yield_now();
                }
                if n % 3 == 0 {
                    tx.publish();
                }
            }
            tx.publish();
        });
        // Counted, not asserted: a consumer that gives up leaves its producer waiting for ever.
        let (mut n, mut wrong) = (0, 0);
        while n < MANY as usize {
            match rx.next().expect("honest") {
                Some(record) => {
                    let sent = &samples[n % samples.len()];
                    wrong += u64::from(!read(&record).is_ok_and(|archived| archived == sent));
                    n += 1;
                }
                None => {
                    rx.release();
                    std::thread::yield_now();
                }
            }
        }
        assert_eq!(wrong, 0);
    });
}

thread_local! {
    /// Allocations of this thread. Constant and without a destructor: using it allocates nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is the system's allocator, called with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
