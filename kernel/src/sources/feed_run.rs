//! What a run says of itself to those who feed it.

/// What a run says of itself to those who feed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedRun {
    /// The same after it was resumed.
    pub(crate) run_id: [u8; 16],
    /// Whether inputs become durable.
    pub(crate) has_log: bool,
}
