//! The end of a run: log and outputs closed, whatever happened, and the report.

use wasm_engine_abi::page::NONE_U64;

use crate::{
    clock,
    config::OnFault,
    exit::HasExitCode,
    report::{Ended, RunReport},
    run::error::RunError,
    run::poll::Run,
    run::resume::CaughtUp,
    run::sinks::SinkError,
    run::tally::tally,
};

impl Run {
    /// Closes log and outputs whatever happened, then reports.
    pub(crate) fn end(mut self, ended: Result<Ended, RunError>) -> Result<RunReport, RunError> {
        let elapsed_ns = clock::now_ns() - self.start_ns;
        let mut report = tally(&mut self.kernel, &self.sinks);
        report.elapsed_ns = elapsed_ns;
        let closed = self.close_log(&mut report);
        // What was durable before is all that is known where the log has failed.
        self.ingest.end(report.durable_tick);
        let result = ended.and_then(|ended| closed.map(|()| ended));
        let durable = report.durable_tick;
        let result = result.map_err(|error| match error {
            RunError::Output(source) | RunError::Sink(SinkError::Output(source)) => {
                RunError::Outputs { source, durable }
            }
            error => error,
        });
        report.fails = self.physical.on_fault == OnFault::Fail;
        let exit = match &result {
            Ok(ended) => {
                report.ended = *ended;
                report.exit()
            }
            Err(error) => error.exit(),
        };
        self.kernel.page().durable_tick = report.durable_tick.unwrap_or(NONE_U64);
        self.kernel.finish(u32::from(exit.code()));
        result?;
        report.load_ns = self.load_ns;
        report.name = self.physical.name;
        report.lanes = self.physical.workers + 1;
        let CaughtUp { from, recovered, fuel_differs } = self.caught_up;
        (report.resumed_from, report.recovered) = (from, recovered);
        report.fuel_differs = fuel_differs;
        report.waited_for = self.waited_for;
        report.rows_left_out = self.ingest.left_out();
        report.feeds = self.ingest.feeds();
        report.gaps = self.ingest.gaps();
        Ok(report)
    }

    fn close_log(&mut self, report: &mut RunReport) -> Result<(), RunError> {
        if let Some(mut keyframes) = self.keyframes.take() {
            let counts = keyframes.finish();
            (report.keyframes, report.keyframe_bytes) = (counts.written, counts.bytes);
        }
        if let Some(log) = self.log.take() {
            report.log_bytes = log.bytes();
            let stalls = log.stalls();
            report.stalls += stalls;
            report.stalls_by_cause.insert("log".to_owned(), stalls);
            report.durable_tick = log.close()?;
        }
        if let Some(mut outputs) = self.sinks.outputs.take() {
            report.stalls += outputs.stalls();
            report.stalls_by_cause.insert("outputs".to_owned(), outputs.stalls());
            outputs.sync()?;
        }
        report.misfits = self.sinks.misfits();
        if let Some(mut stream) = self.sinks.stream.take() {
            stream.close()?;
        }
        Ok(())
    }
}
