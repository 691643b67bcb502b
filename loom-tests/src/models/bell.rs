//! The doorbell: a sleeper whose work is there is woken; a lost wake-up is a deadlock.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use wasm_engine_shm::wait::WaitMode;

use crate::check::{Marks, Model};
use crate::ends::bell;
use crate::mem::LoomMem;

/// One piece of work, one ring.
pub const DOORBELL: Model = Model {
    name: "doorbell",
    bound: None,
    reach: &["slept or looked", "found at once"],
    run: |marks| rounds(marks, 1, true),
};

/// One piece of work, and a sleeper that does not look again before it sleeps: it must be seen to
/// fail.
pub const DOORBELL_UNCHECKED: Model = Model {
    name: "doorbell_unchecked",
    bound: None,
    reach: &[],
    run: |marks| rounds(marks, 1, false),
};

/// Two pieces of work, so that a mark of the first sleep can still be seen.
pub const DOORBELL_TWICE: Model = Model {
    name: "doorbell_twice",
    bound: Some(2),
    reach: &["slept or looked", "found at once"],
    run: |marks| rounds(marks, 2, true),
};

fn rounds(marks: &Marks, rounds: u64, recheck: bool) {
    let (ringer, mut waiter) = bell::<LoomMem>();
    let work = Arc::new(AtomicU64::new(0));
    let posted = Arc::clone(&work);
    let marks = marks.clone();
    // Relaxed on purpose: what the doorbell promises must not lean on the work's own ordering.
    let ringing = thread::spawn(move || {
        for round in 1..=rounds {
            posted.store(round, Ordering::Relaxed);
            ringer.ring();
        }
    });
    let waiting = thread::spawn(move || {
        for round in 1..=rounds {
            let mut looks = 0;
            waiter.wait(WaitMode::Park, || {
                looks += 1;
                // The first look is the one between the announcement and the sleep.
                (recheck || looks > 1) && work.load(Ordering::Relaxed) >= round
            });
            marks.hit(if looks > 1 { "slept or looked" } else { "found at once" });
        }
    });
    ringing.join().expect("the ringer ended");
    waiting.join().expect("the waiter ended");
}
