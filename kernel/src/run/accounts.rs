//! What a run says of itself while it runs, to monitors and to its terminal.

use wasm_engine_abi::{Tick, page::NONE_U64};

use crate::{clock, report::Progress, run::poll::Run};

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
        let feeds = self.ingest.feed_counts();
        let page = self.kernel.page();
        (page.feeds_connected, page.feeds_lagging) = (feeds.connected, feeds.lagging);
        (page.feeds_gone, page.feeds_refused) = (feeds.gone, feeds.refused);
        page.feed_gap_inputs = feeds.gap;
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
}
