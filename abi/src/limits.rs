//! Hard maxima: what no configuration may exceed, because a layout or a proof depends on it.
//!
//! Configured limits live in the kernel's plan and are smaller. Units are in the names.

/// Bytes in which payloads are charged and stored.
pub const BLOCK_BYTES: u32 = 64;
/// Longest payload of one message or task.
pub const PAYLOAD_BYTES_MAX: u32 = 1 << 20;
/// Longest request to a model, and longest reply.
pub const INFERENCE_BYTES_MAX: u32 = 1 << 28;
/// Inputs, and outputs, of a model.
pub const PORTS_MAX: usize = 1024;
/// Longest name of an agent, topic, channel, model or source, in UTF-8 bytes.
pub const NAME_BYTES_MAX: u32 = 128;
/// Longest argument of an agent, in bytes.
pub const ARGS_BYTES_MAX: u32 = 4096;
/// Longest log line of an agent, in bytes.
pub const LOG_LINE_BYTES_MAX: u32 = 1024;
/// Agent slots of a run.
pub const AGENTS_MAX: u32 = 1 << 20;
/// Items one turn may receive.
pub const RECEIVE_MAX: u32 = 1 << 16;
/// Effects of one turn.
pub const EFFECTS_MAX: u32 = 1 << 16;
/// Tasks that one waits for.
pub const DEPENDENCIES_MAX: u32 = 1 << 12;
/// Calls of an init turn, each with a budget of fuel of its own: `_initialize`, the two questions
/// for the inbox, `agent_init`.
pub const INIT_CALLS: u64 = 4;
/// Inbox bytes that a guest must offer: the header of an item and one block.
pub const INBOX_BYTES_MIN: u32 = 128;

/// Blocks that a payload of `len` bytes is charged (SEMANTICS C2).
#[must_use]
pub const fn blocks(len: u32) -> u32 {
    len.div_ceil(BLOCK_BYTES)
}

const _: () = assert!(PAYLOAD_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(ARGS_BYTES_MAX <= PAYLOAD_BYTES_MAX);
