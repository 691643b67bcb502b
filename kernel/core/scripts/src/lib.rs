//! The rules of `docs/SEMANTICS.md` as tests over scripted agents, once for all machines.
//!
//! ```text
//!  program.rs   what an agent shall do: a byte program
//!  scene.rs     a setup in the making          random.rs  scenes and programs by number
//!  rig.rs       a machine driven tick by tick, and what its agents saw
//!  recorder.rs  what left the machine
//!  machine.rs   what a rig drives; `Scripted`: core and agents in Rust, without wasm
//!  script.rs    the agent: interprets programs, as `script.wat` of the kernel's tests does
//!  turn.rs      one turn of it: host calls, quotas, turn digest
//!  payloads.rs  payload bytes in plain memory
//!  rules/       the rules; `rule_tests!` makes tests of them for one machine
//! ```
//! The tests of `wasm-engine-core` run the rules on [`Scripted`] in a second or two. Those of
//! `wasm-engine` run them through wasm with a [`Scripted`] beside it, fed the same facts: both must
//! close every tick with the same digest. `script.rs` keeps its agent's memory and globals byte for
//! byte as the wasm does, so state digests are compared as well; of all digests only the fuel chain
//! is not, because instructions are not counted here.
//!
//! Nothing is shared with the lanes that run wasm: what the rules say of host calls, random
//! numbers, traces and turn digests is written down here a second time, in the plainest way, and a
//! lane that departs from it fails the comparison.

#![expect(missing_docs, reason = "for tests: what an instruction or a rule does is in its name")]

mod machine;
mod payloads;
mod program;
mod random;
mod recorder;
mod rig;
pub mod rules;
mod scene;
mod script;
mod turn;

pub use self::{
    machine::{Machine, Scripted, TickParts},
    program::{CHILD, FROM, Prog, SELF, prog},
    random::{Mix, drive, everything, random_budget, random_command, random_program},
    recorder::{Out, Recorder},
    rig::{Rig, SeenItem, at, reply_to, to},
    scene::{ALL, CMD, DROP_NEWEST, DROP_OLDEST, ECHO, Guest, LATEST, OUT, REFUSE, Scene},
};
