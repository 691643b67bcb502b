//! The thread that writes `outputs.jsonl`, so that a slow disk holds it up and not the tick.
//!
//! ```text
//!  scheduler: lines --ring--> thread: write(2) when the ring is empty or enough has come
//! ```
//! The ring carries a stream of bytes; how lines are split into records means nothing. Giving a
//! line allocates nothing and makes no system call. A full ring makes the scheduler wait, which is
//! counted. The first error of the storage ends the thread; the next line returns it, at the latest
//! closing does.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use wasm_engine_shm::{
    bytes::{Consumer, Producer, ReserveError, layout},
    mem::RawMem,
};

use crate::{failure::copy_error, storage::StorageFile, thread_end};

/// Bytes on their way to the thread.
const RING_BYTES: usize = 1 << 20;
/// Bytes collected before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// Longest piece of a line in one record.
const PIECE_BYTES: usize = 32 << 10;
/// Tags of records.
const BYTES: u32 = 0;
const STOP: u32 = 1;
/// Poll interval after work was found, and longest poll interval.
const POLL_INTERVAL_MIN: Duration = Duration::from_micros(100);
const POLL_INTERVAL_MAX: Duration = Duration::from_millis(2);

/// What was attempted, as a participle, and the system's error.
pub(super) type OutputFailure = (&'static str, io::Error);

/// The scheduler's end. Dropping it writes everything given.
#[derive(Debug)]
pub(super) struct OutputWriter {
    ring: Producer<RawMem>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<OnceLock<OutputFailure>>,
    stalls: u64,
}

impl OutputWriter {
    /// Starts a thread that appends to `file`.
    pub(super) fn start(file: Box<dyn StorageFile>) -> Result<Self, OutputFailure> {
        let other = |error: &dyn std::fmt::Display| ("opened", io::Error::other(error.to_string()));
        let shape = layout(RING_BYTES).map_err(|error| other(&error))?;
        let (head, tail) = (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        let ring = Producer::new(head.clone(), tail.clone()).map_err(|error| other(&error))?;
        let consumer = Consumer::new(head, tail).map_err(|error| other(&error))?;
        let failure = Arc::new(OnceLock::new());
        let work =
            OutputThread { ring: consumer, file, buffer: Vec::with_capacity(2 * WRITE_BYTES) };
        let failed = Arc::clone(&failure);
        let thread = std::thread::Builder::new().name("we-outputs".to_owned());
        let thread = thread.spawn(move || {
            if let Err(failure) = work.run() {
                // The only setter beside `stop`, which waits for this thread first.
                let _ = failed.set(failure);
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
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        stalled: &mut dyn FnMut(),
    ) -> Result<(), OutputFailure> {
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

    /// Waits until everything is durable. Nothing can be given afterwards.
    pub(super) fn close(&mut self) -> Result<(), OutputFailure> {
        self.stop();
        self.failure.get().map_or(Ok(()), |failure| Err(copy(failure)))
    }

    /// Fails if the thread takes no more bytes.
    #[inline]
    fn check(&self) -> Result<(), OutputFailure> {
        if let Some(failure) = self.failure.get() {
            return Err(copy(failure));
        }
        match &self.thread {
            Some(thread) if !thread.is_finished() => Ok(()),
            // It may have failed since the first check.
            _ => Err(self.failure.get().map_or_else(
                || ("written", io::Error::other("the thread that writes has ended")),
                copy,
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

fn copy((action, error): &OutputFailure) -> OutputFailure {
    (action, copy_error(error))
}

/// The thread's state.
#[derive(Debug)]
struct OutputThread {
    ring: Consumer<RawMem>,
    file: Box<dyn StorageFile>,
    buffer: Vec<u8>,
}

impl OutputThread {
    /// Runs until the stop record or the first failure.
    fn run(mut self) -> Result<(), OutputFailure> {
        let mut interval = POLL_INTERVAL_MIN;
        loop {
            let stop = self.take()?;
            let idle = self.buffer.is_empty();
            self.put()?;
            if stop {
                return self.file.sync().map_err(|source| ("synced", source));
            }
            if idle {
                std::thread::park_timeout(interval);
                interval = (interval * 2).min(POLL_INTERVAL_MAX);
            } else {
                interval = POLL_INTERVAL_MIN;
            }
        }
    }

    /// Takes what is in the ring, up to about the bytes of one write; returns whether to stop.
    fn take(&mut self) -> Result<bool, OutputFailure> {
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

    fn put(&mut self) -> Result<(), OutputFailure> {
        if !self.buffer.is_empty() {
            self.file.append(&self.buffer).map_err(|source| ("written", source))?;
            self.buffer.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::storage::{
        Storage,
        memory::{ENOSPC, Fault, Memory, Operation},
    };

    /// A file whose first append waits for a signal, 60 seconds at most.
    #[derive(Debug)]
    struct SlowFile {
        inner: Box<dyn StorageFile>,
        signal: Option<Mutex<mpsc::Receiver<()>>>,
    }

    impl StorageFile for SlowFile {
        fn bytes(&self) -> io::Result<u64> {
            self.inner.bytes()
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.inner.read_at(buffer, offset)
        }

        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            if let Some(signal) = self.signal.take() {
                let signal = signal.lock().expect("nobody panics with it");
                signal.recv_timeout(Duration::from_secs(60)).map_err(io::Error::other)?;
            }
            self.inner.append(bytes)
        }

        fn truncate(&mut self, bytes: u64) -> io::Result<()> {
            self.inner.truncate(bytes)
        }

        fn sync(&mut self) -> io::Result<()> {
            self.inner.sync()
        }
    }

    fn new_file(storage: &Memory) -> Box<dyn StorageFile> {
        storage.create_dir().expect("no fault is set");
        storage.create("file").expect("no fault is set")
    }

    #[test]
    fn t10_1_a_disk_that_takes_nothing_stalls_only_when_the_ring_is_full() {
        let storage = Memory::new("run");
        let (go, signal) = mpsc::channel();
        let file = SlowFile { inner: new_file(&storage), signal: Some(Mutex::new(signal)) };
        let mut writer = OutputWriter::start(Box::new(file)).expect("a thread");
        let block: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let given = 30;
        for number in 0..given {
            // The disk takes nothing until the ring is full.
            let stalled = &mut || {
                let _ = go.send(());
            };
            writer.write(&block, stalled).expect("the disk takes all in the end");
            assert!(number > 5 || writer.stalls() == 0, "the ring has room for {number}");
        }
        assert!(writer.stalls() > 0, "3 MB do not fit");
        writer.close().expect("a disk");
        let all = storage.content("file").expect("it was created");
        assert!(all == block.repeat(given), "everything, in order");
    }

    #[test]
    fn a_failed_write_is_returned_with_the_next_bytes_or_at_the_end() {
        let storage = Memory::new("run");
        let mut writer = OutputWriter::start(new_file(&storage)).expect("a thread");
        storage.fail(Fault { operation: Some(Operation::Append), after: 0, code: ENOSPC });
        writer.write(b"lost", &mut || ()).expect("nothing is known yet");
        let (action, error) = writer.close().expect_err("the disk is full");
        assert_eq!((action, error.raw_os_error()), ("written", Some(ENOSPC)));
        assert!(writer.write(b"more", &mut || ()).is_err(), "and stays so");
    }
}
