//! Keyframes: the state of a run at a tick, in files beside its log (SEMANTICS L9).
//!
//! - `file.rs` the bytes of one, written and read
//! - `writer.rs` the thread that writes them while the run goes on (feature `writer`)
//!
//! A keyframe is a help and never the truth: without it the log is executed from its start. So a
//! failure to write one ends nothing, and one that is damaged, or of another format, ABI or engine,
//! is passed over with its reason.
//!
//! What its parts mean is the caller's.

mod file;
#[cfg(feature = "writer")]
mod writer;

#[cfg(feature = "writer")]
pub use self::file::write_keyframe;
pub use self::file::{
    Keyframe, KeyframeError, KeyframeTerms, read_keyframe, remove_keyframe, ticks_of_keyframes,
};
#[cfg(feature = "writer")]
pub use self::writer::{AgentStates, KeyframeCounts, KeyframeJob, KeyframeWriter};
