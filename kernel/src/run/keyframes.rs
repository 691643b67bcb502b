//! Keyframes of a run: made while it goes on, and what a run goes on from (SEMANTICS L9).
//!
//! Physical: when one is made, and whether, decides nothing. The scheduler copies what changed
//! between two ticks and hands it to a thread; while that writes, no other is begun, nor while the
//! last copy took more than a twentieth of the time since.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use wasm_engine_abi::{
    Tick,
    record::{TickClose, kind},
};
use wasm_engine_guest::MachineError;
use wasm_engine_log::{
    LogError, LogOptions, LogReader, LogReport,
    keyframes::{
        Keyframe, KeyframeCounts, KeyframeTerms, KeyframeWriter, read_keyframe, remove_keyframe,
        ticks_of_keyframes,
    },
    outputs::{LastOutputs, OutputFile},
    run_header::RunHeader,
    storage::disk::Disk,
};
use wasm_engine_setup::ProviderUse;

use crate::{
    clock,
    config::LogConfig,
    machine::{Kernel, checkpoint::RestoreError},
    report::FaultReport,
    run::sinks::Sinks,
    sources::ingest::{Ingest, IngestState},
};

/// What a keyframe holds beside core and agents.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RunState {
    ingest: IngestState,
    output_lines: u64,
    commands: u64,
    commands_refused: u64,
    last: LastOutputs,
    providers: Vec<ProviderUse>,
    first_fault: Option<FaultReport>,
}

/// Why a run cannot go on from a keyframe that is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FromKeyframeError {
    /// Core or agents.
    #[error("the keyframe of tick {tick} cannot be used; remove it and try again")]
    Restore {
        /// Its tick.
        tick: Tick,
        /// Why not.
        #[source]
        source: RestoreError,
    },
    /// The rest.
    #[error("the keyframe of tick {tick} holds where other sources stood; remove it and try again")]
    Run {
        /// Its tick.
        tick: Tick,
    },
}

/// What a keyframe of the log of this id must be of.
fn terms(header: &RunHeader, run_id: [u8; 16]) -> KeyframeTerms {
    KeyframeTerms { run_id, engine: header.engine.to_string() }
}

/// Makes keyframes of a run.
#[derive(Debug)]
pub(crate) struct Keyframes {
    writer: KeyframeWriter,
    /// Executed ticks between two, and since the last one.
    every: u64,
    since: u64,
    /// From when on the copies have taken no more than their part of the time.
    not_before_ns: u64,
    /// It was said that one could not be written.
    said: bool,
}

/// Copies take at most this part of the time: where a state is large they are made less often.
const COPIES_PART: u64 = 20;

impl Keyframes {
    /// Those of the run whose log is in `options.dir`; none where the configuration wants none or
    /// the system gives no thread.
    pub(crate) fn start(
        options: &LogOptions,
        log: &LogConfig,
        header: &RunHeader,
        run_id: [u8; 16],
        kernel: &mut Kernel,
    ) -> Option<Self> {
        if log.keyframe_ticks == 0 {
            return None;
        }
        let storage = Arc::new(Disk::new(&options.dir));
        match KeyframeWriter::start(storage, terms(header, run_id), log.keyframes_max as usize) {
            Ok(writer) => {
                kernel.mark_changes();
                Some(Self {
                    writer,
                    every: log.keyframe_ticks,
                    since: 0,
                    not_before_ns: 0,
                    said: false,
                })
            }
            Err(error) => {
                tracing::warn!("there will be no keyframes: their thread cannot start: {error}");
                None
            }
        }
    }

    /// A tick was closed, and its end is in the log: makes a keyframe if one is due and none is
    /// being written.
    pub(crate) fn closed(
        &mut self,
        kernel: &mut Kernel,
        ingest: &Ingest,
        sinks: &Sinks,
        durable: impl FnOnce() -> Option<Tick>,
    ) -> Result<(), MachineError> {
        self.since += 1;
        if self.since < self.every {
            return Ok(());
        }
        let begin_ns = clock::now_ns();
        if begin_ns < self.not_before_ns {
            return Ok(());
        }
        let Some(mut job) = self.writer.job() else { return Ok(()) };
        self.tell();
        self.since = 0;
        kernel.checkpoint(&mut job)?;
        let state = RunState {
            ingest: ingest.state(),
            output_lines: sinks.output_lines,
            commands: sinks.commands,
            commands_refused: sinks.commands_refused,
            last: sinks.last.clone(),
            providers: sinks.providers.iter().map(|used| ProviderUse::clone(used)).collect(),
            first_fault: sinks.faults.first.clone(),
        };
        job.keyframe.run.clear();
        if let Err(error) = serde_json::to_writer(&mut job.keyframe.run, &state) {
            unreachable!("where sources stand is numbers, texts and lists of them: {error}");
        }
        job.durable = durable();
        self.writer.write(job);
        let end_ns = clock::now_ns();
        self.not_before_ns = end_ns.saturating_add((end_ns - begin_ns) * COPIES_PART);
        Ok(())
    }

    /// Says once why one could not be written: the run goes on without.
    fn tell(&mut self) {
        if let Some(error) = self.writer.take_failure()
            && !std::mem::replace(&mut self.said, true)
        {
            tracing::warn!("a keyframe was not written, the run goes on without it: {error}");
        }
    }

    /// Waits for the one being written; what was written.
    pub(crate) fn finish(&mut self) -> KeyframeCounts {
        self.writer.finish();
        self.tell();
        self.writer.counts()
    }
}

/// The newest keyframe in `dir` that can be read, that the log stands behind and up to which
/// `outputs` reach; `reader` and these are then behind its tick, else at the start. Of those that
/// are passed over it is said why.
///
/// With `clear`, keyframes of ticks that the log did not close are removed: the run will come to
/// these ticks again, and may come to something else.
pub(crate) fn newest(
    dir: &Path,
    header: &RunHeader,
    report: &LogReport,
    reader: &mut LogReader,
    mut outputs: Option<&mut OutputFile>,
    clear: bool,
) -> Result<Option<FoundKeyframe>, LogError> {
    let storage = Disk::new(dir);
    let last = report.opened.and_then(|tick| tick.checked_sub(u64::from(!report.closed)));
    let mut ticks = ticks_of_keyframes(&storage).unwrap_or_else(|error| {
        tracing::warn!("keyframes are passed over: {error}");
        Vec::new()
    });
    let closed = ticks.partition_point(|tick| last.is_some_and(|last| *tick <= last));
    for tick in ticks.drain(closed..).filter(|_| clear) {
        if let Err(error) = remove_keyframe(&storage, tick) {
            tracing::warn!("a keyframe of a tick that is not in the log stays: {error}");
        }
    }
    let terms = terms(header, report.run_id);
    while let Some(tick) = ticks.pop() {
        let why = match read_keyframe(&storage, tick, &terms) {
            Ok(keyframe) if stands_behind(&keyframe, reader)? => {
                match FoundKeyframe::new(keyframe, dir, outputs.as_deref_mut()) {
                    Ok(found) => return Ok(Some(found)),
                    Err(why) => why,
                }
            }
            Ok(_) => "the log differs".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("the keyframe of tick {tick} is passed over: {why}");
        reader.rewind();
    }
    Ok(None)
}

/// A keyframe from which a run can go on.
pub(crate) struct FoundKeyframe {
    keyframe: Keyframe,
    state: RunState,
}

impl FoundKeyframe {
    /// Puts `outputs`, whose file is in `dir`, behind its tick; or says why it cannot be used.
    fn new(
        keyframe: Keyframe,
        dir: &Path,
        outputs: Option<&mut OutputFile>,
    ) -> Result<Self, String> {
        let state: RunState = serde_json::from_slice(&keyframe.run)
            .map_err(|error| format!("what it holds of sources and counts is unknown: {error}"))?;
        let reach =
            |outputs: &mut OutputFile| outputs.begin_at(dir, keyframe.tick + 1, state.output_lines);
        match outputs.map_or(Ok(true), reach) {
            Ok(true) => Ok(Self { keyframe, state }),
            Ok(false) => Err("outputs from before it are missing, and are made again".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn tick(&self) -> Tick {
        self.keyframe.tick
    }
}

/// Reads the log up to the end of the keyframe's tick; whether it closed that tick as the keyframe
/// says.
fn stands_behind(keyframe: &Keyframe, reader: &mut LogReader) -> Result<bool, LogError> {
    while let Some(record) = reader.next()? {
        if record.kind != kind::TICK_CLOSE || record.tick < keyframe.tick {
            continue;
        }
        let head = record.payload.get(..size_of::<TickClose>());
        let close: Option<TickClose> = head.map(bytemuck::pod_read_unaligned);
        let same = close.is_some_and(|close| close.digest == keyframe.digest);
        return Ok(record.tick == keyframe.tick && same);
    }
    Ok(false)
}

/// Puts kernel, sources and sinks where a keyframe has them, sources only where there are some;
/// gives where these stood.
pub(crate) fn restore(
    found: FoundKeyframe,
    kernel: &mut Kernel,
    ingest: Option<&mut Ingest>,
    sinks: &mut Sinks,
) -> Result<IngestState, FromKeyframeError> {
    let FoundKeyframe { keyframe, state } = found;
    let tick = keyframe.tick;
    let restored = kernel.restore(&keyframe.core, &keyframe.agents);
    restored.map_err(|source| FromKeyframeError::Restore { tick, source })?;
    let RunState {
        ingest: at,
        output_lines,
        commands,
        commands_refused,
        last,
        providers,
        first_fault,
    } = state;
    for (now, then) in sinks.providers.iter_mut().zip(providers) {
        *now = Arc::new(then);
    }
    (sinks.output_lines, sinks.last) = (output_lines, last);
    (sinks.commands, sinks.commands_refused) = (commands, commands_refused);
    sinks.faults.first = first_fault;
    let fits = ingest.is_none_or(|ingest| ingest.begin_at(at.clone()));
    if fits { Ok(at) } else { Err(FromKeyframeError::Run { tick }) }
}
