//! The kernel of a log: its modules admitted again, its engine started.

use std::{path::Path, sync::Arc};

use wasm_engine_guest::engine::{self, MemoryProfile};
use wasm_engine_log::{
    LogReport,
    run_header::{RunHeader, RunHeaderError},
};
use wasm_engine_setup::memory_defaults;

use super::{admit::admit_modules, error::ReplayError};
use crate::{
    code_cache::open_cache,
    machine::{Kernel, KernelError, Parts, Placing, Threads, TraceOptions},
    report::Divergence,
};

/// A kernel for the log of this header, before its first tick; or the divergence that its modules
/// are before any tick.
pub(crate) fn load_kernel(
    header: &RunHeader,
    log: &LogReport,
    workers: u32,
    code_cache: Option<&Path>,
) -> Result<Result<Kernel, Divergence>, ReplayError> {
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
    let here = engine::fingerprint(&engine);
    if here != header.engine {
        let (logged, here) = (header.engine.to_string(), here.to_string());
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
        Ok(kernel) => Ok(Ok(kernel)),
        // The run could load what it logged, so the record was changed after it.
        Err(KernelError::Load(error)) => diverged(error.to_string()),
        Err(error) => Err(error.into()),
    }
}
