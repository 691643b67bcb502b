//! Failures of the machine or of the kernel itself, as opposed to faults of a guest.
//!
//! A fault is the guest's and part of the semantics; a [`MachineError`] is neither and never
//! shown to a guest: it stops the kernel at the last closed tick (SEMANTICS T10). It crosses from
//! a worker to the scheduler as bytes (`worker.rs`), so it is plain data.

use wasm_engine_abi::AgentId;

/// What failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[non_exhaustive]
pub enum MachineFailure {
    /// No instance could be made of an admitted module.
    Instantiate = 1,
    /// A memory could not grow within its granted limit.
    Grow = 2,
    /// The lane's outbox had no room within the limits of the turn.
    Outbox = 3,
    /// A payload does not lie where its descriptor says.
    Payload = 4,
    /// An invalid turn command.
    Command = 5,
    /// The engine answered what it never should.
    Engine = 6,
    /// Code of the lane panicked.
    Panic = 7,
    /// A ring between scheduler and lane carried what it never should.
    Ring = 8,
}

impl MachineFailure {
    /// What happened and what to do, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Instantiate => {
                "no instance could be made; give the process more memory or lower agents_max"
            }
            Self::Grow => {
                "memory could not grow within its limit; give the process more memory or lower \
                 memory_bytes_max"
            }
            Self::Outbox => "the outbox is full within the limits of a turn; report this bug",
            Self::Payload => "a payload is not where its descriptor says; report this bug",
            Self::Command => "an invalid turn was commanded; report this bug",
            Self::Engine => "the wasm engine failed; report this bug",
            Self::Panic => "the lane panicked; report this bug",
            Self::Ring => "the ring to the scheduler is broken; report this bug",
        }
    }

    /// The failure with this number, if it is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Instantiate,
            2 => Self::Grow,
            3 => Self::Outbox,
            4 => Self::Payload,
            5 => Self::Command,
            6 => Self::Engine,
            7 => Self::Panic,
            8 => Self::Ring,
            _ => return None,
        })
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
    /// Something the engine should never answer.
    pub(crate) fn engine(error: &wasmtime::Error) -> Self {
        Self::Machine(MachineFailure::Engine, format!("{error:#}"))
    }
}
