//! Waiting: no wake-up is lost, in any mode, with any number of ringers.

#![expect(clippy::disallowed_types, reason = "the work counted here stands for any shared word")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{LEN, Ringer, WaitMode, Waiter};

#[test]
#[cfg_attr(miri, ignore = "no shared futex there")]
fn every_ring_is_heard() {
    for mode in [WaitMode::Park, WaitMode::Hybrid, WaitMode::Busy] {
        let mem = RawMem::heap(LEN);
        let mut waiter = Waiter::new(mem.clone()).expect("free");
        let (work, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let count = if mode == WaitMode::Busy { 200 } else { 20_000 };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let ringer = Ringer::new(mem.clone()).expect("free");
                let (work, done) = (&work, &done);
                scope.spawn(move || {
                    for n in 0..count {
                        work.fetch_add(1, Ordering::Release);
                        ringer.ring();
                        if n % 16 == 0 {
                            while done.load(Ordering::Acquire) + 64 < work.load(Ordering::Acquire) {
                                std::thread::yield_now();
                            }
                        }
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * count {
                waiter.wait(mode, || work.load(Ordering::Acquire) > seen);
                seen = work.load(Ordering::Acquire);
                done.store(seen, Ordering::Release);
            }
        });
    }
}

#[test]
#[cfg_attr(miri, ignore = "no shared futex there")]
fn a_limit_ends_the_wait() {
    let mut waiter = Waiter::new(RawMem::heap(LEN)).expect("free");
    assert!(!waiter.wait_at_most(WaitMode::Park, Duration::from_millis(5), || false));
    assert!(waiter.wait_at_most(WaitMode::Park, Duration::from_secs(60), || true));
}
