//! Whether a model keeps its rows apart, tried when it is loaded.
//!
//! A batch is right only for a model whose reply to a row depends on nothing but that row: neither
//! on the other rows, nor on its position, nor on what was asked before. No look at a graph decides
//! that for every operator, so it is tried: one row alone among copies of itself, beside others of
//! several values, and again at the end; every reply to it has the same bits.
//!
//! What it finds is certain, what it does not find is not: a model whose rows influence each other
//! for some values only, which are not among those tried, passes. A row for which a model fails
//! proves nothing, so none is demanded; but where it fails for all, more than one row is refused.

use wasm_engine_abi::tensor::{BadTensors, Bf16Bits, F16Bits, TensorList, TensorWriter, ValueKind};
use wasm_engine_setup::{Dim, ModelSetup, PortValue};

use crate::backend::{Backend, BackendFailure};
use crate::list_buffer::ListBuffer;
use crate::stack::StackedRows;
use crate::{nan, stack};

/// Rows to be asked, the first one that the model allows: value `at` of a tensor.
const ROWS: [fn(usize) -> f64; 4] =
    [|at| (at % 7) as f64 * 0.5 - 1.25, |_| 1.0, |_| 0.0, |at| 10.0 + (at % 90) as f64];

/// What fills the other rows.
const FILLERS: [f64; 6] = [0.0, -1e6, 1e6, 3.0, f64::INFINITY, f64::NAN];

/// Size with which a dimension is tried that may have any.
const FREE_SIZE: u64 = 8;

/// Elements of the largest tensor that is tried where its size is free.
const ELEMENTS_MAX: u64 = 1 << 24;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// Nothing against it.
    Apart,
    /// It allows none of the rows that were tried, or none could be made.
    Untried(String),
    /// A reply has not a row for each row.
    Rowless,
    /// A reply depended on more than the rows of its batch.
    Stateful,
    /// A reply depended on more than its row.
    Mixed(&'static str),
}

/// Runs `model` over some batches. A process that a row ends is a failure like any other.
pub(super) fn probe(setup: &ModelSetup, model: &mut dyn Backend) -> Result<Probed, BackendFailure> {
    let mut refused = "its inputs are none that are tried".to_owned();
    let mut asker =
        Asker { setup, model, request: ListBuffer::default(), reply: ListBuffer::default() };
    for row in ROWS {
        let Some(list) = list(setup, row) else { return Ok(Probed::Untried(refused)) };
        let alone = match asker.ask(&list, None) {
            Ok(Some(replies)) => replies,
            Ok(None) => return Ok(Probed::Rowless),
            Err(failure) if asker.is_over(&failure) => return Err(failure),
            Err(error) => {
                refused = error.to_string();
                continue;
            }
        };
        let Some(reply) = alone.first() else { return Ok(Probed::Apart) };
        if alone.iter().any(|other| other != reply) {
            return Ok(Probed::Mixed("its position in the batch"));
        }
        for filler in FILLERS.iter().filter(|_| setup.batch > 1) {
            let Some(other) = self::list(setup, |_| *filler) else { continue };
            let beside = match asker.ask(&list, Some(&other)) {
                Ok(Some(replies)) => replies,
                Ok(None) => return Ok(Probed::Rowless),
                Err(failure) if asker.is_over(&failure) => return Err(failure),
                Err(_) => continue,
            };
            let mut there = positions(setup.batch).map(|at| &beside[at]);
            if there.any(|other| other != reply) {
                return Ok(Probed::Mixed("the other rows of its batch"));
            }
        }
        let again = asker.ask(&list, None)?;
        return Ok(match again.as_ref() == Some(&alone) {
            true => Probed::Apart,
            false => Probed::Stateful,
        });
    }
    Ok(Probed::Untried(refused))
}

/// Where the row stands beside others: first and, where that leaves room for others, last.
fn positions(batch: u32) -> impl Iterator<Item = usize> {
    let last = batch as usize - 1;
    [0].into_iter().chain((batch > 2).then_some(last))
}

/// A model and memory for what it is asked.
struct Asker<'a> {
    setup: &'a ModelSetup,
    model: &'a mut dyn Backend,
    request: ListBuffer,
    reply: ListBuffer,
}

impl Asker<'_> {
    /// Whether there is no use in trying more.
    fn is_over(&self, failure: &BackendFailure) -> bool {
        matches!(failure, BackendFailure::Gone(_)) || self.model.interrupter().is_asked()
    }

    /// The replies, each NaN the same, to a batch of `row` alone or among rows of `other`; none if
    /// the reply has not a row for each.
    fn ask(
        &mut self,
        row: &[u8],
        other: Option<&[u8]>,
    ) -> Result<Option<Vec<Vec<u8>>>, BackendFailure> {
        let Self { setup, model, request, reply } = self;
        match (setup.batch, other) {
            (1, _) => request.set(row),
            (batch, None) => StackedRows::new(row, row.len(), batch).stack(request),
            (batch, Some(other)) => {
                let mut rows = other.repeat(batch as usize);
                for at in positions(batch) {
                    rows[at * row.len()..][..row.len()].copy_from_slice(row);
                }
                StackedRows::new(&rows, row.len(), batch).stack(request);
            }
        }
        model.run(request.bytes(), reply)?;
        let malformed = |error: BadTensors| BackendFailure::Failed(error.to_string());
        let mut floats = nan::Floats::new();
        let list = TensorList::parse(reply.bytes()).map_err(malformed)?;
        nan::find(&list, reply.bytes(), &mut floats);
        nan::canonicalise(reply.bytes_mut(), &floats);
        if setup.batch == 1 {
            return Ok(Some(vec![reply.bytes().to_vec()]));
        }
        let list = TensorList::parse(reply.bytes()).map_err(malformed)?;
        let mut one = ListBuffer::default();
        let rows = (0..setup.batch as usize).map(|at| {
            stack::unstack(&list, at, setup.batch, &mut one)?;
            Some(one.bytes().to_vec())
        });
        Ok(rows.collect())
    }
}

/// A request of one row with these values; none where an input is no tensor of numbers.
fn list(setup: &ModelSetup, value: impl Fn(usize) -> f64) -> Option<Vec<u8>> {
    let mut bytes = ListBuffer::default();
    let mut list = TensorWriter::new(&mut bytes).ok()?;
    for (port, number) in setup.inputs.iter().zip(0..) {
        let PortValue::Tensor { kind, dims } = &port.value else { return None };
        let dims: Vec<u64> = dims.iter().enumerate().map(|(axis, dim)| size(axis, dim)).collect();
        let count = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim))?;
        let count = usize::try_from(count).ok().filter(|count| *count as u64 <= ELEMENTS_MAX)?;
        let mut data = Vec::new();
        (0..count).try_for_each(|at| push(*kind, value(at), &mut data))?;
        list.value(number, *kind, &dims, &[&data]).ok()?;
    }
    let _ = list.finish();
    Some(bytes.bytes().to_vec())
}

/// The size with which a dimension is tried: one row, and few of what is free.
fn size(axis: usize, dim: &Dim) -> u64 {
    match (dim.size, axis) {
        (Some(size), _) => size,
        (None, 0) => 1,
        (None, _) => dim.max.unwrap_or(FREE_SIZE).min(FREE_SIZE),
    }
}

/// Appends a value as an element of a kind, the nearest that there is; none of texts.
fn push(kind: ValueKind, value: f64, into: &mut Vec<u8>) -> Option<()> {
    match kind {
        ValueKind::F32 => into.extend((value as f32).to_le_bytes()),
        ValueKind::F64 => into.extend(value.to_le_bytes()),
        ValueKind::F16 => into.extend(F16Bits::from_f32(value as f32).0.to_le_bytes()),
        ValueKind::Bf16 => into.extend(Bf16Bits::from_f32(value as f32).0.to_le_bytes()),
        ValueKind::U8 => into.extend((value as u8).to_le_bytes()),
        ValueKind::I8 => into.extend((value as i8).to_le_bytes()),
        ValueKind::U16 => into.extend((value as u16).to_le_bytes()),
        ValueKind::I16 => into.extend((value as i16).to_le_bytes()),
        ValueKind::U32 => into.extend((value as u32).to_le_bytes()),
        ValueKind::I32 => into.extend((value as i32).to_le_bytes()),
        ValueKind::U64 => into.extend((value as u64).to_le_bytes()),
        ValueKind::I64 => into.extend((value as i64).to_le_bytes()),
        ValueKind::Bool => into.push((value > 0.0).into()),
        ValueKind::Text | ValueKind::Sequence | ValueKind::Map => return None,
    }
    Some(())
}
