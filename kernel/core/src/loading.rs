//! Models come and go: loads, their outcomes, and who makes room (SEMANTICS A13, I3).

use wasm_engine_abi::{calls::Status, record::LoadFact};
use wasm_engine_setup::{LoadOn, ModelSetup};

use crate::{
    environment::{Environment, Sink},
    models::{Load, ModelEntry, ModelPresence},
    state::Core,
    tick_digest::event,
};

impl Core {
    /// Whether a request to `model` is accepted; if it is not loaded and a request loads it, its
    /// load begins.
    #[inline]
    pub(crate) fn ask_model(&mut self, model: u32, env: &mut impl Environment) -> Status {
        match self.models.all[model as usize].presence {
            ModelPresence::Loaded => {
                self.models.used(model);
                Status::Ok
            }
            ModelPresence::Loading | ModelPresence::Dismissed => Status::NotLoaded,
            ModelPresence::Absent => match self.setup.models[model as usize].load {
                LoadOn::Command => Status::NotLoaded,
                LoadOn::Start | LoadOn::Request => match self.begin_load(model, env) {
                    Status::Ok => Status::NotLoaded,
                    refused => refused,
                },
            },
        }
    }

    /// Begins to load a model that is not there, and makes room for it; without enough room
    /// nothing is unloaded.
    fn begin_load(&mut self, model: u32, env: &mut impl Environment) -> Status {
        let Some(in_the_way) = self.in_the_way_of(model) else { return Status::KernelFull };
        for other in in_the_way {
            self.unload(other, ModelPresence::Absent, env);
            self.models.all[other as usize].counts.evictions += 1;
            self.stats.model_evictions += 1;
        }
        let load = Load {
            number: self.models.next_load,
            model,
            due: self.tick.saturating_add(self.setup.models[model as usize].load_ticks),
        };
        self.models.next_load += 1;
        self.models.loads.push_back(load);
        let entry = &mut self.models.all[model as usize];
        entry.presence = ModelPresence::Loading;
        entry.counts.loads += 1;
        self.stats.model_loads += 1;
        self.chain.event(event::MODEL_LOADING, model.into(), load.due);
        env.sink().load_model(&load);
        Status::Ok
    }

    /// The models that have to go for `model` to have room, those asked longest ago; none if all
    /// that may go would not suffice (I3.8).
    fn in_the_way_of(&self, model: u32) -> Option<Vec<u32>> {
        let max = self.setup.limits.models_bytes_max;
        if max == 0 {
            return Some(Vec::new());
        }
        let setups = &self.setup.models;
        let bytes = |index: u32| setups[index as usize].memory_bytes;
        let there = |entry: &ModelEntry| {
            matches!(entry.presence, ModelPresence::Loaded | ModelPresence::Loading)
        };
        let held = (0..).zip(&self.models.all).filter(|(_, entry)| there(entry));
        let mut left = bytes(model) + held.map(|(index, _)| bytes(index)).sum::<u64>();
        let removable = |(index, entry): &(u32, &ModelEntry)| {
            entry.presence == ModelPresence::Loaded && !setups[*index as usize].pinned
        };
        let mut removable: Vec<_> = (0..).zip(&self.models.all).filter(removable).collect();
        removable.sort_unstable_by_key(|(index, entry)| (entry.used, *index));
        let mut gone = Vec::new();
        for (index, _) in removable {
            if left <= max {
                break;
            }
            left -= bytes(index);
            gone.push(index);
        }
        (left <= max).then_some(gone)
    }

    fn unload(&mut self, model: u32, presence: ModelPresence, env: &mut impl Environment) {
        let entry = &mut self.models.all[model as usize];
        entry.presence = presence;
        entry.counts.unloads += 1;
        self.stats.model_unloads += 1;
        self.chain.event(event::MODEL_UNLOADED, model.into(), 0);
        env.sink().unload_model(model);
    }

    /// Applies the outcome of the next load that is due; false if it is not that of this fact.
    pub(crate) fn loaded(&mut self, fact: LoadFact) -> bool {
        let Some(load) = self.models.first_due(self.tick) else { return false };
        if (load.number, load.model) != (fact.load, fact.model) {
            return false;
        }
        self.models.loads.retain(|other| other.number != load.number);
        let failed = fact.code != Status::Ok as i32;
        let entry = &mut self.models.all[load.model as usize];
        entry.presence = if failed { ModelPresence::Absent } else { ModelPresence::Loaded };
        entry.counts.loads_failed += u64::from(failed);
        self.stats.model_loads_failed += u64::from(failed);
        self.models.used(load.model);
        let status = u64::from(fact.code.unsigned_abs());
        self.chain.event(event::MODEL_LOADED, load.model.into(), status);
        true
    }

    /// A load that is due and was not among the facts.
    pub(crate) fn load_missing(&self) -> Option<Load> {
        self.models.first_due(self.tick)
    }

    /// The host wants this model loaded.
    pub(crate) fn load_on_command(&mut self, model: u32, env: &mut impl Environment) -> Status {
        match self.models.all[model as usize].presence {
            ModelPresence::Loaded | ModelPresence::Loading => Status::Already,
            ModelPresence::Absent | ModelPresence::Dismissed => self.begin_load(model, env),
        }
    }

    /// The host wants this model gone: requests that were accepted are still answered, no request
    /// loads it again.
    pub(crate) fn unload_on_command(&mut self, model: u32, env: &mut impl Environment) -> Status {
        match self.models.all[model as usize].presence {
            ModelPresence::Loading => Status::Busy,
            ModelPresence::Dismissed => Status::Already,
            ModelPresence::Absent => {
                self.models.all[model as usize].presence = ModelPresence::Dismissed;
                Status::Ok
            }
            ModelPresence::Loaded => {
                self.unload(model, ModelPresence::Dismissed, env);
                Status::Ok
            }
        }
    }

    /// The host wants the name of this model to mean this version of it.
    pub(crate) fn swap_model(&mut self, model: u32) -> Status {
        if !self.models.is_loaded(model) {
            return Status::NotLoaded;
        }
        let names = self.setup.versioned_names();
        let Some(name) = names.iter().position(|(_, versions)| versions.contains(&model)) else {
            return Status::Invalid;
        };
        let now = self.models.meaning[name];
        if now == model {
            return Status::Already;
        }
        if !alike(&self.setup.models[now as usize], &self.setup.models[model as usize]) {
            return Status::Mismatch;
        }
        self.models.meaning[name] = model;
        self.chain.event(event::MODEL_SWAPPED, model.into(), 0);
        Status::Ok
    }
}

/// Whether whoever asks one of them can ask the other: their ports have the same numbers, names and
/// tensors, and their requests and replies are as long.
fn alike(one: &ModelSetup, other: &ModelSetup) -> bool {
    let terms = |model: &ModelSetup| (model.request_bytes_max, model.reply_bytes_max);
    one.inputs == other.inputs && one.outputs == other.outputs && terms(one) == terms(other)
}
