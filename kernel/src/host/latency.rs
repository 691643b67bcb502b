//! For hosts with a deadline: how much a tick may execute, and where the time of a tick went.

use std::num::NonZeroU64;

use wasm_engine_abi::{Tick, record::BudgetFact};

use crate::machine::StageTimes;

use super::Host;

/// How much one tick may execute (SEMANTICS T2.4); by default as much as its limits allow.
///
/// It is counted, not timed: so it is a fact of the tick, and the run replays. What does not fit is
/// carried over to the next tick, and goes on there in its order. Once the budget is used up no
/// further microstep begins; of turns none is planned beyond it, of fuel the last microstep may
/// take more, as much as `limits.turns_per_microstep_max` and `limits.fuel_per_microstep_max`
/// allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TickBudget {
    /// Turns at most.
    pub turns: Option<NonZeroU64>,
    /// Fuel after which no microstep begins.
    pub fuel: Option<NonZeroU64>,
}

impl TickBudget {
    fn fact(self) -> Option<BudgetFact> {
        let most = |most: Option<NonZeroU64>| most.map_or(0, NonZeroU64::get);
        let fact = BudgetFact { turns: most(self.turns), fuel: most(self.fuel) };
        (fact != BudgetFact::default()).then_some(fact)
    }
}

/// What a tick did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TickReport {
    /// The tick.
    pub tick: Tick,
    /// Microsteps executed.
    pub microsteps: u32,
    /// Turns taken.
    pub turns: u32,
    /// Fuel that they took.
    pub fuel: u64,
    /// Agents that are left to go on in the next tick.
    pub carried_over: u32,
    /// How long each stage took, where
    /// [`HostBuilder::time_stages`](super::HostBuilder::time_stages) asked for it.
    pub stages: Option<StageTimes>,
}

impl Host {
    /// Gives this budget to each tick from the next on; tick 0 executes all inits whatever it says.
    /// A tick that has begun and waits for its log keeps its own. A run that is resumed begins
    /// without one, and what is executed again from its log has the budgets of the log.
    pub fn set_tick_budget(&mut self, budget: TickBudget) {
        if let Some(run) = &mut self.run {
            run.budget = budget.fact();
        }
    }

    /// What the last tick did; none before this process has executed one.
    #[must_use]
    pub fn last_tick(&self) -> Option<TickReport> {
        let run = self.run.as_ref()?;
        let (close, fuel) = run.last?;
        Some(TickReport {
            tick: close.tick,
            microsteps: close.microsteps,
            turns: close.turns,
            fuel,
            carried_over: run.kernel.core().runnable(),
            stages: run.kernel.stages.times(),
        })
    }
}
