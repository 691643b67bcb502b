//! The doorbell: a sleeper whose work is there is woken; a lost wake-up is a deadlock.

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use wasm_engine_shm::wait::WaitMode;

use crate::check::{LoomModel, Marks};
use crate::ends::bell;
use crate::mem::LoomMem;

/// One piece of work, one ring.
pub const DOORBELL: LoomModel = LoomModel {
    name: "doorbell",
    bound: None,
    reach: &["slept or polled", "found at once"],
    run: |marks| rounds(marks, 1, true),
};

/// One piece of work, and a sleeper that does not poll again before it sleeps: it must fail.
pub const DOORBELL_UNCHECKED: LoomModel = LoomModel {
    name: "doorbell_unchecked",
    bound: None,
    reach: &[],
    run: |marks| rounds(marks, 1, false),
};

/// Two pieces of work, so that a mark of the first sleep can still be seen.
pub const DOORBELL_TWICE: LoomModel = LoomModel {
    name: "doorbell_twice",
    bound: Some(2),
    reach: &["slept or polled", "found at once"],
    run: |marks| rounds(marks, 2, true),
};

/// A sleeper that a byte at a socket wakes, in place of the doorbell.
pub const DOORBELL_ELSEWHERE: LoomModel = LoomModel {
    name: "doorbell_elsewhere",
    bound: Some(3),
    reach: &["slept", "found at once"],
    run: elsewhere,
};

/// The socket is a flag under a lock, which orders no more than the system does.
fn elsewhere(marks: &Marks) {
    let (ringer, mut waiter) = bell::<LoomMem>();
    let work = Arc::new(AtomicU64::new(0));
    let socket = Arc::new((Mutex::new(0), Condvar::new()));
    let (posted, their_socket, marks) = (Arc::clone(&work), Arc::clone(&socket), marks.clone());
    let ringing = thread::spawn(move || {
        // Relaxed on purpose, as below.
        posted.store(1, Ordering::Relaxed);
        if ringer.finds_sleeper() {
            *their_socket.0.lock().expect("nobody panics") += 1;
            their_socket.1.notify_all();
        }
    });
    let waiting = thread::spawn(move || {
        let found = waiter.begin_sleep(|| work.load(Ordering::Relaxed) == 1);
        marks.hit(if found { "found at once" } else { "slept" });
        if !found {
            let mut bytes = socket.0.lock().expect("nobody panics");
            while *bytes == 0 {
                bytes = socket.1.wait(bytes).expect("nobody panics");
            }
        }
        waiter.end_sleep();
    });
    ringing.join().expect("the ringer ended");
    waiting.join().expect("the waiter ended");
}

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
            let mut polls = 0;
            waiter.wait(WaitMode::Park, || {
                polls += 1;
                // The first poll is the one between the announcement and the sleep.
                (recheck || polls > 1) && work.load(Ordering::Relaxed) >= round
            });
            marks.hit(if polls > 1 { "slept or polled" } else { "found at once" });
        }
    });
    ringing.join().expect("the ringer ended");
    waiting.join().expect("the waiter ended");
}
