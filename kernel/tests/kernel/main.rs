//! The whole kernel, through wasm, files and processes.

mod bad_input;
mod cli;
mod cli_results;
mod code_cache;
mod config;
mod crash;
mod damage;
mod documents;
mod faults;
mod filetypes;
#[cfg(target_os = "linux")]
mod isolation;
mod languages;
mod limits_of_the_process;
mod log_counters;
mod machine_fails;
mod model_files;
mod models;
mod modules;
mod pace;
#[cfg(target_os = "linux")]
mod readers;
mod replay;
mod rules;
mod sources;
mod speech;
mod support;
mod tensors;
mod trace;
mod weather;
mod workers;
