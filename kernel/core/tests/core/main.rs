//! The rules of a run on the state machine alone, its agents in Rust.

mod checkpoint;
mod golden;

use wasm_engine_core_scripts::{Scripted, rule_tests};

rule_tests!(Scripted);
