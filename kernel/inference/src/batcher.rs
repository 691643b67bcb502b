//! Which requests run together: a pure state machine without threads, rings or waiting.
//!
//! Per model, requests fill the rows of a chunk in the order in which they come; a full chunk or a
//! flush runs it (SEMANTICS I2). Rows that stay empty repeat the last one: what no agent asked,
//! such as zeros, may be illegal for the model. A row of the wrong length takes no row of the chunk
//! but keeps its position among the replies.
//!
//! ```text
//!  a b c d  fails: in halves, each padded with its own last row, until who fails is alone
//!  a b b b  good       c d d d  fails
//!                      c c c c  good       d d d d  fails: ModelFailed for d, for nobody else
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasm_engine_shm::bytes::ReserveError;

use crate::backend::{Backend, BackendFailure};
use crate::protocol::{BatchDone, panic_text};

/// Requests in a row, none answered between them, that may end the process of a model before it is
/// given up: what ends it always would else cost a start or two for each request of a run.
pub(crate) const LOST_ROWS_MAX: u32 = 16;

/// The one NaN that goes in and comes out.
const NAN: f32 = f32::from_bits(0x7fc0_0000);

/// Where the results go, in order: the batch, then the replies of its requests.
pub(crate) trait ReplySink {
    fn batch(&mut self, done: BatchDone) -> Result<(), ReserveError>;
    fn row(&mut self, number: u64, row: &[f32]) -> Result<(), ReserveError>;
    fn failed(&mut self, number: u64) -> Result<(), ReserveError>;
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accepted {
    /// It waits for more or for the flush.
    Waits,
    /// Its chunk is full: run it now.
    Full,
    /// There is no such model.
    NoModel,
}

/// A request in the chunk being filled.
#[derive(Clone, Copy)]
struct PendingRow {
    number: u64,
    has_row: bool,
}

/// One model and the chunk being filled.
struct Chunk {
    model: GuardedModel,
    entries: Vec<PendingRow>,
    /// Rows filled, as they will be given to the model.
    input: Vec<f32>,
    /// Their output rows; those of rows that failed are zeros.
    output: Vec<f32>,
    /// Whether each has an output.
    good: Vec<bool>,
    /// A failure was logged; the others are counted.
    logged: bool,
}

/// A backend and what it last said.
struct GuardedModel {
    backend: Box<dyn Backend>,
    input_len: usize,
    output_len: usize,
    batch: usize,
    /// Why the last run that failed did so.
    failure: Option<String>,
    /// It panicked or cannot be had any more, and is not run again.
    gone: bool,
    /// Rows that ended its process, since the last answer.
    lost_rows: u32,
}

/// All models.
pub(crate) struct Batcher {
    chunks: Vec<Chunk>,
    clock: fn() -> u64,
}

impl Batcher {
    pub(crate) fn new(models: Vec<Box<dyn Backend>>, clock: fn() -> u64) -> Self {
        Self { chunks: models.into_iter().map(Chunk::new).collect(), clock }
    }

    /// Puts a request into its model's chunk.
    pub(crate) fn accept(&mut self, model: u32, number: u64, bytes: &[u8]) -> Accepted {
        let Some(chunk) = self.chunks.get_mut(model as usize) else { return Accepted::NoModel };
        let GuardedModel { input_len, batch, .. } = chunk.model;
        let has_row = bytes.len() == input_len * size_of::<f32>();
        chunk.entries.push(PendingRow { number, has_row });
        if !has_row {
            return Accepted::Waits;
        }
        let (values, _) = bytes.as_chunks();
        chunk.input.extend(values.iter().map(|value| canonical(f32::from_le_bytes(*value))));
        match chunk.input.len() == batch * input_len {
            true => Accepted::Full,
            false => Accepted::Waits,
        }
    }

    /// Runs a model's chunk as it is; an empty one is left alone.
    pub(crate) fn run(
        &mut self,
        model: u32,
        sink: &mut impl ReplySink,
    ) -> Result<(), ReserveError> {
        match self.chunks.get_mut(model as usize) {
            Some(chunk) if !chunk.entries.is_empty() => chunk.run(model, self.clock, sink),
            _ => Ok(()),
        }
    }

    /// Runs what every model has, in order of the models.
    pub(crate) fn flush(&mut self, sink: &mut impl ReplySink) -> Result<(), ReserveError> {
        (0..self.chunks.len() as u32).try_for_each(|model| self.run(model, sink))
    }
}

impl Chunk {
    fn new(backend: Box<dyn Backend>) -> Self {
        let (input_len, output_len) = (backend.input_len(), backend.output_len());
        let batch = backend.batch();
        let model = GuardedModel {
            backend,
            input_len,
            output_len,
            batch,
            failure: None,
            gone: false,
            lost_rows: 0,
        };
        Self {
            model,
            entries: Vec::with_capacity(batch),
            input: Vec::with_capacity(batch * input_len),
            output: Vec::new(),
            good: Vec::with_capacity(batch),
            logged: false,
        }
    }

    fn run(
        &mut self,
        number: u32,
        clock: fn() -> u64,
        sink: &mut impl ReplySink,
    ) -> Result<(), ReserveError> {
        let Self { model, entries, input, output, good, logged } = self;
        let rows = entries.iter().filter(|entry| entry.has_row).count();
        let misfits = entries.len() - rows;
        output.clear();
        output.resize(rows * model.output_len, 0.0);
        good.clear();
        good.resize(rows, false);
        let was_gone = model.gone;
        let start = clock();
        if rows > 0 {
            model.solve(input, output, good);
        }
        let run_ns = if rows > 0 { clock().saturating_sub(start) } else { 0 };
        let failed = good.iter().filter(|good| !**good).count();
        let error = model.failure.take();
        if let Some(error) = error.filter(|_| failed > 0) {
            if model.gone && !was_gone {
                *logged = true;
                tracing::error!(
                    model = number,
                    error,
                    "a model is not run again; all its requests are answered with an error"
                );
            } else if !std::mem::replace(logged, true) {
                tracing::warn!(
                    model = number,
                    error,
                    "a model failed; the requests that it fails on are answered with an error"
                );
            }
        }
        sink.batch(BatchDone {
            run_ns,
            model: number,
            rows: rows as u32,
            misfits: misfits as u32,
            errors: (misfits + failed) as u32,
            gone: u32::from(model.gone),
            reserved: 0,
        })?;
        let mut done = good.iter().zip(output.chunks_exact(model.output_len.max(1)));
        for entry in entries.iter() {
            match entry.has_row.then(|| done.next()).flatten() {
                Some((true, row)) => sink.row(entry.number, row)?,
                Some((false, _)) | None => sink.failed(entry.number)?,
            }
        }
        entries.clear();
        input.clear();
        Ok(())
    }
}

impl GuardedModel {
    /// Runs the rows of `input` together and, where that fails, in halves: so a failure is that of
    /// the rows that fail alone. Which rows those are depends on them only, for rows do not
    /// influence each other.
    fn solve(&mut self, input: &[f32], output: &mut [f32], good: &mut [bool]) {
        if self.gone {
            self.failure = Some("it is not run again".to_owned());
            return;
        }
        let ended = match self.attempt(input, output, good) {
            Ok(()) => return,
            Err(failure) => matches!(failure, BackendFailure::Ended(_)),
        };
        let half = good.len() / 2;
        if self.gone {
            return;
        }
        if half > 0 {
            let (in_a, in_b) = input.split_at(half * self.input_len);
            let (out_a, out_b) = output.split_at_mut(half * self.output_len);
            let (good_a, good_b) = good.split_at_mut(half);
            self.solve(in_a, out_a, good_a);
            self.solve(in_b, out_b, good_b);
        } else if ended {
            self.insist(input, output, good);
        }
    }

    /// Runs a row again that was alone when the process ended (SEMANTICS I3.6): only one that ends
    /// it twice is at fault, and not whoever killed it.
    fn insist(&mut self, input: &[f32], output: &mut [f32], good: &mut [bool]) {
        let Err(BackendFailure::Ended(how)) = self.attempt(input, output, good) else { return };
        self.lost_rows += 1;
        if self.lost_rows == LOST_ROWS_MAX {
            self.gone = true;
            self.failure = Some(format!("{how}, and so with {LOST_ROWS_MAX} requests in a row"));
        }
    }

    /// Runs the rows of `input` together, once.
    fn attempt(
        &mut self,
        input: &[f32],
        output: &mut [f32],
        good: &mut [bool],
    ) -> Result<(), BackendFailure> {
        match self.guarded(input) {
            Ok(rows) => {
                for (slot, value) in output.iter_mut().zip(rows) {
                    *slot = canonical(*value);
                }
                good.fill(true);
                self.lost_rows = 0;
                Ok(())
            }
            Err(failure) => {
                match &failure {
                    BackendFailure::Failed(_) => self.lost_rows = 0,
                    BackendFailure::Ended(_) => {}
                    BackendFailure::Gone(_) => self.gone = true,
                }
                self.failure = Some(failure.to_string());
                Err(failure)
            }
        }
    }

    /// [`GuardedModel::padded`] behind a panic boundary (SEMANTICS I3).
    fn guarded(&mut self, input: &[f32]) -> Result<&[f32], BackendFailure> {
        // After a panic the model is not touched again: nobody sees a state that is half changed.
        let mut this = Some(self);
        let run = AssertUnwindSafe(|| this.take().map(|this| this.padded(input)));
        match catch_unwind(run) {
            Ok(Some(result)) => result,
            Ok(None) => unreachable!("the closure runs once"),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                Err(BackendFailure::Gone(format!("it panicked: {text}")))
            }
        }
    }

    /// Runs the backend over `input`, at least one row, its last row repeated up to the batch.
    fn padded(&mut self, input: &[f32]) -> Result<&[f32], BackendFailure> {
        let Self { backend, input_len, output_len, batch, .. } = self;
        let rows = backend.rows();
        let (Some((filled, padding)), Some(last)) = (
            rows.split_at_mut_checked(input.len()),
            input.len().checked_sub(*input_len).map(|at| &input[at..]),
        ) else {
            let why = format!("it has no room for {} values", input.len());
            return Err(BackendFailure::Failed(why));
        };
        filled.copy_from_slice(input);
        for row in padding.chunks_mut((*input_len).max(1)) {
            row.copy_from_slice(&last[..row.len()]);
        }
        let expected = *batch * *output_len;
        let result = backend.run()?;
        match result.len() == expected {
            true => Ok(result),
            false => Err(BackendFailure::Failed(format!(
                "it gave {} values instead of {expected}",
                result.len()
            ))),
        }
    }
}

fn canonical(value: f32) -> f32 {
    if value.is_nan() { NAN } else { value }
}
