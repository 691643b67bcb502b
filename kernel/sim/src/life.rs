//! One process of a run: begins or resumes the log, executes ticks, ends or is killed.

use std::sync::Arc;

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::{
    Tick,
    frame::fault,
    page::event,
    record::{TickClose, kind},
};
use wasm_engine_core_scripts::{Machine, Out, Rig, Scripted};
use wasm_engine_log::{
    Ending, LogError, LogOptions, LogReader, LogReport, LogRing, LogWriter, SyncPolicy, resume_in,
    storage::memory::{EIO, ENOSPC, Fault, Memory, Operation},
};
use wasm_engine_telemetry::publisher::log_counter_specs;

use crate::{
    clock,
    coverage::Point,
    observed::{ExecutedTick, SeedRun, WrongPart},
    world::{World, next_tick, scene},
};

const NS_PER_MS: u64 = 1_000_000;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With the run.
    Closed,
    /// Before it.
    Gone,
}

/// Where in a tick the process is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kill {
    BeforeOpen,
    Waiting,
    Opened,
    Executed,
}

/// What happens to a process.
#[derive(Debug)]
struct Lot {
    kill: Option<(u64, Kill)>,
    /// Its log's thread does nothing but where it must.
    stands: bool,
    sync: SyncPolicy,
}

impl Lot {
    fn choose(run: &mut SeedRun, calm: bool) -> Self {
        run.armed.clear();
        let mix = &mut run.mix;
        let sync = match mix.below(6) {
            0 => SyncPolicy::None,
            1 => SyncPolicy::EveryMs(0),
            2 => SyncPolicy::EveryMs(2),
            3 => SyncPolicy::EveryMs(10),
            _ => SyncPolicy::EveryBytes(500 << mix.below(6)),
        };
        let stands = mix.below(6) == 0;
        let mut kill = None;
        match mix.below(10) {
            _ if calm => {}
            0 | 1 => {
                let operation = match mix.below(6) {
                    0 => Some(Operation::Append),
                    1 => Some(Operation::Sync),
                    2 => Some(Operation::Create),
                    3 => Some(Operation::SyncDir),
                    _ => None,
                };
                let code = if mix.below(2) == 0 { EIO } else { ENOSPC };
                let after = mix.below(if operation.is_none() { 90 } else { 12 });
                run.storage.fail(Fault { operation, after, code });
                run.armed = vec![if code == EIO { Point::DiskFails } else { Point::DiskFull }];
                if operation == Some(Operation::Append) {
                    run.armed.push(Point::ShortWrite);
                }
            }
            2 | 3 => run.storage.stop_after(mix.below(120)),
            4 => {}
            _ => {
                let kinds = [Kill::BeforeOpen, Kill::Waiting, Kill::Opened, Kill::Executed];
                kill = Some((mix.below(8), kinds[mix.below(4) as usize]));
            }
        }
        Self { kill, stands, sync }
    }
}

/// A process at work.
struct Life<'a> {
    run: &'a mut SeedRun,
    lot: Lot,
    world: World,
    rig: Rig<Scripted>,
    log: LogWriter,
}

/// Lets a process live until `ticks` ticks are executed or something ends it; with `calm` nothing
/// does.
pub(crate) fn live(run: &mut SeedRun, life: u64, ticks: usize, calm: bool) -> Result<End, String> {
    let lot = Lot::choose(run, calm);
    let Some(mut life) = begin(run, lot, life)? else { return Ok(End::Gone) };
    let mut executed = 0;
    while life.run.history.len() < ticks {
        if !life.tick(executed)? {
            return Ok(End::Gone);
        }
        executed += 1;
    }
    life.close()
}

fn options(run: &mut SeedRun, sync: SyncPolicy) -> LogOptions {
    let block_bytes = 256 << run.mix.below(4);
    let segment_bytes = 64 + (block_bytes as u64) * (1 + run.mix.below(6));
    LogOptions { sync, block_bytes, segment_bytes, stepped: true, ..LogOptions::new("unused") }
}

/// Begins the log or goes on with it; none if the disk or the machine ended that.
fn begin(run: &mut SeedRun, lot: Lot, life: u64) -> Result<Option<Life<'_>>, String> {
    let options = options(run, lot.sync);
    let ring = || LogRing::heap(4096, &log_counter_specs(), clock::now_ns).expect("a power of two");
    let storage = Arc::new(run.storage.clone());
    let world = World::new(run.seed, life);
    let rig = Rig::<Scripted>::with_workers(&scene(run.seed), (life % 3) as u32);
    if run.storage.content("000000.log").is_some() {
        match resume_in(storage, &options, ring()) {
            Ok((reader, report, log)) => {
                (run.unpromised, run.never_syncs) = (false, lot.sync == SyncPolicy::None);
                let mut life = Life { run, lot, world, rig, log };
                return Ok(life.catch_up(reader, &report)?.then_some(life));
            }
            Err(LogError::Corrupt { .. } | LogError::MissingSegment { .. }) if run.unpromised => {
                run.replace(Memory::new("run"));
            }
            Err(LogError::Empty { .. } | LogError::NoLog { .. }) if run.written.is_none() => {
                run.replace(Memory::new("run"));
            }
            Err(error) => return excused(run, &error, true).map(|()| None),
        }
    } else if run.written.is_some() {
        return Err(format!("tick {:?} was durable, and there is no log", run.written));
    } else if run.storage.count() > 0 {
        run.replace(Memory::new("run"));
    }
    run.met.add(Point::BegunAnew, u64::from(life > 0));
    run.history.clear();
    (run.unpromised, run.never_syncs) = (false, lot.sync == SyncPolicy::None);
    let storage = Arc::new(run.storage.clone());
    let run_id = *b"a simulated run.";
    let log = LogWriter::create_in(storage, &options, run_id, ring());
    let log = log.and_then(|mut log| {
        log.append(kind::RUN, 0, &[&run.seed.to_le_bytes(), &[7; 300]])?;
        Ok(log)
    });
    match log {
        Ok(log) => Ok(Some(Life { run, lot, world, rig, log })),
        Err(error) => excused(run, &error, false).map(|()| None),
    }
}

/// An error is one that a failing disk gives, and the disk failed.
fn excused(run: &mut SeedRun, error: &LogError, resuming: bool) -> Result<(), String> {
    let source = match error {
        LogError::Disk { source, .. } | LogError::Read { source, .. } => source,
        error => return Err(format!("{error}, and no disk failed")),
    };
    let stopped = run.storage.has_stopped();
    if run.storage.has_failed() {
        std::mem::take(&mut run.armed).into_iter().for_each(|point| run.met.hit(point));
    }
    if !(stopped || run.storage.has_failed()) {
        return Err(format!("{error}, and the disk did not fail"));
    }
    if !matches!(source.raw_os_error(), Some(EIO | ENOSPC)) {
        return Err(format!("{error}: that is not what the disk said"));
    }
    if let LogError::Disk { durable, .. } = error
        && *durable < run.durable
    {
        return Err(format!("{error}, but tick {:?} was durable before", run.durable));
    }
    run.met.hit(match (stopped, resuming) {
        (true, true) => Point::KillResuming,
        (true, false) => Point::KillOperation,
        (false, true) => Point::FaultResuming,
        (false, false) => return Ok(()),
    });
    Ok(())
}

impl Life<'_> {
    /// Executes the log again and compares it with what happened; false if the process ended.
    fn catch_up(&mut self, mut reader: LogReader, report: &LogReport) -> Result<bool, String> {
        let (met, found) = (&mut self.run.met, report.opened);
        met.hit(Point::Resumed);
        met.add(Point::Torn, u64::from(matches!(report.ending, Ending::Torn(_))));
        if found < self.run.written {
            return Err(format!("{report}, but tick {:?} was durable", self.run.written));
        }
        let mut at = 0;
        loop {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => return excused(self.run, &error, true).map(|()| false),
            };
            match record.kind {
                kind::TICK_OPEN => {
                    let facts = record.payload.to_vec();
                    self.again(at, &facts)?;
                    at += 1;
                }
                kind::TICK_CLOSE => {
                    let close = self.close_bytes();
                    if record.payload != close {
                        return Err(format!("replayed, tick {} closes otherwise", record.tick));
                    }
                }
                _ => {}
            }
        }
        let lost = self.run.history.len() > at;
        self.run.met.add(Point::LostTick, u64::from(lost));
        self.run.history.truncate(at);
        let result = match report.opened {
            Some(tick) if !report.closed => {
                self.run.met.hit(Point::Redone);
                self.append_close(tick)
            }
            _ => Ok(()),
        };
        self.went(result)
    }

    /// Executes a logged tick, which must be what happened.
    fn again(&mut self, at: usize, facts: &[u8]) -> Result<(), String> {
        let Some(known) = self.run.history.get(at) else {
            return Err(format!("the log has a tick of number {at} that was never executed"));
        };
        let tick = known.tick;
        if known.facts != facts {
            return Err(format!("the log has other facts of tick {tick} than were given"));
        }
        let executed = self.execute(facts)?;
        let known = &mut self.run.history[at];
        match &known.close {
            Some(before) if *before != executed => {
                Err(format!("tick {tick}, executed again, is not what it was"))
            }
            _ => {
                known.close = Some(executed);
                Ok(())
            }
        }
    }

    fn execute(&mut self, facts: &[u8]) -> Result<(TickClose, Vec<Out>), String> {
        let before = self.rig.sink.outputs.len();
        let close = self.rig.feed(facts).map_err(|error| format!("facts are refused: {error}"))?;
        self.world.pass(facts);
        Ok((close, self.rig.sink.outputs[before..].to_vec()))
    }

    fn close_bytes(&self) -> Vec<u8> {
        let close = self.rig.closes.last().expect("a tick was executed");
        let turns = cast_slice(self.rig.core().turn_digests());
        [bytes_of(close), turns].concat()
    }

    fn append_close(&mut self, tick: Tick) -> Result<(), LogError> {
        let bytes = self.close_bytes();
        self.log.append(kind::TICK_CLOSE, tick, &[&bytes])
    }

    /// Whether the process goes on behind what was tried.
    fn went(&mut self, result: Result<(), LogError>) -> Result<bool, String> {
        let result = result.and_then(|()| self.log.check());
        self.note_durable();
        match result {
            Ok(()) => Ok(true),
            Err(error) => excused(self.run, &error, false).map(|()| false),
        }
    }

    /// What the log says to be durable is believed.
    fn note_durable(&mut self) {
        let durable = self.log.durable().get();
        self.run.written = self.run.written.max(durable);
        if self.lot.sync != SyncPolicy::None {
            self.run.durable = self.run.durable.max(durable);
        }
    }

    /// Time passes, and the log's thread works or not.
    fn pass_time(&mut self) {
        let mix = &mut self.run.mix;
        if mix.below(40) == 0 {
            self.run.met.hit(Point::ClockJump);
            clock::advance(3_600_000 * NS_PER_MS);
        }
        clock::advance(mix.below(4 * NS_PER_MS));
        let steps = if self.lot.stands { 0 } else { mix.below(3) };
        for _ in 0..steps {
            self.log.step();
            self.note_durable();
        }
    }

    /// Whether the process is killed here.
    fn is_killed(&mut self, executed: u64, kill: Kill, point: Point) -> bool {
        let killed = self.lot.kill == Some((executed, kill));
        self.run.met.add(point, u64::from(killed));
        killed
    }

    /// Executes the next tick; false if the process ended.
    fn tick(&mut self, executed: u64) -> Result<bool, String> {
        if self.is_killed(executed, Kill::BeforeOpen, Point::KillBeforeOpen) {
            return Ok(false);
        }
        let tick = next_tick(&mut self.rig);
        if !self.wait_for_models(tick, executed) {
            return Ok(false);
        }
        let (core, sink) = (self.rig.machine.core(), &self.rig.sink);
        let facts = self.world.facts(tick, core, sink, &mut self.run.met);
        self.run.history.push(ExecutedTick { tick, facts: facts.clone(), close: None });
        let mut logged = facts.clone();
        if self.run.mutant == Some(WrongPart::OtherFacts)
            && let Some(last) = logged.last_mut()
        {
            *last ^= 1;
        }
        let appended = self.log.append(kind::TICK_OPEN, tick, &[&logged]);
        if !self.went(appended)? {
            return Ok(false);
        }
        if self.run.mutant == Some(WrongPart::ReportEarly) {
            (self.run.durable, self.run.written) = (Some(tick), Some(tick));
        }
        self.pass_time();
        if self.is_killed(executed, Kill::Opened, Point::KillOpened) {
            return Ok(false);
        }
        let done = self.execute(&facts)?;
        self.run.history.last_mut().expect("it was pushed").close = Some(done);
        self.note_events(tick);
        if self.is_killed(executed, Kill::Executed, Point::KillExecuted) {
            return Ok(false);
        }
        let appended = self.append_close(tick);
        let goes_on = self.went(appended)?;
        self.pass_time();
        let stalled = self.lot.stands && self.log.stalls() > 0;
        self.run.met.add(Point::ThreadStopped, u64::from(stalled));
        Ok(goes_on && self.went(Ok(()))?)
    }

    /// The tick waits for models that are late; false if one never answers.
    fn wait_for_models(&mut self, tick: Tick, executed: u64) -> bool {
        let mut due = Vec::new();
        self.rig.core().requests_due(tick, &mut due);
        if due.is_empty() {
            return !self.is_killed(executed, Kill::Waiting, Point::KillBeforeOpen);
        }
        if self.is_killed(executed, Kill::Waiting, Point::ModelHangs) {
            return false;
        }
        if self.run.mix.below(3) == 0 {
            self.run.met.hit(Point::ModelLate);
            for _ in 0..3 {
                self.pass_time();
            }
        }
        true
    }

    fn note_events(&mut self, tick: Tick) {
        let met = &mut self.run.met;
        let events = self.rig.machine.events().iter().rev();
        for event in events.take_while(|event| event.tick == tick) {
            match event.kind {
                event::FAULTED if event.a == u64::from(fault::OUT_OF_FUEL) => {
                    met.hit(Point::AgentFuel);
                }
                event::FAULTED if event.a == u64::from(fault::CALL_DEPTH) => {
                    met.hit(Point::AgentDepth);
                }
                event::FAULTED => met.hit(Point::AgentTrap),
                event::RESTARTED => met.hit(Point::AgentRestart),
                event::REFUSED => met.hit(Point::Refused),
                event::DROPPED => met.hit(Point::Dropped),
                _ => {}
            }
        }
    }

    fn close(self) -> Result<End, String> {
        let Self { run, log, .. } = self;
        let last = run.history.last().map(|done| done.tick);
        match log.close() {
            Ok(durable) if durable == last => {
                (run.durable, run.written) = (last, last);
                Ok(End::Closed)
            }
            Ok(durable) => Err(format!("closed behind {last:?}, the log says {durable:?}")),
            Err(error) => excused(run, &error, false).map(|()| End::Gone),
        }
    }
}
