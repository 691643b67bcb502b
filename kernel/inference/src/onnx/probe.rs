//! Whether a model keeps its rows apart, tried when it is loaded.
//!
//! A slot is right only for a model whose reply to a row depends on nothing but that row: neither
//! on the other rows of the batch, nor on its position, nor on what was asked before. No look at a
//! graph decides that for every operator, so it is tried: one row alone among copies of itself,
//! beside others of several sizes, and again at the end; every reply to it has the same bits.
//!
//! What it finds is certain, what it does not find is not: a model whose rows influence each other
//! for some values only, which are not among those tried, passes. A row for which a model fails
//! proves nothing, so none is demanded; but where it fails for all, more than one row is refused.

use crate::backend::{Backend, BackendFailure};

/// Rows to be asked, the first one that the model allows: value `at` of a row.
const ROWS: [fn(usize) -> f32; 4] =
    [|at| (at % 7) as f32 * 0.5 - 1.25, |_| 1.0, |_| 0.0, |at| 10.0 + (at % 90) as f32];

/// What fills the other rows.
const FILLERS: [f32; 6] = [0.0, -1e6, 1e6, 3.0, f32::INFINITY, f32::NAN];

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probed {
    /// Nothing against it.
    Apart,
    /// It allows none of the rows that were tried.
    Untried(String),
    /// A run found another shape than the model declares.
    Misshapen(String),
    /// A reply depended on more than the rows of its batch.
    Stateful,
    /// A reply depended on more than its row.
    Mixed(&'static str),
}

/// Runs `model` over some batches. A process that a row ends is a failure like any other.
pub(super) fn probe(model: &mut dyn Backend) -> Result<Probed, BackendFailure> {
    let (batch, input_len, output_len) = (model.batch(), model.input_len(), model.output_len());
    let mut refused = String::new();
    for row in ROWS {
        let row: Vec<f32> = (0..input_len).map(row).collect();
        let alone = match asked(model, &row, None) {
            Ok(replies) => replies,
            Err(failure) if is_over(model, &failure) => return Err(failure),
            Err(error) => {
                refused = error.to_string();
                if refused.contains("shape verification failed") {
                    return Ok(Probed::Misshapen(refused));
                }
                continue;
            }
        };
        let reply = &alone[..output_len];
        if alone.chunks_exact(output_len).any(|other| other != reply) {
            return Ok(Probed::Mixed("its position in the batch"));
        }
        for filler in FILLERS.iter().filter(|_| batch > 1) {
            let beside = match asked(model, &row, Some(*filler)) {
                Ok(replies) => replies,
                Err(failure) if is_over(model, &failure) => return Err(failure),
                Err(_) => continue,
            };
            let mut there = positions(batch).map(|at| &beside[at * output_len..][..output_len]);
            if there.any(|other| other != reply) {
                return Ok(Probed::Mixed("the other rows of its batch"));
            }
        }
        let again = asked(model, &row, None)?;
        return Ok(match again == alone {
            true => Probed::Apart,
            false => Probed::Stateful,
        });
    }
    Ok(Probed::Untried(refused))
}

/// Whether there is no use in trying more.
fn is_over(model: &dyn Backend, failure: &BackendFailure) -> bool {
    matches!(failure, BackendFailure::Gone(_)) || model.interrupter().is_asked()
}

/// Where the row stands beside others: first and, where that leaves room for others, last.
fn positions(batch: usize) -> impl Iterator<Item = usize> {
    [0].into_iter().chain((batch > 2).then(|| batch - 1))
}

/// The bits of all replies, each NaN the same, to a batch of `row` alone or among rows of `filler`.
fn asked(
    model: &mut dyn Backend,
    row: &[f32],
    filler: Option<f32>,
) -> Result<Vec<u32>, BackendFailure> {
    let batch = model.batch();
    let rows = model.rows();
    match filler {
        None => rows.chunks_exact_mut(row.len()).for_each(|one| one.copy_from_slice(row)),
        Some(filler) => {
            rows.fill(filler);
            for at in positions(batch) {
                rows[at * row.len()..][..row.len()].copy_from_slice(row);
            }
        }
    }
    let bits = |value: &f32| if value.is_nan() { u32::MAX } else { value.to_bits() };
    Ok(model.run()?.iter().map(bits).collect())
}
