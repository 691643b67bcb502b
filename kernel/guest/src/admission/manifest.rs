//! The manifest: what a module says it is and asks for.
//!
//! Its form is documented at `wasm_engine_abi::manifest`. The ABI version is read before anything
//! else, so that a module of another version is refused for that and not for a field it has.

use serde::Deserialize;
use wasm_encoder::{CustomSection, Section as _};
use wasm_engine_abi::ABI_VERSION;
use wasm_engine_abi::calls::Needs;
use wasm_engine_abi::manifest::{CAPABILITIES_MAX, SECTION};
use wasm_engine_abi::plain::is_plain;

use crate::admission::bounds::{self, ModuleLimits};
use crate::admission::capability::Capability;
use crate::admission::error::Refusal;
use crate::admission::shape::MemoryShape;
use crate::profile::WASM_PAGE_BYTES;

const MANIFEST_BYTES_MAX: usize = 64 << 10;
const NAME_BYTES_MAX: usize = 64;
const MESSAGE_CHARS_MAX: usize = 200;

/// A module's own description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Name of the module.
    pub name: String,
    /// Version of the module, free text.
    pub version: String,
    /// Version of the guest contract.
    pub abi: u32,
    /// What it asks to be allowed, sorted, without repetition.
    pub capabilities: Vec<Capability>,
    /// Fuel it wants for one call, if it says so.
    pub fuel_per_call: Option<u64>,
    /// Memory it wants, if it says so.
    pub memory_bytes: Option<u64>,
}

impl Manifest {
    /// Whether some capability opens the host calls that need `needs`.
    #[must_use]
    pub fn opens(&self, needs: Needs) -> bool {
        needs == Needs::Nothing || self.capabilities.iter().any(|own| own.opens(needs))
    }

    /// Whether some capability covers `name` under `prefix` (`publish:` and so on).
    #[must_use]
    pub fn covers(&self, prefix: &str, name: &str) -> bool {
        self.capabilities.iter().any(|own| own.covers(prefix, name))
    }

    /// Bytes the memory may grow to: the declared maximum, or the manifest's budget in whole
    /// pages where that is less.
    pub(crate) fn memory_limit(
        &self,
        memory: &MemoryShape,
        limits: &ModuleLimits,
    ) -> Result<u64, Refusal> {
        let Some(budget) = self.memory_bytes else { return Ok(memory.bytes_max) };
        let (min, max) = (memory.bytes_min, limits.memory_bytes_max);
        if budget < min || budget > max {
            return Err(Refusal::MemoryBudget { budget, min, max });
        }
        Ok(memory.bytes_max.min(budget / WASM_PAGE_BYTES * WASM_PAGE_BYTES))
    }
}

/// The fields as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    version: String,
    abi: u32,
    capabilities: Vec<String>,
    fuel_per_call: Option<u64>,
    memory_bytes: Option<u64>,
}

/// The module with `manifest` as the last of its sections, for one that lies beside it in a file.
///
/// A module that has a manifest has two then, and is refused for that.
#[must_use]
pub fn attach_manifest(wasm: &[u8], manifest: &[u8]) -> Vec<u8> {
    let mut module = wasm.to_vec();
    let section = CustomSection { name: SECTION.into(), data: manifest.into() };
    section.append_to(&mut module);
    module
}

/// Reads the manifest from the module's sections of that name.
pub(crate) fn read(sections: &[&[u8]]) -> Result<Manifest, Refusal> {
    let [bytes] = sections else {
        let count = u32::try_from(sections.len()).unwrap_or(u32::MAX);
        return Err(Refusal::ManifestCount { section: SECTION, count });
    };
    if bytes.len() > MANIFEST_BYTES_MAX {
        let problem = format!("it has {} bytes, at most 65536 are allowed", bytes.len());
        return Err(Refusal::ManifestSyntax { problem });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Refusal::ManifestSyntax { problem: error.to_string() })?;
    let table: toml::Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    check_abi(&table)?;
    check(toml::from_str(text).map_err(|error| syntax(text, &error))?)
}

/// The parser's message with the line, without the text itself, which may be long.
fn syntax(text: &str, error: &toml::de::Error) -> Refusal {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let message: String = error.message().chars().take(MESSAGE_CHARS_MAX).collect();
    Refusal::ManifestSyntax { problem: format!("{message} (line {line})").replace('\n', ", ") }
}

fn check_abi(table: &toml::Table) -> Result<(), Refusal> {
    match table.get("abi") {
        Some(toml::Value::Integer(found)) if *found == i64::from(ABI_VERSION) => Ok(()),
        Some(toml::Value::Integer(found)) => {
            Err(Refusal::AbiVersion { found: *found, supported: ABI_VERSION })
        }
        Some(_) => Err(field("abi", "must be a whole number".to_owned())),
        None => Err(field("abi", format!("is missing, write abi = {ABI_VERSION}"))),
    }
}

fn field(field: &'static str, problem: String) -> Refusal {
    Refusal::ManifestField { field, problem }
}

fn check(written: Written) -> Result<Manifest, Refusal> {
    let Written { name, version, abi, capabilities, fuel_per_call, memory_bytes } = written;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
        let problem = "must be 1 to 64 ASCII letters, digits, `-`, `_` or `.`".to_owned();
        return Err(field("name", problem));
    }
    if version.is_empty() || version.len() > NAME_BYTES_MAX || !version.chars().all(is_plain) {
        return Err(field("version", "must be 1 to 64 bytes of printable text".to_owned()));
    }
    if fuel_per_call == Some(0) {
        return Err(field("fuel_per_call", "is 0, leave it out or ask for some".to_owned()));
    }
    let count = u32::try_from(capabilities.len()).unwrap_or(u32::MAX);
    bounds::too_many("capabilities in its manifest", count, CAPABILITIES_MAX)?;
    let mut parsed = Vec::with_capacity(capabilities.len());
    for text in &capabilities {
        parsed.push(Capability::parse(text)?);
    }
    parsed.sort();
    parsed.dedup();
    Ok(Manifest { name, version, abi, capabilities: parsed, fuel_per_call, memory_bytes })
}
