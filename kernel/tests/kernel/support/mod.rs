//! What the integration tests share: guest programs as wasm, and a kernel driven by hand.
//!
//! Agents are `fixtures/script.wat`, which executes the programs of [`wasm_engine_core_scripts`]. A
//! [`Rig`] drives a kernel over them and, beside it, the same scene without wasm: see [`Both`].
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use wasm_engine::{
    machine::Placing,
    machine::Threads,
    machine::{Kernel, Parts, TickError, TraceOptions},
};
use wasm_engine_abi::{AgentId, Tick, page::TraceEvent, record::TickClose};
use wasm_engine_core::{Core, OpenError};
use wasm_engine_core_scripts::{Guest, Machine, Recorder, Scene, Scripted, TickParts};
use wasm_engine_guest::{
    admission::{Admitted, ModuleLimits, admit},
    engine::{Footprint, MemoryLayout, MemoryProfile, engine_in},
};
use wasm_engine_log::keyframes::{AgentStates, Keyframe, KeyframeJob};

pub use wasm_engine_core_scripts::{ALL, Mix, Prog, drive, everything, prog};

pub mod example;
pub mod run;

/// Where commands that tests start keep compiled modules: nowhere in a home.
pub const CACHES: &str = env!("CARGO_TARGET_TMPDIR");

pub const SCRIPT: &str = include_str!("../fixtures/script.wat");

/// A kernel and the machine without wasm, driven tick by tick.
pub type Rig = wasm_engine_core_scripts::Rig<Both>;

/// The wasm of a fixture with a manifest that declares `capabilities`.
pub fn wasm(wat: &str, capabilities: &[&str]) -> Vec<u8> {
    let list: Vec<String> = capabilities.iter().map(|c| format!("'{c}'")).collect();
    manifest(wat, &format!("abi = 1\ncapabilities = [{}]", list.join(", ")))
}

/// The wasm of a fixture with `rest` in its manifest.
pub fn manifest(wat: &str, rest: &str) -> Vec<u8> {
    let manifest = format!("name = 'script'\nversion = '1.0.0'\n{rest}\n");
    let mut text = String::new();
    for byte in manifest.bytes() {
        let _ = write!(text, "\\{byte:02x}");
    }
    let at = wat.rfind(')').expect("a module ends");
    let text = format!("{} (@custom \"wasm_engine.manifest\" \"{text}\"))", &wat[..at]);
    wat::parse_str(text).expect("the fixture is well-formed")
}

fn admitted(wat: &str) -> Arc<Admitted> {
    let limits = ModuleLimits::default();
    Arc::new(admit("script", &wasm(wat, ALL), &limits).expect("the fixture is admitted"))
}

/// The module of a variant of the scripted agent; each is admitted once.
pub fn module(guest: Guest) -> Arc<Admitted> {
    static MODULES: Mutex<BTreeMap<Guest, Arc<Admitted>>> = Mutex::new(BTreeMap::new());
    let make = || {
        let mut wat = SCRIPT.to_owned();
        for (marker, value) in [("(; INBOX ;)", guest.inbox), ("(; CAP ;)", guest.capacity)] {
            let known = format!("(i32.const 16384) {marker}");
            assert!(wat.contains(&known), "the fixture has no {known}");
            wat = wat.replace(&known, &format!("(i32.const {value})"));
        }
        admitted(&wat)
    };
    let mut modules = MODULES.lock().expect("admission does not panic");
    Arc::clone(modules.entry(guest).or_insert_with(make))
}

/// A kernel that runs its agents as wasm, and a [`Scripted`] machine with the same scene. Both
/// execute every tick on the same facts; the tick must end in the same way, with the same digest,
/// the same messages, requests and lines for the outside.
#[derive(Debug)]
pub struct Both {
    pub kernel: Kernel,
    scripted: Scripted,
    recorder: Recorder,
}

impl Both {
    fn placed(scene: &Scene, workers: u32, placing: Placing, trace: TraceOptions) -> Self {
        let setup = scene.setup.clone();
        let modules: Vec<_> = scene.guests.iter().map(|guest| module(*guest)).collect();
        // No rule depends on how memories lie, who sleeps or how a trap is found: with workers,
        // whoever can sleeps, and no signal finds anything.
        let (awake_max, layout, footprint) = match workers {
            0 => {
                let awake_max = wasm_engine_setup::memory_defaults::AWAKE_MAX;
                (awake_max, MemoryLayout::Guarded, Footprint::WHOLE)
            }
            _ => (1, MemoryLayout::Dense, Footprint::NONE),
        };
        let layout = Some(layout);
        let profile = MemoryProfile::of(&setup, &modules, workers + 1, awake_max, layout);
        let engine = engine_in(profile, footprint).expect("the engine starts");
        let kernel = Kernel::new(Parts {
            setup: Arc::new(setup),
            modules: &modules,
            name: "test".to_owned(),
            engine,
            code_cache: None,
            threads: Threads::unpinned(workers),
            placing,
            trace,
            region_bytes_max: u64::MAX,
        })
        .expect("the kernel starts");
        let scripted = Scripted::start(scene, workers);
        Self { kernel, scripted, recorder: Recorder::default() }
    }

    /// Another kernel of so many workers that goes on where this one stands, in memory of its own.
    pub fn restored(&mut self, scene: &Scene, workers: u32) -> Self {
        let (mut job, mut states) = (KeyframeJob::default(), AgentStates::default());
        self.kernel.mark_changes();
        self.kernel.checkpoint(&mut job).expect("the machine works");
        states.complete(&mut job);
        let mut other = Self::start(scene, workers);
        let Keyframe { core, agents, .. } = &job.keyframe;
        other.kernel.restore(core, agents).expect("it was just copied");
        let beside = self.scripted.checkpoint();
        other.scripted = self.scripted.restored(&beside, workers).expect("it was just made");
        other
    }

    /// What the tick sent to the outside is the end of what `sink` has.
    fn same_outside(&self, sink: &Recorder) {
        let Recorder {
            outputs,
            requests,
            lines,
            refused,
            loads,
            unloads,
            providers,
            commands,
            tasks,
        } = &self.recorder;
        let changed = sink.providers.len().saturating_sub(providers.len());
        assert_eq!(sink.providers[changed..], providers[..]);
        assert_eq!(sink.tasks[sink.tasks.len().saturating_sub(tasks.len())..], tasks[..]);
        assert_eq!(sink.loads[sink.loads.len().saturating_sub(loads.len())..], loads[..]);
        // How many requests came before counts from the begin in one, from the tick in the other.
        let let_go = |all: &[(u32, usize)]| all.iter().map(|(m, _)| *m).collect::<Vec<_>>();
        let gone = sink.unloads.len().saturating_sub(unloads.len());
        assert_eq!(let_go(&sink.unloads[gone..]), let_go(unloads));
        let done = sink.commands.len().saturating_sub(commands.len());
        assert_eq!(sink.commands[done..], commands[..]);
        let (out, asked, logged) = (sink.outputs.len(), sink.requests.len(), sink.lines.len());
        assert_eq!(sink.outputs[out.saturating_sub(outputs.len())..], outputs[..]);
        assert_eq!(sink.requests[asked.saturating_sub(requests.len())..], requests[..]);
        assert_eq!(sink.lines[logged.saturating_sub(lines.len())..], lines[..]);
        assert_eq!(sink.refused[sink.refused.len().saturating_sub(refused.len())..], refused[..]);
    }
}

impl Machine for Both {
    const KNOWN_FUEL: &str = "1593d7701270e55f11824fd6bea99843";

    fn start(scene: &Scene, workers: u32) -> Self {
        Self::placed(scene, workers, Placing::Private, TraceOptions::default())
    }

    fn core(&self) -> &Core {
        self.kernel.core()
    }

    fn core_mut(&mut self) -> &mut Core {
        self.kernel.core_mut()
    }

    fn tick(&mut self, facts: &[u8], sink: &mut Recorder) -> Result<TickClose, OpenError> {
        self.recorder = Recorder::default();
        let scripted = self.scripted.tick(facts, &mut self.recorder);
        let wasm = match self.kernel.tick(facts, sink) {
            Ok(close) => Ok(close),
            Err(TickError::Open(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        };
        match (&wasm, scripted) {
            (Ok(wasm), Ok(scripted)) => {
                let turns = self.kernel.core().turn_digests();
                assert_eq!(turns, self.scripted.core().turn_digests(), "tick {}", wasm.tick);
                let scripted = TickClose { fuel: wasm.fuel, ..scripted };
                assert_eq!(*wasm, scripted, "the state digest or what the core did");
                self.same_outside(sink);
            }
            (wasm, scripted) => assert_eq!(wasm.as_ref().err(), scripted.err().as_ref()),
        }
        wasm
    }

    /// Those of the machine without wasm: the digest has both agree on what happened.
    fn events(&self) -> &[TraceEvent] {
        self.scripted.events()
    }

    fn states(&self) -> &[(Tick, Vec<AgentId>)] {
        self.scripted.states()
    }

    fn parts(&self) -> &TickParts {
        self.scripted.parts()
    }

    /// Instances that lanes hold.
    fn instances(&self) -> u64 {
        let (awake, asleep) = self.kernel.agents_held();
        let held = u64::from(awake) + u64::from(asleep);
        assert_eq!(held, self.scripted.instances());
        held
    }
}

/// A kernel that monitors can find under a name and whose trace they can follow.
pub fn announced(scene: &Scene, workers: u32, name: String, trace: TraceOptions) -> Rig {
    let mut both = Both::placed(scene, workers, Placing::Memfd(name), trace);
    both.kernel.announce().expect("the name is free");
    Rig::over(both)
}
