//! The counters of a running kernel, which say themselves what they are.
//!
//! Nothing here knows a counter: names, units and kinds are read from the region, so a monitor of
//! one build reads those of another, as long as the layout of regions is of the same major version.

use std::path::Path;

use serde::Serialize;
use wasm_engine_abi::page::section;
use wasm_engine_shm::counters::{CountersReader, LABEL_MAX};
use wasm_engine_shm::layout::SectionKind;
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::RegionView;

use crate::error::MonitorError;
use crate::names::clean;
use crate::reader;

/// One counter, now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counted {
    /// Number by which programs know it.
    pub id: u32,
    /// Name.
    pub label: String,
    /// `counter`, which only grows, or `gauge`.
    pub kind: String,
    /// Unit, as UCUM writes it.
    pub unit: String,
    /// What it counts.
    pub help: String,
    /// Its value.
    pub value: u64,
}

/// The counters of the kernel of this name; without a name of the only one that runs. Control
/// characters in texts are replaced.
///
/// # Errors
/// [`MonitorError`].
pub fn poll(directory: &Path, name: Option<&str>) -> Result<Vec<Counted>, MonitorError> {
    let name = reader::choose(directory, name)?;
    let map = reader::open_in(directory, &name)?;
    poll_map(&name, map)
}

/// The counters of a region that is mapped already.
///
/// # Errors
/// [`MonitorError`].
pub fn poll_map(name: &str, map: ReadMap) -> Result<Vec<Counted>, MonitorError> {
    let view = RegionView::attach(map).map_err(|source| MonitorError::attach(name, source))?;
    let damaged =
        |problem: String| MonitorError::Section { name: name.into(), section: "counters", problem };
    let found = view.find(SectionKind::COUNTERS, section::COUNTERS);
    let (entry, memory) = found.ok_or_else(|| damaged("are missing".to_owned()))?;
    reader::check_layout(name, "counters", entry)?;
    let reader =
        CountersReader::new(memory).map_err(|e| damaged(format!("cannot be opened: {e}")))?;
    let mut counted = Vec::new();
    for counter in reader.list() {
        // One that is replaced meanwhile is neither the old nor the new one.
        let Some(value) = reader.value(&counter) else { continue };
        let text = |text: &str| clean(text, LABEL_MAX * 2);
        counted.push(Counted {
            id: counter.id,
            label: text(&counter.label),
            kind: text(&counter.kind),
            unit: text(&counter.unit),
            help: text(&counter.help),
            value,
        });
    }
    // What was read of a file that was cut meanwhile is nothing.
    view.check().map_err(|_| damaged("were cut short".to_owned()))?;
    Ok(counted)
}
