//! Defaults of how agents are kept; physical.

/// Agents of all lanes that are awake at once; more sleep.
pub const AWAKE_MAX: u32 = 131_072;
