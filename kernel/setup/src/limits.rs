//! Logical limits and their defaults.

use serde::{Deserialize, Serialize};
use wasm_engine_abi::limits::{
    AGENTS_MAX, BLOCK_BYTES, DEPENDENCIES_MAX, EFFECTS_MAX, INFERENCE_BYTES_MAX, PAYLOAD_BYTES_MAX,
    RECEIVE_MAX,
};

use crate::model::{ModelSetup, is_default};

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
    /// Deliveries tried in one microstep, accepted or not. Default 65,536.
    pub deliveries_per_microstep_max: u32,
    /// Messages and inputs held by all inboxes. Default 65,536.
    pub messages_held_max: u32,
    /// Payload bytes held by all inboxes and tasks. Default 4 MiB.
    pub payload_bytes_held_max: u32,
    /// Inference requests whose reply has not been received. Default 4,096.
    pub inferences_pending_max: u32,
    /// Bytes of all requests to models of one turn. Default 0: 4,096, or the longest request of a
    /// model if that is more.
    pub inference_bytes_max: u32,
    /// Sum of those quotas of the planned agents that may ask models. Default 0: 2 MiB, or 16 of
    /// those quotas up to 16 MiB, or one, whichever is most.
    pub inference_bytes_per_microstep_max: u32,
    /// Bytes of all requests whose reply is not due yet. Default 0: 4 MiB, or 16 of the longest
    /// request if that is more.
    pub inference_bytes_pending_max: u32,
    /// Bytes reserved for replies that have not been received, for each the most that its model
    /// gives. Default 0: 4 MiB, or 16 of the longest reply if that is more.
    pub inference_reply_bytes_pending_max: u32,
    /// Bytes of all loaded models, as they are declared. Default 0: any.
    #[serde(skip_serializing_if = "is_default")]
    pub models_bytes_max: u64,
    /// Subscriptions and channel memberships of one agent. Default 16.
    pub memberships_max: u32,
    /// Tasks that have not ended. Default 4,096.
    #[serde(skip_serializing_if = "is_tasks_default")]
    pub tasks_max: u32,
    /// Of those, tasks for one agent. Default 256.
    #[serde(skip_serializing_if = "is_agent_tasks_default")]
    pub agent_tasks_max: u32,
    /// Tasks that one waits for. Default 32.
    #[serde(skip_serializing_if = "is_dependencies_default")]
    pub dependencies_max: u32,
}

// Logs from before there were tasks do not have these: left out of the setup's text, the defaults
// leave its hash as it was.

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_tasks_default(value: &u32) -> bool {
    *value == Limits::default().tasks_max
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_agent_tasks_default(value: &u32) -> bool {
    *value == Limits::default().agent_tasks_max
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_dependencies_default(value: &u32) -> bool {
    *value == Limits::default().dependencies_max
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
            inference_bytes_max: 0,
            inference_bytes_per_microstep_max: 0,
            inference_bytes_pending_max: 0,
            inference_reply_bytes_pending_max: 0,
            models_bytes_max: 0,
            memberships_max: 16,
            tasks_max: 4096,
            agent_tasks_max: 256,
            dependencies_max: 32,
        }
    }
}

/// A limit that no run can have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("limits.{key} is {value}, it must be from {min} to {max}")]
pub struct LimitError {
    /// Its name.
    pub key: &'static str,
    /// What it is.
    pub value: u64,
    /// The least that is possible.
    pub min: u64,
    /// The most that is possible.
    pub max: u64,
}

/// Items, effects, calls and messages of a kernel: so that their bookkeeping is at most some GiB.
const COUNT_MAX: u64 = 1 << 26;
/// Payload bytes of a kernel.
const BYTES_MAX: u64 = 1 << 31;
/// Microsteps of a tick: a run is stopped between ticks, and one must end.
const MICROSTEPS_MAX: u64 = 1 << 16;
/// Tasks of a kernel, and as many that it remembers.
const TASKS_MAX: u64 = 1 << 20;
/// Tasks for one agent: each turn that takes one goes through them.
const AGENT_TASKS_MAX: u64 = 1 << 16;
/// Fuel of one call: so that the calls of a turn have less than 2^60 together.
const FUEL_PER_CALL_MAX: u64 = 1 << 40;

impl Limits {
    /// Calls of a step turn that are budgeted: one for each item it may receive, and the step.
    #[must_use]
    pub fn calls_of_step(&self) -> u64 {
        u64::from(self.receive_max) + 1
    }

    /// Each limit by its name, and between what it must lie. What a layout, a sum or an allocation
    /// depends on is bounded here, so nothing made of checked limits overflows.
    #[must_use]
    pub fn bounds(&self) -> Vec<(&'static str, u64, std::ops::RangeInclusive<u64>)> {
        let upto = |key, value: u32, max: u64| (key, u64::from(value), 1..=max);
        // 0 is what suits the models.
        let or_none = |key, value: u32, max: u64| (key, u64::from(value), 0..=max);
        let block = u64::from(BLOCK_BYTES);
        vec![
            upto("agents_max", self.agents_max, AGENTS_MAX.into()),
            upto("microsteps_max", self.microsteps_max, MICROSTEPS_MAX),
            upto("inputs_per_tick_max", self.inputs_per_tick_max, COUNT_MAX),
            upto("input_bytes_per_tick_max", self.input_bytes_per_tick_max, BYTES_MAX),
            upto("inbox_items_max", self.inbox_items_max, COUNT_MAX),
            upto("inbox_bytes_max", self.inbox_bytes_max, BYTES_MAX),
            upto("receive_max", self.receive_max, RECEIVE_MAX.into()),
            upto("effects_max", self.effects_max, EFFECTS_MAX.into()),
            (
                "payload_bytes_max",
                self.payload_bytes_max.into(),
                block..=u64::from(PAYLOAD_BYTES_MAX),
            ),
            upto("answers_max", self.answers_max, EFFECTS_MAX.into()),
            ("fuel_per_call", self.fuel_per_call, 1..=FUEL_PER_CALL_MAX),
            ("memory_bytes_max", self.memory_bytes_max, 1..=4 << 30),
            upto("turns_per_microstep_max", self.turns_per_microstep_max, u32::MAX.into()),
            upto("effects_per_microstep_max", self.effects_per_microstep_max, u32::MAX.into()),
            upto(
                "payload_bytes_per_microstep_max",
                self.payload_bytes_per_microstep_max,
                BYTES_MAX,
            ),
            ("fuel_per_microstep_max", self.fuel_per_microstep_max, 1..=i64::MAX as u64),
            upto(
                "deliveries_per_microstep_max",
                self.deliveries_per_microstep_max,
                u32::MAX.into(),
            ),
            upto("messages_held_max", self.messages_held_max, COUNT_MAX),
            upto("payload_bytes_held_max", self.payload_bytes_held_max, BYTES_MAX),
            upto("inferences_pending_max", self.inferences_pending_max, COUNT_MAX),
            or_none("inference_bytes_max", self.inference_bytes_max, INFERENCE_BYTES_MAX.into()),
            or_none(
                "inference_bytes_per_microstep_max",
                self.inference_bytes_per_microstep_max,
                BYTES_MAX,
            ),
            or_none("inference_bytes_pending_max", self.inference_bytes_pending_max, BYTES_MAX),
            or_none(
                "inference_reply_bytes_pending_max",
                self.inference_reply_bytes_pending_max,
                BYTES_MAX,
            ),
            ("models_bytes_max", self.models_bytes_max, 0..=1 << 50),
            upto("memberships_max", self.memberships_max, EFFECTS_MAX.into()),
            upto("tasks_max", self.tasks_max, TASKS_MAX),
            upto("agent_tasks_max", self.agent_tasks_max, AGENT_TASKS_MAX),
            upto("dependencies_max", self.dependencies_max, DEPENDENCIES_MAX.into()),
        ]
    }

    /// Gives the limits on inference bytes that are 0 the values that suit these models.
    pub fn suit(&mut self, models: &[ModelSetup]) {
        let longest = |of: fn(&ModelSetup) -> u32| models.iter().map(of).max().unwrap_or(0);
        let whole = |bytes: u32| bytes.next_multiple_of(BLOCK_BYTES);
        let request = whole(longest(|model| model.request_bytes_max));
        let reply = whole(longest(|model| model.reply_bytes_max));
        // A request is at most an eighth of the most bytes.
        let times_16 = |bytes: u32| bytes.saturating_mul(16).min(1 << 31);
        let unless_set = |limit: &mut u32, least: u32, needed: u32| {
            if *limit == 0 && !models.is_empty() {
                *limit = least.max(needed);
            }
        };
        unless_set(&mut self.inference_bytes_max, 4 << 10, request);
        let quota = whole(self.inference_bytes_max);
        let some = times_16(quota).min(16 << 20).max(quota);
        unless_set(&mut self.inference_bytes_per_microstep_max, 2 << 20, some);
        unless_set(&mut self.inference_bytes_pending_max, 4 << 20, times_16(request));
        unless_set(&mut self.inference_reply_bytes_pending_max, 4 << 20, times_16(reply));
    }

    /// Whether each limit is within its [bounds](Limits::bounds).
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self) -> Result<(), LimitError> {
        for (key, value, bounds) in self.bounds() {
            if !bounds.contains(&value) {
                return Err(LimitError { key, value, min: *bounds.start(), max: *bounds.end() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_suits_the_models() {
        let mut limits = Limits::default();
        limits.suit(&[]);
        assert_eq!(limits, Limits::default(), "without models inference has no bytes");
        let mut model = ModelSetup::of_rows("m", 149, 1);
        limits.suit(std::slice::from_ref(&model));
        assert_eq!(limits.inference_bytes_max, 4 << 10);
        assert_eq!(limits.inference_bytes_per_microstep_max, 2 << 20);
        assert_eq!(limits.inference_bytes_pending_max, 4 << 20);
        (model.request_bytes_max, model.reply_bytes_max) = (4_915_201, INFERENCE_BYTES_MAX);
        let mut limits = Limits { inference_bytes_max: 100, ..Limits::default() };
        limits.suit(std::slice::from_ref(&model));
        assert_eq!(limits.inference_bytes_max, 100, "what is set stays");
        assert_eq!(limits.inference_bytes_pending_max, 16 * 4_915_264);
        assert_eq!(limits.inference_reply_bytes_pending_max, 1 << 31);
        for (request, per_microstep) in [(200_000, 3_200_000), (4_915_201, 16 << 20)] {
            model.request_bytes_max = request;
            let mut limits = Limits::default();
            limits.suit(std::slice::from_ref(&model));
            assert_eq!(limits.inference_bytes_per_microstep_max, per_microstep);
            assert!(limits.inference_bytes_max >= request);
        }
        assert_eq!(limits.check(), Ok(()));
    }

    #[test]
    fn every_limit_has_bounds_and_is_refused_beyond_either() {
        // These are left out of the text where they have their defaults.
        let all = Limits {
            models_bytes_max: 1,
            tasks_max: 1,
            agent_tasks_max: 1,
            dependencies_max: 1,
            ..Limits::default()
        };
        let keys = serde_json::to_value(all).expect("plain numbers");
        let keys: Vec<_> = keys.as_object().expect("a table").keys().cloned().collect();
        let mut named: Vec<_> =
            Limits::default().bounds().into_iter().map(|(key, ..)| key.to_owned()).collect();
        named.sort();
        assert_eq!(named, keys, "none is forgotten");
        assert_eq!(Limits::default().check(), Ok(()));
        for (key, _, bounds) in Limits::default().bounds() {
            let with = |value: u64| {
                let mut limits = serde_json::to_value(Limits::default()).expect("plain numbers");
                limits[key] = value.into();
                // What its type cannot hold is refused when it is read.
                serde_json::from_value::<Limits>(limits).ok().map(|limits| limits.check())
            };
            let (min, max) = (*bounds.start(), *bounds.end());
            for value in [min, max] {
                assert_eq!(with(value), Some(Ok(())), "{key} = {value}");
            }
            for value in [min.wrapping_sub(1), max.wrapping_add(1)] {
                if bounds.contains(&value) {
                    continue;
                }
                let refused = with(value).map(|checked| checked.map_err(|error| error.key));
                assert!(matches!(refused, None | Some(Err(_))), "{key} = {value}");
            }
        }
    }
}
