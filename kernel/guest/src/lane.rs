//! A lane: executes turns for the agents that live on it.
//!
//! Why a lane owns its store: an instance never moves to another lane during a run, and one thread
//! at a time steps a lane, so a turn takes no lock and touches no memory of another lane but
//! payloads, which nobody writes while they can be read. Which lane an agent lives on decides
//! nothing (SEMANTICS T4).
//!
//! ```text
//!  TurnCommand, ItemFrames, args                           TurnResult, Effects
//!          |                                                        ^
//!          v            payloads from outboxes, spill               |
//!  Lane::execute --> Seat (seats/, seat.rs) --> guest --> host calls (host_calls.rs)
//!          |              inbox <- header, payload                  |
//!          +-- turn_digest.rs <---------- TurnContext: effects, codes, outbox
//! ```
//!
//! # What a turn leaves behind
//! | turn | result | instance afterwards |
//! |---|---|---|
//! | `INIT` | effects, digest (D2) | new; none if it faulted |
//! | `STEP` | effects, digest (D2) | as before; none if it faulted (A8) |
//! | `SHUTDOWN` | effects, digest (D2) | none |
//! | `DROP` | digest zero | none |
//! | `HASH` | state digest (D5), zero without an instance | as before |
//!
//! A fault discards the effects, gives back the sequence number as dispatched, and charges the
//! full budgets of all calls made, the faulting one included (A8): engines lose the fuel count at
//! some traps. Fuel of an init turn includes the two questions for the inbox.
//!
//! Failures of the machine are [`MachineError`]s: they end the lane, and no guest sees them (T10).
//!
//! What this does not do: no scheduling, no supervision, no waiting (`worker.rs`), no clock.

use std::sync::Arc;

use bytemuck::{Pod, cast_slice};
use wasm_engine_abi::AgentId;
use wasm_engine_abi::frame::{Effect, ItemFrame, TurnCommand, TurnResult, effect, fault, turn};

use crate::ahead::{Ahead, Stages};
use crate::areas::{Areas, Sources};
use crate::error::{MachineError, MachineFailure, Stop};
use crate::fault::{ACCOUNTS_MAX, FaultAccount, FaultBook};
use crate::program::LaneShared;
use crate::seat::Holder;
use crate::seats::Seats;
use crate::turn::TurnContext;
use crate::turn_digest::{TurnDigest, TurnFacts};

/// One lane.
pub struct Lane {
    shared: Arc<LaneShared>,
    number: u32,
    epoch: u64,
    sources: Sources,
    seats: Seats,
    digest: TurnDigest,
    ahead: Ahead,
    /// Whose turn is or was executed last.
    agent: u64,
    /// Accounts of faults given in this microstep.
    accounts: usize,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane without agents. Allocates what turns need, so that only `INIT` allocates later.
    #[must_use]
    pub fn new(shared: Arc<LaneShared>, number: u32, areas: Areas) -> Self {
        let Areas { outbox, lanes, open, spill } = areas;
        let (calls, effects) = (shared.calls_max, shared.effects_max as usize);
        Self {
            number,
            epoch: 0,
            sources: Sources { lanes, open, spill },
            seats: Seats::new(
                Arc::clone(&shared),
                TurnContext::new(outbox, shared.seed, effects, calls),
            ),
            digest: TurnDigest::with_room(calls, effects),
            ahead: Ahead::default(),
            agent: AgentId::NONE.to_bits(),
            accounts: 0,
            shared,
        }
    }

    /// The lane's number, which names its outbox.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The agent whose turn is or was executed last.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        AgentId::from_bits(self.agent)
    }

    /// Accounts of the faults of all lanes in this microstep.
    #[must_use]
    pub fn faults(&self) -> &FaultBook {
        &self.shared.faults
    }

    /// Outbox bytes in use, and how many a microstep may use.
    #[must_use]
    pub fn outbox_bytes(&self) -> (u64, u64) {
        self.seats.context().outbox_bytes()
    }

    /// Agents awake and asleep.
    #[must_use]
    pub fn agents(&self) -> (u32, u32) {
        self.seats.agents()
    }

    /// Begins a microstep: what was written two epochs ago is gone from the outbox.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.accounts = 0;
        self.seats.context_mut().begin_epoch(epoch);
    }

    /// Words that [`Lane::execute`] appends at most.
    #[must_use]
    pub fn result_words_max(&self) -> usize {
        let effects = self.shared.effects_max as usize;
        (size_of::<TurnResult>() + effects * size_of::<Effect>()) / size_of::<u64>()
    }

    /// Executes one turn and appends its [`TurnResult`] and effects to `out`: words, so that they
    /// can be read in place.
    ///
    /// # Errors
    /// A failure of the machine or an invalid command; the lane must not be used again.
    pub fn execute(
        &mut self,
        command: &TurnCommand,
        items: &[ItemFrame],
        args: &[u8],
        out: &mut Vec<u64>,
    ) -> Result<(), MachineError> {
        self.agent = command.agent;
        self.prefetch(command.ahead);
        let outcome = match command.kind {
            turn::DROP => self.seats.end(slot(command)),
            turn::HASH => self.hash(command, out),
            _ => self.turn(command, items, args, out),
        };
        outcome.map_err(|stop| self.failed(command, stop))?;
        if command.kind == turn::DROP {
            out.extend_from_slice(words(&[blank(command)]));
        }
        Ok(())
    }

    /// Appends the state of an agent of this lane, memory and globals, as what it changed of its
    /// module's image (SEMANTICS L8); false if it has none.
    ///
    /// # Errors
    /// A failure of the machine; the lane must not be used again.
    pub fn save(&mut self, agent: AgentId, into: &mut Vec<u8>) -> Result<bool, MachineError> {
        self.agent = agent.to_bits();
        let command = TurnCommand { agent: self.agent, ..TurnCommand::default() };
        self.seats.save(agent.index(), into).map_err(|stop| self.failed(&command, stop))
    }

    /// Appends the save point of an agent of this lane, as [`Lane::save`] does its state; false if
    /// it has none.
    #[must_use]
    pub fn saved(&self, agent: AgentId, into: &mut Vec<u8>) -> bool {
        self.seats.kept(agent.index(), into)
    }

    /// An incarnation begins with the state of its agent's save point, which stays.
    ///
    /// # Errors
    /// There is none: the lane must not be used again.
    pub fn go_back(&mut self, agent: AgentId, incarnation: u32) -> Result<(), MachineError> {
        self.agent = agent.to_bits();
        let command = TurnCommand { agent: self.agent, incarnation, ..TurnCommand::default() };
        let gone_back = self.seats.go_back(Holder::of(&command));
        gone_back.map_err(|stop| self.failed(&command, stop))
    }

    /// Drops the save point of an agent that is no more.
    pub fn forget(&mut self, agent: AgentId) {
        self.seats.forget(agent.index());
    }

    /// Gives an agent of a template a save point that [`Lane::saved`] gave.
    ///
    /// # Errors
    /// As of [`Lane::restore`].
    pub fn restore_saved(
        &mut self,
        agent: AgentId,
        template: u32,
        state: &[u8],
    ) -> Result<(), MachineError> {
        self.agent = agent.to_bits();
        let command = TurnCommand { agent: self.agent, ..TurnCommand::default() };
        let restored = self.seats.restore_kept(Holder::of(&command), template, state);
        restored.map_err(|stop| self.failed(&command, stop))
    }

    /// Lets an incarnation of a template live in this lane, with a state that [`Lane::save`] gave.
    ///
    /// # Errors
    /// The state is not one of that module, or a failure of the machine; the lane must not be used
    /// again.
    pub fn restore(
        &mut self,
        agent: AgentId,
        incarnation: u32,
        template: u32,
        state: &[u8],
    ) -> Result<(), MachineError> {
        self.agent = agent.to_bits();
        let command = TurnCommand { agent: self.agent, incarnation, ..TurnCommand::default() };
        let restored = self.seats.restore(Holder::of(&command), template, state);
        restored.map_err(|stop| self.failed(&command, stop))
    }

    /// Asks for what turns that come soon will read. Who lives elsewhere is ignored.
    #[inline]
    fn prefetch(&mut self, named: u32) {
        let Stages { entry, seat, instance } = self.ahead.after(named);
        entry.into_iter().for_each(|slot| self.seats.prefetch_agent(slot));
        seat.into_iter().for_each(|slot| self.seats.prefetch_seat(slot));
        instance.into_iter().for_each(|slot| self.seats.prefetch_instance(slot));
    }

    /// The failure that ends the lane.
    #[cold]
    fn failed(&self, command: &TurnCommand, stop: Stop) -> MachineError {
        let (failure, detail) = match stop {
            Stop::Machine(failure, detail) => (failure, detail),
            Stop::Fault(_) => {
                (MachineFailure::Command, "a guest faulted without a call".to_owned())
            }
        };
        let agent = AgentId::from_bits(command.agent);
        MachineError { failure, lane: self.number, agent, detail }
    }

    #[inline]
    fn turn(
        &mut self,
        command: &TurnCommand,
        items: &[ItemFrame],
        args: &[u8],
        out: &mut Vec<u64>,
    ) -> Result<(), Stop> {
        if command.items as usize != items.len() || command.args_len as usize != args.len() {
            return Err(Stop::command("its items or arguments are not those it announces"));
        }
        let seat = match command.kind {
            turn::INIT => self.seats.start(command)?,
            turn::STEP | turn::SHUTDOWN => self.seats.held(command)?,
            _ => return Err(Stop::command("there is no such kind of turn")),
        };
        let fault = match self.seats.turn(seat, command, items, args, &self.sources, self.epoch) {
            Ok(()) => fault::NONE,
            Err(Stop::Fault(fault)) => fault,
            Err(machine) => return Err(machine),
        };
        if fault != fault::NONE {
            self.account(command, fault);
        }
        let inbox = command.kind == turn::INIT;
        let item_bytes_max = if inbox { self.seats.item_bytes_max(seat) } else { 0 };
        self.report(command, fault, item_bytes_max, out);
        if fault == fault::NONE && command.kind != turn::SHUTDOWN && self.is_saved(command) {
            self.seats.keep(slot(command))?;
        }
        if fault != fault::NONE || command.kind == turn::SHUTDOWN {
            self.seats.end(slot(command))?;
        }
        Ok(())
    }

    /// Whether the state behind the turn that was executed is a save point (SEMANTICS A9).
    #[inline]
    fn is_saved(&self, command: &TurnCommand) -> bool {
        let program = self.shared.programs.get(command.template as usize);
        let called = || self.seats.context().effects().iter().any(|e| e.kind == effect::SAVE);
        // Few may, and the effects of all others are not looked through.
        program.is_some_and(|program| program.terms.rights.save) && (command.save != 0 || called())
    }

    /// Tells of a fault beside the result.
    #[cold]
    fn account(&mut self, command: &TurnCommand, fault: u32) {
        let Some(program) = self.shared.programs.get(command.template as usize) else { return };
        self.accounts += 1;
        if self.accounts > ACCOUNTS_MAX {
            return;
        }
        let context = self.seats.context_mut();
        let backtrace = program.symbols.describe(&std::mem::take(&mut context.backtrace));
        let own = self.sources.lanes.get(self.number as usize);
        let read = |effect: &Effect| {
            let mut text = vec![0; effect.len as usize];
            own?.copy_to(effect.block, &mut text).ok()?;
            Some(text)
        };
        let terms = &program.terms;
        let account = FaultAccount::new(command, fault, context, terms, backtrace, read);
        self.shared.faults.add(account);
    }

    #[inline]
    fn report(
        &mut self,
        command: &TurnCommand,
        fault: u32,
        item_bytes_max: u32,
        out: &mut Vec<u64>,
    ) {
        let (faulted, context) = (fault != fault::NONE, self.seats.context());
        let effects = if faulted { &[] } else { context.effects() };
        let digest = self.digest.of(&TurnFacts {
            microstep: command.microstep,
            incarnation: command.incarnation,
            agent: command.agent,
            items: context.items(),
            received: context.received(),
            codes: context.codes(),
            effects,
            fault,
        });
        let result = TurnResult {
            seq: if faulted { command.seq } else { context.seq() },
            fuel: if faulted { context.fuel_budgets() } else { context.fuel_used() },
            digest,
            items: context.items(),
            code: context.code(),
            fault,
            effects: effects.len() as u32,
            answers: if faulted { 0 } else { context.answers() },
            blocks: if faulted { 0 } else { context.blocks() },
            item_bytes_max,
            step_code: if faulted { 0 } else { context.step_code },
            ..blank(command)
        };
        out.extend_from_slice(words(&[result]));
        out.extend_from_slice(words(effects));
    }

    fn hash(&mut self, command: &TurnCommand, out: &mut Vec<u64>) -> Result<(), Stop> {
        let digest = self.seats.digest(slot(command))?.unwrap_or_default();
        out.extend_from_slice(words(&[TurnResult { digest, ..blank(command) }]));
        Ok(())
    }
}

/// The slot of the agent that a command is for.
#[inline]
fn slot(command: &TurnCommand) -> u32 {
    AgentId::from_bits(command.agent).index()
}

/// Results and effects are whole words.
#[inline]
fn words<T: Pod>(of: &[T]) -> &[u64] {
    cast_slice(of)
}

/// A result that says only whose it is.
#[inline]
fn blank(command: &TurnCommand) -> TurnResult {
    TurnResult {
        agent: command.agent,
        seq: command.seq,
        position: command.position,
        incarnation: command.incarnation,
        ..TurnResult::default()
    }
}
