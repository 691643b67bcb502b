//! What `--help` says behind the options, what `--version` says, and the pages made of both.

use std::{io::Write, process::ExitCode, sync::LazyLock};

use clap::Command;
use clap_complete::Shell;
use wasm_engine::exit::Exit;
use wasm_engine_abi::{ABI_VERSION, record::LOG_VERSION};
use wasm_engine_guest::engine::WASMTIME_VERSION;

use crate::print::Outcome;

/// Behind the commands.
pub(crate) const ALL: &str = "\
Examples:
  wasm-engine check run.toml             would it run, and what would run?
  wasm-engine run run.toml --log log.d   run it with a log
  wasm-engine verify log.d               prove that the log gives the run again
  wasm-engine doctor                     what this machine lets the kernel do

Exit codes:
    0  ok
    1  the machine or the kernel failed
    2  usage or configuration
    3  divergence: a log gave something else
    4  a log or an outputs file is damaged
    5  refused: module, limit, model or engine
    6  an agent faulted, and by kernel.on_fault this ends or fails the run
    7  the timeout ended the run
  130  interrupted";

pub(crate) const RUN: &str = "\
Examples:
  wasm-engine run run.toml
  wasm-engine run run.toml --log log.d --timeout '2 min'
  wasm-engine run run.toml --resume log.d
  wasm-engine run run.toml --set limits.memory_bytes_max='4 MiB' --set kernel.seed=7
  wasm-engine run run.toml --output - | head
  generate-configuration | wasm-engine run -

Exit codes: 0 ok; 1 the machine failed; 2 usage or configuration; 5 refused; 6 an agent faulted,
and kernel.on_fault is \"end_run\" or \"fail\"; 7 timeout; 130 interrupted. With --resume also 3:
the log gives something else, and 4: it is damaged.";

pub(crate) const CHECK: &str = "\
Nothing is run and nothing written. Sources and models are read, modules admitted, models loaded if
ONNX Runtime is there, the region planned.

Examples:
  wasm-engine check run.toml
  wasm-engine check run.toml --set source.0.copies=100 --json

Exit codes: those that `run` would give before its first tick: 0 it would run; 1 the machine failed;
2 configuration; 5 refused.";

pub(crate) const REPLAY: &str = "\
Examples:
  wasm-engine replay log.d
  wasm-engine replay log.d --workers 4

Exit codes: 0 ok; 1 the machine failed; 3 it gave something else than the log says; 4 damaged;
5 a log of another engine without --other-engine.";

pub(crate) const VERIFY: &str = "\
Examples:
  wasm-engine verify log.d
  wasm-engine verify log.d --recover        after a crash
  wasm-engine verify log.d --recompute      with the models' files and ONNX Runtime

Exit codes: 0 verified; 1 the machine failed; 3 divergence, with its tick and agent; 4 damaged, or a
torn end without --recover; 5 a log of another engine without --other-engine, or --recompute with
another library or class of processor. Other fuel alone is said and is no divergence.";

pub(crate) const INSPECT: &str = "\
Example:
  wasm-engine inspect log.d --json | jq .modules

Exit codes: 0 ok; 1 the machine failed; 3 the log's records were changed; 4 damaged.";

pub(crate) const MODEL: &str = "\
Example:
  wasm-engine model model.onnx

Exit codes: 0 a run takes it; 2 it cannot be read or is no model; 5 no run takes it.";

pub(crate) const DOCTOR: &str = "\
Each finding is fine, limited (some runs are slower or refused) or lacking (none runs before it is
cured), with what to do.

Examples:
  wasm-engine doctor
  wasm-engine doctor --dir /var/log/runs --json

Exit codes: 0 a kernel runs here; 1 none does before a lack is cured.";

pub(crate) const BENCH: &str = "\
Each stage checks its result before its figure counts. Beside a figure stand how far apart eight of
ten of its repetitions lie (+-), percentiles of single operations, and a limit of the machine
measured in the same minute. A change counts if it is larger than both spreads together.

Examples:
  wasm-engine bench
  wasm-engine bench --quick --json > before.json
  wasm-engine bench --quick --against before.json

Exit codes: 0 ok; 1 a stage gave a wrong result, or the machine lacks something; 2 a file cannot be
used.";

/// What `--version` prints behind the name.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("WASM_ENGINE_BUILT_FROM"));
        format!(
            "{version}\nengine      wasmtime {WASMTIME_VERSION}\nguest ABI   {ABI_VERSION}\n\
             log format  {LOG_VERSION}\ncommit      {commit}"
        )
    });
    &VERSION
}

#[derive(clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete commands and options.
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct ManArgs {
    /// The command whose page is wanted; without it the page of all.
    command: Option<String>,
}

/// `wasm-engine completions`: a script for a shell.
pub(crate) fn completions(args: &CompletionsArgs, mut all: Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut all, "wasm-engine", &mut text);
    put(&text)
}

/// `wasm-engine man`: a manual page.
pub(crate) fn man(args: &ManArgs, mut all: Command) -> ExitCode {
    all.build();
    let page = match &args.command {
        None => all,
        Some(name) => match find(&all, name) {
            Ok(page) => page.clone(),
            Err(problem) => {
                return Outcome::failed("usage", Exit::Usage, problem).print(false).into();
            }
        },
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(page).render(&mut text) {
        Ok(()) => put(&text),
        Err(error) => {
            let problem = format!("the page cannot be made: {error}");
            Outcome::failed("man", Exit::Failure, problem).print(false).into()
        }
    }
}

fn find<'a>(all: &'a Command, name: &str) -> Result<&'a Command, String> {
    let visible = || all.get_subcommands().filter(|command| !command.is_hide_set());
    visible().find(|command| command.get_name() == name).ok_or_else(|| {
        let near = wasm_engine::config::did_you_mean(name, visible().map(Command::get_name));
        let names: Vec<&str> = visible().map(Command::get_name).collect();
        format!("there is no command `{name}`{near}; there are {}", names.join(", "))
    })
}

fn put(text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let problem = format!("it cannot be printed: {error}");
            Outcome::failed("usage", Exit::Failure, problem).print(false).into()
        }
        _ => Exit::Ok.into(),
    }
}
