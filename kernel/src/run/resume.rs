//! Goes on with a logged run: executes it again from its last keyframe up to its end, or from its
//! start where there is none, then hands it over live.
//!
//! Executing again means the same code as replay, but the inputs are taken from the sources and
//! compared with the logged ones: so the sources stand where the run ended, and data that changed
//! since is refused instead of giving a run that no replay would confirm (SEMANTICS L5). Live
//! inputs are taken from the log, and their sources number on behind them.

use std::collections::BTreeSet;

use bytemuck::{bytes_of, cast_slice};
use wasm_engine_abi::{
    Tick,
    record::{FactFields, Facts, kind},
};

use crate::{
    exit::{Exit, HasExitCode},
    machine::{Kernel, TickError},
    report::{Divergence, FuelDifference},
    run::closing::compare_close,
    run::halt::Halt,
    run::keyframes::{self, FoundKeyframe, FromKeyframeError},
    run::model_loader::LoaderError,
    run::models::ModelsError,
    run::sinks::{ShownLines, SinkError, Sinks},
    sources::ingest::Ingest,
};
use wasm_engine_core::{FactsBuilder, first_digest};
use wasm_engine_inference::{InferenceError, InferenceHandle};
use wasm_engine_log::{
    self, Ending, LogError, LogOptions, LogRing, LogWriter,
    outputs::{OutputError, OutputFile},
    run_header::{RunHeader, RunHeaderError},
};
use wasm_engine_setup::LoadOn;

/// Why a run cannot be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the log says before tick 0.
    #[error(transparent)]
    RunHeader(#[from] RunHeaderError),
    /// Another configuration.
    #[error(
        "this configuration is not the one that the log was begun with: {what} differs; resume \
         with the same configuration, modules and models"
    )]
    Other {
        /// What differs.
        what: &'static str,
    },
    /// Another engine.
    #[error("the log was written with engine \"{logged}\", this is \"{here}\"; use that version")]
    Engine {
        /// The log's.
        logged: String,
        /// This one's.
        here: String,
    },
    /// Another library, class of processor or settings of a model.
    #[error(
        "model {name} ran on \"{logged}\", here it is \"{here}\": bits are promised only for the \
         same library, class of processor and settings, so the run would not be the one begun; \
         resume there, or name that library"
    )]
    Model {
        /// The model.
        name: String,
        /// The log's.
        logged: String,
        /// This one's.
        here: String,
    },
    /// A model that was loaded during the run.
    #[error(
        "model {name}, which the run had loaded, cannot be loaded again: {reason}; restore its file"
    )]
    Unloadable {
        /// The model.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The models.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The thread that loads models.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The data changed.
    #[error(
        "the sources give other inputs for tick {tick} than the log holds; restore the data that \
         the run began with"
    )]
    Data {
        /// The first such tick.
        tick: Tick,
    },
    /// The data that is still to come changed.
    #[error(
        "source {id}'s file, or the way it is read, is not the one that the run began with, though \
         its rows up to the end of the log are the same; restore it, or begin a new run"
    )]
    File {
        /// Its id.
        id: String,
    },
    /// The commands changed.
    #[error(
        "the commands of the configuration are not those that the run began with; restore them, or \
         begin a new run"
    )]
    Commands,
    /// The tick gave something else than the log says.
    #[error(
        "executed again, tick {} is not what the log says: {}; verify the log", .0.tick, .0.what
    )]
    Diverged(Box<Divergence>),
    /// A keyframe that is whole and of this log.
    #[error(transparent)]
    Keyframe(#[from] FromKeyframeError),
    /// A tick.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A sink.
    #[error(transparent)]
    Take(#[from] SinkError),
    /// The outputs file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Inference.
    #[error(transparent)]
    Inference(#[from] InferenceError),
}

impl HasExitCode for ResumeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::RunHeader(error) => error.exit(),
            Self::Other { .. } | Self::Engine { .. } | Self::Model { .. } => Exit::Usage,
            Self::Models(error) => error.exit(),
            Self::Unloadable { .. } => Exit::Refused,
            Self::Data { .. } | Self::File { .. } | Self::Commands => Exit::Usage,
            Self::Diverged(_) | Self::Tick(TickError::Open(_)) => Exit::Divergence,
            Self::Output(error) | Self::Take(SinkError::Output(error)) => error.exit(),
            _ => Exit::Failure,
        }
    }
}

/// A log to go on with.
pub(crate) struct Resumed {
    pub(crate) log: LogWriter,
    /// Identifies the run.
    pub(crate) run_id: [u8; 16],
    pub(crate) caught_up: CaughtUp,
}

/// What the report of a resumed run says of the log that it goes on with.
#[derive(Debug, Default)]
pub(crate) struct CaughtUp {
    /// The tick of the keyframe from which it goes on.
    pub(crate) from: Option<Tick>,
    /// What recovery dropped, in words.
    pub(crate) recovered: Option<String>,
    /// Where the log says other fuel than was used again.
    pub(crate) fuel_differs: Option<FuelDifference>,
}

/// Executes the log in `options.dir` again and opens it for appending.
pub(crate) fn catch_up(
    options: &LogOptions,
    ring: LogRing,
    header: &RunHeader,
    kernel: &mut Kernel,
    sinks: &mut Sinks,
    ingest: &mut Ingest,
    halt: Halt<'_>,
) -> Result<Resumed, ResumeError> {
    let (mut reader, report, mut log) = wasm_engine_log::resume(options, ring)?;
    let logged = RunHeader::read(&mut reader)?;
    logged.check(&report)?;
    check_same(&logged, header)?;
    let redo = if report.closed { None } else { report.opened };
    let before = redo.or(report.opened.map(|last| last + 1)).unwrap_or(0);
    let (mut outputs, _cut) = OutputFile::resume(&options.dir, before)?;
    let (dir, own) = (&options.dir, Some(&mut outputs));
    let keyframe = keyframes::newest(dir, &logged, &report, &mut reader, own, true)?;
    let from = keyframe.as_ref().map(FoundKeyframe::tick);
    if let Some(keyframe) = keyframe {
        keyframes::restore(keyframe, kernel, Some(ingest), sinks)?;
    }
    sinks.outputs = Some(outputs);
    // While executing again, replies come from the log.
    let (inference, loader) = (sinks.inference.take(), sinks.loader.take());
    // So does what agents say, which was shown when it happened.
    sinks.shown = ShownLines::Nothing;
    let (mut facts, mut fuel_differs) = (FactsBuilder::default(), None);
    while let Some(record) = reader.next()? {
        match record.kind {
            kind::TICK_OPEN => {
                let tick = record.tick;
                rebuild(tick, record.payload, &mut facts, ingest)?;
                if redo == Some(tick) {
                    sinks.shown = ShownLines::All;
                }
                let close = kernel.tick(record.payload, sinks)?;
                sinks.settle(kernel)?;
                if redo == Some(tick) {
                    let turns = cast_slice(kernel.core().turn_digests());
                    log.append(kind::TICK_CLOSE, tick, &[bytes_of(&close), turns])?;
                }
            }
            kind::TICK_CLOSE => {
                let compared = compare_close(kernel, record.tick, record.payload);
                if let Some(divergence) = compared.divergence(record.tick, &mut fuel_differs) {
                    return Err(ResumeError::Diverged(Box::new(divergence)));
                }
            }
            _ => {}
        }
    }
    check_files(&logged, header)?;
    (sinks.inference, sinks.loader) = (inference, loader);
    sinks.shown = ShownLines::All;
    ask_again(kernel, sinks, halt)?;
    let recovered = match &report.ending {
        Ending::Torn(torn) => Some(torn.to_string()),
        _ => None,
    };
    let caught_up = CaughtUp { from, recovered, fuel_differs };
    Ok(Resumed { log, run_id: report.run_id, caught_up })
}

fn check_same(logged: &RunHeader, here: &RunHeader) -> Result<(), ResumeError> {
    if first_digest(&logged.run.setup) != first_digest(&here.run.setup) {
        let (a, b) = (&logged.run.setup, &here.run.setup);
        let parts = [
            ("seed", a.seed == b.seed),
            ("limits", a.limits == b.limits),
            ("topics", a.topics == b.topics),
            ("sources", a.sources == b.sources),
            ("agents or their modules", (&a.templates, &a.agents) == (&b.templates, &b.agents)),
            ("restart groups", a.groups == b.groups),
            ("models", a.models == b.models),
        ];
        let differs = parts.iter().find(|(_, same)| !same);
        return Err(ResumeError::Other { what: differs.map_or("schedule", |(what, _)| what) });
    }
    if logged.engine != here.engine {
        let (logged, here) = (logged.engine.to_string(), here.engine.to_string());
        return Err(ResumeError::Engine { logged, here });
    }
    if logged.run.commands != here.run.commands {
        return Err(ResumeError::Commands);
    }
    // The setup's models are equal, so both lists name the same ones.
    let mut models = logged.models.iter().zip(&here.models);
    match models.find(|(logged, here)| logged.fingerprint != here.fingerprint) {
        Some((logged, here)) => Err(ResumeError::Model {
            name: logged.name.clone(),
            logged: logged.fingerprint.clone(),
            here: here.fingerprint.clone(),
        }),
        None => Ok(()),
    }
}

/// The rows that are still to come are those of the files that the run began with.
fn check_files(logged: &RunHeader, here: &RunHeader) -> Result<(), ResumeError> {
    let sources = &here.run.setup.sources;
    let mut files = logged.run.data.iter().zip(&here.run.data).zip(sources);
    match files.find(|((logged, here), _)| logged != here) {
        Some((_, source)) => Err(ResumeError::File { id: source.id.clone() }),
        None => Ok(()),
    }
}

/// Lets the sources give the inputs of `tick` and compares them with the logged ones.
fn rebuild(
    tick: Tick,
    logged: &[u8],
    facts: &mut FactsBuilder,
    ingest: &mut Ingest,
) -> Result<(), ResumeError> {
    facts.begin(tick);
    let parsed = Facts::parse(logged).map_err(|error| TickError::Open(error.into()))?;
    if parsed.open().chosen != 0 {
        // The core checks that a live fact can have chosen it.
        facts.choose();
    }
    let copy = |facts: &mut FactsBuilder, wanted: &mut dyn FnMut(FactFields) -> bool| {
        for fact in parsed.iter() {
            if fact.header.fields().is_some_and(&mut *wanted) {
                facts.push(fact.header, fact.payload);
            }
        }
    };
    copy(facts, &mut |fact| matches!(fact, FactFields::Load(_)));
    copy(facts, &mut |fact| matches!(fact, FactFields::Provider(_)));
    ingest.enter_commands(tick, facts);
    // Those of a live host stand behind the configured ones and nowhere but in the log.
    copy(facts, &mut |fact| match fact {
        FactFields::Command(command) => ingest.commanded_before(command),
        _ => false,
    });
    copy(facts, &mut |fact| matches!(fact, FactFields::Reply(_)));
    ingest.enter(tick, facts);
    // So do live inputs (T7.6).
    copy(facts, &mut |fact| match fact {
        FactFields::Input(input) => ingest.entered_before(input),
        _ => false,
    });
    // And the budget that a live host gave the tick.
    copy(facts, &mut |fact| matches!(fact, FactFields::Budget(_)));
    if facts.finish() == logged { Ok(()) } else { Err(ResumeError::Data { tick }) }
}

/// Puts the models where the log leaves them: those that are loaded or still have to answer are
/// there to be asked, and the loads that had begun begin again.
fn ask_again(kernel: &Kernel, sinks: &mut Sinks, halt: Halt<'_>) -> Result<(), ResumeError> {
    let Sinks { inference: Some(inference), loader: Some(loader), .. } = sinks else {
        return Ok(());
    };
    let core = kernel.core();
    let asked: BTreeSet<u32> =
        core.requests_outstanding().iter().map(|(request, _)| request.model).collect();
    for (setup, model) in core.setup().models.iter().zip(0..) {
        let is_there = setup.load == LoadOn::Start;
        if is_there || !(core.is_loaded(model) || asked.contains(&model)) {
            continue;
        }
        // No load of a run has such a number.
        let number = u64::MAX - u64::from(model);
        loader.begin(number, model)?;
        if !loader.wait_for(number, &mut || halt.asked().is_some())? {
            let ended = halt.asked().unwrap_or_default();
            return Err(ModelsError::Halted { model: setup.full_name(), ended }.into());
        }
        match loader.take(number) {
            Ok(backend) => inference.install(model, backend)?,
            Err(reason) => {
                return Err(ResumeError::Unloadable { name: setup.full_name(), reason });
            }
        }
    }
    resubmit(kernel, inference)?;
    for model in (0..core.setup().models.len() as u32).filter(|model| !core.is_loaded(*model)) {
        inference.remove(model)?;
    }
    for load in core.loads_outstanding() {
        loader.begin(load.number, load.model)?;
    }
    Ok(())
}

/// Asks the models again for everything whose reply is outstanding, tick by tick: what ran in two
/// batches does so again (SEMANTICS I2).
fn resubmit(kernel: &Kernel, inference: &mut InferenceHandle) -> Result<(), ResumeError> {
    let mut tick = None;
    for (request, input) in kernel.core().requests_outstanding() {
        if tick.replace(request.tick).is_some_and(|before| before != request.tick) {
            inference.flush()?;
        }
        inference.submit(request.number, request.model, request.form, input)?;
    }
    Ok(inference.flush()?)
}
