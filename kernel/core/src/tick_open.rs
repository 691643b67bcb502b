//! Open: all env facts of a tick, applied in one order (SEMANTICS T3).
//!
//! Outcomes of loads, changes of provider, commands of the host, backoff expiries by agent,
//! inference replies in request order, due timers, inputs, the budget.
//!
//! Backoffs and timers are derived; the others come as facts and are checked against what the core
//! expects, so a log that was changed is caught here or by the digest.

use wasm_engine_abi::{
    AgentId, Tick,
    calls::Status,
    frame::{ItemHeader, NO_TOPIC, item},
    limits::BLOCK_BYTES,
    record::{
        BudgetFact, Fact, FactFields, Facts, InputFact, LoadFact, PROVIDER_BYTES_MAX, ProviderFact,
        ReplyFact, TickOpen, fact,
    },
};
use xxhash_rust::xxh3::xxh3_64;

use crate::agents::Phase;
use crate::budget::BudgetLeft;
use crate::delivery::Deliveries;
use crate::environment::{Environment, PayloadStore, RefusedInput, Sink};
use crate::inbox::Item;
use crate::open_error::OpenError;
use crate::payloads::{NO_PAYLOAD, PayloadId, blocks};
use crate::state::{Core, TICK_MAX};
use crate::tick_digest::event;

/// The facts of a tick in the order in which they are applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum OpenStage {
    Loads,
    /// From the first model to the last.
    Provider(u32),
    Commands,
    LiveCommands,
    Replies,
    Inputs,
    Budget,
}

impl OpenStage {
    fn of(fact: &FactFields) -> Self {
        match fact {
            FactFields::Load(_) => Self::Loads,
            FactFields::Provider(changed) => Self::Provider(changed.model),
            FactFields::Command(command) if command.is_live() => Self::LiveCommands,
            FactFields::Command(_) => Self::Commands,
            FactFields::Reply(_) => Self::Replies,
            FactFields::Input(_) => Self::Inputs,
            FactFields::Budget(_) => Self::Budget,
        }
    }
}

impl Core {
    /// Opens the tick that `bytes`, a `TickOpen` record, describes.
    ///
    /// # Errors
    /// [`OpenError`] if the facts cannot be those of the next tick. The core is then unusable.
    pub fn open(&mut self, bytes: &[u8], env: &mut impl Environment) -> Result<(), OpenError> {
        let facts = Facts::parse(bytes)?;
        let tick = facts.open().tick;
        let follows = if self.stats.ticks == 0 { tick == 0 } else { tick > self.tick };
        if !follows || tick > TICK_MAX {
            let last = match self.stats.ticks {
                0 => "the start of a run".to_owned(),
                _ => format!("tick {}", self.tick),
            };
            return Err(OpenError::NotNext { tick, last });
        }
        self.check_chosen(&facts)?;
        self.begin_open(tick, bytes, env);
        let entered = u64::from(facts.open().facts);
        self.chain.trace.event(event::TICK_OPEN, 0, entered, 0);
        self.check_inputs(tick, &facts)?;
        let mut stage = OpenStage::Loads;
        for fact in facts.iter() {
            let Some(fields) = fact.header.fields() else {
                return Err(OpenError::UnknownFact { tick, kind: fact.header.kind });
            };
            self.enter_stage(&mut stage, OpenStage::of(&fields))?;
            match fields {
                FactFields::Load(load) if self.loaded(load) => {}
                FactFields::Load(LoadFact { load, .. }) => {
                    return Err(OpenError::UnexpectedLoad { tick, load });
                }
                FactFields::Provider(changed) => self.provider(changed, fact.payload, env)?,
                FactFields::Command(command) => self.command(command, fact.payload, env)?,
                FactFields::Reply(reply) => self.reply(reply, fact.payload, env)?,
                FactFields::Input(input) => self.input(input, fact.payload, env)?,
                FactFields::Budget(budget) => self.limit(budget)?,
            }
        }
        self.enter_stage(&mut stage, OpenStage::Budget)
    }

    /// Goes on to the facts of `next`, and does what lies between; none may come behind those of a
    /// later stage (T3).
    fn enter_stage(&mut self, now: &mut OpenStage, next: OpenStage) -> Result<(), OpenError> {
        let tick = self.tick;
        if next < *now {
            return Err(OpenError::Order { tick });
        }
        let before = std::mem::replace(now, next);
        if before < OpenStage::Commands
            && next >= OpenStage::Commands
            && let Some(load) = self.load_missing()
        {
            return Err(OpenError::MissingLoad { tick, load: load.number });
        }
        if before < OpenStage::Replies && next >= OpenStage::Replies {
            self.expire_backoffs();
        }
        if before < OpenStage::Inputs && next >= OpenStage::Inputs {
            self.end_replies()?;
        }
        Ok(())
    }

    /// T5.8: what chose a number is in the tick, and nothing that is known here names an earlier
    /// one. To be asked before the tick begins.
    fn check_chosen(&mut self, facts: &Facts<'_>) -> Result<(), OpenError> {
        let TickOpen { tick, chosen, .. } = facts.open();
        let not_chosen = |why: String| Err(OpenError::NotChosen { tick, why });
        match chosen {
            0 => return Ok(()),
            1 => {}
            other => return not_chosen(format!("the mark is {other}, neither 0 nor 1")),
        }
        let sources = &self.setup.sources;
        let is_live = |fact: Fact<'_>| match fact.header.fields() {
            Some(FactFields::Input(input)) => {
                let at = usize::try_from(input.source).ok();
                at.and_then(|at| sources.get(at)).is_some_and(|source| source.live)
            }
            Some(FactFields::Command(command)) => command.is_live(),
            _ => false,
        };
        if !facts.iter().any(is_live) {
            return not_chosen("it holds none".to_owned());
        }
        match self.next_tick() {
            Some(due) if due <= tick => not_chosen(format!("tick {due} was due")),
            _ => Ok(()),
        }
    }

    /// T7: at most `inputs_per_tick_max` inputs enter, and their bytes in whole blocks.
    fn check_inputs(&self, tick: Tick, facts: &Facts<'_>) -> Result<(), OpenError> {
        let limits = &self.setup.limits;
        let (mut inputs, mut input_blocks) = (0u64, 0u64);
        for fact in facts.iter().filter(|fact| fact.header.kind == fact::INPUT) {
            inputs += 1;
            input_blocks += u64::from(blocks(fact.header.len));
        }
        if inputs > u64::from(limits.inputs_per_tick_max) {
            return Err(OpenError::Exceeds { tick, what: "more inputs" });
        }
        if input_blocks > u64::from(limits.input_bytes_per_tick_max / BLOCK_BYTES) {
            return Err(OpenError::Exceeds { tick, what: "longer inputs" });
        }
        Ok(())
    }

    fn begin_open(&mut self, tick: Tick, bytes: &[u8], env: &mut impl Environment) {
        self.tick = tick;
        self.microstep = 0;
        self.epoch += 1;
        self.deliveries = 0;
        self.tick_budget = BudgetLeft::default();
        self.turn_digests.clear();
        self.turn_agents.clear();
        self.chain.open(tick, bytes);
        self.agents.open();
        env.payloads().begin_open(self.epoch);
    }

    /// I5.5: another provider computes a model. Physical, so nothing here depends on it.
    fn provider(
        &self,
        changed: ProviderFact,
        text: &[u8],
        env: &mut impl Environment,
    ) -> Result<(), OpenError> {
        let (tick, model) = (self.tick, changed.model);
        if model as usize >= self.setup.models.len() {
            return Err(OpenError::UnknownModel { tick, model });
        }
        if text.len() > PROVIDER_BYTES_MAX as usize {
            return Err(OpenError::Exceeds { tick, what: "a longer text of a provider" });
        }
        env.sink().provider_changed(model, text);
        Ok(())
    }

    /// A8: agents restart at the open of tick fault + backoff.
    fn expire_backoffs(&mut self) {
        while let Some(&(due, index)) = self.backoffs.first() {
            if due > self.tick {
                return;
            }
            self.backoffs.pop_first();
            let agent = self.agents.at_mut(index);
            if agent.phase != Phase::Backoff(due) {
                continue;
            }
            agent.phase = Phase::Starting;
            agent.incarnation += 1;
            let incarnation = u64::from(agent.incarnation);
            self.stats.restarts += 1;
            self.chain.event(event::RESTARTED, self.agents.id(index).to_bits(), incarnation);
            self.restore_saved(index);
            self.make_runnable(index);
        }
    }

    /// I1: a reply goes to the incarnation that asked, if it still lives.
    fn reply(
        &mut self,
        reply: ReplyFact,
        row: &[u8],
        env: &mut impl Environment,
    ) -> Result<(), OpenError> {
        let tick = self.tick;
        let ReplyFact { agent, request: seq, model, code } = reply;
        let unexpected = || OpenError::UnexpectedReply { tick, agent, seq };
        let request = self.requests.first_due(tick).ok_or_else(unexpected)?;
        if (request.agent, request.seq, request.model) != (agent, seq, model) {
            return Err(unexpected());
        }
        if row.len() > self.setup.models[request.model as usize].reply_bytes_max as usize {
            return Err(OpenError::Exceeds { tick, what: "a longer reply" });
        }
        self.stats.late_replies += u64::from(code == Status::Late as i32);
        self.requests.pop_due(tick);
        let Some(index) = self.agents.living(agent, request.incarnation) else {
            self.requests.end(self.reply_bytes(model));
            self.chain.event(event::REPLY_DROPPED, agent.to_bits(), seq);
            return Ok(());
        };
        // A reply always comes; one that its inbox cannot hold says so.
        let too_long =
            self.agents.at(index).item_bytes_max().is_some_and(|max| row.len() > max as usize);
        let (row, code): (&[u8], _) =
            if too_long { (&[], Status::TooLong as i32) } else { (row, code) };
        let header = ItemHeader {
            kind: item::REPLY,
            len: row.len() as u32,
            from: AgentId::NONE.to_bits(),
            tick,
            topic: request.handle,
            code,
            hash: payload_hash(row),
            request: seq,
            trace: request.trace,
            ..ItemHeader::default()
        };
        let payload = self.keep(row, env);
        self.push_answer(index, header, payload);
        Ok(())
    }

    /// Checks that no due request is left without a reply, then fires the due timers.
    fn end_replies(&mut self) -> Result<(), OpenError> {
        if let Some(request) = self.requests.first_due(self.tick) {
            let (tick, agent, seq) = (self.tick, request.agent, request.seq);
            return Err(OpenError::MissingReply { tick, agent, seq });
        }
        while let Some(timer) = self.timers.pop_due(self.tick) {
            let agent = AgentId::from_bits(timer.agent);
            let Some(index) = self.agents.living(agent, timer.incarnation) else {
                self.timers.took_forgotten();
                continue;
            };
            self.agents.rare_mut(index).timers -= 1;
            self.chain.event(event::TIMER, timer.agent, timer.seq);
            let header = ItemHeader {
                kind: item::TIMER,
                from: AgentId::NONE.to_bits(),
                from_seq: timer.tag,
                tick: self.tick,
                topic: NO_TOPIC,
                request: timer.seq,
                trace: timer.trace,
                ..ItemHeader::default()
            };
            self.push_answer(index, header, NO_PAYLOAD);
        }
        Ok(())
    }

    /// T7: an input goes to the subscribers of its topic as they stand.
    fn input(
        &mut self,
        input: InputFact,
        bytes: &[u8],
        env: &mut impl Environment,
    ) -> Result<(), OpenError> {
        let tick = self.tick;
        let InputFact { source: origin, seq, topic } = input;
        if tick == 0 {
            return Err(OpenError::InputInTickZero);
        }
        let known = (topic as usize) < self.setup.topics.len()
            && usize::try_from(origin).is_ok_and(|at| at < self.setup.sources.len());
        if !known {
            return Err(OpenError::UnknownTopic { tick, topic, origin });
        }
        let header = ItemHeader {
            kind: item::INPUT,
            len: bytes.len() as u32,
            from: origin,
            from_seq: seq,
            tick,
            topic,
            hash: payload_hash(bytes),
            trace: input_trace(origin, seq),
            ..ItemHeader::default()
        };
        self.stats.inputs += 1;
        let payload = self.enter(bytes, env);
        let policy = self.setup.topics[topic as usize].policy;
        let (mut sum, all) = (Deliveries::default(), self.subscriptions.topic(topic).len());
        for at in 0..self.subscriptions.topic(topic).entries() {
            if self.tries_used_up() {
                let untried = sum.add_untried(all, &mut self.stats);
                self.input_refused(AgentId::NONE, seq, untried);
                break;
            }
            let Some((receiver, _)) = self.subscriptions.topic(topic).get(at) else { continue };
            let status = self.deliver(receiver, Item::new(header, payload, false), policy, env);
            sum.add(status);
            if status != Status::Ok {
                let agent = self.agents.id(receiver);
                self.input_refused(agent, seq, 1);
                let item_bytes_max = self.agents.at(receiver).item_bytes_max();
                let (source, len) = (origin, header.len);
                let refused = RefusedInput { agent, status, source, len, item_bytes_max };
                env.sink().input_refused(&refused);
            }
        }
        Ok(())
    }

    fn input_refused(&mut self, by: AgentId, seq: u64, times: u32) {
        self.chain.event_of_two(event::REFUSED, by.to_bits(), seq, u64::from(times) << 32);
    }

    /// T2.4: how much the tick may execute.
    fn limit(&mut self, budget: BudgetFact) -> Result<(), OpenError> {
        let tick = self.tick;
        let wrong = |why| Err(OpenError::Budget { tick, why });
        if tick == 0 {
            return wrong("this tick cannot have");
        }
        if self.tick_budget != BudgetLeft::default() {
            return wrong("follows another");
        }
        if budget == BudgetFact::default() {
            return wrong("limits nothing");
        }
        self.tick_budget = budget.into();
        Ok(())
    }

    /// A reply may be long and has memory reserved where it stays: so it is copied once.
    fn keep(&mut self, bytes: &[u8], env: &mut impl Environment) -> PayloadId {
        if bytes.is_empty() {
            return NO_PAYLOAD;
        }
        let location = env.payloads().keep(bytes);
        self.payloads.add_kept(location, self.epoch, bytes.len() as u32)
    }

    fn enter(&mut self, bytes: &[u8], env: &mut impl Environment) -> PayloadId {
        if bytes.is_empty() {
            return NO_PAYLOAD;
        }
        let location = env.payloads().enter(bytes);
        self.payloads.add(location, self.epoch, bytes.len() as u32)
    }
}

/// What a header says of its payload.
pub(crate) fn payload_hash(payload: &[u8]) -> u32 {
    if payload.is_empty() { 0 } else { xxh3_64(payload) as u32 }
}

/// An input, or a task of the host, has no cause: its trace is the hash of its origin (D1).
pub(crate) fn input_trace(origin: u64, seq: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&origin.to_le_bytes());
    bytes[8..].copy_from_slice(&seq.to_le_bytes());
    xxh3_64(&bytes)
}
