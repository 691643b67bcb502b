//! `conformance`: models of others through the engine's loader.
//!
//! ```text
//!  conformance --path of a file or case--> child: load, ask --a line--> conformance --> tables
//! ```
//! What: `cases OUT DIR ...` loads the models of cases, asks their requests and compares the
//! replies with those of plain ONNX Runtime; `hostile DIR` loads files that no exporter writes and
//! demands a refusal or a model, and nothing else. `cargo xtask conformance` makes both and calls
//! it.
//!
//! A library may end its process, so every file is loaded in a child (`herd.rs`), which has a limit
//! on its memory and a time to answer; one that ends or is silent is replaced, and that is what the
//! file came to.
//!
//! What not: nothing is downloaded or made here, and the engine is not changed for it: the child
//! (`child.rs`) calls what a run calls.

mod case;
mod cases;
mod child;
mod compare;
mod herd;
mod hostile;
mod result;
mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// What the engine calls a program with that is to serve a model.
const SERVE: &str = "serve-model";

const USAGE: &str = "\
usage: conformance cases [--only PART] OUT DIR ...
       conformance hostile [--only PART] DIR";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn run(args: &[String]) -> Result<bool> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (task, part, rest) = match args[..] {
        [SERVE] => {
            wasm_engine_inference::isolated::serve()?;
            return Ok(true);
        }
        [child::MODE] => {
            child::serve()?;
            return Ok(true);
        }
        [task, "--only", part, ref rest @ ..] => (task, part, rest),
        [task, ref rest @ ..] => (task, "", rest),
        [] => bail!("{USAGE}"),
    };
    match (task, rest) {
        ("cases", [out, folders @ ..]) => {
            let folders: Vec<&Path> = folders.iter().map(Path::new).collect();
            cases::command(&folders, part, Path::new(out))
        }
        ("hostile", [dir]) => hostile::command(Path::new(dir), part),
        _ => bail!("{USAGE}"),
    }
}
