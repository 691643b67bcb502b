//! What leaves a tick: outputs, inference requests and log lines, each to its sink.
//!
//! A sink may fail (a disk, a thread). The tick goes on, because its results are decided; the
//! first failure is kept and asked for at the tick's boundary (SEMANTICS L2).

use std::sync::Arc;

use wasm_engine_abi::{
    AgentId, Tick, calls::Status, plain::PlainText, record::action, task::task_state,
};

use crate::{
    machine::Kernel,
    run::faults::{FaultNews, report},
    run::kept_outputs::KeptOutputs,
    run::listener::{Listener, LogLine},
    run::model_loader::{LoaderError, ModelLoader},
};
use wasm_engine_core::{CommandOutcome, Load, Output, RefusedInput, Request, Sink, TaskOutcome};
use wasm_engine_inference::{InferenceError, InferenceHandle};
use wasm_engine_log::outputs::{LastOutputs, OutputError, OutputFile, OutputLine, OutputStream};
use wasm_engine_log::run_header::ModelRecord;
use wasm_engine_setup::{ProviderUse, Setup};

use crate::run::refused_inputs::RefusedInputs;

/// The first failure of a sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The outputs file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The inference thread.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The thread that loads models.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// A fact of the log about what computes a model.
    #[error("what computes model {model} from here on cannot be read in the log: {source}")]
    Provider {
        /// The model.
        model: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Lines of agents that are shown of one tick, so that what a tick may hold of them is bounded.
const LINES_PER_TICK_MAX: usize = 4096;

/// A line that an agent logged.
#[derive(Debug)]
struct AgentLine {
    agent: AgentId,
    tick: Tick,
    level: u64,
    text: Vec<u8>,
}

/// What is shown of what agents say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ShownLines {
    /// Log lines and faults: a live run.
    All,
    /// Faults: a replay repeats no other log lines.
    Faults,
    /// Nothing: what a resumed run has shown before.
    Nothing,
}

/// The sinks of a run or a replay.
#[derive(Debug)]
pub(crate) struct Sinks {
    setup: Arc<Setup>,
    /// Outputs go here, or are compared with what it holds.
    pub(crate) outputs: Option<OutputFile>,
    /// Outputs go here too, in their declared formats.
    pub(crate) stream: Option<OutputStream>,
    /// Requests go here; without, they are answered from elsewhere.
    pub(crate) inference: Option<InferenceHandle>,
    /// Loads begin here; without, nothing is loaded or unloaded.
    pub(crate) loader: Option<ModelLoader>,
    /// Commands so far.
    pub(crate) commands: u64,
    /// Those of them that were refused.
    pub(crate) commands_refused: u64,
    outcomes: Vec<CommandOutcome>,
    /// What came of commands, for a host.
    pub(crate) kept_commands: Vec<CommandOutcome>,
    task_outcomes: Vec<TaskOutcome>,
    /// What came of its tasks.
    pub(crate) kept_tasks: Vec<TaskOutcome>,
    /// With what each model is computed, or was.
    pub(crate) providers: Vec<Arc<ProviderUse>>,
    /// Models that another provider computes than before, since the last tick was settled.
    changed_providers: Vec<u32>,
    /// The last message of each output topic.
    pub(crate) last: LastOutputs,
    lines: Vec<AgentLine>,
    lines_left_out: u64,
    refused_inputs: RefusedInputs,
    /// What is shown of what agents say.
    pub(crate) shown: ShownLines,
    /// What was shown of faults.
    pub(crate) faults: FaultNews,
    /// Outputs are kept here too, for a host.
    pub(crate) kept: Option<KeptOutputs>,
    /// Who hears of lines and faults in place of `tracing`.
    pub(crate) listener: Listener,
    failure: Option<SinkError>,
    pub(crate) output_lines: u64,
}

impl Sinks {
    /// Those of a run of this setup, of whose models these are the records.
    pub(crate) fn new(setup: Arc<Setup>, models: &[ModelRecord], shown: ShownLines) -> Self {
        let records = models.iter().map(Some).chain(std::iter::repeat(None));
        let providers = setup.models.iter().zip(records).map(|(_, record)| {
            Arc::new(record.map_or_else(ProviderUse::default, |record| record.providers.clone()))
        });
        Self {
            providers: providers.collect(),
            setup,
            outputs: None,
            stream: None,
            inference: None,
            loader: None,
            commands: 0,
            commands_refused: 0,
            outcomes: Vec::new(),
            kept_commands: Vec::new(),
            task_outcomes: Vec::new(),
            kept_tasks: Vec::new(),
            changed_providers: Vec::new(),
            last: LastOutputs::default(),
            lines: Vec::new(),
            lines_left_out: 0,
            refused_inputs: RefusedInputs::default(),
            shown,
            faults: FaultNews::default(),
            kept: None,
            listener: Listener::default(),
            failure: None,
            output_lines: 0,
        }
    }

    /// At the boundary of the tick that `kernel` closed: shows log lines and faults, hands over
    /// what was begun, gives the first failure.
    pub(crate) fn settle(&mut self, kernel: &mut Kernel) -> Result<(), SinkError> {
        for model in self.changed_providers.drain(..) {
            let providers = &self.providers[model as usize];
            kernel.page().model_fallbacks += u64::from(!providers.refused.is_empty());
            if self.shown == ShownLines::All {
                show_provider(kernel, model, providers);
            }
        }
        for AgentLine { agent, tick, level, text } in self.lines.drain(..) {
            let (agent, text) = (name_of(kernel, agent), String::from_utf8_lossy(&text));
            match &mut self.listener.log {
                Some(log) => log(&LogLine { agent: &agent, tick, level, text: &text }),
                None => show(&agent, tick, level, "", &text),
            }
        }
        match std::mem::take(&mut self.lines_left_out) {
            0 => {}
            count => tracing::warn!(target: "agent", "{count} further lines of this tick"),
        }
        if self.shown == ShownLines::Nothing {
            for account in kernel.faults() {
                self.faults.take_old(account, &self.setup);
            }
        } else {
            for account in kernel.faults() {
                if let Some(fault) = &mut self.listener.fault {
                    self.faults.take_heard(account, &self.setup);
                    fault(&report(account, &self.setup));
                    continue;
                }
                if self.faults.take(account, &self.setup) {
                    continue;
                }
                let agent = name_of(kernel, AgentId::from_bits(account.command.agent));
                for (level, text) in &account.lines {
                    let tick = account.command.tick;
                    show(&agent, tick, *level, ", in a turn that faulted", text);
                }
            }
        }
        for outcome in self.outcomes.drain(..) {
            show_command(kernel, &outcome);
        }
        for outcome in self.task_outcomes.drain(..) {
            show_task(kernel, &outcome);
        }
        for line in self.refused_inputs.drain() {
            tracing::warn!("{line}");
        }
        if let Some(inference) = &mut self.inference {
            inference.flush()?;
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Payloads that were not in the format of their topic, by its name.
    pub(crate) fn misfits(&self) -> std::collections::BTreeMap<String, u64> {
        let counts = self.stream.iter().flat_map(|stream| stream.misfits()).zip(&self.setup.topics);
        let some = counts.filter(|(count, _)| **count > 0);
        some.map(|(count, topic)| (topic.name.clone(), *count)).collect()
    }

    /// The last message of each output topic, by name.
    pub(crate) fn last_outputs(&self) -> std::collections::BTreeMap<String, serde_json::Value> {
        self.last.by_name(|topic| self.setup.topics[topic as usize].name.as_str())
    }
}

/// Name of the agent at `id`; of a spawned one that is gone its address.
fn name_of(kernel: &Kernel, id: AgentId) -> String {
    let core = kernel.core();
    let index = id.index();
    if index < core.slots() && core.agent(index).id == id {
        return kernel.agent_name(index);
    }
    let configured = core.setup().agents.get(index as usize).filter(|_| id.generation() == 0);
    configured.map_or_else(|| id.to_string(), |agent| agent.name.clone())
}

/// Shows that another provider computes a model.
fn show_provider(kernel: &Kernel, model: u32, providers: &ProviderUse) {
    let core = kernel.core();
    let (name, tick) = (core.setup().models[model as usize].full_name(), core.tick());
    let used = &providers.used;
    tracing::warn!("model {name} is computed by {used} from tick {tick} on");
    for (provider, why) in &providers.refused {
        tracing::warn!("model {name} is not computed by {provider}: {why}");
    }
}

/// Shows what came of a command of the host.
fn show_command(kernel: &Kernel, outcome: &CommandOutcome) {
    let CommandOutcome { tick, command, status, agent } = *outcome;
    let what = action::text(command.action);
    let setup = kernel.core().setup();
    // The core has found whom it names.
    let position = command.subject as usize;
    let whom = match command.action {
        action::LOAD | action::UNLOAD | action::SWAP => {
            format!("model {}", setup.models[position].full_name())
        }
        action::SPAWN => setup.templates[position].name.clone(),
        _ => name_of(kernel, agent),
    };
    match status {
        Status::Ok => tracing::info!("command {what} of {whom} in tick {tick}: done"),
        refused => {
            let why = refused.text();
            tracing::warn!("command {what} of {whom} in tick {tick}: refused, {why}");
        }
    }
}

/// Shows how a task of the host ended.
fn show_task(kernel: &Kernel, outcome: &TaskOutcome) {
    let TaskOutcome { tick, seq, agent, status, attempts, code, .. } = *outcome;
    let agent = name_of(kernel, agent);
    match status {
        Status::Ok => tracing::info!("task {seq} of {agent} in tick {tick}: done"),
        other => {
            let (why, what) = (other.text(), task_state::text(outcome.state));
            tracing::warn!(
                "task {seq} of {agent} in tick {tick}: {what}, {why}; attempts {attempts}, code \
                 {code}"
            );
        }
    }
}

/// Shows a line that an agent logged.
fn show(agent: &str, tick: Tick, level: u64, mark: &str, text: &str) {
    let (agent, text) = (PlainText(agent), PlainText(text));
    match level {
        0 | 1 => tracing::error!(target: "agent", "{agent} in tick {tick}{mark}: {text}"),
        2 => tracing::warn!(target: "agent", "{agent} in tick {tick}{mark}: {text}"),
        3 => tracing::info!(target: "agent", "{agent} in tick {tick}{mark}: {text}"),
        _ => tracing::debug!(target: "agent", "{agent} in tick {tick}{mark}: {text}"),
    }
}

impl Sink for Sinks {
    fn output(&mut self, output: &Output<'_>) {
        self.last.note(output.topic, output.payload);
        self.output_lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.note(output);
        }
        if self.outputs.is_none() && self.stream.is_none() {
            return;
        }
        let line = OutputLine {
            tick: output.tick,
            microstep: output.microstep,
            topic: &self.setup.topics[output.topic as usize].name,
            from: &self.setup.agent_name(output.from, output.template, output.copy),
            address: output.from,
            seq: output.from_seq,
            payload: output.payload,
        };
        let filed = self.outputs.as_mut().map_or(Ok(()), |file| file.line(&line));
        let stream = self.stream.as_mut();
        let streamed = stream.map_or(Ok(()), |stream| stream.line(output.topic, &line));
        if let Err(error) = filed.and(streamed) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn request(&mut self, request: &Request, input: &[u8]) {
        let Some(inference) = &mut self.inference else { return };
        if let Err(error) = inference.submit(request.number, request.model, request.form, input) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn load_model(&mut self, load: &Load) {
        let Some(loader) = &mut self.loader else { return };
        if let Err(error) = loader.begin(load.number, load.model) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn unload_model(&mut self, model: u32) {
        if self.loader.is_none() {
            return;
        }
        let Some(inference) = &mut self.inference else { return };
        if let Err(error) = inference.remove(model) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn provider_changed(&mut self, model: u32, text: &[u8]) {
        match serde_json::from_slice(text) {
            Ok(providers) => {
                self.providers[model as usize] = Arc::new(providers);
                self.changed_providers.push(model);
            }
            Err(source) => {
                let model = self.setup.models[model as usize].full_name();
                self.failure.get_or_insert(SinkError::Provider { model, source });
            }
        }
    }

    fn commanded(&mut self, outcome: &CommandOutcome) {
        self.commands += 1;
        self.commands_refused += u64::from(outcome.status != Status::Ok);
        if self.kept.is_some() {
            self.kept_commands.push(*outcome);
        } else if self.shown == ShownLines::All {
            self.outcomes.push(*outcome);
        }
    }

    fn task_ended(&mut self, outcome: &TaskOutcome) {
        if self.kept.is_some() {
            self.kept_tasks.push(*outcome);
        } else if self.shown == ShownLines::All {
            self.task_outcomes.push(*outcome);
        }
    }

    fn input_refused(&mut self, refused: &RefusedInput) {
        if self.shown == ShownLines::All {
            self.refused_inputs.note(&self.setup, refused);
        }
    }

    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]) {
        if self.shown == ShownLines::All && self.lines.len() >= LINES_PER_TICK_MAX {
            self.lines_left_out += 1;
        } else if self.shown == ShownLines::All {
            self.lines.push(AgentLine { agent, tick, level, text: text.to_vec() });
        }
    }
}
