//! `wasm-engine`: the command line.
//!
//! One file per verb: it parses, calls the library and hands back a document. Here is what they
//! share: standard output carries exactly one document, a text rendering of it or, with `--json`,
//! the document itself; progress and logs go to standard error; a failure is a document with
//! `error`, and its exit code is decided in the library's `exit.rs`.
//!
//! Nothing else of the process is dirty: no environment variable is set, no file written but in
//! the directory given and in the user's cache.

mod bench;
mod cache;
mod check;
mod doctor;
mod help;
mod inspect;
mod load;
mod model;
mod print;
mod progress;
mod replay;
mod run;
mod serve;
mod signals;
mod summary;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use wasm_engine::exit::Exit;

use crate::print::Outcome;

/// Stack of the thread that works: guests', and compiling is deep.
const STACK_BYTES: usize = 8 << 20;

/// A local-first, deterministic multi-agent runtime.
#[derive(Parser)]
#[command(name = "wasm-engine", version, long_version = help::version(), about)]
#[command(after_help = help::ALL, max_term_width = 100)]
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
    #[command(after_help = help::RUN)]
    Run(run::Args),
    /// Try a configuration without running it.
    #[command(after_help = help::CHECK)]
    Check(check::Args),
    /// Execute a log again, from its inputs alone.
    #[command(after_help = help::REPLAY)]
    Replay(replay::Args),
    /// Execute a log again and name the first difference.
    #[command(after_help = help::VERIFY)]
    Verify(verify::Args),
    /// Say what a log holds, without executing it.
    #[command(after_help = help::INSPECT)]
    Inspect(inspect::Args),
    /// Say what a model is, from its files alone.
    #[command(after_help = help::MODEL)]
    Model(model::Args),
    /// Measure what this machine does with the kernel.
    #[command(after_help = help::BENCH)]
    Bench(bench::Args),
    /// Say what this machine lets the kernel do.
    #[command(after_help = help::DOCTOR)]
    Doctor(doctor::Args),
    /// Print a script by which a shell completes commands and options.
    Completions(help::CompletionsArgs),
    /// Print a manual page, for `man -l -`.
    Man(help::ManArgs),
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
    signals::let_writes_fail();
    let Cli { verb, json } = cli;
    let work = move || match verb {
        Verb::Run(args) => Ok(run::run(args, json)),
        Verb::Check(args) => Ok(check::check(args)),
        Verb::Replay(args) => Ok(replay::replay(args)),
        Verb::Verify(args) => Ok(verify::verify(args)),
        Verb::Inspect(args) => Ok(inspect::inspect(args)),
        Verb::Model(args) => Ok(model::model(&args)),
        Verb::Bench(args) => Ok(bench::bench(args)),
        Verb::Doctor(args) => Ok(doctor::doctor(&args)),
        // These print no document.
        Verb::Completions(args) => Err(help::completions(&args, Cli::command())),
        Verb::Man(args) => Err(help::man(&args, Cli::command())),
        Verb::ServeModel => Err(serve::serve()),
    };
    // A thread of its own has a stack that no limit of the process makes too small.
    let thread = std::thread::Builder::new().name("we-main".to_owned()).stack_size(STACK_BYTES);
    let done = match thread.spawn(work) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| Ok(panicked(panic.as_ref()))),
        Err(error) => Ok(Outcome::no_thread("run", &error)),
    };
    match done {
        Ok(outcome) => end(outcome.print(json)),
        Err(code) => code,
    }
}

/// Ends the process. A model that does not stop still has a thread: then nothing is torn down under
/// it; what was to be written is written.
fn end(exit: Exit) -> ExitCode {
    if wasm_engine_inference::is_thread_left() {
        signal_hook::low_level::exit(exit.code().into());
    }
    exit.into()
}

/// A bug of this program, whose panic is on standard error by now.
fn panicked(panic: &(dyn std::any::Any + Send)) -> Outcome {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without words");
    let problem = format!("this program failed: {text}; report this bug");
    Outcome::failed("panic", Exit::Failure, problem)
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
        .with_writer(progress::LogStream::default)
        .with_ansi(terminal::colour(std::io::stderr().is_terminal()))
        .without_time()
        // A line that cannot be written would be reported by printing, which panics where that
        // cannot be either: a standard error that is full or gone must not end a run.
        .log_internal_errors(false)
        .init();
}
