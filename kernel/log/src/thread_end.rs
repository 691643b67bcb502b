//! How the threads of this crate end: by a record behind everything else in their ring.

use std::thread::JoinHandle;

use wasm_engine_shm::bytes::Producer;
use wasm_engine_shm::mem::RawMem;

/// Lets the thread that reads `ring` process everything in it, then end: appends a record with the
/// tag `stop` and wakes the thread. Returns an error if it panicked.
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
