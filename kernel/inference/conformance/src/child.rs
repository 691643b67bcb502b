//! The child: loads files as a run of the kernel would, asks cases their requests, says what came.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit};
use serde_json::{Value, json};
use wasm_engine_inference::{
    Backend, Interrupter, ListBuffer,
    onnx::OnnxError,
    registry::{LoadedModel, ModelError, ModelFile, ModelHome, ModelTerms, load_model},
};

use crate::case::Case;
use crate::compare;

/// The argument that makes this program a child.
pub(crate) const MODE: &str = "child";

/// After this a model is interrupted, as a user would interrupt a run.
pub(crate) const INTERRUPTED_AFTER: Duration = Duration::from_secs(5);

/// Address space of a child: for what asks for more there is none.
const MEMORY_MAX: u64 = 4 << 30;

/// Answers one line to each, until there are no more.
///
/// # Errors
/// Limits and pipes that cannot be had.
pub(crate) fn serve() -> Result<()> {
    // What a library prints must not get among the answers.
    let mut answers = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    limit(Resource::Core, 0)?;
    limit(Resource::As, MEMORY_MAX)?;
    for question in io::stdin().lock().lines() {
        let question = question?;
        let answer = panic::catch_unwind(AssertUnwindSafe(|| answer(Path::new(&question))));
        let answer = answer.unwrap_or_else(|_| json!({ "panicked": true }));
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// What came of a file or, if it is a folder, of a case.
fn answer(path: &Path) -> Value {
    if path.is_dir() {
        return case(path).unwrap_or_else(|error| json!({ "unread": format!("{error:#}") }));
    }
    match std::fs::read(path) {
        Err(error) => json!({ "unread": error.to_string() }),
        Ok(bytes) => match load(&bytes, ModelHome::Here) {
            Ok(_) => json!({ "accepted": "kernel" }),
            Err(refusal) => json!({ "refused": refusal.to_string() }),
        },
    }
}

/// Asks a case's model all its requests: in this process, or in one of its own if it may end this.
fn case(folder: &Path) -> Result<Value> {
    let case = Case::read(folder)?;
    let path = case.model();
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let (home, loaded) = match load(&bytes, ModelHome::Here) {
        Err(ModelError::Model(OnnxError::EndsProcess { .. })) => {
            let program = std::env::current_exe()?;
            ("own", load(&bytes, ModelHome::Process(Some(&program))))
        }
        loaded => ("kernel", loaded),
    };
    let mut model = match loaded {
        Ok(model) => model,
        Err(refusal) => return Ok(json!({ "refused": refusal.to_string() })),
    };
    let runs = (0..case.runs).map(|number| run(&case, number, model.backend.as_mut()));
    Ok(json!({ "accepted": home, "runs": runs.collect::<Result<Vec<_>>>()? }))
}

/// One request, and how the reply compares.
fn run(case: &Case, number: usize, model: &mut dyn Backend) -> Result<Value> {
    let file = |what: &str| -> Result<Option<Vec<u8>>> {
        let Some(path) = case.file(what, number) else { return Ok(None) };
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(Some(bytes))
    };
    let mut request = ListBuffer::default();
    request.set(&file("request")?.context("a run without a request")?);
    let mut reply = ListBuffer::default();
    if let Err(failure) = model.run(request.bytes(), &mut reply) {
        return Ok(json!({ "failed": failure.to_string() }));
    }
    // A shape that comes again may be bound to tensors that stay.
    let first = reply.bytes().to_vec();
    for _ in 0..3 {
        reply.clear();
        if let Err(failure) = model.run(request.bytes(), &mut reply) {
            return Ok(json!({ "failed": format!("asked again: {failure}") }));
        }
        if reply.bytes() != first {
            return Ok(json!({ "failed": "asked again it gives another reply" }));
        }
    }
    let (plain, stated) = (file("reply")?, file("expected")?);
    let bits = match &plain {
        Some(plain) => compare::bits(reply.bytes(), plain),
        None => Some("plain ONNX Runtime has no reply".to_owned()),
    };
    let within = stated.as_ref().and_then(|it| compare::within(reply.bytes(), it, case.tolerance));
    Ok(json!({ "bits": bits, "within": within, "stated": stated.is_some() }))
}

/// The model, or why it is none.
fn load(bytes: &[u8], home: ModelHome<'_>) -> Result<LoadedModel, ModelError> {
    let interrupter = Interrupter::default();
    let (loaded, still_loading) = mpsc::channel::<()>();
    let asked = interrupter.clone();
    let watch = std::thread::spawn(move || {
        if still_loading.recv_timeout(INTERRUPTED_AFTER) == Err(RecvTimeoutError::Timeout) {
            asked.interrupt();
        }
    });
    let terms = ModelTerms::default();
    let file = ModelFile {
        name: "model",
        bytes,
        sha256: None,
        batch: 1,
        home,
        terms: &terms,
        external: &[],
    };
    let model = load_model(&file, None, &interrupter);
    drop(loaded);
    // It ends at once, and cannot have panicked.
    let _ = watch.join();
    model
}
