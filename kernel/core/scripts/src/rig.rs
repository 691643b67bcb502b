//! A machine driven tick by tick, with everything that leaves it kept.

use std::collections::BTreeMap;

use wasm_engine_abi::{
    AgentId, Digest, Tick,
    calls::Status,
    frame::ItemHeader,
    page::TraceEvent,
    record::{BudgetFact, CommandFact, FactHeader, InputFact, LoadFact, ReplyFact, TickClose},
};
use wasm_engine_core::{Core, FactsBuilder, OpenError, Request};

use crate::{
    machine::Machine,
    program::Prog,
    recorder::{Out, Recorder},
    scene::{CMD, ECHO, Scene},
};

/// An item as its receiver saw it; of the payload the first 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenItem {
    pub tick: Tick,
    pub microstep: u32,
    pub header: ItemHeader,
    pub payload: Vec<u8>,
}

/// A machine, driven tick by tick.
#[derive(Debug)]
pub struct Rig<M> {
    pub machine: M,
    pub sink: Recorder,
    pub facts: FactsBuilder,
    pub closes: Vec<TickClose>,
    /// Every record of facts so far, to be executed again.
    pub log: Vec<Vec<u8>>,
    /// Commands of the next tick, with their arguments.
    pending_commands: Vec<(CommandFact, Vec<u8>)>,
    command_seq: u64,
    /// Of the next tick.
    pub budget: Option<BudgetFact>,
    /// What comes of a load of this model.
    pub load_codes: BTreeMap<u32, Status>,
    /// Source, topic, payload.
    pending: Vec<(u64, u32, Vec<u8>)>,
    /// Of the next input, by source.
    input_seq: BTreeMap<u64, u64>,
}

/// The address of configured agent `index`.
pub fn at(index: u32) -> AgentId {
    AgentId::new(index, 0)
}

/// Its wire form.
pub fn to(index: u32) -> u64 {
    at(index).to_bits()
}

/// Header of a reply fact.
pub fn reply_to(request: &Request) -> FactHeader {
    let Request { agent, seq, model, .. } = *request;
    ReplyFact { agent, request: seq, model, code: 0 }.into()
}

impl<M: Machine> Rig<M> {
    pub fn new(scene: &Scene) -> Self {
        Self::with_workers(scene, 0)
    }

    pub fn with_workers(scene: &Scene, workers: u32) -> Self {
        Self::over(M::start(scene, workers))
    }

    /// A machine before its first tick.
    pub fn over(machine: M) -> Self {
        Self {
            machine,
            sink: Recorder::default(),
            facts: FactsBuilder::default(),
            closes: Vec::new(),
            log: Vec::new(),
            pending_commands: Vec::new(),
            command_seq: 0,
            budget: None,
            load_codes: BTreeMap::new(),
            pending: Vec::new(),
            input_seq: BTreeMap::new(),
        }
    }

    pub fn core(&self) -> &Core {
        self.machine.core()
    }

    /// Commands so far, whose sequences are below.
    pub fn commands_given(&self) -> u64 {
        self.command_seq
    }

    /// A command of the next tick.
    pub fn command(&mut self, action: u32, subject: u64, args: &[u8]) {
        let seq = self.command_seq;
        self.command_seq += 1;
        self.pending_commands.push((CommandFact { seq, action, subject }, args.to_vec()));
    }

    /// The outcomes of all commands so far.
    pub fn outcomes(&self) -> Vec<Status> {
        self.sink.commands.iter().map(|outcome| outcome.status).collect()
    }

    /// An input of the next tick.
    pub fn input(&mut self, topic: u32, payload: &[u8]) {
        self.input_from(0, topic, payload);
    }

    /// The same of another source.
    pub fn input_from(&mut self, source: u64, topic: u32, payload: &[u8]) {
        self.pending.push((source, topic, payload.to_vec()));
    }

    /// A program for configured agent `index`, in the next tick.
    pub fn tell(&mut self, index: u32, program: Prog) {
        self.input(CMD + index, program.bytes());
    }

    /// The next tick by SEMANTICS T5, with the pending inputs due at once.
    pub fn next_tick(&mut self) -> Option<Tick> {
        if self.closes.is_empty() {
            return Some(0);
        }
        if !self.pending.is_empty() || !self.pending_commands.is_empty() {
            return Some(self.core().tick() + 1);
        }
        self.machine.core_mut().next_tick()
    }

    /// The tick after the last one.
    pub fn tick(&mut self) -> TickClose {
        self.try_tick().expect("the tick runs")
    }

    pub fn tick_at(&mut self, tick: Tick) -> TickClose {
        self.try_tick_at(tick).expect("the tick runs")
    }

    /// The tick after the last one, whose facts may be refused.
    pub fn try_tick(&mut self) -> Result<TickClose, OpenError> {
        let next = if self.closes.is_empty() { 0 } else { self.core().tick() + 1 };
        self.try_tick_at(next)
    }

    fn try_tick_at(&mut self, tick: Tick) -> Result<TickClose, OpenError> {
        self.facts.begin(tick);
        let mut loads = Vec::new();
        self.core().loads_due(tick, &mut loads);
        for load in &loads {
            let code = self.load_codes.get(&load.model).copied().unwrap_or(Status::Ok) as i32;
            self.facts.push(LoadFact { load: load.number, model: load.model, code }, b"");
        }
        for (command, args) in self.pending_commands.drain(..) {
            self.facts.push(command, &args);
        }
        let mut due = Vec::new();
        self.core().requests_due(tick, &mut due);
        for request in &due {
            // The row asked for, turned over, is the answer.
            let asked = self.sink.requests.iter().find(|(asked, _)| asked.number == request.number);
            let row: Vec<u8> = asked.expect("it was seen").1.iter().rev().copied().collect();
            self.facts.push(reply_to(request), &row);
        }
        if tick > 0 {
            for (source, topic, payload) in self.pending.drain(..) {
                let seq = self.input_seq.entry(source).or_default();
                self.facts.push(InputFact { source, seq: *seq, topic }, &payload);
                *seq += 1;
            }
            if let Some(budget) = self.budget.take() {
                self.facts.push(budget, b"");
            }
        }
        let facts = self.facts.finish().to_vec();
        self.feed(&facts)
    }

    /// One tick on a record of facts.
    pub fn feed(&mut self, facts: &[u8]) -> Result<TickClose, OpenError> {
        let close = self.machine.tick(facts, &mut self.sink)?;
        self.log.push(facts.to_vec());
        self.closes.push(close);
        Ok(close)
    }

    /// Ticks as T5 says until it says nothing, at most `max`.
    pub fn settle(&mut self, max: u64) {
        for _ in 0..max {
            let Some(tick) = self.next_tick() else { return };
            self.tick_at(tick);
        }
    }

    /// Payloads agent `from` published on an output topic.
    pub fn published(&self, from: AgentId, topic: u32) -> Vec<Vec<u8>> {
        let of = |out: &&Out| out.from == from && out.topic == topic;
        self.sink.outputs.iter().filter(of).map(|out| out.payload.clone()).collect()
    }

    /// The items that `agent` received, as it saw them.
    pub fn seen(&self, agent: AgentId) -> Vec<SeenItem> {
        let of = |out: &&Out| out.from == agent && out.topic == ECHO;
        let seen = |out: &Out| SeenItem {
            tick: out.tick,
            microstep: out.microstep,
            header: bytemuck::pod_read_unaligned(&out.payload[..64]),
            payload: out.payload[64..].to_vec(),
        };
        self.sink.outputs.iter().filter(of).map(seen).collect()
    }

    /// Items of one kind that `agent` received.
    pub fn seen_kind(&self, agent: AgentId, kind: u32) -> Vec<SeenItem> {
        self.seen(agent).into_iter().filter(|seen| seen.header.kind == kind).collect()
    }

    /// The positive status of the last refused call in the agent's last turn, else 0.
    pub fn code(&self, index: u32) -> i32 {
        self.core().agent(index).activity.last_code
    }

    /// What happened so far, of these kinds: everything that a trace tells.
    pub fn events(&self, kinds: &[u32]) -> Vec<TraceEvent> {
        let events = self.machine.events().iter();
        events.filter(|event| kinds.contains(&event.kind)).copied().collect()
    }

    /// Agents whose memory is held.
    pub fn instances(&self) -> u64 {
        self.machine.instances()
    }

    pub fn digests(&self) -> Vec<Digest> {
        self.closes.iter().map(|close| close.digest).collect()
    }
}
