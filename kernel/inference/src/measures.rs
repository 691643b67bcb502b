//! What a model was asked and how long that took: physical, for people, and never in a digest.

use serde::Serialize;
use wasm_engine_abi::calls::Status;

use crate::histogram::{Histogram, Spread};
use crate::protocol::BatchDone;

/// What a model was asked and how long that took. All durations are in nanoseconds of the clock
/// that was handed in.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct ModelMeasures {
    /// Requests handed over.
    pub requests: u64,
    /// Bytes of them.
    pub request_bytes: u64,
    /// Replies with a result.
    pub answered: u64,
    /// Bytes of them.
    pub reply_bytes: u64,
    /// Requests that were not what the model takes.
    pub refused: u64,
    /// Requests on which the model failed.
    pub failed: u64,
    /// Requests that missed the model's deadline.
    pub late: u64,
    /// From a request to the beginning of the run that answers it.
    pub queue_ns: Spread,
    /// A run of a batch, with all its repetitions if it failed.
    pub run_ns: Spread,
    /// Requests in a batch, repeated rows not counted.
    pub batch_rows: Spread,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    counts: ModelMeasures,
    queue_ns: Histogram,
    run_ns: Histogram,
    batch_rows: Histogram,
    /// When the last batch began; 0 if it held refused requests only.
    batch_start_ns: u64,
}

impl Measures {
    /// A request is handed over.
    pub(crate) fn asked(&mut self, bytes: usize) {
        self.counts.requests += 1;
        self.counts.request_bytes += bytes as u64;
    }

    /// A batch is done; the replies of its requests follow.
    pub(crate) fn ran(&mut self, done: &BatchDone) {
        self.batch_start_ns = done.start_ns;
        if done.rows > 0 {
            self.run_ns.add(done.run_ns);
            self.batch_rows.add(done.rows.into());
        }
    }

    /// A request that was handed over at `asked_ns` is answered by the last batch.
    pub(crate) fn answered(&mut self, asked_ns: u64, code: i32, bytes: usize) {
        let counts = &mut self.counts;
        match code {
            code if code == Status::Ok as i32 => {
                counts.answered += 1;
                counts.reply_bytes += bytes as u64;
            }
            code if code == Status::Mismatch as i32 => counts.refused += 1,
            code if code == Status::Late as i32 => counts.late += 1,
            _ => counts.failed += 1,
        }
        if self.batch_start_ns > 0 {
            self.queue_ns.add(self.batch_start_ns.saturating_sub(asked_ns));
        }
    }

    /// A request missed its deadline and is answered without the thread.
    pub(crate) fn late(&mut self) {
        self.counts.late += 1;
    }

    /// What was counted so far.
    pub(crate) fn so_far(&self) -> ModelMeasures {
        ModelMeasures {
            queue_ns: self.queue_ns.spread(),
            run_ns: self.run_ns.spread(),
            batch_rows: self.batch_rows.spread(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_until_its_batch_begins() {
        let mut measures = Measures::default();
        let batch =
            |start_ns, run_ns, rows| BatchDone { start_ns, run_ns, rows, ..BatchDone::default() };
        measures.ran(&batch(1_000, 50, 2));
        measures.answered(990, Status::Ok as i32, 8);
        measures.answered(1_000, Status::ModelFailed as i32, 0);
        // A refused one has a batch without a run.
        measures.ran(&BatchDone { misfits: 1, errors: 1, ..BatchDone::default() });
        measures.answered(10, Status::Mismatch as i32, 30);
        measures.late();
        let ModelMeasures { queue_ns, run_ns, batch_rows, .. } = measures.so_far();
        assert_eq!(
            (queue_ns.count, queue_ns.max, queue_ns.mean, queue_ns.variance),
            (2, 10, 5.0, 25.0)
        );
        assert_eq!((run_ns.count, run_ns.max, batch_rows.max), (1, 50, 2));
        let ModelMeasures { answered, reply_bytes, refused, failed, late, .. } = measures.so_far();
        assert_eq!((answered, reply_bytes, refused, failed, late), (1, 8, 1, 1, 1));
    }
}
