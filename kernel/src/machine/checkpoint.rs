//! The state of a kernel between two ticks: the core's bytes, and of each agent what its lane saves
//! (SEMANTICS L8).
//!
//! ```text
//!  agents, ascending by slot:  slot u32 | bytes u64 | state ...
//! ```
//! The tick stops for the copy only. Agents that took no turn since the last copy are as they were,
//! so only the others are copied: `changed_slots.rs` marks them.

use std::sync::Arc;

use wasm_engine_core::{CheckpointError, Core};
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
            let before = states.len();
            let lives = self.core.incarnation(slot).is_some();
            if lives && self.lanes.save(self.core.agent(slot).id, states)? {
                // A lane holds no state of so many bytes.
                changed.push((slot, u32::try_from(states.len() - before).ok()));
            } else {
                changed.push((slot, None));
            }
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
            let Some((agent, incarnation)) = self.core.incarnation(slot) else { continue };
            let unfit = RestoreError::Agents { slot };
            let Some((state, more)) = state_of(slot, rest) else { return Err(unfit) };
            rest = more;
            let template = self.core.agent(slot).template;
            self.lanes.restore(agent, incarnation, template, state)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(RestoreError::Agents { slot: self.core.slots() }) }
    }
}

/// The state of the agent in this slot, if it is the next one, and what stands behind it.
fn state_of(slot: u32, agents: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = agents.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    (u32::from_le_bytes(*found) == slot).then(|| rest.split_at_checked(len))?
}
