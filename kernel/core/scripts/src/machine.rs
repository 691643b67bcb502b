//! What a rig drives, and the machine without wasm.

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_abi::{
    AgentId, Digest, Tick,
    frame::{Effect, ItemFrame, Location, TurnResult, effect, fault, turn},
    page::TraceEvent,
    record::TickClose,
};
use wasm_engine_core::{CheckpointError, Core, Environment, OpenError, Results, TurnOutput};
use wasm_engine_setup::TraceLevel;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    payloads::PlainPayloads,
    recorder::Recorder,
    scene::{Guest, Scene},
    script::Script,
    turn::Turn,
};

/// A core and what runs its agents' turns.
pub trait Machine: Sized {
    /// The fuel chain at the end of the run of `d3_1_d4_1_d5_1_a_known_run_has_known_digests`.
    const KNOWN_FUEL: &str;
    /// The machine before tick 0. How many workers share the turns decides nothing (T4).
    fn start(scene: &Scene, workers: u32) -> Self;
    /// The state machine.
    fn core(&self) -> &Core;
    /// The state machine, to ask for its next tick.
    fn core_mut(&mut self) -> &mut Core;
    /// Executes one tick on a record of facts.
    ///
    /// # Errors
    /// Facts that cannot be those of the next tick.
    fn tick(&mut self, facts: &[u8], sink: &mut Recorder) -> Result<TickClose, OpenError>;
    /// Every event of the run so far, at the fullest level.
    fn events(&self) -> &[TraceEvent];
    /// Each tick with a state digest, and the agents in it.
    fn states(&self) -> &[(Tick, Vec<AgentId>)];
    /// What the last tick gave to its digest beside facts and events.
    fn parts(&self) -> &TickParts;
    /// Agents whose memory is held.
    fn instances(&self) -> u64;
}

/// What lanes give to the digest of a tick.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TickParts {
    /// Of each turn, in schedule order over all microsteps.
    pub turns: Vec<Digest>,
    /// Over the states, where it was due.
    pub state: Option<Digest>,
}

/// Events that a tick of a test may have.
const EVENTS_MAX: usize = 1 << 16;

/// Agents in Rust. Each of its lanes has an outbox of its own, and turns of one microstep are
/// executed lane by lane from the last to the first: order and place of work decide nothing.
#[derive(Debug)]
pub struct Scripted {
    core: Core,
    guests: Vec<Guest>,
    payloads: PlainPayloads,
    /// By slot.
    scripts: Vec<Option<Script>>,
    /// Save points, by slot.
    saved: BTreeMap<u32, Script>,
    events: Vec<TraceEvent>,
    states: Vec<(Tick, Vec<AgentId>)>,
    parts: TickParts,
}

/// Results of a microstep by place in the plan.
struct Done(Vec<(TurnResult, Vec<Effect>, u32)>);

impl Results for Done {
    fn turn(&self, position: usize) -> TurnOutput<'_> {
        let (result, effects, lane) = &self.0[position];
        TurnOutput { result, effects, lane: *lane }
    }
}

/// Payloads and sink, as the core wants them.
struct Around<'a> {
    payloads: &'a mut PlainPayloads,
    sink: &'a mut Recorder,
}

fn around<'a>(payloads: &'a mut PlainPayloads, sink: &'a mut Recorder) -> Around<'a> {
    Around { payloads, sink }
}

impl Environment for Around<'_> {
    type Payloads = PlainPayloads;
    type Sink = Recorder;

    fn payloads(&mut self) -> &mut PlainPayloads {
        self.payloads
    }

    fn sink(&mut self) -> &mut Recorder {
        self.sink
    }
}

impl Scripted {
    /// The state machine between two ticks as bytes (L8).
    pub fn checkpoint(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.core.checkpoint(&mut self.payloads, &mut bytes);
        bytes
    }

    /// Another machine of so many workers that goes on from `bytes`; its agents are these.
    ///
    /// # Errors
    /// The bytes are not a checkpoint of this run.
    pub fn restored(&self, bytes: &[u8], workers: u32) -> Result<Self, CheckpointError> {
        let mut payloads = PlainPayloads::new(workers + 1);
        let mut core = Core::restore(Arc::clone(self.core.setup()), bytes, &mut payloads)?;
        core.set_trace(TraceLevel::Full, EVENTS_MAX);
        Ok(Self {
            core,
            guests: self.guests.clone(),
            payloads,
            scripts: self.scripts.clone(),
            saved: self.saved.clone(),
            events: self.events.clone(),
            states: self.states.clone(),
            parts: TickParts::default(),
        })
    }

    fn lane(&self, slot: u32) -> u32 {
        slot % self.payloads.lanes.len() as u32
    }

    /// Executes the plan.
    fn step(&mut self) -> Done {
        let epoch = self.core.epoch();
        self.payloads.lanes.iter_mut().for_each(|lane| lane.begin(epoch));
        let planned = self.core.planned();
        let mut order: Vec<usize> = (0..planned).collect();
        order.sort_by_key(|at| std::cmp::Reverse(self.lane(self.core.planned_agent(*at))));
        let mut done: Vec<_> = (0..planned).map(|_| None).collect();
        for position in order {
            done[position] = Some(self.turn(position, epoch));
        }
        Done(done.into_iter().map(|turn| turn.expect("all were executed")).collect())
    }

    fn turn(&mut self, position: usize, epoch: u64) -> (TurnResult, Vec<Effect>, u32) {
        let mut frames = Vec::new();
        let (command, args) = self.core.turn(position, &mut frames);
        assert_eq!((command.items as usize, command.args_len as usize), (frames.len(), args.len()));
        let payload = |frame: &ItemFrame| {
            if frame.header.len == 0 {
                return Vec::new();
            }
            let stays = frame.location.area == Location::SPILL;
            assert!(stays || frame.epoch + 1 == epoch, "{frame:?} is read in epoch {epoch}");
            self.payloads.at(frame.location, frame.epoch).to_vec()
        };
        let payloads: Vec<_> = frames.iter().map(payload).collect();
        let slot = AgentId::from_bits(command.agent).index();
        let lane = self.lane(slot);
        if self.scripts.len() <= slot as usize {
            self.scripts.resize_with(slot as usize + 1, || None);
        }
        let present = &mut self.scripts[slot as usize];
        let outbox = &mut self.payloads.lanes[lane as usize];
        let mut turn = Turn::new(self.core.setup(), command, outbox);
        if command.kind == turn::INIT {
            *present = Some(Script::new(command.incarnation));
        }
        let script = present.as_mut().expect("a turn has an instance");
        assert_eq!(script.incarnation, command.incarnation, "another incarnation lives here");
        let ending = match command.kind {
            turn::INIT => script.init(&mut turn, self.guests[command.template as usize], args),
            turn::STEP => {
                let payloads = payloads.iter().map(Vec::as_slice);
                script.step(&mut turn, frames.iter().zip(payloads))
            }
            turn::SHUTDOWN => script.shutdown(&mut turn),
            kind => unreachable!("the core plans no turn of kind {kind}"),
        };
        let (result, effects) = turn.finish(ending);
        if result.fault != fault::NONE || command.kind == turn::SHUTDOWN {
            *present = None;
        } else if command.save != 0 || effects.iter().any(|e| e.kind == effect::SAVE) {
            self.saved.insert(slot, script.clone());
        }
        (result, effects, lane)
    }

    /// Behind an open: who begins again with a save point has its state.
    fn go_back(&mut self) {
        let mut agents = Vec::new();
        self.core.drain_restored(&mut agents);
        for agent in agents {
            let (_, incarnation) = self.core.incarnation(agent.index()).expect("it lives");
            let mut script = self.saved[&agent.index()].clone();
            script.incarnation = incarnation;
            self.scripts[agent.index() as usize] = Some(script);
        }
    }

    /// Behind an open and a commit.
    fn forget(&mut self) {
        let mut agents = Vec::new();
        self.core.drain_forgotten(&mut agents);
        for agent in agents {
            self.saved.remove(&agent.index()).expect("it had a save point");
        }
    }

    /// Digest over the states of those who took a turn (D5).
    fn state_digest(&mut self) -> Digest {
        let mut agents = Vec::new();
        self.core.state_agents(&mut agents);
        let mut bytes = Vec::new();
        for agent in &agents {
            let script = self.scripts[agent.index() as usize].as_ref();
            bytes.extend(agent.to_bits().to_le_bytes());
            bytes.extend(script.map_or(Digest::default(), Script::digest).to_bytes());
        }
        self.states.push((self.core.tick(), agents));
        Digest::new(xxh3_128(&bytes))
    }
}

impl Machine for Scripted {
    const KNOWN_FUEL: &str = "b862e6b37841b420dda12f7cc193cce0";

    fn start(scene: &Scene, workers: u32) -> Self {
        let mut core = Core::new(Arc::new(scene.setup.clone()));
        core.set_trace(TraceLevel::Full, EVENTS_MAX);
        Self {
            core,
            guests: scene.guests.clone(),
            payloads: PlainPayloads::new(workers + 1),
            scripts: Vec::new(),
            saved: BTreeMap::new(),
            events: Vec::new(),
            states: Vec::new(),
            parts: TickParts::default(),
        }
    }

    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn tick(&mut self, facts: &[u8], sink: &mut Recorder) -> Result<TickClose, OpenError> {
        self.core.open(facts, &mut around(&mut self.payloads, sink))?;
        self.parts = TickParts::default();
        self.go_back();
        self.forget();
        while self.core.plan(&mut around(&mut self.payloads, sink)) > 0 {
            let done = self.step();
            self.parts.turns.extend(done.0.iter().map(|(result, ..)| result.digest));
            self.core.commit(&done, &mut around(&mut self.payloads, sink));
            let mut stopped = Vec::new();
            self.core.drain_group_stopped(&mut stopped);
            for agent in stopped {
                self.scripts[agent.index() as usize] = None;
            }
            self.forget();
        }
        let state = self.core.state_due().then(|| self.state_digest());
        self.parts.state = state;
        let close = self.core.close(state, &mut around(&mut self.payloads, sink));
        let (lost, events) = self.core.drain_trace();
        assert_eq!(lost, 0, "a tick has more than {EVENTS_MAX} events");
        self.events.extend(events);
        Ok(close)
    }

    fn events(&self) -> &[TraceEvent] {
        &self.events
    }

    fn states(&self) -> &[(Tick, Vec<AgentId>)] {
        &self.states
    }

    fn parts(&self) -> &TickParts {
        &self.parts
    }

    fn instances(&self) -> u64 {
        self.scripts.iter().flatten().count() as u64
    }
}
