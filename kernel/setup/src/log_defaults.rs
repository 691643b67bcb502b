//! How a log is written where nobody says otherwise: for the configuration and for whoever opens
//! one by hand. Physical.

use crate::SyncPolicy;

/// When it is synced to disk.
pub const LOG_SYNC: SyncPolicy = SyncPolicy::EveryMs(100);
/// Longest segment file: 64 MiB.
pub const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Longest block: 64 KiB.
pub const LOG_BLOCK_BYTES: u32 = 64 << 10;
/// Longest time a record waits for its block to fill, in milliseconds.
pub const LOG_BLOCK_MS: u32 = 10;
/// Executed ticks between two keyframes.
pub const LOG_KEYFRAME_TICKS: u64 = 16_384;
/// Keyframes that are kept of those that the log covers.
pub const LOG_KEYFRAMES_MAX: u32 = 2;
