//! What a configuration says of commands of the host.

use serde::{Deserialize, Serialize};
use wasm_engine_abi::record::action;

/// `[[command]]`: what the host does at the open of a tick (SEMANTICS T7.8). It is no part of what
/// decides a run before its first tick: the log holds it with the tick, as it holds inputs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The tick, at least 1. Required.
    pub tick: u64,
    /// What is done: `load`, `unload` or `swap` a model, `pause`, `resume` or `terminate` an agent,
    /// or `spawn` one. Required.
    pub action: Action,
    /// The model, by name or `name@version`; for `swap` the version that its name means from then
    /// on. Default: none.
    #[serde(default)]
    pub model: Option<String>,
    /// The agent, as outputs name it (`worker/3`); for `spawn` the name of an `[[agent]]`. Default:
    /// none.
    #[serde(default)]
    pub agent: Option<String>,
    /// Given to `agent_init` of an agent that is spawned. Default empty.
    #[serde(default)]
    pub args: String,
}

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Loads a model.
    Load,
    /// Unloads a model.
    Unload,
    /// Lets a model's name mean this version.
    Swap,
    /// Pauses an agent.
    Pause,
    /// Ends the pause of an agent.
    Resume,
    /// Ends an agent.
    Terminate,
    /// Makes an agent.
    Spawn,
}

impl Action {
    /// Whether it is about a model; else about an agent.
    pub(crate) fn is_of_model(self) -> bool {
        matches!(self, Self::Load | Self::Unload | Self::Swap)
    }

    /// Its code in the log.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Load => action::LOAD,
            Self::Unload => action::UNLOAD,
            Self::Swap => action::SWAP,
            Self::Pause => action::PAUSE,
            Self::Resume => action::RESUME,
            Self::Terminate => action::TERMINATE,
            Self::Spawn => action::SPAWN,
        }
    }
}
