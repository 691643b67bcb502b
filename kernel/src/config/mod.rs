//! The configuration file: what a user writes, as plain structs, read, overridden and checked.
//!
//! ```text
//! file -> sizes and times as numbers (quantities.rs) -> TOML table -> `--set` (overrides.rs)
//!      -> Config -> check (check.rs) -> resolve -> Setup
//! ```
//! Why apart from [`Setup`](wasm_engine_setup::Setup): a configuration holds paths, patterns and
//! physical choices; only what it resolves to decides results and is logged. Every field below is
//! documented with unit and default; `docs/CONFIGURATION.md` is the same as one table, and a test
//! holds the two together. Unknown keys are refused.
//!
//! This module reads one file and nothing else: no environment, no data, no modules.

mod check;
mod commands;
mod error;
mod load;
mod nearest;
mod overrides;
mod quantities;
mod sources;
mod tables;
mod task_graph;
mod tasks;
mod values;

pub(crate) use self::check::{check_group_name, check_topic_name};
pub(crate) use self::task_graph::order as task_order;
pub use self::{
    check::check_kernel_name,
    commands::{Action, CommandConfig},
    error::ConfigError,
    nearest::did_you_mean,
    sources::{InputForm, OffGrid, OnBadRow, Repeats, SourceConfig, SourceKind, TimeUnit},
    tables::{
        AgentConfig, Backing, Config, GrantedRights, Isolation, KernelConfig, LogConfig, LogLevel,
        ModelConfig, OnFault, OutputConfig, RegionConfig, TopicConfig, Wait,
    },
    tasks::{OnFailure, TaskConfig},
};
