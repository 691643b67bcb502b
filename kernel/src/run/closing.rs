//! Whether a tick that was executed again ended as the log says, for replays and for resumed runs.

use wasm_engine_abi::{Tick, record::TickClose};

use crate::{
    machine::Kernel,
    report::{Divergence, FuelDifference},
};

/// A tick that was executed again, beside what the log says of it.
#[derive(Debug)]
pub(crate) enum Compared {
    /// It ended so.
    Same,
    /// Only the fuel was another, which decides nothing (SEMANTICS D4).
    OtherFuel {
        /// The agent, if only one took a turn: the chain has one value for a tick.
        agent: Option<String>,
    },
    /// It ended otherwise.
    Otherwise(Divergence),
}

impl Compared {
    /// The divergence if it is one; a difference of fuel is counted in `fuel`.
    pub(crate) fn divergence(
        self,
        tick: Tick,
        fuel: &mut Option<FuelDifference>,
    ) -> Option<Divergence> {
        match self {
            Self::Same => None,
            Self::OtherFuel { agent } => {
                fuel.get_or_insert(FuelDifference { tick, agent, ticks: 0 }).ticks += 1;
                None
            }
            Self::Otherwise(divergence) => Some(divergence),
        }
    }
}

/// The tick that `kernel` has just closed beside the logged `TickClose`, whose every byte says
/// something: tick, digests, fuel, counts, digest of each turn.
pub(crate) fn compare_close(kernel: &Kernel, tick: Tick, logged: &[u8]) -> Compared {
    let core = kernel.core();
    let Some((head, turns)) = logged.split_at_checked(size_of::<TickClose>()) else {
        let what = "the log's record of its result is cut short".to_owned();
        return Compared::Otherwise(Divergence { tick, agent: None, message: None, what });
    };
    let close: TickClose = bytemuck::pod_read_unaligned(head);
    let same = (close.tick, close.digest, close.microsteps)
        == (tick, core.digest(), core.microstep())
        && close.turns as usize == core.turn_digests().len()
        && turns.len() == size_of_val(core.turn_digests());
    let equal_turns = turns
        .chunks_exact(8)
        .map(bytemuck::pod_read_unaligned::<u64>)
        .eq(core.turn_digests().iter().copied());
    if !(same && equal_turns) {
        return Compared::Otherwise(describe(kernel, tick, &close, turns));
    }
    if close.fuel == core.fuel_digest() {
        return Compared::Same;
    }
    let agent = match core.turn_agents() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => {
            Some(kernel.agent_name(*first))
        }
        _ => None,
    };
    Compared::OtherFuel { agent }
}

/// Names the first turn that differs, if one does: of anything else no agent is known to be the
/// cause.
fn describe(kernel: &Kernel, tick: Tick, close: &TickClose, turns: &[u8]) -> Divergence {
    let core = kernel.core();
    let logged = turns.chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>);
    let first = logged.zip(core.turn_digests()).position(|(a, b)| a != *b);
    let (here, there) = (core.turn_digests().len(), turns.len() / 8);
    let at = first.or((there < here).then_some(there));
    let agent = at.and_then(|at| core.turn_agents().get(at)).map(|&i| kernel.agent_name(i));
    let what = match first {
        Some(at) => format!("turn {} of {here} has another digest", at + 1),
        None if here != there => format!("{here} turns were taken, the log has {there}"),
        _ if close.tick != tick => format!("its result names tick {}", close.tick),
        _ if close.microsteps != core.microstep() => {
            format!("{} microsteps ran, the log has {}", core.microstep(), close.microsteps)
        }
        _ if close.turns as usize != here => {
            format!("{here} turns were taken, its result counts {}", close.turns)
        }
        _ if !turns.len().is_multiple_of(8) => {
            "the log's record of its result is cut short".to_owned()
        }
        _ => format!("the tick's digest is {}, the log has {}", core.digest(), close.digest),
    };
    Divergence { tick, agent, message: None, what }
}
