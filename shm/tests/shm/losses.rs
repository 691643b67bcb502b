//! Losses of the broadcast, by cause: against a model that knows what each call must return, with
//! the writer let in at any word of the reader's copy, and the reader at any word of the writer's.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next, Overtaken};
use wasm_engine_shm::mem::{Mem, RawMem};

use crate::traced_mem::TracedMem;

/// Words of the longest message.
const WORDS: usize = 3;
const PAYLOAD: usize = WORDS * 8;
/// Most accesses of a call of `next`: mark, length, words, mark, count.
const ACCESSES_MAX: usize = WORDS + 4;

/// Message `n`; the length differs from lap to lap of a slot.
fn message(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(words_of(n))
}

fn words_of(n: u64) -> usize {
    1 + (n % WORDS as u64) as usize
}

fn memory(slots: u64) -> RawMem {
    RawMem::heap(broadcast::layout(slots as usize, PAYLOAD).expect("valid"))
}

fn writer<M: Mem>(mem: M, slots: u64) -> BroadcastWriter<M> {
    BroadcastWriter::new(mem, slots as usize, PAYLOAD).expect("free")
}

fn send<M: Mem>(writer: &mut BroadcastWriter<M>, count: u64) {
    for n in writer.sent()..writer.sent() + count {
        assert_eq!(writer.send(&message(n)), n);
    }
}

/// What another side will do, and before which access from now on.
type Interruption = Option<(usize, Box<dyn FnOnce() + Send>)>;

/// Memory whose user is interrupted once, as planned.
fn interrupted(mem: RawMem) -> (TracedMem, Arc<Mutex<Interruption>>) {
    let plan = Arc::new(Mutex::new(None));
    let due = Arc::clone(&plan);
    let traced = TracedMem::new(mem, move |_| {
        let taken: Interruption = due.lock().expect("no panic").take();
        match taken {
            Some((0, act)) => act(),
            Some((at, act)) => *due.lock().expect("no panic") = Some((at - 1, act)),
            None => {}
        }
    });
    (traced, plan)
}

/// A reader with everything that it reported, which must add up at all times.
struct Account<M: Mem> {
    reader: BroadcastReader<M>,
    delivered: u64,
    skipped: u64,
    /// Lost by polling and by reading.
    reported: (u64, u64),
    payload: [u8; PAYLOAD],
}

impl<M: Mem> Account<M> {
    fn new(mem: M, slots: u64) -> Self {
        let reader = BroadcastReader::new(mem, slots as usize, PAYLOAD).expect("free");
        Self { reader, delivered: 0, skipped: 0, reported: (0, 0), payload: [0; PAYLOAD] }
    }

    fn next(&mut self) -> Next {
        let position = self.reader.position();
        let next = self.reader.next(&mut self.payload);
        match next {
            Next::Message { number, len } => {
                assert_eq!(number, position);
                assert_eq!(self.payload[..len], message(number), "torn");
                self.delivered += 1;
            }
            Next::Empty => assert_eq!(self.reader.position(), position),
            Next::Overrun { lost, next, during } => {
                assert_eq!(next, self.reader.position());
                assert!(lost > 0, "an overrun without a loss");
                match during {
                    Overtaken::Polling => self.reported.0 += lost,
                    Overtaken::Reading => self.reported.1 += lost,
                }
            }
        }
        self.check();
        next
    }

    fn skip(&mut self) {
        let position = self.reader.position();
        self.reader.skip_to_newest();
        let skipped = self.reader.position().checked_sub(position);
        self.skipped += skipped.expect("a reader went back");
        self.check();
    }

    /// What was reported only grows, so equal sums do not go back either.
    fn check(&self) {
        let (polling, reading) = self.reader.lost_apart();
        assert_eq!((polling, reading), self.reported, "the sums of what was reported");
        assert_eq!(self.reader.lost(), polling + reading);
        let passed = self.delivered + self.skipped + polling + reading;
        assert_eq!(passed, self.reader.position(), "delivered, skipped and lost");
    }
}

/// How far the writer is: messages begun, finished, counted.
#[derive(Clone, Copy, Debug)]
struct Moment {
    begun: u64,
    done: u64,
    counted: u64,
}

impl Moment {
    fn whole(sent: u64) -> Self {
        Self { begun: sent, done: sent, counted: sent }
    }
}

/// What a call for message `n` must return if it begins and ends at these moments.
fn expected(n: u64, slots: u64, first: Moment, last: Moment) -> Next {
    let during = if n >= first.done {
        return Next::Empty;
    } else if n + slots < first.begun {
        Overtaken::Polling
    } else if n + slots < last.begun {
        Overtaken::Reading
    } else {
        return Next::Message { number: n, len: message(n).len() };
    };
    let next = (n + 1).max(last.counted.saturating_sub(slots / 2));
    Next::Overrun { lost: next - n, next, during }
}

#[derive(Clone, Copy, Debug)]
enum BroadcastOp {
    Send(u64),
    /// A call of `next`, before whose access of this number so many messages are sent.
    Next(usize, u64),
    Skip,
}

fn op() -> impl Strategy<Value = BroadcastOp> {
    prop_oneof![
        4 => (0..40_u64).prop_map(BroadcastOp::Send),
        12 => (0..=ACCESSES_MAX, 0..40_u64).prop_map(|(at, count)| BroadcastOp::Next(at, count)),
        1 => Just(BroadcastOp::Skip),
    ]
}

fn run(slots: u64, ops: &[BroadcastOp]) -> Result<(), TestCaseError> {
    let mem = memory(slots);
    let writer = Arc::new(Mutex::new(writer(mem.clone(), slots)));
    let (traced, plan) = interrupted(mem);
    let mut account = Account::new(traced, slots);
    let sent = || writer.lock().expect("no panic").sent();
    for op in ops {
        let (n, before) = (account.reader.position(), sent());
        match *op {
            BroadcastOp::Send(count) => send(&mut writer.lock().expect("no panic"), count),
            BroadcastOp::Skip => {
                account.skip();
                prop_assert_eq!(account.reader.position(), before);
            }
            BroadcastOp::Next(at, count) => {
                let late = Arc::clone(&writer);
                let act = move || send(&mut late.lock().expect("no panic"), count);
                *plan.lock().expect("no panic") = Some((at, Box::new(act)));
                let found = account.next();
                *plan.lock().expect("no panic") = None;
                let last = Moment::whole(sent());
                let first = if at == 0 { last } else { Moment::whole(before) };
                prop_assert_eq!(found, expected(n, slots, first, last));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 2_000 }, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn every_loss_is_of_its_kind(
        bits in 1_u32..5, ops in prop::collection::vec(op(), 0..if cfg!(miri) { 20 } else { 60 })
    ) {
        run(1 << bits, &ops)?;
    }
}

/// The reader has the oldest message in hand when the writer takes its slot away: the whole step to
/// half a ring behind the newest is a loss by reading, whatever word the copy had come to.
#[test]
fn a_loss_by_reading_at_every_word_of_the_copy() {
    const SLOTS: u64 = 4;
    for ahead in 1..=SLOTS {
        let mut lost_reading = 0;
        for at in 0..=ACCESSES_MAX {
            let mem = memory(SLOTS);
            let mut writer = writer(mem.clone(), SLOTS);
            let (traced, plan) = interrupted(mem);
            let mut account = Account::new(traced, SLOTS);
            // Message 2, the longest, is the oldest there.
            send(&mut writer, 2);
            account.skip();
            send(&mut writer, SLOTS);
            let act = move || send(&mut writer, ahead);
            *plan.lock().expect("no panic") = Some((at, Box::new(act)));
            let found = account.next();
            let whole = Next::Message { number: 2, len: PAYLOAD };
            let next = 2 + SLOTS + ahead - SLOTS / 2;
            let lost = |during| Next::Overrun { lost: next - 2, next, during };
            match at {
                0 => assert_eq!(found, lost(Overtaken::Polling)),
                // Mark, length, three words: before the second load of the mark, or later.
                1..=5 => assert_eq!(found, lost(Overtaken::Reading)),
                _ => assert_eq!(found, whole),
            }
            lost_reading += account.reader.lost_apart().1;
            if found != whole {
                // Half a ring is there.
                for number in next..2 + SLOTS + ahead {
                    let len = message(number).len();
                    assert_eq!(account.next(), Next::Message { number, len });
                }
            }
        }
        assert_eq!(lost_reading, 5 * (SLOTS / 2 + ahead));
    }
}

/// A reader that polls, skips and polls again while a message is half written: at every word of it,
/// from every position behind.
#[test]
fn a_reader_in_the_middle_of_a_message() {
    for (slots, most) in [(2, 4), (4, if cfg!(miri) { 0 } else { 7 })] {
        for behind in 0..=most {
            for skip in [false, true] {
                // Mark, length, words, mark, count, and behind the last.
                for at in 0..WORDS + 5 {
                    in_the_middle(slots, behind, skip, at);
                }
            }
        }
    }
}

fn in_the_middle(slots: u64, behind: u64, skip: bool, at: usize) {
    const SENT: u64 = 8;
    let mem = memory(slots);
    let (traced, plan) = interrupted(mem.clone());
    let mut writer = writer(traced, slots);
    let mut account = Account::new(mem, slots);
    send(&mut writer, SENT - behind);
    account.skip();
    send(&mut writer, behind);
    let n = account.reader.position();
    let words = words_of(SENT);
    let now = Moment {
        begun: SENT + u64::from(at > 0),
        done: SENT + u64::from(at > words + 2),
        counted: SENT + u64::from(at > words + 3),
    };
    let poll = move || {
        assert_eq!(account.next(), expected(n, slots, now, now), "{now:?}");
        if skip {
            account.skip();
            let next = account.reader.position();
            assert_eq!(account.next(), expected(next, slots, now, now), "{now:?}");
        }
    };
    *plan.lock().expect("no panic") = Some((at, Box::new(poll)));
    send(&mut writer, 1);
    let late = plan.lock().expect("no panic").take();
    assert_eq!(late.is_some(), at > words + 3, "the reader had its turn in the middle");
    if let Some((_, poll)) = late {
        poll();
    }
}

/// A writer that never stops on a ring of two, and readers who must account for everything.
#[test]
fn threads_account_for_every_loss() {
    const SLOTS: u64 = 2;
    let count = if cfg!(miri) { 40 } else { 100_000 };
    let mem = memory(SLOTS);
    let mut writer = writer(mem.clone(), SLOTS);
    // The writer begins when both read, or on a busy machine all would be over before.
    let begun = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut account = Account::new(mem.clone(), SLOTS);
            let begun = &begun;
            scope.spawn(move || {
                begun.wait();
                while account.reader.position() < count {
                    if account.next() == Next::Empty {
                        std::thread::yield_now();
                    }
                }
            });
        }
        begun.wait();
        send(&mut writer, count);
    });
}
