//! What all lanes share, built once when a run is loaded: code, rights, names, budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasm_engine_abi::calls::INITIALIZE;
use wasm_engine_abi::limits::{BLOCK_BYTES, blocks};
use wasm_engine_setup::{Setup, Template};
use wasmtime::{InstancePre, Module, ModuleExport};

use crate::admission::{Admitted, DEPTH_EXPORT, STATE_GLOBAL_PREFIX};
use crate::code_cache::{CodeCache, Origin};
use crate::engine::Engine;
use crate::fault::FaultBook;
use crate::host_calls;
use crate::rights::{Rights, RightsError};
use crate::symbols::Symbols;
use crate::terms::{NameTable, Terms};
use crate::turn::Host;

/// An admitted module, compiled.
#[derive(Clone, Debug)]
pub struct LoadedModule {
    /// The code, of the instrumented module.
    pub module: Module,
    /// State globals, exported by instrumentation.
    pub globals: u32,
    /// Bytes that a memory of it may grow to.
    pub memory_bytes_max: u64,
    /// Whether it was compiled for this.
    pub origin: Origin,
    pub(crate) symbols: Arc<Symbols>,
}

/// Why the modules of a run could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A template names a module that was not given.
    #[error("template {template} needs the module {hash}, which is not loaded; add its file")]
    NoModule {
        /// Name of the template.
        template: String,
        /// Hash of the module.
        hash: String,
    },
    /// A capability cannot be read.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// The module does not compile.
    #[error("module {module} does not compile; build it again")]
    Compile {
        /// Name of the module.
        module: String,
        /// What the compiler says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The module's imports do not fit the host calls.
    #[error("the module of template {template} cannot be linked; admit it again")]
    Link {
        /// Name of the template.
        template: String,
        /// What the engine says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No thread for the compiler.
    #[error("no thread can be started that compiles modules; free some threads and memory")]
    Thread(#[source] std::io::Error),
    /// Something that admission guarantees is not there.
    #[error("the module of template {template} has no export {export}; admit it again")]
    NoExport {
        /// Name of the template.
        template: String,
        /// The missing export.
        export: String,
    },
}

impl LoadedModule {
    /// Compiles an admitted module; takes milliseconds to a second.
    ///
    /// # Errors
    /// [`LoadError::Compile`].
    pub fn compile(engine: &Engine, admitted: &Admitted) -> Result<Self, LoadError> {
        Self::load(engine, admitted, None)
    }

    /// Takes an admitted module's code from `cache`, or compiles it and keeps it there.
    ///
    /// # Errors
    /// [`LoadError::Compile`]; of the cache there are none.
    pub fn load(
        engine: &Engine,
        admitted: &Admitted,
        cache: Option<&CodeCache>,
    ) -> Result<Self, LoadError> {
        let wasm = &admitted.wasm;
        let loaded = match cache {
            Some(cache) => cache.module(engine, wasm),
            None => Module::new(engine.wasmtime(), wasm).map(|module| (module, Origin::Compiled)),
        };
        let (module, origin) = loaded.map_err(|source| LoadError::Compile {
            module: admitted.manifest.name.clone(),
            source: source.into(),
        })?;
        let (globals, memory_bytes_max) = (admitted.globals, admitted.memory_bytes_max);
        let symbols = Arc::new(Symbols::of(admitted));
        Ok(Self { module, globals, memory_bytes_max, origin, symbols })
    }
}

/// Exports by place, so that making an instance looks up no name.
pub(crate) struct Exports {
    pub(crate) memory: ModuleExport,
    pub(crate) initialize: Option<ModuleExport>,
    pub(crate) init: ModuleExport,
    pub(crate) receive: ModuleExport,
    pub(crate) step: ModuleExport,
    pub(crate) shutdown: ModuleExport,
    pub(crate) inbox: ModuleExport,
    pub(crate) inbox_cap: ModuleExport,
    pub(crate) depth: ModuleExport,
    pub(crate) globals: Vec<ModuleExport>,
}

impl Exports {
    fn of(loaded: &LoadedModule) -> Result<Self, String> {
        let find = |name: &str| loaded.module.get_export_index(name).ok_or(name.to_owned());
        Ok(Self {
            memory: find("memory")?,
            initialize: loaded.module.get_export_index(INITIALIZE),
            init: find("agent_init")?,
            receive: find("agent_receive")?,
            step: find("agent_step")?,
            shutdown: find("agent_shutdown")?,
            inbox: find("agent_inbox")?,
            inbox_cap: find("agent_inbox_cap")?,
            depth: find(DEPTH_EXPORT)?,
            globals: (0..loaded.globals)
                .map(|ordinal| find(&format!("{STATE_GLOBAL_PREFIX}{ordinal}")))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// One template, ready to run.
pub(crate) struct Program {
    pub(crate) code: InstancePre<Host>,
    pub(crate) exports: Exports,
    pub(crate) terms: Arc<Terms>,
    pub(crate) symbols: Arc<Symbols>,
}

/// What all lanes share.
pub struct LaneShared {
    pub(crate) engine: Engine,
    pub(crate) programs: Vec<Arc<Program>>,
    pub(crate) agents_max: u32,
    /// Agents of a lane that are awake at once, at least one of each program.
    pub(crate) seats_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) effects_max: u32,
    pub(crate) seed: u64,
    /// Accounts of the faults of the microstep under way.
    pub(crate) faults: FaultBook,
}

impl std::fmt::Debug for LaneShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneShared").field("programs", &self.programs.len()).finish_non_exhaustive()
    }
}

impl LaneShared {
    /// Links every template of `setup` with its module, found in `modules` by the hash that the
    /// template names. In each lane at most `seats_max` agents are awake at once.
    ///
    /// # Errors
    /// A module that is missing or does not fit, a capability that cannot be read.
    pub fn new(
        setup: &Setup,
        modules: &BTreeMap<String, LoadedModule>,
        engine: Engine,
        seats_max: u32,
    ) -> Result<Self, LoadError> {
        let names = Arc::new(NameTable::of(setup));
        let programs = setup
            .templates
            .iter()
            .map(|template| load(setup, template, modules, &engine, &names).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let limits = &setup.limits;
        Ok(Self {
            engine,
            programs,
            agents_max: limits.agents_max,
            seats_max: (seats_max as usize).max(setup.templates.len()),
            calls_max: limits.receive_max as usize + 1,
            effects_max: limits.effects_max,
            seed: setup.seed,
            faults: FaultBook::default(),
        })
    }
}

fn load(
    setup: &Setup,
    template: &Template,
    modules: &BTreeMap<String, LoadedModule>,
    engine: &Engine,
    names: &Arc<NameTable>,
) -> Result<Program, LoadError> {
    let name = || template.name.clone();
    let loaded = modules
        .get(&template.module)
        .ok_or_else(|| LoadError::NoModule { template: name(), hash: template.module.clone() })?;
    let link =
        |source: wasmtime::Error| LoadError::Link { template: name(), source: source.into() };
    let linker = host_calls::linker(engine.wasmtime()).map_err(link)?;
    Ok(Program {
        code: linker.instantiate_pre(&loaded.module).map_err(link)?,
        exports: Exports::of(loaded)
            .map_err(|export| LoadError::NoExport { template: name(), export })?,
        symbols: Arc::clone(&loaded.symbols),
        terms: Arc::new(Terms {
            rights: Rights::resolve(setup, template)?,
            names: Arc::clone(names),
            fuel_per_call: template.fuel_per_call,
            memory_bytes_max: loaded.memory_bytes_max.min(setup.limits.memory_bytes_max),
            effects_max: setup.limits.effects_max,
            blocks_max: setup.limits.payload_bytes_max / BLOCK_BYTES,
            inference_blocks_max: blocks(setup.limits.inference_bytes_max),
            dependencies_max: setup.limits.dependencies_max,
        }),
    })
}
