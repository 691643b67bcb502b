//! What the bits of a model's replies depend on beside its file.

use std::fmt;
use std::sync::PoisonError;

use crate::onnx::{cpu::CpuClass, library::ACTIVE};
use crate::provider::ProviderName;

/// The settings every session is made with; part of the [`Fingerprint`], behind the provider.
pub const PROFILE: &str = "intra=1 inter=1 sequential level2 prepack";

/// Under what the outputs of a model came about. Bits are comparable between equal ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Version of the library.
    pub library_version: String,
    /// SHA-256 of the library file, in hexadecimal.
    pub library_sha256: String,
    /// Class of the processor.
    pub cpu: CpuClass,
    /// [`PROFILE`], with the provider in front.
    pub profile: String,
}

impl Fingerprint {
    /// With the active library on this processor, computed by `provider`.
    pub(super) fn here(provider: ProviderName) -> Self {
        let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let (library_version, library_sha256) = match active.as_ref() {
            Some(library) => (library.version.clone(), library.sha256.clone()),
            None => Default::default(),
        };
        let cpu = CpuClass::detect();
        Self {
            library_version,
            library_sha256,
            cpu,
            profile: format!("{} {PROFILE}", provider.text()),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { library_version, library_sha256, cpu, profile } = self;
        write!(f, "onnxruntime {library_version} {library_sha256} {cpu} {profile}")
    }
}
