//! What a check is and what it gives.

use std::fmt;

use super::tree::{RustFile, Tree};

/// One thing that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
    pub(super) advice: String,
}

/// One check: its name, what it holds and covers, how it looks.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) holds: &'static str,
    pub(super) run: fn(&Tree) -> Vec<Finding>,
}

impl Finding {
    pub(super) fn new(
        path: &str,
        line: usize,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), advice: advice.into() }
    }

    /// At an offset of a Rust file.
    pub(super) fn at(
        source: &RustFile,
        at: usize,
        what: String,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(&source.path, source.line(at), what, advice)
    }

    /// An entry of a check's own table that is no longer needed.
    pub(super) fn stale(table: &str, entry: &str) -> Self {
        let path = format!("xtask/src/tidy/{table}.rs");
        Self::new(&path, 1, format!("the exception of {entry} is not needed"), "remove it")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let finding = Finding::new("a.rs", 3, "is long", "cut it");
        assert_eq!(finding.to_string(), "a.rs:3: is long; cut it");
    }
}
