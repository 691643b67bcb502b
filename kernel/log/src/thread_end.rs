//! How the threads of this crate end: by a record behind everything that was given to them.

use std::thread::JoinHandle;

use wasm_engine_shm::bytes::Producer;
use wasm_engine_shm::mem::RawMem;

/// Lets a thread that reads `ring` do all that is in it and end: it gets a record with the tag `stop`
/// and is woken. An error says that it panicked.
pub(crate) fn end(
    thread: JoinHandle<()>,
    ring: &mut Producer<RawMem>,
    stop: u32,
) -> std::thread::Result<()> {
    while !thread.is_finished() {
        if ring.push(stop, 0, &[]).is_ok() {
            ring.publish();
            break;
        }
        std::thread::yield_now();
    }
    thread.thread().unpark();
    thread.join()
}
