//! The kernel of a log: its modules admitted again, its engine started.

use std::{path::Path, sync::Arc};

use wasm_engine_guest::engine::{self, MemoryProfile};
use wasm_engine_log::{
    LogReport,
    run_header::{RunHeader, RunHeaderError},
};
use wasm_engine_setup::{EngineFingerprint, memory_defaults};

use super::{admit::admit_modules, error::ReplayError};
use crate::{
    code_cache::open_cache,
    machine::{Kernel, KernelError, Parts, Placing, Threads, TraceOptions},
    report::{Divergence, EngineDifference},
};

/// A kernel for a log, before its first tick.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) kernel: Kernel,
    /// The log's engine, if it is not this one: its fuel says nothing then.
    pub(crate) other_engine: Option<EngineDifference>,
}

/// A kernel for the log of this header; or the divergence that its modules are before any tick.
/// Another engine than the log's has to be allowed.
pub(crate) fn load_kernel(
    header: &RunHeader,
    log: &LogReport,
    workers: u32,
    code_cache: Option<&Path>,
    other_engine_allowed: bool,
) -> Result<Result<Loaded, Divergence>, ReplayError> {
    let diverged = |what| Ok(Err(Divergence { tick: 0, agent: None, message: None, what }));
    let setup = Arc::new(header.run.setup.clone());
    let modules = match admit_modules(header) {
        Ok(modules) => modules,
        Err(mismatch) => return diverged(mismatch.to_string()),
    };
    match header.check(log) {
        Err(RunHeaderError::Changed { what }) => return diverged(what),
        checked => checked?,
    }
    let (lanes, awake_max) = (workers + 1, memory_defaults::AWAKE_MAX);
    let profile = MemoryProfile::of(&setup, &modules, lanes, awake_max, None);
    let engine = engine::deterministic_engine(profile)?;
    let other_engine = other_engine(&header.engine, &engine::fingerprint(&engine));
    if let (Some(EngineDifference { logged, here }), false) = (&other_engine, other_engine_allowed)
    {
        let (logged, here) = (logged.clone(), here.clone());
        return Err(ReplayError::Engine { logged, here });
    }
    let code_cache = open_cache(code_cache);
    let built = Kernel::new(Parts {
        setup,
        modules: &modules,
        name: header.run.name.clone(),
        engine,
        code_cache: code_cache.as_ref(),
        threads: Threads::unpinned(workers),
        placing: Placing::Private,
        trace: TraceOptions::default(),
        region_bytes_max: u64::MAX,
    });
    match built {
        Ok(kernel) => Ok(Ok(Loaded { kernel, other_engine })),
        // The run could load what it logged, so the record was changed after it.
        Err(KernelError::Load(error)) => diverged(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

fn other_engine(logged: &EngineFingerprint, here: &EngineFingerprint) -> Option<EngineDifference> {
    let differs = || EngineDifference { logged: logged.to_string(), here: here.to_string() };
    (logged != here).then(differs)
}
