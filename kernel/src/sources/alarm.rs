//! Wakes a run that sleeps at its sockets when a thread has read a line.
//!
//! A doorbell says whether it sleeps there, a pair of sockets wakes it.

#[cfg(unix)]
pub(crate) use self::unix::{AlarmPost, LineAlarm};

/// Nobody sleeps at sockets here.
#[cfg(not(unix))]
#[derive(Clone, Debug)]
pub(crate) struct LineAlarm;

#[cfg(not(unix))]
impl LineAlarm {
    pub(crate) fn ring(&self) {}
}

#[cfg(unix)]
mod unix {
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

    use crate::sources::sockets::wake;

    /// The end of those who read lines.
    #[derive(Clone, Debug)]
    pub(crate) struct LineAlarm {
        bell: Arc<Ringer<RawMem>>,
        stream: Arc<UnixStream>,
    }

    impl LineAlarm {
        /// Wakes the run if it sleeps. To be called when a line can be received.
        pub(crate) fn ring(&self) {
            if self.bell.finds_sleeper() {
                wake(&self.stream);
            }
        }
    }

    /// The end of the run.
    #[derive(Debug)]
    pub(crate) struct AlarmPost {
        bell: Waiter<RawMem>,
        stream: UnixStream,
        alarm: LineAlarm,
    }

    impl AlarmPost {
        pub(crate) fn new() -> io::Result<Self> {
            let (stream, theirs) = UnixStream::pair()?;
            stream.set_nonblocking(true)?;
            let mem = RawMem::heap(wait::LEN);
            let opened = (Waiter::new(mem.clone()), Ringer::new(mem));
            let (Ok(bell), Ok(ringer)) = opened else {
                unreachable!("fresh memory of a doorbell's length has both its sides free");
            };
            let alarm = LineAlarm { bell: Arc::new(ringer), stream: Arc::new(theirs) };
            Ok(Self { bell, stream, alarm })
        }

        pub(crate) fn alarm(&self) -> &LineAlarm {
            &self.alarm
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
}
