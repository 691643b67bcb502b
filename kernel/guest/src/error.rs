//! Failures of the machine or of the kernel itself, as opposed to faults of a guest.
//!
//! A fault is the guest's and part of the semantics; a [`MachineError`] is neither and never
//! shown to a guest: it stops the kernel at the last closed tick (SEMANTICS T10). It crosses from
//! a worker to the scheduler as bytes (`worker.rs`), so it is plain data.

use wasm_engine_abi::{AgentId, codes};

codes! {
/// What failed.
enum MachineFailure: u32 {
    /// No instance could be made of an admitted module.
    Instantiate = 1
        "no instance could be made; give the process more memory, raise vm.max_map_count (two \
         mappings an agent) or lower agents_max",
    /// A memory could not grow within its granted limit.
    Grow = 2
        "memory could not grow within its limit; give the process more memory or lower \
         memory_bytes_max",
    /// The lane's outbox had no room within the limits of the turn.
    Outbox = 3 "the outbox is full within the limits of a turn; report this bug",
    /// A payload does not lie where its descriptor says.
    Payload = 4 "a payload is not where its descriptor says; report this bug",
    /// An invalid turn command.
    Command = 5 "an invalid turn was commanded; report this bug",
    /// The engine answered what it never should.
    Engine = 6 "the wasm engine failed; report this bug",
    /// Code of the lane panicked.
    Panic = 7 "the lane panicked; report this bug",
    /// A ring between scheduler and lane carried what it never should.
    Ring = 8 "the ring to the scheduler is broken; report this bug",
    /// A saved state is not one of its module.
    State = 9
        "a saved state is not one of its module; use the keyframe before it, or the log from its \
         start",
}
}

/// A failure of the machine or the kernel in a lane: the run stops at the last closed tick.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("lane {lane}, agent {agent}: {} ({detail})", failure.text())]
pub struct MachineError {
    /// What failed.
    pub failure: MachineFailure,
    /// Lane in which it failed.
    pub lane: u32,
    /// Agent whose turn it was, or none.
    pub agent: AgentId,
    /// The cause, in words.
    pub detail: String,
}

/// Why a call of a guest function gave no code.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest's fault: one of [`fault`](wasm_engine_abi::frame::fault).
    Fault(u32),
    /// Not the guest's.
    Machine(MachineFailure, String),
}

impl Stop {
    /// A command that no turn of the plan can be.
    #[cold]
    pub(crate) fn command(what: &str) -> Self {
        Self::Machine(MachineFailure::Command, what.to_owned())
    }

    /// Bytes that are no state of their module.
    #[cold]
    pub(crate) fn state(what: &str) -> Self {
        Self::Machine(MachineFailure::State, what.to_owned())
    }

    /// Something the engine should never answer.
    pub(crate) fn engine(error: &wasmtime::Error) -> Self {
        Self::Machine(MachineFailure::Engine, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::MachineFailure;

    #[test]
    fn every_failure_has_a_number() {
        assert!(MachineFailure::ALL.len() >= 9, "a failure left the table");
        for (at, failure) in MachineFailure::ALL.iter().enumerate() {
            let number = *failure as u32;
            assert_eq!(MachineFailure::from_code(number), Some(*failure));
            assert!(!failure.text().is_empty(), "{failure:?}");
            for later in &MachineFailure::ALL[at + 1..] {
                assert_ne!(number, *later as u32, "{failure:?} and {later:?}");
                assert_ne!(failure.text(), later.text(), "{failure:?} and {later:?}");
            }
        }
        // 0 is what a ring that was never written holds.
        for unknown in [0, 10, u32::MAX] {
            assert_eq!(MachineFailure::from_code(unknown), None);
        }
    }
}
