//! What is known of a run from the outside, and what a crash leaves of its storage.

use wasm_engine_abi::{Tick, record::TickClose};
use wasm_engine_core_scripts::{Mix, Out};
use wasm_engine_log::storage::memory::{Memory, Operation};

use crate::{
    coverage::{Coverage, Point},
    world::mix,
};

/// A wrong disk or log, which the checks must find: so they are shown to see something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrongPart {
    /// Files are not synced.
    SkipSync,
    /// Names are not synced.
    SkipSyncDir,
    /// A tick is reported durable as soon as it is handed to the log. Only crashes show it.
    ReportEarly,
    /// The log gets a bit of a tick's facts otherwise than it was executed.
    OtherFacts,
}

impl WrongPart {
    fn ignored(self) -> Option<Operation> {
        match self {
            Self::SkipSync => Some(Operation::Sync),
            Self::SkipSyncDir => Some(Operation::SyncDir),
            Self::ReportEarly | Self::OtherFacts => None,
        }
    }
}

/// A tick as it was executed live.
#[derive(Clone, Debug)]
pub(crate) struct ExecutedTick {
    pub(crate) tick: Tick,
    pub(crate) facts: Vec<u8>,
    /// None of a tick that was not executed before its process ended.
    pub(crate) close: Option<(TickClose, Vec<Out>)>,
}

/// What is known of a run from the outside.
#[derive(Debug)]
pub(crate) struct SeedRun {
    pub(crate) seed: u64,
    pub(crate) mix: Mix,
    pub(crate) storage: Memory,
    pub(crate) history: Vec<ExecutedTick>,
    /// The last tick that was reported durable, by a log that syncs.
    pub(crate) durable: Option<Tick>,
    /// The last one that was reported to outlast the process.
    pub(crate) written: Option<Tick>,
    /// The process at work never syncs.
    pub(crate) never_syncs: bool,
    /// The machine ended under such a process: nothing is promised of what is found.
    pub(crate) unpromised: bool,
    /// What is met once the disk has failed.
    pub(crate) armed: Vec<Point>,
    pub(crate) met: Coverage,
    pub(crate) mutant: Option<WrongPart>,
}

impl SeedRun {
    pub(crate) fn new(seed: u64, mutant: Option<WrongPart>) -> Self {
        let run = Self {
            seed,
            mix: mix(seed, 0, 0),
            storage: Memory::new("run"),
            history: Vec::new(),
            durable: None,
            written: None,
            never_syncs: false,
            unpromised: false,
            armed: Vec::new(),
            met: Coverage::default(),
            mutant,
        };
        run.storage.ignore(mutant.and_then(WrongPart::ignored));
        run
    }

    /// Puts another storage in the place of this one.
    pub(crate) fn replace(&mut self, storage: Memory) {
        storage.ignore(self.mutant.and_then(WrongPart::ignored));
        self.storage = storage;
    }

    /// What the next process finds.
    pub(crate) fn crash(&mut self) {
        if self.mix.below(2) == 0 {
            self.met.hit(Point::CrashProcess);
            let found = self.storage.process_ended();
            return self.replace(found);
        }
        self.met.hit(Point::CrashMachine);
        if self.never_syncs {
            self.met.hit(Point::Unpromised);
            (self.durable, self.unpromised) = (None, true);
        }
        self.written = self.durable;
        let mix = &mut self.mix;
        let found = self.storage.crash_by(&mut |end| mix.below(end));
        let names = |storage: &Memory| storage.count();
        self.met.add(Point::NameLost, u64::from(names(&found) < names(&self.storage)));
        self.replace(found);
    }
}
