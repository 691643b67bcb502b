//! What the bits of a model's replies depend on beside its file.

use std::fmt;
use std::sync::PoisonError;

use crate::onnx::{cpu::CpuClass, library::ACTIVE};

/// The settings every session is made with; part of the [`Fingerprint`].
pub const PROFILE: &str = "cpu intra=1 inter=1 sequential level2 prepack";

/// Under what the outputs of a model came about. Bits are comparable between equal ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Version of the library.
    pub library_version: String,
    /// SHA-256 of the library file, in hexadecimal.
    pub library_sha256: String,
    /// Class of the processor.
    pub cpu: CpuClass,
    /// [`PROFILE`].
    pub profile: &'static str,
}

impl Fingerprint {
    /// With the active library on this processor.
    pub(super) fn here() -> Self {
        let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let (library_version, library_sha256) = match active.as_ref() {
            Some(library) => (library.version.clone(), library.sha256.clone()),
            None => Default::default(),
        };
        let cpu = CpuClass::detect();
        Self { library_version, library_sha256, cpu, profile: PROFILE }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library_version, library_sha256, cpu, profile } = self;
        write!(f, "onnxruntime {library_version} {library_sha256} {cpu} {profile}")
    }
}
