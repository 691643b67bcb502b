//! The host calls: what a guest may ask for, decided from its own rights, arguments and quotas.
//!
//! `abi/src/calls.rs` is the list; `host_calls.rs` gives each call its meaning. A call answers at
//! once from what the agent itself has (SEMANTICS A3) and puts what it asks for behind the effects
//! of the turn; commit decides the rest. Nothing here reads a clock, another agent or the machine.
//!
//! # How state gets here
//! A lane has one store, which holds a [`Host`]: the terms of all programs, and the [`TurnContext`]
//! with everything that the calls of a turn change: the outbox, the effects, the counts. So calls
//! need neither locks nor `unsafe`, and allocate nothing once the vectors have grown.

use std::sync::Arc;

use wasm_engine_abi::frame::{Effect, ItemHeader, TurnCommand};
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::outbox::OutboxWriter;
use wasmtime::{Memory, ResourceLimiter};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::call_note::{CallNote, Trace};
use crate::memory_limiter::MemoryLimiter;
use crate::terms::Terms;
use crate::turn_digest::receive;

/// Why a host call ends the guest's call instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// A pointer outside the memory, or a call without the right to its result: the guest's fault.
    #[error("misuse of a host call")]
    Misuse,
    /// The outbox is smaller than the limits promise: the kernel's fault.
    #[error("the outbox has no room for a payload within the turn's quota")]
    OutboxFull,
    /// A guest ran without a turn: the kernel's fault.
    #[error("a guest called the host outside a turn")]
    OutsideTurn,
}

/// What a lane's store holds.
pub(crate) struct Host {
    /// By program.
    terms: Box<[Arc<Terms>]>,
    /// By program: bytes that a memory may grow to.
    memory_bytes_max: Box<[usize]>,
    /// Whose turn it is.
    program: usize,
    limiter: MemoryLimiter,
    pub(crate) memory: Option<Memory>,
    pub(crate) turn: TurnContext,
}

impl Host {
    /// `terms` are those of each program.
    pub(crate) fn new(terms: impl Iterator<Item = Arc<Terms>>, turn: TurnContext) -> Self {
        let terms: Box<[_]> = terms.collect();
        let bytes = |terms: &Arc<Terms>| usize::try_from(terms.memory_bytes_max);
        Self {
            memory_bytes_max: terms.iter().map(|t| bytes(t).unwrap_or(usize::MAX)).collect(),
            terms,
            program: 0,
            limiter: MemoryLimiter::default(),
            memory: None,
            turn,
        }
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }

    /// The terms of the agent whose turn it is.
    #[inline]
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms[self.program]
    }

    /// Those terms, and what the calls of the turn change.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&Terms, &mut TurnContext) {
        (&self.terms[self.program], &mut self.turn)
    }

    /// An instance of this program is made or changed.
    #[inline]
    pub(crate) fn begin_instance(&mut self, program: u32) {
        self.program = program as usize;
        self.limiter.bytes_max = self.memory_bytes_max[self.program];
    }

    /// An agent of this program, whose memory this is, takes its turn.
    #[inline]
    pub(crate) fn begin_turn(&mut self, program: u32, memory: Memory, command: &TurnCommand) {
        self.begin_instance(program);
        self.memory = Some(memory);
        self.turn.begin_turn(command);
    }
}

/// A lane's working state: what the calls of one turn change.
#[derive(Debug)]
pub(crate) struct TurnContext {
    pub(crate) outbox: OutboxWriter<RawMem>,
    /// Bytes of the half of the outbox that an epoch writes.
    pub(crate) outbox_capacity: usize,
    pub(crate) seed: u64,
    pub(crate) command: TurnCommand,
    pub(crate) effects: Vec<Effect>,
    pub(crate) codes: Vec<i32>,
    /// The last of them that is not 0.
    pub(crate) code: i32,
    /// What `agent_step` returned, if it had a task.
    pub(crate) step_code: i32,
    pub(crate) seq: u64,
    pub(crate) answers: u32,
    pub(crate) blocks: u32,
    /// Blocks of requests to models.
    pub(crate) inference_blocks: u32,
    pub(crate) items: u32,
    pub(crate) fuel_used: u64,
    pub(crate) fuel_budgets: u64,
    pub(crate) draws: u32,
    /// Names the items consumed (SEMANTICS D2).
    pub(crate) received: u64,
    /// Cause and trace: hash of the header of the item being received or received last, its trace.
    pub(crate) origin: Option<(u64, u64)>,
    /// What the function under way said with `panic`; for the operator only, like all below.
    pub(crate) message: Vec<u8>,
    /// The last host call that it made in vain.
    pub(crate) note: Option<CallNote>,
    /// The function that faulted.
    pub(crate) function: &'static str,
    /// Where in the module it did.
    pub(crate) backtrace: Trace,
    /// What else is known of the fault.
    pub(crate) detail: String,
}

impl TurnContext {
    /// Working state over a lane's outbox with room for turns of these sizes.
    pub(crate) fn new(
        outbox: OutboxWriter<RawMem>,
        seed: u64,
        effects_max: usize,
        calls_max: usize,
    ) -> Self {
        Self {
            // Of a fresh outbox a whole half is free.
            outbox_capacity: outbox.free_bytes(),
            outbox,
            seed,
            command: TurnCommand::default(),
            effects: Vec::with_capacity(effects_max),
            codes: Vec::with_capacity(calls_max),
            code: 0,
            step_code: 0,
            seq: 0,
            answers: 0,
            blocks: 0,
            inference_blocks: 0,
            items: 0,
            fuel_used: 0,
            fuel_budgets: 0,
            draws: 0,
            received: 0,
            origin: None,
            message: Vec::new(),
            note: None,
            function: "",
            backtrace: Trace::default(),
            detail: String::new(),
        }
    }

    /// Empties the half of the outbox that `epoch` writes.
    pub(crate) fn begin_epoch(&mut self, epoch: u64) {
        self.outbox.begin(epoch);
    }

    /// Outbox bytes in use, and how many there are for an epoch.
    pub(crate) fn outbox_bytes(&self) -> (u64, u64) {
        let used = self.outbox_capacity - self.outbox.free_bytes();
        (used as u64, self.outbox_capacity as u64)
    }

    /// Begins a turn.
    #[inline]
    pub(crate) fn begin_turn(&mut self, command: &TurnCommand) {
        self.command = *command;
        self.effects.clear();
        self.codes.clear();
        (self.code, self.step_code) = (0, 0);
        self.seq = command.seq;
        (self.answers, self.blocks, self.items, self.draws) = (0, 0, 0, 0);
        self.inference_blocks = 0;
        (self.fuel_used, self.fuel_budgets) = (0, 0);
        (self.received, self.origin) = (0, None);
        self.message.clear();
        self.note = None;
    }

    /// The next item is consumed and the cause of what follows.
    #[inline]
    pub(crate) fn begin_item(&mut self, header: &ItemHeader) {
        let cause = xxh3_64(bytemuck::bytes_of(header));
        self.items += 1;
        self.received = receive(self.received, cause);
        self.origin = Some((cause, header.trace));
    }

    /// A guest function with this budget ended and used this much.
    #[inline]
    pub(crate) fn charge(&mut self, fuel: u64, budget: u64) {
        self.fuel_used = self.fuel_used.saturating_add(fuel);
        self.fuel_budgets = self.fuel_budgets.saturating_add(budget);
    }

    /// A function of the contract returned `code`.
    #[inline]
    pub(crate) fn returned(&mut self, code: i32) {
        self.codes.push(code);
        self.draws = 0;
        if code != 0 {
            self.code = code;
        }
        if code >= 0 {
            self.message.clear();
            self.note = None;
        }
    }

    /// The code returned last is that of a step with a task.
    pub(crate) fn keep_step_code(&mut self) {
        self.step_code = self.codes.last().copied().unwrap_or(0);
    }

    #[inline]
    pub(crate) fn effects(&self) -> &[Effect] {
        &self.effects
    }

    #[inline]
    pub(crate) fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// The last code that is not 0.
    #[inline]
    pub(crate) fn code(&self) -> i32 {
        self.code
    }

    /// Next own sequence number.
    #[inline]
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Pending-call slots taken.
    #[inline]
    pub(crate) fn answers(&self) -> u32 {
        self.answers
    }

    /// Payload blocks of all effects.
    #[inline]
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks + self.inference_blocks
    }

    /// Items consumed.
    #[inline]
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// Names the items consumed.
    #[inline]
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Fuel used by the calls that returned.
    #[inline]
    pub(crate) fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// Full budgets of the calls made, charged when the turn faults (SEMANTICS A8).
    #[inline]
    pub(crate) fn fuel_budgets(&self) -> u64 {
        self.fuel_budgets
    }

    /// Cause and trace of an effect with this sequence number (SEMANTICS D1).
    ///
    /// The cause is xxh3-64 of the item's header as dispatched. Without one the trace is xxh3-64
    /// of the agent's key and the sequence number.
    #[inline]
    pub(crate) fn origin(&self, seq: u64) -> (u64, u64) {
        self.origin.unwrap_or_else(|| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.command.key.to_le_bytes());
            bytes[8..].copy_from_slice(&seq.to_le_bytes());
            (0, xxh3_64(&bytes))
        })
    }

    /// The next random number (SEMANTICS A6): xxh3-64, seeded with the run's seed, over key,
    /// tick, incarnation, microstep, number of the call in the turn, number of the draw in it.
    pub(crate) fn random(&mut self) -> u64 {
        let command = &self.command;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&command.key.to_le_bytes());
        bytes[8..16].copy_from_slice(&command.tick.to_le_bytes());
        bytes[16..20].copy_from_slice(&command.incarnation.to_le_bytes());
        bytes[20..24].copy_from_slice(&command.microstep.to_le_bytes());
        bytes[24..28].copy_from_slice(&(self.codes.len() as u32).to_le_bytes());
        bytes[28..].copy_from_slice(&self.draws.to_le_bytes());
        self.draws += 1;
        xxh3_64_with_seed(&bytes, self.seed)
    }
}
