//! A model in a process of its own, so that what ends that process does not end the kernel.
//!
//! ```text
//!  kernel                                              process of one model
//!  batcher -> IsolatedModel --start, rows--> pipe --> reader: its end is the kernel's end
//!             (a Backend)                               |
//!                       <--ready, rows, why not-- pipe -+- OnnxModel
//! ```
//! What: `IsolatedModel` is one more [`Backend`](crate::Backend): batches, order, padding and
//! halving stay where they are. A native library can raise a signal (an integer division, a stack
//! without end, an assertion), and nothing in the same process cures that. Here it closes a pipe:
//! the run fails as [`BackendFailure::Ended`](crate::BackendFailure), the next one has a new
//! process with the same model, and the batcher finds the row that does it as it finds every row
//! that fails (SEMANTICS I3.6). Nothing in this depends on timing.
//!
//! - *It never outlives its kernel.* Only the kernel holds the other end of its input. A thread of
//!   it does nothing but read there and, when the pipe ends, kills the process, whatever the model
//!   does just then.
//! - *It has nothing of the kernel's* but two pipes and standard error: no region, no log. What it
//!   writes to standard output goes to standard error.
//! - *It has its own process group*, so a signal from the terminal is the kernel's alone.
//!
//! | file | what |
//! |---|---|
//! | `wire.rs` | frames in the pipes |
//! | `parent.rs` | the kernel's side |
//! | `child.rs` | the process of the model |
//!
//! What not: no limit on memory or time, no protection of files or network: it is a bulkhead, not a
//! sandbox.

mod child;
mod parent;
mod wire;

pub use child::serve;
pub use parent::IsolatedError;
pub(crate) use parent::IsolatedModel;
