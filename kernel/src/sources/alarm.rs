//! Wakes a run that sleeps at its sockets when a thread has read a line.
//!
//! A doorbell says whether it sleeps there, a pair of sockets wakes it.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use wasm_engine_shm::{
    mem::RawMem,
    wait::{self, Ringer, Waiter},
};

use crate::sources::{lines::WakeRun, sockets::wake};

/// The end of the run.
#[derive(Debug)]
pub(crate) struct AlarmPost {
    bell: Waiter<RawMem>,
    stream: UnixStream,
}

impl AlarmPost {
    /// Gives what those call who have read a line.
    pub(crate) fn new() -> io::Result<(Self, WakeRun)> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let mem = RawMem::heap(wait::LEN);
        let opened = (Waiter::new(mem.clone()), Ringer::new(mem));
        let (Ok(bell), Ok(ringer)) = opened else {
            unreachable!("fresh memory of a doorbell's length has both its sides free");
        };
        let alarm = move || {
            if ringer.finds_sleeper() {
                wake(&theirs);
            }
        };
        Ok((Self { bell, stream }, Arc::new(alarm)))
    }

    /// As [`Waiter::begin_sleep`].
    pub(crate) fn begin_sleep(&mut self, ready: impl FnMut() -> bool) -> bool {
        self.bell.begin_sleep(ready)
    }

    pub(crate) fn end_sleep(&mut self) {
        self.bell.end_sleep();
        let mut bytes = [0; 64];
        // A byte that is left wakes once more, for nothing.
        let _ = self.stream.read(&mut bytes);
    }
}

impl AsFd for AlarmPost {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
