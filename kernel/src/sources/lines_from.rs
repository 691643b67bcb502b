//! How the inputs of a live source come, and where its lines come from.

use std::path::PathBuf;

use crate::config::InputForm;

/// How the inputs of a live source come.
#[derive(Clone, Debug)]
pub(crate) enum LiveWay {
    /// A host pushes them.
    Pushed,
    /// A thread reads their lines.
    Lines(LinesFrom),
    /// Connections to this socket send lines.
    Socket(PathBuf, LinesFrom),
    /// A feeder hands them over; where it connects, if that is said.
    Feeder(Option<PathBuf>),
}

/// Where lines come from, and how they are read.
#[derive(Clone, Debug)]
pub(crate) struct LinesFrom {
    /// The file; none for standard input.
    pub(crate) file: Option<PathBuf>,
    /// The member that names the stream.
    pub(crate) member: Option<String>,
    pub(crate) form: InputForm,
}
