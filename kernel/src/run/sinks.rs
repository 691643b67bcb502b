//! What leaves a tick: outputs, inference requests and log lines, each to its sink.
//!
//! A sink may fail (a disk, a thread). The tick goes on, because its results are decided; the
//! first failure is kept and asked for at the tick's boundary (SEMANTICS L2).

use std::sync::Arc;

use wasm_engine_abi::{AgentId, Tick};

use wasm_engine_core::{Output, RefusedInput, Request, Sink};
use wasm_engine_inference::{InferenceError, InferenceHandle};
use wasm_engine_log::outputs::{LastOutputs, OutputError, OutputFile, OutputLine};
use wasm_engine_setup::Setup;

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
}

/// A line that an agent logged.
#[derive(Debug)]
struct LogLine {
    agent: AgentId,
    tick: Tick,
    level: u64,
    text: Vec<u8>,
}

/// The sinks of a run or a replay.
#[derive(Debug)]
pub(crate) struct Sinks {
    setup: Arc<Setup>,
    /// Outputs go here, or are compared with what it holds.
    pub(crate) outputs: Option<OutputFile>,
    /// Requests go here; without, they are answered from elsewhere.
    pub(crate) inference: Option<InferenceHandle>,
    last: LastOutputs,
    lines: Vec<LogLine>,
    refused_inputs: RefusedInputs,
    /// Whether agents' log lines are shown: a replay repeats none.
    show_lines: bool,
    failure: Option<SinkError>,
    pub(crate) output_lines: u64,
}

impl Sinks {
    pub(crate) fn new(setup: Arc<Setup>, show_lines: bool) -> Self {
        Self {
            setup,
            outputs: None,
            inference: None,
            last: LastOutputs::default(),
            lines: Vec::new(),
            refused_inputs: RefusedInputs::default(),
            show_lines,
            failure: None,
            output_lines: 0,
        }
    }

    /// At a tick's boundary: shows log lines, hands over what was begun, gives the first failure.
    pub(crate) fn settle(&mut self) -> Result<(), SinkError> {
        for LogLine { agent, tick, level, text } in self.lines.drain(..) {
            let text = String::from_utf8_lossy(&text);
            match level {
                0 | 1 => tracing::error!(target: "agent", %agent, tick, "{text}"),
                2 => tracing::warn!(target: "agent", %agent, tick, "{text}"),
                3 => tracing::info!(target: "agent", %agent, tick, "{text}"),
                _ => tracing::debug!(target: "agent", %agent, tick, "{text}"),
            }
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

    /// The last message of each output topic, by name.
    pub(crate) fn last_outputs(&self) -> std::collections::BTreeMap<String, serde_json::Value> {
        self.last.by_name(|topic| self.setup.topics[topic as usize].name.as_str())
    }
}

impl Sink for Sinks {
    fn output(&mut self, output: &Output<'_>) {
        self.last.note(output.topic, output.payload);
        self.output_lines += 1;
        let Some(file) = &mut self.outputs else { return };
        let line = OutputLine {
            tick: output.tick,
            microstep: output.microstep,
            topic: &self.setup.topics[output.topic as usize].name,
            from: &self.setup.agent_name(output.from, output.template, output.copy),
            seq: output.from_seq,
            payload: output.payload,
        };
        if let Err(error) = file.line(&line) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn request(&mut self, request: &Request, input: &[u8]) {
        let Some(inference) = &mut self.inference else { return };
        if let Err(error) = inference.submit(request.number, request.model, input) {
            self.failure.get_or_insert(error.into());
        }
    }

    fn input_refused(&mut self, refused: &RefusedInput) {
        if self.show_lines {
            self.refused_inputs.note(&self.setup, refused);
        }
    }

    fn log_line(&mut self, agent: AgentId, tick: Tick, level: u64, text: &[u8]) {
        if self.show_lines {
            self.lines.push(LogLine { agent, tick, level, text: text.to_vec() });
        }
    }
}
