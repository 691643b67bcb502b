//! The state machine: facts in, turns out, effects applied in schedule order.
//!
//! ```text
//! open(facts) -> { plan() -> turns run anywhere -> commit(results) }* -> close() -> digest
//! ```
//! It has no threads, no clock and no IO; the runtime, the replayer and tests drive it alike, and
//! what it does depends on the setup and the facts alone. Payload bytes stay where lanes wrote
//! them: the core moves descriptors and asks its [`Environment`] for the few bytes that must be
//! copied.
//!
//! | file | rules |
//! |---|---|
//! | `tick_open.rs` | T3: backoff expiries, replies, timers, inputs |
//! | `plan.rs`, `schedule/`, `budget.rs` | T2.4, T4, Q: who takes a turn |
//! | `commit.rs` | C1, C2, pass 1 and 2 |
//! | `delivery.rs`, `subscriptions.rs` | delivery, limits, topic policies (C2, C4) |
//! | `lifecycle.rs` | passes 3 and 4: spawn, terminate, pause, the end of agents (A10) |
//! | `supervision.rs`, `supervision_groups.rs` | what follows a fault, restart groups (A8, A9) |
//! | `save_points.rs` | states that are kept for a restart (A9) |
//! | `tasks.rs`, `task_flow.rs` | tasks and what they wait for (A12) |
//! | `requests.rs`, `timers.rs` | inference requests and timers that wait (I1) |
//! | `trace.rs` | all of this event by event, for whoever watches |
//! | `checkpoint.rs`, `codec.rs`, `inbox_codec.rs` | the state as bytes, and back (L8) |
//! | `agents.rs`, `inbox.rs`, `payloads.rs`, `tick_digest.rs` | the state itself |

mod agents;
mod budget;
mod checkpoint;
mod codec;
mod commands;
mod commit;
mod delivery;
mod environment;
mod facts;
mod inbox;
mod inbox_codec;
mod lifecycle;
mod loading;
mod models;
mod open_error;
mod payloads;
mod plan;
mod requests;
mod save_points;
mod schedule;
mod state;
mod stats;
mod subscriptions;
mod supervision;
mod supervision_groups;
mod task_flow;
mod tasks;
mod tasks_codec;
mod tick_digest;
mod tick_open;
mod timers;
mod topic_quotas;
mod trace;
mod view;

pub use self::{
    agents::{Activity, Phase},
    codec::CheckpointError,
    environment::{
        CommandOutcome, Environment, Output, PayloadStore, RefusedInput, Results, Sink,
        TaskOutcome, TurnOutput,
    },
    facts::FactsBuilder,
    models::{Load, ModelCounts},
    open_error::OpenError,
    requests::Request,
    state::{Core, TICK_MAX, first_digest},
    stats::Stats,
    view::AgentState,
};
