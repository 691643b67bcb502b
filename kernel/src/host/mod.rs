//! A kernel inside another program: the host owns the thread, pushes inputs and executes ticks.
//!
//! ```text
//! Host::builder() -> configuration, modules, callbacks -> start()
//!   push(source, key, payload) -> poll_tick() / tick() / run_until_idle() -> outputs()
//!   next_due() -> sleep or do something else                              -> close()
//! ```
//! Ticks are executed in the thread that calls, and only then does anything happen. A kernel with
//! `kernel.workers = 0`, no models and no log has no thread of its own. The thread that calls needs
//! a stack of at least 2 MiB, as threads of Rust have by default. A [`Host`] may be moved to
//! another thread, and a process may have any number of them.
//!
//! The library sets no subscriber of `tracing`, panic hook, allocator or environment variable, and
//! no signal handler unless [`HostBuilder::signal_handlers`] allows it. A process that forks has
//! the kernel in the parent only: in the child each call is refused with a message.
//!
//! Pushed inputs are facts (SEMANTICS T5.8, T7.6): a run with a log replays and resumes with them,
//! and gives the same results for the same ones in the same ticks. When they are pushed in real
//! time decides in which tick they enter, and nothing else.
//!
//! What is not here: waiting for inputs, which is the host's.

mod builder;
mod command;
mod error;
mod latency;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use wasm_engine_abi::{Digest, Tick};
use wasm_engine_setup::Setup;

use crate::{
    clock,
    report::{Ended, RunReport},
    run::{
        RunError,
        assemble::start,
        halt::Halt,
        kept_outputs::KeptOutputs,
        poll::{Run, RunStep, WaitsFor},
    },
    sources::live::LiveQueue,
};

use self::builder::OnOutput;
pub use self::{
    builder::HostBuilder,
    command::{CommandRefusal, HostCommand},
    error::HostFailure,
    latency::{TickBudget, TickReport},
};
pub use crate::{
    machine::StageTimes,
    report::FaultReport,
    run::{kept_outputs::HostOutput, listener::LogLine},
    sources::PushRefusal,
};
pub use wasm_engine_core::{CommandOutcome, TaskOutcome};

/// Nobody stops a host from outside.
static NEVER: AtomicBool = AtomicBool::new(false);
const NO_HALT: Halt<'static> = Halt { stop: &NEVER, deadline_ns: None };

/// What a poll came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TickPoll {
    /// This tick was executed; its outputs are there.
    Done(Tick),
    /// By the pace the next tick is not due for so long.
    IdleUntil(Duration),
    /// Nothing is due until an input is pushed.
    Idle,
    /// The next tick, or the end of this one, waits for something outside.
    Pending(PendingOn),
    /// No more ticks are executed: `ticks` is reached, or a fault ended the run.
    Ended(Ended),
}

/// What a tick waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PendingOn {
    /// The reply of a model or the outcome of a load, due in this tick.
    Model,
    /// Room in the log, whose disk is slower than the ticks.
    LogSpace,
}

/// One stream of a live source: what [`Host::push_to`] pushes into without looking up names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LiveStream {
    queue: u32,
    stream: u32,
}

/// How a kernel stands between two ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HostSnapshot {
    /// Number of the last tick; none before tick 0.
    pub tick: Option<Tick>,
    /// Ticks executed, those of a resumed log among them.
    pub ticks: u64,
    /// Digest of the last tick (SEMANTICS D3).
    pub digest: Digest,
    /// Fuel chain (SEMANTICS D4).
    pub fuel_digest: Digest,
    /// Agents that exist.
    pub agents: u32,
    /// Agents that have something to do.
    pub runnable: u32,
    /// Inputs that wait for the next tick.
    pub inputs_waiting: u64,
    /// Inputs that entered.
    pub inputs: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Turns that faulted.
    pub faults: u64,
    /// Requests to models whose reply has not been received.
    pub inferences_pending: u32,
    /// The last tick whose facts are on disk; none without a log.
    pub durable_tick: Option<Tick>,
}

/// A kernel in this process. Dropping it ends it as a crash would: what was logged stays, and the
/// log has no end; [`Host::close`] ends it in order.
pub struct Host {
    /// There until it is closed.
    run: Option<Box<Run>>,
    setup: Arc<Setup>,
    on_output: Option<OnOutput>,
    /// Outputs of the present call that `on_output` has heard of.
    heard: usize,
    /// An earlier call has failed.
    failed: bool,
    /// How the run ended by itself.
    ended: Option<Ended>,
    /// The process that started it.
    pid: u32,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl HostBuilder {
    /// Reads what the configuration names, compiles modules, loads models, and with
    /// [`HostBuilder::resume`] executes the log again. Tick 0 is left to the first tick call.
    ///
    /// # Errors
    /// [`HostFailure`].
    pub fn start(mut self) -> Result<Host, HostFailure> {
        let loading_ns = clock::now_ns();
        let (resolved, locations) = self.resolve()?;
        let mut sources = resolved.sources.iter();
        if let Some(source) = sources.find(|source| source.has_reader()) {
            return Err(RunError::LiveFile { id: source.id().to_owned() }.into());
        }
        let physical = resolved.physical.clone();
        let mut started = start(resolved, &physical, locations, NO_HALT)?;
        started.sinks.kept = Some(KeptOutputs::default());
        started.sinks.listener = self.listener;
        let setup = Arc::clone(started.kernel.core().setup());
        let mut run = Box::new(Run::new(started, physical, loading_ns));
        run.kernel.stages.set(self.time_stages);
        Ok(Host {
            run: Some(run),
            setup,
            on_output: self.on_output,
            heard: 0,
            failed: false,
            ended: None,
            pid: std::process::id(),
        })
    }
}

impl Host {
    /// A kernel that is to be started.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// The stream of live source `source` that `key` names; of a source without `keys` that is the
    /// source's id.
    ///
    /// # Errors
    /// [`PushRefusal::UnknownSource`], [`PushRefusal::UnknownKey`], [`PushRefusal::Closed`].
    pub fn stream(&self, source: &str, key: &str) -> Result<LiveStream, PushRefusal> {
        let Some(run) = &self.run else { return Err(closed(source)) };
        let queue = find(run.ingest.live(), source)?;
        let stream = run.ingest.live()[queue].stream(key)?;
        Ok(LiveStream { queue: queue as u32, stream })
    }

    /// Pushes an input, which enters the next tick that has room for it; gives its sequence number
    /// in the source. Copies the payload and allocates nothing.
    ///
    /// # Errors
    /// [`PushRefusal`]; then nothing has changed.
    pub fn push(&mut self, source: &str, key: &str, payload: &[u8]) -> Result<u64, PushRefusal> {
        let feed = self.stream(source, key)?;
        self.push_to(feed, payload)
    }

    /// As [`Host::push`], into a stream that was looked up before.
    ///
    /// # Errors
    /// As [`Host::push`].
    #[inline]
    pub fn push_to(&mut self, feed: LiveStream, payload: &[u8]) -> Result<u64, PushRefusal> {
        if self.is_forked() {
            return Err(PushRefusal::Forked);
        }
        let queue = self.run.as_mut().map(|run| run.ingest.live_mut());
        match queue.and_then(|queues| queues.get_mut(feed.queue as usize)) {
            Some(queue) => queue.push(feed.stream, payload),
            None => Err(closed("of this feed")),
        }
    }

    /// Sequence number that the next input of a live source gets. After resuming it continues
    /// behind the last input that is in the log; what was pushed after that is to be pushed again.
    ///
    /// # Errors
    /// [`PushRefusal::UnknownSource`], [`PushRefusal::Closed`].
    pub fn next_seq(&self, source: &str) -> Result<u64, PushRefusal> {
        let Some(run) = &self.run else { return Err(closed(source)) };
        let queues = run.ingest.live();
        Ok(queues[find(queues, source)?].next_seq())
    }

    /// Closes a live source: it takes no more inputs, and those that wait still enter.
    ///
    /// # Errors
    /// [`PushRefusal::UnknownSource`], [`PushRefusal::Closed`].
    pub fn close_source(&mut self, source: &str) -> Result<(), PushRefusal> {
        let Some(run) = &mut self.run else { return Err(closed(source)) };
        let at = find(run.ingest.live(), source)?;
        run.ingest.live_mut()[at].close();
        Ok(())
    }

    /// Executes at most one tick and never waits for the pace, a model or the log. With worker
    /// threads it waits for their turns; with a log, for room on the way to `outputs.jsonl`.
    ///
    /// # Errors
    /// [`HostFailure`]; the kernel can only be closed then.
    pub fn poll_tick(&mut self) -> Result<TickPoll, HostFailure> {
        self.begin()?;
        Ok(polled(self.step()?))
    }

    /// As [`Host::poll_tick`], but waits for the pace, for models and for the log until a tick was
    /// executed, nothing is due or the run has ended. It returns [`TickPoll::Done`],
    /// [`TickPoll::Idle`] or [`TickPoll::Ended`].
    ///
    /// # Errors
    /// As [`Host::poll_tick`].
    pub fn tick(&mut self) -> Result<TickPoll, HostFailure> {
        self.begin()?;
        loop {
            match self.step()? {
                RunStep::Until(due_ns) => {
                    if let Some(run) = &mut self.run {
                        run.sleep_until(due_ns, NO_HALT);
                    }
                }
                RunStep::Waits(waits_for) => self.wait(waits_for)?,
                step => return Ok(polled(step)),
            }
        }
    }

    /// Executes ticks until nothing is due at once, `ticks_max` were executed or the run has ended;
    /// gives how many were. It waits for models and the log and not for the pace. Without a pace
    /// timers are due at once, and agents that set them for ever are never idle.
    ///
    /// # Errors
    /// As [`Host::poll_tick`].
    pub fn run_until_idle(&mut self, ticks_max: u64) -> Result<u64, HostFailure> {
        self.begin()?;
        let mut ticks = 0;
        while ticks < ticks_max {
            match self.step()? {
                RunStep::Done(_) => ticks += 1,
                RunStep::Waits(waits_for) => self.wait(waits_for)?,
                RunStep::Until(_) | RunStep::Idle | RunStep::Ended(_) => break,
            }
        }
        Ok(ticks)
    }

    /// How long a host may sleep before the next tick is due if nothing is pushed: zero if it is
    /// due now, none if nothing is due at all. A reply of a model may be waited for beyond that.
    pub fn next_due(&mut self) -> Option<Duration> {
        if self.is_forked() || self.failed || self.ended.is_some() {
            return None;
        }
        let due_ns = self.run.as_mut()?.next_due_ns()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(clock::now_ns())))
    }

    /// The messages on output topics of the ticks that the last call executed, in the order of
    /// their commits.
    pub fn outputs(&self) -> impl Iterator<Item = HostOutput<'_>> {
        self.kept().into_iter().flat_map(|kept| kept.iter(&self.setup, 0))
    }

    /// One of [`Host::outputs`], by its position.
    #[must_use]
    pub fn output(&self, at: usize) -> Option<HostOutput<'_>> {
        self.kept()?.iter(&self.setup, at).next()
    }

    /// How the kernel stands; none once it was closed.
    #[must_use]
    pub fn snapshot(&self) -> Option<HostSnapshot> {
        let run = self.run.as_ref()?;
        let core = run.kernel.core();
        let stats = core.stats();
        Some(HostSnapshot {
            tick: (stats.ticks > 0).then(|| core.tick()),
            ticks: stats.ticks,
            digest: core.digest(),
            fuel_digest: core.fuel_digest(),
            agents: core.agents_alive(),
            runnable: core.runnable(),
            inputs_waiting: run.ingest.left() as u64,
            inputs: stats.inputs,
            messages: stats.messages,
            faults: stats.faults,
            inferences_pending: core.requests_pending(),
            durable_tick: run.durable_tick(),
        })
    }

    /// Ends the run: writes and syncs log and outputs, ends all threads, gives back memory and
    /// name. Inputs that wait are dropped. The report's `ended` is `Interrupted` where something
    /// was still due.
    ///
    /// # Errors
    /// [`HostFailure`]; everything is ended then too.
    pub fn close(mut self) -> Result<RunReport, HostFailure> {
        if self.is_forked() {
            return Err(HostFailure::Forked);
        }
        let Some(mut run) = self.run.take() else { return Err(HostFailure::Failed) };
        if self.failed {
            // Whatever it says now comes of the failure that was returned before.
            let _ = run.end(Ok(Ended::Interrupted));
            return Err(HostFailure::Failed);
        }
        let finished = finish_tick(&mut run);
        let due = run.next_due_ns().is_some();
        let ended = self.ended.unwrap_or(if due { Ended::Interrupted } else { Ended::Done });
        Ok(run.end(finished.map(|()| ended))?)
    }

    fn kept(&self) -> Option<&KeptOutputs> {
        self.run.as_ref()?.sinks.kept.as_ref()
    }

    /// A call begins: what it executes replaces the outputs of the call before.
    fn begin(&mut self) -> Result<(), HostFailure> {
        if self.is_forked() {
            return Err(HostFailure::Forked);
        }
        let run = self.run.as_mut().filter(|_| !self.failed).ok_or(HostFailure::Failed)?;
        if !run.has_executed()
            && let Some(kept) = &mut run.sinks.kept
        {
            kept.age();
            run.sinks.kept_commands.clear();
            run.sinks.kept_tasks.clear();
            self.heard = 0;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<RunStep, HostFailure> {
        let Some(run) = &mut self.run else { return Err(HostFailure::Failed) };
        // Until it has returned it has failed: a callback of the host may panic.
        self.failed = true;
        let step = run.poll()?;
        if let Some(kept) = &mut run.sinks.kept {
            kept.renew();
            if let (RunStep::Done(_), Some(on_output)) = (step, &mut self.on_output) {
                kept.iter(&self.setup, self.heard).for_each(|output| on_output(&output));
                self.heard = kept.len();
            }
        }
        if let RunStep::Ended(ended) = step {
            self.ended = Some(ended);
        }
        self.failed = false;
        Ok(step)
    }

    /// Waits for what a step waits for.
    fn wait(&mut self, waits_for: WaitsFor) -> Result<(), HostFailure> {
        let Some(run) = &mut self.run else { return Err(HostFailure::Failed) };
        self.failed = true;
        match waits_for {
            WaitsFor::Model(fact, model) => {
                run.wait_for_model(fact, model, NO_HALT)?;
            }
            WaitsFor::Log => run.wait_for_log()?,
        }
        self.failed = false;
        Ok(())
    }

    #[inline]
    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.is_forked() {
            // Its threads are not here, and its files are the parent's: nothing can be ended.
            std::mem::forget(self.run.take());
        }
    }
}

fn polled(step: RunStep) -> TickPoll {
    match step {
        RunStep::Done(tick) => TickPoll::Done(tick),
        RunStep::Until(due_ns) => {
            TickPoll::IdleUntil(Duration::from_nanos(due_ns.saturating_sub(clock::now_ns())))
        }
        RunStep::Idle => TickPoll::Idle,
        RunStep::Waits(WaitsFor::Model(..)) => TickPoll::Pending(PendingOn::Model),
        RunStep::Waits(WaitsFor::Log) => TickPoll::Pending(PendingOn::LogSpace),
        RunStep::Ended(ended) => TickPoll::Ended(ended),
    }
}

/// Ends the tick under way, if there is one.
fn finish_tick(run: &mut Run) -> Result<(), RunError> {
    while !run.is_between_ticks() {
        run.wait_for_log()?;
        run.poll()?;
    }
    Ok(())
}

fn find(queues: &[LiveQueue], source: &str) -> Result<usize, PushRefusal> {
    let pushed = |queue: &LiveQueue| queue.id() == source && queue.shape().is_pushed();
    let at = queues.iter().position(pushed);
    at.ok_or_else(|| PushRefusal::UnknownSource { source_id: source.to_owned() })
}

fn closed(source: &str) -> PushRefusal {
    PushRefusal::Closed { source_id: source.to_owned() }
}
