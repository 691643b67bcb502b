//! What a host says before its kernel starts.

use std::path::PathBuf;

use crate::{
    config::Config,
    host::error::HostFailure,
    report::FaultReport,
    resolve::{Resolved, resolve},
    run::{
        assemble::Locations,
        kept_outputs::HostOutput,
        listener::{Listener, LogLine},
    },
};
use wasm_engine_guest::engine::Footprint;

/// The file that a configuration given as text stands for in messages; paths in it are relative to
/// the working directory.
const TEXT: &str = "host.toml";

/// Takes each message on an output topic.
pub(crate) type OnOutput = Box<dyn FnMut(&HostOutput<'_>) + Send>;

/// Where the configuration comes from.
#[derive(Debug)]
enum ConfigForm {
    File(PathBuf),
    Text(String),
    Code(Box<Config>),
}

/// A kernel that is to be started; see [`Host::builder`](crate::host::Host::builder).
///
/// A configuration and nothing else is needed. By default the kernel has no name, and then no file
/// and no monitor knows of it; it writes nothing to disk; it starts no thread but those that the
/// configuration asks for (`kernel.workers`, models, a log); and it sets no signal handler.
#[derive(Default)]
#[must_use]
pub struct HostBuilder {
    form: Option<ConfigForm>,
    sets: Vec<String>,
    attached: Vec<(PathBuf, Vec<u8>)>,
    name: Option<String>,
    log_dir: Option<PathBuf>,
    resume: Option<PathBuf>,
    workers: Option<u32>,
    ticks: Option<u64>,
    pace: Option<f64>,
    code_cache: Option<PathBuf>,
    model_program: Option<PathBuf>,
    signal_handlers: bool,
    pub(crate) time_stages: bool,
    pub(crate) listener: Listener,
    pub(crate) on_output: Option<OnOutput>,
}

impl std::fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostBuilder").field("form", &self.form).finish_non_exhaustive()
    }
}

impl HostBuilder {
    /// The configuration is in this TOML file; paths in it are relative to its folder.
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.form = Some(ConfigForm::File(file.into()));
        self
    }

    /// The configuration is this TOML text; paths in it are relative to the working directory.
    pub fn config_text(mut self, text: impl Into<String>) -> Self {
        self.form = Some(ConfigForm::Text(text.into()));
        self
    }

    /// The configuration is this one, made in code.
    pub fn config(mut self, config: Config) -> Self {
        self.form = Some(ConfigForm::Code(Box::new(config)));
        self
    }

    /// Overrides a key, as `section.key=value`; may be called again. Of a configuration made in
    /// code nothing is overridden.
    pub fn set(mut self, set: impl Into<String>) -> Self {
        self.sets.push(set.into());
        self
    }

    /// Gives the bytes of a module or model, or of the manifest beside a module, that the
    /// configuration calls `name`, so that no file is read for it.
    pub fn attach(mut self, name: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        self.attached.push((name.into(), bytes.into()));
        self
    }

    /// Monitors find the kernel under this name, which no other may have at the time.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Writes a log into this directory, which is new or empty.
    pub fn log(mut self, dir: impl Into<PathBuf>) -> Self {
        self.log_dir = Some(dir.into());
        self
    }

    /// Goes on with the log in this directory. What was pushed and is in it enters again from
    /// there.
    pub fn resume(mut self, dir: impl Into<PathBuf>) -> Self {
        self.resume = Some(dir.into());
        self
    }

    /// Worker threads, in place of `kernel.workers`.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Ends before the tick of this number, in place of `kernel.ticks`.
    pub fn ticks(mut self, ticks: u64) -> Self {
        self.ticks = Some(ticks);
        self
    }

    /// Ticks per second, in place of `kernel.pace`.
    pub fn pace(mut self, pace: f64) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Keeps compiled modules in this folder, which is made if missing.
    pub fn code_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.code_cache = Some(folder.into());
        self
    }

    /// The `wasm-engine` program, which serves models that have a process of their own.
    pub fn model_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.model_program = Some(program.into());
        self
    }

    /// Lets the engine handle SIGSEGV, SIGILL and SIGFPE for the whole process, for ever, which
    /// makes loops over memory faster: code of agents then needs no bounds checks. Faults outside
    /// agents go to the handlers that were there before. Handlers set later take them all, and an
    /// agent's fault with them: so a host with handlers of its own either sets them first or leaves
    /// this off, as it is by default. Results are the same.
    pub fn signal_handlers(mut self, allowed: bool) -> Self {
        self.signal_handlers = allowed;
        self
    }

    /// Times the stages of each tick, for [`Host::last_tick`](crate::host::Host::last_tick), which
    /// reads the clock some ten times a tick.
    pub fn time_stages(mut self, timed: bool) -> Self {
        self.time_stages = timed;
        self
    }

    /// Calls `on_output` with each message on an output topic, after its tick.
    pub fn on_output(mut self, on_output: impl FnMut(&HostOutput<'_>) + Send + 'static) -> Self {
        self.on_output = Some(Box::new(on_output));
        self
    }

    /// Calls `on_log` with each line that an agent logs, after its tick, in place of `tracing`.
    pub fn on_log(mut self, on_log: impl FnMut(&LogLine<'_>) + Send + 'static) -> Self {
        self.listener.log = Some(Box::new(on_log));
        self
    }

    /// Calls `on_fault` with each fault of an agent, after its tick and at most the first 64 of it,
    /// in place of `tracing`.
    pub fn on_fault(mut self, on_fault: impl FnMut(&FaultReport) + Send + 'static) -> Self {
        self.listener.fault = Some(Box::new(on_fault));
        self
    }

    /// Reads and checks all that is named.
    pub(crate) fn resolve(&mut self) -> Result<(Resolved, Locations), HostFailure> {
        let mut config = match self.form.take().ok_or(HostFailure::NoConfig)? {
            ConfigForm::File(file) => Config::load(&file, &self.sets)?,
            ConfigForm::Text(text) => Config::parse(TEXT.as_ref(), &text, &self.sets)?,
            ConfigForm::Code(config) => *config,
        };
        let kernel = &mut config.kernel;
        kernel.workers = self.workers.unwrap_or(kernel.workers);
        kernel.ticks = self.ticks.or(kernel.ticks);
        kernel.pace = self.pace.or(kernel.pace);
        let visible = self.name.is_some();
        kernel.name = self.name.take().or(kernel.name.take());
        config.attached.extend(self.attached.drain(..));
        config.check()?;
        let mut resolved = resolve(&config)?;
        // Which cores the host's other threads use is not known here.
        resolved.physical.pin = false;
        let locations = Locations {
            log_dir: self.log_dir.take(),
            resume: self.resume.take(),
            model_program: self.model_program.take(),
            code_cache: self.code_cache.take(),
            visible,
            footprint: Footprint { helpers: false, signals: self.signal_handlers },
        };
        Ok((resolved, locations))
    }
}
