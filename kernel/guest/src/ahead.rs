//! Whose turns come soon on a lane, as commands name them.

use wasm_engine_abi::frame::TurnCommand;

/// Commands between the one that names an agent in [`TurnCommand::ahead`] and that agent's own.
pub const AHEAD_COMMANDS: usize = 12;
/// Commands between the requests for an agent's entry, its seat, its instance, and its turn.
const STAGE_COMMANDS: usize = AHEAD_COMMANDS / 3;
/// Agents that are remembered: those whose later requests are to come.
const NAMED: usize = (2 * STAGE_COMMANDS).next_power_of_two();

/// The agents that the last commands named.
#[derive(Debug)]
pub(crate) struct Ahead {
    named: [u32; NAMED],
    next: usize,
}

/// Slots of agents of which something is to be asked for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages {
    pub(crate) entry: Option<u32>,
    pub(crate) seat: Option<u32>,
    pub(crate) instance: Option<u32>,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { named: [TurnCommand::NOBODY; NAMED], next: 0 }
    }
}

impl Ahead {
    /// Takes whom a command names; gives whose entry, seat and instance are to be asked for.
    #[inline]
    pub(crate) fn after(&mut self, named: u32) -> Stages {
        let somebody = |slot| Some(slot).filter(|slot| *slot != TurnCommand::NOBODY);
        let before = |commands| somebody(self.named[self.next.wrapping_sub(commands) % NAMED]);
        let stages = Stages {
            entry: somebody(named),
            seat: before(STAGE_COMMANDS),
            instance: before(2 * STAGE_COMMANDS),
        };
        self.named[self.next % NAMED] = named;
        self.next = self.next.wrapping_add(1);
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_asked_for_in_three_stages_before_its_turn() {
        let mut ahead = Ahead::default();
        for command in 0..40 {
            let named = if command < 30 { command } else { TurnCommand::NOBODY };
            let Stages { entry, seat, instance } = ahead.after(named);
            let before =
                |commands: u32| command.checked_sub(commands).filter(|command| *command < 30);
            assert_eq!([entry, seat, instance], [before(0), before(4), before(8)], "{command}");
        }
    }
}
