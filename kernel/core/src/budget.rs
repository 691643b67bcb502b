//! The budget of a tick: how much of it a live host lets be executed (SEMANTICS T2.4).
//!
//! It ends a tick between two microsteps, as `microsteps_max` does, and never inside one. Fuel is
//! that which turns took, known when they are committed; so the last microstep may take more than
//! was left, by as much as the limits of a microstep allow (Q3).

use wasm_engine_abi::record::BudgetFact;

/// What is left of what a live host lets a tick execute (T2.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BudgetLeft {
    turns: u64,
    fuel: u64,
}

impl Default for BudgetLeft {
    fn default() -> Self {
        Self { turns: u64::MAX, fuel: u64::MAX }
    }
}

impl From<BudgetFact> for BudgetLeft {
    fn from(budget: BudgetFact) -> Self {
        let limit = |most: u64| if most == 0 { u64::MAX } else { most };
        Self { turns: limit(budget.turns), fuel: limit(budget.fuel) }
    }
}

impl BudgetLeft {
    /// A turn took so much fuel.
    #[inline]
    pub(crate) fn take(&mut self, fuel: u64) {
        self.turns = self.turns.saturating_sub(1);
        self.fuel = self.fuel.saturating_sub(fuel);
    }

    #[inline]
    pub(crate) fn is_used_up(&self) -> bool {
        self.turns == 0 || self.fuel == 0
    }

    /// Turns that it may still take.
    #[inline]
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_4_what_turns_take_uses_it_up_at_the_number_and_not_before() {
        let mut budget = BudgetLeft::from(BudgetFact { turns: 0, fuel: 100 });
        budget.take(99);
        assert!(!budget.is_used_up(), "one is left, so a microstep begins");
        budget.take(7);
        assert!(budget.is_used_up(), "which may take more");
        let mut budget = BudgetLeft::from(BudgetFact { turns: 2, fuel: 0 });
        budget.take(u64::MAX - 1);
        assert_eq!((budget.turns(), budget.is_used_up()), (1, false));
        budget.take(0);
        assert!(budget.is_used_up());
        assert!(!BudgetLeft::default().is_used_up());
    }
}
