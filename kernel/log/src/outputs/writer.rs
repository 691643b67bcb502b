//! The thread that writes `outputs.jsonl`, so that a slow disk holds it up and not the tick.
//!
//! ```text
//!  scheduler: lines --ring--> thread: write(2) when the ring is empty or enough has come
//! ```
//! The ring carries a stream of bytes; where lines are cut into records means nothing. Giving a
//! line allocates nothing and makes no system call. A full ring makes the scheduler wait, which is
//! counted. The first refusal of the disk ends the thread; it is told with the next line, at the
//! latest when the writer is closed.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use wasm_engine_shm::{
    bytes::{Consumer, Producer, ReserveError, layout},
    mem::RawMem,
};

use crate::thread_end;

/// Bytes on their way to the thread.
const RING_BYTES: usize = 1 << 20;
/// Bytes that are written together at the latest.
const WRITE_BYTES: usize = 64 << 10;
/// Longest piece of a line in one record.
const PIECE_BYTES: usize = 32 << 10;
/// Tags of records.
const BYTES: u32 = 0;
const STOP: u32 = 1;
/// Sleep after work was found, and longest sleep.
const NAP_MIN: Duration = Duration::from_micros(100);
const NAP_MAX: Duration = Duration::from_millis(2);

/// What was attempted, as a participle, and what the system says.
pub(super) type Failure = (&'static str, io::Error);

/// The scheduler's end. Dropping it writes what was given.
#[derive(Debug)]
pub(super) struct OutputWriter {
    ring: Producer<RawMem>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<Failure>>,
    stalls: u64,
}

impl OutputWriter {
    /// Starts a thread that appends to `file`.
    pub(super) fn start(file: File) -> Result<Self, Failure> {
        let other = |error: &dyn std::fmt::Display| ("opened", io::Error::other(error.to_string()));
        let shape = layout(RING_BYTES).map_err(|error| other(&error))?;
        let (head, tail) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        let ring = Producer::new(head.clone(), tail.clone()).map_err(|error| other(&error))?;
        let consumer = Consumer::new(head, tail).map_err(|error| other(&error))?;
        let failure = Arc::new(OnceLock::new());
        let work = Writing { ring: consumer, file, buffer: Vec::with_capacity(2 * WRITE_BYTES) };
        let told = Arc::clone(&failure);
        let thread = std::thread::Builder::new().name("we-outputs".to_owned());
        let thread = thread.spawn(move || {
            if let Err(failure) = work.run() {
                // The only setter beside `stop`, which waits for this thread first.
                let _ = told.set(failure);
            }
        });
        let thread = thread.map_err(|source| ("opened", source))?;
        Ok(Self { ring, thread: Some(thread), failure, stalls: 0 })
    }

    /// How often bytes had to wait for room.
    pub(super) fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Gives bytes; calls `stalled` once before it begins to wait for room.
    pub(super) fn write(&mut self, bytes: &[u8], stalled: &mut dyn FnMut()) -> Result<(), Failure> {
        self.check()?;
        let mut waited = false;
        for piece in bytes.chunks(PIECE_BYTES) {
            loop {
                match self.ring.push(BYTES, 0, piece) {
                    Ok(()) => break,
                    Err(ReserveError::Full { .. }) => {}
                    Err(error) => return Err(("written", io::Error::other(error.to_string()))),
                }
                self.ring.publish();
                if !std::mem::replace(&mut waited, true) {
                    self.stalls += 1;
                    stalled();
                }
                self.check()?;
                std::thread::yield_now();
            }
        }
        self.ring.publish();
        Ok(())
    }

    /// Waits until everything is written and on the disk. Nothing can be given afterwards.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.stop();
        self.failure.get().map_or(Ok(()), |failure| Err(again(failure)))
    }

    /// Whether the thread still takes bytes.
    #[inline]
    fn check(&self) -> Result<(), Failure> {
        if let Some(failure) = self.failure.get() {
            return Err(again(failure));
        }
        match &self.thread {
            Some(thread) if !thread.is_finished() => Ok(()),
            // It may have failed between the two questions.
            _ => Err(self.failure.get().map_or_else(
                || ("written", io::Error::other("the thread that writes has ended")),
                again,
            )),
        }
    }

    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if thread_end::end(thread, &mut self.ring, STOP).is_err() {
            let _ = self.failure.set(("written", io::Error::other("the thread panicked")));
        }
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An error of the system cannot be copied, only said again.
fn again((action, error): &Failure) -> Failure {
    let same = match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    (action, same)
}

/// The thread's state.
#[derive(Debug)]
struct Writing {
    ring: Consumer<RawMem>,
    file: File,
    buffer: Vec<u8>,
}

impl Writing {
    /// Runs until it is told to stop or the disk refuses.
    fn run(mut self) -> Result<(), Failure> {
        let mut nap = NAP_MIN;
        loop {
            let stop = self.take()?;
            let idle = self.buffer.is_empty();
            self.put()?;
            if stop {
                return self.file.sync_data().map_err(|source| ("synced", source));
            }
            if idle {
                std::thread::park_timeout(nap);
                nap = (nap * 2).min(NAP_MAX);
            } else {
                nap = NAP_MIN;
            }
        }
    }

    /// Takes what is in the ring, not much more than is written together; gives whether to stop.
    fn take(&mut self) -> Result<bool, Failure> {
        let mut stop = false;
        while self.buffer.len() < WRITE_BYTES && !stop {
            let record = self.ring.next();
            let record =
                record.map_err(|error| ("written", io::Error::other(error.to_string())))?;
            let Some(record) = record else { break };
            stop = record.tag == STOP;
            self.buffer.extend_from_slice(&record);
        }
        self.ring.release();
        Ok(stop)
    }

    fn put(&mut self) -> Result<(), Failure> {
        self.file.write_all(&self.buffer).map_err(|source| ("written", source))?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        os::fd::OwnedFd,
        sync::mpsc::{self, RecvTimeoutError},
    };

    use super::*;

    #[test]
    fn t10_1_a_disk_that_does_not_take_anything_stalls_only_when_the_ring_is_full() {
        let (mut from, into) = io::pipe().expect("a pipe");
        let mut writer = OutputWriter::start(OwnedFd::from(into).into()).expect("a thread");
        let block: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let given = 30;
        // Nobody reads, so the pipe, the buffer and the ring fill up; only then the reader begins.
        let (start, started) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let began: Result<(), RecvTimeoutError> = started.recv_timeout(Duration::from_secs(60));
            let mut all = Vec::new();
            from.read_to_end(&mut all).expect("a pipe");
            (began, all)
        });
        for number in 0..given {
            writer.write(&block, &mut || start.send(()).expect("it waits")).expect("a pipe");
            assert!(number > 5 || writer.stalls() == 0, "the ring has room for {number}");
        }
        assert!(writer.stalls() > 0, "3 MB do not fit");
        drop(writer);
        let (began, all) = reader.join().expect("it reads");
        assert_eq!(began, Ok(()));
        assert!(all == block.repeat(given), "everything, in order");
    }

    #[test]
    fn a_disk_error_is_told_with_the_next_bytes_or_at_the_end() {
        let full = || File::options().write(true).open("/dev/full");
        let Ok(file) = full() else { return eprintln!("SKIPPED: there is no /dev/full") };
        let mut writer = OutputWriter::start(file).expect("a thread");
        writer.write(b"lost", &mut || ()).expect("nothing is known yet");
        let (action, error) = writer.close().expect_err("the disk is full");
        assert_eq!((action, error.kind()), ("written", io::ErrorKind::StorageFull));
        assert!(writer.write(b"more", &mut || ()).is_err(), "and stays so");
    }
}
