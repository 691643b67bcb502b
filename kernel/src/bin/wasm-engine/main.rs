//! `wasm-engine`: the command line.
//!
//! One file per verb: it parses, calls the library and hands back a document. Here is what they
//! share: standard output carries exactly one document, a text rendering of it or, with `--json`,
//! the document itself; progress and logs go to standard error; a failure is a document with
//! `error`, and its exit code is decided in the library's `exit.rs`.
//!
//! Nothing else of the process is dirty: no environment variable is set, no file written but in
//! the directory given.

mod inspect;
mod print;
mod replay;
mod run;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand, error::ErrorKind};
use wasm_engine::exit::Exit;

use crate::print::Outcome;

/// A local-first, deterministic multi-agent runtime.
#[derive(Parser)]
#[command(name = "wasm-engine", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Print the result as one JSON document.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a configuration.
    Run(run::Args),
    /// Execute a log again, from its inputs alone.
    Replay(replay::Args),
    /// Execute a log again and name the first difference.
    Verify(verify::Args),
    /// Say what a log holds, without executing it.
    Inspect(inspect::Args),
    /// Serve a kernel with one model, over standard input and output; kernels start this.
    #[command(hide = true)]
    ServeModel,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    start_logging();
    let outcome = match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Replay(args) => replay::replay(args),
        Verb::Verify(args) => verify::verify(args),
        Verb::Inspect(args) => inspect::inspect(args),
        Verb::ServeModel => return serve::serve(),
    };
    end(outcome.print(cli.json))
}

/// Ends the process. A model that does not stop still has a thread: then nothing is torn down under
/// it; what was to be written is written.
fn end(exit: Exit) -> ExitCode {
    if wasm_engine_inference::is_thread_left() {
        signal_hook::low_level::exit(exit.code().into());
    }
    exit.into()
}

/// Help and version are results; anything else clap says is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is no failure of asking for help.
            let _ = error.print();
            Exit::Ok.into()
        }
        _ => {
            let json = std::env::args_os().any(|arg| arg == "--json");
            Outcome::failed("usage", Exit::Usage, error.render().to_string()).print(json).into()
        }
    }
}

/// Logs on standard error, filtered by `RUST_LOG`, warnings by default.
fn start_logging() {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
}
