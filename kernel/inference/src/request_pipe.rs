//! Requests on their way to the inference thread: into the ring, or behind those that wait for room
//! in it, so that the scheduler never waits.

use std::collections::VecDeque;

use wasm_engine_shm::bytes::{Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::Ringer;

use crate::error::InferenceError;

/// A record for which the ring has no room yet.
#[derive(Debug)]
struct Queued {
    tag: u32,
    aux: u64,
    bytes: Vec<u8>,
}

/// The scheduler's end of the ring of requests.
pub(crate) struct RequestPipe {
    ring: Producer<RawMem>,
    bell: Ringer<RawMem>,
    /// What has no room in the ring yet, in order.
    queue: VecDeque<Queued>,
}

impl RequestPipe {
    pub(crate) fn new(ring: Producer<RawMem>, bell: Ringer<RawMem>) -> Self {
        Self { ring, bell, queue: VecDeque::new() }
    }

    /// Puts a record into the ring, or behind those that have no room in it.
    pub(crate) fn push(&mut self, tag: u32, aux: u64, bytes: &[u8]) -> Result<(), InferenceError> {
        self.pump()?;
        if self.queue.is_empty() {
            match self.ring.push(tag, aux, bytes) {
                // What is in it must be seen before there can be room.
                Err(ReserveError::Full { .. }) => self.publish(),
                done => return done.map_err(|source| InferenceError::Full { number: aux, source }),
            }
        }
        self.queue.push_back(Queued { tag, aux, bytes: bytes.to_vec() });
        Ok(())
    }

    /// Moves what waited into the ring, as far as it has room.
    pub(crate) fn pump(&mut self) -> Result<(), InferenceError> {
        let before = self.queue.len();
        while let Some(Queued { tag, aux, bytes }) = self.queue.front() {
            match self.ring.push(*tag, *aux, bytes) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(ReserveError::Full { .. }) => break,
                Err(source) => return Err(InferenceError::Full { number: *aux, source }),
            }
        }
        if self.queue.len() < before {
            self.publish();
        }
        Ok(())
    }

    /// Shows the thread what is in the ring.
    pub(crate) fn publish(&mut self) {
        self.ring.publish();
        self.bell.ring();
    }

    /// Whether something waits for room.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Drops what waits for room.
    pub(crate) fn forget(&mut self) {
        self.queue.clear();
    }

    /// Puts a record without bytes into the ring and shows it, if there is room now.
    pub(crate) fn try_push(&mut self, tag: u32) -> bool {
        let pushed = self.ring.push(tag, 0, &[]).is_ok();
        self.publish();
        pushed
    }
}
