//! The wasmtime engine: every setting that decides bits, in one function.
//!
//! Why one place: two engines that differ in any of these settings may compute other values or
//! charge other fuel. [`fingerprint`] names them all; logs and checkpoints carry it and refuse
//! another.
//!
//! Deterministic by these choices: fuel from a pinned cost table; NaN canonicalisation; exactly
//! the features in `AGENT_FEATURES` (no threads, relaxed SIMD, GC, tail calls, typed function
//! references, exceptions, 64-bit or several memories); Cranelift only; no epochs; no WASI. The
//! depth at which the native stack overflows is not portable, so admission counts call depth in
//! the module itself (`admission/depth.rs`) and the native limit is only a fence behind it.
//!
//! What is *not* here: how memories are laid out decides speed and density, never results, so
//! [`MemoryProfile`] is physical and no part of the fingerprint. So is [`Footprint`]: what an agent
//! may not do is found by a signal or by a check in front of it, and is the same fault.
//!
//! | seats | layout | address space each | bounds checks |
//! |---|---|---|---|
//! | ≤ 256 | [`Guarded`](MemoryLayout::Guarded) | 4 GiB + 32 MiB | none: what lies behind a memory traps |
//! | more | [`Dense`](MemoryLayout::Dense) | the largest memory of the run's modules | in code; 1.3–1.6 x on memory-heavy loops |
//!
//! Guarded memories lie so far apart that each costs walks of its own through the page tables: with
//! thousands of agents that is most of a turn. Where their address space cannot be had, the layout
//! is dense for few agents too, unless the configuration says otherwise.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasm_engine_abi::calls::{BYTES_PER_FUEL, CALLS};
use wasmtime::{
    Config, OperatorCost, OptLevel, Strategy, VariableOperatorCost, WasmBacktraceDetails,
};

use wasm_engine_setup::{EngineFingerprint, Setup};

use crate::admission::{Admitted, Capability, INSTRUMENTATION_VERSION};
use crate::call_note::FRAMES_MAX;
pub use crate::footprint::Footprint;
use crate::footprint::compiles_in_parallel;
use crate::memory_arena::{Arena, ArenaMemories, ArenaShape};
use crate::profile::{AGENT_FEATURES, WASM_PAGE_BYTES};
pub use crate::profile::{THREAD_STACK_BYTES_MIN, WASM_STACK_BYTES_MAX};

/// Version of wasmtime this crate is pinned to; another may charge other fuel.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Most seats for which memories are guarded.
const GUARDED_SEATS_MAX: u32 = 256;
/// Reservation that lets 32-bit addresses go unchecked.
const GUARDED_RESERVATION_BYTES: u64 = 1 << 32;
const GUARD_BYTES: u64 = 32 << 20;
/// Added to the distance between memories. At a distance of a power of two the same address of all
/// agents falls into the same few places of the tables that translate addresses, and each turn
/// misses them.
const STAGGER_BYTES: u64 = 4 << 10;
/// Address space that memories may reserve, half of what 47 bits hold.
const RESERVED_BYTES_MAX: u64 = 64 << 40;

/// How many agents are awake at once and how large the memory of one may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryProfile {
    /// Agents of all lanes that are awake at once, at least 1.
    pub seats: u32,
    /// Largest linear memory of one agent: whole pages of 64 KiB, at most 4 GiB.
    pub memory_bytes_max: u64,
    /// How memories lie; by the number of seats without.
    pub layout: Option<MemoryLayout>,
}

/// How memories are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLayout {
    /// 4 GiB of address space each: no bounds checks.
    Guarded,
    /// Side by side, slots of exactly the largest memory: checked accesses, no guards.
    Dense,
}

impl std::fmt::Display for MemoryLayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Guarded => "guarded",
            Self::Dense => "dense",
        })
    }
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The profile has no seats.
    #[error("the memory profile lets no agent be awake, set seats to at least 1")]
    NoSeats,
    /// The memory limit is no whole number of pages, zero, or above 4 GiB.
    #[error(
        "memory_bytes_max is {bytes}, it must be a multiple of 65536 between 65536 and 4294967296"
    )]
    MemorySize {
        /// The limit given.
        bytes: u64,
    },
    /// The address space of the memories cannot be had.
    #[error(
        "the {layout} memories of {seats} agents need {bytes} bytes of address space, which cannot \
         be reserved; {advice}"
    )]
    AddressSpace {
        /// How they were to lie.
        layout: MemoryLayout,
        /// Agents awake at once.
        seats: u32,
        /// What they need together.
        bytes: u64,
        /// Which limit to raise, or what to set.
        advice: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Guarded memories where no signal may be handled.
    #[error(
        "guarded memories need the process's signal handlers, which are not allowed here; leave \
         kernel.memory_layout out, or allow them"
    )]
    GuardedWithoutSignals,
    /// wasmtime refused the configuration.
    #[error("wasmtime could not start; report this bug")]
    Start(#[source] Box<dyn Error + Send + Sync>),
}

impl MemoryProfile {
    /// What a run of `setup` with these modules, one for each template, needs on `lanes` lanes when
    /// at most `awake_max` agents are awake at once.
    ///
    /// As many agents can live as are configured, or as there are slots if somebody may spawn; and
    /// a memory grows as far as the modules declare.
    #[must_use]
    pub fn of(
        setup: &Setup,
        modules: &[Arc<Admitted>],
        lanes: u32,
        awake_max: u32,
        layout: Option<MemoryLayout>,
    ) -> Self {
        let spawns = |capability: &String| {
            matches!(Capability::parse(capability), Ok(Capability::Over("spawn:", _)))
        };
        let spawning = setup.templates.iter().any(|t| t.capabilities.iter().any(spawns));
        let configured = setup.agents.len() as u32;
        let agents = if spawning { setup.limits.agents_max } else { configured };
        // One more of each program: a lane keeps a seat for each that has none yet.
        let of_a_lane = agents.min(awake_max).div_ceil(lanes) + setup.templates.len() as u32;
        let declared = modules.iter().map(|module| module.memory_bytes_max).max();
        Self {
            seats: of_a_lane.saturating_mul(lanes).max(1),
            memory_bytes_max: declared
                .unwrap_or(WASM_PAGE_BYTES)
                .min(setup.limits.memory_bytes_max)
                .max(WASM_PAGE_BYTES),
            layout,
        }
    }

    fn check(self) -> Result<(), EngineError> {
        let bytes = self.memory_bytes_max;
        if self.seats == 0 {
            return Err(EngineError::NoSeats);
        }
        if bytes == 0 || bytes > 1 << 32 || !bytes.is_multiple_of(WASM_PAGE_BYTES) {
            return Err(EngineError::MemorySize { bytes });
        }
        Ok(())
    }

    /// The arena of its memories.
    fn shape(self, layout: MemoryLayout) -> ArenaShape {
        let (reserved_bytes, guard_bytes) = match layout {
            MemoryLayout::Guarded => (GUARDED_RESERVATION_BYTES, GUARD_BYTES),
            MemoryLayout::Dense => (self.memory_bytes_max, 0),
        };
        ArenaShape {
            slots: self.seats as usize,
            stride_bytes: (reserved_bytes + guard_bytes + STAGGER_BYTES) as usize,
            memory_bytes_max: self.memory_bytes_max as usize,
            guard_bytes: guard_bytes as usize,
        }
    }

    /// Reserves the address space.
    fn reserve(self, layout: MemoryLayout) -> Result<Arena, EngineError> {
        let shape = self.shape(layout);
        let arena = if shape.reserved_bytes() > RESERVED_BYTES_MAX {
            Err(std::io::Error::other("that is more than half of what there is"))
        } else {
            Arena::reserve(shape)
        };
        arena.map_err(|source| EngineError::AddressSpace {
            layout,
            seats: self.seats,
            bytes: shape.reserved_bytes(),
            advice: advice(layout),
            source,
        })
    }

    /// The layout and its address space.
    fn lay_out(self, signals: bool) -> Result<(MemoryLayout, Arena), EngineError> {
        self.check()?;
        if !signals {
            // What lies behind a memory could not be seen to trap.
            return match self.layout {
                Some(MemoryLayout::Guarded) => Err(EngineError::GuardedWithoutSignals),
                _ => Ok((MemoryLayout::Dense, self.reserve(MemoryLayout::Dense)?)),
            };
        }
        if let Some(layout) = self.layout {
            return Ok((layout, self.reserve(layout)?));
        }
        if self.seats <= GUARDED_SEATS_MAX
            && let Ok(arena) = self.reserve(MemoryLayout::Guarded)
        {
            return Ok((MemoryLayout::Guarded, arena));
        }
        Ok((MemoryLayout::Dense, self.reserve(MemoryLayout::Dense)?))
    }
}

/// What to do about address space that cannot be had.
#[cold]
fn advice(layout: MemoryLayout) -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let limit = limit.map(|bytes| format!("raise the limit of {bytes} (`ulimit -v`)"));
    let strict = std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
    let strict = strict.is_ok_and(|mode| mode.trim() == "2");
    let strict = strict.then(|| "set vm.overcommit_memory to 0 or 1".to_owned());
    let less = match layout {
        MemoryLayout::Guarded => "set kernel.memory_layout to \"dense\"",
        MemoryLayout::Dense => {
            "lower kernel.awake_max or the memory that the modules declare as their maximum"
        }
    };
    let causes: Vec<String> = limit.into_iter().chain(strict).collect();
    if causes.is_empty() { less.to_owned() } else { format!("{}, or {less}", causes.join(", ")) }
}

/// The engine every agent is compiled for and runs in, with the address space of its memories.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    layout: MemoryLayout,
    shape: ArenaShape,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { layout, shape, .. } = self;
        f.debug_struct("Engine").field("layout", layout).field("shape", shape).finish()
    }
}

impl Engine {
    /// wasmtime's own, for what speaks to it directly.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// How memories lie.
    #[must_use]
    pub fn layout(&self) -> MemoryLayout {
        self.layout
    }

    /// Agents that may be awake at once.
    #[must_use]
    pub fn seats(&self) -> u32 {
        // It was a `u32` in the profile.
        self.shape.slots as u32
    }

    /// Bytes of address space that are reserved for memories.
    #[must_use]
    pub fn reserved_bytes(&self) -> u64 {
        self.shape.reserved_bytes()
    }
}

/// The engine of a run, in a process whose purpose it is: [`engine_in`] with all that it may leave.
///
/// # Errors
/// As [`engine_in`].
pub fn deterministic_engine(profile: MemoryProfile) -> Result<Engine, EngineError> {
    engine_in(profile, Footprint::WHOLE)
}

/// The engine of a run, which leaves no more than `footprint` in its process.
///
/// Call `Engine::tls_eager_initialize` of wasmtime once on each thread that will call guests, and
/// give it a stack of at least [`THREAD_STACK_BYTES_MIN`].
///
/// # Errors
/// A profile out of range, no address space for its memories, or guarded memories without signals.
pub fn engine_in(profile: MemoryProfile, footprint: Footprint) -> Result<Engine, EngineError> {
    let (layout, arena) = profile.lay_out(footprint.signals)?;
    let mut config = deterministic_config();
    let shape = profile.shape(layout);
    config
        .with_host_memory(Arc::new(ArenaMemories(Arc::new(arena))))
        .memory_may_move(false)
        .memory_init_cow(false)
        .memory_reservation(match layout {
            MemoryLayout::Guarded => GUARDED_RESERVATION_BYTES,
            // Of a reservation code would assume that what lies behind a memory's size traps, and
            // check against the reservation alone; without one it checks against the size.
            MemoryLayout::Dense => 0,
        })
        .memory_guard_size(shape.guard_bytes as u64)
        .guard_before_linear_memory(shape.guard_bytes > 0)
        .signals_based_traps(footprint.signals)
        .parallel_compilation(footprint.helpers && compiles_in_parallel());
    let wasmtime =
        wasmtime::Engine::new(&config).map_err(|error| EngineError::Start(error.into()))?;
    Ok(Engine { wasmtime, layout, shape })
}

/// Everything that decides bits.
fn deterministic_config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(operator_costs().0)
        .epoch_interruption(false)
        .shared_memory(false)
        .wasm_features(AGENT_FEATURES.complement(), false)
        .wasm_features(AGENT_FEATURES, true)
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Fuel of one operator; those that only shape control flow are free.
///
/// A unit is what the median operator takes, some 0.5 ns, and no operator takes more than three
/// times as long for each unit it costs: an agent's budget then bounds its time. Measured with
/// `kernel/guest/tests/guest/prices.rs`, each as the cheapest chain of it that there is: one
/// operator a result, no operand fetched that another made.
const fn unit_cost(operator: &str) -> u8 {
    let name = operator.as_bytes();
    match name {
        b"Nop" | b"Drop" | b"Block" | b"Else" | b"End" | b"Return" | b"Unreachable" => 0,
        // Calls into the engine.
        b"RefFunc" => 80,
        b"MemoryGrow" | b"MemoryFill" | b"MemoryCopy" => 40,
        // Square roots and divisions.
        b"F32Sqrt" | b"F64Sqrt" | b"F32x4Sqrt" | b"F64x2Sqrt" => 6,
        b"F32Div" | b"F64Div" | b"F32x4Div" | b"F64x2Div" => 5,
        b"I32DivS" | b"I32DivU" | b"I32RemS" | b"I32RemU" => 3,
        b"I64DivS" | b"I64DivU" | b"I64RemS" | b"I64RemU" => 4,
        // Rounding.
        b"F32Ceil" | b"F32Floor" | b"F32Trunc" | b"F32Nearest" | b"F64Ceil" | b"F64Floor"
        | b"F64Trunc" | b"F64Nearest" | b"F32x4Ceil" | b"F32x4Floor" | b"F32x4Trunc"
        | b"F32x4Nearest" | b"F64x2Ceil" | b"F64x2Floor" | b"F64x2Trunc" | b"F64x2Nearest" => 5,
        // Minimum and maximum, whose NaN has many cases.
        b"F32x4Min" | b"F32x4Max" | b"F64x2Min" | b"F64x2Max" => 5,
        b"F32Min" | b"F32Max" | b"F64Min" | b"F64Max" => 3,
        // Other arithmetic of floats, each with a NaN to look for.
        b"F32Add" | b"F32Sub" | b"F32Mul" | b"F64Add" | b"F64Sub" | b"F64Mul" | b"F32x4Add"
        | b"F32x4Sub" | b"F32x4Mul" | b"F64x2Add" | b"F64x2Sub" | b"F64x2Mul" => 2,
        // From one kind of number to another.
        b"I32x4TruncSatF32x4S"
        | b"I32x4TruncSatF32x4U"
        | b"I32x4TruncSatF64x2SZero"
        | b"I32x4TruncSatF64x2UZero"
        | b"F32DemoteF64"
        | b"F64PromoteF32"
        | b"F32x4DemoteF64x2Zero"
        | b"F64x2PromoteLowF32x4" => 4,
        b"I32TruncF32S" | b"I32TruncF32U" | b"I32TruncF64S" | b"I32TruncF64U" | b"I64TruncF32S"
        | b"I64TruncF32U" | b"I64TruncF64S" | b"I64TruncF64U" | b"I32TruncSatF32S"
        | b"I32TruncSatF32U" | b"I32TruncSatF64S" | b"I32TruncSatF64U" | b"I64TruncSatF32S"
        | b"I64TruncSatF32U" | b"I64TruncSatF64S" | b"I64TruncSatF64U" | b"F32ConvertI32S"
        | b"F32ConvertI32U" | b"F32ConvertI64S" | b"F32ConvertI64U" | b"F64ConvertI32S"
        | b"F64ConvertI32U" | b"F64ConvertI64S" | b"F64ConvertI64U" => 2,
        // Loads that extend or repeat what they read.
        b"I32Load8S" | b"I32Load16S" | b"I64Load8S" | b"I64Load16S" | b"I64Load32S"
        | b"V128Load8Splat" | b"V128Load16Splat" | b"V128Load32Splat" | b"V128Load64Splat" => 2,
        // Products of 64 bits and sums of neighbours, which take several instructions.
        b"I64x2Mul"
        | b"I64x2ExtMulLowI32x4S"
        | b"I64x2ExtMulHighI32x4S"
        | b"I64x2ExtMulLowI32x4U"
        | b"I64x2ExtMulHighI32x4U" => 3,
        b"I16x8ExtAddPairwiseI8x16S"
        | b"I16x8ExtAddPairwiseI8x16U"
        | b"I32x4ExtAddPairwiseI16x8S"
        | b"I32x4ExtAddPairwiseI16x8U"
        | b"I32x4Mul" => 2,
        _ => 1,
    }
}

/// The cost table, and the same as (operator, cost) in the order of the operators for hashing.
///
/// Each field is set by name, so a wasmtime with other operators or other kinds of variable cost
/// does not compile before someone has decided their price.
fn operator_costs() -> (OperatorCost, Vec<(&'static str, u8)>) {
    // A grown page has to be zeroed, by default for nothing: 255 is the most a cost can be.
    let variable = VariableOperatorCost {
        memory_copy_per_byte: 1,
        memory_fill_per_byte: 1,
        memory_init_per_byte: 1,
        memory_grow_per_page: 255,
        table_copy_per_element: 1,
        table_fill_per_element: 1,
        table_init_per_element: 1,
        table_grow_per_element: 1,
        array_copy_per_element: 1,
        array_fill_per_element: 1,
        array_new_data_per_element: 1,
        array_init_data_per_element: 1,
        array_new_elem_per_element: 1,
        array_init_elem_per_element: 1,
        array_new_default_per_element: 1,
        array_new_per_element: 1,
    };
    macro_rules! table {
        ($(
            @$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })?
                => $visit:ident ($($ann:tt)*)
        )*) => {{
            let listed = vec![$((stringify!($op), unit_cost(stringify!($op))),)*];
            (OperatorCost { $($op: unit_cost(stringify!($op)),)* variable }, listed)
        }};
    }
    wasmparser::for_each_operator!(table)
}

/// The fingerprint of a running engine; those of [`deterministic_engine`] have the same for every
/// memory profile.
#[must_use]
pub fn fingerprint(engine: &Engine) -> EngineFingerprint {
    EngineFingerprint {
        wasmtime_version: WASMTIME_VERSION.to_owned(),
        config: describe(&engine.wasmtime),
        cost_table_hash: cost_table_hash(),
        instrumentation_version: INSTRUMENTATION_VERSION,
    }
}

/// Reads the settings back from the engine, so that the text cannot say anything else.
fn describe(engine: &wasmtime::Engine) -> String {
    let features: Vec<String> = engine
        .get_wasm_features()
        .iter_names()
        .map(|(name, _)| name.to_lowercase().replace('_', "-"))
        .collect();
    format!(
        "strategy={:?} opt={:?} regalloc={:?} inlining={:?} nan-canonical={:?} fuel={} epochs={} \
         shared-memory={} relaxed-simd-deterministic={} stack={} features={}",
        engine.get_strategy(),
        engine.get_cranelift_opt_level(),
        engine.get_cranelift_regalloc_algorithm(),
        engine.get_compiler_inlining(),
        engine.get_cranelift_nan_canonicalization(),
        engine.get_consume_fuel(),
        engine.get_epoch_interruption(),
        engine.get_shared_memory(),
        engine.get_relaxed_simd_deterministic(),
        engine.get_max_wasm_stack(),
        features.join(","),
    )
}

fn cost_table_hash() -> [u8; 32] {
    let (table, listed) = operator_costs();
    let mut hasher = blake3::Hasher::new();
    for (name, cost) in listed {
        hasher.update(name.as_bytes()).update(&[0, cost]);
    }
    hasher.update(format!("{:?}", table.variable).as_bytes());
    // Host calls charge fuel of their own.
    for call in CALLS {
        hasher.update(call.name.as_bytes()).update(&call.fuel_base.to_le_bytes());
    }
    hasher.update(&BYTES_PER_FUEL.to_le_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(seats: u32, memory_bytes_max: u64) -> MemoryProfile {
        MemoryProfile { seats, memory_bytes_max, layout: None }
    }

    fn engine(seats: u32) -> Engine {
        deterministic_engine(profile(seats, 131_072)).expect("engine starts")
    }

    #[test]
    fn layout_follows_the_numbers_and_what_is_asked_for() {
        let layout = |profile: MemoryProfile| {
            profile.lay_out(true).map(|(layout, _)| layout).map_err(|error| error.to_string())
        };
        assert_eq!(layout(profile(50, 1 << 20)), Ok(MemoryLayout::Guarded));
        assert_eq!(layout(profile(256, 1 << 32)), Ok(MemoryLayout::Guarded));
        assert_eq!(layout(profile(257, 1 << 20)), Ok(MemoryLayout::Dense));
        let dense = MemoryProfile { layout: Some(MemoryLayout::Dense), ..profile(1, 65_536) };
        assert_eq!(layout(dense), Ok(MemoryLayout::Dense));
        assert!(layout(profile(0, 1 << 20)).unwrap_err().contains("seats"));
        for bytes in [0, 65_537, (1 << 32) + 65_536] {
            assert!(layout(profile(1, bytes)).unwrap_err().contains("memory_bytes_max"));
        }
        let error = layout(profile(100_000, 1 << 32)).unwrap_err();
        assert!(error.contains("address space") && error.contains("kernel.awake_max"), "{error}");
        let guarded =
            MemoryProfile { layout: Some(MemoryLayout::Guarded), ..profile(100_000, 65_536) };
        assert!(layout(guarded).unwrap_err().contains("kernel.memory_layout"));
        let without = |profile: MemoryProfile| {
            profile.lay_out(false).map(|(layout, _)| layout).map_err(|error| error.to_string())
        };
        assert_eq!(without(profile(50, 1 << 20)), Ok(MemoryLayout::Dense));
        let guarded = MemoryProfile { layout: Some(MemoryLayout::Guarded), ..profile(1, 65_536) };
        assert!(without(guarded).unwrap_err().contains("signal handlers"));
    }

    #[test]
    fn engine_has_exactly_the_agent_features() {
        assert_eq!(engine(1).wasmtime.get_wasm_features(), AGENT_FEATURES);
    }

    #[test]
    fn version_is_the_pinned_one() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let text = std::fs::read_to_string(manifest).expect("workspace manifest");
        assert!(text.contains(&format!("wasmtime = {{ version = \"={WASMTIME_VERSION}\"")));
    }

    #[test]
    fn costs_match_wasmtime_but_where_measured() {
        let mut expected = OperatorCost::new();
        expected.variable.memory_grow_per_page = 255;
        assert_eq!(operator_costs().0.variable, expected.variable);
        let (_, listed) = operator_costs();
        let cost = |name: &str| {
            let found = listed.iter().find(|(known, _)| *known == name);
            found.unwrap_or_else(|| panic!("there is no operator {name}")).1
        };
        for (name, expected) in [
            ("Drop", 0),
            ("End", 0),
            ("LocalGet", 1),
            ("I32Add", 1),
            ("Loop", 1),
            ("F64Add", 2),
            ("F64ConvertI64U", 2),
            ("F64Max", 3),
            ("I64x2ExtMulLowI32x4S", 3),
            ("I64RemS", 4),
            ("I32x4TruncSatF64x2UZero", 4),
            ("F64Div", 5),
            ("F64x2Nearest", 5),
            ("F32Sqrt", 6),
            ("MemoryGrow", 40),
            ("RefFunc", 80),
        ] {
            assert_eq!(cost(name), expected, "{name}");
        }
    }

    /// A name that is misspelt in the table would leave its operator at 1.
    #[test]
    fn every_price_in_the_table_is_of_an_operator() {
        let (_, listed) = operator_costs();
        let source = include_str!("engine.rs");
        let table = source.split("const fn unit_cost").nth(1).expect("the table");
        let table = table.split("\n}\n").next().expect("its end");
        let names: Vec<&str> =
            table.split(" b\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() > 80, "{names:?}");
        for name in names {
            assert!(listed.iter().any(|(known, _)| *known == name), "no operator {name}");
        }
    }

    #[test]
    fn fingerprint_is_stable_and_complete() {
        let print = fingerprint(&engine(1));
        assert_eq!(print, fingerprint(&engine(100_000)), "the memory profile is physical");
        let bare = engine_in(profile(1, 131_072), Footprint::NONE).expect("engine starts");
        assert_eq!(print, fingerprint(&bare), "so is what is left in the process");
        let text = print.to_string();
        for part in ["48.0.8", "nan-canonical=Some(true)", "fuel=true", "simd", "stack=1048576"] {
            assert!(text.contains(part), "{part} missing from {text}");
        }
        assert!(!text.contains("relaxed-simd,") && !text.contains("threads"));
    }
}
