//! What becomes of the next agent in order.

/// What to do with the next agent in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is planned and leaves the order.
    Take,
    /// It does not fit: planning ends here and it keeps its position (Q3).
    Stop,
}
