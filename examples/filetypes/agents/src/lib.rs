//! The two agents of the example of file types: one router, one collector for each group.
//!
//! ```text
//!  source --file--> router --infer--> model `filetype`
//!                      |   <--reply, one tick later
//!                 sorted/GROUP
//!                      |
//!                  collector of the group
//!                   |           |
//!            verdict/GROUP  summary/GROUP      (to the host)
//! ```
//! How a file becomes numbers, and an answer a label, is what magika's Python package does
//! (`_extract_features_from_seekable` and `_get_output_label_from_dl_label_and_score` in version
//! 1.0.3), written anew: [`features`], [`decision`].
//!
//! No heap, no clock. The agents live in this library so that their tests run on the host;
//! `modules/` exports them.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod collector;
pub mod decision;
pub mod features;
pub mod groups;
pub mod kinds;
pub mod router;
pub mod sorted;

/// Codes of their own that the agents return; none is a fault.
pub mod code {
    use wasm_engine_agent::Code;

    /// A payload is not what its topic promises; the item is ignored.
    pub const BAD_PAYLOAD: Code = Code::own(1);
    /// An argument is no group; at init this is a fault.
    pub const BAD_GROUP: Code = Code::own(2);
    /// More files came in one tick than requests may be outstanding; the file is left out.
    pub const TOO_MANY: Code = Code::own(3);
    /// The model did not answer, or not with what it promises; the file is left out.
    pub const NO_ANSWER: Code = Code::own(4);
}
