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
#[cfg(target_os = "linux")]
mod feeders;
mod filetypes;
mod golden;
mod host;
#[cfg(target_os = "linux")]
mod host_commands;
mod host_latency;
mod host_process;
#[cfg(target_os = "linux")]
mod isolation;
mod keyframes;
mod languages;
mod limits_of_the_process;
mod live_lines;
mod log_counters;
mod machine_fails;
mod model_files;
mod model_loads;
mod models;
mod modules;
mod pace;
#[cfg(target_os = "linux")]
mod providers;
mod readers;
mod replay;
mod rules;
mod sources;
mod speech;
mod strangers;
mod support;
#[cfg(target_os = "linux")]
mod tasks;
mod tensors;
mod trace;
mod weather;
mod workers;
