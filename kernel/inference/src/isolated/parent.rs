//! The kernel's side of a model in a process of its own: starts it, asks it, sees it end.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use wasm_engine_setup::ProviderUse;

use crate::backend::{Backend, BackendFailure, ModelPorts};
use crate::external_file::ExternalFile;
use crate::interrupt::{Canceller, Interrupter};
use crate::isolated::wire::{self, FrameHead, JSON_MAX, Ready, Start, TEXT_MAX, kind};
use crate::list_buffer::ListBuffer;
use crate::onnx::{LIBRARY_ENV, ModelSource};

/// Times that a new process is started for one run before its model is given up.
const STARTS_MAX: u32 = 3;

/// Longest reply that a process may name; a list of several rows may be as long as some replies.
const REPLY_BYTES_MAX: u64 = 1 << 31;

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
    start: Start,
    bytes: Vec<u8>,
    external: Vec<ExternalFile>,
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
    interrupter: Interrupter,
    canceller: Canceller,
    /// A death was logged.
    logged: bool,
}

impl IsolatedModel {
    /// Starts a process of `program`, which is `wasm-engine`, and loads a model in it. It was never
    /// run.
    pub(crate) fn new(
        program: &Path,
        library: Option<&Path>,
        source: ModelSource<'_>,
        interrupter: &Interrupter,
    ) -> Result<Self, IsolatedError> {
        interrupter.begin(source.name);
        let running = Running::default();
        let stopped = running.clone();
        interrupter.add(move || stopped.kill());
        let stopped = running.clone();
        let canceller = Canceller::new(move || stopped.kill());
        let recipe = Recipe {
            program: program.to_owned(),
            library: library.map(Path::to_owned),
            start: Start {
                name: source.name.to_owned(),
                outputs: source.outputs.map(<[String]>::to_vec),
                files: source.external.iter().map(|file| file.name.clone()).collect(),
                providers: source.providers.to_vec(),
            },
            bytes: source.bytes.to_owned(),
            external: source.external.to_vec(),
        };
        let (pipes, ready) = recipe.start(&running, interrupter)?;
        Ok(Self {
            recipe,
            ready,
            running,
            pipes: Some(pipes),
            interrupter: interrupter.clone(),
            canceller,
            logged: false,
        })
    }

    /// An operator that makes rows of a batch influence each other, always.
    pub(crate) fn mixing(&self) -> Option<&str> {
        self.ready.mixing.as_deref()
    }

    /// A process for the next run, if the last one ended.
    fn revive(&mut self) -> Result<(), BackendFailure> {
        let Self { recipe, ready, running, pipes, interrupter, canceller, .. } = self;
        let mut why = String::new();
        for _ in 0..STARTS_MAX {
            if pipes.is_some() {
                return Ok(());
            }
            if canceller.is_asked() {
                return Err(BackendFailure::Failed("it was stopped".to_owned()));
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
        let model = || self.start.name.clone();
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
        let json = serde_json::to_vec(&self.start)?;
        wire::write(to, (kind::START, json.len() as u64, 0), &[&json, &self.bytes])?;
        for file in &self.external {
            wire::write(to, (kind::FILE, 0, 0), &[&file.bytes])?;
        }
        let head = wire::read_head(from)?;
        match head.kind {
            kind::READY if head.len <= JSON_MAX => {
                let mut json = Vec::new();
                wire::read_payload(from, head.len, &mut json)?;
                Ok(Ok(serde_json::from_slice(&json)?))
            }
            kind::REFUSED => {
                let text = read_text(from, &head)?;
                Ok(Err((u8::try_from(head.a).unwrap_or(1), text)))
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

/// Sends a request; gives why it failed, if the process says so.
fn ask(
    (to, from): &mut (ChildStdin, ChildStdout),
    request: &[u8],
    reply: &mut ListBuffer,
) -> io::Result<Option<String>> {
    wire::write(to, (kind::RUN, 0, 0), &[request])?;
    let head = wire::read_head(from)?;
    match head.kind {
        kind::REPLY if head.len <= REPLY_BYTES_MAX => {
            reply.clear();
            // It grows with what is there.
            let mut left = head.len;
            while left > 0 {
                let some = left.min(1 << 20);
                io::Read::read_exact(from, reply.grow(some as usize))?;
                left -= some;
            }
            Ok(None)
        }
        kind::FAILED => read_text(from, &head).map(Some),
        _ => Err(wire::invalid("it answers something else than a reply")),
    }
}

impl Backend for IsolatedModel {
    fn ports(&self) -> &ModelPorts {
        &self.ready.ports
    }

    fn run(&mut self, request: &[u8], reply: &mut ListBuffer) -> Result<(), BackendFailure> {
        self.revive()?;
        let Self { recipe, running, pipes, interrupter, logged, .. } = self;
        let Some(both) = pipes else { unreachable!("it was just started") };
        match ask(both, request, reply) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(BackendFailure::Failed(why)),
            Err(error) => {
                *pipes = None;
                let how = ended(running, &error);
                if interrupter.is_asked() {
                    return Err(BackendFailure::Failed("it was stopped".to_owned()));
                }
                if !std::mem::replace(logged, true) {
                    let model = &recipe.start.name;
                    tracing::warn!(model, how, "the process of a model ended; it gets a new one");
                }
                Err(BackendFailure::Ended(format!("its process ended ({how})")))
            }
        }
    }

    fn describe(&self) -> String {
        self.ready.fingerprint.clone()
    }

    fn providers(&self) -> ProviderUse {
        self.ready.providers.clone()
    }

    fn canceller(&self) -> Canceller {
        self.canceller.clone()
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
