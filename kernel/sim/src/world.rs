//! What comes from outside: inputs, commands and replies of a tick, by the seed.

use std::collections::BTreeMap;

use wasm_engine_abi::{
    Tick,
    calls::Status,
    record::{CommandFact, FactFields, Facts, InputFact, LoadFact, ReplyFact},
};
use wasm_engine_core::{Core, FactsBuilder};
use wasm_engine_core_scripts::{
    CMD, Mix, OUT, Prog, Recorder, Rig, Scene, Scripted, everything, prog, random_budget,
    random_command, random_program,
};
use wasm_engine_setup::Schedule;

use crate::coverage::{Coverage, Point};

/// Agents of a run at its begin.
pub(crate) const AGENTS: u32 = 6;

/// A number of its own for each purpose of a seed.
pub(crate) fn mix(seed: u64, purpose: u64, number: u64) -> Mix {
    let mut mix = Mix(seed);
    let salt = mix.number() ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F);
    let salt = salt ^ number.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    Mix(Mix(salt).number())
}

/// Who takes part in the run of a seed.
pub(crate) fn scene(seed: u64) -> Scene {
    let schedules = [Schedule::Fifo, Schedule::RoundRobin, Schedule::Priority];
    let mut scene = everything(seed, schedules[seed as usize % 3]);
    scene.setup.agents.truncate(AGENTS as usize);
    scene
}

/// The tick after the last: the next one that is named, or one some way on where nothing is.
pub(crate) fn next_tick(rig: &mut Rig<Scripted>) -> Tick {
    let next = rig.next_tick();
    let last = rig.closes.last().map(|close| close.tick);
    last.map_or(0, |last| next.unwrap_or(last + 3).max(last + 1))
}

/// Sources and models, as they stand behind the last tick.
#[derive(Debug)]
pub(crate) struct World {
    seed: u64,
    /// Live inputs are others in each life of the process.
    life: u64,
    inputs: BTreeMap<u64, u64>,
    commands: u64,
    facts: FactsBuilder,
}

impl World {
    pub(crate) fn new(seed: u64, life: u64) -> Self {
        let facts = FactsBuilder::default();
        Self { seed, life, inputs: BTreeMap::new(), commands: 0, facts }
    }

    /// Whether the inputs of a seed are live ones.
    pub(crate) fn is_live(seed: u64) -> bool {
        seed % 4 == 3
    }

    /// Sequences go on behind these facts.
    pub(crate) fn pass(&mut self, facts: &[u8]) {
        let facts = Facts::parse(facts).expect("the core took them");
        for fact in facts.iter().filter_map(|fact| fact.header.fields()) {
            match fact {
                FactFields::Input(input) => drop(self.inputs.insert(input.source, input.seq + 1)),
                FactFields::Command(command) => self.commands = command.seq + 1,
                _ => {}
            }
        }
    }

    /// The facts of `tick`, in the order of T3.2.
    pub(crate) fn facts(
        &mut self,
        tick: Tick,
        core: &Core,
        sink: &Recorder,
        met: &mut Coverage,
    ) -> Vec<u8> {
        let live = if Self::is_live(self.seed) { self.life } else { 0 };
        let mut mix = mix(self.seed, 1 + live, tick);
        self.facts.begin(tick);
        let mut loads = Vec::new();
        core.loads_due(tick, &mut loads);
        for load in &loads {
            let code = if mix.below(4) == 0 { Status::ModelFailed } else { Status::Ok } as i32;
            self.facts.push(LoadFact { load: load.number, model: load.model, code }, b"");
        }
        if tick > 0 && mix.below(3) == 0 {
            let (action, subject, args) = random_command(&mut mix, AGENTS, self.commands);
            self.facts.push(CommandFact { seq: self.commands, action, subject }, &args);
        }
        self.replies(tick, core, sink, &mut mix, met);
        if tick > 0 {
            let first = self.inputs.get(&0).copied().unwrap_or(0);
            for seq in first..first + mix.below(5) {
                let program = program(&mut mix, met);
                let topic = CMD + mix.below(u64::from(AGENTS)) as u32;
                self.facts.push(InputFact { source: 0, seq, topic }, program.bytes());
            }
            if let Some(budget) = random_budget(&mut mix) {
                self.facts.push(budget, b"");
            }
        }
        self.facts.finish().to_vec()
    }

    fn replies(
        &mut self,
        tick: Tick,
        core: &Core,
        sink: &Recorder,
        mix: &mut Mix,
        met: &mut Coverage,
    ) {
        let mut due = Vec::new();
        core.requests_due(tick, &mut due);
        for request in &due {
            let asked = sink.requests.iter().find(|(asked, _)| asked.number == request.number);
            let mut row = asked.map(|(_, row)| row.clone()).unwrap_or_default();
            row.reverse();
            let fails = mix.below(4) == 0;
            let code = if fails { Status::ModelFailed as i32 } else { 0 };
            met.add(Point::ModelFails, u64::from(fails));
            let (agent, model) = (request.agent, request.model);
            let fact = ReplyFact { agent, request: request.seq, model, code };
            self.facts.push(fact, if fails { b"" } else { &row });
        }
    }
}

/// One of the programs that the rules are tested with, or a fault.
fn program(mix: &mut Mix, met: &mut Coverage) -> Prog {
    match mix.below(40) {
        0 => prog().publish(OUT, b"lost").forever(),
        1 => prog().recurse(),
        2 => {
            met.hit(Point::AgentMemory);
            prog().grow().count(OUT)
        }
        _ => random_program(mix, AGENTS),
    }
}
