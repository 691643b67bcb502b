//! Which requests run together: a pure state machine without threads, rings or waiting.
//!
//! Per model, requests of equal shape fill the rows of a chunk in the order in which they come; a
//! full chunk or a flush runs it (SEMANTICS I2). Rows that stay empty repeat the last one: what no
//! agent asked, such as zeros, may be illegal for the model. A request that is not what the model
//! takes is answered at once and takes no row.
//!
//! ```text
//!  a b c d  fails: in halves, each padded with its own last row, until who fails is alone
//!  a b b b  good       c d d d  fails
//!                      c c c c  good       d d d d  fails: ModelFailed for d, for nobody else
//! ```

use std::ops::Range;

use wasm_engine_abi::calls::Status;
use wasm_engine_abi::tensor::{RequestForm, TensorBuffer, TensorList, TensorWriter, ValueKind};
use wasm_engine_setup::{ModelSetup, ProviderUse, REPLY_BYTES_MIN, RowForm};
use wasm_engine_shm::bytes::ReserveError;

use crate::backend::{Backend, BackendFailure};
use crate::guarded::GuardedModel;
use crate::list_buffer::ListBuffer;
use crate::protocol::BatchDone;
use crate::stack::StackedRows;
use crate::{nan, request, stack};

/// A model and what agents know of it.
pub struct ServedModel {
    /// What agents know of it.
    pub setup: ModelSetup,
    /// The model.
    pub backend: Box<dyn Backend>,
    /// Nanoseconds that it has from a request on (SEMANTICS I4); any without.
    pub deadline_ns: Option<u64>,
}

/// Where the results go, in order: who computed them if another than before, the batch, then the
/// replies of its requests.
pub(crate) trait ReplySink {
    fn providers(&mut self, model: u32, providers: ProviderUse) -> Result<(), ReserveError>;
    fn batch(&mut self, done: BatchDone) -> Result<(), ReserveError>;
    fn reply(&mut self, number: u64, code: Status, bytes: &[u8]) -> Result<(), ReserveError>;
}

/// There is no such model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoModel;

/// A request in a chunk being filled.
#[derive(Clone, Copy)]
struct Row {
    number: u64,
    form: RequestForm,
}

/// Requests of equal shape that will run together.
#[derive(Default)]
struct Chunk {
    /// What of them is equal.
    shape: Vec<u8>,
    rows: Vec<Row>,
    /// Their lists, one behind the other, each of `row_bytes`.
    lists: ListBuffer,
    row_bytes: usize,
}

/// One model, its chunks being filled in order of their first requests, and memory for reuse.
struct Batches {
    setup: ModelSetup,
    /// How it is asked with rows.
    row: Option<RowForm>,
    model: GuardedModel,
    chunks: Vec<Chunk>,
    spare: Vec<Chunk>,
    request: ListBuffer,
    /// Which inputs a request has, and its shape.
    seen: Vec<bool>,
    shape: Vec<u8>,
    results: ChunkResults,
    /// A failure was logged; the others are counted.
    logged: bool,
}

/// Replies of a chunk.
#[derive(Default)]
struct ChunkResults {
    /// Those that were cut out of the reply to several rows.
    bytes: Vec<u8>,
    /// Where each lies: of a chunk of one row in `reply`, which no run follows that would write
    /// over it, else in `bytes`; those that failed are nowhere.
    rows: Vec<Option<Range<usize>>>,
    one: ListBuffer,
    stacked: ListBuffer,
    /// Of the last run.
    reply: ListBuffer,
    floats: nan::Floats,
}

/// All models.
pub(crate) struct Batcher {
    models: Vec<Batches>,
    clock: fn() -> u64,
}

impl Batcher {
    pub(crate) fn new(models: Vec<ServedModel>, clock: fn() -> u64) -> Self {
        Self { models: models.into_iter().map(Batches::new).collect(), clock }
    }

    /// Takes a request; its chunk runs if it is full with it.
    pub(crate) fn accept(
        &mut self,
        model: u32,
        (number, form): (u64, RequestForm),
        bytes: &[u8],
        sink: &mut impl ReplySink,
    ) -> Result<Result<(), NoModel>, ReserveError> {
        let Some(batches) = self.models.get_mut(model as usize) else { return Ok(Err(NoModel)) };
        if let Err(text) = batches.add(Row { number, form }, bytes) {
            sink.batch(BatchDone { model, misfits: 1, errors: 1, ..BatchDone::default() })?;
            // Every reply has room for that much.
            let end = text.floor_char_boundary(REPLY_BYTES_MIN as usize);
            sink.reply(number, Status::Mismatch, &text.as_bytes()[..end])?;
            return Ok(Ok(()));
        }
        let full = batches
            .chunks
            .iter()
            .position(|chunk| chunk.rows.len() == batches.setup.batch as usize);
        match full {
            Some(full) => batches.run(model, full, self.clock, sink).map(Ok),
            None => Ok(Ok(())),
        }
    }

    /// Puts `backend` where a model is, once what was asked of that one is answered.
    pub(crate) fn replace(
        &mut self,
        model: u32,
        backend: Box<dyn Backend>,
        sink: &mut impl ReplySink,
    ) -> Result<Result<(), NoModel>, ReserveError> {
        let clock = self.clock;
        let Some(batches) = self.models.get_mut(model as usize) else { return Ok(Err(NoModel)) };
        while !batches.chunks.is_empty() {
            batches.run(model, 0, clock, sink)?;
        }
        batches.model = GuardedModel::new(backend);
        batches.logged = false;
        sink.providers(model, batches.model.providers()).map(Ok)
    }

    /// Runs what every model has, in order of the models.
    pub(crate) fn flush(&mut self, sink: &mut impl ReplySink) -> Result<(), ReserveError> {
        for (batches, model) in self.models.iter_mut().zip(0..) {
            while !batches.chunks.is_empty() {
                batches.run(model, 0, self.clock, sink)?;
            }
        }
        Ok(())
    }
}

impl Batches {
    fn new(served: ServedModel) -> Self {
        let ServedModel { setup, backend, .. } = served;
        Self {
            row: setup.row(),
            model: GuardedModel::new(backend),
            setup,
            chunks: Vec::new(),
            spare: Vec::new(),
            request: ListBuffer::default(),
            seen: Vec::new(),
            shape: Vec::new(),
            results: ChunkResults::default(),
            logged: false,
        }
    }

    /// Puts a request into the chunk of its shape; an error says why it is none for this model.
    fn add(&mut self, row: Row, bytes: &[u8]) -> Result<(), String> {
        match (row.form, &self.row) {
            (RequestForm::Tensors, _) => self.request.set(bytes),
            (RequestForm::Row, Some(form)) if bytes.len() == form.input_len * 4 => {
                self.request.clear_for(form.input_dims.len());
                let written = TensorWriter::new(&mut self.request).and_then(|mut list| {
                    list.value(0, ValueKind::F32, &form.input_dims, &[bytes])?;
                    Ok(list.finish())
                });
                debug_assert!(written.is_ok(), "the buffer grows");
            }
            (RequestForm::Row, Some(form)) => {
                return Err(format!(
                    "a row has {} values, not {} bytes",
                    form.input_len,
                    bytes.len()
                ));
            }
            (RequestForm::Row, None) => {
                return Err("this model is asked with tensors, not with a row".to_owned());
            }
        }
        let bytes = self.request.bytes();
        let list = request::check(bytes, &self.setup, &mut self.seen)?;
        // A request that runs alone shares its shape with nobody.
        if self.setup.batch > 1 {
            stack::shape(&list, &mut self.shape);
        }
        let floats = &mut self.results.floats;
        nan::find(&list, bytes, floats);
        nan::canonicalise(self.request.bytes_mut(), floats);
        match self.chunks.iter_mut().find(|chunk| chunk.shape == self.shape) {
            Some(chunk) => {
                chunk.rows.push(row);
                chunk.lists.append(self.request.bytes());
            }
            None => {
                let mut chunk = self.spare.pop().unwrap_or_default();
                chunk.shape.clone_from(&self.shape);
                chunk.row_bytes = self.request.bytes().len();
                chunk.rows.push(row);
                std::mem::swap(&mut chunk.lists, &mut self.request);
                self.chunks.push(chunk);
            }
        }
        Ok(())
    }

    /// Runs the chunk at `index` as it is.
    fn run(
        &mut self,
        number: u32,
        index: usize,
        clock: fn() -> u64,
        sink: &mut impl ReplySink,
    ) -> Result<(), ReserveError> {
        let mut chunk = self.chunks.remove(index);
        let was_gone = self.model.is_gone();
        let start = clock();
        self.model.begin();
        self.results.bytes.clear();
        self.results.rows.clear();
        self.solve(&chunk, 0..chunk.rows.len());
        let run_ns = clock().saturating_sub(start);
        let failed = self.results.rows.iter().filter(|row| row.is_none()).count();
        self.report(number, was_gone, failed);
        if let Some(providers) = self.model.take_provider_change() {
            sink.providers(number, providers)?;
        }
        sink.batch(BatchDone {
            run_ns,
            start_ns: start,
            model: number,
            rows: chunk.rows.len() as u32,
            misfits: 0,
            errors: failed as u32,
            gone: u32::from(self.model.is_gone()),
            reserved: 0,
        })?;
        // Whoever asked it to stop has answered some of them already.
        let failure = if self.model.is_late() { Status::Late } else { Status::ModelFailed };
        let replies = self.results.replies(self.setup.batch);
        for (row, result) in chunk.rows.iter().zip(&self.results.rows) {
            match result {
                Some(range) => sink.reply(row.number, Status::Ok, &replies[range.clone()])?,
                None => sink.reply(row.number, failure, &[])?,
            }
        }
        chunk.rows.clear();
        chunk.lists.clear();
        self.spare.push(chunk);
        Ok(())
    }

    /// Logs the first failure, and that the model is gone.
    fn report(&mut self, number: u32, was_gone: bool, failed: usize) {
        let Some(error) = self.model.take_failure().filter(|_| failed > 0) else { return };
        let model = self.setup.name.as_str();
        if self.model.is_gone() && !was_gone {
            self.logged = true;
            tracing::error!(
                number,
                model,
                error,
                "a model is not run again; all its requests are answered with an error"
            );
        } else if !std::mem::replace(&mut self.logged, true) {
            tracing::warn!(
                number,
                model,
                error,
                "a model failed; the requests that it fails on are answered with an error"
            );
        }
    }

    /// Runs these rows of a chunk together and, where that fails, in halves: so a failure is that
    /// of the rows that fail alone. Which rows those are depends on them only, for rows do not
    /// influence each other.
    fn solve(&mut self, chunk: &Chunk, rows: Range<usize>) {
        let first = self.results.rows.len();
        if self.model.is_late() || self.model.is_gone() {
            if !self.model.is_late() {
                self.model.fail("it is not run again".to_owned());
            }
            self.results.rows.resize(first + rows.len(), None);
            return;
        }
        let ended = match self.attempt(chunk, rows.clone()) {
            Ok(()) => return,
            Err(failure) => matches!(failure, BackendFailure::Ended(_)),
        };
        self.results.rows.truncate(first);
        let half = rows.start + rows.len() / 2;
        if self.model.is_gone() || self.model.is_late() {
            self.results.rows.resize(first + rows.len(), None);
        } else if rows.len() > 1 {
            self.solve(chunk, rows.start..half);
            self.solve(chunk, half..rows.end);
        } else if !ended || self.insist(chunk, rows).is_err() {
            self.results.rows.truncate(first);
            self.results.rows.push(None);
        }
    }

    /// Runs a row again that was alone when the process ended (SEMANTICS I3.6): only one that ends
    /// it twice is at fault, and not whoever killed it.
    fn insist(&mut self, chunk: &Chunk, rows: Range<usize>) -> Result<(), BackendFailure> {
        let result = self.attempt(chunk, rows);
        if let Err(BackendFailure::Ended(how)) = &result {
            self.model.lost_row(how);
        }
        result
    }

    /// Runs these rows together, once, and takes their replies.
    fn attempt(&mut self, chunk: &Chunk, rows: Range<usize>) -> Result<(), BackendFailure> {
        let Self { setup, row: form, model, results, .. } = self;
        let bytes = chunk.row_bytes;
        let lists = &chunk.lists.bytes()[rows.start * bytes..rows.end * bytes];
        let asked = StackedRows::new(lists, bytes, setup.batch);
        model.run(asked, &mut results.stacked, &mut results.reply)?;
        results.take(&chunk.rows[rows], setup, form.as_ref()).map_err(|why| model.fail(why))
    }
}

impl ChunkResults {
    /// The bytes in which the replies to a chunk lie.
    fn replies(&self, batch: u32) -> &[u8] {
        match batch {
            1 => self.reply.bytes(),
            _ => &self.bytes,
        }
    }

    /// Takes the replies to the rows that ran together.
    fn take(
        &mut self,
        asked: &[Row],
        setup: &ModelSetup,
        form: Option<&RowForm>,
    ) -> Result<(), String> {
        let Self { bytes, rows, one, reply, floats, .. } = self;
        let malformed = |_| "its reply is no list of tensors".to_owned();
        let list = TensorList::parse(reply.bytes()).map_err(malformed)?;
        nan::find(&list, reply.bytes(), floats);
        nan::canonicalise(reply.bytes_mut(), floats);
        // Only elements have changed.
        let list = TensorList::parse(reply.bytes()).map_err(malformed)?;
        let no_rows = || "its reply has not a row for each row that it was asked".to_owned();
        for (at, row) in asked.iter().enumerate() {
            let taken = match row.form {
                RequestForm::Tensors if setup.batch == 1 => reply.bytes(),
                RequestForm::Tensors => {
                    stack::unstack(&list, at, setup.batch, one).ok_or_else(no_rows)?;
                    one.bytes()
                }
                RequestForm::Row => {
                    let value = list.iter().next().ok_or_else(no_rows)?;
                    let data = match setup.batch {
                        1 => value.data(),
                        batch => stack::row(&value, at, batch).ok_or_else(no_rows)?,
                    };
                    let len = form.map_or(0, |form| form.output_len);
                    if value.kind() != ValueKind::F32 || data.len() != len * size_of::<f32>() {
                        return Err(format!("its reply is no row of {len} values"));
                    }
                    data
                }
            };
            if taken.len() > setup.reply_bytes_max as usize {
                return Err(format!(
                    "its reply has {} bytes, and model.{}.reply_bytes_max is {}; raise it",
                    taken.len(),
                    setup.name,
                    setup.reply_bytes_max
                ));
            }
            let begin = match setup.batch {
                1 => taken.as_ptr().addr() - reply.bytes().as_ptr().addr(),
                _ => {
                    bytes.extend_from_slice(taken);
                    bytes.len() - taken.len()
                }
            };
            rows.push(Some(begin..begin + taken.len()));
        }
        Ok(())
    }
}
