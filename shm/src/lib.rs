//! How bytes are shared: rings, pages and counters in one memory-mapped region.
//!
//! Everything in a region has exactly one writer. Protocols are written once, over [`mem::Mem`],
//! and run unchanged on a mapping, on the heap under Miri, and in the model checker.
//!
//! | module | what | writer | readers | lossy |
//! |---|---|---|---|---|
//! | [`bytes`] | ring of variable-size records, batched | 1 | 1 | no |
//! | [`cell`] | ring of 56-byte cells, one line each | 1 | 1 | no |
//! | [`outbox`] | payloads of a lane, two epochs | 1 | lanes | no |
//! | [`spill`] | payloads that stay, chained blocks | 1 | lanes | no |
//! | [`broadcast`] | ring of messages | 1 | any, read-only | yes, counted |
//! | [`page`] | newest snapshot | 1 | any, read-only | newest only |
//! | [`rows`] | table with consistent snapshots | 1 | any, read-only | newest two |
//! | [`counters`] | labelled numbers | 1 per group | any, read-only | newest only |
//! | [`errors`] | distinct errors, counted | 1 | any, read-only | order |
//! | [`acks`] | how much was taken, how much is durable | 1 | any | newest only |
//! | [`wait`] | doorbell | 1 waiter | ringers | - |
//!
//! Made of them: [`feed`], through which another process hands records over, and whose words are
//! read through [`foreign`].
//!
//! Below them: [`slots`] (the sequence-validated array under broadcast and page), [`lease`] (each
//! side opened once), [`site`] (the names of all orderings). Around them: [`map`] (the owner's
//! memory), [`read_map`] (a monitor's), [`layout`], [`header`], [`region`] (where things are),
//! [`locate`] (finding it by name), [`rendezvous`] (sockets).
//!
//! Feature `asm-copy` (default): bulk copies in assembly on x86-64 instead of a loop of words.
//!
//! # Invariants
//! 1. Each shared word has one writer and one width, for life; doorbell epochs alone are added to
//!    by several.
//! 2. Control state (cursors, chains, stamps) is private memory; the region holds copies. Nothing
//!    read back is trusted: it is checked, and what is invalid is an error, never a panic.
//! 3. A writer never waits for a monitor and cannot know of one; monitors map read-only.
//! 4. Read-only sides use Relaxed loads of 64-bit words and acquire fences, nothing else.
//! 5. Plain memory changes hands only by the Release store and Acquire load of a cursor or
//!    sequence.
//! 6. A region is formatted once, its magic stored last, and never re-used.
//!
//! # Absences
//! No agents, no messages, no meaning of bytes; no clock; no allocation after setup; no thread is
//! created. Users of this crate need no `unsafe`.

pub mod acks;
mod attach_error;
mod bell_word;
pub mod broadcast;
pub mod bytes;
pub mod cell;
pub mod counters;
mod descriptor;
pub mod errors;
pub mod feed;
pub mod foreign;
pub mod header;
mod identity;
pub mod layout;
pub mod lease;
pub mod locate;
pub mod map;
pub mod mem;
mod os;
pub mod outbox;
pub mod page;
mod raw;
pub mod read_map;
pub mod region;
pub mod rendezvous;
pub mod rows;
mod side;
pub mod site;
pub mod slots;
pub mod spill;
mod status;
pub mod wait;
