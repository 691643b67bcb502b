//! Steps the planned turns of a microstep on all lanes and hands their results to the core.
//!
//! ```text
//!  dispatch: commands of workers' agents into their rings, one doorbell each
//!  step:     the scheduler's own share, on lane 0
//!  collect:  replies, until every turn has one; wait at the scheduler's doorbell
//! ```
//! Lane 0 is the scheduler's own thread; workers are further lanes. An agent's home lane is fixed
//! by its slot. Which lane steps a turn, and when, decides nothing: the core reads results by
//! their position in the plan (SEMANTICS T4).
//!
//! A worker that fails says so in a reply, and the run stops at the last closed tick (T10).

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use bytemuck::{Zeroable, cast_slice, try_cast_slice};
use wasm_engine_abi::{
    AgentId, Digest,
    frame::{Effect, ItemFrame, TurnCommand, TurnResult, turn},
};
use wasm_engine_shm::{
    bytes::{Consumer, Producer, ReserveError},
    mem::RawMem,
    wait::{Ringer, WaitMode, Waiter},
};
use xxhash_rust::xxh3::Xxh3Default;

use crate::clock;
use wasm_engine_core::{Core, Results, TurnOutput};
use wasm_engine_guest::{
    Areas, FaultAccount, LaneShared, LaneUse, MachineError, MachineFailure,
    lane::Lane,
    worker::{Worker, guarded},
    worker_codec::{Reply, push_begin, push_stop, push_turn, read_reply},
};

/// Stack of a worker's thread: the guests' and room to spare.
const STACK_BYTES: usize = 4 << 20;

/// Words of a result before its effects.
const RESULT_WORDS: usize = size_of::<TurnResult>() / size_of::<u64>();
/// Words of an effect.
const EFFECT_WORDS: usize = size_of::<Effect>() / size_of::<u64>();

/// Results of one microstep: the words each lane gave, and where each turn's lie.
#[derive(Debug, Default)]
pub(crate) struct Store {
    lanes: Vec<Vec<u64>>,
    turns: Vec<ResultLocation>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ResultLocation {
    lane: u32,
    offset: usize,
}

impl Results for Store {
    #[inline]
    fn turn(&self, position: usize) -> TurnOutput<'_> {
        let ResultLocation { lane, offset } = self.turns[position];
        let words = &self.lanes[lane as usize][offset..];
        let (head, rest) = words.split_at(RESULT_WORDS);
        let result: &TurnResult = bytemuck::from_bytes(cast_slice(head));
        let effects = cast_slice(&rest[..result.effects as usize * EFFECT_WORDS]);
        TurnOutput { result, effects, lane }
    }
}

/// How long the scheduler sleeps at most before it looks whether a worker's thread has ended.
const POLL: Duration = Duration::from_millis(20);

/// What the scheduler holds of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) commands: Producer<RawMem>,
    pub(crate) replies: Consumer<RawMem>,
    /// Rung after commands are published.
    pub(crate) bell: Ringer<RawMem>,
    /// Turns dispatched and not answered.
    outstanding: usize,
    thread: Option<JoinHandle<()>>,
}

impl WorkerHandle {
    /// Starts the thread of `worker`; `pin_to` is called first on it.
    pub(crate) fn start(
        mut worker: Worker,
        commands: Producer<RawMem>,
        replies: Consumer<RawMem>,
        bell: Ringer<RawMem>,
        core: Option<core_affinity::CoreId>,
    ) -> std::io::Result<Self> {
        let name = format!("we-lane-{}", worker.lane.number());
        let thread =
            std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
                if let Some(core) = core
                    && core_affinity::set_for_current(core)
                {
                    worker.used.core = core.id as u32;
                }
                worker.run();
            })?;
        Ok(Self { commands, replies, bell, outstanding: 0, thread: Some(thread) })
    }

    fn publish(&mut self) {
        self.commands.publish();
        self.bell.ring();
    }

    /// Fails if nothing will come from the worker of `lane` any more: its thread has ended, and all
    /// that it said has been taken. It says why it ends, unless its thread could not even begin.
    fn check(&self, lane: usize) -> Result<(), MachineError> {
        // In this order: what it said last, it said before its end.
        let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if ended && !self.replies.has_next() {
            let detail = "its thread ended without a word; give the process more memory";
            return Err(failed(lane, MachineFailure::Panic, detail.to_owned()));
        }
        Ok(())
    }
}

/// The commands of one round over all lanes: by position, so that results can be found by it.
trait Round {
    fn len(&self) -> usize;
    fn agent_slot(&self, position: usize) -> u32;
    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]);
}

/// The plan of a microstep.
struct Plan<'a>(&'a Core);

impl Round for Plan<'_> {
    fn len(&self) -> usize {
        self.0.planned()
    }

    fn agent_slot(&self, position: usize) -> u32 {
        self.0.planned_agent(position)
    }

    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]) {
        self.0.turn(position, frames)
    }
}

/// One command for each agent that is no turn of its guest: `HASH` or `DROP`.
struct Each<'a> {
    kind: u32,
    agents: &'a [AgentId],
}

impl Round for Each<'_> {
    fn len(&self) -> usize {
        self.agents.len()
    }

    fn agent_slot(&self, position: usize) -> u32 {
        self.agents[position].index()
    }

    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]) {
        frames.clear();
        let agent = self.agents[position].to_bits();
        let position = position as u32;
        (TurnCommand { agent, position, kind: self.kind, ..TurnCommand::zeroed() }, &[])
    }
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct LanePool {
    local: Lane,
    /// Lane n is at n − 1.
    workers: Vec<WorkerHandle>,
    bell: Waiter<RawMem>,
    wait: WaitMode,
    store: Store,
    frames: Vec<ItemFrame>,
    uses: Vec<LaneUse>,
    stepped_ns: u64,
}

impl LanePool {
    pub(crate) fn new(
        shared: Arc<LaneShared>,
        areas: Areas,
        workers: Vec<WorkerHandle>,
        bell: Waiter<RawMem>,
        wait: WaitMode,
    ) -> Self {
        let lanes = workers.len() + 1;
        Self {
            local: Lane::new(shared, 0, areas),
            workers,
            bell,
            wait,
            store: Store { lanes: vec![Vec::new(); lanes], turns: Vec::new() },
            frames: Vec::new(),
            uses: vec![LaneUse::default(); lanes],
            stepped_ns: 0,
        }
    }

    /// Accounts of the faults of the last round, in the order of the plan.
    pub(crate) fn faults(&self) -> Vec<FaultAccount> {
        self.local.faults().take()
    }

    /// Whether the thread of `lane` has been stopped.
    pub(crate) fn is_stopped(&self, lane: usize) -> bool {
        lane > 0 && self.workers[lane - 1].thread.is_none()
    }

    /// By lane.
    pub(crate) fn uses(&self) -> &[LaneUse] {
        &self.uses
    }

    /// When the last round had all its results.
    pub(crate) fn stepped_ns(&self) -> u64 {
        self.stepped_ns
    }

    /// The lane on which the agent in slot `index` lives.
    #[inline]
    pub(crate) fn home(&self, index: u32) -> u32 {
        home(index, self.uses.len())
    }

    /// Steps every turn of the core's plan.
    pub(crate) fn step(&mut self, core: &Core) -> Result<&Store, MachineError> {
        self.round(Some(core.epoch()), &Plan(core))?;
        Ok(&self.store)
    }

    /// Digest over the states of `agents`, in this order (SEMANTICS D5): xxh3-128 of address and
    /// state digest of each.
    pub(crate) fn state_digest(&mut self, agents: &[AgentId]) -> Result<Digest, MachineError> {
        self.round(None, &Each { kind: turn::HASH, agents })?;
        let mut hasher = Xxh3Default::new();
        for (position, agent) in agents.iter().enumerate() {
            hasher.update(&agent.to_bits().to_le_bytes());
            hasher.update(&self.store.turn(position).result.digest.to_bytes());
        }
        Ok(Digest::new(hasher.digest128()))
    }

    /// Drops the instances of `agents` and gives their memory back (SEMANTICS A8).
    pub(crate) fn drop_states(&mut self, agents: &[AgentId]) -> Result<(), MachineError> {
        self.round(None, &Each { kind: turn::DROP, agents })
    }

    fn round(&mut self, epoch: Option<u64>, round: &impl Round) -> Result<(), MachineError> {
        self.store.turns.clear();
        self.store.turns.resize(round.len(), ResultLocation::default());
        for words in &mut self.store.lanes {
            words.clear();
        }
        if !self.workers.is_empty() {
            self.dispatch(epoch, round)?;
        }
        let begin = clock::now_ns();
        self.step_own(epoch, round)?;
        let stepped = clock::now_ns();
        self.stepped_ns = stepped;
        self.uses[0].busy_ns += stepped - begin;
        self.uses[0].poll(&self.local);
        if !self.workers.is_empty() {
            self.collect()?;
            self.stepped_ns = clock::now_ns();
            self.uses[0].wait_ns += self.stepped_ns - stepped;
        }
        Ok(())
    }

    fn dispatch(&mut self, epoch: Option<u64>, round: &impl Round) -> Result<(), MachineError> {
        if let Some(epoch) = epoch {
            for at in 0..self.workers.len() {
                self.push(at, |ring| push_begin(ring, epoch))?;
            }
        }
        for position in 0..round.len() {
            let home = self.home(round.agent_slot(position)) as usize;
            if home == 0 {
                continue;
            }
            let mut frames = std::mem::take(&mut self.frames);
            let (command, args) = round.command(position, &mut frames);
            self.push(home - 1, |ring| push_turn(ring, &command, &frames, args))?;
            self.frames = frames;
            self.workers[home - 1].outstanding += 1;
        }
        self.workers.iter_mut().for_each(WorkerHandle::publish);
        Ok(())
    }

    /// Pushes into the ring of worker `at` + 1; where it is full, lets the worker catch up.
    fn push(
        &mut self,
        at: usize,
        push: impl Fn(&mut Producer<RawMem>) -> Result<(), ReserveError>,
    ) -> Result<(), MachineError> {
        loop {
            match push(&mut self.workers[at].commands) {
                Ok(()) => return Ok(()),
                Err(ReserveError::Full { .. }) => {
                    self.workers[at].publish();
                    self.drain()?;
                    self.workers[at].check(at + 1)?;
                    std::thread::yield_now();
                }
                Err(error) => return Err(failed(at + 1, MachineFailure::Ring, error.to_string())),
            }
        }
    }

    fn step_own(&mut self, epoch: Option<u64>, round: &impl Round) -> Result<(), MachineError> {
        let Self { local, store, frames, uses, .. } = self;
        let (lanes, words) = (uses.len(), &mut store.lanes[0]);
        let many = round.len() > CACHED_TURNS;
        guarded(local, |local| {
            if let Some(epoch) = epoch {
                local.begin(epoch);
            }
            for position in 0..round.len() {
                if many {
                    prefetch(local, round, position, lanes);
                }
                if home(round.agent_slot(position), lanes) != 0 {
                    continue;
                }
                let (command, args) = round.command(position, frames);
                store.turns[position] = ResultLocation { lane: 0, offset: words.len() };
                local.execute(&command, frames, args, words)?;
                uses[0].count(command.kind);
            }
            Ok(())
        })
    }

    fn collect(&mut self) -> Result<(), MachineError> {
        loop {
            self.drain()?;
            if self.workers.iter().all(|worker| worker.outstanding == 0) {
                return Ok(());
            }
            let workers = &self.workers;
            let answered = self.bell.wait_at_most(self.wait, POLL, || {
                workers.iter().any(|worker| worker.outstanding > 0 && worker.replies.has_next())
            });
            if !answered {
                for (at, worker) in workers.iter().enumerate() {
                    if worker.outstanding > 0 {
                        worker.check(at + 1)?;
                    }
                }
            }
        }
    }

    /// Takes the replies there are.
    fn drain(&mut self) -> Result<(), MachineError> {
        let Self { workers, store, uses, .. } = self;
        for (at, worker) in workers.iter_mut().enumerate() {
            let lane = at as u32 + 1;
            loop {
                let next = worker.replies.next();
                let next =
                    next.map_err(|error| failed(at + 1, MachineFailure::Ring, error.to_string()))?;
                let Some(record) = next else { break };
                match read_reply(&record, lane)? {
                    Reply::Failed(error) => return Err(error),
                    Reply::Use(used) => uses[at + 1] = used,
                    Reply::Turn { result, effects } => {
                        let words = &mut store.lanes[at + 1];
                        let location = store.turns.get_mut(result.position as usize);
                        // Records begin at multiples of 16 bytes, so the effects are aligned.
                        let (Some(location), Ok(effects)) = (location, try_cast_slice(effects))
                        else {
                            let detail = format!("a reply names position {}", result.position);
                            return Err(failed(at + 1, MachineFailure::Ring, detail));
                        };
                        *location = ResultLocation { lane, offset: words.len() };
                        words.extend_from_slice(cast_slice(&[result]));
                        words.extend_from_slice(effects);
                        worker.outstanding = worker.outstanding.saturating_sub(1);
                    }
                }
            }
            worker.replies.release();
        }
        Ok(())
    }

    /// Stops the workers, once. One that failed has ended already and reads no more.
    pub(crate) fn stop(&mut self) {
        for worker in &mut self.workers {
            loop {
                // Replies of an abandoned round must not keep the worker from its stop.
                while matches!(worker.replies.next(), Ok(Some(_))) {}
                worker.replies.release();
                let pushed = push_stop(&mut worker.commands).is_ok();
                worker.publish();
                if pushed || worker.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                    break;
                }
                std::thread::yield_now();
            }
        }
        for worker in &mut self.workers {
            let Some(thread) = worker.thread.take() else { continue };
            while !thread.is_finished() {
                while matches!(worker.replies.next(), Ok(Some(_))) {}
                worker.replies.release();
                std::thread::yield_now();
            }
            // A worker turns panics into replies; one that still panicked has nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for LanePool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The lane of `lanes` on which the agent in slot `index` lives.
#[inline]
fn home(index: u32, lanes: usize) -> u32 {
    if lanes == 1 { 0 } else { index % lanes as u32 }
}

/// Turns of a microstep up to which what they read stays in the cache from one to the next.
const CACHED_TURNS: usize = 64;
/// Turns between the requests for an agent's place, its seat, its instance, and its turn.
const PREFETCH_TURNS: usize = 4;

/// Asks for what turns after that at `position` will read. Neighbours in the plan often are in slots,
/// and lanes of slots go round, so every `lanes`-th is likely to live here.
#[inline]
fn prefetch(lane: &Lane, round: &impl Round, position: usize, lanes: usize) {
    let after = |turns: usize| {
        let at = position + turns * PREFETCH_TURNS * lanes;
        (at < round.len()).then(|| round.agent_slot(at))
    };
    lane.prefetch(after(1), after(2), after(3));
}

fn failed(lane: usize, failure: MachineFailure, detail: String) -> MachineError {
    MachineError { failure, lane: lane as u32, agent: AgentId::NONE, detail }
}

#[cfg(test)]
mod tests {
    use wasm_engine_shm::bytes::layout;

    use super::*;

    #[test]
    fn t10_2_a_worker_that_ended_without_a_word_is_found() {
        let shape = layout(4096).expect("a ring");
        let ring = || (RawMem::heap(shape.producer_len), RawMem::heap(shape.consumer_len));
        let (commands, replies) = (ring(), ring());
        let mut said = Producer::new(replies.0.clone(), replies.1.clone()).expect("a ring");
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().expect("a signal"));
        let mut worker = WorkerHandle {
            commands: Producer::new(commands.0, commands.1).expect("a ring"),
            replies: Consumer::new(replies.0, replies.1).expect("a ring"),
            bell: Ringer::new(RawMem::heap(wasm_engine_shm::wait::LEN)).expect("a bell"),
            outstanding: 1,
            thread: Some(thread),
        };
        assert_eq!(worker.check(1), Ok(()), "it may still answer");
        said.push(0, 0, b"its last words").expect("there is room");
        said.publish();
        go.send(()).expect("the thread waits");
        while !worker.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            std::thread::yield_now();
        }
        assert_eq!(worker.check(1), Ok(()), "what it said comes first");
        worker.replies.next().expect("a ring").expect("its last words");
        worker.replies.release();
        let error = worker.check(1).expect_err("nothing will come");
        assert_eq!((error.failure, error.lane), (MachineFailure::Panic, 1));
    }
}
