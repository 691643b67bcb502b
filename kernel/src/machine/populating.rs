//! The region's pages get their memory after the first tick.
//!
//! Why: to take all of it first is most of the time before the first tick, and beside the first
//! tick the two would wait for each other, for making agents changes what is mapped. To take each
//! page when it is first used would make ticks slower for as long as it takes to have used them
//! all. So a thread takes them while the run goes on; what is used before it comes by costs a page
//! fault.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
};

use wasm_engine_shm::{
    map::{Map, MapBacking},
    mem::Mem,
};

/// Bytes populated at once: for so long, some 30 µs, others wait who change what is mapped.
const PART_BYTES: usize = 64 << 10;
/// The thread does nothing but call the system.
const STACK_BYTES: usize = 64 << 10;

/// The thread that populates a region; it ends with this.
#[derive(Debug)]
pub(super) struct Populating {
    asked: Arc<Asked>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked for. Relaxed everywhere: the flags stand for themselves, and waking a
/// parked thread shows it what was stored before.
#[derive(Debug, Default)]
struct Asked {
    begin: AtomicBool,
    end: AtomicBool,
}

impl Populating {
    /// Starts the thread, which then waits, if the map is one whose pages are not all there;
    /// without a thread they come when they are used, and without `helpers` there is none. It runs
    /// where the caller may.
    pub(super) fn start(map: &Map, helpers: bool) -> Self {
        let asked = Arc::new(Asked::default());
        let (heard, mem) = (Arc::clone(&asked), map.mem());
        let populate = move || {
            while !heard.begin.load(Ordering::Relaxed) {
                std::thread::park();
            }
            parts(mem.len_bytes())
                .take_while(|_| !heard.end.load(Ordering::Relaxed))
                .all(|part| mem.populate(part));
        };
        let builder = Builder::new().name("we-region".to_owned()).stack_size(STACK_BYTES);
        let sealed = map.backing() == MapBacking::SealedMemory;
        let thread = if sealed && helpers { builder.spawn(populate).ok() } else { None };
        Self { asked, thread }
    }

    /// Lets it begin; again without effect.
    pub(super) fn begin(&self) {
        if self.asked.begin.load(Ordering::Relaxed) {
            return;
        }
        self.asked.begin.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

/// A length in parts.
fn parts(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(PART_BYTES).map(move |from| from..len.min(from + PART_BYTES))
}

impl Drop for Populating {
    fn drop(&mut self) {
        self.asked.end.store(true, Ordering::Relaxed);
        self.begin();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and if it did, nothing would be lost.
            let _ = thread.join();
        }
    }
}
