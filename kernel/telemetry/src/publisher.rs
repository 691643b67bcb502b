//! The owner's side of what monitors read: one page, four tables of rows, counters, names, the
//! trace.
//!
//! ```text
//!  RegionPlan <- Sizes::plan       Region::format       Publisher::new, names, ready
//!  each tick:  agent, lane, model, ring for what changed  ->  kernel(page) publishes all of it
//!  after each step of the core:  event
//! ```
//! One thread writes, the scheduler's; the log thread has counters of its own. Publishing copies
//! plain data, allocates nothing, calls nothing, and takes the same path with or without readers.
//! What is written is never read back.
//!
//! What this does not do: it counts nothing and reads no clock; the caller fills the rows. It uses
//! `abi` and `shm` only, so that the monitor's tests can compile this very file as their writer.

use bytemuck::Pod;
use wasm_engine_abi::counter::{self, About, Keeper};
use wasm_engine_abi::page::{
    AgentRow, KernelPage, LaneRow, ModelRow, NAMES_BYTES_MAX, RingRow, TraceEvent, section,
};
use wasm_engine_shm::broadcast::{self, BroadcastWriter};
use wasm_engine_shm::counters::{self, CounterSpec, CounterWriter};
use wasm_engine_shm::layout::{LayoutError, RegionPlan, SectionKind};
use wasm_engine_shm::lease::SetupError;
use wasm_engine_shm::mem::RawMem;
use wasm_engine_shm::page::{self, PageWriter};
use wasm_engine_shm::region::{Region, RegionError};
use wasm_engine_shm::rows::{self, RowsWriter};

/// How much there is to publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// Agent slots.
    pub agents_max: u32,
    /// Lanes.
    pub lanes: u32,
    /// Models.
    pub models: u32,
    /// Rings.
    pub rings: u32,
    /// Bytes of the names' JSON text.
    pub names_bytes: u32,
    /// Events that the trace ring holds, a power of two; 0 if there is no such ring.
    pub trace_events: u32,
}

/// Why nothing can be published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The plan has no room.
    #[error("cannot plan what monitors read: {0}")]
    Layout(#[from] LayoutError),
    /// A section has no valid size, or is in use.
    #[error("cannot set up what monitors read: {0}")]
    Setup(#[from] SetupError),
    /// The region was not planned with these sizes.
    #[error("cannot set up what monitors read: {0}; plan the region with the same sizes")]
    Region(#[from] RegionError),
    /// The names are longer than planned or than any reader takes.
    #[error("the names take {have} bytes, there is room for {max}; shorten or drop some")]
    Names {
        /// Bytes of the text.
        have: usize,
        /// Bytes there are.
        max: usize,
    },
}

/// Version of the inner layout of every section here; the schema covers the structs.
const LAYOUT: u32 = 1;

/// A counter as it stands in a section; each thread that keeps some is a group.
#[must_use]
pub fn counter_spec(keeper: Keeper, about: About) -> CounterSpec<'static> {
    CounterSpec {
        id: counter::id(about.name),
        kind: about.kind.text(),
        unit: about.unit.ucum(),
        group: keeper as u32,
        label: about.name,
        help: about.help,
    }
}

fn counter_specs() -> Vec<CounterSpec<'static>> {
    counter::all().map(|(keeper, about)| counter_spec(keeper, about)).collect()
}

/// The counters of the log thread, where there is no region for them.
#[must_use]
pub fn log_counter_specs() -> Vec<CounterSpec<'static>> {
    counter::LOG.iter().map(|about| counter_spec(Keeper::Log, *about)).collect()
}

/// Words of a published struct.
const fn words<T>() -> usize {
    size_of::<T>() / size_of::<u64>()
}

impl Sizes {
    /// Number of rows and words of a row, by section id.
    fn tables(&self) -> [(u32, u32, usize); 4] {
        [
            (section::AGENTS, self.agents_max, words::<AgentRow>()),
            (section::LANES, self.lanes, words::<LaneRow>()),
            (section::MODELS, self.models, words::<ModelRow>()),
            (section::RINGS, self.rings, words::<RingRow>()),
        ]
    }

    /// Words of the names page.
    fn names_words(&self) -> usize {
        (self.names_bytes.max(1) as usize).div_ceil(size_of::<u64>())
    }

    /// Adds the sections to the plan of a region. A table without rows has no section.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn plan(&self, plan: &mut RegionPlan) -> Result<(), PublishError> {
        if self.names_bytes > NAMES_BYTES_MAX {
            let (have, max) = (self.names_bytes as usize, NAMES_BYTES_MAX as usize);
            return Err(PublishError::Names { have, max });
        }
        let pages =
            [(section::KERNEL, words::<KernelPage>()), (section::NAMES, self.names_words())];
        for (id, words) in pages {
            let bytes = page::layout(words)? as u64;
            plan.add_with(SectionKind::PAGE, id, bytes, LAYOUT, [words as u64, 0])?;
        }
        for (id, count, words) in self.tables() {
            if count > 0 {
                let bytes = rows::layout(count as usize, words)? as u64;
                let params = [u64::from(count), words as u64];
                plan.add_with(SectionKind::ROWS, id, bytes, LAYOUT, params)?;
            }
        }
        if self.trace_events > 0 {
            let bytes = broadcast::layout(self.trace_events as usize, size_of::<TraceEvent>())?;
            let params = [u64::from(self.trace_events), size_of::<TraceEvent>() as u64];
            let (kind, id) = (SectionKind::BROADCAST, section::TRACE);
            plan.add_with(kind, id, bytes as u64, LAYOUT, params)?;
        }
        let specs = counter_specs();
        let (bytes, params) = (counters::layout(&specs)? as u64, [specs.len() as u64, 0]);
        plan.add_with(SectionKind::COUNTERS, section::COUNTERS, bytes, LAYOUT, params)?;
        Ok(())
    }
}

/// A table and whether it changed since its last cut.
#[derive(Debug)]
struct Rows {
    writer: RowsWriter<RawMem>,
    changed: bool,
}

impl Rows {
    fn new(region: &Region, table: (u32, u32, usize)) -> Result<Option<Self>, PublishError> {
        let (id, count, words) = table;
        if count == 0 {
            return Ok(None);
        }
        let mem = region.section(SectionKind::ROWS, id)?;
        let writer = RowsWriter::new(mem, count as usize, words)?;
        Ok(Some(Self { writer, changed: false }))
    }
}

/// Writes one row of a table that has some.
#[inline]
fn write<T: Pod>(table: &mut Option<Rows>, index: u32, row: &T) {
    let table = table.as_mut().expect("the caller names a row, so the table was planned with rows");
    table.writer.write(index as usize, bytemuck::cast_slice(std::slice::from_ref(row)));
    table.changed = true;
}

/// Writes what monitors read.
#[derive(Debug)]
pub struct Publisher {
    kernel: PageWriter<RawMem>,
    names: PageWriter<RawMem>,
    agents: Option<Rows>,
    lanes: Option<Rows>,
    models: Option<Rows>,
    rings: Option<Rows>,
    trace: Option<BroadcastWriter<RawMem>>,
    counters: CounterWriter<RawMem>,
    log_counters: Option<CounterWriter<RawMem>>,
    names_bytes: usize,
}

impl Publisher {
    /// Opens the sections of a region that was planned with the same sizes. Allocates; nothing
    /// after it does, but [`Publisher::names`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn new(region: &Region, sizes: &Sizes) -> Result<Self, PublishError> {
        let page = |id| region.section(SectionKind::PAGE, id);
        let [agents, lanes, models, rings] = sizes.tables();
        let memory = region.section(SectionKind::COUNTERS, section::COUNTERS)?;
        let mut writers = counters::format(&memory, &counter_specs())?.into_iter();
        let (counters, log_counters) = (writers.next(), writers.next());
        let Some(counters) = counters else { unreachable!("the scheduler has counters") };
        let trace = match sizes.trace_events as usize {
            0 => None,
            slots => {
                let memory = region.section(SectionKind::BROADCAST, section::TRACE)?;
                Some(BroadcastWriter::new(memory, slots, size_of::<TraceEvent>())?)
            }
        };
        Ok(Self {
            kernel: PageWriter::new(page(section::KERNEL)?, words::<KernelPage>())?,
            names: PageWriter::new(page(section::NAMES)?, sizes.names_words())?,
            agents: Rows::new(region, agents)?,
            lanes: Rows::new(region, lanes)?,
            models: Rows::new(region, models)?,
            rings: Rows::new(region, rings)?,
            trace,
            counters,
            log_counters,
            names_bytes: sizes.names_bytes as usize,
        })
    }

    /// Writes the names, once, before the region is ready: the JSON text that `page` documents.
    ///
    /// # Errors
    /// [`PublishError::Names`] if it is longer than planned.
    pub fn names(&mut self, json: &str) -> Result<(), PublishError> {
        if json.len() > self.names_bytes {
            return Err(PublishError::Names { have: json.len(), max: self.names_bytes });
        }
        let mut text = vec![0u64; json.len().max(1).div_ceil(size_of::<u64>())];
        bytemuck::cast_slice_mut(&mut text)[..json.len()].copy_from_slice(json.as_bytes());
        self.names.publish(&text);
        Ok(())
    }

    /// Writes an agent's slot; readers see it with the next [`Publisher::kernel`]. Call it for
    /// agents that changed, at the close of a tick.
    ///
    /// # Panics
    /// If there is no such slot. The same holds for the other tables.
    #[inline]
    pub fn agent(&mut self, slot: u32, row: &AgentRow) {
        write(&mut self.agents, slot, row);
    }

    /// Writes a lane.
    #[inline]
    pub fn lane(&mut self, lane: u32, row: &LaneRow) {
        write(&mut self.lanes, lane, row);
    }

    /// Writes a model.
    #[inline]
    pub fn model(&mut self, model: u32, row: &ModelRow) {
        write(&mut self.models, model, row);
    }

    /// Writes a ring.
    #[inline]
    pub fn ring(&mut self, ring: u32, row: &RingRow) {
        write(&mut self.rings, ring, row);
    }

    /// Sends an event to whoever follows, if there is a trace ring.
    #[inline]
    pub fn event(&mut self, event: &TraceEvent) {
        if let Some(trace) = &mut self.trace {
            trace.send(bytemuck::bytes_of(event));
        }
    }

    /// Tells whoever follows that `events` are lost; as many as the ring holds must follow.
    pub fn lose(&mut self, events: u64) {
        if let Some(trace) = &mut self.trace {
            trace.skip(events);
        }
    }

    /// The log thread's counters, by the places of [`counter::log`]; once.
    pub fn take_log_counters(&mut self) -> Option<CounterWriter<RawMem>> {
        self.log_counters.take()
    }

    /// Publishes every row written since the last call, each table as one consistent cut, and then
    /// the kernel's page and its counters.
    #[inline]
    pub fn kernel(&mut self, page: &KernelPage) {
        let tables = [&mut self.agents, &mut self.lanes, &mut self.models, &mut self.rings];
        for table in tables.into_iter().flatten().filter(|table| table.changed) {
            table.writer.publish();
            table.changed = false;
        }
        self.kernel.publish(bytemuck::cast_slice(std::slice::from_ref(page)));
        for (index, counter) in counter::KERNEL.iter().enumerate() {
            self.counters.set(index, counter.read(page));
        }
    }
}
