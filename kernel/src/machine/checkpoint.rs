//! The state of a kernel between two ticks: the core's bytes, and of each agent what its lane saves
//! (SEMANTICS L8).
//!
//! ```text
//!  agents, ascending by slot:  slot u32 | bytes u64 | state bytes u32 | state | save point
//! ```
//! Either may be empty: an agent in backoff has no state, most have no save point.
//! The tick stops for the copy only. Agents that took no turn since the last copy are as they were,
//! so only the others are copied: `changed_slots.rs` marks them.

use std::sync::Arc;

use wasm_engine_core::{AgentState, CheckpointError, Core};
use wasm_engine_guest::MachineError;
use wasm_engine_log::keyframes::KeyframeJob;

use crate::machine::Kernel;

/// Why a kernel cannot go on from a state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The state machine's part.
    #[error(transparent)]
    Core(#[from] CheckpointError),
    /// An agent's part.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Agents without a state, or states without an agent.
    #[error(
        "the states of agents are not those of the checkpoint's agents, at slot {slot}; use the \
         one before it, or the log from its start"
    )]
    Agents {
        /// The first slot that does not fit.
        slot: u32,
    },
}

impl Kernel {
    /// Copies the state as of the last closed tick into `job`: the core, and the agents that ran
    /// since the last copy.
    ///
    /// # Errors
    /// A failure of the machine; the kernel must not be used again.
    pub fn checkpoint(&mut self, job: &mut KeyframeJob) -> Result<(), MachineError> {
        let KeyframeJob { keyframe, changed, states, .. } = job;
        (keyframe.tick, keyframe.digest) = (self.core.tick(), self.core.digest());
        keyframe.core.clear();
        self.core.checkpoint(&mut self.payloads, &mut keyframe.core);
        changed.clear();
        states.clear();
        let slots = self.changed.take(self.core.slots());
        for &slot in slots.iter() {
            let (before, agent) = (states.len(), self.core.agent(slot).id);
            let lives = self.core.incarnation(slot).is_some();
            let saved = self.core.saved(slot).is_some();
            if !lives && !saved {
                changed.push((slot, None));
                continue;
            }
            states.extend_from_slice(&[0; 4]);
            if lives {
                self.lanes.save(agent, states)?;
            }
            // A lane holds no state of so many bytes.
            let len = u32::try_from(states.len() - before - 4).unwrap_or(u32::MAX);
            states[before..before + 4].copy_from_slice(&len.to_le_bytes());
            if saved {
                self.lanes.saved(agent, states);
            }
            changed.push((slot, u32::try_from(states.len() - before).ok()));
        }
        self.changed.give_back(slots);
        Ok(())
    }

    /// Begins to mark the agents that take turns; the next [`Kernel::checkpoint`] copies all.
    pub fn mark_changes(&mut self) {
        self.changed.begin();
    }

    /// Goes on from a state that [`Kernel::checkpoint`] copied, before the first tick.
    ///
    /// # Errors
    /// [`RestoreError`]; the kernel must not be used again.
    pub fn restore(&mut self, core: &[u8], agents: &[u8]) -> Result<(), RestoreError> {
        let setup = Arc::clone(self.core.setup());
        self.core = Core::restore(setup, core, &mut self.payloads)?;
        let mut rest = agents;
        for slot in 0..self.core.slots() {
            let (lives, saves) = (self.core.incarnation(slot), self.core.saved(slot).is_some());
            if lives.is_none() && !saves {
                continue;
            }
            let unfit = || RestoreError::Agents { slot };
            let (states, more) = state_of(slot, rest).ok_or_else(unfit)?;
            rest = more;
            let (state, saved) = both(states).ok_or_else(unfit)?;
            if lives.is_none() != state.is_empty() || saves == saved.is_empty() {
                return Err(unfit());
            }
            let AgentState { id, template, .. } = self.core.agent(slot);
            if let Some((agent, incarnation)) = lives {
                self.lanes.restore(agent, incarnation, template, state)?;
            }
            if saves {
                self.lanes.restore_saved(id, template, saved)?;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(RestoreError::Agents { slot: self.core.slots() }) }
    }
}

/// State and save point of an agent.
fn both(states: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = states.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
}

/// The state of the agent in this slot, if it is the next one, and what stands behind it.
fn state_of(slot: u32, agents: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = agents.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    (u32::from_le_bytes(*found) == slot).then(|| rest.split_at_checked(len))?
}
