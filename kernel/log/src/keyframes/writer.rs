//! The thread that writes keyframes while the run goes on.
//!
//! ```text
//!  scheduler, between two ticks                we-keyframe
//!  copy of the core, of agents that ran  --->  states of all agents -> file -> sync -> rename
//!             <--- buffers, outcome ---------  remove those that are not kept
//! ```
//! One job is under way at a time. While it is, no other keyframe is made: the scheduler never
//! waits for the disk. The thread holds the states of all agents, so a job carries those only that
//! changed since the last one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use wasm_engine_abi::Tick;

use super::file::{
    Keyframe, KeyframeError, KeyframeTerms, remove_keyframe, ticks_of_keyframes, write_keyframe,
};
use crate::storage::Storage;

/// What the scheduler copies of a state; its buffers are used again.
#[derive(Debug, Default)]
pub struct KeyframeJob {
    /// The keyframe, without its agents.
    pub keyframe: Keyframe,
    /// Slots whose agents ran since the last job, ascending, and bytes of the state of each; none
    /// where nobody lives.
    pub changed: Vec<(u32, Option<u32>)>,
    /// Their states, one behind the other.
    pub states: Vec<u8>,
    /// The last tick that is durable in the log.
    pub durable: Option<Tick>,
}

/// What was written so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyframeCounts {
    /// Keyframes.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keyframes that could not be written.
    pub failed: u64,
}

/// What came of a job, with its buffers.
type Done = (KeyframeJob, Result<u64, KeyframeError>);

/// The scheduler's end.
#[derive(Debug)]
pub struct KeyframeWriter {
    jobs: Option<SyncSender<KeyframeJob>>,
    done: Receiver<Done>,
    /// None while a job is under way.
    job: Option<KeyframeJob>,
    thread: Option<JoinHandle<()>>,
    counts: KeyframeCounts,
    failure: Option<KeyframeError>,
}

impl KeyframeWriter {
    /// Starts the thread; it keeps the newest `kept` keyframes that the log covers.
    ///
    /// # Errors
    /// The system's, if there can be no thread.
    pub fn start(
        storage: Arc<dyn Storage>,
        terms: KeyframeTerms,
        kept: usize,
    ) -> std::io::Result<Self> {
        let (jobs, taken) = sync_channel::<KeyframeJob>(1);
        let (give, done) = sync_channel(1);
        let thread = std::thread::Builder::new().name("we-keyframe".to_owned());
        let thread = thread.spawn(move || {
            let mut states = AgentStates::default();
            while let Ok(mut job) = taken.recv() {
                let written = write(&*storage, &terms, &mut states, &mut job, kept);
                if give.send((job, written)).is_err() {
                    return;
                }
            }
        })?;
        let job = Some(KeyframeJob::default());
        let counts = KeyframeCounts::default();
        Ok(Self { jobs: Some(jobs), done, job, thread: Some(thread), counts, failure: None })
    }

    /// An empty job, unless one is under way.
    pub fn job(&mut self) -> Option<KeyframeJob> {
        if let Ok(done) = self.done.try_recv() {
            self.take(done);
        }
        self.job.take()
    }

    /// Hands a job over.
    pub fn write(&mut self, job: KeyframeJob) {
        // A thread that has ended takes none; then there are no more keyframes.
        if let Some(jobs) = &self.jobs
            && jobs.try_send(job).is_err()
        {
            self.counts.failed += 1;
        }
    }

    fn take(&mut self, (job, written): Done) {
        match written {
            Ok(bytes) => {
                self.counts.written += 1;
                self.counts.bytes += bytes;
            }
            Err(error) => {
                self.counts.failed += 1;
                self.failure = Some(error);
            }
        }
        self.job = Some(job);
    }

    /// What was written so far.
    #[must_use]
    pub fn counts(&self) -> KeyframeCounts {
        self.counts
    }

    /// The last failure, once.
    pub fn take_failure(&mut self) -> Option<KeyframeError> {
        self.failure.take()
    }

    /// Waits for the job under way and ends the thread.
    pub fn finish(&mut self) {
        self.jobs = None;
        while let Ok(done) = self.done.recv() {
            self.take(done);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.counts.failed += 1;
        }
    }
}

impl Drop for KeyframeWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// States of all agents, by slot.
#[derive(Debug, Default)]
pub struct AgentStates(BTreeMap<u32, Box<[u8]>>);

impl AgentStates {
    /// Takes what changed, and gives the keyframe of the job the states of all.
    pub fn complete(&mut self, job: &mut KeyframeJob) {
        let KeyframeJob { keyframe, changed, states, durable: _ } = job;
        let mut rest = states.as_slice();
        for (slot, len) in changed.iter() {
            match len.and_then(|len| rest.split_at_checked(len as usize)) {
                Some((state, more)) => {
                    rest = more;
                    self.0.insert(*slot, state.into());
                }
                None => {
                    self.0.remove(slot);
                }
            }
        }
        let agents = &mut keyframe.agents;
        agents.clear();
        for (slot, state) in &self.0 {
            agents.extend_from_slice(&slot.to_le_bytes());
            agents.extend_from_slice(&(state.len() as u64).to_le_bytes());
            agents.extend_from_slice(state);
        }
    }
}

/// Completes the keyframe of a job, writes it, and removes those that are not kept.
fn write(
    storage: &dyn Storage,
    terms: &KeyframeTerms,
    states: &mut AgentStates,
    job: &mut KeyframeJob,
    kept: usize,
) -> Result<u64, KeyframeError> {
    states.complete(job);
    let bytes = write_keyframe(storage, terms, &job.keyframe)?;
    remove_others(storage, kept, job.durable)?;
    Ok(bytes)
}

/// Keeps the newest `kept` of those that the log covers for certain, and all behind them: after a
/// crash the log may end before the newest.
fn remove_others(
    storage: &dyn Storage,
    kept: usize,
    durable: Option<Tick>,
) -> Result<(), KeyframeError> {
    let mut covered = ticks_of_keyframes(storage)?;
    covered.retain(|tick| durable.is_some_and(|durable| *tick < durable));
    let removed = covered.len().saturating_sub(kept);
    covered[..removed].iter().try_for_each(|tick| remove_keyframe(storage, *tick))
}
