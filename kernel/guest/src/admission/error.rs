//! Why a module was refused: one variant per rule, each naming the place and the way out.
//!
//! Fields hold the module's own words as they are; messages show them as one short line.

use wasm_engine_abi::short::{short, short_name};

/// Characters that a message of a parser, or a type, takes in a refusal.
const WORDS_MAX: usize = 300;

/// A module that was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("module `{}` is refused: {refusal}", short_name(.module))]
pub struct AdmissionError {
    /// The module's name in the configuration.
    pub module: String,
    /// The rule it broke.
    #[source]
    pub refusal: Box<Refusal>,
}

/// The rule a module broke.
///
/// Functions are named by their index in the module, imports included, as tools print them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a valid core module of the supported features.
    #[error("invalid WebAssembly at byte {offset}: {}; {cure}", short(.message, WORDS_MAX))]
    Invalid {
        /// Where in the file.
        offset: u64,
        /// What the validator says.
        message: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// The file is too large.
    #[error("the module has {bytes} bytes, at most {max} are allowed; strip it or split it")]
    ModuleTooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Too many of something in one module.
    #[error("the module has {count} {what}, at most {max} are allowed; split the module")]
    TooMany {
        /// What is counted, in the plural.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// A function is too large in one respect.
    #[error(
        "function {function} has {count} {what}, at most {max} are allowed; split the function"
    )]
    FunctionTooLarge {
        /// The function's index.
        function: u32,
        /// What is counted, in the plural.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// A type has too many parameters and results.
    #[error(
        "type {index} has {count} parameters and results, at most {max} are allowed; pass some in \
         memory"
    )]
    TypeTooLarge {
        /// The type's index.
        index: u32,
        /// How many there are.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// Not exactly one memory.
    #[error("the module has {count} memories of its own, define exactly one")]
    MemoryCount {
        /// How many it defines.
        count: u32,
    },
    /// The memory has no declared maximum.
    #[error(
        "the memory has no maximum, declare one of at most {max} bytes: clang \
         -Wl,--max-memory=BYTES, rustc -C link-arg=--max-memory=BYTES, zig --max-memory=BYTES, \
         AssemblyScript --maximumMemory PAGES (64 KiB each){}",
        stack_cure(*min, *max)
    )]
    MemoryUnbounded {
        /// Bytes with which it starts.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// The memory may become too large.
    #[error(
        "the memory may grow to {bytes} bytes, at most {max} are allowed: lower --max-memory \
         (AssemblyScript --maximumMemory) or raise limits.memory_bytes_max{}",
        stack_cure(*min, *max)
    )]
    MemoryTooLarge {
        /// Bytes with which it starts.
        min: u64,
        /// Declared maximum.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The manifest's memory budget does not hold the initial memory, or exceeds the limit.
    #[error(
        "the manifest's memory_bytes is {budget}, it must lie between the initial memory of {min} \
         bytes and {max}"
    )]
    MemoryBudget {
        /// The manifest's budget.
        budget: u64,
        /// Initial size of the memory.
        min: u64,
        /// The limit.
        max: u64,
    },
    /// A construct whose state could not be saved, or that is not deterministic.
    #[error("{what} at byte {offset} is not allowed, {instead}")]
    Forbidden {
        /// The construct.
        what: &'static str,
        /// Where in the file.
        offset: u64,
        /// What to do about it.
        instead: &'static str,
    },
    /// A segment writes outside its memory or table.
    #[error("{what} segment {index} lies outside the initial {what} area, enlarge it or move it")]
    SegmentOutside {
        /// `data` or `element`.
        what: &'static str,
        /// Index of the segment.
        index: u32,
    },
    /// The manifest section is missing or there are several.
    #[error(
        "the module has {count} manifests, it must have exactly one: a custom section \
         `{section}` in it or a file NAME.{} beside NAME.wasm",
        wasm_engine_abi::manifest::FILE_ENDING
    )]
    ManifestCount {
        /// Name of the section.
        section: &'static str,
        /// How many there are.
        count: u32,
    },
    /// The manifest is not TOML of the documented form.
    #[error("the manifest cannot be read: {}", short(.problem, WORDS_MAX))]
    ManifestSyntax {
        /// What is wrong with it.
        problem: String,
    },
    /// A value of the manifest is out of its range.
    #[error("the manifest's `{field}` {problem}")]
    ManifestField {
        /// Name of the field.
        field: &'static str,
        /// What is wrong and what is right.
        problem: String,
    },
    /// The module is built for another ABI.
    #[error(
        "the module declares ABI version {found}, this kernel speaks {supported}; rebuild the \
         module or run a kernel of its version"
    )]
    AbiVersion {
        /// What the manifest says.
        found: i64,
        /// What this kernel speaks.
        supported: u32,
    },
    /// No such capability.
    #[error("capability `{}` is unknown or malformed: {problem}", short_name(.text))]
    UnknownCapability {
        /// What the manifest says.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An import the host does not offer.
    #[error(
        "import `{}.{}` does not exist, the host offers the functions of `{offered}` only: {cure}",
        short_name(.module), short_name(.name)
    )]
    UnknownImport {
        /// Module of the import.
        module: String,
        /// Name of the import.
        name: String,
        /// The only module there is.
        offered: &'static str,
        /// How modules that have such an import are built without.
        cure: &'static str,
    },
    /// A host call is declared with another type.
    #[error("import `{name}` has type {}, it must have {expected}", short(.found, WORDS_MAX))]
    ImportType {
        /// Name of the host call.
        name: String,
        /// Type declared by the module.
        found: String,
        /// Type of the call.
        expected: String,
    },
    /// The manifest lacks what a host call needs.
    #[error("import `{name}` needs capability `{capability}`, add it to the manifest")]
    NotGranted {
        /// Name of the host call.
        name: String,
        /// The capability, with `PATTERN` where one must follow.
        capability: String,
    },
    /// An export of the guest contract is missing or of another type.
    #[error("export `{name}` is {}, it must be {expected}", short(.found, WORDS_MAX))]
    Export {
        /// Name of the export.
        name: &'static str,
        /// What the module has: `missing`, a kind, or a type.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// The linker made each export run the constructors first, so state is lost at every call.
    #[error(
        "its exports run the constructors of the program before every call, so what they set up \
         is set up anew each time; link with an exported `_initialize` that calls \
         `__wasm_call_ctors`, as wasm_engine_agent.h does"
    )]
    WrappedExports,
    /// An export uses a name of the kernel's own.
    #[error("export `{}` uses the reserved prefix `{prefix}`, rename it", short_name(.name))]
    ReservedExport {
        /// Name of the export.
        name: String,
        /// The prefix.
        prefix: &'static str,
    },
    /// The kernel's own rewriting produced an invalid module.
    #[error(
        "the instrumented module is invalid: {}; report this as a bug of the kernel",
        short(.message, WORDS_MAX)
    )]
    Instrumentation {
        /// What the validator says.
        message: String,
    },
}

impl From<wasmparser::Error> for Refusal {
    fn from(error: wasmparser::Error) -> Self {
        // One line for the operator, whatever the validator draws.
        let words: Vec<&str> = error.message().split_whitespace().collect();
        let message = words.join(" ");
        let cure = cure_of(&message);
        Self::Invalid { offset: error.offset() as u64, message, cure }
    }
}

/// What to do about a memory that cannot have the maximum that is asked for, because it starts with
/// more: compilers give the stack a mebibyte or more of it.
fn stack_cure(min: u64, max: u64) -> &'static str {
    if min <= max {
        return "";
    }
    "; it starts with more than that, so make its stack smaller too: clang \
     -Wl,-z,stack-size=BYTES, rustc -C link-arg=-zstack-size=BYTES, zig --stack BYTES"
}

/// What to do about what the validator says, where its own words lead astray: a feature that is not
/// offered is to it one that somebody forgot to switch on.
fn cure_of(message: &str) -> &'static str {
    const CURES: [(&str, &str); 5] = [
        (
            "gc types are disallowed",
            "references to objects of the host (externref) and GC are not offered",
        ),
        (
            "constant expression",
            "extended constants are not offered: -mno-extended-const in clang, \
          -C target-feature=-extended-const in rustc, and link without -pie",
        ),
        ("relaxed SIMD support", "relaxed SIMD is not offered: -mno-relaxed-simd"),
        ("threads support", "threads are not offered: build without -pthread and without +atomics"),
        ("tail calls support", "tail calls are not offered: -mno-tail-call"),
    ];
    let cure = CURES.into_iter().find(|(word, _)| message.contains(word));
    cure.map_or("build for wasm32 without extensions", |(_, cure)| cure)
}
