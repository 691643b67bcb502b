//! Which models are loaded and what their names mean (SEMANTICS A13); how that changes is in
//! `loading.rs`.
//!
//! ```text
//! absent --load begins--> loading --outcome, due after load_ticks--> loaded
//!   ^                        |failed                                    |
//!   '------------------------+--------- unloaded, or room made ---------'
//! ```
//! A load takes a number of ticks that the configuration says, as a request does: so what agents
//! see does not depend on how fast the machine loads.

use std::collections::VecDeque;

use wasm_engine_abi::{Tick, calls::Status};
use wasm_engine_setup::{LoadOn, ModelSetup, Setup};

use crate::codec::{CheckpointError, Coded, Reader, coded, damaged, ensure};

/// A load whose outcome is outstanding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Number over the run, in the order in which loads begin.
    pub number: u64,
    /// The model.
    pub model: u32,
    /// Tick at whose open the outcome is applied.
    pub due: Tick,
}

coded!(Load { number, model, due });

/// Where a model stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ModelPresence {
    #[default]
    Absent,
    /// Unloaded by a command: no request loads it.
    Dismissed,
    Loading,
    Loaded,
}

impl Coded for ModelPresence {
    fn put(&self, into: &mut Vec<u8>) {
        let code: u8 = match self {
            Self::Absent => 0,
            Self::Dismissed => 1,
            Self::Loading => 2,
            Self::Loaded => 3,
        };
        code.put(into);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CheckpointError> {
        Ok(match u8::take(from)? {
            0 => Self::Absent,
            1 => Self::Dismissed,
            2 => Self::Loading,
            3 => Self::Loaded,
            _ => return Err(damaged("a model stands nowhere")),
        })
    }
}

/// What happened to a model so far; equal in every execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModelCounts {
    /// Requests accepted.
    pub requests: u64,
    /// Requests refused at commit: it was not loaded, or a limit was reached.
    pub refused: u64,
    /// Those of them that were refused because it was not loaded.
    pub not_loaded: u64,
    /// Loads that began during the run.
    pub loads: u64,
    /// Those of them that failed.
    pub loads_failed: u64,
    /// Times it was unloaded, by a command or to make room.
    pub unloads: u64,
    /// Times it was unloaded to make room for another.
    pub evictions: u64,
}

coded!(ModelCounts { requests, refused, not_loaded, loads, loads_failed, unloads, evictions });

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ModelEntry {
    pub(crate) presence: ModelPresence,
    pub(crate) counts: ModelCounts,
    /// Requests and loads over the run when it was last asked or loaded.
    pub(crate) used: u64,
}

coded!(ModelEntry { presence, counts, used });

/// The models of a run.
#[derive(Debug)]
pub(crate) struct Models {
    pub(crate) all: Vec<ModelEntry>,
    /// What a name with several versions means, by its handle less the number of models.
    pub(crate) meaning: Vec<u32>,
    /// In the order of their numbers.
    pub(crate) loads: VecDeque<Load>,
    pub(crate) next_load: u64,
    /// Grows with each request and load.
    uses: u64,
}

coded!(Models { all, meaning, loads, next_load, uses });

impl Models {
    /// Those that are loaded before tick 0 are there; names mean the highest version.
    pub(crate) fn new(setup: &Setup) -> Self {
        let entry = |model: &ModelSetup| ModelEntry {
            presence: match model.load {
                LoadOn::Start => ModelPresence::Loaded,
                LoadOn::Request | LoadOn::Command => ModelPresence::Absent,
            },
            ..ModelEntry::default()
        };
        let names = setup.versioned_names().into_iter();
        Self {
            all: setup.models.iter().map(entry).collect(),
            meaning: names.filter_map(|(_, versions)| versions.last().copied()).collect(),
            loads: VecDeque::new(),
            next_load: 0,
            uses: 0,
        }
    }

    /// Whether they can be those of this setup.
    pub(crate) fn check(&self, setup: &Setup) -> Result<(), CheckpointError> {
        let Self { all, meaning, loads, next_load, uses: _ } = self;
        let models = setup.models.len();
        let known = |model: &u32| (*model as usize) < models;
        let names = setup.versioned_names().len();
        ensure(all.len() == models && meaning.len() == names, "it has other models")?;
        ensure(meaning.iter().all(known), "a name means no model")?;
        let fits = |load: &Load| known(&load.model) && load.number < *next_load;
        let in_order = loads.iter().is_sorted_by_key(|load| load.number);
        ensure(in_order && loads.iter().all(fits), "a load is of no model or out of order")
    }

    /// Handles by which models are asked.
    pub(crate) fn handles(&self) -> usize {
        self.all.len() + self.meaning.len()
    }

    /// The model that a handle means now.
    #[inline]
    pub(crate) fn of_handle(&self, handle: u32) -> u32 {
        match (handle as usize).checked_sub(self.all.len()) {
            None => handle,
            Some(name) => self.meaning[name],
        }
    }

    /// The earliest tick with an outcome due.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.loads.iter().map(|load| load.due).min()
    }

    /// The first load in their order whose outcome is due.
    pub(crate) fn first_due(&self, tick: Tick) -> Option<Load> {
        self.loads.iter().copied().find(|load| load.due <= tick)
    }

    pub(crate) fn outstanding(&self) -> impl Iterator<Item = Load> + '_ {
        self.loads.iter().copied()
    }

    pub(crate) fn is_loaded(&self, model: u32) -> bool {
        self.all[model as usize].presence == ModelPresence::Loaded
    }

    pub(crate) fn counts(&self, model: u32) -> ModelCounts {
        self.all[model as usize].counts
    }

    /// Counts a request that was accepted, or was not.
    pub(crate) fn count_request(&mut self, model: u32, status: Status) {
        let counts = &mut self.all[model as usize].counts;
        let accepted = status == Status::Ok;
        counts.requests += u64::from(accepted);
        counts.refused += u64::from(!accepted);
        counts.not_loaded += u64::from(status == Status::NotLoaded);
    }

    /// Marks a use of the model.
    pub(crate) fn used(&mut self, model: u32) {
        self.uses += 1;
        self.all[model as usize].used = self.uses;
    }
}
