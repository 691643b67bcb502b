//! `watched [--tiny]`: P9 alone, without the kernel: what monitors cost the one who publishes.
//!
//! It prints the rows of `bench --goal P9` and is built in seconds, with `--no-default-features`.

use std::process::ExitCode;

use serde_json::Value;
use wasm_engine_benches::measure::Scale;
use wasm_engine_benches::row::{Row, table};
use wasm_engine_benches::watched;

fn main() -> ExitCode {
    if watched::is_reader() {
        return ExitCode::SUCCESS;
    }
    let scale = match std::env::args().nth(1).as_deref() {
        None => Scale::FULL,
        Some("--tiny") => Scale::TINY,
        Some(other) => {
            eprintln!("error: there is no option {other}; the only one is --tiny");
            return ExitCode::FAILURE;
        }
    };
    let rows: Vec<Value> = watched::rows(scale).iter().map(Row::to_json).collect();
    print!("{}", table(&rows));
    ExitCode::SUCCESS
}
