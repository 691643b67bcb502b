//! Broadcast and page: never torn, losses exact, the promise of `latest` kept.

use loom::thread;
use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next, Overtaken};
use wasm_engine_shm::lease::Protocol;
use wasm_engine_shm::page::{self, PageError, PageReader, PageWriter};
use wasm_engine_shm::slots::{SlotError, SlotsReader, SlotsWriter};

use crate::check::{LoomModel, Marks};
use crate::class::Class;
use crate::mem::LoomMem;

const SLOTS: usize = 2;
const MESSAGES: u64 = 3;

/// A reader that is overtaken on a ring of two sees whole messages and counts the others.
pub const BROADCAST_OVERRUN: LoomModel = LoomModel {
    name: "broadcast_overrun",
    bound: Some(2),
    reach: &["message", "empty", "overrun polling", "overrun reading", "late message"],
    run: broadcast_overrun,
};

/// A page of two slots, three publications of different length: whole, and never going back.
pub const PAGE_TORN: LoomModel = LoomModel {
    name: "page_torn",
    bound: Some(2),
    reach: &["not yet", "read", "newest"],
    run: page_torn,
};

/// What `latest` counts can be read or is overwritten: never still to come.
pub const PAGE_FRESH: LoomModel = LoomModel {
    name: "page_fresh",
    bound: Some(2),
    reach: &["read", "lapped", "torn"],
    run: page_fresh,
};

/// Slots of so many words, two of them payload.
fn memory(len: usize, stride: usize) -> LoomMem {
    LoomMem::new(len, |word| match word {
        0 => Class::Atomic,
        1..16 => Class::Unused,
        _ if word % stride < 4 => Class::Atomic,
        _ => Class::Unused,
    })
}

/// Words of message `n`; the length differs from lap to lap of a slot.
fn words_of(n: u64) -> usize {
    if (n / SLOTS as u64).is_multiple_of(2) { 2 } else { 1 }
}

fn check_payload(n: u64, bytes: usize, payload: &[u8]) {
    assert_eq!(bytes, words_of(n) * 8, "the length of another message");
    for word in payload[..bytes].chunks(8) {
        assert_eq!(word, (n + 1).to_ne_bytes(), "words of another message");
    }
}

fn message(n: u64) -> Vec<u8> {
    (n + 1).to_ne_bytes().repeat(words_of(n))
}

fn broadcast_overrun(marks: &Marks) {
    let mem = memory(broadcast::layout(SLOTS, 16).expect("valid"), 8);
    let mut writer = BroadcastWriter::new(mem.clone(), SLOTS, 16).expect("free");
    let mut reader = BroadcastReader::new(mem, SLOTS, 16).expect("free");
    let marks = marks.clone();
    let sending = thread::spawn(move || {
        for n in 0..MESSAGES {
            assert_eq!(writer.send(&message(n)), n);
        }
    });
    let reading = thread::spawn(move || {
        let (mut delivered, mut payload) = (0, [0; 16]);
        for _ in 0..3 {
            match reader.next(&mut payload) {
                Next::Message { number, len } => {
                    check_payload(number, len, &payload);
                    delivered += 1;
                    marks.hit(if number > 1 { "late message" } else { "message" });
                }
                Next::Empty => marks.hit("empty"),
                Next::Overrun { lost, next, during } => {
                    assert!(lost > 0 && next <= MESSAGES);
                    marks.hit(match during {
                        Overtaken::Polling => "overrun polling",
                        Overtaken::Reading => "overrun reading",
                    });
                }
            }
            assert_eq!(delivered + reader.lost(), reader.position());
        }
    });
    sending.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}

fn page_torn(marks: &Marks) {
    let mem = memory(page::layout_with(SLOTS, 2).expect("valid"), 16);
    let mut writer = PageWriter::with_slots(mem.clone(), SLOTS, 2).expect("free");
    let reader = PageReader::with_slots(mem, SLOTS, 2).expect("free");
    let marks = marks.clone();
    let publishing = thread::spawn(move || {
        for n in 0..MESSAGES {
            writer.publish(&[n + 1, n + 1][..words_of(n)]);
        }
    });
    let reading = thread::spawn(move || {
        let mut newest = 0;
        for _ in 0..2 {
            let mut words = [0; 2];
            match reader.read(&mut words) {
                Ok(read) => {
                    assert!(read.number >= newest, "a page went back");
                    newest = read.number;
                    assert_eq!(read.words, words_of(read.number));
                    assert!(words[..read.words].iter().all(|word| *word == read.number + 1));
                    marks.hit(if read.number == MESSAGES - 1 { "newest" } else { "read" });
                }
                Err(PageError::NotYet) => marks.hit("not yet"),
                Err(error) => marks.hit(if error == PageError::Busy { "busy" } else { "small" }),
            }
        }
    });
    publishing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}

fn page_fresh(marks: &Marks) {
    let mem = memory(page::layout_with(SLOTS, 2).expect("valid"), 16);
    let mut writer = SlotsWriter::new(mem.clone(), Protocol::Page, SLOTS, 16).expect("free");
    let reader = SlotsReader::new(mem, Protocol::Page, SLOTS, 16).expect("free");
    let marks = marks.clone();
    let publishing = thread::spawn(move || {
        for n in 0..MESSAGES {
            writer.write(&message(n));
        }
    });
    let reading = thread::spawn(move || {
        let Some(n) = reader.latest().checked_sub(1) else { return };
        let mut payload = [0; 16];
        match reader.try_copy(n, &mut payload) {
            Ok(len) => {
                check_payload(n, len, &payload);
                marks.hit("read");
            }
            Err(SlotError::Lapped) => marks.hit("lapped"),
            Err(SlotError::Torn) => marks.hit("torn"),
            Err(SlotError::NotYet) => panic!("message {n} was counted and is still to come"),
        }
    });
    publishing.join().expect("the writer ended");
    reading.join().expect("the reader ended");
}
