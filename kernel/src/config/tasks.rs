//! What a configuration says of tasks.

use serde::{Deserialize, Serialize};
use wasm_engine_abi::task::{TaskHeader, TaskId, on_failure};

/// `[[task]]`: a task that the host schedules at the open of a tick (SEMANTICS A12). Like a command
/// it is no part of what decides a run before its first tick.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// Its name, unique among tasks. Required.
    pub name: String,
    /// The agent that it is for, as outputs name it (`worker/3`). Required.
    pub agent: String,
    /// The tick at whose open it is scheduled, at least 1. Default 1.
    #[serde(default = "one")]
    pub tick: u64,
    /// Higher comes first. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// How often it is tried. Default 1.
    #[serde(default = "one_attempt")]
    pub attempts: u32,
    /// What becomes of it if one that it waits for does not succeed: `fail`, `skip` or `run`.
    /// Default `fail`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Names of the tasks that it waits for, of the same tick or earlier ones. Default empty.
    #[serde(default)]
    pub after: Vec<String>,
    /// What its agent gets. Default empty.
    #[serde(default)]
    pub payload: String,
}

impl TaskConfig {
    /// Bytes of the task that it becomes.
    pub(crate) fn bytes_len(&self) -> usize {
        size_of::<TaskHeader>() + size_of::<TaskId>() * self.after.len() + self.payload.len()
    }
}

const fn one() -> u64 {
    1
}

const fn one_attempt() -> u32 {
    1
}

/// What becomes of a task that waited for one that did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is cancelled.
    #[default]
    Fail,
    /// It is skipped.
    Skip,
    /// It runs.
    Run,
}

impl OnFailure {
    /// Its code in a task.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Fail => on_failure::FAIL,
            Self::Skip => on_failure::SKIP,
            Self::Run => on_failure::RUN,
        }
    }
}
