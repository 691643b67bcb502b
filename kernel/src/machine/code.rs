//! The code of a kernel's modules, from the cache or compiled.

use std::{collections::BTreeMap, sync::Arc};

use wasm_engine_guest::{
    LoadError, LoadedModule, admission::Admitted, code_cache::CodeCache, engine::Engine,
};
use wasm_engine_setup::Setup;

/// Stack of the thread that compiles: the compiler goes as deep as a module's blocks.
const STACK_BYTES: usize = 8 << 20;

/// The code of every module, by the hash that templates name. Without `helpers` it is compiled on a
/// thread that ends with this: the caller's may have a small stack, and no pool is to stay.
pub(super) fn load(
    setup: &Setup,
    modules: &[Arc<Admitted>],
    engine: &Engine,
    cache: Option<&CodeCache>,
    helpers: bool,
) -> Result<BTreeMap<String, LoadedModule>, LoadError> {
    if helpers {
        return load_here(setup, modules, engine, cache);
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("we-compile".to_owned());
        let compile = || load_here(setup, modules, engine, cache);
        let thread = builder.stack_size(STACK_BYTES).spawn_scoped(scope, compile);
        match thread.map_err(LoadError::Thread)?.join() {
            Ok(loaded) => loaded,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn load_here(
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
