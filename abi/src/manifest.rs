//! The custom section in which a module states what it is and what it asks for.
//!
//! A module carries exactly one section [`SECTION`]: UTF-8 TOML with the keys below and no
//! others. The kernel parses it (`kernel/guest/src/admission/manifest.rs`); guests only embed it.
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
//! between slashes and `**`, only as the last segment, any number of them.

/// Name of the custom section.
pub const SECTION: &str = "wasm_engine.manifest";
