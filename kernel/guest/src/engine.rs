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
//! [`MemoryProfile`] is physical and no part of the fingerprint.
//!
//! | agents | layout | per agent | bounds checks |
//! |---|---|---|---|
//! | ≤ 8,192 | [`Sparse`](MemoryLayout::Sparse): pool, 4 GiB + 32 MiB reserved each, copy-on-write | 6–10 KiB + 8 KiB page tables, 3–4 mappings | none |
//! | more | [`Dense`](MemoryLayout::Dense): pool, slots of `memory_bytes_max`, no guards, no copy-on-write | ~10 KiB, few mappings | 1.3–1.6 x on memory-heavy loops |
//!
//! 8,192 sparse slots are 33 TiB of the 128 TiB that a 47-bit address space holds, and at 4
//! mappings each half of Linux's default `vm.max_map_count` of 65,530. An on-demand allocator is
//! never chosen: making and dropping an instance costs it 3 to 8 times as much.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use wasm_engine_abi::calls::{BYTES_PER_FUEL, CALLS};
pub use wasmtime::Engine;
use wasmtime::{
    Config, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig, Strategy,
    VariableOperatorCost, WasmBacktraceDetails,
};

use wasm_engine_setup::EngineFingerprint;

use crate::admission::INSTRUMENTATION_VERSION;
use crate::call_note::FRAMES_MAX;
use crate::profile::{AGENT_FEATURES, TABLE_ELEMENTS_MAX};
pub use crate::profile::{THREAD_STACK_BYTES_MIN, WASM_STACK_BYTES_MAX};

/// Version of wasmtime this crate is pinned to; another may charge other fuel.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Most agents for which memories are laid out sparsely.
const SPARSE_AGENTS_MAX: u32 = 8_192;
/// Instances beside the agents': old and new version live side by side during a hot swap.
const SPARE_INSTANCES: u32 = 16;
/// Reservation that lets 32-bit addresses go unchecked.
const SPARSE_RESERVATION_BYTES: u64 = 1 << 32;
const SPARSE_GUARD_BYTES: u64 = 32 << 20;
/// Added to the distance between memories. At a distance of a power of two the same address of all
/// agents falls into the same few places of every cache and page table, and each turn misses them.
const STAGGER_BYTES: u64 = 4 << 10;
/// Address space a dense pool may reserve, half of what 47 bits hold.
const DENSE_POOL_BYTES_MAX: u64 = 64 << 40;
/// Bytes of a slot that are cleared by hand instead of returned to the system.
const KEEP_RESIDENT_BYTES: u64 = 256 << 10;
const WASM_PAGE_BYTES: u64 = 64 << 10;

/// How many agents there may be and how large the memory of one may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryProfile {
    /// Agents alive at once, at least 1.
    pub agents_max: u32,
    /// Largest linear memory of one agent: whole pages of 64 KiB, at most 4 GiB.
    pub memory_bytes_max: u64,
}

/// How the pool of memories is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryLayout {
    /// 4 GiB of address space each: no bounds checks, copy-on-write images.
    Sparse,
    /// Slots of exactly the largest memory: checked accesses, no guards.
    Dense,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The profile has no agents.
    #[error("the memory profile allows no agent, set agents_max to at least 1")]
    NoAgents,
    /// The memory limit is no whole number of pages, zero, or above 4 GiB.
    #[error(
        "memory_bytes_max is {bytes}, it must be a multiple of 65536 between 65536 and 4294967296"
    )]
    MemorySize {
        /// The limit given.
        bytes: u64,
    },
    /// The pool would not fit into the address space.
    #[error(
        "{agents} agents of {bytes} bytes need {total} bytes of address space, the pool may \
         reserve {max}; lower agents_max or memory_bytes_max"
    )]
    AddressSpace {
        /// Agents in the profile.
        agents: u32,
        /// Memory limit in the profile.
        bytes: u64,
        /// What they need together.
        total: u64,
        /// What a pool may reserve.
        max: u64,
    },
    /// wasmtime refused the configuration or could not reserve the pool.
    #[error("wasmtime could not start, check the address space limit (ulimit -v) and memory")]
    Start(#[source] Box<dyn Error + Send + Sync>),
}

impl MemoryProfile {
    /// The layout for this profile; a pure function of its numbers.
    ///
    /// # Errors
    /// Numbers outside their ranges, or a pool beyond the address space.
    pub fn layout(self) -> Result<MemoryLayout, EngineError> {
        let MemoryProfile { agents_max, memory_bytes_max } = self;
        if agents_max == 0 {
            return Err(EngineError::NoAgents);
        }
        let whole_pages = memory_bytes_max.is_multiple_of(WASM_PAGE_BYTES);
        if memory_bytes_max == 0 || memory_bytes_max > 1 << 32 || !whole_pages {
            return Err(EngineError::MemorySize { bytes: memory_bytes_max });
        }
        if agents_max <= SPARSE_AGENTS_MAX {
            return Ok(MemoryLayout::Sparse);
        }
        let total = u64::from(self.instances()) * memory_bytes_max;
        if total > DENSE_POOL_BYTES_MAX {
            let (agents, bytes, max) = (agents_max, memory_bytes_max, DENSE_POOL_BYTES_MAX);
            return Err(EngineError::AddressSpace { agents, bytes, total, max });
        }
        Ok(MemoryLayout::Dense)
    }

    fn instances(self) -> u32 {
        self.agents_max.saturating_add(SPARE_INSTANCES)
    }
}

/// The engine every agent is compiled for and runs in.
///
/// Call `Engine::tls_eager_initialize` once on each thread that will call guests, and give it a
/// stack of at least [`THREAD_STACK_BYTES_MIN`].
///
/// # Errors
/// A profile out of range, or no address space for its pool.
pub fn deterministic_engine(profile: MemoryProfile) -> Result<Engine, EngineError> {
    let layout = profile.layout()?;
    let mut config = deterministic_config();
    lay_out(&mut config, layout, profile);
    config.parallel_compilation(compiles_in_parallel());
    Engine::new(&config).map_err(|error| EngineError::Start(error.into()))
}

/// Whether there are the threads on which modules are compiled at once; the code is the same
/// without. The compiler would start them by itself, and panic where the system refuses.
fn compiles_in_parallel() -> bool {
    static THREADS: OnceLock<bool> = OnceLock::new();
    *THREADS.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // Only a refusal of the system has a source: else somebody has started them before.
        Err(error) => error.source().is_none(),
    })
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
        .signals_based_traps(true)
        .shared_memory(false)
        .wasm_features(AGENT_FEATURES.complement(), false)
        .wasm_features(AGENT_FEATURES, true)
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Everything that is physical: where memories lie.
fn lay_out(config: &mut Config, layout: MemoryLayout, profile: MemoryProfile) {
    let bytes = usize::try_from(profile.memory_bytes_max).unwrap_or(usize::MAX);
    let kept = usize::try_from(profile.memory_bytes_max.min(KEEP_RESIDENT_BYTES)).unwrap_or(0);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(profile.instances())
        .total_memories(profile.instances())
        .total_tables(profile.instances())
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .table_elements(TABLE_ELEMENTS_MAX as usize)
        .max_memory_size(bytes)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).memory_may_move(false);
    match layout {
        MemoryLayout::Sparse => config
            .memory_reservation(SPARSE_RESERVATION_BYTES)
            .memory_guard_size(SPARSE_GUARD_BYTES + STAGGER_BYTES)
            .memory_init_cow(true),
        MemoryLayout::Dense => config
            .memory_reservation(profile.memory_bytes_max + STAGGER_BYTES)
            .memory_guard_size(0)
            .guard_before_linear_memory(false)
            .memory_init_cow(false),
    };
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
        config: describe(engine),
        cost_table_hash: cost_table_hash(),
        instrumentation_version: INSTRUMENTATION_VERSION,
    }
}

/// Reads the settings back from the engine, so that the text cannot say anything else.
fn describe(engine: &Engine) -> String {
    let features: Vec<String> = engine
        .get_wasm_features()
        .iter_names()
        .map(|(name, _)| name.to_lowercase().replace('_', "-"))
        .collect();
    format!(
        "strategy={:?} opt={:?} regalloc={:?} inlining={:?} nan-canonical={:?} fuel={} epochs={} \
         signals={} shared-memory={} relaxed-simd-deterministic={} stack={} features={}",
        engine.get_strategy(),
        engine.get_cranelift_opt_level(),
        engine.get_cranelift_regalloc_algorithm(),
        engine.get_compiler_inlining(),
        engine.get_cranelift_nan_canonicalization(),
        engine.get_consume_fuel(),
        engine.get_epoch_interruption(),
        engine.get_signals_based_traps(),
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

/// Memory mappings of this process against the system's limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapCount {
    /// Mappings now.
    pub used: u64,
    /// `vm.max_map_count`.
    pub max: u64,
}

impl MapCount {
    /// Whether fewer than a fifth of the mappings are left: refuse new agents, for at the limit
    /// the first guest call of a thread panics.
    #[must_use]
    pub fn is_tight(self) -> bool {
        self.used.saturating_mul(5) > self.max.saturating_mul(4)
    }
}

/// Counts the mappings of this process; `None` where the system has no such limit.
///
/// Takes about 1 ms per 5,000 mappings: call it when agents are created by the hundred, never in
/// a tick, and let its answer stop the kernel, never reach a guest (SEMANTICS T10).
#[must_use]
pub fn map_count() -> Option<MapCount> {
    let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let used = maps.iter().filter(|&&byte| byte == b'\n').count() as u64;
    Some(MapCount { used, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(agents_max: u32) -> Engine {
        let profile = MemoryProfile { agents_max, memory_bytes_max: 131_072 };
        deterministic_engine(profile).expect("engine starts")
    }

    #[test]
    fn layout_follows_the_numbers() {
        let layout = |agents_max, memory_bytes_max| {
            MemoryProfile { agents_max, memory_bytes_max }.layout().map_err(|e| e.to_string())
        };
        assert_eq!(layout(50, 1 << 20), Ok(MemoryLayout::Sparse));
        assert_eq!(layout(8_192, 1 << 32), Ok(MemoryLayout::Sparse));
        assert_eq!(layout(8_193, 1 << 20), Ok(MemoryLayout::Dense));
        assert!(layout(0, 1 << 20).unwrap_err().contains("agents_max"));
        for bytes in [0, 65_537, (1 << 32) + 65_536] {
            assert!(layout(1, bytes).unwrap_err().contains("memory_bytes_max"));
        }
        assert!(layout(100_000, 1 << 32).unwrap_err().contains("address space"));
    }

    #[test]
    fn engine_has_exactly_the_agent_features() {
        assert_eq!(engine(1).get_wasm_features(), AGENT_FEATURES);
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
        let text = print.to_string();
        for part in ["48.0.8", "nan-canonical=Some(true)", "fuel=true", "simd", "stack=1048576"] {
            assert!(text.contains(part), "{part} missing from {text}");
        }
        assert!(!text.contains("relaxed-simd,") && !text.contains("threads"));
    }

    #[test]
    fn map_count_reads_this_process() {
        if let Some(count) = map_count() {
            assert!(count.used > 10 && count.max > 1_000);
        }
        assert!(!MapCount { used: 80, max: 100 }.is_tight());
        assert!(MapCount { used: 81, max: 100 }.is_tight());
    }
}
