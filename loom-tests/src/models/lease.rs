//! Leases: a side of a protocol exists once, however many ask for it at the same time.

use loom::thread;
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::outbox::{self, OutboxReader, OutboxWriter};

use crate::check::{LoomModel, Marks};
use crate::mem::LoomMem;

/// Two threads ask for the writing side of one outbox: one gets it, the other an error that names
/// the holder.
pub const LEASE_ONCE: LoomModel = LoomModel {
    name: "lease_once",
    bound: None,
    reach: &["first got it", "second got it"],
    run: lease_once,
};

fn lease_once(marks: &Marks) {
    let mem = LoomMem::atomic(outbox::layout(64).expect("valid"));
    let ask = |mem: LoomMem| {
        thread::spawn(move || {
            OutboxReader::new(mem.clone()).expect("readers are free");
            match OutboxWriter::new(mem) {
                Ok(_) => true,
                Err(SetupError::Taken { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        })
    };
    let (first, second) = (ask(mem.clone()), ask(mem));
    let got = [first, second].map(|thread| thread.join().expect("it asked"));
    assert!(got[0] != got[1], "one of two gets a side");
    marks.hit(if got[0] { "first got it" } else { "second got it" });
}
