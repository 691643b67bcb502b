//! A worker thread: one lane behind two rings.
//!
//! ```text
//!  scheduler                                       worker
//!  push_begin, push_turn ..., publish, ring  --->  Lane::begin, Lane::execute ...
//!  read_reply ...                            <---  results, publish, ring
//!  push_stop                                 --->  returns
//! ```
//! Why a worker cannot hang or take the process down: it waits at its doorbell only, and whatever
//! goes wrong in a turn, a panic included, becomes one `FAILED` reply, after which the thread
//! ends. The scheduler must always send `STOP`, also when it fails itself.
//!
//! Both rings should hold a whole microstep; a worker that finds the reply ring full publishes
//! what it has and yields until there is room, so a scheduler that sends more must read replies
//! in between.
//!
//! What this does not do: it starts and pins no thread, and it has no clock of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::AgentId;
use wasm_engine_shm::bytes::{Consumer, Producer, ReserveError};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::wait::{Ringer, WaitMode, Waiter};
use wasmtime::Engine;

use crate::error::{MachineError, MachineFailure};
use crate::lane::Lane;
use crate::lane_use::LaneUse;
use crate::worker_codec::{
    COMMAND_BEGIN, COMMAND_STOP, COMMAND_TURN, REPLY_FAILED, REPLY_TURN, REPLY_USE, failed_bytes,
    read_turn,
};

/// Lets a lane execute turns and turns a panic into a failure; the lane must not be used after
/// either.
///
/// # Errors
/// As `turns`, and [`MachineFailure::Panic`].
pub fn guarded<T>(
    lane: &mut Lane,
    turns: impl FnOnce(&mut Lane) -> Result<T, MachineError>,
) -> Result<T, MachineError> {
    catch_unwind(AssertUnwindSafe(|| turns(lane))).unwrap_or_else(|panic| {
        Err(MachineError {
            failure: MachineFailure::Panic,
            lane: lane.number(),
            agent: lane.agent(),
            detail: panic_text(panic.as_ref()),
        })
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
        .to_owned()
}

/// A lane that a worker steps, or the scheduler itself while the worker waits: for a round that is
/// too short to be handed over. Nobody ever waits for the lock: the worker takes it for commands
/// only, and while there are any the scheduler does not.
#[derive(Clone, Debug)]
pub struct SharedLane(Arc<Mutex<UsedLane>>);

/// A lane and what it did so far.
#[derive(Debug)]
pub struct UsedLane {
    /// The lane.
    pub lane: Lane,
    /// What it did.
    pub used: LaneUse,
}

impl UsedLane {
    /// A lane that did nothing so far.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self { lane, used: LaneUse::default() }
    }

    /// Takes how the lane is.
    pub fn poll(&mut self) {
        self.used.poll(&self.lane);
    }
}

impl SharedLane {
    /// A lane that did nothing so far.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self(Arc::new(Mutex::new(UsedLane::new(lane))))
    }

    /// The lane. One that failed is not used again, so what a panic left behind is not seen.
    pub fn lock(&self) -> MutexGuard<'_, UsedLane> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane and its ends of the rings. It is made on the scheduler's thread and sent to its own.
#[derive(Debug)]
pub struct Worker {
    /// The lane.
    pub lane: SharedLane,
    /// Commands from the scheduler.
    pub commands: Consumer<RawMem>,
    /// Replies to it.
    pub replies: Producer<RawMem>,
    /// Rung by the scheduler after it publishes commands.
    pub bell: Waiter<RawMem>,
    /// The scheduler's doorbell, rung after replies are published.
    pub scheduler: Ringer<RawMem>,
    /// How to wait for commands.
    pub wait: WaitMode,
    /// Nanoseconds of a clock that only grows, for what it counts.
    pub clock: fn() -> u64,
}

impl Worker {
    /// Runs until stopped or failed. The thread's stack must have
    /// [`THREAD_STACK_BYTES_MIN`](crate::profile::THREAD_STACK_BYTES_MIN) bytes.
    pub fn run(mut self) {
        Engine::tls_eager_initialize();
        let lane = self.lane.clone();
        let mut out = Vec::with_capacity(lane.lock().lane.result_words_max());
        let mut since_ns = (self.clock)();
        loop {
            let Self { commands, bell, wait, .. } = &mut self;
            bell.wait(*wait, || commands.has_next());
            let begin_ns = (self.clock)();
            let mut own = lane.lock();
            own.used.wait_ns += begin_ns - since_ns;
            let batch = self.batch(&mut own, &mut out);
            if let Err(error) = &batch {
                self.reply_with(REPLY_FAILED, &failed_bytes(error));
            }
            since_ns = (self.clock)();
            own.used.busy_ns += since_ns - begin_ns;
            own.poll();
            // Without room the next batch says it: the counts only grow.
            let _ = self.replies.push(REPLY_USE, 0, bytes_of(&own.used));
            drop(own);
            self.commands.release();
            self.replies.publish();
            self.scheduler.ring();
            if !matches!(batch, Ok(true)) {
                return;
            }
        }
    }

    /// Executes all commands there are; gives whether to go on.
    fn batch(&mut self, own: &mut UsedLane, out: &mut Vec<u64>) -> Result<bool, MachineError> {
        let UsedLane { lane, used } = own;
        let number = lane.number();
        let broken = |detail: String| MachineError {
            failure: MachineFailure::Ring,
            lane: number,
            agent: AgentId::NONE,
            detail,
        };
        let Self { commands, replies, scheduler, .. } = self;
        guarded(lane, |lane| {
            loop {
                let record = match commands.next() {
                    Ok(Some(record)) => record,
                    Ok(None) => return Ok(true),
                    Err(error) => return Err(broken(error.to_string())),
                };
                match record.tag {
                    COMMAND_BEGIN => lane.begin(record.aux),
                    COMMAND_TURN => {
                        let (command, items, args) = read_turn(&record)
                            .ok_or_else(|| broken("a command has not its length".to_owned()))?;
                        out.clear();
                        lane.execute(&command, items, args, out)?;
                        used.count(command.kind);
                        reply(replies, scheduler, REPLY_TURN, cast_slice(out))
                            .map_err(|error| broken(error.to_string()))?;
                    }
                    COMMAND_STOP => return Ok(false),
                    tag => return Err(broken(format!("a command has the tag {tag}"))),
                }
            }
        })
    }

    /// The last words of a worker; where even they do not fit, its end says enough.
    fn reply_with(&mut self, tag: u32, bytes: &[u8]) {
        let fitting = bytes.len().min(self.replies.payload_max());
        let _ = reply(&mut self.replies, &self.scheduler, tag, &bytes[..fitting]);
    }
}

/// Writes a reply; while the ring is full, shows the scheduler what is in it and yields.
fn reply(
    ring: &mut Producer<RawMem>,
    scheduler: &Ringer<RawMem>,
    tag: u32,
    bytes: &[u8],
) -> Result<(), ReserveError> {
    loop {
        match ring.push(tag, 0, bytes) {
            Err(ReserveError::Full { .. }) => {
                ring.publish();
                scheduler.ring();
                std::thread::yield_now();
            }
            done => return done,
        }
    }
}
