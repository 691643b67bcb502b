//! What a case came to in the engine.

use crate::case::{Case, PlainOutcome};

/// Where a model was accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Home {
    /// In the kernel's process.
    Kernel,
    /// In one of its own only, for it may end the one that runs it.
    Own,
}

/// What a case came to in the engine, from the best to the worst.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum CaseFate {
    /// Every reply is that of plain ONNX Runtime, bit for bit.
    Equal,
    /// Every reply is within the tolerance that the case states; where another bit is.
    Within(String),
    /// It was not run: a list of tensors has no place for its requests or replies.
    Inexpressible(String),
    /// The model is refused, in words.
    Refused(String),
    /// A run failed, in words.
    Failed(String),
    /// A reply is another than that of plain ONNX Runtime; where.
    Different(String),
    /// The process ended, or was silent for too long.
    Ended(String),
}

/// A case and what it came to.
#[derive(Clone, Debug)]
pub(crate) struct CaseResult {
    pub(crate) case: Case,
    /// If it was accepted.
    pub(crate) home: Option<Home>,
    pub(crate) fate: CaseFate,
}

impl CaseResult {
    /// Whether it does all that plain ONNX Runtime does: the same values, or the stated ones.
    pub(crate) fn passes(&self) -> bool {
        matches!(self.fate, CaseFate::Equal | CaseFate::Within(_))
    }

    /// Whether plain ONNX Runtime does what the case states, and the engine could be asked.
    pub(crate) fn is_due(&self) -> bool {
        self.case.plain == PlainOutcome::Pass && self.case.inexpressible.is_none()
    }
}
