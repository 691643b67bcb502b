//! Why a kernel cannot be looked at, in one sentence each: what, which, what to do.
//!
//! What is no error: a kernel that has died, hangs or has finished. It can be looked at, and the
//! view says so.

use std::path::PathBuf;

use wasm_engine_shm::header::AttachError;
use wasm_engine_shm::locate::LocateError;
use wasm_engine_shm::map::MapError;

/// Why a kernel cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// No kernel of that name runs.
    #[error("no running kernel is named {name} in {directory}; {}", running(.live))]
    NotFound {
        /// Name asked for.
        name: String,
        /// Where names are kept.
        directory: PathBuf,
        /// Names of kernels that run.
        live: Vec<String>,
    },
    /// No kernel runs at all.
    #[error(
        "no kernel is running in {directory}; start one with `wasm-engine run`, or set \
         XDG_RUNTIME_DIR to where it runs"
    )]
    NoneLive {
        /// Where names are kept.
        directory: PathBuf,
    },
    /// More than one kernel runs and no name was given.
    #[error("{} kernels are running, give the name of one: {}", .live.len(), .live.join(", "))]
    Several {
        /// Their names.
        live: Vec<String>,
    },
    /// The name leads to nothing that can be opened.
    #[error("cannot open {name}: {source}")]
    Locate {
        /// Name asked for.
        name: String,
        /// Why.
        #[source]
        source: LocateError,
    },
    /// The owner is still formatting the region, or died while doing so.
    #[error("cannot read {name}: {source}")]
    NotReady {
        /// Name of the kernel.
        name: String,
        /// Why.
        #[source]
        source: AttachError,
    },
    /// The region was written by another version.
    #[error("cannot read {name}: {source}")]
    Version {
        /// Name of the kernel.
        name: String,
        /// Both versions.
        #[source]
        source: AttachError,
    },
    /// A section was written by another version.
    #[error(
        "cannot read {name}: its {section} section has layout {found}, this monitor knows {known}; \
         use the monitor of the kernel's version"
    )]
    Layout {
        /// Name of the kernel.
        name: String,
        /// Which section.
        section: &'static str,
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The header or directory is damaged.
    #[error("cannot read {name}: {source}")]
    Corrupt {
        /// Name of the kernel.
        name: String,
        /// What is damaged.
        #[source]
        source: AttachError,
    },
    /// What a section holds cannot be.
    #[error(
        "cannot read {name}: the {section} {problem}; the region is damaged, restart the kernel"
    )]
    Section {
        /// Name of the kernel.
        name: String,
        /// Which section.
        section: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The kernel was faster than this reader in every attempt.
    #[error("{name} changed its {section} during every attempt to read; try again")]
    Busy {
        /// Name of the kernel.
        name: String,
        /// Which section.
        section: &'static str,
    },
}

fn running(live: &[String]) -> String {
    match live {
        [] => "none is running: start one with `wasm-engine run`".to_owned(),
        _ => format!("running: {}", live.join(", ")),
    }
}

impl MonitorError {
    /// Exit status for a command that ends with it: 1 failure, 2 usage, 4 corrupt, 5 refused.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Several { .. } | Self::Locate { source: LocateError::Name { .. }, .. } => 2,
            Self::Corrupt { .. } | Self::Section { .. } => 4,
            Self::Locate { source: LocateError::Descriptor { .. }, .. } => 4,
            Self::Locate { source: LocateError::Map(error), .. } => match error {
                MapError::Io { .. } => 1,
                _ => 4,
            },
            Self::Version { .. } | Self::Layout { .. } => 5,
            _ => 1,
        }
    }

    /// Whether the next poll may well succeed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::NotReady { .. })
    }

    /// Sorts what attaching said.
    pub(crate) fn attach(name: &str, source: AttachError) -> Self {
        let name = name.to_owned();
        match source {
            AttachError::NotReady => Self::NotReady { name, source },
            AttachError::Version { .. }
            | AttachError::Schema { .. }
            | AttachError::Endian { .. } => Self::Version { name, source },
            _ => Self::Corrupt { name, source },
        }
    }
}
