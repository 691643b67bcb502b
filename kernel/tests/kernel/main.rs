//! The whole kernel, through wasm, files and processes.

mod bad_input;
mod cli;
mod config;
mod crash;
#[cfg(target_os = "linux")]
mod isolation;
mod log_counters;
mod machine_fails;
mod models;
mod pace;
#[cfg(target_os = "linux")]
mod readers;
mod replay;
mod rules;
mod support;
mod trace;
mod weather;
mod workers;
