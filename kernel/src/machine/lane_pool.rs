//! Steps the planned turns of a microstep on all lanes and hands their results to the core.
//!
//! ```text
//!  dispatch: commands of workers' agents into their rings, one doorbell each
//!  step:     the scheduler's own share, on lane 0
//!  collect:  replies, until every turn has one; wait at the scheduler's doorbell
//! ```
//! Lane 0 is the scheduler's own thread; workers are further lanes. Where handing turns over costs
//! more than it saves (`lane_costs.rs`), the scheduler steps all lanes. An agent's home lane is
//! fixed by its slot. Which lane steps a turn, and when, decides nothing: the core reads results by
//! their position in the plan (SEMANTICS T4).
//!
//! A worker that fails says so in a reply, and the run stops at the last closed tick (T10).

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use bytemuck::{cast_slice, try_cast_slice};
use wasm_engine_abi::{
    AgentId, Digest,
    frame::{ItemFrame, turn},
};
use wasm_engine_shm::{
    bytes::{Consumer, Producer, ReserveError},
    mem::RawMem,
    wait::{Ringer, WaitMode, Waiter},
};
use xxhash_rust::xxh3::Xxh3Default;

use crate::clock;
use crate::machine::{
    lane_costs::LaneCosts,
    round::{Each, Plan, ResultLocation, Round, Store, command, home, step_lane},
};
use wasm_engine_core::{Core, Results};
use wasm_engine_guest::{
    Areas, FaultAccount, LaneShared, LaneUse, MachineError, MachineFailure,
    lane::Lane,
    worker::{SharedLane, UsedLane, Worker, guarded},
    worker_codec::{Reply, push_begin, push_stop, push_turn, read_reply},
};

/// Stack of a worker's thread: the guests' and room to spare.
const STACK_BYTES: usize = 4 << 20;

/// How long the scheduler sleeps at most before it looks whether a worker's thread has ended.
const POLL: Duration = Duration::from_millis(20);

/// What the scheduler holds of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) lane: SharedLane,
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
        worker: Worker,
        commands: Producer<RawMem>,
        replies: Consumer<RawMem>,
        bell: Ringer<RawMem>,
        core: Option<core_affinity::CoreId>,
    ) -> std::io::Result<Self> {
        let lane = worker.lane.clone();
        let name = format!("we-lane-{}", lane.lock().lane.number());
        let thread =
            std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
                if let Some(core) = core
                    && core_affinity::set_for_current(core)
                {
                    worker.lane.lock().used.core = core.id as u32;
                }
                worker.run();
            })?;
        Ok(Self { lane, commands, replies, bell, outstanding: 0, thread: Some(thread) })
    }

    fn publish(&mut self) {
        self.commands.publish();
        self.bell.ring();
    }

    fn check(&self, lane: usize) -> Result<(), MachineError> {
        check(self.thread.as_ref(), &self.replies, lane)
    }
}

/// Fails if nothing will come from the worker of `lane` any more: its thread has ended, and all
/// that it said has been taken. It says why it ends, unless its thread could not even begin.
fn check(
    thread: Option<&JoinHandle<()>>,
    replies: &Consumer<RawMem>,
    lane: usize,
) -> Result<(), MachineError> {
    // In this order: what it said last, it said before its end.
    let ended = thread.is_none_or(JoinHandle::is_finished);
    if ended && !replies.has_next() {
        let detail = "its thread ended without a word; give the process more memory";
        return Err(failed(lane, MachineFailure::Panic, detail.to_owned()));
    }
    Ok(())
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct LanePool {
    local: UsedLane,
    /// Lane n is at n − 1.
    workers: Vec<WorkerHandle>,
    bell: Waiter<RawMem>,
    wait: WaitMode,
    store: Store,
    frames: Vec<ItemFrame>,
    uses: Vec<LaneUse>,
    /// The same before the round under way.
    before: Vec<LaneUse>,
    costs: LaneCosts,
    /// By lane: turns of the round under way.
    turns: Vec<u32>,
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
            local: UsedLane::new(Lane::new(shared, 0, areas)),
            workers,
            bell,
            wait,
            store: Store { lanes: vec![Vec::new(); lanes], turns: Vec::new() },
            frames: Vec::new(),
            uses: vec![LaneUse::default(); lanes],
            before: Vec::new(),
            costs: LaneCosts::new(lanes),
            turns: vec![0; lanes],
            stepped_ns: 0,
        }
    }

    /// Accounts of the faults of the last round, in the order of the plan.
    pub(crate) fn faults(&self) -> Vec<FaultAccount> {
        self.local.lane.faults().take()
    }

    /// Whether the thread of `lane` has been stopped.
    pub(crate) fn is_stopped(&self, lane: usize) -> bool {
        lane > 0 && self.workers[lane - 1].thread.is_none()
    }

    /// By lane.
    pub(crate) fn uses(&self) -> &[LaneUse] {
        &self.uses
    }

    /// The scheduler's own thread runs on this core.
    pub(crate) fn ran_on(&mut self, core: u32) {
        self.local.used.core = core;
        self.uses[0].core = core;
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

    /// Appends the state of an agent, between two rounds; false if its lane holds none.
    pub(crate) fn save(
        &mut self,
        agent: AgentId,
        into: &mut Vec<u8>,
    ) -> Result<bool, MachineError> {
        self.with_home(agent, |own| own.lane.save(agent, into))
    }

    /// Lets an incarnation of a template live in its lane, with a state that was saved.
    pub(crate) fn restore(
        &mut self,
        agent: AgentId,
        incarnation: u32,
        template: u32,
        state: &[u8],
    ) -> Result<(), MachineError> {
        let home = self.home(agent.index()) as usize;
        let restore = |own: &mut UsedLane| {
            own.lane.restore(agent, incarnation, template, state)?;
            own.poll();
            Ok(own.used)
        };
        self.uses[home] = match home {
            0 => restore(&mut self.local)?,
            lane => restore(&mut self.workers[lane - 1].lane.lock())?,
        };
        Ok(())
    }

    /// Appends the save point of an agent, between two rounds; false if its lane holds none.
    pub(crate) fn saved(&mut self, agent: AgentId, into: &mut Vec<u8>) -> bool {
        self.with_home(agent, |own| own.lane.saved(agent, into))
    }

    /// Gives an agent of a template a save point that was saved.
    pub(crate) fn restore_saved(
        &mut self,
        agent: AgentId,
        template: u32,
        state: &[u8],
    ) -> Result<(), MachineError> {
        self.with_home(agent, |own| own.lane.restore_saved(agent, template, state))
    }

    /// An incarnation begins with its agent's save point, between two rounds (SEMANTICS A9).
    pub(crate) fn go_back(&mut self, agent: AgentId, incarnation: u32) -> Result<(), MachineError> {
        self.with_home(agent, |own| guarded(&mut own.lane, |lane| lane.go_back(agent, incarnation)))
    }

    /// Drops the save point of an agent that is no more.
    pub(crate) fn forget(&mut self, agent: AgentId) {
        self.with_home(agent, |own| own.lane.forget(agent));
    }

    /// Uses the lane of an agent, between two rounds.
    fn with_home<T>(&mut self, agent: AgentId, what: impl FnOnce(&mut UsedLane) -> T) -> T {
        match self.home(agent.index()) as usize {
            0 => what(&mut self.local),
            lane => what(&mut self.workers[lane - 1].lane.lock()),
        }
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
        self.count(round);
        // States are always hashed by all: each takes microseconds.
        let together = !self.workers.is_empty()
            && match epoch {
                Some(_) => self.costs.pays(&self.turns),
                None => self.turns.iter().skip(1).any(|turns| *turns > 0),
            };
        if together { self.step_together(epoch, round) } else { self.step_alone(epoch, round) }
    }

    /// Finds the lane of each turn, and counts the turns of each lane.
    fn count(&mut self, round: &impl Round) {
        self.turns.fill(0);
        if self.workers.is_empty() {
            self.turns[0] = round.len() as u32;
            return;
        }
        for position in 0..round.len() {
            let lane = self.home(round.agent_slot(position));
            self.store.turns[position].lane = lane;
            self.turns[lane as usize] += 1;
        }
    }

    /// Every lane is stepped by its own thread.
    fn step_together(
        &mut self,
        epoch: Option<u64>,
        round: &impl Round,
    ) -> Result<(), MachineError> {
        let begin = clock::now_ns();
        self.before.clone_from(&self.uses);
        self.dispatch(epoch, round)?;
        let handed_over = clock::now_ns();
        let with_turns = self.workers.iter_mut().filter(|worker| worker.outstanding > 0);
        with_turns.for_each(WorkerHandle::publish);
        let begun = clock::now_ns();
        let Self { local, store, frames, .. } = self;
        step_lane(local, epoch, round, 0, store, frames)?;
        let stepped = clock::now_ns();
        self.collect()?;
        self.stepped_ns = clock::now_ns();
        self.local.used.busy_ns += stepped - begun;
        self.local.used.wait_ns += self.stepped_ns - stepped;
        self.local.poll();
        self.uses[0] = self.local.used;
        if epoch.is_some() {
            self.costs.stepped(0, self.turns[0], stepped - begun);
            for (lane, (used, before)) in self.uses.iter().zip(&self.before).enumerate().skip(1) {
                // Where the ring had no room for them, counts are of an earlier round.
                let turns = used.turns.saturating_sub(before.turns) as u32;
                self.costs.stepped(lane, turns, used.busy_ns.saturating_sub(before.busy_ns));
            }
            self.costs.together(&self.turns, handed_over - begin, self.stepped_ns - begin);
        }
        Ok(())
    }

    /// The scheduler steps every lane; the workers wait.
    fn step_alone(&mut self, epoch: Option<u64>, round: &impl Round) -> Result<(), MachineError> {
        let Self { local, workers, store, frames, uses, turns, costs, stepped_ns, .. } = self;
        *stepped_ns = clock::now_ns();
        let mut step = |own: &mut UsedLane, lane: usize| {
            step_lane(own, epoch, round, lane, store, frames)?;
            let begin = std::mem::replace(stepped_ns, clock::now_ns());
            let took_ns = *stepped_ns - begin;
            own.used.busy_ns += took_ns;
            own.poll();
            uses[lane] = own.used;
            if epoch.is_some() {
                costs.stepped(lane, turns[lane], took_ns);
            }
            Ok(())
        };
        step(local, 0)?;
        for (at, worker) in workers.iter().enumerate() {
            step(&mut worker.lane.lock(), at + 1)?;
        }
        Ok(())
    }

    /// Writes the commands of all workers; they are yet to be published.
    fn dispatch(&mut self, epoch: Option<u64>, round: &impl Round) -> Result<(), MachineError> {
        if let Some(epoch) = epoch {
            for at in 0..self.workers.len() {
                // A worker without turns hears nothing, so that it does not take its lane.
                if self.turns[at + 1] > 0 {
                    self.push(at, |ring| push_begin(ring, epoch))?;
                }
            }
        }
        for position in 0..round.len() {
            let home = self.store.turns[position].lane as usize;
            if home == 0 {
                continue;
            }
            let mut frames = std::mem::take(&mut self.frames);
            let (command, args) = command(round, position, self.uses.len(), &mut frames);
            self.push(home - 1, |ring| push_turn(ring, &command, &frames, args))?;
            self.frames = frames;
            self.workers[home - 1].outstanding += 1;
        }
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
        let replies = ring();
        let mut said = Producer::new(replies.0.clone(), replies.1.clone()).expect("a ring");
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().expect("a signal"));
        let mut heard = Consumer::new(replies.0, replies.1).expect("a ring");
        assert_eq!(check(Some(&thread), &heard, 1), Ok(()), "it may still answer");
        said.push(0, 0, b"its last words").expect("there is room");
        said.publish();
        go.send(()).expect("the thread waits");
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(check(Some(&thread), &heard, 1), Ok(()), "what it said comes first");
        heard.next().expect("a ring").expect("its last words");
        heard.release();
        let error = check(Some(&thread), &heard, 1).expect_err("nothing will come");
        assert_eq!((error.failure, error.lane), (MachineFailure::Panic, 1));
    }
}
