//! The custom section in which a module states what it is and what it asks for.
//!
//! A module carries exactly one section [`SECTION`]: UTF-8 TOML with the keys below and no
//! others. The kernel parses it (`kernel/guest/src/admission/manifest.rs`); guests only embed it.
//! Where a language cannot write custom sections the same text lies beside `NAME.wasm` in the file
//! `NAME.manifest.toml` ([`FILE_ENDING`]); the kernel puts it into the module when it reads it, so
//! that the module's hash and every log hold both.
//!
//! ```toml
//! name = "forecaster"
//! version = "1.0.0"
//! abi = 1
//! capabilities = ["subscribe:observation/**", "publish:forecast/**", "infer:temperature"]
//! fuel_per_call = 200000      # optional, at most what the configuration allows
//! memory_bytes = 131072       # optional, at most what the configuration allows
//! ```
//!
//! Capabilities are `send`, `timer`, `lifecycle`, `random`, `log` and, with a pattern,
//! `publish:`, `subscribe:`, `channel:`, `infer:`, `spawn:`. In a pattern `*` is one segment
//! between slashes and `**`, only as the last segment, any number of them. A manifest has at most
//! [`CAPABILITIES_MAX`] of them, each of at most [`CAPABILITY_BYTES_MAX`] bytes.

/// Name of the custom section.
pub const SECTION: &str = "wasm_engine.manifest";

/// Ending of the file that holds the manifest of a module without a section, instead of `wasm`.
pub const FILE_ENDING: &str = "manifest.toml";

/// Capabilities of one manifest, at most.
pub const CAPABILITIES_MAX: u32 = 256;

/// Bytes of one capability, at most.
pub const CAPABILITY_BYTES_MAX: usize = 256;
