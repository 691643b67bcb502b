//! Exit codes: the table, the trait, and the codes of errors from other crates; each error of this
//! crate says its own beside its definition.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | ok |
//! | 1 | failure of the machine or of the kernel |
//! | 2 | usage or configuration: something to be written differently |
//! | 3 | divergence: a replay did not give what the log says |
//! | 4 | corrupt or truncated: a log or an outputs file was damaged |
//! | 5 | refused: ABI, import, capability, limit or model |
//! | 6 | a fault, where by configuration a fault ends the run or makes it fail |
//! | 7 | timeout |
//! | 130 | interrupted |

use wasm_engine_guest::admission::AdmissionError;
use wasm_engine_inference::registry::ModelError;
use wasm_engine_log::{outputs::OutputError, run_header::RunHeaderError};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The machine or the kernel failed.
    Failure = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A replay diverged.
    Divergence = 3,
    /// A file was damaged.
    Corrupt = 4,
    /// A module or a run exceeds what is allowed.
    Refused = 5,
    /// An agent's fault ended the run, or made it fail.
    Fault = 6,
    /// The time was up.
    Timeout = 7,
    /// The user interrupted.
    Interrupted = 130,
}

impl Exit {
    /// The code of a failure of another crate, as its `exit_code` gives it.
    pub(crate) const fn of_code(code: u8) -> Self {
        match code {
            2 => Self::Usage,
            4 => Self::Corrupt,
            5 => Self::Refused,
            _ => Self::Failure,
        }
    }

    /// The code of a file that cannot be read: the user named a wrong one, unless the machine has
    /// no memory or no descriptor left to open any.
    pub(crate) fn of_reading(error: &std::io::Error) -> Self {
        // EIO, ENOMEM, ENFILE, EMFILE: the same numbers on every Unix.
        const EXHAUSTED: [i32; 4] = [5, 12, 23, 24];
        let machine = error.kind() == std::io::ErrorKind::OutOfMemory
            || cfg!(unix) && error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code));
        if machine { Self::Failure } else { Self::Usage }
    }

    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What ends a command and so has an exit code.
pub trait HasExitCode {
    /// The code.
    fn exit(&self) -> Exit;
}

impl HasExitCode for AdmissionError {
    fn exit(&self) -> Exit {
        Exit::Refused
    }
}

impl HasExitCode for ModelError {
    fn exit(&self) -> Exit {
        Exit::of_code(self.exit_code())
    }
}

impl HasExitCode for OutputError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } => Exit::Failure,
            Self::Stream { action: "created", .. } => Exit::Usage,
            Self::Stream { .. } => Exit::Failure,
            Self::Malformed { .. } | Self::Mismatch { .. } | Self::Length { .. } => Exit::Corrupt,
        }
    }
}

impl HasExitCode for RunHeaderError {
    fn exit(&self) -> Exit {
        match self {
            Self::Log(error) => Exit::of_code(error.exit_code()),
            Self::Malformed { .. } | Self::Changed { .. } => Exit::Divergence,
            Self::Missing { .. } | Self::Incomplete => Exit::Corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_the_users_unless_the_machine_has_nothing_left() {
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::FileTooLarge] {
            assert_eq!(Exit::of_reading(&kind.into()), Exit::Usage, "{kind}");
        }
        assert_eq!(Exit::of_reading(&ErrorKind::OutOfMemory.into()), Exit::Failure);
        for code in [12, 24] {
            assert_eq!(Exit::of_reading(&Error::from_raw_os_error(code)), Exit::Failure, "{code}");
        }
    }
}
