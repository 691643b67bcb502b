//! Logical limits and their defaults.

use serde::{Deserialize, Serialize};

/// Logical limits: each decides what happens, so each is part of the digest's first value.
///
/// Payload bytes are charged in whole blocks of 64 bytes (SEMANTICS C2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Agent slots. Default 4,096.
    pub agents_max: u32,
    /// Microsteps of a tick; what is still runnable carries over. Default 64.
    pub microsteps_max: u32,
    /// Inputs that enter at one open; the rest waits for the next tick. Default 4,096.
    pub inputs_per_tick_max: u32,
    /// Payload bytes of those inputs. Default 2 MiB.
    pub input_bytes_per_tick_max: u32,
    /// Messages and inputs in one inbox. Default 256.
    pub inbox_items_max: u32,
    /// Payload bytes of messages and inputs in one inbox. Default 65,536.
    pub inbox_bytes_max: u32,
    /// Items received in one turn. Default 32.
    pub receive_max: u32,
    /// Effects of one turn. Default 32.
    pub effects_max: u32,
    /// Payload bytes of all effects of one turn. Default 4,096.
    pub payload_bytes_max: u32,
    /// Calls of one agent whose answer is outstanding, set timers included. Default 16.
    pub answers_max: u32,
    /// Fuel of one call of an agent function. Default 1,000,000.
    pub fuel_per_call: u64,
    /// Linear memory of one agent. Default 1 MiB.
    pub memory_bytes_max: u64,
    /// Turns planned in one microstep. Default 4,096.
    pub turns_per_microstep_max: u32,
    /// Sum of the planned agents' effect quotas. Default 131,072.
    pub effects_per_microstep_max: u32,
    /// Sum of the planned agents' payload quotas. Default 2 MiB.
    pub payload_bytes_per_microstep_max: u32,
    /// Sum of the planned agents' fuel quotas. Default 2^40.
    pub fuel_per_microstep_max: u64,
    /// Deliveries accepted in one microstep. Default 65,536.
    pub deliveries_per_microstep_max: u32,
    /// Messages and inputs held by all inboxes. Default 65,536.
    pub messages_held_max: u32,
    /// Payload bytes held by all inboxes. Default 4 MiB.
    pub payload_bytes_held_max: u32,
    /// Inference requests whose reply has not been received. Default 4,096.
    pub inferences_pending_max: u32,
    /// Input bytes of those requests. Default 4 MiB.
    pub inference_bytes_pending_max: u32,
    /// Subscriptions and channel memberships of one agent. Default 16.
    pub memberships_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            agents_max: 4096,
            microsteps_max: 64,
            inputs_per_tick_max: 4096,
            input_bytes_per_tick_max: 2 << 20,
            inbox_items_max: 256,
            inbox_bytes_max: 64 << 10,
            receive_max: 32,
            effects_max: 32,
            payload_bytes_max: 4 << 10,
            answers_max: 16,
            fuel_per_call: 1_000_000,
            memory_bytes_max: 1 << 20,
            turns_per_microstep_max: 4096,
            effects_per_microstep_max: 131_072,
            payload_bytes_per_microstep_max: 2 << 20,
            fuel_per_microstep_max: 1 << 40,
            deliveries_per_microstep_max: 65_536,
            messages_held_max: 65_536,
            payload_bytes_held_max: 4 << 20,
            inferences_pending_max: 4096,
            inference_bytes_pending_max: 4 << 20,
            memberships_max: 16,
        }
    }
}
