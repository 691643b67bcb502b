//! The code of a kernel's modules, from the cache or compiled.

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_guest::{
    LoadError, LoadedModule, admission::Admitted, code_cache::CodeCache, engine::Engine,
};
use wasm_engine_setup::Setup;

/// The code of every module, by the hash that templates name.
pub(super) fn load(
    setup: &Setup,
    modules: &[Arc<Admitted>],
    engine: &Engine,
    cache: Option<&CodeCache>,
) -> Result<BTreeMap<String, LoadedModule>, LoadError> {
    let mut loaded = BTreeMap::new();
    for (template, admitted) in setup.templates.iter().zip(modules) {
        if !loaded.contains_key(&template.module) {
            let module = LoadedModule::load(engine, admitted, cache)?;
            tracing::debug!("module {}: {}", admitted.manifest.name, module.origin);
            loaded.insert(template.module.clone(), module);
        }
    }
    Ok(loaded)
}
