//! What the host does at the open of given ticks (SEMANTICS T7.8): as pure a function of the tick
//! as inputs are.

use wasm_engine_abi::{
    Tick,
    record::{CommandFact, LIVE_COMMAND},
};
use wasm_engine_core::FactsBuilder;

/// Commands that one tick takes from a configuration, and as many from a live host.
pub(crate) const COMMANDS_PER_TICK_MAX: usize = 4096;
/// Bytes of the arguments of each of them together.
pub(crate) const COMMAND_BYTES_PER_TICK_MAX: usize = 16 << 20;

/// How much of one tick's room commands take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandRoom {
    count: usize,
    /// Of their arguments.
    bytes: usize,
}

impl CommandRoom {
    /// Takes the room of one more, with so many bytes of arguments; false if there is none.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let taken = Self { count: self.count + 1, bytes: self.bytes + bytes };
        let fits =
            taken.count <= COMMANDS_PER_TICK_MAX && taken.bytes <= COMMAND_BYTES_PER_TICK_MAX;
        if fits {
            *self = taken;
        }
        fits
    }
}

/// A command that is due at a tick.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The tick.
    pub tick: Tick,
    /// What it says.
    pub fact: CommandFact,
    /// Arguments of an agent to spawn.
    pub args: Vec<u8>,
}

/// All commands of a run, in the order of their sequences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commands(Vec<Command>);

impl Commands {
    /// These, whose ticks do not decrease.
    #[must_use]
    pub fn new(commands: Vec<Command>) -> Self {
        debug_assert!(commands.is_sorted_by_key(|command| command.tick));
        Self(commands)
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first tick after `after` at which one is due.
    pub(crate) fn next_due(&self, after: Tick) -> Option<Tick> {
        let first = self.0.partition_point(|command| command.tick <= after);
        self.0.get(first).map(|command| command.tick)
    }

    /// Adds those of `tick` to its facts.
    pub(crate) fn enter(&self, tick: Tick, facts: &mut FactsBuilder) {
        let first = self.0.partition_point(|command| command.tick < tick);
        for command in self.0[first..].iter().take_while(|command| command.tick == tick) {
            facts.push(command.fact, &command.args);
        }
    }

    /// blake3 over all of them, to tell whether a run is resumed with the same; none without any.
    pub(crate) fn hash(&self) -> Option<[u8; 32]> {
        if self.0.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for Command { tick, fact, args } in &self.0 {
            let CommandFact { seq, action, subject } = *fact;
            for word in [*tick, seq, action.into(), subject, args.len() as u64] {
                hasher.update(&word.to_le_bytes());
            }
            hasher.update(args);
        }
        Some(*hasher.finalize().as_bytes())
    }
}

/// Commands of a live host that wait for the next tick, in their order.
#[derive(Debug, Default)]
pub(crate) struct LiveCommands {
    waiting: Vec<(CommandFact, Vec<u8>)>,
    room: CommandRoom,
    /// Commands so far.
    count: u64,
}

impl LiveCommands {
    pub(crate) fn push(&mut self, action: u32, subject: u64, args: &[u8]) -> Option<u64> {
        let seq = LIVE_COMMAND.checked_add(self.count)?;
        if !self.room.take(args.len()) {
            return None;
        }
        self.count += 1;
        self.waiting.push((CommandFact { seq, action, subject }, args.to_vec()));
        Some(seq)
    }

    pub(crate) fn waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Adds all that wait to the facts of a tick.
    pub(crate) fn enter(&mut self, facts: &mut FactsBuilder) {
        self.room = CommandRoom::default();
        for (fact, args) in self.waiting.drain(..) {
            facts.push(fact, &args);
        }
    }

    /// Commands that entered so far.
    pub(crate) fn entered(&self) -> u64 {
        self.count - self.waiting.len() as u64
    }

    /// The run goes on behind so many commands.
    pub(crate) fn begin_at(&mut self, entered: u64) {
        self.count = entered;
    }

    /// The command of this sequence was executed again; the next one comes behind it.
    pub(crate) fn entered_before(&mut self, seq: u64) {
        self.count = (seq - LIVE_COMMAND).saturating_add(1);
    }
}
