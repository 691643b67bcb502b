//! Plan: which agents take a turn in the next microstep (SEMANTICS T2.4, T4, T8, Q3).

use wasm_engine_abi::{
    Tick,
    frame::{ItemFrame, Location, TurnCommand, turn},
    limits::INIT_CALLS,
    page::event,
    task::task_state,
};

use crate::agents::{Agents, Phase};
use crate::budget::BudgetLeft;
use crate::environment::Environment;
use crate::inbox::{ItemId, Items};
use crate::payloads::{Payloads, blocks};
use crate::schedule::Verdict;
use crate::state::{Core, Planned};
use crate::stats::Stats;
use crate::tasks::{NO_TASK, TaskSlot, Tasks};
use wasm_engine_setup::{Limits, Setup};

/// What is left of the global limits of one microstep; an agent takes its whole quota (Q3).
struct Budget {
    turns: u32,
    effects: u32,
    blocks: u32,
    inference_blocks: u32,
    fuel: u64,
}

impl Budget {
    fn new(limits: &Limits, tick: &BudgetLeft) -> Self {
        let turns = limits.turns_per_microstep_max;
        Self {
            turns: u32::try_from(tick.turns()).map_or(turns, |left| left.min(turns)),
            effects: limits.effects_per_microstep_max,
            blocks: blocks(limits.payload_bytes_per_microstep_max),
            inference_blocks: blocks(limits.inference_bytes_per_microstep_max),
            fuel: limits.fuel_per_microstep_max,
        }
    }

    /// Takes the quota of a turn of at most `calls` calls, if it fits.
    #[inline]
    fn take(&mut self, setup: &Setup, template: u32, inference_blocks: u32, calls: u64) -> bool {
        let limits = &setup.limits;
        let fuel = setup.templates[template as usize].fuel_per_call.saturating_mul(calls);
        let blocks = blocks(limits.payload_bytes_max);
        let fits = self.turns >= 1
            && self.effects >= limits.effects_max
            && self.blocks >= blocks
            && self.inference_blocks >= inference_blocks
            && self.fuel >= fuel;
        if fits {
            self.turns -= 1;
            self.effects -= limits.effects_max;
            self.blocks -= blocks;
            self.inference_blocks -= inference_blocks;
            self.fuel -= fuel;
        }
        fits
    }
}

/// The parts of the core that a turn is taken from.
struct Taking<'a> {
    setup: &'a Setup,
    /// Inference blocks of one turn, by template.
    inference_blocks: &'a [u32],
    agents: &'a mut Agents,
    items: &'a mut Items,
    payloads: &'a mut Payloads,
    tasks: &'a mut Tasks,
    stats: &'a mut Stats,
    now: Tick,
    plan: &'a mut Vec<Planned>,
    plan_items: &'a mut Vec<ItemId>,
    budget: Budget,
}

impl Taking<'_> {
    #[inline]
    fn classify(&mut self, index: u32) -> Verdict {
        let agent = self.agents.at_mut(index);
        let (kind, calls) = match agent.phase {
            Phase::Starting => (turn::INIT, INIT_CALLS),
            Phase::Stopping => (turn::SHUTDOWN, 1),
            _ => (turn::STEP, self.setup.limits.calls_of_step()),
        };
        let inference_blocks = self.inference_blocks[agent.template as usize];
        if !self.budget.take(self.setup, agent.template, inference_blocks, calls) {
            return Verdict::Stop;
        }
        agent.planned = true;
        let first_item = self.plan_items.len() as u32;
        let mut items = 0;
        while kind == turn::STEP && items < self.setup.limits.receive_max {
            let Some(id) = agent.inbox.pop_front(self.items) else { break };
            self.payloads.plan(self.items.get(id).payload);
            self.plan_items.push(id);
            items += 1;
        }
        let task = if kind == turn::STEP { self.take_task(index) } else { NO_TASK };
        items += u32::from(task != NO_TASK);
        let save = kind != turn::SHUTDOWN && self.saves_after(index);
        self.plan.push(Planned { agent: index, kind, first_item, items, task, save });
        Verdict::Take
    }

    /// A9.6: whether the turn is one of those whose state is a save point by itself.
    #[inline]
    fn saves_after(&self, index: u32) -> bool {
        let template = self.agents.at(index).template;
        match self.setup.templates[template as usize].restart.saves() {
            None | Some(0) => false,
            Some(every) => (self.agents.rare(index).own_turns + 1).is_multiple_of(every.into()),
        }
    }

    /// A12: the first of its ready tasks, as the last item of the turn.
    #[inline]
    fn take_task(&mut self, index: u32) -> TaskSlot {
        if !self.agents.at(index).has_task {
            return NO_TASK;
        }
        let ready = &mut self.agents.rare_mut(index).ready_tasks;
        let task = self.tasks.first_of(ready, self.now, self.setup.aging_ticks);
        ready.retain(|other| *other != task);
        self.agents.at_mut(index).has_task = !self.agents.rare(index).ready_tasks.is_empty();
        self.tasks.get_mut(task).state = task_state::RUNNING;
        self.stats.tasks_ready -= 1;
        self.plan_items.push(self.items.add(self.tasks.get(task).item()));
        task
    }
}

impl Core {
    /// Plans the next microstep and returns its number of turns; 0 ends the tick, because nothing
    /// is runnable or the tick used its microsteps or its budget up (T2).
    pub fn plan(&mut self, env: &mut impl Environment) -> usize {
        self.plan.clear();
        self.plan_items.clear();
        // Tick 0 takes as many microsteps as the limits need (T8).
        let used_up =
            self.microstep >= self.setup.limits.microsteps_max || self.tick_budget.is_used_up();
        if self.tick > 0 && used_up {
            return 0;
        }
        self.take_turns();
        if self.plan.is_empty() {
            return 0;
        }
        self.microstep += 1;
        self.epoch += 1;
        self.stats.microsteps += 1;
        self.chain.microstep(self.microstep);
        self.chain.trace.detail(|| (event::MICROSTEP, 0, self.plan.len() as u64, 0));
        self.payloads.settle(self.epoch, env);
        self.plan.len()
    }

    fn take_turns(&mut self) {
        let setup = self.setup.clone();
        let mut taking = Taking {
            setup: &setup,
            inference_blocks: &self.inference_blocks,
            agents: &mut self.agents,
            items: &mut self.items,
            payloads: &mut self.payloads,
            tasks: &mut self.tasks,
            stats: &mut self.stats,
            now: self.tick,
            plan: &mut self.plan,
            plan_items: &mut self.plan_items,
            budget: Budget::new(&setup.limits, &self.tick_budget),
        };
        if self.tick > 0 {
            self.order.plan(self.tick, |index| taking.classify(index));
            return;
        }
        while self.next_init < self.configured {
            // An agent may have been paused, ended or even replaced by an earlier init turn.
            let agent = taking.agents.at(self.next_init);
            let waits = agent.phase == Phase::Starting && !agent.paused && agent.generation == 0;
            if waits && taking.classify(self.next_init) == Verdict::Stop {
                return;
            }
            self.order.remove(self.next_init);
            self.next_init += 1;
        }
    }

    /// Turns of the current plan.
    #[must_use]
    #[inline]
    pub fn planned(&self) -> usize {
        self.plan.len()
    }

    /// The slot of the agent whose turn is at `position`.
    ///
    /// # Panics
    /// If `position` is not below [`Core::planned`].
    #[must_use]
    #[inline]
    pub fn planned_agent(&self, position: usize) -> u32 {
        self.plan[position].agent
    }

    /// The command of the turn at `position`, with its items in `frames`; the arguments follow an
    /// init.
    ///
    /// # Panics
    /// If `position` is not below [`Core::planned`].
    #[inline]
    pub fn turn(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]) {
        let planned = self.plan[position];
        let agent = self.agents.at(planned.agent);
        frames.clear();
        frames.extend(self.planned_items(planned).iter().map(|&id| {
            let item = self.items.get(id);
            let (location, epoch) = match self.payloads.get(item.payload) {
                Some(payload) => (payload.location, payload.epoch),
                None => (Location::default(), 0),
            };
            ItemFrame { header: item.header, location, epoch }
        }));
        let args: &[u8] =
            if planned.kind == turn::INIT { &self.agents.rare(planned.agent).args } else { &[] };
        let command = TurnCommand {
            agent: self.agents.id(planned.agent).to_bits(),
            key: agent.key,
            tick: self.tick,
            seq: agent.seq,
            microstep: self.microstep,
            position: position as u32,
            incarnation: agent.incarnation,
            kind: planned.kind,
            template: agent.template,
            copy: agent.copy,
            items: planned.items,
            args_len: args.len() as u32,
            answers_free: self.setup.limits.answers_max.saturating_sub(agent.answers_used),
            ahead: TurnCommand::NOBODY,
            save: planned.save.into(),
            reserved: 0,
        };
        (command, args)
    }

    #[inline]
    pub(crate) fn planned_items(&self, planned: Planned) -> &[ItemId] {
        let first = planned.first_item as usize;
        &self.plan_items[first..first + planned.items as usize]
    }
}
