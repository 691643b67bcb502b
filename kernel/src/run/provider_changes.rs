//! Models that another provider computes than before (SEMANTICS I5.5).

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_abi::record::ProviderFact;
use wasm_engine_core::{FactsBuilder, Request};

use crate::run::sinks::Sinks;

/// Adds a fact for each model of whose replies, those to `due`, another provider computed one than
/// the last ones, in the order of the models.
pub(crate) fn gather(due: &[Request], sinks: &mut Sinks, facts: &mut FactsBuilder) {
    let Sinks { inference, providers, .. } = sinks;
    let Some(inference) = inference else { return };
    let mut changes = BTreeMap::new();
    for request in due {
        let Some(used) = inference.providers_of(request.number) else { continue };
        let last = &mut providers[request.model as usize];
        if Arc::ptr_eq(last, used) {
            continue;
        }
        if last == used {
            // The same words, said again.
            last.clone_from(used);
        } else {
            changes.insert(request.model, Arc::clone(used));
        }
    }
    for (model, used) in changes {
        let Ok(text) = serde_json::to_vec(&*used) else {
            unreachable!("names and texts are always JSON")
        };
        facts.push(ProviderFact { model }, &text);
    }
}
