//! Runs over tensors that stay: where requests of a shape come again and again, the library makes
//! and looks for nothing.
//!
//! A shape that comes twice in turn gets tensors of its own, bound to the session. They are tried
//! at once: over the same elements, with every byte of its outputs wrong before, the run has to
//! give the bits that it gave without them, else the model is never bound. So it shows where an
//! output is an input or a constant handed on, which the library would not put there. Models that
//! hand values on inside (`Scanned::hands_on`) are not tried, nor are long requests, for which it
//! does not pay, and what is no tensor of elements of a fixed size. Where the shape of an output
//! turns out to depend on the elements, the run fails and is repeated without.

use ort::session::{RunOptions, Session};
use wasm_engine_abi::tensor::{RANK_MAX, TensorList, TensorWriter, Value, ValueKind};

use crate::list_buffer::ListBuffer;
use crate::onnx::binding::Binding;
use crate::onnx::raw::PortNames;
use crate::stack::{self, StackedRows};

/// Most bytes of a request and its reply that are bound: copying more takes longer than what is
/// saved.
const BYTES_MAX: usize = 64 << 10;
/// Shapes that a model has bound at once.
const SHAPES_MAX: usize = 8;

/// One shape of requests and its tensors.
struct BoundRun {
    /// Of one row, and how many there are.
    shape: Vec<u8>,
    batch: u32,
    binding: Binding,
    outputs: Vec<BoundOutput>,
}

/// What a reply says of an output.
struct BoundOutput {
    port: u32,
    kind: ValueKind,
    dims: Vec<u64>,
}

/// The session and how it is asked.
pub(super) struct SessionCall<'s> {
    pub(super) session: &'s mut Session,
    pub(super) options: &'s RunOptions,
    pub(super) input_names: &'s PortNames,
    pub(super) output_names: &'s PortNames,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    /// The reply is there.
    Done,
    /// Its shape is not bound.
    Not,
    /// The run failed, perhaps only because it was bound.
    Failed,
}

/// The shapes that a model has bound.
pub(super) struct BoundRuns {
    /// Whether there is any use in trying.
    possible: bool,
    runs: Vec<BoundRun>,
    /// Which of them gives way to the next one.
    next: usize,
    /// Shape of the last request, and of the one before that was not bound.
    shape: Vec<u8>,
    last: (u32, Vec<u8>),
}

impl BoundRuns {
    pub(super) fn new(possible: bool) -> Self {
        Self { possible, runs: Vec::new(), next: 0, shape: Vec::new(), last: (0, Vec::new()) }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    /// Answers a request if its shape is bound; `first` is the list of the first row.
    pub(super) fn run(
        &mut self,
        rows: &StackedRows<'_>,
        first: &TensorList<'_>,
        asked: &mut SessionCall<'_>,
        reply: &mut ListBuffer,
    ) -> Bound {
        if !self.possible {
            return Bound::Not;
        }
        stack::shape(first, &mut self.shape);
        let Self { runs, shape, .. } = self;
        let same = |run: &&mut BoundRun| run.batch == rows.batch() && run.shape == *shape;
        let Some(run) = runs.iter_mut().find(same) else { return Bound::Not };
        run.fill(rows, first);
        match run.binding.run(asked.session, asked.options) {
            Ok(()) if run.write(reply).is_some() => Bound::Done,
            Ok(()) | Err(_) => Bound::Failed,
        }
    }

    /// Binds the shape of a request that was answered otherwise, if that is of use. `list` is all
    /// of it, `bound` what [`BoundRuns::run`] said of it.
    pub(super) fn learn(
        &mut self,
        rows: &StackedRows<'_>,
        list: &TensorList<'_>,
        bound: Bound,
        asked: &mut SessionCall<'_>,
        reply: &ListBuffer,
    ) {
        // What fails only if it is bound has outputs of no fixed shape.
        if bound == Bound::Failed {
            *self = Self::new(false);
        }
        if !self.possible {
            return;
        }
        if (self.last.0, &self.last.1) != (rows.batch(), &self.shape) {
            self.last.0 = rows.batch();
            self.last.1.clone_from(&self.shape);
            return;
        }
        let Ok(reply) = TensorList::parse(reply.bytes()) else { return };
        let values = || list.iter().chain(reply.iter());
        let bytes: usize = values().map(|value| value.data().len()).sum();
        if bytes > BYTES_MAX || values().any(|value| value.kind().element_bytes().is_none()) {
            return;
        }
        match BoundRun::tried(self.shape.clone(), (rows, list), &reply, asked) {
            Some(run) if self.runs.len() < SHAPES_MAX => self.runs.push(run),
            Some(run) => {
                self.runs[self.next] = run;
                self.next = (self.next + 1) % SHAPES_MAX;
            }
            None => *self = Self::new(false),
        }
    }
}

impl BoundRun {
    /// Tensors for a request and its reply; none if the run over them does not give that reply.
    fn tried(
        shape: Vec<u8>,
        (rows, list): (&StackedRows<'_>, &TensorList<'_>),
        reply: &TensorList<'_>,
        asked: &mut SessionCall<'_>,
    ) -> Option<Self> {
        let mut binding = Binding::new(asked.session).ok()?;
        for value in list.iter() {
            add(&mut binding, (true, asked.input_names, value.port() as usize), &value)?;
        }
        let mut outputs = Vec::new();
        for (at, value) in reply.iter().enumerate() {
            add(&mut binding, (false, asked.output_names, at), &value)?;
            let wrong = binding.output_mut(at)?.iter_mut().zip(value.data());
            wrong.for_each(|(byte, right)| *byte = !right);
            let (port, kind, dims) = (value.port(), value.kind(), value.dims().collect());
            outputs.push(BoundOutput { port, kind, dims });
        }
        let mut run = Self { shape, batch: rows.batch(), binding, outputs };
        run.fill(rows, &TensorList::parse(rows.first()).ok()?);
        run.binding.run(asked.session, asked.options).ok()?;
        run.binding.outputs().eq(reply.iter().map(|value| value.data())).then_some(run)
    }

    /// Copies the elements of a request of this shape in.
    fn fill(&mut self, rows: &StackedRows<'_>, first: &TensorList<'_>) {
        for (at, value) in first.iter().enumerate() {
            let part = stack::data_range(&value, rows.first());
            let Some(input) = self.binding.input(at).filter(|_| !part.is_empty()) else { continue };
            let slots = input.chunks_exact_mut(part.len());
            slots.zip(rows.parts(part)).for_each(|(slot, row)| slot.copy_from_slice(row));
        }
    }

    /// Makes `reply` the list of its outputs.
    fn write(&self, reply: &mut ListBuffer) -> Option<()> {
        reply.clear();
        let mut list = TensorWriter::new(reply).ok()?;
        for (BoundOutput { port, kind, dims }, data) in
            self.outputs.iter().zip(self.binding.outputs())
        {
            list.value(*port, *kind, dims, &[data]).ok()?;
        }
        let _ = list.finish();
        Some(())
    }
}

/// Binds a tensor as `value` is one.
fn add(binding: &mut Binding, port: (bool, &PortNames, usize), value: &Value<'_>) -> Option<()> {
    let mut sizes = [0; RANK_MAX as usize];
    let dims = sizes.get_mut(..value.dims().len())?;
    for (slot, dim) in dims.iter_mut().zip(value.dims()) {
        *slot = i64::try_from(dim).ok()?;
    }
    binding.add(port, (value.kind(), dims), value.data().len()).ok()
}
