//! The rules of a run through wasm, on one lane and on many, each tick beside the same tick without
//! wasm: both must close it with the same digest.

use wasm_engine_core_scripts::rule_tests;

use crate::support::Both;

rule_tests!(Both);
