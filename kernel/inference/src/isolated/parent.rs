//! The kernel's side of a model in a process of its own: starts it, asks it, sees it end.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::backend::{Backend, BackendFailure};
use crate::interrupt::Interrupter;
use crate::isolated::wire::{self, FrameHead, TEXT_MAX, kind};
use crate::onnx::LIBRARY_ENV;

/// Times that a new process is started for one run before its model is given up.
const STARTS_MAX: u32 = 3;

/// Bytes of a row's batch that a process may name; a slot has no more.
const BATCH_BYTES_MAX: u64 = 1 << 28;

/// The verb by which a program of ours serves a model.
const VERB: &str = "serve-model";

/// Why a model has no process.
#[derive(Debug, Error)]
pub enum IsolatedError {
    /// The program cannot be started.
    #[error(
        "model {model} has no process of its own: {} cannot be started: {source}; free some \
         processes and memory, or use isolation = \"thread\"",
        program.display()
    )]
    Start {
        /// The model.
        model: String,
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It ended before it had a model.
    #[error(
        "model {model} is refused: its process ended while it was loaded ({how}); export it \
         without what ends it, or free memory if the system killed it"
    )]
    Ended {
        /// The model.
        model: String,
        /// How it ended.
        how: String,
    },
    /// It cannot use the model.
    #[error("{text}")]
    Refused {
        /// Why, as the error that it would be in the kernel's own process.
        text: String,
        /// Its exit code.
        code: u8,
    },
    /// It was stopped from outside.
    #[error("model {model} was stopped before it was done")]
    Interrupted {
        /// The model.
        model: String,
    },
}

impl IsolatedError {
    /// The exit code of a run that it ends.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { .. } | Self::Interrupted { .. } => 1,
            Self::Ended { .. } => 5,
            Self::Refused { code, .. } => *code,
        }
    }
}

/// What a process is started with, again and again.
struct Recipe {
    program: PathBuf,
    library: Option<PathBuf>,
    name: String,
    bytes: Vec<u8>,
    batch: usize,
}

/// What a process says of its model; every one says the same.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ready {
    input_len: usize,
    output_len: usize,
    fingerprint: String,
}

/// The process, where an interrupter finds it.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Option<Child>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        // Each change is one assignment, so a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills it, if there is one; whoever waits for its answer sees a pipe that ends.
    fn kill(&self) {
        if let Some(child) = self.lock().as_mut() {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }

    /// Waits for the end of a process whose pipe has ended, by force if need be; says how.
    fn bury(&self) -> String {
        let Some(mut child) = self.lock().take() else { return "it never began".to_owned() };
        // One that closed its pipe and lives is no use; one that ended has its own status still.
        let _ = child.kill();
        match child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// A model that runs in a process of its own.
pub(crate) struct IsolatedModel {
    recipe: Recipe,
    ready: Ready,
    running: Running,
    /// None between the end of a process and the next run.
    pipes: Option<(ChildStdin, ChildStdout)>,
    input: Vec<f32>,
    output: Vec<f32>,
    interrupter: Interrupter,
    /// A death was logged.
    logged: bool,
}

impl IsolatedModel {
    /// Starts a process of `program`, which is `wasm-engine`, and loads a model in it. It was never
    /// run.
    pub(crate) fn new(
        program: &Path,
        library: Option<&Path>,
        (name, bytes, batch): (&str, &[u8], usize),
        interrupter: &Interrupter,
    ) -> Result<Self, IsolatedError> {
        interrupter.begin(name);
        let running = Running::default();
        let stopped = running.clone();
        interrupter.add(move || stopped.kill());
        let recipe = Recipe {
            program: program.to_owned(),
            library: library.map(Path::to_owned),
            name: name.to_owned(),
            bytes: bytes.to_owned(),
            batch,
        };
        let (pipes, ready) = recipe.start(&running, interrupter)?;
        Ok(Self {
            input: vec![0.0; batch * ready.input_len],
            output: vec![0.0; batch * ready.output_len],
            recipe,
            ready,
            running,
            pipes: Some(pipes),
            interrupter: interrupter.clone(),
            logged: false,
        })
    }

    /// A process for the next run, if the last one ended.
    fn revive(&mut self) -> Result<(), BackendFailure> {
        let Self { recipe, ready, running, pipes, interrupter, .. } = self;
        let mut why = String::new();
        for _ in 0..STARTS_MAX {
            if pipes.is_some() {
                return Ok(());
            }
            match recipe.start(running, interrupter) {
                Ok((new, said)) if said == *ready => *pipes = Some(new),
                Ok(_) => {
                    running.bury();
                    why = "it is another model, library or program now".to_owned();
                    break;
                }
                Err(IsolatedError::Ended { how, .. }) => why = how,
                Err(error @ IsolatedError::Interrupted { .. }) => {
                    return Err(BackendFailure::Failed(error.to_string()));
                }
                Err(error) => {
                    why = error.to_string();
                    break;
                }
            }
        }
        match pipes {
            Some(_) => Ok(()),
            None => {
                Err(BackendFailure::Gone(format!("its process cannot be started again: {why}")))
            }
        }
    }
}

impl Recipe {
    /// Starts a process and loads the model in it.
    fn start(
        &self,
        running: &Running,
        interrupter: &Interrupter,
    ) -> Result<((ChildStdin, ChildStdout), Ready), IsolatedError> {
        let model = || self.name.clone();
        let mut command = Command::new(&self.program);
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if let (Some(library), None) = (&self.library, std::env::var_os(LIBRARY_ENV)) {
            command.env(LIBRARY_ENV, library);
        }
        let mut child = command.spawn().map_err(|source| IsolatedError::Start {
            model: model(),
            program: self.program.clone(),
            source,
        })?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        *running.lock() = Some(child);
        // Whoever asked before the process was there found none to kill.
        if interrupter.is_asked() {
            running.kill();
        }
        let Some((mut to, mut from)) = pipes else { unreachable!("both pipes were asked for") };
        match self.load(&mut to, &mut from) {
            Ok(Ok(ready)) => Ok(((to, from), ready)),
            Ok(Err((code, text))) => {
                running.bury();
                Err(IsolatedError::Refused { text, code })
            }
            Err(error) => {
                let how = ended(running, &error);
                Err(match interrupter.is_asked() {
                    true => IsolatedError::Interrupted { model: model() },
                    false => IsolatedError::Ended { model: model(), how },
                })
            }
        }
    }

    /// Sends the model; gives what the process says of it, or an exit code and why not.
    fn load(
        &self,
        to: &mut ChildStdin,
        from: &mut ChildStdout,
    ) -> io::Result<Result<Ready, (u8, String)>> {
        let (batch, name) = (self.batch as u64, self.name.as_bytes());
        wire::write(to, (kind::START, batch, name.len() as u64), &[name, &self.bytes])?;
        let head = wire::read_head(from)?;
        let text = read_text(from, &head)?;
        let bytes_of = |len: u64| len.checked_mul(batch.saturating_mul(4));
        let fits = |len| len > 0 && bytes_of(len).is_some_and(|all| all <= BATCH_BYTES_MAX);
        match head {
            FrameHead { kind: kind::READY, a, b, .. } if fits(a) && fits(b) => {
                // Both are far below any `usize`.
                let (input_len, output_len) = (a as usize, b as usize);
                Ok(Ok(Ready { input_len, output_len, fingerprint: text }))
            }
            FrameHead { kind: kind::REFUSED, a, .. } => {
                Ok(Err((u8::try_from(a).unwrap_or(1), text)))
            }
            _ => Err(wire::invalid("it does not say whether it has the model")),
        }
    }
}

/// How a process ended with whose pipe `error` came.
fn ended(running: &Running, error: &io::Error) -> String {
    let how = running.bury();
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => how,
        _ => format!("{error}; {how}"),
    }
}

fn read_text(from: &mut ChildStdout, head: &FrameHead) -> io::Result<String> {
    if head.len > TEXT_MAX as u64 {
        return Err(wire::invalid("its text is too long"));
    }
    let mut text = Vec::new();
    wire::read_payload(from, head.len, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Sends a batch; gives why it failed, if the process says so.
fn ask(
    (to, from): &mut (ChildStdin, ChildStdout),
    input: &[f32],
    output: &mut [f32],
) -> io::Result<Option<String>> {
    wire::write(to, (kind::RUN, 0, 0), &[bytemuck::cast_slice(input)])?;
    let head = wire::read_head(from)?;
    let rows: &mut [u8] = bytemuck::cast_slice_mut(output);
    match head.kind {
        kind::ROWS if head.len == rows.len() as u64 => {
            io::Read::read_exact(from, rows)?;
            Ok(None)
        }
        kind::FAILED => read_text(from, &head).map(Some),
        _ => Err(wire::invalid("it answers something else than rows")),
    }
}

impl Backend for IsolatedModel {
    fn input_len(&self) -> usize {
        self.ready.input_len
    }

    fn output_len(&self) -> usize {
        self.ready.output_len
    }

    fn batch(&self) -> usize {
        self.recipe.batch
    }

    fn rows(&mut self) -> &mut [f32] {
        &mut self.input
    }

    fn run(&mut self) -> Result<&[f32], BackendFailure> {
        self.revive()?;
        let Self { recipe, running, pipes, input, output, interrupter, logged, .. } = self;
        let Some(both) = pipes else { unreachable!("it was just started") };
        match ask(both, input, output) {
            Ok(None) => Ok(output),
            Ok(Some(why)) => Err(BackendFailure::Failed(why)),
            Err(error) => {
                *pipes = None;
                let how = ended(running, &error);
                if interrupter.is_asked() {
                    return Err(BackendFailure::Failed("it was stopped".to_owned()));
                }
                if !std::mem::replace(logged, true) {
                    let model = &recipe.name;
                    tracing::warn!(model, how, "the process of a model ended; it gets a new one");
                }
                Err(BackendFailure::Ended(format!("its process ended ({how})")))
            }
        }
    }

    fn describe(&self) -> String {
        self.ready.fingerprint.clone()
    }

    fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }
}

impl Drop for IsolatedModel {
    fn drop(&mut self) {
        self.running.bury();
    }
}
