//! A run, one tick at a time: which is next, what it waits for, its facts, its records.
//!
//! ```text
//! poll: next tick (T5) -> due by the pace? -> replies there? -> facts -> room in the log?
//!       -> log TickOpen -> kernel.tick -> room? -> log TickClose -> publish
//! ```
//! [`Run::poll`] never waits: it says what it would wait for, and the next call goes on from there.
//! Who drives it waits or does something else: the command waits (`run/mod.rs`), an embedding host
//! does what it likes (`host/`). Everything here is physical: how long it takes, never what comes
//! out.

use std::time::Duration;

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::{
    Tick,
    calls::Status,
    page::stall,
    record::{BudgetFact, LoadFact, ReplyFact, TickClose, kind},
};
use wasm_engine_core::{FactsBuilder, Load, Request, TICK_MAX};
use wasm_engine_inference::InferenceHandle;
use wasm_engine_log::{LogError, LogWriter};
use wasm_engine_shm::header::OwnerState;

use crate::{
    clock, config::OnFault, machine::Kernel, machine::stages::TickStage, report::Ended,
    resolve::Physical, run::assemble::Started, run::error::RunError, run::halt::Halt,
    run::keyframes::Keyframes, run::model_loader::ModelLoader, run::provider_changes,
    run::resume::CaughtUp, run::sinks::Sinks, sources::ingest::Ingest,
};

/// Longest wait for arrivals before it is asked whether the run is to end.
const ARRIVALS_POLL: Duration = Duration::from_millis(50);

/// What a poll came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunStep {
    /// This tick was executed.
    Done(Tick),
    /// The next tick is not due before this time, in nanoseconds of the process's clock.
    Until(u64),
    /// No tick is named: the run is over, unless a live input comes.
    Idle,
    /// The next tick, or the end of this one, waits.
    Waits(WaitsFor),
    /// The run is over.
    Ended(Ended),
}

/// What a model owes a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ModelFact {
    /// The reply to the request of this number.
    Reply(u64),
    /// The outcome of the load of this number.
    Load(u64),
}

/// What a tick waits for (SEMANTICS T10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitsFor {
    /// A fact of this model.
    Model(ModelFact, u32),
    /// Room in the log.
    Log,
}

/// The tick under way.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// None.
    Between,
    /// Its facts are gathered and not yet in the log.
    Gathered(Tick),
    /// It was executed; its end is not yet in the log.
    Executed(TickClose),
}

/// A run.
pub(crate) struct Run {
    pub(crate) kernel: Kernel,
    pub(crate) sinks: Sinks,
    pub(crate) ingest: Ingest,
    pub(crate) log: Option<LogWriter>,
    pub(crate) keyframes: Option<Keyframes>,
    facts: FactsBuilder,
    stage: Stage,
    /// Requests whose reply is due in the tick that is next, how many of the first are there, and
    /// that tick.
    due: Vec<Request>,
    due_there: usize,
    /// Loads whose outcome is due in it.
    loads: Vec<Load>,
    due_tick: Option<Tick>,
    pub(crate) physical: Physical,
    pub(crate) start_ns: u64,
    /// The first tick of this process, which is due at once (T6).
    first_paced: Option<Tick>,
    pub(crate) load_ns: u64,
    pub(crate) caught_up: CaughtUp,
    /// Of each tick from the next on (T2.4).
    pub(crate) budget: Option<BudgetFact>,
    /// Fuel and end of the last tick.
    pub(crate) last: Option<(TickClose, u64)>,
    /// The model whose reply was waited for when the run was ended.
    pub(crate) waited_for: Option<String>,
}

/// The next tick.
#[derive(Clone, Copy, Debug)]
struct NextTick {
    tick: Tick,
    /// A live fact chose it (T5.8).
    chosen: bool,
}

impl Run {
    /// A run whose loading began at `loading_ns`.
    pub(crate) fn new(started: Started, physical: Physical, loading_ns: u64) -> Self {
        let Started { kernel, sinks, ingest, log, keyframes, caught_up, .. } = started;
        let start_ns = clock::now_ns();
        Self {
            kernel,
            sinks,
            ingest,
            log,
            keyframes,
            facts: FactsBuilder::default(),
            stage: Stage::Between,
            due: Vec::new(),
            due_there: 0,
            loads: Vec::new(),
            due_tick: None,
            physical,
            start_ns,
            first_paced: None,
            load_ns: start_ns - loading_ns,
            caught_up,
            budget: None,
            last: None,
            waited_for: None,
        }
    }

    /// Goes on with the run as far as it can without waiting, for at most one tick. With worker
    /// threads it waits for their turns, and with a log for room on the way to the outputs.
    ///
    /// # Errors
    /// [`RunError`]; the run can only be ended then.
    pub(crate) fn poll(&mut self) -> Result<RunStep, RunError> {
        if let Stage::Between = self.stage {
            match self.next()? {
                Ok(next) => self.gather(next)?,
                Err(step) => return Ok(step),
            }
        }
        if let Stage::Gathered(tick) = self.stage
            && !self.execute(tick)?
        {
            return Ok(RunStep::Waits(WaitsFor::Log));
        }
        let Stage::Executed(close) = self.stage else {
            unreachable!("a tick that was gathered was executed");
        };
        if !self.log_close(&close)? {
            return Ok(RunStep::Waits(WaitsFor::Log));
        }
        self.stage = Stage::Between;
        self.kernel.stages.lap(TickStage::Log);
        self.sinks.settle(&mut self.kernel)?;
        self.keyframe(close.tick)?;
        if self.kernel.publish_due() {
            self.publish();
        }
        self.kernel.stages.lap(TickStage::Publish);
        Ok(RunStep::Done(close.tick))
    }

    /// Whether no tick is under way.
    pub(crate) fn is_between_ticks(&self) -> bool {
        matches!(self.stage, Stage::Between)
    }

    /// Whether the tick under way was executed and only its end is not in the log.
    pub(crate) fn has_executed(&self) -> bool {
        matches!(self.stage, Stage::Executed(_))
    }

    /// Whether a fault ends the run. Those before a resumed run ended the run before it.
    pub(crate) fn ends_by_fault(&self) -> bool {
        self.physical.on_fault == OnFault::EndRun && self.sinks.faults.any_new()
    }

    /// The next tick, or what there is in its place.
    fn next(&mut self) -> Result<Result<NextTick, RunStep>, RunError> {
        if self.ends_by_fault() {
            return Ok(Err(RunStep::Ended(Ended::Fault)));
        }
        self.ingest.receive(self.durable_tick());
        let Some(next) = self.next_tick() else { return Ok(Err(RunStep::Idle)) };
        if self.physical.ticks.is_some_and(|end| next.tick >= end) {
            return Ok(Err(RunStep::Ended(Ended::Ticks)));
        }
        if let Some(due_ns) = self.paced_ns(next.tick)
            && clock::now_ns() < due_ns
        {
            return Ok(Err(RunStep::Until(due_ns)));
        }
        Ok(match self.fact_missing(next.tick)? {
            Some(waits_for) => Err(RunStep::Waits(waits_for)),
            None => Ok(next),
        })
    }

    /// When the next tick is due, in nanoseconds of the process's clock, 0 if at once; none if none
    /// is named.
    pub(crate) fn next_due_ns(&mut self) -> Option<u64> {
        if !self.is_between_ticks() {
            return Some(0);
        }
        let next = self.next_tick()?;
        Some(self.paced_ns(next.tick).filter(|due_ns| *due_ns > clock::now_ns()).unwrap_or(0))
    }

    /// T5: the smallest tick that is named. A live input chooses one only where nothing else names
    /// one as early.
    fn next_tick(&mut self) -> Option<NextTick> {
        let core = self.kernel.core_mut();
        let last = core.tick();
        if core.stats().ticks == 0 {
            return Some(NextTick { tick: 0, chosen: false });
        }
        let named = [core.next_tick(), self.ingest.next_due(last)].into_iter().flatten().min();
        if named != Some(last + 1) && self.ingest.live_waits() {
            let live = self.live_tick(last);
            if live <= TICK_MAX && named.is_none_or(|named| live < named) {
                return Some(NextTick { tick: live, chosen: true });
            }
        }
        named.map(|tick| NextTick { tick, chosen: false })
    }

    /// T5: the tick that the clock has reached, at the least the one after the last.
    fn live_tick(&self, last: Tick) -> Tick {
        let Some((pace, first)) = self.physical.pace.zip(self.first_paced) else { return last + 1 };
        let since = clock::now_ns().saturating_sub(self.start_ns) as f64 / 1e9;
        // A clock that has run for ever gives the largest number, and T5.7 refuses it.
        first.saturating_add((since * pace) as u64).max(last + 1)
    }

    /// T6: tick n opens no earlier than start + n / R, in nanoseconds; none without a pace.
    fn paced_ns(&mut self, tick: Tick) -> Option<u64> {
        let pace = self.physical.pace?;
        let first = *self.first_paced.get_or_insert(tick);
        let after = tick.saturating_sub(first) as f64;
        // A tick may be due after the end of time: the conversion and the sum stop there.
        Some(self.start_ns.saturating_add((after * 1e9 / pace) as u64))
    }

    /// The first outcome of a load, then the first reply, that is due in `tick` and not there
    /// (A13, I1).
    fn fact_missing(&mut self, tick: Tick) -> Result<Option<WaitsFor>, RunError> {
        if self.due_tick.replace(tick) != Some(tick) {
            self.kernel.core().requests_due(tick, &mut self.due);
            self.kernel.core().loads_due(tick, &mut self.loads);
            self.due_there = 0;
        }
        for &Load { number: load, model, .. } in &self.loads {
            if !loader(&mut self.sinks).is_done(load)? {
                return Ok(Some(WaitsFor::Model(ModelFact::Load(load), model)));
            }
        }
        while let Some(request) = self.due.get(self.due_there) {
            let inference = inference(&mut self.sinks);
            if !inference.is_ready(request.number)? {
                inference.flush()?;
                let Request { number, model, .. } = *request;
                return Ok(Some(WaitsFor::Model(ModelFact::Reply(number), model)));
            }
            self.due_there += 1;
        }
        Ok(None)
    }

    /// The outcomes of the loads that are due; what was loaded is asked from this tick on.
    fn gather_loads(&mut self, tick: Tick) -> Result<(), RunError> {
        for Load { number, model, .. } in self.loads.drain(..) {
            let status = match loader(&mut self.sinks).take(number) {
                Ok(backend) => {
                    let falls_back = !backend.providers().refused.is_empty();
                    self.kernel.page().model_fallbacks += u64::from(falls_back);
                    inference(&mut self.sinks).install(model, backend)?;
                    Status::Ok
                }
                Err(why) => {
                    let name = self.kernel.core().setup().models[model as usize].full_name();
                    tracing::warn!("model {name} cannot be loaded in tick {tick}: {why}");
                    Status::ModelFailed
                }
            };
            self.facts.push(LoadFact { load: number, model, code: status as i32 }, b"");
        }
        Ok(())
    }

    /// The facts of the next tick, those that are waited for being there: outcomes of loads,
    /// changes of provider, commands, replies in request order (I1), then inputs (T3).
    fn gather(&mut self, next: NextTick) -> Result<(), RunError> {
        self.kernel.stages.begin();
        self.facts.begin(next.tick);
        if next.chosen {
            self.facts.choose();
        }
        self.gather_loads(next.tick)?;
        provider_changes::gather(&self.due, &mut self.sinks, &mut self.facts);
        self.ingest.enter_commands(next.tick, &mut self.facts);
        for request in self.due.drain(..) {
            let Request { agent, seq, model, .. } = request;
            let reply = inference(&mut self.sinks).wait_for(request.number)?;
            let fact = ReplyFact { agent, request: seq, model, code: reply.code };
            self.facts.push(fact, reply.bytes);
        }
        self.due_tick = None;
        self.ingest.enter(next.tick, &mut self.facts);
        if let Some(budget) = self.budget.filter(|_| next.tick > 0) {
            self.facts.push(budget, b"");
        }
        self.kernel.stages.lap(TickStage::Gather);
        self.stage = Stage::Gathered(next.tick);
        Ok(())
    }

    /// Logs the facts that were gathered and executes their tick; false if the log has no room.
    fn execute(&mut self, tick: Tick) -> Result<bool, RunError> {
        let facts = self.facts.finish();
        self.kernel.stages.skip();
        if let Some(log) = &mut self.log {
            if !log.has_room(facts.len())? {
                return Ok(false);
            }
            let tell = &mut |state| self.kernel.set_state(state);
            let waited = append(log, tell, kind::TICK_OPEN, tick, &[facts])?;
            if let Some(ns) = waited {
                self.kernel.count_stall(stall::LOG, tick, ns);
            }
        }
        self.kernel.stages.lap(TickStage::Log);
        let fuel = self.kernel.core().stats().fuel;
        let close = self.kernel.tick(facts, &mut self.sinks)?;
        self.last = Some((close, self.kernel.core().stats().fuel - fuel));
        self.stage = Stage::Executed(close);
        Ok(true)
    }

    /// Logs the end of the tick; false if the log has no room.
    fn log_close(&mut self, close: &TickClose) -> Result<bool, RunError> {
        self.kernel.stages.skip();
        let Some(log) = &mut self.log else { return Ok(true) };
        if !log.has_room(close_bytes(&self.kernel))? {
            return Ok(false);
        }
        let waited = {
            let (digests, mut tell) = self.kernel.closed();
            let parts = [bytes_of(close), cast_slice(digests)];
            append(log, &mut tell, kind::TICK_CLOSE, close.tick, &parts)?
        };
        if let Some(ns) = waited {
            self.kernel.count_stall(stall::LOG, close.tick, ns);
        }
        Ok(true)
    }

    /// Waits until a fact of `model` is there, a counted stall; gives why the run ends if it has to
    /// before.
    pub(crate) fn wait_for_model(
        &mut self,
        fact: ModelFact,
        model: u32,
        halt: Halt<'_>,
    ) -> Result<Option<Ended>, RunError> {
        let begin = clock::now_ns();
        if self.kernel.unpublished() {
            self.kernel.publish();
        }
        self.kernel.set_state(OwnerState::WaitingForModel);
        let mut ended = None;
        let mut stop = || {
            ended = halt.asked();
            ended.is_some()
        };
        let there = match fact {
            ModelFact::Reply(request) => {
                inference(&mut self.sinks).wait_ready(request, &mut stop)?
            }
            ModelFact::Load(load) => loader(&mut self.sinks).wait_for(load, &mut stop)?,
        };
        self.kernel.set_state(OwnerState::Running);
        if !there {
            let models = &self.kernel.core().setup().models;
            self.waited_for = Some(models[model as usize].full_name());
            return Ok(ended);
        }
        let tick = self.due_tick.unwrap_or(self.kernel.core().tick());
        self.kernel.count_stall(stall::MODEL, tick, clock::now_ns() - begin);
        Ok(None)
    }

    /// Waits until the log has room for what the tick under way writes next, a counted stall.
    pub(crate) fn wait_for_log(&mut self) -> Result<(), RunError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let (tick, len) = match self.stage {
            Stage::Between => return Ok(()),
            Stage::Gathered(tick) => (tick, self.facts.finish().len()),
            Stage::Executed(close) => (close.tick, close_bytes(&self.kernel)),
        };
        let begin = clock::now_ns();
        let kernel = &mut self.kernel;
        log.wait_for_room(len, &mut || kernel.set_state(OwnerState::WaitingForLog))?;
        self.kernel.set_state(OwnerState::Running);
        self.kernel.count_stall(stall::LOG, tick, clock::now_ns() - begin);
        Ok(())
    }

    /// Sleeps until `due_ns`, until something arrives for a live source or until the run is to end.
    pub(crate) fn sleep_until(&mut self, due_ns: u64, halt: Halt<'_>) {
        if self.kernel.unpublished() {
            self.publish();
        }
        self.kernel.set_state(OwnerState::Idle);
        let until_ns = due_ns.min(halt.deadline_ns.unwrap_or(u64::MAX));
        if self.ingest.awaits_arrivals() {
            // Nobody wakes it to stop, so it looks.
            let left = Duration::from_nanos(until_ns.saturating_sub(clock::now_ns()));
            self.ingest.wait_for_arrivals(left.min(ARRIVALS_POLL), self.log.is_some());
        } else {
            clock::sleep_until(until_ns, halt.stop);
        }
        self.kernel.set_state(OwnerState::Running);
    }
}

/// What the models of a run that has some are asked by.
fn inference(sinks: &mut Sinks) -> &mut InferenceHandle {
    let Some(inference) = &mut sinks.inference else {
        unreachable!("a run with models has an inference thread");
    };
    inference
}

/// What loads the models of a run that has some.
fn loader(sinks: &mut Sinks) -> &mut ModelLoader {
    let Some(loader) = &mut sinks.loader else {
        unreachable!("a run whose core loads models has who does it");
    };
    loader
}

/// Bytes of the record of the end of the tick that `kernel` closed.
fn close_bytes(kernel: &Kernel) -> usize {
    size_of::<TickClose>() + size_of_val(kernel.core().turn_digests())
}

/// Appends a record; `tell` shows a wait for room to monitors while it lasts. Gives how long it
/// was, in ns.
fn append(
    log: &mut LogWriter,
    tell: &mut dyn FnMut(OwnerState),
    kind: u16,
    tick: Tick,
    parts: &[&[u8]],
) -> Result<Option<u64>, LogError> {
    let mut begin = None;
    log.append_with(kind, tick, parts, &mut || {
        begin = Some(clock::now_ns());
        tell(OwnerState::WaitingForLog);
    })?;
    let waited = begin.map(|begin| clock::now_ns() - begin);
    if waited.is_some() {
        tell(OwnerState::Running);
    }
    Ok(waited)
}
