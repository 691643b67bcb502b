//! One round of commands over all lanes, its share that one lane steps, and the results.

use bytemuck::{Zeroable, cast_slice};
use wasm_engine_abi::{
    AgentId,
    frame::{Effect, ItemFrame, TurnCommand, TurnResult},
};
use wasm_engine_core::{Core, Results, TurnOutput};
use wasm_engine_guest::{
    AHEAD_COMMANDS, MachineError,
    worker::{UsedLane, guarded},
};

/// Words of a result before its effects.
const RESULT_WORDS: usize = size_of::<TurnResult>() / size_of::<u64>();
/// Words of an effect.
const EFFECT_WORDS: usize = size_of::<Effect>() / size_of::<u64>();

/// Results of one microstep: the words each lane gave, and where each turn's lie.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) lanes: Vec<Vec<u64>>,
    pub(crate) turns: Vec<ResultLocation>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResultLocation {
    /// The lane where the agent lives; known before the round.
    pub(crate) lane: u32,
    pub(crate) offset: usize,
}

impl Results for Store {
    #[inline]
    fn turn(&self, position: usize) -> TurnOutput<'_> {
        let ResultLocation { lane, offset } = self.turns[position];
        let words = &self.lanes[lane as usize][offset..];
        let (head, rest) = words.split_at(RESULT_WORDS);
        let result: &TurnResult = bytemuck::from_bytes(cast_slice(head));
        let effects = cast_slice(&rest[..result.effects as usize * EFFECT_WORDS]);
        TurnOutput { result, effects, lane }
    }
}

/// The commands of one round over all lanes: by position, so that results can be found by it.
pub(crate) trait Round {
    fn len(&self) -> usize;
    fn agent_slot(&self, position: usize) -> u32;
    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]);
}

/// The plan of a microstep.
pub(crate) struct Plan<'a>(pub(crate) &'a Core);

impl Round for Plan<'_> {
    fn len(&self) -> usize {
        self.0.planned()
    }

    fn agent_slot(&self, position: usize) -> u32 {
        self.0.planned_agent(position)
    }

    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]) {
        self.0.turn(position, frames)
    }
}

/// One command for each agent that is no turn of its guest: `HASH` or `DROP`.
pub(crate) struct Each<'a> {
    pub(crate) kind: u32,
    pub(crate) agents: &'a [AgentId],
}

impl Round for Each<'_> {
    fn len(&self) -> usize {
        self.agents.len()
    }

    fn agent_slot(&self, position: usize) -> u32 {
        self.agents[position].index()
    }

    fn command(&self, position: usize, frames: &mut Vec<ItemFrame>) -> (TurnCommand, &[u8]) {
        frames.clear();
        let agent = self.agents[position].to_bits();
        let position = position as u32;
        (TurnCommand { agent, position, kind: self.kind, ..TurnCommand::zeroed() }, &[])
    }
}

/// Turns of a microstep up to which what they read stays in the cache from one to the next.
const CACHED_TURNS: usize = 64;

/// The command at `position` of `round`, which names somebody whose command comes later on the same
/// of `lanes`: neighbours in the plan often are in slots, and lanes of slots go round.
#[inline]
pub(crate) fn command<'a>(
    round: &'a impl Round,
    position: usize,
    lanes: usize,
    frames: &mut Vec<ItemFrame>,
) -> (TurnCommand, &'a [u8]) {
    let (mut command, args) = round.command(position, frames);
    let ahead = position + AHEAD_COMMANDS * lanes;
    let known = round.len() > CACHED_TURNS && ahead < round.len();
    command.ahead = if known { round.agent_slot(ahead) } else { TurnCommand::NOBODY };
    (command, args)
}

/// Steps the turns of `round` that belong to lane `number` of `lanes`, on the calling thread.
pub(crate) fn step_lane(
    UsedLane { lane, used }: &mut UsedLane,
    epoch: Option<u64>,
    round: &impl Round,
    number: usize,
    store: &mut Store,
    frames: &mut Vec<ItemFrame>,
) -> Result<(), MachineError> {
    let Store { lanes, turns } = store;
    let (lanes, words) = (lanes.len(), &mut lanes[number]);
    guarded(lane, |lane| {
        if let Some(epoch) = epoch {
            lane.begin(epoch);
        }
        for (position, location) in turns.iter_mut().enumerate() {
            if location.lane as usize != number {
                continue;
            }
            location.offset = words.len();
            let (command, args) = command(round, position, lanes, frames);
            lane.execute(&command, frames, args, words)?;
            used.count(command.kind);
        }
        Ok(())
    })
}

/// The lane of `lanes` on which the agent in slot `index` lives.
#[inline]
pub(crate) fn home(index: u32, lanes: usize) -> u32 {
    if lanes == 1 { 0 } else { index % lanes as u32 }
}
