//! Why a model is refused before the library sees it.

/// Why a model is refused before the library sees it.
#[derive(Debug, PartialEq)]
pub(crate) enum ScanFault {
    /// Its bytes cannot be read.
    Malformed(&'static str),
    /// It holds something that this kernel does not run.
    Refused {
        /// What it holds.
        what: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// It may end the process that runs it.
    Ends {
        /// What it holds.
        what: String,
        /// What to do about it in the model.
        cure: &'static str,
    },
}

/// Whose process a model runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Surroundings {
    /// The kernel's, which must live: what may end it is refused.
    Kernel,
    /// One of its own, whose end is a failure of the model.
    Own,
}

impl ScanFault {
    /// Refused; there is nothing to do but to leave it out.
    pub(super) fn without(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), cure: "export it without" }
    }
}

/// A name out of a model for a message: short, and without what a terminal would obey.
pub(super) fn shown(name: &[u8]) -> String {
    const LEN_MAX: usize = 60;
    let text: String = String::from_utf8_lossy(name).chars().take(LEN_MAX).collect();
    text.escape_debug().to_string()
}
