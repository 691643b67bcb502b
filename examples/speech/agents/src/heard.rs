//! What the detector tells the segmenter: a window and how likely there is speech in it.

use wasm_engine_agent::bytemuck::{Pod, Zeroable};

/// A window.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Heard {
    /// Its first sample, counted from the beginning of the stream.
    pub start: u64,
    /// Its samples: 512, or fewer in the last window of a stream, 0 if that holds nothing at all.
    pub samples: u32,
    /// Probability of speech; 0 in a window of no samples.
    pub probability: f32,
}
