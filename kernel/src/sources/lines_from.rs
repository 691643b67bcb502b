//! Where the lines of a live source come from.

use std::path::PathBuf;

use crate::config::InputForm;

/// Where lines come from, and how they are read.
#[derive(Clone, Debug)]
pub(crate) struct LinesFrom {
    /// The file; none for standard input.
    pub(crate) file: Option<PathBuf>,
    /// The member that names the stream.
    pub(crate) member: Option<String>,
    pub(crate) form: InputForm,
}
