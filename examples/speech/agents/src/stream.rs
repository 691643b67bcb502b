//! The stream of sound that an agent is for, by the key in its arguments.

use wasm_engine_agent::{Code, Host, Init, Status, Text, Topic};

/// Longest key in bytes: that of the engine.
pub const KEY_BYTES_MAX: usize = 128;

/// The key of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: Text<KEY_BYTES_MAX>,
}

impl Stream {
    /// The stream in an agent's arguments.
    ///
    /// # Errors
    /// [`Status::Invalid`] if they are no key.
    pub fn from_args(init: &Init<'_>) -> Result<Self, Code> {
        let mut key = Text::new();
        key.str(init.args_str().ok_or(Status::Invalid)?);
        if key.is_cut() { Err(Status::Invalid.into()) } else { Ok(Self { key }) }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    /// The topic `subject/KEY`.
    ///
    /// # Errors
    /// The status of the host, if it is not configured.
    pub fn topic(&self, subject: &str, host: &mut Host) -> Result<Topic, Status> {
        let mut name = Text::<{ KEY_BYTES_MAX + 32 }>::new();
        host.topic(name.str(subject).str("/").str(self.key()).as_str())
    }
}
