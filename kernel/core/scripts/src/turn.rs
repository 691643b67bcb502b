//! One turn of a scripted agent: host calls with their order of reasons (SEMANTICS A3), sequence
//! numbers, random numbers, causes and traces, and the turn digest (D2).
//!
//! Of patterns only `**` is understood: a template has a right over all names or none.

use std::ops::Range;

use bytemuck::bytes_of;
use wasm_engine_abi::{
    Digest,
    calls::{BYTES_PER_FUEL, CALLS, Status},
    frame::{Effect, ItemHeader, TurnCommand, TurnResult, effect, fault},
    limits::{
        ARGS_BYTES_MAX, BLOCK_BYTES, INFERENCE_BYTES_MAX, LOG_LINE_BYTES_MAX, NAME_BYTES_MAX,
        PAYLOAD_BYTES_MAX, blocks,
    },
    task::TaskParts,
};
use wasm_engine_setup::{ModelSetup, Setup, Template, channel_key};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use crate::payloads::Outbox;

/// A fault of the guest, one of [`fault`].
pub(crate) type Fault = u32;
/// What a call answers: a number ≥ 0 or a negative status.
pub(crate) type Answer = Result<i64, Fault>;

/// Bytes that a guest names: address and length.
pub(crate) type Bytes = (u32, u32);

/// What the calls of one turn change.
pub(crate) struct Turn<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) command: TurnCommand,
    pub(crate) outbox: &'a mut Outbox,
    effects: Vec<Effect>,
    codes: Vec<i32>,
    seq: u64,
    answers: u32,
    blocks: u32,
    inference_blocks: u32,
    items: u32,
    draws: u32,
    received: u64,
    origin: Option<(u64, u64)>,
    /// Of an init turn.
    pub(crate) item_bytes_max: u32,
    /// What `agent_step` returned for a task.
    pub(crate) step_code: i32,
    /// Of the call under way.
    fuel: u64,
    /// Of the calls so far: used by host calls, and full budgets.
    fuel_used: u64,
    fuel_budgets: u64,
}

/// What a call asks for.
struct WantedEffect<'a> {
    kind: u32,
    target: u64,
    arg: u64,
    payload: Option<&'a [u8]>,
    answer: bool,
}

fn wanted<'a>(kind: u32, target: u64, payload: Option<&'a [u8]>, answer: bool) -> WantedEffect<'a> {
    WantedEffect { kind, target, arg: 0, payload, answer }
}

fn on_channel<'a>(
    kind: u32,
    setup: &Setup,
    name: &str,
    payload: Option<&'a [u8]>,
    answer: bool,
) -> WantedEffect<'a> {
    let key = channel_key(setup.seed, name);
    WantedEffect { arg: (key >> 64) as u64, ..wanted(kind, key as u64, payload, answer) }
}

fn within(bytes: &[u8], max: u32) -> Result<(), Status> {
    if bytes.len() > max as usize { Err(Status::Invalid) } else { Ok(()) }
}

fn name(bytes: &[u8]) -> Result<&str, Status> {
    within(bytes, NAME_BYTES_MAX)?;
    str::from_utf8(bytes).ok().filter(|name| !name.is_empty()).ok_or(Status::Invalid)
}

/// The index_of of the thing of this name.
fn index_of<'a>(mut names: impl Iterator<Item = &'a String>, name: &str) -> Result<u32, Status> {
    names.position(|other| other == name).map(|at| at as u32).ok_or(Status::Unknown)
}

fn answer(result: Result<u64, Status>) -> i64 {
    match result {
        Ok(value) => value as i64,
        Err(status) => i64::from(status as i32),
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(setup: &'a Setup, command: TurnCommand, outbox: &'a mut Outbox) -> Self {
        Self {
            setup,
            outbox,
            effects: Vec::new(),
            codes: Vec::new(),
            seq: command.seq,
            answers: 0,
            blocks: 0,
            inference_blocks: 0,
            items: 0,
            draws: 0,
            received: 0,
            origin: None,
            item_bytes_max: 0,
            step_code: 0,
            fuel: 0,
            fuel_used: 0,
            fuel_budgets: 0,
            command,
        }
    }

    fn template(&self) -> &'a Template {
        &self.setup.templates[self.command.template as usize]
    }

    fn may(&self, capability: &str) -> Result<(), Status> {
        let has = self.template().capabilities.iter().any(|own| own == capability);
        if has { Ok(()) } else { Err(Status::Denied) }
    }

    /// An item is consumed: it is the cause of what follows (D1, D2).
    pub(crate) fn begin_item(&mut self, header: &ItemHeader) {
        let cause = xxh3_64(bytes_of(header));
        self.items += 1;
        self.received = match self.received {
            0 => cause,
            before => xxh3_64_with_seed(&cause.to_le_bytes(), before),
        };
        self.origin = Some((cause, header.trace));
    }

    /// A function of the contract is called: it has a budget of its own (A1).
    pub(crate) fn begin_call(&mut self) {
        self.fuel = self.template().fuel_per_call;
        self.fuel_budgets += self.fuel;
    }

    /// It returned `code`; a negative one is a fault.
    pub(crate) fn returned(&mut self, code: i32) -> Result<(), Fault> {
        self.fuel_used += self.template().fuel_per_call - self.fuel;
        self.codes.push(code);
        self.draws = 0;
        if code < 0 { Err(fault::NEGATIVE_CODE) } else { Ok(()) }
    }

    /// A host call: its bytes must lie in the memory, then its fuel must be there (A3).
    fn enter<'m, const N: usize>(
        &mut self,
        call: &str,
        memory: &'m [u8],
        slices: [Bytes; N],
    ) -> Result<[&'m [u8]; N], Fault> {
        let range = |(at, len): Bytes| -> Range<usize> { at as usize..at as usize + len as usize };
        if slices.iter().any(|slice| range(*slice).end > memory.len()) {
            return Err(fault::MISUSE);
        }
        let base = CALLS.iter().find(|known| known.name == call).expect("a call of the contract");
        let bytes: u64 = slices.iter().map(|(_, len)| u64::from(*len)).sum();
        let fuel = base.fuel_base + bytes / BYTES_PER_FUEL;
        self.fuel = self.fuel.checked_sub(fuel).ok_or(fault::OUT_OF_FUEL)?;
        Ok(slices.map(|slice| &memory[range(slice)]))
    }

    /// Accepts an effect: quotas first, then places for answers.
    fn accept(&mut self, wanted: &WantedEffect<'_>) -> Result<u64, Status> {
        let payload = wanted.payload.unwrap_or(&[]);
        let limits = &self.setup.limits;
        let (used, max) = match wanted.kind {
            effect::INFER | effect::INFER_TENSORS => {
                (&mut self.inference_blocks, blocks(limits.inference_bytes_max))
            }
            _ => (&mut self.blocks, limits.payload_bytes_max / BLOCK_BYTES),
        };
        let blocks = *used + blocks(payload.len() as u32);
        if self.effects.len() >= limits.effects_max as usize || blocks > max {
            return Err(Status::Quota);
        }
        if wanted.answer && self.answers >= self.command.answers_free {
            return Err(Status::Busy);
        }
        *used = blocks;
        let seq = self.seq;
        let (cause, trace) = self.origin.unwrap_or_else(|| {
            let bytes = [self.command.key.to_le_bytes(), seq.to_le_bytes()].concat();
            (0, xxh3_64(&bytes))
        });
        self.seq += 1;
        self.answers += u32::from(wanted.answer);
        self.effects.push(Effect {
            kind: wanted.kind,
            len: payload.len() as u32,
            seq,
            target: wanted.target,
            arg: wanted.arg,
            hash: wanted.payload.map_or(0, xxh3_64),
            cause,
            trace,
            block: if payload.is_empty() { 0 } else { self.outbox.write(payload) },
            reserved: 0,
        });
        Ok(seq)
    }

    pub(crate) fn send(&mut self, memory: &[u8], to: u64, payload: Bytes) -> Answer {
        let [payload] = self.enter("send", memory, [payload])?;
        Ok(answer((|| {
            within(payload, PAYLOAD_BYTES_MAX)?;
            self.may("send")?;
            self.accept(&wanted(effect::SEND, to, Some(payload), true))
        })()))
    }

    fn topic_handle(&self, topic: u32) -> Result<(), Status> {
        if (topic as usize) < self.setup.topics.len() { Ok(()) } else { Err(Status::Unknown) }
    }

    pub(crate) fn publish(&mut self, memory: &[u8], topic: u32, payload: Bytes) -> Answer {
        let [payload] = self.enter("publish", memory, [payload])?;
        Ok(answer((|| {
            within(payload, PAYLOAD_BYTES_MAX)?;
            self.topic_handle(topic)?;
            self.may("publish:**")?;
            self.accept(&wanted(effect::PUBLISH, topic.into(), Some(payload), true))
        })()))
    }

    pub(crate) fn cast(&mut self, memory: &[u8], channel: Bytes, payload: Bytes) -> Answer {
        let [channel, payload] = self.enter("cast", memory, [channel, payload])?;
        Ok(answer((|| {
            within(payload, PAYLOAD_BYTES_MAX)?;
            let channel = name(channel)?;
            self.may("channel:**")?;
            self.accept(&on_channel(effect::CAST, self.setup, channel, Some(payload), true))
        })()))
    }

    pub(crate) fn membership(&mut self, memory: &[u8], join: bool, channel: Bytes) -> Answer {
        let (call, kind) = if join { ("join", effect::JOIN) } else { ("leave", effect::LEAVE) };
        let [channel] = self.enter(call, memory, [channel])?;
        Ok(answer((|| {
            let channel = name(channel)?;
            self.may("channel:**")?;
            self.accept(&on_channel(kind, self.setup, channel, None, join))
        })()))
    }

    pub(crate) fn subscription(&mut self, enter: bool, topic: u32) -> Answer {
        let (call, kind) = match enter {
            true => ("subscribe", effect::SUBSCRIBE),
            false => ("unsubscribe", effect::UNSUBSCRIBE),
        };
        let [] = self.enter(call, &[], [])?;
        Ok(answer((|| {
            self.topic_handle(topic)?;
            self.may("subscribe:**")?;
            self.accept(&wanted(kind, topic.into(), None, enter))
        })()))
    }

    fn model_handle(&self, model: u32) -> Result<&ModelSetup, Status> {
        self.setup.model_handles().get(model as usize).copied().ok_or(Status::Unknown)
    }

    pub(crate) fn infer(&mut self, memory: &[u8], model: u32, row: Bytes) -> Answer {
        let [row] = self.enter("infer", memory, [row])?;
        Ok(answer((|| {
            within(row, INFERENCE_BYTES_MAX)?;
            let known = self.model_handle(model)?;
            self.may("infer:**")?;
            if known.row().map(|form| 4 * form.input_len) != Some(row.len()) {
                return Err(Status::Invalid);
            }
            self.accept(&wanted(effect::INFER, model.into(), Some(row), true))
        })()))
    }

    pub(crate) fn infer_tensors(&mut self, memory: &[u8], model: u32, list: Bytes) -> Answer {
        let [list] = self.enter("infer_tensors", memory, [list])?;
        Ok(answer((|| {
            within(list, INFERENCE_BYTES_MAX)?;
            let known = self.model_handle(model)?;
            self.may("infer:**")?;
            within(list, known.request_bytes_max)?;
            self.accept(&wanted(effect::INFER_TENSORS, model.into(), Some(list), true))
        })()))
    }

    pub(crate) fn spawn(&mut self, memory: &[u8], template: Bytes, args: Bytes) -> Answer {
        let [template, args] = self.enter("spawn", memory, [template, args])?;
        Ok(answer((|| {
            within(args, ARGS_BYTES_MAX)?;
            let names = self.setup.templates.iter().map(|template| &template.name);
            let template = index_of(names, name(template)?)?;
            self.may("spawn:**")?;
            self.accept(&wanted(effect::SPAWN, template.into(), Some(args), true))
        })()))
    }

    pub(crate) fn schedule(&mut self, memory: &[u8], agent: u64, task: Bytes) -> Answer {
        let [task] = self.enter("schedule", memory, [task])?;
        Ok(answer((|| {
            within(task, PAYLOAD_BYTES_MAX)?;
            let parts = TaskParts::parse(task, self.setup.limits.dependencies_max);
            parts.ok_or(Status::Invalid)?;
            self.may("schedule")?;
            self.accept(&wanted(effect::SCHEDULE, agent, Some(task), true))
        })()))
    }

    /// Names the whole memory.
    pub(crate) fn save(&mut self, memory: &[u8]) -> Answer {
        let [_] = self.enter("save", memory, [(0, memory.len() as u32)])?;
        Ok(answer((|| {
            let template = &self.setup.templates[self.command.template as usize];
            template.restart.saves().ok_or(Status::Denied)?;
            self.accept(&wanted(effect::SAVE, 0, None, false))
        })()))
    }

    /// `terminate`, `pause` or `resume`.
    pub(crate) fn lifecycle(&mut self, call: &str, kind: u32, agent: u64) -> Answer {
        let [] = self.enter(call, &[], [])?;
        Ok(answer((|| {
            self.may("lifecycle")?;
            self.accept(&wanted(kind, agent, None, true))
        })()))
    }

    pub(crate) fn timer(&mut self, delay: i64, tag: u64) -> Answer {
        let [] = self.enter("timer", &[], [])?;
        Ok(answer((|| {
            if delay < 1 {
                return Err(Status::Invalid);
            }
            self.may("timer")?;
            let timer = wanted(effect::TIMER, delay as u64, None, true);
            self.accept(&WantedEffect { arg: tag, ..timer })
        })()))
    }

    pub(crate) fn log(&mut self, memory: &[u8], level: u32, text: Bytes) -> Answer {
        let [text] = self.enter("log", memory, [text])?;
        Ok(answer((|| {
            within(text, LOG_LINE_BYTES_MAX)?;
            self.may("log")?;
            self.accept(&wanted(effect::LOG, level.into(), Some(text), false)).map(|_| 0)
        })()))
    }

    pub(crate) fn topic(&mut self, memory: &[u8], bytes: Bytes) -> Answer {
        let [bytes] = self.enter("topic", memory, [bytes])?;
        Ok(answer((|| {
            let topic = index_of(self.setup.topics.iter().map(|topic| &topic.name), name(bytes)?)?;
            self.may("publish:**").or_else(|_| self.may("subscribe:**"))?;
            Ok(topic.into())
        })()))
    }

    /// A13.4: a name with several versions is a handle of its own.
    fn model_of_name(&self, name: &str) -> Result<u32, Status> {
        let models = &self.setup.models;
        let versioned = self.setup.versioned_names();
        match versioned.iter().position(|(versioned, _)| *versioned == name) {
            Some(at) => Ok((models.len() + at) as u32),
            None => {
                let named = |m: &ModelSetup| m.full_name() == name || m.name == name;
                models.iter().position(named).map(|at| at as u32).ok_or(Status::Unknown)
            }
        }
    }

    pub(crate) fn model(&mut self, memory: &[u8], bytes: Bytes) -> Answer {
        let [bytes] = self.enter("model", memory, [bytes])?;
        Ok(answer((|| {
            let model = self.model_of_name(name(bytes)?)?;
            self.may("infer:**")?;
            Ok(model.into())
        })()))
    }

    /// The next random number (A6).
    pub(crate) fn random(&mut self) -> Answer {
        let [] = self.enter("random", &[], [])?;
        self.may("random").map_err(|_| fault::MISUSE)?;
        let TurnCommand { key, tick, incarnation, microstep, .. } = self.command;
        let mut bytes = [key.to_le_bytes(), tick.to_le_bytes()].concat();
        for word in [incarnation, microstep, self.codes.len() as u32, self.draws] {
            bytes.extend(word.to_le_bytes());
        }
        self.draws += 1;
        Ok(xxh3_64_with_seed(&bytes, self.setup.seed) as i64)
    }

    /// What the turn did: a fault discards its effects and gives back its sequence numbers (A8).
    pub(crate) fn finish(mut self, ending: Result<(), Fault>) -> (TurnResult, Vec<Effect>) {
        let fault = ending.err().unwrap_or(fault::NONE);
        let faulted = fault != fault::NONE;
        if faulted {
            self.effects.clear();
            (self.seq, self.answers) = (self.command.seq, 0);
            (self.blocks, self.inference_blocks) = (0, 0);
        }
        let result = TurnResult {
            agent: self.command.agent,
            seq: self.seq,
            fuel: if faulted { self.fuel_budgets } else { self.fuel_used },
            digest: self.digest(fault),
            position: self.command.position,
            incarnation: self.command.incarnation,
            items: self.items,
            code: self.codes.iter().rfind(|code| **code != 0).copied().unwrap_or(0),
            fault,
            effects: self.effects.len() as u32,
            answers: self.answers,
            blocks: self.blocks + self.inference_blocks,
            item_bytes_max: self.item_bytes_max,
            step_code: if faulted { 0 } else { self.step_code },
        };
        (result, self.effects)
    }

    /// The turn digest (D2): xxh3-128 over what D2.1 lists.
    fn digest(&self, fault: Fault) -> Digest {
        let TurnCommand { microstep, incarnation, agent, .. } = self.command;
        let mut bytes = Vec::new();
        bytes.extend([microstep.to_le_bytes(), incarnation.to_le_bytes()].concat());
        bytes.extend(agent.to_le_bytes());
        bytes.extend(self.items.to_le_bytes());
        bytes.extend((self.codes.len() as u32).to_le_bytes());
        bytes.extend(self.received.to_le_bytes());
        bytes.extend((self.effects.len() as u32).to_le_bytes());
        bytes.extend(fault.to_le_bytes());
        bytes.extend(self.codes.iter().flat_map(|code| code.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        for effect in &self.effects {
            bytes.extend(&bytes_of(effect)[..Effect::LOGICAL_BYTES]);
        }
        Digest::new(xxh3_128(&bytes))
    }
}
