//! How large a module and its parts may be.
//!
//! Why: what the engine's validator accepts is large enough to keep its compiler busy for
//! minutes (7.6 MB functions, 50,000 locals). Within these limits the slowest function known
//! compiles in about a second and takes some hundred megabytes; a module takes as long as ordinary
//! code of its effort (`effort.rs`), for the most that is allowed some seconds on two cores.

use crate::admission::error::Refusal;
use crate::profile::TABLE_ELEMENTS_MAX;

/// What effort is called.
const FUNCTION_EFFORT: &str = "units of work for the compiler (each a byte of ordinary code)";

/// Limits on one module; the defaults are meant to be kept, but for the memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleLimits {
    /// Bytes of the whole file.
    pub module_bytes_max: u64,
    /// Bytes of one function body.
    pub body_bytes_max: u64,
    /// Parameters and locals of one function.
    pub locals_max: u32,
    /// Blocks inside one another.
    pub nesting_max: u32,
    /// Targets of one `br_table`.
    pub br_table_max: u32,
    /// Functions defined.
    pub functions_max: u32,
    /// Parameters and results of one type of functions or blocks.
    pub values_max: u32,
    /// Work for the compiler of one function, in bytes of ordinary code.
    pub function_effort_max: u64,
    /// The same of all functions together.
    pub effort_max: u64,
    /// Types, imports, exports, globals, data or element segments, and elements that are
    /// expressions: each at most this many.
    pub entries_max: u32,
    /// Elements of the table, and of all segments together.
    pub table_elements_max: u32,
    /// Bytes the memory may grow to.
    pub memory_bytes_max: u64,
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self {
            module_bytes_max: 4 << 20,
            body_bytes_max: 128 << 10,
            locals_max: 1_000,
            nesting_max: 1_024,
            br_table_max: 4_096,
            functions_max: 10_000,
            values_max: 128,
            function_effort_max: 256 << 10,
            effort_max: 2 << 20,
            entries_max: 1_000,
            table_elements_max: TABLE_ELEMENTS_MAX,
            memory_bytes_max: 16 << 20,
        }
    }
}

impl ModuleLimits {
    pub(crate) fn check_module_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        let (bytes, max) = (bytes as u64, self.module_bytes_max);
        if bytes > max { Err(Refusal::ModuleTooLarge { bytes, max }) } else { Ok(()) }
    }

    pub(crate) fn check_functions(&self, count: u32) -> Result<(), Refusal> {
        too_many("functions", count, self.functions_max)
    }

    pub(crate) fn check_entries(&self, what: &'static str, count: u32) -> Result<(), Refusal> {
        too_many(what, count, self.entries_max)
    }

    pub(crate) fn check_body(&self, function: u32, bytes: usize) -> Result<(), Refusal> {
        too_large(function, "bytes of code", bytes as u64, self.body_bytes_max)
    }

    pub(crate) fn check_locals(&self, function: u32, count: u64) -> Result<(), Refusal> {
        too_large(function, "parameters and locals", count, self.locals_max.into())
    }

    pub(crate) fn check_values(&self, index: u32, count: usize) -> Result<(), Refusal> {
        let (count, max) = (count as u64, u64::from(self.values_max));
        if count > max { Err(Refusal::TypeTooLarge { index, count, max }) } else { Ok(()) }
    }

    pub(crate) fn check_effort(&self, function: u32, effort: u64) -> Result<(), Refusal> {
        too_large(function, FUNCTION_EFFORT, effort, self.function_effort_max)
    }

    pub(crate) fn check_module_effort(&self, count: u64) -> Result<(), Refusal> {
        let max = self.effort_max;
        if count > max {
            return Err(Refusal::TooMany { what: FUNCTION_EFFORT, count, max });
        }
        Ok(())
    }

    pub(crate) fn check_nesting(&self, function: u32, depth: u32) -> Result<(), Refusal> {
        too_large(function, "nested blocks", depth.into(), self.nesting_max.into())
    }

    pub(crate) fn check_br_table(&self, function: u32, targets: u32) -> Result<(), Refusal> {
        too_large(function, "targets in one br_table", targets.into(), self.br_table_max.into())
    }
}

pub(crate) fn too_many(what: &'static str, count: u32, max: u32) -> Result<(), Refusal> {
    let (count, max) = (count.into(), max.into());
    if count > max { Err(Refusal::TooMany { what, count, max }) } else { Ok(()) }
}

pub(crate) fn too_large(
    function: u32,
    what: &'static str,
    count: u64,
    max: u64,
) -> Result<(), Refusal> {
    if count > max {
        return Err(Refusal::FunctionTooLarge { function, what, count, max });
    }
    Ok(())
}
