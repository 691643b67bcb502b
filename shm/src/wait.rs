//! Waiting: spin a little, yield a little, then sleep at a doorbell.
//!
//! ```text
//!  word 0  epoch, 32 bits: changed by each ring that found a sleeper      (own 128 bytes)
//!  word 1  sleepers: 1 while the waiter sleeps or is about to
//! ```
//! A doorbell has one waiter and any number of ringers. Ringing costs a fence and a load unless
//! somebody sleeps; the system call is made only then.
//!
//! | word | written by | read by | ordering |
//! |---|---|---|---|
//! | epoch | ringers (add) | waiter | Release add, Acquire load |
//! | sleepers | waiter | ringers | Relaxed, ordered by the fences |
//!
//! Why sequentially consistent fences: ringer and waiter each write one word and then read the
//! other's (work published, then sleepers; sleepers, then work). Only if the two fences stand in
//! one order does at least one of them see the other: the waiter the work, or the ringer the
//! sleeper.
//!
//! Why epoch has Release and Acquire: should the waiter load the epoch of the very ring that saw it
//! sleep, it would sleep at the new value; then the work published before is visible to its check.
//!
//! Who waits for several things at once, of which a doorbell is one, does not sleep here but where
//! all of them can wake it, in `poll(2)` at sockets: [`Waiter::begin_sleep`] announces that, and a
//! ringer that [`Ringer::finds_sleeper`] wakes it there.
//!
//! What this does not do: a read-only reader cannot wait here, since it cannot announce that it
//! sleeps; it polls. The doorbell does not count rings.

use std::time::Duration;

use crate::lease::{Leased, Protocol, SetupError, Side, check_range};
use crate::mem::{ALIGN, Mem, Ordering};
use crate::site::Site;

/// Bytes of a doorbell.
pub const LEN: usize = ALIGN;

/// Most polls with a pause between them; beyond it the time is better spent otherwise. A pause
/// takes from 4 to 45 ns by the kind of processor, so this is at most some 3 us.
pub const SPINS_MAX: u32 = 64;

/// Polls with a yield between them, after the spins.
pub const YIELDS: u32 = 16;

const EPOCH: usize = 0;
const SLEEPERS: usize = 1;

/// How to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WaitMode {
    /// Spin at most [`SPINS_MAX`] times, yield [`YIELDS`] times, then sleep.
    #[default]
    Hybrid,
    /// Sleep at once.
    Park,
    /// Never sleep: only with a core for every waiting thread.
    Busy,
}

/// The waiting side.
#[derive(Debug)]
pub struct Waiter<M: Mem> {
    held: Leased<M>,
}

/// A ringing side.
#[derive(Debug)]
pub struct Ringer<M: Mem> {
    held: Leased<M>,
}

fn check_len<M: Mem>(mem: &M) -> Result<(), SetupError> {
    let have = mem.len_bytes() as u64;
    check_range(Protocol::Bell, "length", have, LEN as u64, u64::MAX)
}

impl<M: Mem> Ringer<M> {
    /// Opens a ringing side over a zeroed doorbell of [`LEN`] bytes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(&mem)?;
        Ok(Self { held: Leased::new(mem, Protocol::Bell, Side::Ringer)? })
    }

    /// Wakes the waiter if it sleeps. Call it after publishing the work; one call per batch.
    #[inline]
    pub fn ring(&self) {
        if self.finds_sleeper() {
            self.wake();
        }
    }

    /// Whether the waiter sleeps and has to be woken, by other means than this doorbell. Call it
    /// after publishing the work; one call per batch.
    #[must_use]
    #[inline]
    pub fn finds_sleeper(&self) -> bool {
        // SeqCst fence: pairs with the one in `Waiter::begin_sleep`. Either we see the sleeper or
        // it sees the work published before this call.
        Leased::<M>::fence(Site::BellRing, Ordering::SeqCst);
        self.held.load(SLEEPERS, Ordering::Relaxed) != 0
    }

    #[cold]
    fn wake(&self) {
        // Release: pairs with the Acquire load in `Waiter::sleep_unless`; see the module's text.
        self.held.bell_bump(EPOCH, M::ord(Site::BellBump, Ordering::Release));
        self.held.futex_wake(EPOCH);
    }
}

impl<M: Mem> Waiter<M> {
    /// Leases the waiting side over a zeroed doorbell of [`LEN`] bytes.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(mem: M) -> Result<Self, SetupError> {
        check_len(&mem)?;
        Ok(Self { held: Leased::new(mem, Protocol::Bell, Side::Writer)? })
    }

    /// Waits until `ready` returns true. `ready` must load shared words itself (a ring's
    /// `has_next`).
    #[inline]
    pub fn wait(&mut self, mode: WaitMode, mut ready: impl FnMut() -> bool) {
        while !self.wait_for(mode, None, &mut ready) {}
    }

    /// Waits until `ready` returns true or, once asleep, about `limit` has passed. Returns what
    /// `ready` returned last. A wake-up without work counts as the end of the wait, so the caller
    /// keeps the time.
    #[inline]
    pub fn wait_at_most(
        &mut self,
        mode: WaitMode,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> bool {
        self.wait_for(mode, Some(limit), &mut ready)
    }

    /// One round of polls, and of sleep where the mode has it.
    #[inline]
    fn wait_for(
        &mut self,
        mode: WaitMode,
        limit: Option<Duration>,
        ready: &mut impl FnMut() -> bool,
    ) -> bool {
        let (spins, yields) = match mode {
            WaitMode::Hybrid => (SPINS_MAX, YIELDS),
            WaitMode::Park => (0, 0),
            WaitMode::Busy => (SPINS_MAX, 0),
        };
        for _ in 0..spins {
            if ready() {
                return true;
            }
            M::spin();
        }
        for _ in 0..yields {
            if ready() {
                return true;
            }
            M::yield_now();
        }
        if mode == WaitMode::Busy {
            return ready();
        }
        self.sleep_unless(ready, limit) || ready()
    }

    /// Sleeps until the next ring, unless there is work. Returns whether there was.
    #[cold]
    fn sleep_unless(&mut self, ready: &mut impl FnMut() -> bool, limit: Option<Duration>) -> bool {
        // Acquire: pairs with the Release add in `Ringer::wake`.
        let epoch = self.held.bell_load(EPOCH, M::ord(Site::BellEpoch, Ordering::Acquire));
        let found = self.begin_sleep(ready);
        if !found {
            self.held.futex_wait(EPOCH, epoch, limit);
        }
        self.end_sleep();
        found
    }

    /// Announces that the waiter is about to sleep, elsewhere than here; returns whether `ready`
    /// finds that it need not. [`Waiter::end_sleep`] comes next, slept or not.
    pub fn begin_sleep(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        // Relaxed: the fence orders it before the check of the work.
        self.held.store(SLEEPERS, 1, Ordering::Relaxed);
        // SeqCst fence: pairs with the one in `Ringer::finds_sleeper`.
        Leased::<M>::fence(Site::BellSleep, Ordering::SeqCst);
        ready()
    }

    /// Takes the announcement back.
    pub fn end_sleep(&mut self) {
        // Relaxed: a ringer that still sees 1 makes a needless call, no more.
        self.held.store(SLEEPERS, 0, Ordering::Relaxed);
    }
}
