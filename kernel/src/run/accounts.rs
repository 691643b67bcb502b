//! What a run says of itself: to monitors, to its terminal, and at its end.

use wasm_engine_abi::{Tick, page::NONE_U64};

use crate::{
    clock,
    config::OnFault,
    exit::HasExitCode,
    report::{Ended, Progress, RunReport},
    run::error::RunError,
    run::poll::Run,
    run::sinks::SinkError,
    run::tally::tally,
};

impl Run {
    /// Shows monitors how the run stands.
    pub(crate) fn publish(&mut self) {
        if let Some(log) = &self.log {
            let page = self.kernel.page();
            page.durable_tick = log.durable().get().unwrap_or(NONE_U64);
            (page.log_bytes, page.log_records) = (log.bytes(), log.records());
            self.kernel.count_log(log.records(), log.stalls());
        }
        if let Some(inference) = &self.sinks.inference {
            for (index, row) in inference.rows().iter().enumerate() {
                let mut row = *row;
                row.latency_ticks = self.kernel.core().setup().models[index].latency_ticks;
                self.kernel.publish_model(index as u32, &row);
            }
        }
        self.kernel.page().inputs_left = self.ingest.left() as u32;
        self.kernel.publish();
    }

    pub(crate) fn progress(&self) -> Progress {
        let core = self.kernel.core();
        let stats = core.stats();
        Progress {
            tick: core.tick(),
            last_tick: self
                .physical
                .ticks
                .map(|end| end.saturating_sub(1))
                .or(self.ingest.last_tick()),
            agents: u64::from(core.agents_alive()),
            messages: stats.messages,
            faults: stats.faults,
            elapsed_ns: clock::now_ns() - self.start_ns,
        }
    }

    /// The last tick whose facts are on disk; none without a log.
    pub(crate) fn durable_tick(&self) -> Option<Tick> {
        self.log.as_ref().and_then(|log| log.durable().get())
    }

    /// Closes log and outputs whatever happened, then reports.
    pub(crate) fn end(mut self, ended: Result<Ended, RunError>) -> Result<RunReport, RunError> {
        let elapsed_ns = clock::now_ns() - self.start_ns;
        let mut report = tally(&mut self.kernel, &self.sinks);
        report.elapsed_ns = elapsed_ns;
        let closed = self.close_log(&mut report);
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
        report.recovered = self.recovered;
        report.waited_for = self.waited_for;
        report.rows_left_out = self.ingest.left_out();
        Ok(report)
    }

    fn close_log(&mut self, report: &mut RunReport) -> Result<(), RunError> {
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
        Ok(())
    }
}
