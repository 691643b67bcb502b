//! Inputs of live sources that a log says are lost: sequences that it passes over.

use std::collections::BTreeMap;

use wasm_engine_abi::record::{FactFields, Facts};
use wasm_engine_setup::Setup;

use crate::sources::live::LiveStand;

/// What a replay has seen of each source's sequences.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    sources: BTreeMap<u64, LiveStand>,
}

impl Gaps {
    /// As they are where live sources stand so.
    pub(crate) fn at(live: &[LiveStand]) -> Self {
        Self { sources: live.iter().map(|stand| (stand.source, *stand)).collect() }
    }

    /// Notes the inputs among the facts of a tick, which the core has admitted.
    pub(crate) fn note(&mut self, facts: &[u8]) {
        let Ok(facts) = Facts::parse(facts) else { return };
        for fact in facts.iter() {
            if let Some(FactFields::Input(input)) = fact.header.fields() {
                let new = || LiveStand::new(input.source);
                self.sources.entry(input.source).or_insert_with(new).enter(input.seq);
            }
        }
    }

    /// Those of live sources, by id; what files give has no gap.
    pub(crate) fn by_source(&self, setup: &Setup) -> BTreeMap<String, u64> {
        let live = (0..).zip(&setup.sources).filter(|(_, source)| source.live);
        let gaps = live.filter_map(|(number, source)| {
            let gap = self.sources.get(&number)?.gap;
            (gap > 0).then(|| (source.id.clone(), gap))
        });
        gaps.collect()
    }
}
