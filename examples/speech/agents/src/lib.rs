//! The two agents of the speech example. Each stream of sound has one of each.
//!
//! ```text
//!  source --audio/KEY--> detector --infer--> model `speech`
//!                          |    <--reply, one tick later: probability and the next state
//!                   probability/KEY
//!                          |
//!                      segmenter
//!                   |      |      |
//!          window/KEY  segment/KEY  total/KEY      (to the host)
//! ```
//! A tick is a window of 512 samples, 32 ms. How windows are asked about and probabilities become
//! segments is what silero-vad's Python package does (`OnnxWrapper` and
//! `get_speech_timestamps_from_probs` in version 6.2.3), written anew for one window after the
//! other: [`ear`], [`hysteresis`].
//!
//! No heap, no clock. The agents live in this library so that their tests run on the host;
//! `modules/` exports them.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod detector;
pub mod ear;
pub mod heard;
pub mod hysteresis;
pub mod segmenter;
pub mod stream;

/// Codes of their own that the agents return; none is a fault.
pub mod code {
    use wasm_engine_agent::Code;

    /// A payload is not what its topic promises; the item is ignored.
    pub const BAD_PAYLOAD: Code = Code::own(1);
    /// The model did not answer, or not with what it promises: the window counts as silence.
    pub const NO_ANSWER: Code = Code::own(2);
    /// A window came before the model had answered the one before it: a fault, for the state that
    /// it is to be asked with is not known. The model's `latency_ticks` must be 1.
    pub const TOO_SOON: Code = Code::fault(1);
}
