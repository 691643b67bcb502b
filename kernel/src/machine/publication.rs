//! What a kernel shows monitors between two ticks: rows of agents, lanes and rings, and the page.

use wasm_engine_abi::{
    limits::BLOCK_BYTES,
    page::{AgentRow, LaneRow, NONE_U64, agent_state, lane_state, run_state},
};
use wasm_engine_core::Phase;

use crate::{
    clock,
    machine::{Kernel, sections::Watched},
};

/// Least time between two publications while ticks run back to back. Nobody looks more often, and a
/// short tick costs less than what it would publish.
const PUBLISH_INTERVAL_NS: u64 = 1_000_000;
/// Longest time between them, however long one takes.
const PUBLISH_INTERVAL_MAX_NS: u64 = 250_000_000;
/// A publication takes at most one part in so many of the time.
const PUBLISH_SHARE: u64 = 20;

impl Kernel {
    /// Publishes agents that changed, lanes, and the page.
    pub fn publish(&mut self) {
        let begin = clock::now_ns();
        let mut dirty = std::mem::take(&mut self.dirty);
        self.core.drain_dirty(&mut dirty);
        for &index in &dirty {
            let row = self.agent_row(index);
            self.publisher.agent(index, &row);
            let lives = row.state != agent_state::EMPTY;
            if std::mem::replace(&mut self.alive[index as usize], lives) != lives {
                let agents = &mut self.lane_agents[row.lane as usize];
                *agents = if lives { *agents + 1 } else { *agents - 1 };
            }
        }
        self.dirty = dirty;
        self.publish_lanes();
        for (index, Watched { gauge, row }) in self.rings.iter_mut().enumerate() {
            (_, row.used_bytes) = gauge.read();
            row.high_bytes = row.high_bytes.max(row.used_bytes);
            self.publisher.ring(index as u32, row);
        }
        self.fill_page();
        self.publisher.kernel(&self.page);
        if let Some(header) = &mut self.header {
            header.heartbeat(self.page.tick, self.page.now_ns);
        }
        let rest = (clock::now_ns() - begin).saturating_mul(PUBLISH_SHARE);
        let rest = rest.clamp(PUBLISH_INTERVAL_NS, PUBLISH_INTERVAL_MAX_NS);
        self.publish_due_ns = self.published_ns + rest;
    }

    fn publish_lanes(&mut self) {
        let running = self.page.run_state == run_state::RUNNING;
        for (lane, used) in self.lanes.uses().iter().enumerate() {
            // Between two ticks: the scheduler is at work, every worker has given its results.
            let state = match lane {
                0 if running => lane_state::BUSY,
                _ if self.lanes.is_stopped(lane) => lane_state::STOPPED,
                _ => lane_state::IDLE,
            };
            let row = LaneRow {
                turns: used.turns,
                busy_ns: used.busy_ns,
                wait_ns: used.wait_ns,
                commands: used.commands,
                results: used.results,
                outbox_bytes: used.outbox_bytes,
                outbox_capacity: used.outbox_capacity,
                outbox_high_bytes: used.outbox_high_bytes,
                agents: self.lane_agents[lane],
                core: used.core,
                state,
                reserved: 0,
            };
            self.publisher.lane(lane as u32, &row);
        }
    }

    fn fill_page(&mut self) {
        let stats = self.core.stats();
        let (held, blocks) = self.core.held();
        let page = &mut self.page;
        page.now_ns = clock::now_ns();
        self.published_ns = page.now_ns;
        if stats.ticks > 0 {
            page.tick = self.core.tick();
        }
        stats.write_to(page);
        let (digest, fuel) = (self.core.digest().value(), self.core.fuel_digest().value());
        page.digest = [digest as u64, (digest >> 64) as u64];
        page.fuel_digest = [fuel as u64, (fuel >> 64) as u64];
        page.payload_bytes_held = u64::from(blocks) * u64::from(BLOCK_BYTES);
        page.messages_held = held;
        page.agents = self.core.agents_alive();
        page.inferences_pending = self.core.requests_pending();
        page.runnable = self.core.runnable();
    }

    fn agent_row(&self, index: u32) -> AgentRow {
        let agent = self.core.agent(index);
        let (state, until_tick) = match agent.phase {
            Phase::Free => (agent_state::EMPTY, 0),
            Phase::Starting => (agent_state::INITIALISING, 0),
            Phase::Backoff(due) => (agent_state::BACKOFF, due),
            Phase::Stopping => (agent_state::STOPPING, 0),
            Phase::Active if agent.paused => (agent_state::PAUSED, 0),
            Phase::Active => (agent_state::ACTIVE, 0),
        };
        let activity = agent.activity;
        AgentRow {
            address: agent.id.to_bits(),
            last_tick: if activity.turns == 0 { NONE_U64 } else { activity.last_tick },
            until_tick,
            turns: activity.turns,
            items: activity.items,
            effects: activity.effects,
            fuel: activity.fuel,
            state,
            template: agent.template,
            copy: agent.copy,
            incarnation: agent.incarnation,
            inbox_items: agent.inbox_items,
            inbox_bytes: agent.inbox_blocks * BLOCK_BYTES,
            faults: activity.faults as u32,
            last_fault: activity.last_fault,
            lane: self.lanes.home(index),
            last_code: activity.last_code.cast_unsigned(),
        }
    }
}
