//! SDK for agents: what a module must export, what it may call, in safe Rust.
//!
//! An agent is a type that implements [`Agent`]; [`export!`] makes a module of it. State lives in
//! one static of the module, items arrive in a static inbox, and nothing needs a heap.
//!
//! ```
//! use wasm_engine_agent::{Agent, Code, Host, Init, Item, Topic};
//!
//! struct Echo {
//!     out: Topic,
//! }
//!
//! impl Agent for Echo {
//!     fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code> {
//!         let wanted = host.topic(init.args_str().unwrap_or("in"))?;
//!         host.subscribe(wanted)?;
//!         Ok(Self { out: host.topic("out")? })
//!     }
//!
//!     fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code> {
//!         host.publish(self.out, item.payload())?;
//!         Ok(())
//!     }
//! }
//!
//! wasm_engine_agent::export!(
//!     Echo,
//!     manifest = r#"
//!         name = "echo"
//!         version = "1.0.0"
//!         abi = 1
//!         capabilities = ["subscribe:*", "publish:out"]
//!     "#,
//!     inbox = 4096
//! );
//! ```
//!
//! # Building a module
//! A crate of type `cdylib`, and a linker that declares the memory's maximum: without one a module
//! is not admitted. In the crate's `build.rs`, for wasm32 only (the example in
//! `examples/weather/agents` does so):
//!
//! ```text
//! cargo:rustc-link-arg=-zstack-size=16384
//! cargo:rustc-link-arg=--initial-memory=65536
//! cargo:rustc-link-arg=--max-memory=65536
//! ```
//!
//! then `cargo build --release --target wasm32-unknown-unknown`. A `no_std` module also needs
//! `panic_handler` in [`export!`]; one with `std` shows its panics with `panic_hook`.
//!
//! # Where what runs
//! On wasm32 [`Host`] calls the kernel. On any other target the same agent compiles against a
//! [`recording`] host, so that its unit tests are ordinary tests; `export!` then
//! checks its arguments and exports nothing.
//!
//! # What this crate does not do
//! It hides no limit and retries nothing: each refused call is a [`Status`] in the agent's hands.
//! It has no floating-point formatting, no clock and no input or output but the host calls.
//!
//! # Features
//! - `alloc`: a heap (dlmalloc) as the global allocator on wasm32. A module without it must not
//!   allocate, which the linker checks.
//!
//! The only unsafe code is in `export.rs` and `imports.rs`.

#![no_std]
#![deny(unsafe_code)]

#[cfg(not(target_arch = "wasm32"))]
extern crate std;

#[expect(
    unsafe_code,
    clippy::disallowed_types,
    reason = "exports; the kernel writes to the inbox between calls"
)]
mod export;
mod handles;
mod host;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "calls of the kernel, which reads what they point at")]
mod imports;
mod item;
#[cfg(any(target_arch = "wasm32", test))]
mod panic;
mod pending;
#[cfg(not(target_arch = "wasm32"))]
mod recorder;
#[cfg(not(target_arch = "wasm32"))]
pub mod recording;
mod response;
mod task;
mod text;

pub use bytemuck;
pub use handles::{Model, Seq, Topic};
pub use host::{Host, Level};
pub use item::{FilePart, Item, Kind, Via};
pub use pending::Pending;
pub use response::Response;
pub use task::{Task, TaskWriter};
pub use text::Text;
pub use wasm_engine_abi::calls::Status;
pub use wasm_engine_abi::frame::{Context, ItemHeader};
pub use wasm_engine_abi::ids::AgentId;
pub use wasm_engine_abi::task::{TaskHeader, TaskId, on_failure};
pub use wasm_engine_abi::{frame, limits, tensor};

/// What `export!` refers to; no part of the interface.
#[doc(hidden)]
pub mod export_support {
    pub use crate::export::{Instance, section_bytes};
    #[cfg(target_arch = "wasm32")]
    pub use crate::panic::say;
}

#[cfg(all(feature = "alloc", target_arch = "wasm32"))]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// One agent: its state and what it does at each call of the guest contract.
///
/// An error is the code that the exported function returns: see [`Code`].
pub trait Agent: Sized {
    /// Makes the state: once per incarnation, before anything else.
    ///
    /// # Errors
    /// Any error is a fault: without a state nothing can go on.
    fn init(init: &Init<'_>, host: &mut Host) -> Result<Self, Code>;

    /// Takes one item.
    ///
    /// # Errors
    /// A [code](Code) of the agent's own, or a fault, which discards the turn's effects and the
    /// state.
    fn receive(&mut self, item: &Item<'_>, host: &mut Host) -> Result<(), Code>;

    /// Does a task: at most one in a turn, after its items and before [`step`](Self::step), which
    /// follows only if it succeeds. An agent that does not write this does no tasks.
    ///
    /// # Errors
    /// A [code](Code) of the agent's own: this attempt did not succeed, and the state stays. Or a
    /// fault, as for [`receive`](Self::receive).
    fn task(&mut self, task: &Task<'_>, host: &mut Host) -> Result<(), Code> {
        let _ = (task, host);
        Err(Code::NO_TASKS)
    }

    /// Ends a turn, after its items. Does nothing unless written.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    fn step(&mut self, step: &Step, host: &mut Host) -> Result<(), Code> {
        let _ = (step, host);
        Ok(())
    }

    /// Says goodbye: once, when terminated on request; its effects still count. Not called on a
    /// fault, a restart or at the end of a run. Does nothing unless written.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    fn shutdown(&mut self, host: &mut Host) -> Result<(), Code> {
        let _ = host;
        Ok(())
    }
}

/// What a function of the guest contract returns when it is not ok: positive for a code of the
/// agent's own, which the kernel counts and digests, negative for a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(i32);

impl Code {
    /// The state the kernel called for does not exist.
    pub(crate) const NO_STATE: Self = Self(-900);
    /// The kernel passed a pointer or length outside the inbox.
    pub(crate) const BAD_ITEM: Self = Self(-901);

    /// The code of an agent that is given a task and does none.
    pub const NO_TASKS: Self = Self(1 << 16);

    /// A code of the agent's own: no fault. 0 means ok.
    #[must_use]
    pub const fn own(code: u16) -> Self {
        Self(code as i32)
    }

    /// A fault with a number of the agent's own, returned as `-1000 - number`.
    #[must_use]
    pub const fn fault(number: u16) -> Self {
        Self(-1000 - number as i32)
    }

    /// What the exported function returns.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }
}

/// A refused call that `?` passes on is a fault with the status as its code.
impl From<Status> for Code {
    fn from(status: Status) -> Self {
        Self(status as i32)
    }
}

/// A list of tensors for which a buffer has no room is a fault with the code of
/// [`Status::Invalid`].
impl From<tensor::NoRoom> for Code {
    fn from(_: tensor::NoRoom) -> Self {
        Self::from(Status::Invalid)
    }
}

/// What is known at the start of an incarnation.
#[derive(Clone, Copy, Debug)]
pub struct Init<'a> {
    context: Context,
    args: &'a [u8],
}

impl<'a> Init<'a> {
    /// A start with these arguments, for tests; `context.args_len` is ignored.
    #[must_use]
    pub const fn new(context: Context, args: &'a [u8]) -> Self {
        Self { context, args }
    }

    /// Arguments from the configuration or from `spawn`.
    #[must_use]
    pub const fn args(&self) -> &'a [u8] {
        self.args
    }

    /// The arguments as text, if they are UTF-8.
    #[must_use]
    pub fn args_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.args).ok()
    }

    /// The agent's own address.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        AgentId::from_bits(self.context.agent)
    }

    /// Number of this copy among the copies of its configuration entry.
    #[must_use]
    pub const fn copy(&self) -> u32 {
        self.context.copy
    }

    /// Incarnation: 0 at first, raised by each restart.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.context.incarnation
    }

    /// Current tick.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.context.tick
    }
}

/// What is known at the end of a turn.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    context: Context,
}

impl Step {
    /// The end of a turn, for tests.
    #[must_use]
    pub const fn new(context: Context) -> Self {
        Self { context }
    }

    /// Items received in this turn.
    #[must_use]
    pub const fn items(&self) -> u32 {
        self.context.items
    }

    /// Current tick.
    #[must_use]
    pub const fn tick(&self) -> u64 {
        self.context.tick
    }

    /// Current microstep.
    #[must_use]
    pub const fn microstep(&self) -> u32 {
        self.context.microstep
    }

    /// The agent's own address.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        AgentId::from_bits(self.context.agent)
    }
}
