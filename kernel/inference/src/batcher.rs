//! Which requests run together: a pure state machine without threads, rings or waiting.
//!
//! Per model, requests fill the rows of a chunk in the order in which they come; a full chunk or a
//! flush runs it (SEMANTICS I2). Rows that stay empty are zeros. A row of the wrong length takes no
//! row of the chunk but keeps its position among the replies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasm_engine_shm::bytes::ReserveError;

use crate::backend::Backend;
use crate::protocol::{BatchDone, panic_text};

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
    backend: Box<dyn Backend>,
    input_len: usize,
    output_len: usize,
    batch: usize,
    entries: Vec<PendingRow>,
    /// Rows filled, as they will be given to the model.
    input: Vec<f32>,
    /// One output row, NaN made canonical.
    output: Vec<f32>,
    /// It panicked and is not run again.
    panicked: bool,
    /// A failure was logged; the others are counted.
    logged: bool,
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
        let has_row = bytes.len() == chunk.input_len * size_of::<f32>();
        chunk.entries.push(PendingRow { number, has_row });
        if !has_row {
            return Accepted::Waits;
        }
        let (values, _) = bytes.as_chunks();
        chunk.input.extend(values.iter().map(|value| canonical(f32::from_le_bytes(*value))));
        match chunk.input.len() == chunk.batch * chunk.input_len {
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
        Self {
            input_len,
            output_len,
            batch,
            entries: Vec::with_capacity(batch),
            input: Vec::with_capacity(batch * input_len),
            output: vec![0.0; output_len],
            backend,
            panicked: false,
            logged: false,
        }
    }

    fn run(
        &mut self,
        model: u32,
        clock: fn() -> u64,
        sink: &mut impl ReplySink,
    ) -> Result<(), ReserveError> {
        let Self { backend, entries, input, output, panicked, logged, .. } = self;
        let rows = entries.iter().filter(|entry| entry.has_row).count();
        let misfits = entries.len() - rows;
        let start = clock();
        let result = match (rows, *panicked) {
            (0, _) => Ok(&[][..]),
            (_, true) => Err("it panicked before and is not run again".to_owned()),
            (_, false) => {
                let expected = self.batch * self.output_len;
                guarded(backend.as_mut(), input, expected).map_err(|failure| match failure {
                    Failure::Error(text) => text,
                    Failure::Panic(text) => {
                        *panicked = true;
                        format!("it panicked: {text}")
                    }
                })
            }
        };
        let run_ns = if rows > 0 { clock().saturating_sub(start) } else { 0 };
        if let Err(error) = &result
            && !std::mem::replace(logged, true)
        {
            tracing::warn!(model, error, "a model failed; its requests are answered with an error");
        }
        let errors = if result.is_err() { entries.len() } else { misfits };
        sink.batch(BatchDone {
            run_ns,
            model,
            rows: rows as u32,
            misfits: misfits as u32,
            errors: errors as u32,
            panicked: u32::from(*panicked),
            reserved: 0,
        })?;
        let mut done = result.unwrap_or_default().chunks_exact(self.output_len.max(1));
        for entry in entries.iter() {
            match entry.has_row.then(|| done.next()).flatten() {
                Some(row) => {
                    for (slot, value) in output.iter_mut().zip(row) {
                        *slot = canonical(*value);
                    }
                    sink.row(entry.number, output)?;
                }
                None => sink.failed(entry.number)?,
            }
        }
        entries.clear();
        input.clear();
        Ok(())
    }
}

/// Why a batch has no result.
enum Failure {
    Error(String),
    Panic(String),
}

/// [`padded`] behind a panic boundary (SEMANTICS I3).
fn guarded<'a>(
    backend: &'a mut dyn Backend,
    input: &[f32],
    expected: usize,
) -> Result<&'a [f32], Failure> {
    let mut backend = Some(backend);
    // After a panic the model is not touched again, so nobody sees a state that is half changed.
    let run = AssertUnwindSafe(|| backend.take().map(|backend| padded(backend, input, expected)));
    match catch_unwind(run) {
        Ok(Some(result)) => result.map_err(Failure::Error),
        Ok(None) => unreachable!("the closure runs once"),
        Err(panic) => Err(Failure::Panic(panic_text(panic.as_ref()).to_owned())),
    }
}

/// Runs a model over `input` padded with zeros.
fn padded<'a>(
    backend: &'a mut dyn Backend,
    input: &[f32],
    expected: usize,
) -> Result<&'a [f32], String> {
    let rows = backend.rows();
    if rows.len() < input.len() {
        return Err(format!("it has room for {} values of {}", rows.len(), input.len()));
    }
    let (filled, padding) = rows.split_at_mut(input.len());
    filled.copy_from_slice(input);
    padding.fill(0.0);
    let result = backend.run()?;
    match result.len() == expected {
        true => Ok(result),
        false => Err(format!("it gave {} values instead of {expected}", result.len())),
    }
}

fn canonical(value: f32) -> f32 {
    if value.is_nan() { NAN } else { value }
}
